"""What is compared between jobs: only what means the same for all of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from attempts import attempt

from snakemake_executor_cavatica.observe.entries import Attempt, Status
from snakemake_executor_cavatica.observe.report import figures
from snakemake_executor_cavatica.translate.measured import Measured

MEASURED = Measured(wall_seconds=80, cpu_seconds=120, peak_memory_mib=250, exit_status=0)
DONE = attempt(measured=MEASURED)


def all_of(one: Attempt) -> dict[str, float | None]:
    return {name: figure(one) for name, figure in figures.PLOTS.items()}


def test_a_job_that_was_done_and_measured_has_all() -> None:
    known = {"duration": 100, "queue": 10, "memory": 25, "cpu": 75, "cost": 0.5}
    assert all_of(DONE) == pytest.approx(known)


def test_a_job_of_a_pack_lasts_as_long_as_it_says_itself() -> None:
    packed = replace(DONE, shared="pack")
    assert figures.duration(packed) == 80
    assert figures.duration(replace(packed, measured=Measured())) is None


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.RUNNING, Status.LEFT])
def test_a_job_that_was_not_done_is_not_compared_but_costs(status: Status) -> None:
    found = all_of(replace(DONE, status=status))
    assert {name for name, value in found.items() if value is not None} == {"queue", "cost"}


def test_what_was_measured_long_ago_is_not_compared() -> None:
    old = replace(DONE, measured=replace(MEASURED, is_old=True))
    assert (figures.memory_share(old), figures.cpu_share(old)) == (None, None)


@pytest.mark.parametrize("asked", [None, 0])
def test_of_nothing_asked_there_is_no_share(asked: int | None) -> None:
    found = all_of(replace(DONE, memory_mib=asked, cores=asked))
    assert (found["memory"], found["cpu"]) == (None, None)


def test_rules_come_in_the_order_in_which_they_began() -> None:
    failed = replace(DONE, rule="b", status=Status.FAILED, price=0.25, memory_mib=4000)
    first, second = figures.of_rules([replace(DONE, rule="b"), DONE, failed])
    assert (first.rule, first.attempts, first.failed, first.cost) == ("b", 2, 1, 0.75)
    assert (first.asked_mib, first.peak_mib, first.most_cores) == ((1000, 4000), 250, 1.5)
    assert second.rule == "align"
    assert set(second.boxes) == set(figures.PLOTS)


def test_what_is_not_known_has_no_box() -> None:
    [rule] = figures.of_rules([replace(DONE, measured=Measured(), price=None)])
    assert set(rule.boxes) == {"duration", "queue"}
    assert (rule.peak_mib, rule.most_cores, rule.cost) == (None, None, None)
