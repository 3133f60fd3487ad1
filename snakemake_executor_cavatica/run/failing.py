"""Where whatever goes wrong with a job becomes an error of that job, and of no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from snakemake_interface_common.exceptions import WorkflowError

from ..api import CavaticaError
from ..read.internals import RuleException
from .context import RunContext
from .register import Submission
from .reports import Reports
from .room import lack_of_room, no_room
from .stopping import Stopper

_FETCHED_THEN = "what tasks have made is on the platform, and is fetched then"


class JobFailed(CavaticaError):
    """A job of the plugin's own, of which Snakemake knows nothing, has failed."""


class Failing:
    """Fails the jobs of a run. Safe to use from several threads."""

    def __init__(self, run: RunContext, stopper: Stopper, reports: Reports) -> None:
        self._run = run
        self._stopper = stopper
        self._reports = reports

    def fail(self, submission: Submission, message: str, logs: Sequence[str] = ()) -> None:
        """Report a failure; a task that may still run is aborted first, so that none is paid for
        twice, and stays in the register if that does not work.
        """
        if submission.task is not None and not submission.ended:
            message += self._stopper.give_up(submission.leftover)
        self._run.register.leave(submission)
        self._run.observer.failed(submission, message)
        if submission.own is not None:
            submission.own.set_exception(JobFailed(message))
        else:
            self._reports.failed(submission.info, message, logs)

    def guarded(self, submission: Submission, step: Callable[[Submission], None]) -> None:
        """Take a step for one job."""
        self.guard([submission], partial(step, submission))

    def guard(self, submissions: Sequence[Submission], step: Callable[[], None]) -> None:
        """The one boundary of all steps: whatever happens becomes an error of those jobs.

        Unless the run is being cancelled, or another one has taken it up, which is why it happens;
        the register still has them.
        """
        try:
            step()
        except (CavaticaError, WorkflowError, RuleException) as error:
            self._fail_all(submissions, str(error))
        except OSError as error:
            self._fail_all(submissions, _of_this_machine(error))
        except Exception as error:
            self._run.logger.debug("Unexpected error", exc_info=error)
            self._fail_all(
                submissions,
                f"unexpected {type(error).__name__}: {error}. If it does not come from a function "
                "of the workflow, please report it as an error of the CAVATICA plugin; --verbose "
                "shows where it happened.",
            )

    def _fail_all(self, submissions: Sequence[Submission], message: str) -> None:
        for submission in submissions:
            # A failed job could end Snakemake before it is told that another run has its tasks.
            is_over = self._run.takeover.has_successor and submission.own is None
            if not (is_over or self._run.cancelled.is_set()):
                self.fail(submission, f"{submission.title}: {message}\n")


def _of_this_machine(error: OSError) -> str:
    """What is wrong here, and what to do."""
    lack = lack_of_room(error)
    wrong = f"{error}. See to that" if lack is None else no_room(lack)
    return f"{wrong}, and run the same command again: {_FETCHED_THEN}"
