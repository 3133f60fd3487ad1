"""What the record of a run says: plain values, from which everything else is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..plan.plan import job_title
from ..translate.measured import Measured

RECORD_VERSION = 1
"""Of the record's lines. A reader refuses a higher one, and ignores keys that it does not know."""


class Status(StrEnum):
    """How an attempt stands."""

    SUBMITTED = "submitted"
    """In hand; its task is being created or started."""
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    """The job's outputs are in place."""
    FAILED = "failed"
    CANCELLED = "cancelled"
    """Aborted by this run or by somebody else, or given up for another attempt."""
    LEFT = "left"
    """The run ended, and the task goes on or has a result that nobody has fetched."""
    REUSED = "reused"
    """No task ran: the outputs of an earlier one were taken."""

    @property
    def is_over(self) -> bool:
        """Whether nothing of it will change any more, but its price."""
        return self not in (Status.SUBMITTED, Status.QUEUED, Status.RUNNING)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of one job. Times are seconds since the epoch, by the platform's clock where the
    platform tells them; amounts are in `currency`; None is what is not known.
    """

    id: str
    """Unique in the record."""
    run: str
    """The run that started it."""
    jobid: str
    rule: str
    wildcards: Mapping[str, str] = field(default_factory=dict)
    number: int = 1
    """Snakemake's count of attempts of the job, from 1; several entries share one where a spot
    instance was lost."""
    kind: str = "job"
    """job, group, environment (a task of the plugin's own, which Snakemake does not know), or
    shared: a batch or packed task that was given up before it was known by its jobs."""
    task: str | None = None
    page: str | None = None
    parent: str | None = None
    """The batch or packed task that it was part of, which has no entry of its own."""
    shared: str = ""
    """batch, pack or nothing."""
    app: str | None = None
    """`owner/project/name/revision`."""
    mode: str = ""
    """direct or snakemake."""
    image: str | None = None
    status: Status = Status.SUBMITTED
    reason: str = ""
    """Of a failure: the name of a `finish.evidence.Reason`, such as out_of_memory."""
    message: str = ""
    """Of a failure: the sentence that the user was told."""
    stderr_end: str = ""
    """Of a failure: its last lines."""
    submitted: float | None = None
    queued: float | None = None
    started: float | None = None
    ended: float | None = None
    cores: int | None = None
    memory_mib: int | None = None
    memory_of_rule_mib: int | None = None
    """What its rule asks for, where the job has another amount."""
    disk_mib: int | None = None
    disk_gb: int | None = None
    """Of the instance, where it was chosen by what earlier runs have used."""
    disk_of_rule_gb: int | None = None
    """What it would have had then as its rule asks."""
    instance: str | None = None
    spot: bool | None = None
    measured: Measured = field(default_factory=Measured)
    price: float | None = None
    """What the platform says that it cost; a packed job's share of its task's."""
    currency: str = ""
    bytes_in: int | None = None
    bytes_out: int | None = None
    reused_task: str = ""
    """Of a job without a task: the earlier one whose outputs it has, and whose page that is."""
    spared: float | None = None
    """What that one has cost."""
    taken_up_by: str = ""
    """The later run that went on with it; empty if none did."""

    @property
    def title(self) -> str:
        """`rule [sample=A]`, as people call the job."""
        return job_title(self.rule, self.wildcards)

    def is_of(self, run: str) -> bool:
        """Whether a run has begun it, or taken it up."""
        return run in (self.run, self.taken_up_by)

    @property
    def queue_seconds(self) -> float | None:
        """How long it waited for an instance."""
        begin = self.queued if self.queued is not None else self.submitted
        return None if begin is None or self.started is None else max(0.0, self.started - begin)

    @property
    def run_seconds(self) -> float | None:
        """How long its task ran."""
        if self.started is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.started)


@dataclass(frozen=True)
class Run:
    """One process of Snakemake that worked on what the record is about."""

    id: str
    command: str
    """As typed, without anything secret."""
    directory: str
    snakemake: str
    plugin: str
    """Versions."""
    endpoint: str
    project: str
    place: str
    """transfer or storage."""
    started: float
    embedded: bool | None = None
    """Whether it started the embedded platform of its directory, for its own time; None if that is
    not told, as in records of earlier versions."""
    ended: float | None = None
    outcome: str = ""
    """done, failed, limit (of its cost), cancelled, detached, or successor (another run has taken
    it up while it was asleep); empty while it goes on, or if it was killed."""
    process: str = ""
    """As `run.processes.is_dead` knows it: whether a run that has no outcome goes on."""
    max_cost: float | None = None
    """What all runs of the record may cost together, if that was said."""
    limit_reached: float | None = None
    """When the first task was kept from being started by that, or by the limit of a rule."""
    jobs_planned: int | None = None
    jobs_by_rule: Mapping[str, int] = field(default_factory=dict)
    """How many of them are of which rule, local rules left out."""
    graph: str = ""
    """The graph of rules in the language of Graphviz, for the report."""

    @classmethod
    def by_name(cls, name: str, *, started: float, **known: Any) -> Run:
        """One of which little more is known than what it is called: no record tells of it."""
        texts = ("command", "directory", "snakemake", "plugin", "endpoint", "project", "place")
        return cls(name, started=started, **{**dict.fromkeys(texts, ""), **known})
