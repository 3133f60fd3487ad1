"""What is told at the end of a run."""

from __future__ import annotations

import errno
from unittest.mock import Mock

from snakemake_executor_cavatica.api import ServerError
from snakemake_executor_cavatica.finish.end_of_run import DRAFTS_STAY, EndOfRun
from snakemake_executor_cavatica.run.register import Submission


def test_drafts_that_may_be_left_are_told_with_what_to_do() -> None:
    """The request that failed says nothing of what it was for."""
    run, submitter = Mock(id="own"), Mock(may_have_left_drafts=True)
    run.cancelled.is_set.return_value = run.takeover.is_left_to_others = False
    run.register.live = run.register.unsettled = run.takeover.predecessors = []
    run.takeover.needed = ()
    submitter.sweep.side_effect = ServerError("GET /tasks: not available", status=503)
    last = (Mock(), Mock(), Mock())
    EndOfRun(run, Mock(), submitter, Mock(), Mock(), last=last, detach=False).close()
    (said,) = [str(call.args[0]) for call in run.logger.warning.call_args_list]
    assert said.startswith(DRAFTS_STAY)
    assert "GET /tasks" in said
    assert run.takeover.end.call_args.args == ({"own"},), "the next run finds them by the journal"


def test_a_batch_that_is_about_to_start_is_no_obstacle_where_the_disk_is_full() -> None:
    """It has no plan of its own; an error there would leave the run without an end."""
    run, planned = Mock(), Submission(None, planned=Mock())
    run.connection.local = None
    run.register.unsettled = [Submission(None, name="alike [2 jobs]"), planned]
    last = (Mock(), Mock(), Mock())
    end = EndOfRun(run, Mock(), Mock(), Mock(), Mock(), last=last, detach=False)
    end.ended_by(OSError(errno.ENOSPC, "No space left on device"))
    assert end.is_detached
    run.spare.assert_called_once_with(planned)
