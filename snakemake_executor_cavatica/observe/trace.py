"""Nextflow's trace file, in its default columns, for tools that read those. Pure.

What this plugin does not know stands as `-`, as there.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from .entries import Attempt, Status

COLUMNS = (
    "task_id",
    "hash",
    "native_id",
    "name",
    "status",
    "exit",
    "submit",
    "duration",
    "realtime",
    "%cpu",
    "peak_rss",
    "peak_vmem",
    "rchar",
    "wchar",
)
_STATUS = {
    Status.SUBMITTED: "SUBMITTED",
    Status.QUEUED: "SUBMITTED",
    Status.RUNNING: "RUNNING",
    Status.DONE: "COMPLETED",
    Status.FAILED: "FAILED",
    Status.CANCELLED: "ABORTED",
    Status.LEFT: "RUNNING",
    Status.REUSED: "CACHED",
}
_UNKNOWN = "-"
_MS = 1000
_MINUTE = 60
_KIB = 1024


def trace(attempts: Iterable[Attempt]) -> str:
    """The file's text, a line for each attempt."""
    lines = [COLUMNS, *(_line(number, one) for number, one in enumerate(attempts, 1))]
    return "".join("\t".join(line) + "\n" for line in lines)


def _line(number: int, attempt: Attempt) -> tuple[str, ...]:
    measured = attempt.measured
    real = attempt.run_seconds if measured.wall_seconds is None else measured.wall_seconds
    whole = None
    if attempt.submitted is not None and attempt.ended is not None:
        whole = max(0.0, attempt.ended - attempt.submitted)
    return (
        str(number),
        _hash(attempt.task),
        attempt.task or _UNKNOWN,
        _name(attempt),
        _STATUS[attempt.status],
        _exit(attempt),
        _moment(attempt.submitted),
        _duration(whole),
        _duration(real),
        _share(measured.cpu_seconds, measured.wall_seconds),
        _memory(measured.peak_memory_mib),
        *[_UNKNOWN] * 3,
    )


def _name(attempt: Attempt) -> str:
    """As Nextflow has it: the rule, and in parentheses what tells its jobs apart."""
    tag = ", ".join(f"{name}={value}" for name, value in attempt.wildcards.items())
    name = f"{attempt.rule} ({tag})" if tag else attempt.rule
    return " ".join(name.split())


def _hash(task: str | None) -> str:
    digits = (task or "").replace("-", "")
    return f"{digits[:2]}/{digits[2:8]}" if digits else _UNKNOWN


def _exit(attempt: Attempt) -> str:
    status = attempt.measured.exit_status
    if status is None and attempt.status is Status.DONE:
        status = 0
    return _UNKNOWN if status is None else str(status)


def _moment(seconds: float | None) -> str:
    if seconds is None:
        return _UNKNOWN
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return _UNKNOWN
    if seconds < 1:
        return f"{round(seconds * _MS)}ms"
    if seconds < _MINUTE:
        return f"{round(seconds, 1):g}s"
    rest, parts = int(seconds), []
    for length, unit in ((86400, "d"), (3600, "h"), (_MINUTE, "m"), (1, "s")):
        count, rest = divmod(rest, length)
        parts += [f"{count}{unit}"] if count else []
    return " ".join(parts)


def _share(part: float | None, whole: float | None) -> str:
    return _UNKNOWN if part is None or not whole else f"{100 * part / whole:.1f}%"


def _memory(mib: float | None) -> str:
    if mib is None:
        return _UNKNOWN
    gib = mib / _KIB
    return f"{round(gib, 1):g} GB" if gib >= 1 else f"{round(mib, 1):g} MB"
