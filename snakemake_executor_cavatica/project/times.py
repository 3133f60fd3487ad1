"""When a file of a project was modified, as Snakemake should see it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from ..api import File

logger = logging.getLogger(__name__)

MTIME_KEY = "snakemake_mtime"
"""Metadata key for a modification time that Snakemake set itself (`--touch`); seconds as text."""


class Times:
    """Modification times of the files of one project."""

    def __init__(self) -> None:
        self._by_task: dict[str, float] = {}

    def of(self, file: File) -> float:
        """One time for all files of a task, whichever of them is seen first.

        The platform stores the outputs of a task one after the other and in any order. Where one
        of them is made from another (groups), their own times would tell Snakemake to run the job
        again. Any time between the task's start and end is as good as another to other jobs.
        """
        touched = file.metadata.get(MTIME_KEY)
        if touched is not None:
            try:
                seconds = float(str(touched))
                datetime.fromtimestamp(seconds, UTC)
                return seconds
            except (ValueError, OverflowError, OSError):  # also nan, and what no calendar has
                logger.debug("metadata %s of file %s is no time", MTIME_KEY, file.id)
        moment = file.created_on or file.modified_on or datetime.fromtimestamp(0, UTC)
        task = file.origin.task if file.origin else None
        if task is None:
            return moment.timestamp()
        return self._by_task.setdefault(task, moment.timestamp())
