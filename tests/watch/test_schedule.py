"""When the tasks are looked at: often where something happens, never beyond the rate limit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_cavatica.api import Task
from snakemake_executor_cavatica.watch.batches import Batches
from snakemake_executor_cavatica.watch.schedule import (
    SHORTEST_INTERVAL,
    PollSchedule,
    poll_interval,
)

seconds = st.floats(0, 1e6)


def interval(asked: int = 1, **changes: float) -> float:
    values = {
        "quiet": 0.0,
        "typical": 0.0,
        "shortest": SHORTEST_INTERVAL,
        "longest": 10.0,
        "pace": math.inf,
        "took": 0.0,
    }
    return poll_interval(asked, **(values | changes))


def test_often_at_the_start_and_where_jobs_are_short() -> None:
    assert interval() == SHORTEST_INTERVAL
    assert interval(typical=4) == 1
    assert interval(quiet=2) == 1
    assert interval(quiet=3, shortest=2) == 2


def test_seldom_where_jobs_are_long_or_nothing_changes_but_not_for_ever() -> None:
    assert interval(typical=60) == 10
    assert interval(typical=3600) == 10
    assert interval(quiet=3600, typical=1) == 10
    assert interval(quiet=3600, longest=30) == 30


def test_a_look_at_many_tasks_waits_until_its_requests_are_left() -> None:
    assert interval(100, pace=0.5) == 4, "one for the tasks, one for outputs"
    assert interval(101, pace=0.5) == 6
    assert interval(10_000, pace=2) == 50.5


def test_looking_is_not_all_that_happens() -> None:
    assert interval(took=1) == 4
    assert interval(took=60) == 10


@given(st.integers(0, 100_000), seconds, seconds, st.floats(0.2, 600), st.floats(0.01, 100))
def test_looks_keep_to_the_pace(
    asked: int, quiet: float, typical: float, longest: float, pace: float
) -> None:
    pause = interval(asked, quiet=quiet, typical=typical, longest=longest, pace=pace)
    assert (math.ceil(asked / 100) + 1) / pause <= pace * 1.000001
    assert pause >= SHORTEST_INTERVAL


def ended(duration: float) -> Task:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Task.model_validate(
        {
            "id": "task",
            "start_time": start.isoformat(),
            "end_time": (start + timedelta(seconds=duration)).isoformat(),
        }
    )


def test_the_rhythm_follows_how_long_jobs_take() -> None:
    schedule = PollSchedule(10, lambda: math.inf, unlimited=False)
    assert schedule.interval(5, asked=5, took=0) == pytest.approx(10 / 3), (
        "a third of what is asked"
    )
    for duration in (30, 30, 36, 3600):
        schedule.end(ended(duration))
    schedule.end(None)
    assert schedule.interval(1, asked=1, took=0) == pytest.approx(33 / 4)
    for _ in range(50):
        schedule.end(ended(16))
    assert schedule.interval(1, asked=1, took=0) == pytest.approx(4), "the last ones count"


def test_time_in_the_queue_is_not_how_long_a_job_takes() -> None:
    schedule = PollSchedule(10, lambda: math.inf, unlimited=False)
    task = ended(600)
    told = Task.model_validate(
        task.model_dump(mode="json") | {"execution_status": {"running_duration": 24_000}}
    )
    schedule.end(told)
    assert schedule.interval(1, asked=1, took=0) == pytest.approx(6)


def test_where_jobs_are_long_looks_are_rarer_than_the_user_asks_for() -> None:
    schedule = PollSchedule(10, lambda: math.inf, unlimited=False)
    schedule.end(ended(3600))
    assert schedule.interval(1, asked=1, took=0) == 25


def test_where_requests_cost_nothing_looks_are_frequent() -> None:
    schedule = PollSchedule(10, lambda: math.inf, unlimited=True)
    schedule.end(ended(3600))
    assert schedule.interval(1, asked=1, took=0) == 1


def test_where_requests_cost_nothing_looks_are_as_frequent_as_the_user_asks_for() -> None:
    schedule = PollSchedule(0.5, lambda: math.inf, unlimited=True)
    schedule.end(ended(3600))
    assert schedule.interval(1, asked=1, took=0) == 0.5


class Platform:
    """Batches by id, with how many of their children have ended; None: it does not say."""

    def __init__(self, **ended: int | None) -> None:
        self.ended = ended
        self.asked: list[set[str]] = []

    def get_tasks(self, ids: Iterable[str], *, fields: str) -> dict[str, Task]:
        asked = set(ids)
        self.asked.append(asked)
        return {batch: self._task(batch, fields) for batch in asked}

    def _task(self, batch: str, fields: str) -> Task:
        ended = self.ended[batch]
        counts = {"completed": ended, "failed": 0, "aborted": 0}
        status = {"message": "Running"} | (counts if ended is not None else {})
        assert "execution_status" in fields
        return Task.model_validate({"id": batch, "status": "RUNNING", "execution_status": status})


def children(batch: str, number: int) -> dict[str, str]:
    return {f"{batch}{n}": batch for n in range(number)}


class Clock:
    """Seconds, as the test says."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_few_children_are_all_looked_at() -> None:
    """One request tells about a hundred: then nobody has to wait for a report."""
    platform = Platform(a=0)
    assert Batches(cast("Any", platform)).resting(children("a", 100)) == set()
    assert platform.asked == []


def test_children_rest_until_some_have_ended() -> None:
    platform, clock = Platform(a=0, b=0), Clock()
    batches = Batches(cast("Any", platform), clock)
    both = children("a", 100) | children("b", 100)
    assert batches.resting(both) == set(both)
    platform.ended["a"] = 20
    assert batches.resting(both) == children("b", 100).keys(), "a fifth has ended"
    del both["a0"]
    assert batches.resting(both) == set(both), "they were looked at"


def test_a_single_end_is_seen_before_long() -> None:
    platform, clock = Platform(a=0, b=0), Clock()
    batches = Batches(cast("Any", platform), clock)
    both = children("a", 100) | children("b", 100)
    clock.now = 100
    assert batches.resting(both) == set(both)
    platform.ended["a"] = 1
    assert batches.resting(both) == set(both)
    clock.now = 119
    assert batches.resting(both) == set(both)
    clock.now = 120
    assert batches.resting(both) == children("b", 100).keys()


def test_children_are_looked_at_where_their_batch_says_nothing_or_always_the_same() -> None:
    platform, clock = Platform(a=None, b=0), Clock()
    batches = Batches(cast("Any", platform), clock)
    both = children("a", 100) | children("b", 100)
    assert batches.resting(both) == children("b", 100).keys()
    clock.now = 300
    assert batches.resting(both) == set()


def test_few_children_of_a_batch_are_looked_at_themselves() -> None:
    platform = Platform(a=0, b=0)
    some = children("a", 100) | children("b", 19)
    assert Batches(cast("Any", platform)).resting(some) == children("a", 100).keys()
    assert platform.asked == [{"a"}]
