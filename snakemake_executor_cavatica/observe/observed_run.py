"""All that users see of a run, from its begin to its end."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from ..api import ConfigurationError
from ..run.leftovers import Leftover
from .cost_limit import CostLimit
from .costs import Costs
from .entries import Attempt, Run
from .live_record import LiveRecord
from .progress import Progress
from .record import UnreadableRecord
from .recorder import Recorder
from .summary import summary
from .this_run import interrupted_record
from .trace import trace


class ObservedRun:
    """The run of this process, as it is told."""

    def __init__(
        self,
        run: Run,
        page: Callable[[str], str],
        logger: logging.Logger,
        *,
        trace_file: Path | None,
        aborts_at_limit: bool,
    ) -> None:
        """Args:
        page: the address of a task.
        trace_file: where Nextflow's trace goes, if it is wanted.
        aborts_at_limit: whether tasks are aborted when the run's `max_cost` is reached.
        """
        self._logger = logger
        self._trace_file = trace_file
        self._costs = Costs()
        self._progress = Progress(run.id, run.jobs_by_rule, run.started)
        self._record = LiveRecord(run, logger.warning, self._note)
        self.recorder = Recorder(self._record, page, logger)
        self.limit = CostLimit(self._costs, logger, most=run.max_cost, aborts=aborts_at_limit)
        self.id = run.id
        self._is_over = False

    def _note(self, attempt: Attempt, before: Attempt | None) -> None:
        self._costs.note(attempt, before)
        self._progress.note(attempt, before)

    def go_on(self, predecessors: Collection[str], tasks: Iterable[tuple[Leftover, bool]]) -> None:
        """See whether this goes on with a run that was interrupted; there is no attempt yet.

        Args:
            predecessors: the runs whose tasks are taken up.
            tasks: what the platform knows of them, and whether their jobs are finished.
        """
        run = self._record.run
        earlier = None
        try:
            earlier = interrupted_record(Path(run.directory), run, predecessors)
        except UnreadableRecord as error:
            self._logger.warning(f"{error} This run begins a record of its own.")
        if earlier is not None:
            for remark in earlier.remarks:
                self._logger.debug(remark)
            self._record.go_on_with(earlier)
        for leftover, is_reported in tasks:
            self.recorder.inherited(leftover, is_reported=is_reported)
        of_record = [] if earlier is None else [one.id for one in earlier.runs]
        self.limit.earlier = [*of_record, *(one for one in predecessors if one not in of_record)]

    def look(self) -> None:
        """Tell how the run stands, if it is time for that. Called again and again."""
        now = time.time()
        if self._progress.is_due(now):
            line = self._progress.line(self._record.attempts, self._costs, now)
            self._logger.info(line)

    def end(self, outcome: str) -> None:
        """The run is over, once."""
        if self._is_over:
            return
        self._is_over = True
        self.recorder.end(outcome, self.limit.reached)
        attempts = self._record.attempts
        if self._trace_file is not None:
            self._write_trace(self._trace_file, trace(attempts))
        if attempts:
            path = self._record.path
            self._logger.info(summary(self._record.run, attempts, path, self._trace_file))

    def _write_trace(self, path: Path, text: str) -> None:
        part = path.with_name(f".{uuid.uuid4().hex}.part")
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        except OSError as error:
            self._logger.warning(f"The trace {path} cannot be written: {error.strerror}.")
            part.unlink(missing_ok=True)


def trace_path(text: str | None) -> Path | None:
    """Where the trace goes, seen to before the run begins.

    Raises:
        ConfigurationError: no file can be there.
    """
    if text is None:
        return None
    path = Path(text).absolute()  # a workflow may change the directory
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else "is in a folder that does not exist"
        raise ConfigurationError(f"--cavatica-trace {text} {problem}; name a file.")
    return path
