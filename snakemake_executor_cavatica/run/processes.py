"""Whether a process that a run has left its name of is alive, as far as this machine can tell."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def this_process() -> str:
    """This process as `is_dead` knows it, among all of this machine."""
    return f"{_machine()} {os.getpid()} {_start_of(os.getpid())}"


def is_dead(process: str) -> bool:
    """Whether a process was on this machine and is no more; False if that cannot be known."""
    number, start = _number_here(process)
    if number is None:
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _start_of(number) != start


def number_if_alive_here(process: str) -> int | None:
    """The number of a process that is on this machine, and alive; None if it is not, or may not."""
    number, _ = _number_here(process)
    return None if is_dead(process) else number


def _number_here(process: str) -> tuple[int | None, str]:
    """Number and start of a process of this machine; None if it is, or was, on another."""
    machine, number, start = [*process.split(" "), "", ""][:3]
    return int(number) if machine == _machine() and number.isdigit() else None, start


def _start_of(pid: int) -> str:
    """Tells apart processes that had the same number; empty where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # no Linux
        return ""
    return "zombie" if fields[0] == "Z" else fields[19]


def _machine() -> str:
    """This machine since its last start, and which of its processes can be seen from here."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - a name, no path
    except OSError:  # no Linux
        return f"{uuid.getnode():x}"
