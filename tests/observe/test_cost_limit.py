"""What a run may cost."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Container
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attempts import BEGAN, attempt

from snakemake_executor_cavatica.observe import cost_limit
from snakemake_executor_cavatica.observe.cost_limit import CostLimit
from snakemake_executor_cavatica.observe.costs import Costs
from snakemake_executor_cavatica.observe.entries import Status
from snakemake_executor_cavatica.run.register import Submission


class Run:
    """The run that is limited."""

    def __init__(self) -> None:
        self.jobs: list[Any] = []
        """What Snakemake takes for running."""
        self.is_local = False
        self.started: list[Submission] = []
        self.aborted = 0
        self.ended: list[str] = []

    def start_again(self, submission: Submission) -> None:
        self.started.append(submission)

    def waits_only_for(self, jobs: Container[Any]) -> bool:
        return all(job in jobs for job in self.jobs) and not self.is_local

    def works_here(self) -> bool:
        return self.is_local

    def abort(self) -> None:
        self.aborted += 1

    def end(self, why: str) -> None:
        self.ended.append(why)


@pytest.fixture
def run() -> Run:
    return Run()


@pytest.fixture
def costs() -> Costs:
    return Costs()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_limit, "_SURELY", 0.0)


def job(name: str, *, rule: str = "align", max_cost: float | None = None) -> Submission:
    plan: Any = SimpleNamespace(max_cost=max_cost, facts=SimpleNamespace(rule=rule))
    return Submission(SimpleNamespace(job=name), planned=plan)


def limit(costs: Costs, most: float | None = None, *, aborts: bool = False) -> CostLimit:
    clock = lambda: BEGAN + 211  # noqa: E731 - a time at which guesses are known
    logger = logging.getLogger("test")
    return CostLimit(costs, logger, most=most, aborts=aborts, clock=clock)


def look(limit: CostLimit, run: Run, times: int = 3) -> None:
    for _ in range(times):
        limit.look(run)


SET = """
import time
real, jump = time.time, 0.0
time.time = lambda: real() + jump
from test_cost_limit import *
from snakemake_executor_cavatica.observe.recorder import Recorder
record = SimpleNamespace(run=SimpleNamespace(id="r"))
now = Recorder(record, str, logging.getLogger())._clock
costs, run = Costs(), Run()
costs.note(attempt(1, price=0.5))
costs.note(attempt(2, status=Status.RUNNING, started=now(), ended=None, price=None))
one = CostLimit(costs, logging.getLogger(), most=1.0, aborts=True)
jump = 86_400
look(one, run)
print(run.aborted)
"""


def test_a_clock_that_is_set_ends_no_run() -> None:
    """Protects tasks that have run for seconds from being aborted as if it were a day."""
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", SET]
    done = subprocess.run(command, env=environ, text=True, capture_output=True, check=False)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_without_a_limit_everything_may_start(costs: Costs, run: Run) -> None:
    free = limit(costs)
    costs.note(attempt(1, price=1e6))
    assert free.allows(job("a"))
    look(free, run)
    assert not free.is_keeping
    assert not run.ended


def test_below_the_limit_tasks_start_and_from_it_on_they_do_not(costs: Costs, run: Run) -> None:
    one = limit(costs, 1.0)
    costs.note(attempt(1, price=0.99))
    assert one.allows(job("a"))
    costs.note(attempt(2, price=0.01))
    assert not one.allows(job("b"), job("c"))
    assert one.is_keeping


def test_the_run_ends_when_nothing_runs_any_more(
    costs: Costs, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    one = limit(costs, 0.5)
    one.earlier = ["first", "second"]
    costs.note(attempt(1))
    run.jobs = ["a", "b", "other"]
    assert not one.allows(job("a"))
    assert not one.allows(job("b"))
    [warning] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "The limit of --cavatica-max-cost 0.5 is reached" in warning.getMessage()
    look(one, run)
    assert not run.ended, "a task runs still"
    run.jobs.remove("other")
    run.is_local = True
    look(one, run)
    assert not run.ended, "a local job runs still"
    run.is_local = False
    look(one, run)
    assert run.ended == [
        "The limit of --cavatica-max-cost 0.5 is reached: the tasks, with those of the interrupted "
        "runs first, second, cost 0.50 USD. 2 jobs that could start did not. The same command with "
        "a higher limit goes on from here."
    ]
    assert one.has_ended
    assert not run.started


def test_a_limit_that_only_a_guess_has_reached_may_turn_out_not_to_be(
    costs: Costs, run: Run
) -> None:
    one = limit(costs, 1.2)
    costs.note(attempt(1))
    running = attempt(2, status=Status.RUNNING, ended=None, price=None)
    costs.note(running)  # for twice as long: a guess of 1.00
    kept = job("a")
    assert not one.allows(kept)
    run.jobs = ["a", "b"]
    look(one, run)
    assert not run.started
    costs.note(attempt(2), running)
    look(one, run)
    assert run.started == [kept]
    assert not one.is_keeping
    assert not run.ended


def test_a_rule_may_have_a_limit_of_its_own(costs: Costs, run: Run) -> None:
    one = limit(costs)
    costs.note(attempt(1))
    costs.note(attempt(2, rule="sort", price=9.0))
    assert one.allows(job("a", max_cost=0.6))
    assert one.allows(job("b", rule="sort"))
    assert not one.allows(job("c", max_cost=0.5))
    assert not one.allows(job("d", rule="sort", max_cost=9.0))
    run.jobs = ["c", "d"]
    look(one, run)
    [why] = run.ended
    assert "Rule align has reached its limit: its tasks have cost 0.50 USD, and its" in why
    assert "resource cavatica_max_cost is 0.5. Rule sort has reached its limit" in why


def test_tasks_are_aborted_if_that_is_wanted(costs: Costs, run: Run) -> None:
    one = limit(costs, 1.0, aborts=True)
    costs.note(attempt(1))
    look(one, run)
    assert not run.aborted
    costs.note(attempt(2))
    run.jobs, run.is_local = ["aborted"], True
    look(one, run)
    assert run.aborted == 1
    assert not one.allows(job("a"))
    assert not run.ended, "a local job runs still"
    run.is_local = False
    look(one, run)
    [why] = run.ended
    assert why.startswith("The limit of --cavatica-max-cost 1 is reached: the tasks cost 1.00 USD.")
    assert not run.started


def test_a_limit_that_cannot_be_kept_is_told_once(
    costs: Costs, caplog: pytest.LogCaptureFixture
) -> None:
    one = limit(costs, 0.5)
    costs.note(attempt(1, price=None, currency=""))
    assert one.allows(job("a"))
    assert one.allows(job("b"))
    assert limit(costs).allows(job("c"))
    [told] = caplog.messages
    assert told.startswith("The platform does not tell what tasks cost")
    costs.note(attempt(2))
    assert not one.allows(job("d"))
