"""Parts of a workflow that lie elsewhere are fetched once, by the main process."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.workflow.workflow_runs import Workflow

SNAKEFILE = """
module elsewhere:
    snakefile: "ADDRESS/workflow/Snakefile?raw=true"
    config: {"word": "hello"}

use rule * from elsewhere

rule all:
    default_target: True
    input: "run.txt", "script.txt", "helped.txt"
"""
PARTS = {
    "workflow/Snakefile": """
include: "rules/more.smk"

rule by_script:
    output: "script.txt"
    params: config["word"]
    script: "scripts/tell.R"

rule by_helper:
    output: "helped.txt"
    params: helper=workflow.source_path("scripts/helper.sh")
    shell: "sh {params.helper} > {output}"
""",
    "workflow/rules/more.smk": """
def tell(text):
    return config["word"] + text

rule by_run:
    output: "run.txt"
    run:
        open(output[0], "w").write(tell(" run"))
""",
    "workflow/scripts/tell.R": "writeLines(snakemake@params[[1]], snakemake@output[[1]])\n",
    "workflow/scripts/helper.sh": "echo helped\n",
}


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a server, and what it is asked for."""
    folder, asked = tmp_path / "web", list[str]()
    for name, text in PARTS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_request(self, *_: Any) -> None:
            asked.append(self.path.partition("?")[0])

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_what_the_main_process_has_fetched_no_task_fetches(
    transfer_workflow: Workflow, web: tuple[str, list[str]]
) -> None:
    """A project may keep its tasks from the network, and their image may lack git."""
    address, asked = web
    transfer_workflow.write({"Snakefile": SNAKEFILE.replace("ADDRESS", address)})
    transfer_workflow.put({})
    transfer_workflow.succeed("--set-resources", "by_script:cavatica_mode=snakemake")
    assert [transfer_workflow.read(name) for name in ("run.txt", "script.txt", "helped.txt")] == [
        "hello run",
        "hello\n",
        "helped\n",
    ]
    assert sorted(asked) == sorted(f"/{name}" for name in PARTS)


@pytest.mark.parametrize("mode", ["auto", "snakemake"])
@pytest.mark.parametrize(
    ("target", "part", "old", "new", "expected"),
    [
        ("run.txt", "rules/more.smk", 'config["word"] + text', '"new" + text', "new run"),
        ("script.txt", "scripts/tell.R", "snakemake@params[[1]]", '"new"', "new\n"),
        ("helped.txt", "scripts/helper.sh", "echo helped", "echo new", "new\n"),
    ],
)
def test_results_of_a_part_that_has_changed_are_not_taken(
    transfer_workflow: Workflow,
    web: tuple[str, list[str]],
    tmp_path: Path,
    mode: str,
    *,
    target: str,
    part: str,
    old: str,
    new: str,
    expected: str,
) -> None:
    """Protects against the results of functions, scripts and helpers that were there before."""
    own = transfer_workflow
    own.write({"Snakefile": SNAKEFILE.replace("ADDRESS", web[0])})
    own.put({})
    options = [target, "--cavatica-mode", mode]
    own.succeed(*options)
    path = tmp_path / "web/workflow" / part
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    (own.directory / target).unlink()
    own.succeed(*options, "--cavatica-reuse")
    assert own.read(target) == expected
