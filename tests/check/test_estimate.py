"""What earlier jobs have cost tells what the next ones will cost, with a range that holds."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from statistics import median
from typing import Any, cast

import pytest
from translated_jobs import plan

from snakemake_executor_cavatica.api import Client, Task
from snakemake_executor_cavatica.check.estimate import Asked, Estimate, estimate, spot_share
from snakemake_executor_cavatica.check.history import Historian, Sample, by_app
from snakemake_executor_cavatica.observe.entries import Attempt, Status
from snakemake_executor_cavatica.translate.app import app_name
from snakemake_executor_cavatica.translate.job_key import JobKey, TaskMark, several


def asked(rule: str = "align", jobs: int = 1, spot: bool | None = None, **given: Any) -> Asked:
    plans = [plan(rule=rule, **given)]
    return Asked(rule, app_name(rule), jobs, plans, spot)


def samples(
    costs: Iterable[float], rule: str = "align", spot: bool | None = None, rate: float = 0.01
) -> list[Sample]:
    return [Sample(app_name(rule), cost, cost / rate, spot) for cost in costs]


def told(wanted: Sequence[Asked], *known: Sequence[Sample]) -> Estimate:
    return estimate(wanted, by_app(one for some in known for one in some), "USD")


def test_the_cost_lies_in_the_range_and_the_range_is_not_wide() -> None:
    """As the demand on a real platform, over 300 made-up workflows."""
    dice = random.Random(5)
    right, widths = 0, []
    for _ in range(300):
        wanted, known, cost = [], [], 0.0
        for number in range(dice.randint(2, 6)):
            jobs, least = dice.randint(1, 12), dice.uniform(0.05, 2)
            most = least * dice.uniform(1, 2.5)
            known += [samples(round(dice.uniform(least, most), 2) for _ in range(jobs))]
            known[-1] = [Sample(f"snakemake-r{number}", one.cost, 60) for one in known[-1]]
            wanted.append(asked(f"r{number}", jobs))
            cost += sum(dice.uniform(least, most) for _ in range(jobs))
        found = told(wanted, *known)
        right += found.low <= cost <= found.high
        widths.append(found.high / found.low)
    assert right >= 270
    assert median(widths) < 2


def test_more_earlier_jobs_make_the_range_narrower() -> None:
    dice = random.Random(1)
    costs = [dice.uniform(1, 3) for _ in range(200)]
    widths = [
        one.high / one.low for one in (told([asked(jobs=50)], samples(costs[:n])) for n in (2, 20))
    ]
    assert widths[1] < widths[0]


def test_without_earlier_jobs_the_runtime_tells_the_most_and_otherwise_nothing_does() -> None:
    limited = asked("limited", 10, resources={"mem_mb": 8000, "runtime": 120}, threads=2)
    found = told([limited, asked("other")], samples([1.0], "known"))
    assert [one.source for one in found.rules] == ["runtime", "unknown"]
    disk = 1024 * 0.1 / 730
    assert found.most == pytest.approx(10 * 2 * (0.096 + disk)), "m5.large with 1 TB"
    assert found.unknown == ["other"]
    assert (found.expected, found.low, found.high) == (0, 0, 0)
    assert told([asked("other", resources={"runtime": 0})]).unknown == ["other"], "no limit"
    named = asked("x", resources={"runtime": 60, "cavatica_instance_type": "z9.large;d;1"})
    assert told([named]).unknown == ["x"]


def test_prices_of_less_than_a_cent_may_be_anything_below() -> None:
    found = told([asked(jobs=100)], samples([0.0] * 100))
    assert found.low == 0
    assert 0.25 < found.high < 1


def test_jobs_on_another_kind_of_instance_are_converted_where_that_is_known() -> None:
    both = [*samples([1.0] * 4, "both", spot=False), *samples([0.4] * 4, "both", True, rate=0.004)]
    assert spot_share([both]) == pytest.approx(0.4)
    there = samples([2.0] * 5, spot=False)
    [converted] = told([asked(spot=True)], both, there).rules
    assert converted.expected == pytest.approx(0.8)
    assert converted.remark == "converted to spot instances"
    [unknown] = told([asked(spot=True)], there).rules
    assert unknown.expected == pytest.approx(2)
    assert unknown.remark == "by jobs that were not on spot instances"
    assert told([asked(spot=True)], there).spot_share is None
    [same] = told([asked(spot=True)], there, samples([0.5] * 3, spot=True)).rules
    assert same.expected == pytest.approx(0.5)


# --- where the samples come from ------------------------------------------------------------------

KEYS = (JobKey(f"{n:016x}", f"{n:032x}") for n in count())


def task(identifier: str, jobid: str, price: str | None = "1.00", **given: Any) -> Task:
    mark = TaskMark("20260101-120000-aaaaaa", jobid, 1, next(KEYS))
    return Task.model_validate(
        {
            "id": identifier,
            "name": "align [sample=A]",
            "description": f"{mark}: align.",
            "status": "COMPLETED",
            "app": "o/p/snakemake-align/0",
            "execution_status": {"running_duration": 60_000},
            "price": None if price is None else {"amount": price, "currency": "USD"},
            **given,
        }
    )


def test_all_attempts_at_a_job_count_and_jobs_that_were_never_done_do_not() -> None:
    historian = Historian()
    historian.note_tasks(
        [
            task("1", "7", status="FAILED"),
            task("2", "7"),
            task("3", "8", status="ABORTED"),
            task("4", "9", price=None),
            Task.model_validate({"id": "5", "app": "o/p/mine/0", "status": "COMPLETED"}),
        ]
    )
    [sample] = historian.history.samples
    assert (sample.cost, sample.seconds, sample.jobs) == (2.0, 120.0, 1)
    assert historian.history.apps == {"snakemake-align"}
    assert historian.history.currency == "USD"


def test_a_task_that_jobs_share_counts_for_each_of_them() -> None:
    marks = [TaskMark("20260101-120000-aaaaaa", str(n), 1, next(KEYS)) for n in range(4)]
    historian = Historian()
    shared = f"{several(marks[0].run, marks)}: pack"
    historian.note_tasks([task("1", "", description=shared)])
    [sample] = historian.history.samples
    assert (sample.cost, sample.jobs) == (1.0, 4)
    [found] = told([asked(jobs=8)], historian.history.samples).rules
    assert found.expected == pytest.approx(2)


def test_a_batch_is_not_counted_by_its_children_as_well() -> None:
    """Which say of themselves what their batch says: that they are for all of its jobs."""
    marks = [TaskMark("20260101-120000-aaaaaa", str(n), 1, next(KEYS)) for n in range(2)]
    historian = Historian()
    shared = f"{several(marks[0].run, marks)}: batch"
    children = [task(f"{n}", "", "0.50", description=shared, parent="9") for n in range(2)]
    historian.note_tasks([*children, task("9", "", "1.00", description=shared, batch=True)])
    [sample] = historian.history.samples
    assert (sample.cost, sample.jobs) == (1.0, 2)


def test_what_a_record_tells_is_not_counted_again() -> None:
    historian = Historian()
    attempt = Attempt(
        "a", "run", "7", "align", task="1", status=Status.DONE, started=0, ended=50, price=2.0
    )
    historian.note_attempts([attempt])
    historian.note_tasks([task("1", "7"), task("2", "8")])
    assert sorted(one.cost for one in historian.history.samples) == [1.0, 2.0]


def test_only_the_newest_thousand_tasks_are_looked_at() -> None:
    class Many:
        seen = 0

        def list_tasks(self, **_: Any) -> Iterator[Task]:
            for number in count():
                self.seen += 1
                yield task(str(number), str(number))

    client, historian = Many(), Historian()
    historian.ask(cast(Client, client), "o/p")
    assert client.seen == 1000
    assert historian.history.tasks == 1000
