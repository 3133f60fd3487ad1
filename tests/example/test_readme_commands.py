"""The README's six commands, typed by a new user, lead from nothing to results."""

from __future__ import annotations

import gzip
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terminal import typed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What `cavatica-local serve` says when it is ready."""
    command = [sys.executable, "-m", "cavatica_local", "serve", "--root", str(tmp_path / "server")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    ready: dict[str, str] = json.loads(process.stdout.readline())
    yield ready
    process.terminate()
    process.wait(30)


def documented(file: str, heading: str, language: str) -> str:
    """The first block of a language below a heading."""
    text = (ROOT / file).read_text().partition(f"\n{heading}\n")[2]
    found = re.search(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def test_six_commands_lead_from_nothing_to_results(server: dict[str, str], tmp_path: Path) -> None:
    work, home = tmp_path / "work", tmp_path / "home"
    (work / "reads").mkdir(parents=True)
    home.mkdir()
    for sample in "AB":
        for read in "12":
            with gzip.open(work / "reads" / f"{sample}_R{read}.fastq.gz", "wt") as file:
                file.write(f"@{sample}\nACGT\n+\nIIII\n")
    (work / "Snakefile").write_text(documented("docs/data.md", "## Sample sheets", "snakemake"))
    block = documented("README.md", "## On CAVATICA, from nothing to results", "bash")
    commands = block.replace("OWNER/PROJECT", server["project"]).splitlines()
    assert len(commands) == 6
    # The platform is not CAVATICA: these two say so once, as one does with another platform.
    another = {
        "SNAKEMAKE_CAVATICA_API_ENDPOINT": server["api_endpoint"],
        "SNAKEMAKE_CAVATICA_CREDENTIALS_PROFILE": "mine",
    }
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SB_", "SNAKEMAKE_"))
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = kept | another | {"HOME": str(home), "PATH": path}
    answers = [
        ("Token (it is not shown)", server["auth_token"]),
        ("Project, by number or name", "1"),
        ("Folder of the project, or here", "results"),
        ("Spot instances", "1"),
        ("Check the workflow", "n"),  # there is no table of samples yet
    ]
    for number, command in enumerate(commands):
        words = shlex.split(command)
        status, seen = typed(words, answers if number == 0 else [], cwd=work, env=environment)
        assert status == 0, f"{command}\n{seen}"
        assert server["auth_token"] not in seen
    assert sorted(file.name for file in (work / "counts").iterdir()) == ["A.txt", "B.txt"]
    assert (work / "counts" / "A.txt").read_text() == "8\n"
