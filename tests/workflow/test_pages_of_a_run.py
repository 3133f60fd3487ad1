"""A run on the embedded platform of its own can be looked at while it goes on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import requests
from workflow_runs import TIMEOUT, Workflow, until

SLOW = """
rule all:
    input: "a.txt"
rule slow:
    output: "a.txt"
    shell: "while [ ! -e {config[go]} ]; do sleep 0.1; done; echo a > {output}"
"""


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """What a run says up to the line that matches."""
    assert process.stdout is not None
    said = ""
    while not re.search(pattern, said):
        line = process.stdout.readline()
        assert line, said
        said += line
    return said


def test_a_link_in_the_output_leads_to_the_task(
    transfer_workflow: Workflow, tmp_path: Path
) -> None:
    workflow, go = transfer_workflow, tmp_path / "go"
    workflow.write({"Snakefile": SLOW})
    local = ("--cavatica-api-endpoint", "local", "--cavatica-project", "local/project")
    process = workflow.start(*local, "--config", f"go={go}")
    try:
        said = read_until(process, r"is task http\S+")
        file = workflow.directory / ".cavatica-local/pages"
        assert f"in a browser while it runs, open the address in {file}." in said
        address, link = file.read_text().strip(), re.findall(r"is task (http\S+)", said)[0]
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/u/local/project/tasks/[0-9a-f-]{36}", link)
        assert requests.get(link, timeout=30).status_code == 401
        browser = requests.Session()
        assert "slow" in browser.get(address, timeout=30).text
        until(lambda: "<title>slow: running</title>" in browser.get(link, timeout=30).text)
    finally:
        go.touch()
        rest, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, said + rest
    assert not file.exists()
    code = address.partition("code=")[2]
    kept = [path for path in workflow.directory.rglob("*") if path.is_file()]
    assert code not in said + rest
    assert [path for path in kept if code.encode() in path.read_bytes()] == []
