"""What is started warm is what a user starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests import warm_start
from tests.warm_start import COLD, Popen, as_in_a_terminal

SNAKEFILE = """
import json, os, signal, sys, threading
from pathlib import Path
import snakemake_executor_cavatica.settings
print(json.dumps({
    "argv": sys.argv,
    "main": sys.modules["__main__"].__spec__ and sys.modules["__main__"].__spec__.name,
    "path": sys.path,
    "environment": {**os.environ, "COLD": ""},
    "cwd": os.getcwd(),
    "run": workflow.rundir,
    "signals": [str(signal.getsignal(one)) for one in (2, 1, 15, 13)],
    "umask": Path("/proc/self/status").read_text().partition("Umask:")[2].split()[0],
    "group": os.getpgrp(),
    "parent": os.getppid(),
    "open": len(os.listdir("/proc/self/fd")),
    "stdin": os.readlink("/proc/self/fd/0"),
    "threads": threading.active_count(),
    "encoding": sys.stdout.encoding,
}))
sys.stderr.write("to stderr")
sys.exit(7)
"""
COMMANDS = ([sys.executable, "-m", "snakemake"], [str(Path(sys.executable).with_name("snakemake"))])


def start(command: list[str], folder: Path, **environment: str) -> Popen:
    return Popen(
        [*command, "--cores", "1", "a b"],
        cwd=folder,
        env={**os.environ, "ONLY": "here", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=as_in_a_terminal,
    )


def facts(command: list[str], folder: Path, **environment: str) -> tuple[int, dict[str, Any], bool]:
    process = start(command, folder, **environment)
    out, err = process.communicate(timeout=60)
    found = json.loads(out)
    found["environment"].pop(COLD, None)
    return process.returncode, found, err.endswith("to stderr")


@pytest.mark.parametrize("command", COMMANDS, ids=["module", "command"])
def test_a_warm_start_is_like_a_cold_one(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    warm, cold = facts(command, tmp_path), facts(command, tmp_path, **{COLD: "1"})
    assert warm == cold
    assert warm[0] == 7
    assert warm[2]


def test_it_is_warm(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text("print(open('/proc/self/cmdline').read())\nexit(0)\n")
    assert "warm_start.py" in start(COMMANDS[0], tmp_path).communicate(timeout=60)[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_end_it_as_ever(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    ended = []
    for environment in ({}, {COLD: "1"}):
        process = start(COMMANDS[0], tmp_path, **environment)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        process.communicate(timeout=60)
        ended.append(process.returncode)
    assert ended[0] == ended[1] != 0


def test_threads_share_the_process_that_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two, one would lose the other's children, and with them exit statuses that are not 0."""
    made = []

    class Slow:
        def __init__(self) -> None:
            made.append(self)
            time.sleep(0.1)

    monkeypatch.setattr(warm_start, "_started", cache(Slow))
    with ThreadPoolExecutor(4) as threads:
        got = list(threads.map(lambda _: warm_start._loaded(), range(4)))
    assert got == made * 4
