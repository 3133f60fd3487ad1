"""What rules could ask for, and what that would cost: told only where it is known."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
import yaml
from attempts import BEGAN, attempt

from snakemake_executor_cavatica.observe.entries import Attempt, Status
from snakemake_executor_cavatica.observe.report.advice import (
    Advice,
    advise,
    as_options,
    as_profile,
    rounded_up,
)
from snakemake_executor_cavatica.observe.report.prices import Shape, compare
from snakemake_executor_cavatica.translate.measured import Measured

MIB_OF_16_GB = 15259


def job(
    number: int, peak_mib: float | None = 2000.0, cpu: float | None = 150.0, **given: Any
) -> Attempt:
    """A job that ran for 100 seconds."""
    measured = Measured(wall_seconds=100, cpu_seconds=cpu, peak_memory_mib=peak_mib, exit_status=0)
    known = {"cores": 2, "memory_mib": MIB_OF_16_GB, "measured": measured}
    return attempt(number, **{**known, **given})


def one(attempts: list[Attempt], *, priced: bool = False) -> Advice:
    [found] = advise(attempts, is_priced_by_instance=priced)
    return found


def nothing(attempts: list[Attempt]) -> bool:
    return advise(attempts, is_priced_by_instance=False) == []


def test_memory_is_the_most_that_was_used_and_a_quarter_more() -> None:
    peaks = [1500.0] * 39 + [2956.0]  # 3.1 GB
    [change] = one([job(number, peak) for number, peak in enumerate(peaks)]).changes
    assert (change.resource, change.jobs, change.now) == ("mem_mb", 40, (16000, 16000))
    assert change.used == pytest.approx(3100, abs=1)
    assert change.then == 4000


@pytest.mark.parametrize(
    ("used", "written"),
    [(1, 100), (100, 100), (101, 200), (1999, 2000), (2001, 2500), (3875, 4000), (12_001, 13_000)],
)
def test_numbers_are_those_that_people_would_write(used: float, written: int) -> None:
    assert rounded_up(used) == written


def test_a_few_jobs_tell_too_little() -> None:
    assert nothing([job(1), job(2)])
    assert not nothing([job(1), job(2), job(3)])


@pytest.mark.parametrize(
    "given",
    [
        {"memory_mib": None, "cores": None},
        {"memory_mib": 2500},
        {"peak_mib": None},
        {"measured": Measured(100, 150, 2000, 0, is_old=True)},
        {"status": Status.FAILED},
        {"kind": "group"},
    ],
    ids=["not asked", "near enough", "not measured", "measured long ago", "failed", "group"],
)
def test_without_a_reason_there_is_no_advice(given: dict[str, Any]) -> None:
    assert nothing([job(number, **given) for number in range(5)])


def test_what_a_job_ran_out_of_is_not_advised() -> None:
    failed = [job(9, status=Status.FAILED, reason="out_of_memory", memory_mib=2900)]
    assert nothing([*map(job, range(5)), *failed]), "2,622 MB, a bit more than used, was too little"
    failed = [job(9, status=Status.FAILED, reason="out_of_memory", memory_mib=2000)]
    [change] = one([*map(job, range(5)), *failed]).changes
    assert (change.then, change.ran_out) == (3000, 1)


def test_threads_are_those_that_were_busy_in_the_busiest_job() -> None:
    attempts = [job(number, None, cpu=100 + number, cores=8) for number in range(5)]
    [change] = one(attempts).changes
    assert (change.resource, change.now, change.then) == ("threads", (8, 8), 1)
    assert change.used == pytest.approx(1.04)
    [change] = one([job(number, None, cpu=250, cores=8) for number in range(5)]).changes
    assert change.then == 3
    assert nothing([job(number, None, cpu=170, cores=2) for number in range(5)])
    assert nothing([job(number, None, cpu=100, cores=1) for number in range(5)])


# ------------------------------------------------------------------------------------ prices


def priced(number: int, shape: Shape, seconds: float, price: float, **given: Any) -> Attempt:
    known = {"cores": shape.cores, "memory_mib": shape.memory_mib, "price": price}
    times = {"started": BEGAN, "ended": BEGAN + seconds}
    return attempt(number, **{**known, **times, **given})


LARGE, SMALL = Shape(2, MIB_OF_16_GB), Shape(2, 4000)


def compared(attempts: list[Attempt], *, is_priced_by_instance: bool = False) -> float | None:
    wanted = Shape(2, 3800)
    found = compare(LARGE, wanted, attempts, is_priced_by_instance=is_priced_by_instance)
    return None if found is None else found.share


def test_the_price_is_told_by_tasks_of_the_run_that_asked_for_less() -> None:
    attempts = [priced(1, LARGE, 1000, 1.0), priced(2, SMALL, 2000, 0.76)]
    assert compared(attempts) == pytest.approx(0.38)


@pytest.mark.parametrize(
    "other",
    [
        priced(2, Shape(2, 3000), 2000, 0.76),
        priced(2, Shape(1, 4000), 2000, 0.76),
        priced(2, SMALL, 2000, 0.04),
        priced(2, SMALL, 2000, 0.76, spot=True),
        priced(2, SMALL, 2000, 0.76, instance="c5.large"),
        priced(2, SMALL, 2000, 0.76, shared="pack"),
        priced(2, SMALL, 2000, 0.76, disk_gb=50),
        priced(2, LARGE, 2000, 0.76),
    ],
    ids=[
        "too small",
        "too few cores",
        "too cheap",
        "spot",
        "named",
        "pack",
        "small disk",
        "the same",
    ],
)
def test_a_price_is_never_invented(other: Attempt) -> None:
    assert compared([priced(1, LARGE, 1000, 1.0), other]) is None


def test_on_a_platform_of_instances_their_list_prices_tell_else() -> None:
    share = compared([], is_priced_by_instance=True)
    disk = 1024 * 0.1 / 730
    assert share == pytest.approx((0.085 + disk) / (0.126 + disk)), "c5.large after r5.large"


def test_where_the_instance_stays_the_same_nothing_would_change() -> None:
    attempts = [job(number, 500, memory_mib=3800, price=None) for number in range(4)]
    found = one(attempts, priced=True)
    assert found.same_instance == "c5.large"
    assert found.price is None
    assert as_options([found]) == as_profile([found]) == ""
    assert one(attempts).same_instance == "", "nobody knows what another platform does"


def test_jobs_that_ask_for_different_things_have_no_price() -> None:
    attempts = [job(number, memory_mib=MIB_OF_16_GB + number) for number in range(4)]
    assert one(attempts, priced=True).price is None


# ------------------------------------------------------------------------- ready to be pasted


@pytest.mark.parametrize("rule", ["align", "on", "no", "a b", "it's", "x: y", "ünï", "<script>"])
def test_options_and_profile_mean_the_rule_whatever_its_name(rule: str) -> None:
    advice = [one([job(number, cores=8, rule=rule) for number in range(5)])]
    options = ["--set-resources", f"{rule}:mem_mb=3000", "--set-threads", f"{rule}=2"]
    assert shlex.split(as_options(advice)) == options
    assert yaml.safe_load(as_profile(advice)) == {
        "set-resources": {rule: {"mem_mb": 3000}},
        "set-threads": {rule: 2},
    }
