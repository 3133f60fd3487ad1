"""What the documents of tasks tell of attempts."""

from __future__ import annotations

from typing import Any

import pytest

from snakemake_executor_cavatica.api.models import Task
from snakemake_executor_cavatica.observe.entries import Status
from snakemake_executor_cavatica.observe.task_news import (
    live_status,
    news_of,
    status_without_job,
)

NOW = 1_767_268_900.0
CREATED = 1_767_268_800.0
"""2026-01-01 12:00:00 UTC."""


def task(**given: Any) -> Task:
    known = {
        "id": "t1",
        "status": "COMPLETED",
        "app": "a/b/snakemake-align/3",
        "created_time": "2026-01-01T12:00:00Z",
        "start_time": "2026-01-01T12:00:01Z",
        "end_time": "2026-01-01T12:01:30Z",
        "execution_status": {"queued_duration": 20_000, "running_duration": 65_500},
        "use_interruptible_instances": True,
        "price": {"currency": "USD", "amount": "0.23"},
    }
    return Task.model_validate({**known, **given})


def test_all_that_a_task_tells() -> None:
    assert news_of(task(), NOW) == {
        "app": "a/b/snakemake-align/3",
        "spot": True,
        "queued": CREATED + 4.5,
        "started": CREATED + 24.5,
        "ended": CREATED + 90,
        "price": 0.23,
        "currency": "USD",
    }


def test_where_the_counts_are_missing_its_times_serve() -> None:
    news = news_of(task(execution_status=None), NOW)
    assert (news["queued"], news["started"], news["ended"]) == (CREATED, CREATED + 1, CREATED + 90)


def test_a_task_that_never_ran_never_started() -> None:
    counts = {"queued_duration": 80_000, "running_duration": 0}
    news = news_of(task(status="ABORTED", execution_status=counts), NOW)
    assert "started" not in news
    assert news["queued"] == CREATED + 10


def test_a_task_that_runs_is_timed_by_our_clock() -> None:
    running = {"status": "RUNNING", "end_time": None}
    news = news_of(task(**running), NOW)
    assert news["started"] == NOW - 65.5
    assert "ended" not in news
    assert "price" not in news, "what it has cost so far, or the last time: nobody knows"


@pytest.mark.parametrize(
    "price",
    [
        None,
        {},
        "cheap",
        [],
        {"amount": None},
        {"amount": "much"},
        {"amount": "NaN"},
        {"amount": []},
    ],
)
def test_a_price_that_nobody_understands_is_none(price: object) -> None:
    assert "price" not in news_of(task(price=price), NOW)


@pytest.mark.parametrize("currency", [None, 7, {}])
def test_a_currency_that_nobody_understands_is_none(currency: object) -> None:
    news = news_of(task(price={"amount": 1, "currency": currency}), NOW)
    assert (news["price"], news["currency"]) == (1.0, "")


def test_packed_jobs_share_the_price() -> None:
    text = "Snakemake run 20260101-120000-aaaaaa, jobs 3, 4, 5, 6: pack 1 of align [4 jobs]"
    assert news_of(task(id="t1#4", description=text), NOW)["price"] == pytest.approx(0.23 / 4)
    assert news_of(task(description=text), NOW)["price"] == 0.23


@pytest.mark.parametrize(
    ("status", "live", "over"),
    [
        ("DRAFT", Status.SUBMITTED, None),
        ("CREATING", Status.SUBMITTED, None),
        ("QUEUED", Status.QUEUED, None),
        ("RUNNING", Status.RUNNING, None),
        ("ABORTING", Status.RUNNING, None),
        ("COMPLETED", None, Status.LEFT),
        ("FAILED", None, Status.FAILED),
        ("ABORTED", None, Status.CANCELLED),
        ("HIBERNATING", None, None),
    ],
)
def test_statuses(status: str, live: Status | None, over: Status | None) -> None:
    assert live_status(task(status=status)) is live
    assert status_without_job(task(status=status)) is over
