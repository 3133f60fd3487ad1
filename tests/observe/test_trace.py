"""Nextflow's trace columns."""

from __future__ import annotations

import csv
import io
import logging
import time
from pathlib import Path

import pytest
from attempts import attempt

from snakemake_executor_cavatica.observe.entries import Measured, Status
from snakemake_executor_cavatica.observe.files_at_end import FilesAtEnd
from snakemake_executor_cavatica.observe.trace import COLUMNS, trace


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), delimiter="\t"))


def test_the_columns_are_those_of_nextflow() -> None:
    # docs/reports.mdx of nextflow-io/nextflow: the default fields.
    assert ",".join(COLUMNS) == (
        "task_id,hash,native_id,name,status,exit,submit,duration,realtime,"
        "%cpu,peak_rss,peak_vmem,rchar,wchar"
    )


def test_a_name_that_is_no_text_does_not_keep_the_file_from_being_written(tmp_path: Path) -> None:
    """Of a job that was refused for it; this is called at the very end of a run."""
    path = tmp_path / "trace.txt"
    jobs = [attempt(1, wildcards={"sample": "\udcff"})]
    written = FilesAtEnd(trace=path).write("run", tmp_path, jobs, logging.getLogger())
    assert written == [("trace", path)]
    assert rows(path.read_text())[0]["name"] == "align (sample=\\udcff)"


def test_what_is_known_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    measured = Measured(wall_seconds=95.0, cpu_seconds=142.5, peak_memory_mib=314.25, exit_status=0)
    [row] = rows(trace([attempt(7, measured=measured, submitted=1_000_000.25)]))
    assert row == {
        "task_id": "1",
        "hash": "00/000007",
        "native_id": "00000007-0000-4000-8000-000000000000",
        "name": "align (sample=S7)",
        "status": "COMPLETED",
        "exit": "0",
        "submit": "1970-01-12 13:46:40.250",
        "duration": "1m 50s",
        "realtime": "1m 35s",
        "%cpu": "150.0%",
        "peak_rss": "314.2 MB",
        "peak_vmem": "-",
        "rchar": "-",
        "wchar": "-",
    }


def test_what_is_not_known_is_a_dash() -> None:
    bare = attempt(
        1, task=None, status=Status.FAILED, submitted=None, started=None, ended=None, wildcards={}
    )
    [row] = rows(trace([bare]))
    assert row["name"] == "align"
    assert row["status"] == "FAILED"
    known = {"task_id", "name", "status"}
    assert {value for name, value in row.items() if name not in known} == {"-"}


def test_times_without_measurements_are_those_of_the_task() -> None:
    [row] = rows(trace([attempt(1, started=1_000_100.5, ended=1_000_111)]))
    assert (row["duration"], row["realtime"], row["%cpu"]) == ("1m 51s", "10.5s", "-")


@pytest.mark.parametrize("status", list(Status))
def test_each_status_has_a_name_of_nextflow(status: Status) -> None:
    [row] = rows(trace([attempt(1, status=status)]))
    assert row["status"] in {"SUBMITTED", "RUNNING", "COMPLETED", "FAILED", "ABORTED", "CACHED"}


def test_a_wildcard_with_a_tab_keeps_its_line_whole() -> None:
    [row] = rows(trace([attempt(1, wildcards={"x": "a\tb\nc"})]))
    assert row["name"] == "align (x=a b c)"
    assert row["wchar"] == "-"
