"""Whatever a platform answers: no task fails without cause, and each failure is told."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from translated_jobs import local, plan

from snakemake_executor_cavatica.api import ExecutionDetails, Task, TaskStatus
from snakemake_executor_cavatica.finish.evidence import Evidence, Reason
from snakemake_executor_cavatica.finish.message import describe
from snakemake_executor_cavatica.finish.reasons import recognise
from snakemake_executor_cavatica.finish.stderr import keep_stderr, read_stderr
from snakemake_executor_cavatica.in_task.names import TAG
from snakemake_executor_cavatica.translate.task_report import JobReport
from snakemake_executor_cavatica.watch.outcome import Completed, Failed, Lost, Pending, outcome

PLAN = plan(
    outputs=[local("a"), local("b", name="bam")],
    logs=[local("l")],
    resources={"runtime": 5, "cavatica_interruptible": True},
)
PORTS = ["output_0", "bam", "log_0"]
ENDED = {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.ABORTED}
TEXT = """
spot instance interruptible terminated lost preempted exit code status 137 139 0 memory disk out of
insufficient no space left on device image docker pull failed not found manifest unknown exceeded
time limit aborted by the user internal error stopped responding . , ; _ - :
"""
WORDS = [*TEXT.split(), "\n", "\x00", "\x1b[2J", "\N{SNOWMAN}"]

phrases = st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | phrases
    | st.sampled_from([*map(str, TaskStatus), "File", "Directory", "file-id"])
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["class", "path", "name", "secondaryFiles", "message", "error"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
files = st.fixed_dictionaries({"class": st.just("File"), "path": st.text(max_size=3)}) | anything
statuses = st.sampled_from(
    [
        *map(str, TaskStatus),
        "running",
        " RUNNING",
        "PAUSED",
        "COMPLETED ",
        "DONE",
        "",
        "UNKNOWN",
        "DELETED",
    ]
) | st.text(max_size=10)
documents = st.fixed_dictionaries(
    {"id": st.text(max_size=5), "status": statuses},
    optional={
        "execution_status": st.dictionaries(
            st.sampled_from(
                ["message", "message_code", "system_limit", "account_limit", "instance_init"]
            ),
            phrases | anything,
        )
        | anything,
        "errors": st.lists(phrases | anything, max_size=4) | anything,
        "warnings": anything,
        "outputs": st.dictionaries(st.sampled_from(PORTS), files) | anything,
        "use_interruptible_instances": anything,
        "batch": anything,
        "price": anything,
    },
)
details = st.dictionaries(
    st.sampled_from(["status", "message", "jobs", "start_time", "end_time"]), phrases | anything
)
reports = st.builds(
    JobReport,
    exit_status=st.none() | st.integers(0, 999_999_999),
    error=st.none() | phrases,
    missing=st.lists(st.integers(0, 9), max_size=3),
    folders=st.lists(st.integers(0, 9), max_size=3),
    plain_files=st.lists(st.integers(0, 9), max_size=3),
    empty=st.lists(st.integers(0, 9), max_size=3),
    wrong_checksum=st.lists(st.integers(0, 9), max_size=3),
    logs=st.dictionaries(st.integers(0, 9), phrases, max_size=2),
    stderr=phrases | st.text(),
    started=st.booleans(),
)


def read(document: dict[str, Any]) -> Task | None:
    """None where the client itself refuses the document, as an answer of the wrong shape."""
    try:
        return Task.model_validate(document)
    except ValidationError:
        return None


@given(documents)
def test_only_a_task_that_has_ended_is_done_or_failed(document: dict[str, Any]) -> None:
    task = read(document)
    if task is None:
        return
    result = outcome(task, PLAN)
    assert isinstance(result, Pending | Completed | Failed)
    if task.known_status in ENDED:
        assert not isinstance(result, Pending)
    elif task.known_status is not TaskStatus.DRAFT:
        assert isinstance(result, Pending)
    if isinstance(result, Completed):
        assert task.status == "COMPLETED"
        assert set(result.outputs) == set(PORTS)
    if isinstance(result, Failed):
        assert (result.status == "COMPLETED") == bool(result.missing_ports)
        assert set(result.missing_ports) <= set(PORTS)
        assert result.reason


@given(documents)
def test_one_document_has_one_outcome(document: dict[str, Any]) -> None:
    task, again = read(document), read(json.loads(json.dumps(document)))
    if task is not None and again is not None:
        known = task.model_dump()
        # Compared as text: an outcome may hold a NaN of the platform's.
        assert repr(outcome(task, PLAN)) == repr(outcome(again, PLAN)) == repr(outcome(task, PLAN))
        assert repr(task.model_dump()) == repr(known), "nothing is changed"


@given(st.sets(st.sampled_from(PORTS)), st.sampled_from([None, {}, [], "x", 3, {"class": "File"}]))
def test_a_completed_task_tells_just_the_ports_that_are_missing(
    missing: set[str], instead: Any
) -> None:
    whole = {"class": "File", "path": "id"}
    outputs = {port: instead if port in missing else whole for port in PORTS}
    result = outcome(
        Task.model_validate({"id": "1", "status": "COMPLETED", "outputs": outputs}), PLAN
    )
    if missing:
        assert isinstance(result, Failed)
        assert result.missing_ports == tuple(port for port in PORTS if port in missing)
    else:
        assert isinstance(result, Completed)


@given(documents, details, reports, st.none() | st.floats())
def test_every_failure_is_told(
    document: dict[str, Any], more: dict[str, Any], report: JobReport, seconds: float | None
) -> None:
    task = read(document)
    result = outcome(task, PLAN) if task else Lost("gone")
    if isinstance(result, Pending | Completed):
        return
    try:
        message = ExecutionDetails.model_validate(more).message
    except ValidationError:
        message = ""
    evidence = Evidence(report, message, seconds)
    finding = recognise(PLAN, result, evidence)
    assert finding == recognise(PLAN, result, evidence)
    assert finding.sentence.endswith(".")
    assert "\n" not in finding.sentence
    text = describe(PLAN, "link", result, evidence)
    assert text.startswith(f"{PLAN.title}: ")
    assert text.endswith("\n")
    assert len(text) < 20_000


@given(st.sampled_from(["ABORTED", "FAILED"]), phrases, reports)
def test_what_the_platform_killed_is_not_blamed_on_memory(
    status: str, told: str, report: JobReport
) -> None:
    report.exit_status, report.logs, report.stderr, report.error = 137, {}, "", None
    result = Failed(f"{told}. The spot instance was terminated. {told}", status=status)
    assert recognise(PLAN, result, Evidence(report)).reason is Reason.SPOT_LOSS


@given(phrases, reports)
def test_a_task_that_is_lost_has_no_other_reason(told: str, report: JobReport) -> None:
    assert recognise(PLAN, Lost(told), Evidence(report, told)).reason is Reason.LOST


@pytest.mark.parametrize("line", [b"some words of a program\n", b"progress \r", b"\xff\xfe\n"])
def test_memory_does_not_grow_with_stderr(tmp_path: Path, line: bytes) -> None:
    mark = TAG.encode()
    stderr = tmp_path / "stderr"
    text = line * (20_000_000 // len(line))
    parts = (
        b"started\n",
        text,
        b"log 0\n",
        text,
        b"\n" + mark + b" end-log 0\n",
        b"exit-status 2\n",
    )
    stderr.write_bytes(b"".join(part if part is text else mark + b" " + part for part in parts))
    del text, parts
    tracemalloc.start()
    try:
        report = read_stderr(stderr)
        keep_stderr(stderr, PLAN, [tmp_path / "log"], tmp_path / "rest")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.exit_status == 2
    assert (tmp_path / "rest").stat().st_size >= 19_000_000
    assert peak < 10_000_000
