"""What a task has measured about its jobs, as it comes back: the counterpart of `measuring.sh`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """What a task has measured about one job; None where the instance did not tell."""

    wall_seconds: float | None = None
    cpu_seconds: float | None = None
    peak_memory_mib: float | None = None
    exit_status: int | None = None
    output_bytes: int | None = None
    is_old: bool = False
    """Of a memoized task: measured when the outputs were made, not now."""
