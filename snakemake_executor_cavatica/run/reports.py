"""Tells Snakemake what has become of jobs: of finished ones several at a time.

Whenever its scheduler hears of some, it starts an event loop, says how far the run is and looks for
what is ready. Jobs that end together need all that once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Protocol

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from ..read.snakemake_jobs import may_be_incomplete

_GATHER = 0.05
"""Seconds that the first of several waits for the others."""


class Listener(Protocol):
    """Where Snakemake listens: its executor."""

    def report_job_submission(self, job_info: SubmittedJobInfo, register_job: bool = ...) -> None:
        """A job is under way; `register_job` has Snakemake mark its outputs as incomplete."""

    def report_job_success(self, job_info: SubmittedJobInfo) -> None:
        """A job has its outputs in place."""

    def report_job_error(
        self, job_info: SubmittedJobInfo, *, msg: str, aux_logs: list[str]
    ) -> None:
        """A job has failed."""


class Reports:
    """What Snakemake is told. Safe to use from several threads."""

    def __init__(self, listener: Listener, logger: logging.Logger) -> None:
        self._listener = listener
        self._logger = logger
        self._lock = threading.Lock()
        self._waiting: list[SubmittedJobInfo] = []

    def under_way(self, info: SubmittedJobInfo) -> None:
        """The job's task is under way."""
        self._listener.report_job_submission(info, register_job=may_be_incomplete(info.job))

    def finished(self, info: SubmittedJobInfo, *, soon: bool = True) -> None:
        """The job is done; with `soon`, together with others that are."""
        if not soon:
            self._listener.report_job_success(info)
            return
        with self._lock:
            self._waiting.append(info)
            is_first = len(self._waiting) == 1
        if is_first:
            timer = threading.Timer(_GATHER, self._tell_all)
            timer.daemon = True  # at the end of the run nothing waits
            timer.start()

    def _tell_all(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for info in waiting:
            self._listener.report_job_success(info)

    def failed(self, info: SubmittedJobInfo, message: str, logs: Sequence[str] = ()) -> None:
        """The job has failed; `logs` are files to show beside its own."""
        if info.job.is_group():
            self._logger.error(message)  # Snakemake does not show the message of a group
        self._listener.report_job_error(info, msg=message, aux_logs=list(logs))
