"""What is told at the end of a run."""

from __future__ import annotations

from unittest.mock import Mock

from snakemake_executor_cavatica.api import ServerError
from snakemake_executor_cavatica.finish.end_of_run import DRAFTS_STAY, EndOfRun


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
