"""`snakemake-cavatica report`, where there is nothing to report: one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from snakemake_executor_cavatica.commands.main import main
from snakemake_executor_cavatica.observe import lines
from snakemake_executor_cavatica.observe.record import RECORD, RUNS
from tests.made_runs import RUN, made_run


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the record of a run."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / RUNS / RUN
    folder.mkdir(parents=True)
    record = made_run(10)
    told = [lines.run_line(record.runs[0]), *map(lines.attempt_line, record.attempts)]
    (folder / RECORD).write_text("".join(json.dumps(line) + "\n" for line in told))
    return tmp_path


def sentence(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["report", *arguments]) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    [told] = errors.splitlines()
    return told.removeprefix("snakemake-cavatica: ")


def test_the_newest_run_is_reported(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report"]) == 0
    assert capsys.readouterr() == (f"{directory}/cavatica-report.html\n", "")
    assert RUN in (directory / "cavatica-report.html").read_text(encoding="utf-8")


def test_a_run_of_another_directory_is_reported_here(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects who calls it as all other commands about runs: --directory is where the run was."""
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    for option in ("-d", "--directory"):
        monkeypatch.chdir(elsewhere)
        assert main(["report", RUN, option, "..", "-o", "own.html"]) == 0
        assert capsys.readouterr() == (f"{elsewhere}/own.html\n", "")
    monkeypatch.chdir(elsewhere)
    assert sentence(capsys, "-d", "no").endswith("--directory no: No such file or directory.")


def test_an_unknown_run(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = sentence(capsys, "20260101-000000-aaaaaa")
    assert told.endswith(f"about the run 20260101-000000-aaaaaa. The newest ones are about {RUN}.")


def test_no_run_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence(capsys).startswith("No run has left a record here ")
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_a_task(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = directory / RUNS / RUN / RECORD
    file.write_text(file.read_text().splitlines(keepends=True)[0])
    assert sentence(capsys).startswith(f"The run {RUN} has started no task ")


def test_a_record_of_a_newer_version(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = directory / RUNS / RUN / RECORD
    file.write_text(file.read_text().replace('"version": 1', '"version": 99', 1))
    assert "has version 99, and this version of the plugin reads up to 1" in sentence(capsys)


def test_a_file_that_cannot_be_written(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = sentence(capsys, "-o", "missing/x.html")
    path = directory / "missing/x.html"
    assert told == f"The report {path} cannot be written: No such file or directory."
