"""The jobs that are under way: who is where between Snakemake and the platform.

Snakemake's base class keeps a list of active jobs, but empties it for the length of every poll.
Nothing that matters at Ctrl-C may rest on it, so the register here is the one that counts.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from ..api import FileRef, Task
from ..api.clock import steady_time
from ..plan.plan import JobPlan
from ..project.paths import ProjectPath
from ..read.facts import JobFacts
from ..translate.job_key import TaskMark
from ..translate.measured import Measured
from ..translate.stored_names import stored_name
from .leftovers import Leftover
from .unanswered import Unanswered


@dataclass(slots=True)
class Submission:
    """One attempt at one job."""

    info: Any
    """Snakemake's SubmittedJobInfo; None for a batch whose children are not known yet, and for jobs
    of the plugin's own."""
    own: Future[FileRef] | None = None
    """Of a job of the plugin's own: what it has made."""
    planned: JobPlan | None = None
    identity: str = ""
    """Which job of the workflow, hashed."""
    code: str = ""
    """What runs in the task where the command does not tell."""
    name: str = ""
    """Of the task."""
    run: str = ""
    """That started the task; an earlier one's if it was taken up."""
    mark: TaskMark | None = None
    """What tells later runs which job the task does."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Stored names of its outputs by port, where they are among those of other jobs."""
    task: Task | None = None
    """As it was last seen."""
    status: str = ""
    ended: bool = False
    """Whether the platform has said that the task is over."""
    spot_losses: int = 0
    tries_with_more: int = 0
    """How often it was started again with more memory or disk than the try before."""
    is_forced: bool = False
    """Whether the user has asked for it to run, whatever is there."""
    has_less: bool = False
    """Whether it asks for less memory or disk than its rule, by what earlier runs have used."""
    as_asked: JobPlan | None = None
    """The plan with what the rule asks for, once there is another one: by it the job is known."""
    larger: Sequence[JobFacts] = ()
    """The job with more and more memory, where its command tells how much it has."""
    environment: Future[None] | None = None
    """Ends when the job's conda environments are there, if it has to wait for them."""
    unanswered: Unanswered = field(default_factory=lambda: Unanswered(local=False))
    """How long the platform has told nothing about this very task."""
    measured: Measured = field(default_factory=Measured)
    """What its task, once it has ended, tells of what the job took."""
    since: float = field(default_factory=steady_time)
    """When Snakemake asked for it; seconds since the epoch."""
    entry: str = ""
    """Its entry in the record of the run; empty until there is something to tell."""

    @property
    def task_id(self) -> str | None:
        """The task's id; None before there is one."""
        return self.task.id if self.task else None

    @property
    def leftover(self) -> Leftover:
        """Its task, for whoever may need it later; there is one by now."""
        assert self.task is not None
        assert self.mark is not None
        return Leftover(self.task, self.mark, self.names)

    @property
    def is_child(self) -> bool:
        """Whether the task is one of a batch, or a packed job."""
        return self.task is not None and self.task.parent is not None

    @property
    def passing(self) -> set[str]:
        """Ports of outputs that may lie in a folder which the jobs of its task share.

        Which they are in a pack, their names there tell.
        """
        return {
            output.port
            for _, output in self.plan.collected
            if self.is_child and self.names.get(output.port) != stored_name(output)
        }

    @property
    def stored(self) -> list[ProjectPath]:
        """Where outputs of the job go on the platform."""
        places = (output.place for _, output in self.plan.collected)
        return [place for place in places if isinstance(place, ProjectPath)]

    @property
    def plan(self) -> JobPlan:
        """How the job runs; there is a plan from the first step on."""
        assert self.planned is not None
        return self.planned

    @property
    def title(self) -> str:
        """What people call the job."""
        return self.planned.title if self.planned else str(self.info.job.name)


class Register:
    """Every task that this run has in hand and whose job has not been reported."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._live: dict[str, Submission] = {}
        self._reported: dict[Any, Submission] = {}
        """By job: what was reported as finished, but is not yet finished for Snakemake."""
        self._closed = False

    def enter(self, submission: Submission) -> bool:
        """Note a task before it is started; False if the run is being cancelled."""
        assert submission.task_id is not None
        with self._lock:
            if self._closed:
                return False
            self._live[submission.task_id] = submission
            return True

    def leave(self, submission: Submission) -> None:
        """The task has ended, or was never started."""
        with self._lock:
            self._live.pop(submission.task_id or "", None)

    def report(self, submission: Submission) -> None:
        """A job is about to be reported as finished."""
        with self._lock:
            self._reported[submission.info.job] = submission
            self._live.pop(submission.task_id or "", None)

    def settle(self, job: Any) -> Submission | None:
        """A job is finished or has failed for Snakemake as well; what was reported of it, if so."""
        with self._lock:
            return self._reported.pop(job, None)

    @property
    def unsettled(self) -> list[Submission]:
        """All that is in hand, or was reported and is not yet finished for Snakemake."""
        with self._lock:
            return [*self._live.values(), *self._reported.values()]

    @property
    def has_reported(self) -> bool:
        """Whether something was reported as finished, and is not yet finished for Snakemake."""
        with self._lock:
            return bool(self._reported)

    def close(self) -> None:
        """Let nobody enter any more."""
        with self._lock:
            self._closed = True

    @property
    def is_closed(self) -> bool:
        """Whether the run is being cancelled."""
        with self._lock:
            return self._closed

    @property
    def live(self) -> list[Submission]:
        """What is in hand now."""
        with self._lock:
            return list(self._live.values())
