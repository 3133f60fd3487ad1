"""The command in a shell: quick help, and completion of what can be typed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_runs import Server

from snakemake_executor_cavatica.observe.record import RECORD, RUNS

COMMAND = str(Path(sys.executable).with_name("snakemake-cavatica"))
RUN = "20260101-120000-abcdef"
HEAVY = ("requests", "pydantic", "rich", "snakemake", "argcomplete")


def test_help_loads_nothing_that_only_work_needs() -> None:
    program = (
        "import sys\nfrom snakemake_executor_cavatica.commands.main import _parser\n"
        f"_parser().format_help()\nprint([name for name in {HEAVY} if name in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"


def completed(line: str, cwd: Path) -> set[str]:
    """What a shell offers after this much of a line."""
    offers = cwd / "offers"
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(offers),
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    subprocess.run([COMMAND], cwd=cwd, env=environment, check=False, timeout=60)
    return set(offers.read_text().split())


@pytest.mark.parametrize("command", ["status", "logs", "cancel", "cost", "trace"])
def test_runs_are_offered(command: str, tmp_path: Path) -> None:
    record = tmp_path / RUNS / RUN / RECORD
    record.parent.mkdir(parents=True)
    record.write_text("")
    assert completed(f"snakemake-cavatica {command} 2026", tmp_path) == {RUN}
    (tmp_path / "elsewhere").mkdir()
    line = f"snakemake-cavatica {command} --directory .. 2026"
    assert completed(line, tmp_path / "elsewhere") == {RUN}


def test_commands_and_options_are_offered(tmp_path: Path) -> None:
    assert completed("snakemake-cavatica st", tmp_path) == {"status"}
    assert completed("snakemake-cavatica status --wa", tmp_path) == {"--watch"}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_name_that_the_terminal_cannot_show_is_spelled_out(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "Snakefile").write_text("rule all:\n    shell: 'true'\n")
    (tmp_path / os.fsdecode(b"\xff-\xe2\x82\xac.py")).touch()
    told = subprocess.run(
        [COMMAND, "sources"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": f"{encoding}:strict"},
        capture_output=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert b"\\udcff-" in told.stdout


def listed_to(stdout: int, server: Server, folder: str) -> subprocess.CompletedProcess[str]:
    """`ls`, with its output going somewhere."""
    return subprocess.run(
        [COMMAND, "ls", f"cavatica://{server.project}/{folder}"],
        check=False,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=server.environment(),
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_under_what_is_said_is_told_in_one_sentence(server: Server) -> None:
    server.put("full/a.txt", "one")
    with Path("/dev/full").open("w") as full:
        ended = listed_to(full.fileno(), server, "full")
    assert ended.returncode == 1
    assert ended.stderr == (
        "snakemake-cavatica: the output cannot be written: No space left on device. Make room, and "
        "say it again.\n"
    )


def test_a_reader_that_hangs_up_is_no_error(server: Server) -> None:
    """As `head -1` does."""
    server.put("x/a.txt", "one")
    read, write = os.pipe()
    os.close(read)
    ended = listed_to(write, server, "x")
    os.close(write)
    assert (ended.returncode, ended.stderr) == (141, "")


def test_arguments_for_snakemake_need_two_dashes_before_them() -> None:
    told = subprocess.run(
        [COMMAND, "check", "--workflow-profile", "x"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 2
    assert "--workflow-profile; write -- before those of Snakemake" in told.stderr
