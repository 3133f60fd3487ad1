"""How a job runs as a task: everything that its app, script and draft are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from ..project.paths import LocalPath, Place
from ..read.facts import Ensure, JobFacts, Member, PreparedScript, Shell

RUNS_HERE = "Tasks of this platform run without containers, with the programs of this machine."


class Mode(StrEnum):
    """The two ways to run a job."""

    DIRECT = "direct"
    SNAKEMAKE = "snakemake"


# ------------------------------------------------------------------------------ what is decided


@dataclass(frozen=True, slots=True)
class StagedInput:
    """One argument of the job script: `how` it gets to `path` in the job's working directory."""

    port: str
    place: Place
    path: str
    form: Literal["file", "folder", "archive"]
    method: Literal["link", "copy", "unpack", "environment"]
    size: int = 0
    executable: bool = False
    encoded: tuple[str, ...] = ()
    """Of a folder: those in it that have other names on the platform; the outer ones first."""


@dataclass(frozen=True)
class InParcel:
    """An input that travels with others in a parcel, which the job script unpacks."""

    staged: StagedInput
    parcel: str
    """The platform file."""
    name: str
    """In the parcel."""


@dataclass(frozen=True, slots=True)
class PlannedOutput:
    """One output port: what the job leaves at `path` is collected for `place`."""

    port: str
    place: Place
    path: str
    folder: bool
    role: Literal["output", "log", "benchmark"]
    touch: bool = False
    ensure: Ensure | None = None
    is_nested: bool = False
    """Lies in another output, which is a folder, and leaves the task with that."""


@dataclass(frozen=True)
class Resources:
    """What the job asks of its machine."""

    cores: int
    memory_mib: int | None
    disk_mib: int | None
    runtime_minutes: int | None
    """Longest run time; 0 means no limit (CWL)."""


@dataclass(frozen=True)
class TaskSettings:
    """Execution settings of the task; None leaves the choice to the platform."""

    instance_type: str | None
    max_parallel_instances: int | None
    use_memoization: bool | None
    use_elastic_disk: bool | None
    interruptible: bool | None
    instance_by_use: str | None = None
    """What nobody has asked for: a smaller disk is enough by what earlier runs have used."""

    @property
    def instance(self) -> str | None:
        """What the platform is asked for."""
        return self.instance_by_use or self.instance_type


@dataclass(frozen=True)
class PlannedMember:
    """A job of a group that runs without Snakemake."""

    member: Member
    outputs: tuple[PlannedOutput, ...]
    """All that it leaves, also what does not leave the task."""

    @property
    def title(self) -> str:
        """As people call the job."""
        return job_title(self.member.facts.rule, self.member.facts.wildcards)


@dataclass(frozen=True, slots=True)
class JobPlan:
    """Everything about a job that its app, script and draft are made from."""

    facts: JobFacts
    mode: Mode
    reason: str
    image: str
    command: str
    """Of a group that runs without Snakemake, those of all its jobs."""
    script: PreparedScript | None
    """Runs instead of the command."""
    shell: Shell
    inputs: tuple[StagedInput, ...]
    outputs: tuple[PlannedOutput, ...]
    resources: Resources
    settings: TaskSettings
    environment: Mapping[str, str]
    precommand: str | None
    metadata: Mapping[str, str]
    variables_missed: tuple[str, ...] = ()
    """Of the environment, those that the workflow asks for and does not find in the task."""
    programs_started: tuple[str, ...] = ()
    """Those that the workflow starts while it is parsed, also in the task."""
    inherits_metadata: bool = False
    """Whether its outputs have besides what its inputs agree on."""
    in_container: bool = True
    """Whether the job runs in its image."""
    batched: bool = False
    """Whether it may be a child of a batch task, with other jobs."""
    packed: int = 1
    """With how many jobs, itself included, it may share a task of its own."""
    measured: bool = False
    """Whether its task tells what it took."""
    lacks_columns: bool = False
    """Whether its benchmark has fewer columns than were asked for."""
    max_cost: float | None = None
    """What all jobs of its rule may cost together; no further one is started then."""
    memory_retries: int = 0
    """How often it goes again with more memory or disk if it lacks that."""
    reuse: bool | None = None
    """Whether the results of an earlier run are taken for it; False: nor are its own offered."""
    wanted_inputs: str = "auto"
    """How inputs are to get to their paths: what the rule or the setting says."""
    parcel_up_to: int = 0
    """Bytes up to which a file of this machine travels together with others; 0: none does."""
    in_parcels: tuple[InParcel, ...] = ()
    """Inputs that do; the other ones are arguments of the script."""
    members: tuple[PlannedMember, ...] = ()
    """The jobs of a group that runs without Snakemake."""

    @property
    def collected(self) -> list[tuple[int, PlannedOutput]]:
        """The outputs that the platform collects by ports of their own, with their numbers."""
        return [(index, one) for index, one in enumerate(self.outputs) if not one.is_nested]

    @property
    def small_inputs(self) -> list[StagedInput]:
        """The files of this machine that may travel in a parcel.

        Only those that become copies: nothing in a task keeps a command from writing into what
        it has unpacked itself, and other jobs may share that. And none of a job that may be in a
        batch, whose children are known by files of their own.
        """
        if self.batched or not self.parcel_up_to:
            return []
        return [
            one
            for one in self.inputs
            if isinstance(one.place, LocalPath)
            and (one.form, one.method) == ("file", "copy")
            and one.size <= self.parcel_up_to
        ]

    @property
    def input_bytes(self) -> int | None:
        """Of all its inputs together; None if the size of one is not known. 0 is known for files
        of this machine only.
        """
        inputs = [one for one in self.inputs if one.method != "environment"]
        is_known = all(
            one.size or (one.form == "file" and isinstance(one.place, LocalPath)) for one in inputs
        )
        return sum(one.size for one in inputs) if is_known else None

    @property
    def parcels(self) -> list[str]:
        """The parcels that its inputs lie in."""
        return list(dict.fromkeys(one.parcel for one in self.in_parcels))

    @property
    def is_linked_for_size(self) -> bool:
        """Whether some of its inputs are links that nobody has asked for."""
        return self.wanted_inputs == "auto" and any(one.method == "link" for one in self.inputs)

    @property
    def leaves_nothing(self) -> bool:
        """Whether the task of a job by itself ends without anything that anybody could look at."""
        facts = self.facts
        return not (self.members or self.outputs or facts.logs or facts.benchmark)

    @property
    def needs_environment(self) -> bool:
        """Whether conda environments have to be made before the job can start."""
        return any(staged.method == "environment" for staged in self.inputs)

    @property
    def title(self) -> str:
        """`rule [sample=A]`, as people call the job."""
        return job_title(self.facts.rule, self.facts.wildcards)


def job_title(rule: str, wildcards: Mapping[str, str]) -> str:
    """What people call a job, and its task unless they name it otherwise."""
    values = ", ".join(f"{name}={value}" for name, value in wildcards.items())
    return f"{rule} [{values}]" if values else rule
