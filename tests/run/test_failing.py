"""What goes wrong with a job fails that job, unless the whole run is over."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from snakemake_executor_cavatica.api import CavaticaError
from snakemake_executor_cavatica.run.failing import Failing
from snakemake_executor_cavatica.run.register import Submission
from snakemake_executor_cavatica.run.room import lack_of_room, see_room


def step_that_fails() -> None:
    raise CavaticaError("another run has taken this one up")


@pytest.mark.parametrize(
    ("has_successor", "is_cancelled", "is_told"),
    [(False, False, True), (True, False, False), (False, True, False)],
)
def test_a_job_of_a_run_that_is_over_does_not_fail(
    has_successor: bool, is_cancelled: bool, is_told: bool
) -> None:
    """Else Snakemake may end with the failed job, and never say that another run has the tasks."""
    run, reports, stopper = Mock(), Mock(), Mock()
    run.takeover.has_successor = has_successor
    run.cancelled.is_set.return_value = is_cancelled
    run.logger = logging.getLogger("test")
    submission = Submission(SimpleNamespace(job=SimpleNamespace(name="a")))
    Failing(run, stopper, reports).guard([submission], step_that_fails)
    assert reports.failed.called is is_told
    assert run.register.leave.called is is_told


def test_who_waits_for_a_job_of_the_plugins_own_is_told_all_the_same() -> None:
    run = Mock()
    run.takeover.has_successor, run.cancelled.is_set.return_value = True, False
    submission = Submission(None, own=Mock(), planned=Mock(title="the conda environment"))
    Failing(run, Mock(), Mock()).guard([submission], step_that_fails)
    assert submission.own is not None
    assert submission.own.set_exception.called  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("number", "to_do"),
    [
        (errno.ENOSPC, f"({Path.cwd()}: {os.strerror(errno.ENOSPC)}). Make room"),
        (errno.EDQUOT, f"({Path.cwd()}: {os.strerror(errno.EDQUOT)}). Make room"),
        (errno.EACCES, "Permission denied. See to that"),
    ],
)
def test_what_is_wrong_here_is_told_with_what_to_do(number: int, to_do: str) -> None:
    """The task has succeeded, and was paid: nobody should start it anew."""
    run, reports = Mock(), Mock()
    run.takeover.has_successor, run.cancelled.is_set.return_value = False, False
    submission = Submission(SimpleNamespace(job=SimpleNamespace(name="a")))

    def step() -> None:
        raise OSError(number, os.strerror(number))

    Failing(run, Mock(), reports).guard([submission], step)
    _, message, _ = reports.failed.call_args.args
    assert f"{to_do}, and run the same command again: what tasks have made is on the" in message


def test_a_full_disk_is_found_behind_what_snakemake_makes_of_it() -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    told = RuntimeError("Error recording metadata")
    told.__context__ = full
    group = RuntimeError("Error postprocessing group job")
    group.__context__ = ExceptionGroup("several", [ValueError("another"), told])
    assert lack_of_room(group) is full
    assert lack_of_room(ValueError("another")) is None
    assert lack_of_room(None) is None


def test_a_result_that_is_larger_than_the_disk_has_room_is_not_fetched() -> None:
    """Else it would be downloaded, and paid, again and again until its job is given up."""
    see_room(0)
    with pytest.raises(OSError, match="No space left"):
        see_room(10**18)
