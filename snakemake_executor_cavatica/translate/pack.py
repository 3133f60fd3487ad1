"""Several short jobs of one rule in one task, so that an instance is started once. Pure.

The task asks for the cores and the memory of some jobs, and runs as many side by side until all
are done. It never fails because one of them does: their outputs tell which have succeeded.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..api.models import FileRef
from ..plan.instance_types import cheapest_type, disk_of
from ..plan.plan import JobPlan, Resources
from ..project.paths import Place
from ..read.digest import digest
from .candidate import Candidate, obstacle_in_names, shape
from .draft import Work, files_by_port
from .job_key import Listed
from .manifest import LARGEST_MANIFEST, Entry, manifest, script_for_all, size_of
from .staging import input_order, staging
from .stored_names import passing_name, scattered_ports, stored_name

_CORES = 8
"""Cores that a pack asks for at most, unless one job needs more."""


@dataclass(frozen=True)
class Pack:
    """Jobs that share a task."""

    members: tuple[Candidate, ...]

    @cached_property
    def plan(self) -> JobPlan:
        """What app and draft are made from: as for one job with all the inputs."""
        first = self.members[0].plan
        inputs = {
            (staged.port, staged.place): staged
            for member in self.members
            for staged in member.plan.inputs
        }
        in_parcels = {one: None for member in self.members for one in member.plan.in_parcels}
        return replace(
            first,
            inputs=tuple(inputs.values()),
            in_parcels=tuple(in_parcels),
            resources=self._resources,
        )

    @property
    def side_by_side(self) -> int:
        """How many jobs run at a time. A fixed type of instance may hold no more than one."""
        plan = self.members[0].plan
        if plan.settings.instance_type is not None:
            return 1
        most = min(len(self.members), max(1, _CORES // plan.resources.cores))
        return next((lanes for lanes in range(most, 1, -1) if _has_instance(plan, lanes)), 1)

    @property
    def _resources(self) -> Resources:
        one, lanes, jobs = self.members[0].plan.resources, self.side_by_side, len(self.members)
        minutes = one.runtime_minutes
        return Resources(
            cores=one.cores * lanes,
            memory_mib=None if one.memory_mib is None else one.memory_mib * lanes,
            disk_mib=None if one.disk_mib is None else one.disk_mib * jobs,
            runtime_minutes=None if minutes is None else minutes * -(-jobs // lanes),
        )

    @property
    def _files(self) -> dict[Place, FileRef]:
        """The platform file of each input of all jobs."""
        return {place: ref for member in self.members for place, ref in member.files.items()}

    @cached_property
    def scattered(self) -> set[str]:
        """Output ports whose files go to several folders: those are moved there in the end."""
        return scattered_ports([member.plan for member in self.members])

    @cached_property
    def listed(self) -> list[Listed]:
        """The jobs, with the names of their outputs."""
        return [
            Listed(member.mark, outputs=_names(member, self.scattered)) for member in self.members
        ]

    @property
    def work(self) -> Work:
        """What the task does: its script takes the jobs from a manifest."""
        entries = [
            _entry(member, listed) for member, listed in zip(self.members, self.listed, strict=True)
        ]
        return Work(
            plan=self.plan,
            script=self._script,
            command=manifest(entries),
            inputs=files_by_port(input_order(self.plan), self._files),
            scattered=self.scattered,
            packed=True,
        )

    @property
    def _script(self) -> str:
        parcels = len(self.plan.parcels)
        position = {
            (staged.port, staged.place): number
            for number, staged in enumerate(input_order(self.plan), start=2 + parcels)
        }
        arguments = {
            member.mark.jobid: [
                position[staged.port, staged.place] for staged in input_order(member.plan)
            ]
            for member in self.members
        }
        plans = [member.plan for member in self.members]
        return script_for_all(plans, arguments, parcels=parcels, lanes=self.side_by_side)


def _names(member: Candidate, scattered: set[str]) -> dict[str, str]:
    return {
        output.port: passing_name(member.mark.jobid, stored_name(output))
        if output.port in scattered
        else stored_name(output)
        for _, output in member.plan.collected
    }


def _entry(member: Candidate, listed: Listed) -> Entry:
    return Entry(
        plan=replace(member.plan, parcel_up_to=0),  # it gathers nothing: the task does, for all
        listed=listed,
        words=[member.mark.jobid],
        staged=list(staging(member.plan, opening=False)),
        names=listed.outputs,
    )


def pack_jobs(candidates: Sequence[Candidate]) -> tuple[list[Pack], dict[str, str]]:
    """Put jobs into packs of the size that they ask for; and why others are in none, by job."""
    alike: defaultdict[str, list[Candidate]] = defaultdict(list)
    alone: dict[str, str] = {}
    for candidate in candidates:
        if candidate.plan.packed == 1:
            continue
        obstacle = _obstacle(candidate)
        if obstacle is not None:
            alone[candidate.mark.jobid] = obstacle
            continue
        ports = sorted({(one.port, one.form == "folder") for one in candidate.plan.inputs})
        kind = digest([shape(candidate.plan), ports, bool(candidate.plan.in_parcels)])
        alike[kind].append(candidate)
    packs = []
    for several in alike.values():
        for members in _portions(several):
            if len(members) > 1:
                packs.append(Pack(tuple(members)))
            else:
                alone[members[0].mark.jobid] = "no other job of its kind is ready"
    return packs, alone


def _has_instance(plan: JobPlan, lanes: int) -> bool:
    """Whether one is large enough for so many jobs side by side."""
    cores, memory_mib = plan.resources.cores, plan.resources.memory_mib or 0
    return cheapest_type(cores=cores * lanes, memory_mib=memory_mib * lanes) is not None


def _most(plan: JobPlan) -> int:
    """How many jobs a pack may have: what all of them make stays on its disk to the end."""
    disk_mib = plan.resources.disk_mib
    if not disk_mib or plan.settings.use_elastic_disk:
        return plan.packed
    return min(plan.packed, disk_of(plan.settings.instance_type) * 1024 // disk_mib)


def _obstacle(candidate: Candidate) -> str | None:
    """Why the job can be in no pack; None if it can."""
    if not candidate.plan.collected:
        return "it has no output, by which a pack tells success"
    return obstacle_in_names(candidate)


def _portions(candidates: Sequence[Candidate]) -> Iterator[list[Candidate]]:
    portion: list[Candidate] = []
    size = 0
    for candidate in candidates:
        entry = _entry(candidate, Listed(candidate.mark, outputs=_names(candidate, set())))
        plan = candidate.plan
        needed = size_of(entry, len(plan.inputs) + len(plan.in_parcels))
        if portion and (len(portion) >= _most(plan) or size + needed > LARGEST_MANIFEST):
            yield portion
            portion, size = [], 0
        portion.append(candidate)
        size += needed
    if portion:
        yield portion
