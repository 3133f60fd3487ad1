"""Which jobs can be the children of one batch task, and which child does which job. Pure.

A batch task has one list of files as its batch input, and a child for each of them (`ITEM`), or for
each value of a metadata key (`CRITERIA`). All else its children share, the output location too. So
the jobs of a batch have the same app, settings and other inputs, and each has files for itself. A
child finds out which job it is by the stored names of its files, by a manifest that all have; from
outside it is known by their ids.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..api.drafts import BatchBy
from ..api.models import FileRef, Task
from ..plan.plan import JobPlan, StagedInput
from ..read.digest import digest
from .candidate import Candidate, obstacle_in_names, shape
from .draft import Work, files_by_port
from .job_key import Listed, listed_of
from .manifest import LARGEST_MANIFEST, Entry, manifest, script_for_one, size_of
from .staging import input_order, staging, staging_by_name
from .stored_names import passing_name, scattered_ports, stored_name

MOST_CHILDREN = 100
"""How many the platform allows is not documented; so many it lists in one answer."""
METADATA_KEY = "snakemake_batch"
"""Tells the platform which files of a batch by criteria belong together."""
_PORT = "snakemake_batch"
"""The batch input, where the rule has no port that holds just the files of one job."""


@dataclass(frozen=True)
class Member:
    """A job of a batch, with the inputs that it has for itself."""

    candidate: Candidate
    own: tuple[StagedInput, ...]

    @property
    def plan(self) -> JobPlan:
        """How the job would run alone."""
        return self.candidate.plan

    @cached_property
    def listed(self) -> Listed:
        """The job by the ids of its own inputs."""
        ids = frozenset(self.candidate.id_of(staged) for staged in self.own)
        return Listed(self.candidate.mark, ids)

    @cached_property
    def names(self) -> list[str]:
        """The stored names of its own inputs."""
        return [self.candidate.name_of(staged) for staged in self.own]


@dataclass(frozen=True)
class Batch:
    """Jobs that run as the children of one task; a batch of one has none, and is the task."""

    members: tuple[Member, ...]
    port: str
    """The batch input."""

    @property
    def by_criteria(self) -> bool:
        """Whether a child has several files, which a metadata key holds together."""
        return len(self.members) > 1 and any(len(member.own) > 1 for member in self.members)

    @cached_property
    def plan(self) -> JobPlan:
        """What app and draft are made from: as for the first job, with its own inputs last."""
        first = self.members[0]
        own = tuple(replace(staged, port=self.port) for staged in first.own)
        return replace(first.plan, inputs=(*_others(first), *own))

    @property
    def files(self) -> list[FileRef]:
        """The files of the batch input, job after job."""
        return [
            FileRef(member.candidate.id_of(staged))
            for member in self.members
            for staged in member.own
        ]

    @property
    def criteria(self) -> dict[str, str]:
        """The value of `METADATA_KEY` for each file."""
        return {
            file: f"{member.candidate.mark.run} {member.candidate.mark.jobid}"
            for member in self.members
            for file in member.listed.files
        }

    @cached_property
    def scattered(self) -> set[str]:
        """Output ports whose files go to several folders: those are moved there in the end."""
        return scattered_ports([member.plan for member in self.members])

    @property
    def work(self) -> Work:
        """What the task does: each child runs the script, which chooses its job from a manifest."""
        shared = [staged for staged in input_order(self.plan) if staged.port != self.port]
        criteria = BatchBy(type="CRITERIA", criteria=[f"metadata.{METADATA_KEY}"])
        return Work(
            plan=self.plan,
            script=script_for_one([member.plan for member in self.members]),
            command=manifest([_entry(member, self.scattered) for member in self.members]),
            inputs={
                **files_by_port(shared, self.members[0].candidate.files),
                self.port: self.files,
            },
            scattered=self.scattered,
            batch_input=self.port,
            batch_by=criteria if self.by_criteria else BatchBy(type="ITEM"),
        )

    def match(self, children: Iterable[Task]) -> dict[str, Task] | None:
        """The children, by the ids of their jobs; None unless each has a job that no other has.

        A job may have none: the platform may have lost its child.
        """
        job_list = [member.listed for member in self.members]
        found: dict[str, Task] = {}
        for child in children:
            listed = listed_of(child, job_list)
            if listed is None or listed.mark.jobid in found:
                return None
            found[listed.mark.jobid] = child
        return found


def _others(member: Member) -> tuple[StagedInput, ...]:
    own = set(member.own)
    return tuple(staged for staged in member.plan.inputs if staged not in own)


def _entry(member: Member, scattered: set[str]) -> Entry:
    others = replace(member.plan, inputs=_others(member))
    named = [(one, member.candidate.name_of(one)) for one in member.own]
    jobid = member.candidate.mark.jobid
    return Entry(
        plan=member.plan,
        listed=member.listed,
        words=member.names,
        staged=[*staging(others), *staging_by_name(named)],
        names={
            output.port: passing_name(jobid, stored_name(output))
            for _, output in member.plan.collected
            if output.port in scattered
        },
    )


# ------------------------------------------------------------------------------------ grouping


@dataclass(frozen=True)
class Grouping:
    """What became of jobs that are ready together."""

    batches: list[Batch]
    alone: dict[str, str]
    """Why jobs, by their id, are no children of a batch."""


def group(candidates: Sequence[Candidate]) -> Grouping:
    """Put jobs that are ready together into batches."""
    result = Grouping([], {})
    shapes: defaultdict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        shapes[shape(candidate.plan)].append(candidate)
    for alike in shapes.values():
        users = Counter(
            file for one in alike for file in {one.id_of(staged) for staged in one.plan.inputs}
        )
        sharing: defaultdict[str, list[Member]] = defaultdict(list)
        for candidate in alike:
            member = _member(candidate, users)
            sharing[_shared(member)].append(member)
        for members in sharing.values():
            _group_sharing(members, result)
    return result


def _member(candidate: Candidate, users: Mapping[str, int]) -> Member:
    """The job with the inputs that no other of the jobs uses."""
    inputs = candidate.plan.inputs
    return Member(candidate, tuple(one for one in inputs if users[candidate.id_of(one)] == 1))


def _shared(member: Member) -> str:
    others = [
        (one.port, one.path, one.form, one.method, member.candidate.id_of(one))
        for one in _others(member)
    ]
    return digest(others)


def _group_sharing(members: Sequence[Member], result: Grouping) -> None:
    fit: list[Member] = []
    for member in members:
        obstacle = _obstacle(member, len(members))
        if obstacle is None:
            fit.append(member)
        else:
            result.alone[member.candidate.mark.jobid] = obstacle
    port = _batch_port(fit)
    batches = [Batch(tuple(some), port) for some in _partition(fit)]
    if any(len(batch.members) > 1 for batch in batches):
        result.batches.extend(batches)
        return
    for member in fit:
        result.alone[member.candidate.mark.jobid] = (
            "its own inputs have the same names as those of the others that are ready"
            if len(fit) > 1
            else "no other job that could be in a batch with it is ready"
        )


def _obstacle(member: Member, number: int) -> str | None:
    """Why the job can be in no batch; None if it can."""
    names = member.names
    if number == 1:
        return "no other job is ready that has the same settings and shares its other inputs"
    if not member.own:
        return "it has no input that no other job uses"
    if any(staged.form == "folder" for staged in member.own):
        return "one of the inputs that it has for itself is a folder"
    if not all(names) or len(set(names)) < len(names):
        return "two of its own inputs have the same name on the platform"
    return obstacle_in_names(member.candidate)


def _batch_port(members: Sequence[Member]) -> str:
    """The port of the rule that holds the own inputs, and nothing else; or one made for them."""
    own = {staged.port for member in members for staged in member.own}
    others = {staged.port for member in members for staged in _others(member)}
    return own.pop() if len(own) == 1 and own.isdisjoint(others) else _PORT


def _partition(members: Iterable[Member]) -> list[list[Member]]:
    """Batches in which all names are different, and that are not too large."""
    batches: list[list[Member]] = []
    names: list[set[str]] = []
    sizes: list[int] = []
    # Batches before these are known to be full, or to hold a file of that name.
    open_from, free_from = 0, dict[str, int]()
    for member in members:
        size = size_of(_entry(member, set()), len(member.own))
        number = max([open_from, *(free_from.get(name, 0) for name in member.names)])
        while number < len(batches) and not (
            names[number].isdisjoint(member.names)
            and len(batches[number]) < MOST_CHILDREN
            and sizes[number] + size <= LARGEST_MANIFEST
        ):
            number += 1
        if number == len(batches):
            batches.append([])
            names.append(set())
            sizes.append(0)
        batches[number].append(member)
        names[number].update(member.names)
        sizes[number] += size
        for name in member.names:
            if free_from.get(name, 0) == number:
                free_from[name] = number + 1
        while open_from < len(batches) and len(batches[open_from]) >= MOST_CHILDREN:
            open_from += 1
    return batches
