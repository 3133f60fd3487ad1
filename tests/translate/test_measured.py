"""What a task has measured, as it is read back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from translated_jobs import local, plan

from cavatica_local.execution.behaviours import Fate
from cavatica_local.execution.simulated_text import simulated_text
from snakemake_executor_cavatica.api import Task
from snakemake_executor_cavatica.in_task.names import MEASURED_NAME
from snakemake_executor_cavatica.translate.app import app_document
from snakemake_executor_cavatica.translate.candidate import Candidate
from snakemake_executor_cavatica.translate.job_key import JobKey, TaskMark
from snakemake_executor_cavatica.translate.measured import (
    MEASURED,
    NOTHING,
    Measured,
    lines_of_jobs,
    measured_by,
    read_measured,
)
from snakemake_executor_cavatica.translate.pack import Pack
from snakemake_executor_cavatica.translate.script import job_script
from snakemake_executor_cavatica.translate.shared_task import packed_job_id, packed_job_of

LINE = (
    "wall 12.34 s, cpu 3.05 s, memory 314.20 MiB, disk 20480.06 MiB, exit 0, outputs 1234 B, "
    "started 2026-11-28T18:56:36Z."
)
READ = Measured(12.34, 3.05, 314.2, 0, 1234, 20480.06)


def task(text: object = LINE, **changes: Any) -> Task:
    return Task.model_validate(
        {"id": "t", "status": "COMPLETED", "outputs": {MEASURED: text}, **changes}
    )


def test_a_line_is_read_as_it_was_written() -> None:
    assert read_measured(LINE) == read_measured(f"{LINE}\n") == READ
    bare = "wall unknown, cpu unknown, memory unknown, exit 137, outputs unknown, started unknown."
    assert read_measured(bare) == Measured(exit_status=137)
    unknown = bare.replace(", exit", ", disk unknown, exit")
    assert read_measured(unknown) == Measured(exit_status=137)


def test_a_line_of_a_run_that_did_not_measure_disks_is_read_as_well() -> None:
    """Such as one whose task a later version of the plugin takes up."""
    assert read_measured(LINE.replace("disk 20480.06 MiB, ", "")) == replace(
        READ, peak_disk_mib=None
    )


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "nothing was measured\n",
        LINE[:-1],
        LINE[:40],
        LINE + LINE,
        f"{LINE}\n{LINE}",
        LINE.replace("12.34", "-12.34"),
        LINE.replace("12.34", "nan"),
        LINE.replace("12.34", "9" * 400 + ".00"),
        LINE.replace("exit 0", "exit 1234"),
        LINE.replace("20480.06 MiB", "20480"),
        LINE.replace("2026", "\uff12\uff10\uff12\uff16"),
        7,
        [LINE],
        {"class": "File", "path": "x"},
        {"contents": LINE},
    ],
    ids=repr,
)
def test_whatever_else_a_platform_hands_back_is_as_good_as_nothing(text: object) -> None:
    assert read_measured(text) == NOTHING
    assert measured_by(task(text)) == NOTHING
    assert lines_of_jobs(text) == {}
    assert not NOTHING.is_told


@given(st.text() | st.binary().map(lambda data: data.decode("latin-1")))
def test_no_text_is_too_odd(text: str) -> None:
    assert isinstance(read_measured(text), Measured)
    assert isinstance(lines_of_jobs(text), dict)


def test_a_time_that_cannot_be_is_no_reason_to_leave_out_the_rest() -> None:
    odd = LINE.replace("2026-11-28T18", "2026-99-99T99")
    assert measured_by(task(odd, created_time="2026-11-28T19:00:00Z")) == READ


@pytest.mark.parametrize(
    ("document", "is_old"),
    [
        ({}, False),
        ({"created_time": "2026-11-28T18:56:00Z"}, False),
        # The clock of an instance may be slow.
        ({"created_time": "2026-11-28T18:57:00Z"}, False),
        ({"created_time": "2026-11-28T19:56:00Z"}, True),
        ({"execution_status": {"running_duration": 0}}, True),
        ({"execution_status": {"running_duration": 12_000}}, False),
        ({"start_time": "2026-11-28T18:56:36Z", "end_time": "2026-11-28T18:56:36Z"}, True),
        ({"start_time": "2026-11-28T18:56:36Z", "end_time": "2026-11-28T18:56:49Z"}, False),
    ],
    ids=str,
)
def test_what_a_memoized_task_says_is_marked(document: dict[str, Any], is_old: bool) -> None:
    assert measured_by(task(**document)) == replace(READ, is_old=is_old)


def test_each_job_of_a_pack_has_its_own() -> None:
    other = LINE.replace("exit 0", "exit 3")
    text = f"job 7: {LINE}\njob a-b: {other}\nleft out: 12\nsomething else\n"
    shared = task(text, outputs={MEASURED: text, "o": None})
    found = {
        job: measured_by(packed_job_of(shared, packed_job_id("t", job), {}))
        for job in ("7", "a-b", "8")
    }
    assert found == {"7": READ, "a-b": replace(READ, exit_status=3), "8": NOTHING}
    assert measured_by(shared) == NOTHING, "none of them alone"


def test_a_simulated_task_says_it_in_the_same_words() -> None:
    """The embedded platform knows them from the plugin's scripts alone."""
    fate = Fate(12.34, 314.5, 1048.576, fails=False, is_lost=False)
    alone = simulated_text(MEASURED_NAME, {"script": job_script(plan("jobs=3\necho"))}, fate)
    assert replace(read_measured(alone), output_bytes=1234) == Measured(
        12.34, 12.34, 299.93, 0, 1234, 1000
    )
    members = [
        Candidate(plan("true", jobid=job), TaskMark("r", job, 1, JobKey("a", "b")), {}, {})
        for job in ("7", "12")
    ]
    pack = Pack(tuple(members))
    text = simulated_text(MEASURED_NAME, {"script": pack.work.script}, fate)
    assert {job: read_measured(line) for job, line in lines_of_jobs(text).items()} == {
        "7": read_measured(alone),
        "12": read_measured(alone),
    }
    unknown = simulated_text(MEASURED_NAME, {}, replace(fate, memory_mb=0, disk_mb=0))
    assert read_measured(unknown).peak_memory_mib is None
    assert read_measured(unknown).peak_disk_mib is None
    assert read_measured(unknown).is_told
    assert simulated_text("other.txt", {}, fate) is None


def test_it_is_one_port_of_the_app_and_none_if_it_is_not_wanted() -> None:
    job = plan("true", outputs=[local("o")])
    with_it, without = app_document(job), app_document(replace(job, measured=False))
    (port,) = [one for one in with_it["outputs"] if one not in without["outputs"]]
    assert port["id"] == MEASURED
    assert "null" in port["type"]
    assert {**with_it, "outputs": without["outputs"]} == without
    assert MEASURED in json.dumps(app_document(job, packed=True))
    assert MEASURED not in json.dumps(app_document(replace(job, measured=False), packed=True))


def test_no_output_of_a_rule_takes_its_port() -> None:
    job = plan("true", outputs=[local("o", name=MEASURED)])
    assert job.outputs[0].port != MEASURED
