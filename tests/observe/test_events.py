"""Changes of jobs' states, as logger plugins are told them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from attempts import attempt

from snakemake_executor_cavatica.finish.evidence import Reason
from snakemake_executor_cavatica.observe.entries import Attempt, Measured, Status
from snakemake_executor_cavatica.observe.events import KEY, remote_job_state

NUMBERS = {"queued_at", "started_at", "stopped_at", "cost_estimate"}
WHOLE = {"schema_version", "jobid", "attempt", "exit_code"}
TEXTS = {
    *("executor", "phase", "external_jobid", "remote_status", "status_reason", "queue"),
    *("log_stream", "region"),
    *("termination_category", "termination_source", "termination_confidence"),
}
CATEGORIES = {
    *("spot", "oom", "timeout", "node_failure", "cancelled", "dependency", "image_pull"),
    "unknown",
}


def as_documented(state: Any) -> dict[str, Any]:
    """What a reader of version 2 takes from a record, written from the keys that it documents."""
    state = json.loads(json.dumps(state))
    assert state["schema_version"] == 2
    assert {"jobid", "executor", "phase"} <= state.keys() <= NUMBERS | WHOLE | TEXTS
    assert state["phase"] in {"queued", "running", "succeeded", "failed"}
    for name, value in state.items():
        kind = str if name in TEXTS else int if name in WHOLE else float
        assert type(value) is kind, name
        assert kind is not float or math.isfinite(value)
    if state["phase"] == "failed":
        assert state["termination_category"] in CATEGORIES
        assert state["termination_confidence"] in {"high", "low"}
    else:
        assert not [name for name in state if name.startswith("termination")]
    return dict(state)


def told(one: Attempt, **more: Any) -> dict[str, Any]:
    return as_documented(remote_job_state(one, 7, remote_status="COMPLETED", **more))


def test_the_key_is_the_one_that_readers_look_for() -> None:
    assert KEY == "remote_job_state"


def test_a_job_that_has_succeeded() -> None:
    one = attempt(7, measured=Measured(exit_status=0))
    assert told(one) == {
        "schema_version": 2,
        "jobid": 7,
        "executor": "cavatica",
        "phase": "succeeded",
        "external_jobid": one.task,
        "remote_status": "COMPLETED",
        "queued_at": one.queued,
        "started_at": one.started,
        "stopped_at": one.ended,
        "attempt": 1,
        "exit_code": 0,
        "cost_estimate": 0.5,
    }


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        (Status.SUBMITTED, "queued"),
        (Status.QUEUED, "queued"),
        (Status.RUNNING, "running"),
        (Status.DONE, "succeeded"),
        (Status.REUSED, "succeeded"),
        (Status.FAILED, "failed"),
        (Status.CANCELLED, "failed"),
    ],
)
def test_each_status_is_a_phase(status: Status, phase: str) -> None:
    assert told(attempt(7, status=status))["phase"] == phase


def test_what_is_left_to_a_later_run_is_no_state_of_a_job() -> None:
    assert remote_job_state(attempt(7, status=Status.LEFT), 7, remote_status="RUNNING") is None


@pytest.mark.parametrize(
    ("reason", "category", "confidence"),
    [
        (Reason.OUT_OF_MEMORY, "oom", "high"),
        (Reason.TIME_LIMIT, "timeout", "high"),
        (Reason.SPOT_LOSS, "spot", "high"),
        (Reason.IMAGE, "image_pull", "high"),
        (Reason.PLATFORM, "node_failure", "high"),
        (Reason.COMMAND, "unknown", "low"),
    ],
)
def test_why_a_job_has_failed(reason: Reason, category: str, confidence: str) -> None:
    state = told(attempt(7, status=Status.FAILED, reason=reason.name.lower(), message="so it is"))
    assert state["termination_category"] == category
    assert state["termination_confidence"] == confidence
    assert state["status_reason"] == "so it is"


def test_every_reason_has_a_category() -> None:
    for reason in Reason:
        told(attempt(7, status=Status.FAILED, reason=reason.name.lower()))


def test_what_was_aborted_was_cancelled() -> None:
    assert told(attempt(7, status=Status.CANCELLED))["termination_category"] == "cancelled"


def test_other_currencies_are_no_dollars() -> None:
    assert "cost_estimate" not in told(attempt(7, currency="EUR"))


def test_members_of_a_group_share_what_it_costs() -> None:
    assert told(attempt(7), members=4)["cost_estimate"] == 0.125


def test_snakesee_understands_it() -> None:
    """By its own adapter, which is in the source distribution of snakesee and no package yet:

    pip download snakesee==0.9.0 --no-deps --no-binary snakesee && tar -xf snakesee-0.9.0.tar.gz
    pip install ./snakesee-0.9.0/snakemake-logger-plugin-snakesee
    """
    adapter = pytest.importorskip("snakemake_logger_plugin_snakesee.remote_adapter")
    failed = attempt(7, status=Status.FAILED, reason="out_of_memory", message="It was too large.")
    event = adapter.event_from_payload(told(failed), 1.0)
    assert (event.event_type.value, event.job_id) == ("job_error", 7)
    assert (event.duration, event.cost_estimate) == (100.0, 0.5)
    assert (event.queued_at, event.termination_category) == (failed.queued, "oom")
    for status in (Status.QUEUED, Status.RUNNING, Status.DONE):
        assert adapter.event_from_payload(told(attempt(7, status=status)), 1.0) is not None
