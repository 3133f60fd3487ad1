"""How the jobs of a run are counted, and what they have cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attempts import BEGAN, attempt, run

from snakemake_executor_cavatica.observe.entries import Attempt, Status
from snakemake_executor_cavatica.observe.overview import (
    by_rule,
    cost_by_rule,
    cost_of_all,
    failed,
    total,
    under_way,
)
from snakemake_executor_cavatica.observe.standing import Standing, may_have_changed, standing_of
from snakemake_executor_cavatica.run.journal import Record as Journal
from snakemake_executor_cavatica.run.journal import State
from snakemake_executor_cavatica.run.processes import number_if_alive_here, this_process

DEAD = this_process().rsplit(" ", 1)[0] + " 1"


def again(one: Attempt, **given: object) -> Attempt:
    """The next attempt at the same job."""
    return replace(one, id=f"{one.id}+", number=one.number + 1, **given)  # type: ignore[arg-type]


def test_a_job_counts_once_by_its_last_attempt() -> None:
    lost, gone = attempt(1, status=Status.FAILED), attempt(2, status=Status.FAILED)
    attempts = [
        lost,
        gone,
        attempt(3, status=Status.RUNNING, ended=None),
        attempt(4, rule="sort", status=Status.QUEUED, started=None, ended=None),
        attempt(5, rule="make env", kind="environment"),
        again(lost, status=Status.DONE),
        again(gone, status=Status.FAILED),
    ]
    align, sort, call = by_rule(attempts, {"align": 5, "call": 2})
    assert (align.rule, align.planned, align.attempts, align.done) == ("align", 5, 5, 1)
    assert align.states == {Status.DONE: 1, Status.FAILED: 1, Status.RUNNING: 1}
    assert (sort.planned, sort.states, sort.attempts) == (None, {Status.QUEUED: 1}, 1)
    assert (call.planned, call.states, call.attempts) == (2, {}, 0)
    whole = total([align, sort, call])
    assert (whole.planned, whole.done, whole.attempts) == (7, 1, 6)
    assert [one.id for one in failed(attempts)] == ["aaaaaa.2+"]
    assert [one.rule for one in under_way(attempts)] == ["align", "sort"]


def test_jobs_without_wildcards_are_told_apart_where_only_tasks_are_known() -> None:
    children = [attempt(n, jobid="", wildcards={}) for n in range(3)]
    [rule] = by_rule(children, {})
    assert rule.done == 3


def test_costs_are_those_of_all_attempts() -> None:
    attempts = [
        attempt(1, spot=True),
        attempt(2, status=Status.FAILED, price=0.25),
        attempt(3, status=Status.RUNNING, ended=None, price=None),
        attempt(4, rule="sort", price=None),
        attempt(5, rule="make env", kind="environment", price=4.0),
    ]
    first, sort, align = cost_by_rule(attempts, BEGAN + 61)
    assert (first.rule, first.spent.total) == ("make env", 4.0)
    assert (align.attempts, align.spent.known, align.spot, align.lost) == (3, 0.75, 0.5, 0.25)
    assert align.spent.guessed == pytest.approx(50 * 0.25 / 100), (
        "not by the one on a spot instance"
    )
    assert (sort.spent.known, sort.without_price) == (0.0, 1)
    whole = cost_of_all(attempts, BEGAN + 61)
    assert (whole.spent.known, whole.attempts, whole.without_price) == (4.75, 5, 1)


def journal(**given: object) -> Journal:
    known: dict[str, object] = {
        "run": "r",
        "files": (),
        "scope": "",
        "host": "h",
        "process": "elsewhere 1 2",
        "began": None,
        "seen": "2020-01-01T00:00:00+00:00",
        "state": State.RUNNING,
        "successor": "",
        "reported": frozenset(),
    }
    return Journal(**{**known, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"outcome": "limit"}, Standing.LIMIT),
        ({"outcome": "of a later version"}, Standing.UNKNOWN),
        ({"outcome": "", "process": this_process()}, Standing.RUNNING),
        ({"outcome": "", "process": DEAD}, Standing.KILLED),
        ({"outcome": "", "process": "elsewhere 1 2"}, Standing.UNKNOWN),
    ],
)
def test_how_a_run_stands_by_its_record(given: dict[str, str], expected: Standing) -> None:
    assert standing_of(run(**given)) is expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"successor": "s"}, Standing.SUCCESSOR),
        ({"state": State.DETACHED}, Standing.DETACHED),
        ({"state": State.ENDED}, Standing.CANCELLED),
        ({"process": DEAD}, Standing.KILLED),
        ({}, Standing.SILENT),
    ],
)
def test_how_a_run_stands_by_its_journal(given: dict[str, object], expected: Standing) -> None:
    assert standing_of(None, journal(**given), is_silent=True) is expected


def test_what_nobody_follows_may_have_changed() -> None:
    live = attempt(1, status=Status.RUNNING, ended=None)
    assert not may_have_changed(Standing.RUNNING, [live])
    assert may_have_changed(Standing.KILLED, [live])
    assert may_have_changed(Standing.DETACHED, [attempt(1, status=Status.LEFT)])
    assert not may_have_changed(Standing.KILLED, [attempt(1), replace(live, task=None)])


def test_only_a_living_process_has_a_number() -> None:
    number = number_if_alive_here(this_process())
    assert number is not None
    assert f" {number} " in this_process()
    assert number_if_alive_here(DEAD) is None
    assert number_if_alive_here("elsewhere 1 2") is None
    assert number_if_alive_here("") is None
