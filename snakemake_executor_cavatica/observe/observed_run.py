"""All that users see of a run, from its begin to its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from ..api.clock import steady_time
from ..api.traffic import Traffic
from ..finish.end_of_run import EndOfRun
from ..run.leftovers import Leftover
from .between_runs import inherit, leave
from .cost_limit import CostLimit
from .costs import Costs
from .entries import Attempt, Run
from .files_at_end import FilesAtEnd
from .live_record import LiveRecord
from .progress import Progress
from .record import UnreadableRecord
from .recorder import Recorder
from .standing import Standing
from .summary import summary
from .this_run import interrupted_record
from .transfers import Transfers


class ObservedRun:
    """The run of this process, as it is told."""

    def __init__(
        self,
        run: Run,
        page: Callable[[str], str],
        logger: logging.Logger,
        *,
        traffic: Traffic,
        files: FilesAtEnd,
        aborts_at_limit: bool,
    ) -> None:
        """Nothing is told yet.

        Args:
            page: the address of a task.
            traffic: what is uploaded and downloaded.
            files: what is written when the run is over.
            aborts_at_limit: whether tasks are aborted when the run's `max_cost` is reached.
        """
        self._page = page
        self._logger = logger
        self._files = files
        self._costs = Costs()
        self._progress = Progress(run.id, run.jobs_by_rule, run.started)
        self._record = LiveRecord(run, logger.warning, self._note)
        self.recorder = Recorder(self._record, page, logger)
        self.limit = CostLimit(self._costs, logger, most=run.max_cost, aborts=aborts_at_limit)
        self.id = run.id
        self._transfers = Transfers(traffic)
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
            inherit(self._record, self.recorder, leftover, self._page, is_reported=is_reported)
        of_record = [] if earlier is None else [one.id for one in earlier.runs]
        self.limit.earlier = [*of_record, *(one for one in predecessors if one not in of_record)]

    def look(self) -> None:
        """Tell how the run stands, if it is time for that. Called again and again."""
        for line in self._transfers.lines(time.monotonic()):
            self._logger.info(line)
        now = steady_time()
        if self._progress.is_due(now):
            line = self._progress.line(self._record.attempts, self._costs, now)
            self._logger.info(line)

    def end(self, end: EndOfRun, *, has_failed: bool) -> None:
        """The run is over, once; `has_failed` says whether a job of it did."""
        if self._is_over:
            return
        self._is_over = True
        leave(self._record)
        outcome = str(self._outcome(end, has_failed=has_failed))
        self._record.end(ended=steady_time(), outcome=outcome, limit_reached=self.limit.reached)
        attempts = self._record.attempts
        path = self._record.path
        written = self._files.write(self.id, path.parent, attempts, self._logger)
        if attempts:
            self._logger.info(summary(self._record.run, attempts, path, written))

    def _outcome(self, end: EndOfRun, *, has_failed: bool) -> Standing:
        if end.has_successor:
            return Standing.SUCCESSOR
        if self.limit.has_ended:
            return Standing.LIMIT
        if end.is_cancelled:
            return Standing.DETACHED if end.is_detached else Standing.CANCELLED
        return Standing.FAILED if has_failed else Standing.DONE
