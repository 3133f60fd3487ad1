"""What the platform's answer about a task means for its job."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from translated_jobs import local, plan

from snakemake_executor_cavatica import api
from snakemake_executor_cavatica.api import FileRef, Task, TaskStatus
from snakemake_executor_cavatica.watch.outcome import (
    Completed,
    Failed,
    Lost,
    Outcome,
    Pending,
    outcome,
)

PLAN = plan(outputs=[local("a"), local("b", name="bam")], logs=[local("l")])
PORTS = ["output_0", "bam", "log_0"]
WHOLE = {port: {"class": "File", "path": f"id-{port}"} for port in PORTS}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
statuses = st.sampled_from([*TaskStatus, "completed", "NEW", "", " "]) | st.text(max_size=8)
KEYS = ["execution_status", "errors", "warnings", "outputs", "inputs", "price", "batch", "status"]
KEYS += ["message", "system_limit", "account_limit", "instance_init"]
documents = st.dictionaries(st.sampled_from(KEYS), json_values)
ENDINGS = {"COMPLETED", "FAILED", "ABORTED", "DRAFT"}


def task(status: str, **more: Any) -> Task:
    return Task.model_validate({"id": "1", "status": status, **more})


@given(documents, statuses, documents, st.dictionaries(st.sampled_from(PORTS), json_values))
def test_no_task_document_makes_it_fail(
    document: dict[str, Any], status: str, inner: dict[str, Any], outputs: dict[str, Any]
) -> None:
    for more in ({}, {"execution_status": inner}, {"outputs": outputs}):
        try:
            answer = Task.model_validate({"id": "1", **document, "status": status, **more})
        except ValidationError:
            continue  # the client tells of an unexpected answer
        result = outcome(answer, PLAN)
        assert isinstance(result, Pending | Completed | Failed)
        if answer.status not in ENDINGS:
            assert isinstance(result, Pending)


@given(st.text())
def test_an_unknown_status_is_never_a_failure(status: str) -> None:
    answer = task(status)
    if answer.known_status is None:
        assert isinstance(outcome(answer, PLAN), Pending)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("DRAFT", Failed),
        ("CREATING", Pending),
        ("QUEUED", Pending),
        ("RUNNING", Pending),
        ("running", Pending),
        ("COMPLETED", Completed),
        ("FAILED", Failed),
        ("ABORTING", Pending),
        ("ABORTED", Failed),
        ("PAUSED", Pending),
        ("", Pending),
        (None, Pending),
    ],
)
def test_every_status_has_a_meaning(status: str, kind: type[Outcome]) -> None:
    assert isinstance(outcome(task(status, outputs=WHOLE), PLAN), kind)


def test_a_completed_task_has_the_file_of_every_output() -> None:
    assert outcome(task("COMPLETED", outputs=WHOLE), PLAN) == Completed(
        {port: FileRef(f"id-{port}") for port in PORTS}
    )


@pytest.mark.parametrize("missing", [None, [], {}, "", [None], {"class": "File"}, "id", 3])
@pytest.mark.parametrize("port", PORTS)
def test_a_completed_task_without_a_declared_output_has_failed(port: str, missing: Any) -> None:
    result = outcome(task("COMPLETED", outputs={**WHOLE, port: missing}), PLAN)
    assert isinstance(result, Failed)
    assert result.missing_ports == (port,)
    assert result.status == "COMPLETED"


def test_a_completed_task_without_outputs_is_done_if_it_declared_none() -> None:
    assert outcome(task("COMPLETED", outputs=None), plan()) == Completed({})


ERRORS = [
    cls
    for cls in vars(api).values()
    if isinstance(cls, type) and issubclass(cls, api.ApiError) and cls is not api.NotFound
]


@pytest.mark.parametrize("kind", ERRORS)
def test_an_error_leaves_the_task_alone(kind: type[api.ApiError]) -> None:
    error = kind("no luck")
    assert outcome(error, PLAN) == Pending("UNKNOWN", error=error)


def test_every_kind_of_error_is_tested() -> None:
    assert len(ERRORS) == 11


def test_a_deleted_task_is_lost() -> None:
    assert isinstance(outcome(api.NotFound("gone"), PLAN), Lost)


def test_a_failure_gives_the_platforms_reasons_once() -> None:
    answer = task(
        "FAILED",
        execution_status={"message": "Tool failed."},
        errors=[{"message": "Tool failed."}, {"error": "Disk full"}, "odd", ""],
    )
    result = outcome(answer, PLAN)
    assert isinstance(result, Failed)
    assert result.reason == "Tool failed. Disk full odd"


@pytest.mark.parametrize("status", ["FAILED", "ABORTED", "DRAFT"])
def test_a_failure_without_reasons_still_says_something(status: str) -> None:
    result = outcome(task(status, execution_status={"message": " "}), PLAN)
    assert isinstance(result, Failed)
    assert result.reason.startswith("The task")


@pytest.mark.parametrize("status", ["FAILED", "ABORTED", "DRAFT"])
@pytest.mark.parametrize("spot", [True, False, None])
def test_a_failure_keeps_what_tells_its_reason(status: str, spot: bool | None) -> None:
    answer = task(
        status,
        use_interruptible_instances=spot,
        execution_status={"message": "Spot\n lost", "message_code": "SPOT_LOST"},
    )
    assert outcome(answer, PLAN) == Failed("Spot lost [SPOT_LOST]", (), status, spot)


def test_the_platforms_reasons_are_bounded() -> None:
    errors = [{"message": f"{number}{'x' * 10_000}"} for number in range(1000)]
    result = outcome(task("FAILED", errors=errors), PLAN)
    assert isinstance(result, Failed)
    assert len(result.reason) < 10_000


@pytest.mark.parametrize("flag", ["account_limit", "system_limit", "instance_init"])
def test_what_a_task_waits_for_is_told(flag: str) -> None:
    result = outcome(task("QUEUED", execution_status={flag: True}), PLAN)
    assert isinstance(result, Pending)
    assert result.detail.startswith("waiting for")
