"""The jobs of a group, for a task that runs them without Snakemake: what each does, and when.

What a job is given is asked here, in the main process, before any of them has run. Where that
depends on files which the group itself makes, it takes Snakemake inside the task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from ..api.errors import CavaticaError
from ..project.paths import in_task
from .facts import UNKNOWN_COMMAND, JobFacts, Member, WorkflowFile
from .files import FileReader
from .internals import is_callable, is_flagged
from .looking import looks_at_files
from .own_work import OwnWork, OwnWorkReader
from .snakemake_jobs import name_of, updated_outputs
from .spawn import limits_of

Unit = list[Any]
"""Jobs that pipes connect, which start together; most often one."""


@dataclass(frozen=True)
class GroupFacts:
    """The fields of `JobFacts` that only groups have."""

    members: Sequence[Member] = ()
    room: Sequence[int] = ()
    is_told_by_old_files: bool = False
    needs_snakemake: Sequence[str] = ()


class GroupReader:
    """Reads the groups of one workflow."""

    def __init__(self, own: OwnWorkReader, files: FileReader) -> None:
        self._own = own
        self._files = files

    def read(self, group: Any) -> GroupFacts:
        """The jobs of a group, or why only Snakemake can run them.

        Raises:
            CavaticaError: the platform does not tell of its files, or nothing can be done with one.
        """
        try:
            return self._read(group)
        except CycleError:
            reason = "it is a group whose pipes and files go round in a circle"
        except CavaticaError:
            raise
        except Exception as error:  # noqa: BLE001 - functions of the workflow may raise anything
            reason = f"it is a group with resources that cannot be told before it runs ({error!r})"
        return GroupFacts(needs_snakemake=[reason])

    def _read(self, group: Any) -> GroupFacts:
        units = _units(group)
        jobs = [job for unit in units for job in unit]
        places = {job: place for place, job in enumerate(jobs)}
        limits = _scarce(limits_of(group), jobs)
        members = [
            Member(
                facts=self._facts(job),
                unit=number,
                after=sorted(places[need] for need in _needs(job, places) if need not in unit),
                takes=[_amount(job, name) for name in limits],
                pipes=[self._path(file) for file in job.output if is_flagged(file, "pipe")],
                reads=[self._path(file) for file in _pipes_read(job, places)],
                shadow=job.rule.shadow_depth,
            )
            for number, unit in enumerate(units)
            for job in unit
        ]
        return GroupFacts(members, list(limits.values()), self._has_old_files(places))

    def _facts(self, job: Any) -> JobFacts:
        own = self._work(job)
        return JobFacts(
            rule=job.rule.name,
            jobid=str(job.jobid),
            attempt=job.attempt,
            directive=own.directive,
            snakemake_command="",
            wildcards=dict(job.wildcards_dict),
            command=own.command,
            shell=own.shell,
            script=own.script,
            inputs=[self._files.file(file) for file in job.input if job.is_shadow],
            outputs=self._outputs(job),
            logs=[self._files.log(file) for file in job.log],
            benchmark=self._files.file(job.benchmark) if job.benchmark else None,
            benchmark_repeats=job.benchmark_repeats or 1,
            needs_snakemake=[*own.needs_snakemake, *_obstacles(job)],
            threads=_amount(job, "_cores"),
        )

    def _work(self, job: Any) -> OwnWork:
        try:
            return self._own.read(job)
        except CavaticaError:
            raise
        except Exception:  # noqa: BLE001 - functions of the workflow may raise anything
            # A property of a file, say, that is still to be made.
            return OwnWork("shell", needs_snakemake=(UNKNOWN_COMMAND,))

    def _outputs(self, job: Any) -> list[WorkflowFile]:
        return [
            self._files.made(file, job)
            for file in job.output
            if not is_flagged(file, "pipe") and not is_flagged(file, "service")
        ]

    def _path(self, file: Any) -> str:
        return in_task(self._files.file(file).path)

    def _has_old_files(self, jobs: Iterable[Any]) -> bool:
        return any(
            self._files.exists(self._files.place_of(file))
            for job in jobs
            for file in _made_inside(job, jobs)
        )


def _units(group: Any) -> list[Unit]:
    """All jobs, none before one that it needs; in the same order in every process."""
    jobs = sorted(group.jobs, key=name_of)
    first: dict[Any, Any] = {job: job for job in jobs}
    """Of each job, one that stands for its unit."""
    for job in jobs:
        for writer in _writers(job, first):
            joined, other = first[writer], first[job]
            first |= {one: joined for one in jobs if first[one] is other}
    order = {first[job]: set[Any]() for job in jobs}
    for job in jobs:
        order[first[job]] |= {first[need] for need in _needs(job, first)} - {first[job]}
    units: dict[Any, dict[Any, set[Any]]] = {one: {} for one in _sorted(order)}
    for job in jobs:
        units[first[job]][job] = _needs(job, first)
    return [_sorted(unit) for unit in units.values()]


def _sorted(needs: Mapping[Any, set[Any]]) -> list[Any]:
    """Those that need others after these.

    Raises:
        CycleError: there is no such order.
    """
    sorter = TopologicalSorter({job: need & needs.keys() for job, need in needs.items()})
    sorter.prepare()
    found: list[Any] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=name_of)
        found += ready
        sorter.done(*ready)
    return found


def _needs(job: Any, jobs: Iterable[Any]) -> set[Any]:
    """Those among the jobs whose files it takes."""
    return {need for need in job.dag.dependencies[job] if need in jobs}


def _made_inside(job: Any, jobs: Iterable[Any]) -> set[Any]:
    """Its inputs that others of the jobs make, and that are no pipes."""
    files = {
        file
        for need, taken in job.dag.dependencies[job].items()
        if need in jobs
        for file in taken
        if file not in need.pipe_or_service_output
    }
    return {file for file in job.input if file in files}


def _pipes_read(job: Any, jobs: Iterable[Any]) -> list[Any]:
    """Its inputs that others of the jobs write to while it reads."""
    pipes = {file for need in _writers(job, jobs) for file in need.pipe_or_service_output}
    return [file for file in job.input if file in pipes]


def _writers(job: Any, jobs: Iterable[Any]) -> list[Any]:
    """Those that write to pipes which it reads."""
    return [
        need
        for need, taken in job.dag.dependencies[job].items()
        if need in jobs and any(file in need.pipe_or_service_output for file in taken)
    ]


def _obstacles(job: Any) -> list[str]:
    """What only Snakemake can do for a job of a group."""
    found = []
    piped = [file for file in (*job.output, *job.input) if is_flagged(file, "pipe")]
    if any(is_flagged(file, "service") for file in job.output):
        found.append("it is a service for other jobs")
    if job.is_shadow and (job.is_script or job.is_wrapper):
        found.append("its script runs in a shadow directory")
    if job.is_shadow and (piped or _writers(job, job.dag.dependencies[job])):
        found.append("it has pipes and a shadow directory")
    if not isinstance(job.threads, int):
        found.append("its threads are known only once it runs")
    group = job.dag.get_job_group(job)
    return found + _told_wrongly(job, group.jobs if group else ())


def _told_wrongly(job: Any, jobs: Iterable[Any]) -> list[str]:
    """Why its parameters may be other ones once those of the jobs have run that it needs."""
    functions = [param for param in job.rule.params if is_callable(param)]
    inside = _made_inside(job, jobs)
    updated = {file for need in _needs(job, jobs) for file in updated_outputs(need)}
    if functions and not updated.isdisjoint(inside):
        return ["a function of its params may read a file that its group updates"]
    if inside and any(map(looks_at_files, functions)):
        return ["a function of its params looks at files, which may be still to be made"]
    return []


def _scarce(limits: Mapping[str, int], jobs: Sequence[Any]) -> dict[str, int]:
    """The limits that keep some of the jobs from running side by side."""
    return {
        name: limit
        for name, limit in limits.items()
        if sum(_amount(job, name) for job in jobs) > limit
    }


def _amount(job: Any, name: str) -> int:
    """What a job takes of something; 0 if it says nothing that can be counted."""
    amount = job.resources.get(name)
    return amount if isinstance(amount, int) else 0
