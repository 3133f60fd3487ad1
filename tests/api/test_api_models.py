from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from snakemake_executor_cavatica.api import models
from snakemake_executor_cavatica.api.drafts import (
    BatchBy,
    ExecutionSettings,
    OutputLocation,
    TaskDraft,
)
from snakemake_executor_cavatica.api.models import (
    AsyncJob,
    ExecutionDetails,
    File,
    FileRef,
    Permissions,
    Project,
    RateLimit,
    Task,
    TaskStatus,
    UploadInit,
    iter_files,
)

IDENTITIES: dict[type[BaseModel], str | None] = {
    Task: "id",
    File: "id",
    Project: "id",
    AsyncJob: "id",
    UploadInit: "upload_id",
    models.PartUrl: "url",
    ExecutionDetails: None,
    models.ExecutionStatus: None,
    models.TaskJob: None,
    models.BulkItem: None,
    RateLimit: None,
    Permissions: None,
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(data=st.data(), model=st.sampled_from(list(IDENTITIES)))
def test_any_unknown_keys_and_nulls_are_read(data: st.DataObject, model: type[BaseModel]) -> None:
    known = {field.alias or name for name, field in model.model_fields.items()}
    known |= set(model.model_fields)
    unknown = data.draw(st.dictionaries(st.text().filter(lambda k: k not in known), JSON))
    nulls = dict.fromkeys(data.draw(st.sets(st.sampled_from(sorted(known)))))
    identity = IDENTITIES[model]
    document: dict[str, Any] = {**nulls, **unknown} | ({identity: "x"} if identity else {})
    read = model.model_validate(document)
    assert {k: v for k, v in (read.model_extra or {}).items() if k not in known} == unknown


@given(value=JSON)
def test_what_is_only_told_to_the_user_never_fails_a_poll(value: Any) -> None:
    keys = ("created_time", "end_time", "batch", "use_interruptible_instances", "errors")
    task = Task.model_validate({"id": "t", "status": "RUNNING", **dict.fromkeys(keys, value)})
    assert task.status == "RUNNING"
    models.ExecutionStatus.model_validate({"running_duration": value, "failed": value})


@given(value=JSON)
def test_finding_files_never_fails(value: Any) -> None:
    assert all(isinstance(ref, FileRef) for ref in iter_files(value))


def test_identity_is_required() -> None:
    with pytest.raises(ValidationError):
        Task.model_validate({"id": None})


@pytest.mark.parametrize(
    ("status", "known", "terminal"),
    [
        ("COMPLETED", TaskStatus.COMPLETED, True),
        ("failed", TaskStatus.FAILED, True),
        ("ABORTED", TaskStatus.ABORTED, True),
        ("ABORTING", TaskStatus.ABORTING, False),
        ("QUEUED", TaskStatus.QUEUED, False),
        ("HIBERNATING", None, False),
        (None, None, False),
    ],
)
def test_status(status: str | None, known: TaskStatus | None, terminal: bool) -> None:
    task = Task.model_validate({"id": "t", "status": status})
    assert (task.known_status, task.is_terminal) == (known, terminal)


def test_quoted_numbers_and_times() -> None:
    task = Task.model_validate(
        {
            "id": "t",
            "created_time": "2016-01-12T19:20:10Z",
            "end_time": "2016-01-12T19:20:10.123456Z",
            "start_time": "yesterday",
            "execution_status": {"running_duration": "1200", "aborted": 2, "failed": "none"},
            "errors": {"error": "bad"},
        }
    )
    assert task.created_time == datetime(2016, 1, 12, 19, 20, 10, tzinfo=UTC)
    assert task.end_time is not None
    assert task.end_time.microsecond == 123456
    assert task.start_time is None
    assert task.execution_status is not None
    assert task.execution_status.running_duration == 1200
    assert task.execution_status.failed is None
    assert task.error_texts == ["bad"]


def test_a_limit_beyond_what_a_float_holds() -> None:
    limit = RateLimit.model_validate({"rate": {"remaining": 9223372036854775807}})
    assert limit.rate is not None
    assert limit.rate.remaining == 2**63 - 1


@pytest.mark.parametrize("kind", ["FOLDER", "folder"])
def test_folder_in_either_case(kind: str) -> None:
    assert File.model_validate({"id": "f", "type": kind}).is_folder
    assert not File.model_validate({"id": "f", "type": "FILE"}).is_folder


def test_file_origin_may_be_empty() -> None:
    assert File.model_validate({"id": "f", "origin": {}}).origin_task is None
    assert File.model_validate({"id": "f", "origin": None}).origin_task is None
    assert File.model_validate({"id": "f", "origin": {"task": "t"}}).origin_task == "t"


def test_log_file_id() -> None:
    job = models.TaskJob.model_validate(
        {"logs": {"stderr": "https://h/v2/files/5a/download_info", "cmd.log": None, "x": "files"}}
    )
    assert job.log_file_id("stderr") == "5a"
    assert job.log_file_id("cmd.log") is None
    assert job.log_file_id("x") is None
    assert job.log_file_id("absent") is None


@pytest.mark.parametrize("odd", ["", ".", "..", None, [], True])
def test_what_is_no_id_is_no_identity(odd: object) -> None:
    """As a segment of a path it would turn a call into another call."""
    with pytest.raises(ValidationError):
        models.Task.model_validate({"id": odd})
    assert FileRef.from_value({"class": "File", "path": odd}) is None
    job = models.TaskJob.model_validate({"logs": {"stderr": f"https://h/files/{odd or ''}/x"}})
    assert job.log_file_id("stderr") == (str(odd) if odd is True else None)


def test_numbers_and_times_beyond_all_reason_are_none() -> None:
    """Arithmetic with floats, or with time zones, would raise OverflowError."""
    file = File.model_validate(
        {"id": "f", "size": 10**400, "created_on": "0001-01-01T00:00:00+14:00"}
    )
    assert (file.size, file.created_on) == (None, None)
    assert File.model_validate({"id": "f", "size": 1e308}).size is None


@pytest.mark.parametrize(
    "headers", [{"a\r\nb": "x"}, {"\u00e9": "x"}, {"": "x"}, {"a": "x\ny"}, {"a": "\u0142"}]
)
def test_headers_that_http_cannot_carry(headers: dict[str, str]) -> None:
    """Sent along with a part of an upload, they would raise a bare UnicodeEncodeError."""
    with pytest.raises(ValidationError):
        models.PartUrl.model_validate({"url": "https://s/x", "headers": headers})
    fine = models.PartUrl.model_validate({"url": "https://s/x", "headers": {"x-amz-acl": 1}})
    assert fine.headers == {"x-amz-acl": 1}


def test_permission_to_copy_has_another_name() -> None:
    assert Permissions.model_validate({"copy": True}).copy_


def test_signed_url_is_not_in_the_repr() -> None:
    assert "signature" not in repr(models.PartUrl(url="https://s/x?signature=1"))


def test_draft_sends_what_was_set_and_only_that() -> None:
    draft = TaskDraft(
        project="o/p",
        app="o/p/a",
        inputs={"none": None, "reads": [FileRef("1", name="a"), FileRef("2", "Directory")]},
        execution_settings=ExecutionSettings(instance_type="c4.2xlarge;ebs-gp2;2000"),
        batch_input="reads",
        batch_by=BatchBy(type="CRITERIA", criteria=["metadata.b", "metadata.a"]),
        use_interruptible_instances=False,
        output_location=OutputLocation(main_location="/staging"),
    )
    assert draft.to_body() == {
        "project": "o/p",
        "app": "o/p/a",
        "inputs": {
            "none": None,
            "reads": [
                {"class": "File", "path": "1", "name": "a"},
                {"class": "Directory", "path": "2"},
            ],
        },
        "execution_settings": {"instance_type": "c4.2xlarge;ebs-gp2;2000"},
        "batch_input": "reads",
        "batch_by": {"type": "CRITERIA", "criteria": ["metadata.b", "metadata.a"]},
        "use_interruptible_instances": False,
        "output_location": {"main_location": "/staging"},
    }


def test_draft_refuses_unknown_keys() -> None:
    with pytest.raises(ValidationError):
        TaskDraft.model_validate({"project": "o/p", "app": "o/p/a", "intputs": {}})


def test_files_in_nested_outputs() -> None:
    outputs = {
        "bam": {
            "class": "File",
            "path": "1",
            "basename": "x.bam",
            "secondaryFiles": [{"class": "File", "path": "2"}],
        },
        "record": {"inner": [[{"class": "Directory", "path": "3", "name": "d"}], None, 5]},
        "none": None,
    }
    assert list(iter_files(outputs)) == [
        FileRef("1", name="x.bam"),
        FileRef("2"),
        FileRef("3", "Directory", "d"),
    ]
    assert next(iter_files(outputs["record"])).is_folder
