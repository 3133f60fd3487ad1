"""The record of runs: written line by line, read whole, whatever has happened to its file."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import fields, replace
from pathlib import Path

import pytest

from snakemake_executor_cavatica.observe import lines, record_file
from snakemake_executor_cavatica.observe.entries import (
    RECORD_VERSION,
    Attempt,
    Measured,
    Run,
    Status,
)
from snakemake_executor_cavatica.observe.record import (
    RECORD,
    RUNS,
    UnreadableRecord,
    find_record,
    read_record,
    records_here,
    runs_in,
)
from snakemake_executor_cavatica.observe.record_file import RecordFile

RUN = Run(
    id="20260101-120000-aaaaaa",
    command="snakemake --executor cavatica",
    directory="/work",
    snakemake="9.27.1",
    plugin="0.1.0",
    endpoint="https://cavatica-api.sbgenomics.com/v2",
    project="a/b",
    place="transfer",
    started=1000.0,
    jobs_by_rule={"align": 3},
)
FIRST = Attempt("aaaaaa.1", RUN.id, "7", "align", {"sample": "A"}, submitted=1001.0)
DONE = replace(
    FIRST,
    task="t1",
    status=Status.DONE,
    started=1010.0,
    ended=1070.25,
    price=0.12,
    currency="USD",
    measured=Measured(wall_seconds=59.5, exit_status=0),
)
NEWS = ["task", "status", "started", "ended", "price", "currency", "measured"]


def no_warning(text: str) -> None:
    raise AssertionError(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / RUNS / RUN.id


def write(folder: Path, *told: dict[str, object]) -> None:
    file = RecordFile(folder, no_warning)
    for line in told:
        file.write(line)
    file.close()


def test_what_is_written_is_read(folder: Path) -> None:
    ended = replace(RUN, ended=1080.0, outcome="done")
    write(
        folder,
        lines.run_line(RUN),
        lines.attempt_line(FIRST),
        lines.attempt_line(DONE, NEWS),
        lines.run_line(ended, ["ended", "outcome"]),
    )
    record = read_record(folder)
    assert (record.runs, record.attempts, record.remarks) == ((ended,), (DONE,), ())


def test_only_news_are_written() -> None:
    assert lines.attempt_line(replace(DONE, price=0.2), ["price"]) == {
        "attempt": {"id": FIRST.id, "price": 0.2}
    }
    first = lines.attempt_line(FIRST)["attempt"]
    assert set(first) == {"id", "run", "jobid", "rule", "wildcards", "submitted"}


def test_what_is_not_known_any_more_is_written_too(folder: Path) -> None:
    unknown = replace(DONE, price=None)
    write(folder, lines.attempt_line(DONE), lines.attempt_line(unknown, ["price"]))
    assert read_record(folder).attempts == (unknown,)


@pytest.mark.parametrize("left", [1, 20, 60])
def test_a_last_line_that_is_cut_short_loses_nothing_else(folder: Path, left: int) -> None:
    write(folder, lines.run_line(RUN), lines.attempt_line(FIRST))
    whole = (folder / RECORD).read_bytes()
    told = json.dumps(lines.attempt_line(DONE, NEWS)).encode()
    (folder / RECORD).write_bytes(whole + told[:left])
    record = read_record(folder)
    assert (record.runs, record.attempts) == ((RUN,), (FIRST,))
    [remark] = record.remarks
    assert "Line 3" in remark
    assert "cut short" in remark

    write(folder, lines.attempt_line(DONE, NEWS))
    record = read_record(folder)
    assert record.attempts == (DONE,), "the next run begins a line of its own"
    assert len(record.remarks) == 1


def test_an_attempt_without_its_beginning_is_left_out(folder: Path) -> None:
    write(folder, lines.run_line(RUN), lines.attempt_line(DONE, NEWS))
    record = read_record(folder)
    assert record.attempts == ()
    [remark] = record.remarks
    assert FIRST.id in remark


def test_a_newer_version_is_refused(folder: Path) -> None:
    write(folder, {**lines.run_line(RUN), "version": RECORD_VERSION + 1})
    with pytest.raises(UnreadableRecord, match=f"has version {RECORD_VERSION + 1}"):
        read_record(folder)


def test_keys_of_later_plugins_are_no_trouble(folder: Path) -> None:
    line = lines.attempt_line(DONE)
    line["attempt"]["carbon"] = 3
    line["attempt"]["measured"]["gpu_seconds"] = 1
    write(folder, line, {"weather": "fine"}, lines.run_line(RUN))
    record = read_record(folder)
    assert (record.attempts, record.runs, record.remarks) == ((DONE,), (RUN,), ())


FIELDS = [(kind, one.name) for kind in (Run, Attempt) for one in fields(kind) if one.name != "id"]


@pytest.mark.parametrize(("kind", "name"), FIELDS)
@pytest.mark.parametrize(
    "value", [[], [["x"]], {"wall_seconds": []}, -1e300, float("nan"), 10**400]
)
def test_what_is_of_another_kind_is_left_out_and_told(
    folder: Path, kind: type, name: str, value: object
) -> None:
    """No command ends by what somebody else, or a broken disk, has written there."""
    run, attempt = lines.run_line(RUN), lines.attempt_line(DONE)
    wrong = run["run"] if kind is Run else attempt["attempt"]
    wrong[name] = value
    others = replace(RUN, id="20260102-120000-bbbbbb"), replace(DONE, id="aaaaaa.2")
    write(folder, lines.run_line(others[0]), run, attempt, lines.attempt_line(others[1]))
    record = read_record(folder)
    [remark] = record.remarks
    assert f"says of {wrong['id']} is not enough" in remark
    assert record.runs == ((others[0],) if kind is Run else (others[0], RUN))
    assert record.attempts == ((DONE, others[1]) if kind is Run else (others[1],))
    assert runs_in(folder) == list(record.runs)


@pytest.mark.parametrize("measured", [{"wall_seconds": float("inf")}, {"exit_status": "one"}])
def test_what_was_measured_is_a_number(folder: Path, measured: dict[str, object]) -> None:
    line = lines.attempt_line(FIRST)
    line["attempt"]["measured"] = measured
    write(folder, line, lines.run_line(RUN))
    assert read_record(folder).attempts == ()


def test_names_that_are_no_text_can_be_told(folder: Path) -> None:
    write(folder, lines.run_line(replace(RUN, directory="/data/\udcff", command="x \udcff")))
    [run] = read_record(folder).runs
    assert f"{run.directory} {run.command}".encode().decode() == "/data/\ufffd x \ufffd"


def test_a_line_without_end_is_no_line(folder: Path) -> None:
    write(folder, lines.run_line(RUN))
    with (folder / RECORD).open("a") as stream:
        stream.write(f'{{"run":{"[" * 100_000}\n')
    assert len(read_record(folder).remarks) == 1
    assert runs_in(folder) == [RUN]


def test_records_are_found_by_any_of_their_runs(tmp_path: Path, folder: Path) -> None:
    resumed = replace(RUN, id="20260102-120000-bbbbbb")
    write(folder, lines.run_line(RUN), lines.run_line(resumed))
    other = tmp_path / RUNS / "20251231-120000-cccccc"
    write(other, lines.run_line(replace(RUN, id=other.name)))
    os.utime(other / RECORD, (1, 1))
    assert records_here(tmp_path) == [folder, other]
    assert runs_in(folder) == [RUN, resumed]
    assert find_record(tmp_path) == folder
    assert find_record(tmp_path, resumed.id) == folder
    assert find_record(tmp_path, resumed.id.rpartition("-")[2]) == folder
    assert find_record(tmp_path, other.name) == other
    with pytest.raises(UnreadableRecord, match=f"about the run x.*{resumed.id}, {other.name}"):
        find_record(tmp_path, "x")


def test_where_no_run_was_there_is_no_record(tmp_path: Path, folder: Path) -> None:
    assert records_here(tmp_path) == []
    with pytest.raises(UnreadableRecord, match="No run has left a record here"):
        find_record(tmp_path, RUN.id)
    with pytest.raises(UnreadableRecord, match="cannot be read: No such file"):
        read_record(folder)


def test_a_full_disk_is_told_once_and_nothing_is_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    file = RecordFile(folder, told.append)
    file.write(lines.run_line(RUN))
    write_some = os.write
    monkeypatch.setattr(
        record_file.os, "write", lambda number, line: write_some(number, line[: len(line) // 2])
    )
    file.write(lines.attempt_line(FIRST))

    def full(number: int, line: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(record_file.os, "write", full)
    file.write(lines.attempt_line(replace(FIRST, task="t1"), ["task"]))
    monkeypatch.undo()
    file.write(lines.attempt_line(DONE, NEWS))
    file.close()
    record = read_record(folder)
    assert (record.runs, record.attempts) == ((RUN,), (DONE,))
    assert len(told) == 1
    assert "The run goes on" in told[0]


def test_a_folder_that_cannot_be_made_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told: list[str] = []
    file = RecordFile(tmp_path / "file" / "run", told.append)
    file.write(lines.run_line(RUN))
    file.write(lines.attempt_line(FIRST))
    file.close()
    assert len(told) == 1
    assert "Not a directory" in told[0]
