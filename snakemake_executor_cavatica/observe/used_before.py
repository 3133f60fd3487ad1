"""How much memory jobs have used and needed in earlier runs, by the records on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..plan.resizing import MemoryBefore
from .entries import Attempt, Status
from .needed_memory import MB_PER_MIB, needed_memory
from .record import UnreadableRecord, read_record, records_here
from .report.advice import LEAST_JOBS, LEAST_MEMORY_MB, MEMORY_MARGIN, rounded_up

_MOST_RECORDS = 20
_OUT_OF_MEMORY = "out_of_memory"


def memory_of_earlier_runs(
    directory: Path, *, right_size: bool, memory_retries: bool
) -> MemoryBefore:
    """What the newest runs tell, as far as it is to be heeded."""
    if not (right_size or memory_retries):
        return MemoryBefore()
    attempts: list[Attempt] = []
    for folder in reversed(records_here(directory)[:_MOST_RECORDS]):
        try:
            attempts += read_record(folder).attempts
        except UnreadableRecord:  # what others tell is enough, or is missed
            continue
    needed = needed_memory(attempts) if memory_retries else []
    return MemoryBefore(
        enough_memory(attempts) if right_size else {},
        {job: one.by_job.get(job, 0) for one in needed for job in (*one.by_job, *one.others)},
        {one.rule: one.most for one in needed if one.is_usual},
    )


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
            used.setdefault(one.rule, []).append(one.measured.peak_memory_mib * MB_PER_MIB)
        elif one.reason == _OUT_OF_MEMORY and one.memory_mib:
            asked = one.memory_mib * MB_PER_MIB
            too_little[one.rule] = max(asked, too_little.get(one.rule, 0))
    enough = {
        rule: max(LEAST_MEMORY_MB, rounded_up(max(of_rule) * MEMORY_MARGIN))
        for rule, of_rule in used.items()
        if len(of_rule) >= LEAST_JOBS
    }
    return {rule: mb for rule, mb in enough.items() if mb > too_little.get(rule, 0)}
