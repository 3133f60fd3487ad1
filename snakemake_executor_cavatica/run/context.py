"""What all steps of a run share."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ..api import Stop
from ..project.connection import Connection
from ..project.index import ProjectIndex
from ..project.paths import ProjectPath
from ..translate.shared_task import task_id_of
from .observer import Limit, Observer
from .register import Register, Submission
from .takeover import Takeover


@dataclass(frozen=True)
class RunContext:
    """One run of a workflow."""

    id: str
    connection: Connection
    index: ProjectIndex
    """Of the project in which the tasks run."""
    home: ProjectPath
    """The plugin's own folder in it."""
    register: Register
    takeover: Takeover
    observer: Observer
    """Is told what becomes of each job."""
    limit: Limit
    """Of what the tasks may cost."""
    cancelled: Stop
    logger: logging.Logger

    @property
    def folder(self) -> ProjectPath:
        """For what only this run has."""
        return self.home / "runs" / self.id

    @property
    def costs(self) -> str:
        """What tasks that go on do besides, as the end of a clause."""
        return self.connection.costs

    def page(self, task_id: str) -> str:
        """The address of a task; of the shared one for a job that shares it."""
        return self.connection.task_page(self.home.project, task_id_of(task_id))

    def keep(self, submission: Submission) -> None:
        """A task is done and paid, and its job fails here: the next attempt, or the next run,
        fetches its results again. Until then they are not seen, or Snakemake would delete them with
        the failed job's outputs.
        """
        self.takeover.leftovers.add(submission.leftover)
        self.spare(submission)
        for place in submission.stored:
            self.connection.index(place.project).hide(place.path)

    def spare(self, submission: Submission) -> None:
        """Delete nothing of what a job has made on the platform, if that is still to be done."""
        for place in submission.stored:
            self.connection.index(place.project).deletions.spare_at(place.path)

    def settle(self, job: Any) -> None:
        """A job is finished for Snakemake as well."""
        submission = self.register.settle(job)
        if submission is not None and submission.task_id is not None:
            self.takeover.leftovers.settle(submission.identity)
            self.takeover.reported(submission.task_id)
