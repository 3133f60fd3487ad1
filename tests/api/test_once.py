"""What must not be done twice is done once, whatever becomes of the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from snakemake_executor_cavatica.api.background import run_async_once
from snakemake_executor_cavatica.api.client import Client
from snakemake_executor_cavatica.api.errors import (
    ApiError,
    BadRequest,
    Conflict,
    Maintenance,
    NoAnswer,
    NotFound,
    ServerError,
    Stopped,
    TransferError,
    UnexpectedAnswer,
)
from snakemake_executor_cavatica.api.models import AsyncJob
from snakemake_executor_cavatica.api.once import may_have_worked, once, some_tries
from snakemake_executor_cavatica.api.stop import Stop

LOST = [NoAnswer("x"), ServerError("x", status=502), UnexpectedAnswer("x", status=200)]
REFUSED = [
    BadRequest("x", status=400),
    Conflict("x", status=409),
    NoAnswer("x", sent=False),
    Maintenance("x", status=503, code=0),
    ServerError("x", status=501),
]
NOTHING = None
lost = pytest.mark.parametrize("lost", LOST, ids=lambda error: type(error).__name__)


class Script:
    """Does in turn what it is told to, the last for ever, and counts."""

    def __init__(self, *steps: object) -> None:
        self._steps = list(steps)
        self.count = 0

    def __call__(self, *_: object) -> Any:
        step = self._steps[min(self.count, len(self._steps) - 1)]
        self.count += 1
        if isinstance(step, BaseException):
            raise step
        return step


def do(act: Callable[[], str], **how: Any) -> str:
    return once(act, some_tries(Stop()), **how)


@pytest.mark.parametrize("error", LOST)
def test_these_may_have_worked(error: ApiError) -> None:
    assert may_have_worked(error)


@pytest.mark.parametrize("error", [*REFUSED, Stopped("x"), KeyboardInterrupt()])
def test_these_surely_have_not(error: BaseException) -> None:
    assert not may_have_worked(error)


def test_nobody_looks_after_an_answer() -> None:
    act, look = Script("done"), Script(NOTHING)
    assert do(act, look=look) == "done"
    assert (act.count, look.count) == (1, 0)


@lost
def test_what_was_done_is_found_and_not_done_again(lost: ApiError) -> None:
    act, look = Script(lost, "twice"), Script("found")
    assert do(act, look=look) == "found"
    assert (act.count, look.count) == (1, 1)


@lost
def test_what_was_not_done_is_asked_for_again(lost: ApiError) -> None:
    act, look = Script(lost, lost, "done"), Script(NOTHING)
    assert do(act, look=look) == "done"
    assert (act.count, look.count) == (3, 2)


@lost
def test_it_ends_after_some_tries_and_a_last_look(lost: ApiError) -> None:
    act, look = Script(lost), Script(NOTHING)
    with pytest.raises(type(lost)):
        do(act, look=look)
    assert (act.count, look.count) == (5, 5)
    assert do(Script(lost), look=Script(*[NOTHING] * 4, "found")) == "found"


@pytest.mark.parametrize("refusal", REFUSED)
def test_a_refusal_is_the_last_word(refusal: ApiError) -> None:
    act, look, refused = Script(refusal), Script("found"), Script("found")
    with pytest.raises(type(refusal)):
        do(act, look=look, refused=refused)
    assert (act.count, look.count, refused.count) == (1, 0, 0)


@lost
def test_a_refusal_after_a_lost_answer_may_mean_that_it_is_done(lost: ApiError) -> None:
    act, refused = Script(lost, NotFound("x", status=404)), Script("done", NOTHING)
    assert do(act, refused=refused) == "done"
    with pytest.raises(NotFound):
        do(Script(lost, NotFound("x", status=404)), refused=refused)


@lost
def test_what_is_done_after_a_refusal_may_get_lost_too(lost: ApiError) -> None:
    act = Script(lost, Conflict("x", status=409), "done")
    assert do(act, refused=Script(lost)) == "done"


@lost
def test_a_look_that_fails_is_not_repeated(lost: ApiError) -> None:
    """It is a safe call, which was repeated for as long as it makes sense."""
    act, look = Script(LOST[1]), Script(lost)
    with pytest.raises(type(lost)):
        do(act, look=look)
    assert (act.count, look.count) == (1, 1)


def test_more_can_be_unclear_than_lost_answers() -> None:
    act = Script(Conflict("x", status=409), "done")
    assert do(act, unclear=lambda error: isinstance(error, Conflict)) == "done"


def test_a_pause_ends_with_the_work() -> None:
    stop = Stop()
    stop.set()
    act = Script(LOST[0], Stopped("the run is being cancelled"))
    with pytest.raises(Stopped):
        once(act, some_tries(stop, 600.0))


# ------------------------------------------------------------------ background jobs


class Jobs:
    """A client that starts background jobs, some of which get lost."""

    def __init__(self, *answers: ApiError | None) -> None:
        self.stop = Stop()
        self.started: list[tuple[str, object]] = []
        self._answers: Iterator[ApiError | None] = iter(answers)

    def start_async(self, kind: str, items: object) -> AsyncJob:
        self.started.append((kind, items))
        if (lost := next(self._answers, None)) is not None:
            raise lost
        return AsyncJob(id="j")

    def async_job(self, kind: str, job: str) -> AsyncJob:
        result = [{"error": {"message": "locked"}}]
        return AsyncJob.model_validate({"id": job, "state": "FINISHED", "result": result})


def move(jobs: Jobs, look: Script) -> str:
    item = {"file": "f"}
    return run_async_once(cast(Client, jobs), "move", item, look=look, failure="x stays")


def test_whether_a_background_job_has_done_it_is_looked_up() -> None:
    jobs, look = Jobs(), Script("there")
    assert move(jobs, look) == "there"
    assert jobs.started == [("move", [{"file": "f"}])]
    assert look.count == 1


@lost
def test_a_background_job_that_has_not_done_it_is_started_again(lost: ApiError) -> None:
    jobs, look = Jobs(lost), Script(NOTHING, NOTHING, "there")
    assert move(jobs, look) == "there"
    assert len(jobs.started) == 3


def test_what_background_jobs_do_not_get_done_is_told_with_their_reason() -> None:
    jobs = Jobs()
    with pytest.raises(TransferError, match=r"^x stays: .*locked"):
        move(jobs, Script(NOTHING))
    assert len(jobs.started) == 5
    with pytest.raises(BadRequest):
        move(Jobs(BadRequest("x", status=400)), Script("there"))
