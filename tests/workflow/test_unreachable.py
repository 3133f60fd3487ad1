"""A platform that does not answer when a run begins: what is told, and how the run ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from workflow_runs import TIMEOUT, DataPlace

from tests import warm_start

SNAKEMAKE = str(Path(sys.executable).parent / "snakemake")
TOLD = "It is tried again until "
STORAGE = ("--default-storage-provider", "cavatica", "--default-storage-prefix", "cavatica://o/p/f")


def start(folder: Path, endpoint: str, place: DataPlace) -> subprocess.Popen[str]:
    (folder / "Snakefile").write_text(
        "rule all:\n    output: 'o.txt'\n    shell: 'date > {output}'"
    )
    command = [SNAKEMAKE, "--executor", "cavatica", "--jobs", "1", "--cavatica-project", "o/p"]
    command += ["--cavatica-api-endpoint", endpoint, *(STORAGE if place == "storage" else ())]
    return warm_start.Popen(
        command,
        cwd=folder,
        env={**os.environ, "SB_AUTH_TOKEN": "0123456789abcdef"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=warm_start.as_in_a_terminal,
    )


def read_until(process: subprocess.Popen[str], wanted: str) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if wanted in line:
            return line
    raise AssertionError("".join(lines))


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_is_told_at_once_and_a_signal_ends_it_in_order(
    tmp_path: Path, place: DataPlace, number: signal.Signals
) -> None:
    endpoint = f"https://127.0.0.1:{closed_port()}/v2"
    process = start(tmp_path, endpoint, place)
    if place == "transfer":  # in storage mode it is asked while the workflow is parsed
        read_until(process, "Building DAG of jobs")
        begun = time.monotonic()
    line = read_until(process, TOLD)
    if place == "transfer":
        assert time.monotonic() - begun < 5
        assert list((tmp_path / ".snakemake/locks").iterdir())
    assert line.startswith(f"{endpoint} cannot be reached: Connection refused. {TOLD}")
    assert re.search(r"until \d\d:\d\d:\d\d; check the address .* network .* proxy", line)
    process.send_signal(number)
    process.send_signal(number)  # a terminal and a shell may both send it
    output, _ = process.communicate(timeout=TIMEOUT)
    assert f"Interrupted while {endpoint} was asked for o/p." in output
    assert "Traceback" not in output
    assert "RuntimeError" not in output
    assert process.returncode == 1
    locks = tmp_path / ".snakemake/locks"
    assert not locks.is_dir() or not list(locks.iterdir())


def test_a_name_that_does_not_resolve_is_not_tried_for_minutes(tmp_path: Path) -> None:
    process = start(tmp_path, "https://cavatica.invalid/v2", "transfer")
    began = time.monotonic()
    output, _ = process.communicate(timeout=TIMEOUT)
    assert time.monotonic() - began < 40
    assert process.returncode == 1
    assert "https://cavatica.invalid/v2 cannot be reached: its name does not resolve" in output
    assert "Traceback" not in output
