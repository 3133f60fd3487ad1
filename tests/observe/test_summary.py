"""The lines at the end of a run, and while it goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from attempts import BEGAN, attempt, run

from snakemake_executor_cavatica.observe.costs import Costs
from snakemake_executor_cavatica.observe.entries import Attempt, Measured, Status
from snakemake_executor_cavatica.observe.progress import Progress
from snakemake_executor_cavatica.observe.summary import summary, waiting_seconds
from snakemake_executor_cavatica.observe.words import duration, size

RECORD = Path("/work/.snakemake/cavatica/runs/x/record.jsonl")


def lines(*attempts: Attempt, trace: Path | None = None) -> list[str]:
    files = [] if trace is None else [("trace", trace)]
    return [line.strip() for line in summary(run(), attempts, RECORD, files).split("\n")]


def test_a_run_in_six_lines() -> None:
    lost = attempt(
        1, status=Status.FAILED, reason="spot_loss", spot=True, price=0.2, started=BEGAN + 31
    )
    again = attempt(2, wildcards={"sample": "S1"}, measured=Measured(cpu_seconds=100.0))
    failed = attempt(3, rule="call", status=Status.FAILED, price=1.0, reason="out_of_memory")
    taken = attempt(4, rule="plot", run="older", taken_up_by=run().id, price=0.004)
    earlier = attempt(5, rule="plot", run="older")
    assert lines(lost, again, failed, taken, earlier, trace=Path("t.tsv")) == [
        "CAVATICA: jobs: 3 done, 1 failed, 1 in the runs that this one went on with, 1 taken up "
        "from earlier runs; 5 attempts, of which 1 lost their spot instance.",
        "Time: 10 min, of which 10 s only waited for instances.",
        "Compute: 0.27 core hours asked, 0.03 used (10 %).",
        "Cost: 2.20 USD, of which 0.20 on spot instances, 1.20 without a result "
        "(1 attempt cost less than a cent, and count as nothing).",
        "Most expensive rules: call 1.00 (1 attempt), align 0.70 (2 attempts), "
        "plot 0.50 (2 attempts).",
        "Record: /work/.snakemake/cavatica/runs/x; trace: t.tsv",
    ]


def test_results_of_earlier_runs_are_told_with_what_they_had_cost() -> None:
    reused = attempt(
        1, status=Status.REUSED, price=0.0, reused_task="t", spared=2.5, started=None, ended=None
    )
    told = lines(reused, attempt(2, price=1.0))
    assert told[0] == (
        "CAVATICA: jobs: 1 done, 1 with the results of earlier runs, 0 failed; 2 attempts."
    )
    assert told[3] == (
        "Cost: 1.00 USD, of which 0.00 on spot instances, 0.00 without a result; "
        "1 job with results of earlier runs had cost 2.50 USD there."
    )


def with_memory(number: int, mib: int, of_rule: int | None, **given: Any) -> Attempt:
    return attempt(number, memory_mib=mib, memory_of_rule_mib=of_rule, **given)


def test_what_a_rule_needed_is_told_with_what_to_ask_for() -> None:
    """A job that was done with what its rule asks for since does not count any more."""
    short = with_memory(1, 7630, None, status=Status.FAILED, reason="out_of_memory")
    again = replace(with_memory(2, 15259, 7630), wildcards=short.wildcards)
    others = [with_memory(3, 30518, 7630), with_memory(4, 7630, None), with_memory(5, 7630, None)]
    assert lines(short, again, *others)[5] == (
        "Memory: rule align needed up to 32000 MB in 2 jobs of 4; ask for mem_mb=32000."
    )
    since = replace(with_memory(6, 7630, None), wildcards=again.wildcards)
    assert "in 1 job of 4; ask for mem_mb=32000, or leave it" in lines(again, *others, since)[5]


def test_what_right_sizing_saved_is_told_by_list_prices_or_as_unknown() -> None:
    """Of the saving goes what attempts with too little have cost."""
    jobs = [with_memory(number, 1145, 15259, cores=1) for number in range(4)]
    short = with_memory(9, 1145, 15259, cores=1, status=Status.FAILED, price=0.1)
    told = lines(*jobs, short)[5]
    assert told.startswith(
        "Right-sizing: rule align had 1200 MB instead of 16000 in 4 jobs, which saved about "
    )
    assert "(without 0.10 for attempts that had too little), by AWS's list prices of" in told
    here = summary(run(endpoint="http://127.0.0.1:1/v2"), jobs, RECORD, [])
    assert "in 4 jobs; what that saved is not known." in here


def test_a_smaller_disk_is_told_with_what_it_saved() -> None:
    asked = {"cores": 1, "memory_mib": 3000, "memory_of_rule_mib": 3000}
    small = {**asked, "disk_gb": 60, "disk_of_rule_gb": 1024, "price": 1.0}
    told = lines(*(attempt(number, **small) for number in range(3)))[5]
    assert told == (
        "Right-sizing: rule align had a disk of 60 GB instead of 1024 in 3 jobs, which saved about "
        "4.25 USD, by AWS's list prices of c5.large and c5.large, the cheapest that fit, with "
        "their disks."
    )
    both = with_memory(1, 1145, 15259, cores=1, disk_gb=60, disk_of_rule_gb=2000)
    assert "had 1200 MB instead of 16000 and a disk of 60 GB instead of 2000 in 1" in lines(both)[5]


def test_what_is_not_known_is_not_told() -> None:
    told = lines(attempt(1, price=None, currency="", started=None, ended=None))
    assert told[2] == "Compute: 0.00 core hours asked; what was used is not measured."
    assert told[3] == "Cost: the platform has not told any."
    assert told[4] == "Most expensive rules: none has cost anything."


@pytest.mark.parametrize(
    ("attempts", "waited"),
    [
        ([attempt(1)], 10),
        ([attempt(1), attempt(2, queued=BEGAN + 50, started=BEGAN + 150, ended=BEGAN + 160)], 49),
        ([attempt(1), attempt(2)], 10),
        ([attempt(1, status=Status.QUEUED, started=None, ended=None)], 599),
        ([attempt(1, queued=BEGAN - 500)], 11),
        ([], 0),
    ],
)
def test_waiting_is_when_something_is_queued_and_nothing_runs(
    attempts: list[Attempt], waited: float
) -> None:
    assert waiting_seconds(attempts, BEGAN, BEGAN + 600) == pytest.approx(waited)


# ------------------------------------------------------------------------- while it goes on


def progress(attempts: list[Attempt], now: float, planned: dict[str, int]) -> str:
    costs = Costs()
    for one in attempts:
        costs.note(one)
    return Progress(run().id, planned, BEGAN).line(attempts, costs, now)


def test_progress_tells_states_cost_and_time_left() -> None:
    running = attempt(3, status=Status.RUNNING, ended=None, price=None)
    queued = attempt(4, status=Status.QUEUED, started=None, ended=None, price=None)
    failed = attempt(5, status=Status.FAILED)
    told = progress([attempt(1), attempt(2), running, queued, failed], BEGAN + 111, {"align": 8})
    assert told == (
        "CAVATICA: 2 of 8 jobs done, 1 running, 1 queued, 1 failed; "
        "2.00 USD (about 0.50 of it a guess) so far; about 10 min left"
    )


def test_time_left_is_unknown_while_jobs_of_a_rule_have_yet_to_end() -> None:
    running = attempt(2, status=Status.RUNNING, ended=None, price=None)
    told = progress([attempt(1), running], BEGAN + 111, {"align": 3, "plot": 1})
    assert told.endswith("time left unknown")
    assert progress([attempt(1)], BEGAN + 111, {"align": 3}).endswith("time left unknown")


def test_progress_counts_jobs_and_not_their_attempts() -> None:
    tries = [replace(attempt(number, status=Status.FAILED), wildcards={}) for number in range(3)]
    told = progress([*tries, replace(attempt(4), wildcards={"x": "y"})], BEGAN, {"align": 2})
    assert "1 of 2 jobs done, 1 failed; " in told


def test_a_run_that_is_over_is_told_without_a_guess_how_long_it_takes() -> None:
    told = Progress(run().id, {"align": 1}, BEGAN).line([attempt(1)], Costs(), BEGAN, is_over=True)
    assert told == "CAVATICA: 1 of 1 jobs done; 0.00"


def test_progress_is_told_seldom_and_more_often_when_much_has_changed() -> None:
    one = Progress(run().id, {"align": 100}, BEGAN)
    assert not one.is_due(BEGAN + 299)
    assert one.is_due(BEGAN + 300)
    assert not one.is_due(BEGAN + 301)
    for number in range(10):
        one.note(attempt(number), attempt(number, status=Status.RUNNING))
    assert not one.is_due(BEGAN + 359)
    assert one.is_due(BEGAN + 360)
    one.note(attempt(11), attempt(11, status=Status.RUNNING))
    one.note(attempt(11, price=1.0), attempt(11))
    assert not one.is_due(BEGAN + 420)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (86400, "1 day"),
        (2 * 86400 + 4 * 3600, "2 days 4 h"),
    ],
)
def test_durations_as_people_say_them(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (314 * 1024**2, "314 MiB"),
        (3 * 1024**5, "3072 TiB"),
    ],
)
def test_sizes_as_people_say_them(number: int, told: str) -> None:
    assert size(number) == told
