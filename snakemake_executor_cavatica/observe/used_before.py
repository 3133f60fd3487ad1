"""How much memory the jobs of rules have used in earlier runs, by the records on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .entries import Attempt, Status
from .record import UnreadableRecord, read_record, records_here
from .report.advice import LEAST_JOBS, LEAST_MEMORY_MB, MEMORY_MARGIN, rounded_up

_MOST_RECORDS = 20
_MB_PER_MIB = 1.048576
_OUT_OF_MEMORY = "out_of_memory"


def memory_of_earlier_runs(directory: Path) -> dict[str, int]:
    """MB that would have been enough for all jobs of a rule in the newest runs, by rule."""
    attempts: list[Attempt] = []
    for folder in records_here(directory)[:_MOST_RECORDS]:
        try:
            attempts += read_record(folder).attempts
        except UnreadableRecord:  # what others tell is enough, or is missed
            continue
    return enough_memory(attempts)


def enough_memory(attempts: Iterable[Attempt]) -> dict[str, int]:
    """MB that are a quarter more than any job of a rule has used, where three were measured.

    A rule of which a job ran out of so much is left out.
    """
    used: dict[str, list[float]] = {}
    too_little: dict[str, float] = {}
    for one in attempts:
        if one.kind != "job":
            continue
        if one.measured.peak_memory_mib is not None and one.status is Status.DONE:
            used.setdefault(one.rule, []).append(one.measured.peak_memory_mib * _MB_PER_MIB)
        elif one.reason == _OUT_OF_MEMORY and one.memory_mib:
            asked = one.memory_mib * _MB_PER_MIB
            too_little[one.rule] = max(asked, too_little.get(one.rule, 0))
    enough = {
        rule: max(LEAST_MEMORY_MB, rounded_up(max(of_rule) * MEMORY_MARGIN))
        for rule, of_rule in used.items()
        if len(of_rule) >= LEAST_JOBS
    }
    return {rule: mb for rule, mb in enough.items() if mb > too_little.get(rule, 0)}
