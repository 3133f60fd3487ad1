"""What jobs have used and needed in earlier runs, by the records on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..plan.instance_types import disk_of
from ..plan.resizing import DiskBefore, UsedBefore
from .entries import Attempt, Status
from .needed_memory import MB_PER_MIB, needed_memory
from .record import Record, newest_records
from .report.advice import LEAST_JOBS, LEAST_MEMORY_MB, MEMORY_MARGIN, rounded_up
from .report.prices import is_own_machine

_OUT_OF_MEMORY = "out_of_memory"
_DISK_FULL = "disk_full"
_MB = 1_000_000


def used_by_earlier_runs(
    directory: Path, endpoint: str, *, right_size: bool, memory_retries: bool
) -> UsedBefore:
    """What the newest runs tell, as far as it is to be heeded on the platform at an address."""
    if not (right_size or memory_retries):
        return UsedBefore()
    records = newest_records(directory)[::-1]
    attempts = [one for record in records for one in record.attempts]
    needed = needed_memory(attempts) if memory_retries else []
    return UsedBefore(
        enough_memory(attempts) if right_size else {},
        largest_inputs(attempts) if right_size else {},
        {job: one.by_job.get(job, 0) for one in needed for job in (*one.by_job, *one.others)},
        {one.rule: one.most for one in needed if one.is_usual},
        used_disk(_alike(records, endpoint)) if right_size else {},
    )


def _alike(records: Iterable[Record], endpoint: str) -> list[Attempt]:
    """Of runs whose tasks had disks like those there: not on this machine's, or on it as well."""
    here = is_own_machine(endpoint)
    return [
        one
        for record in records
        if any(is_own_machine(run.endpoint) is here for run in record.runs)
        for one in record.attempts
    ]


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


def largest_inputs(attempts: Iterable[Attempt]) -> dict[str, int]:
    """Bytes of those of the job with most, by rule, among the jobs whose memory was measured."""
    found: dict[str, int] = {}
    for one in attempts:
        if one.measured.peak_memory_mib is not None and one.status is Status.DONE:
            found[one.rule] = max(one.bytes_in or 0, found.get(one.rule, 0))
    return found


def used_disk(attempts: Iterable[Attempt]) -> dict[str, DiskBefore]:
    """What jobs of a rule have used of their disks at most, where three were measured."""
    measured: dict[str, list[Attempt]] = {}
    too_little: dict[str, int] = {}
    for one in attempts:
        if one.kind != "job":
            continue
        if one.measured.peak_disk_mib is not None and one.status is Status.DONE:
            measured.setdefault(one.rule, []).append(one)
        elif one.reason == _DISK_FULL:
            had = one.disk_gb or disk_of(one.instance)
            too_little[one.rule] = max(had, too_little.get(one.rule, 0))
    return {
        rule: _disk_before(of_rule, too_little.get(rule, 0))
        for rule, of_rule in measured.items()
        if len(of_rule) >= LEAST_JOBS
    }


def _disk_before(attempts: Sequence[Attempt], too_little: int) -> DiskBefore:
    most = max(max((one.measured.peak_disk_mib or 0) * MB_PER_MIB, _files(one)) for one in attempts)
    return DiskBefore(round(most), max(one.bytes_in or 0 for one in attempts), too_little)


def _files(attempt: Attempt) -> float:
    """MB of inputs and outputs: if those are more, it was another file system that was measured."""
    bytes_out = attempt.measured.output_bytes or attempt.bytes_out or 0
    return ((attempt.bytes_in or 0) + bytes_out) / _MB
