"""Types a command on a terminal, as a person does."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

SECONDS = 120


def typed(
    command: Sequence[str],
    answers: Sequence[tuple[str, str]],
    *,
    cwd: Path,
    env: Mapping[str, str],
) -> tuple[int, str]:
    """Run a command and answer each question once it is asked.

    Its exit status, and all that was to be seen on the terminal.
    """
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**env, "TERM": "dumb"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen, end, waiting = "", time.monotonic() + SECONDS, list(answers)
    while time.monotonic() < end:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                seen += os.read(ours, 65536).decode()
            except OSError:  # the other side is closed: the command has ended
                break
        if waiting and waiting[0][0] in seen.rsplit("\n", 1)[-1]:
            time.sleep(0.2)  # the terminal is told first not to show what is typed
            os.write(ours, f"{waiting.pop(0)[1]}\n".encode())
            seen += "\n"
    os.close(ours)
    assert not waiting, seen
    return process.wait(SECONDS), seen
