"""What a record says of the run itself, and which record a run goes on with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attempts import attempt, run

from snakemake_executor_cavatica.api import Token
from snakemake_executor_cavatica.observe import lines
from snakemake_executor_cavatica.observe.record import RUNS
from snakemake_executor_cavatica.observe.record_file import RecordFile
from snakemake_executor_cavatica.observe.this_run import interrupted_record, told_arguments

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["/usr/bin/snakemake", "--jobs", "4"], ["snakemake", "--jobs", "4"]),
        (
            ["x", "--storage-s3-secret-key", "hush", "-n"],
            ["x", "--storage-s3-secret-key", "***", "-n"],
        ),
        (["x", "--some-password=hush"], ["x", "--some-password=***"]),
        (["x", "--config", "api_key=hush", "n=1"], ["x", "--config", "api_key=***", "n=1"]),
        (["x", "--config=api_key=hush", "n=1"], ["x", "--config=api_key=***", "n=1"]),
        (
            ["x", "--config", 'auth={"password": "hush", "user": "me"}', "n=1"],
            ["x", "--config", 'auth={"password": "***", "user": "me"}', "n=1"],
        ),
        (
            ["x", "--config=a={hosts: [{name: b, db: {access_key: hush}}], s: {token: {x: hush}}}"],
            [
                "x",
                '--config=a={"hosts": [{"name": "b", "db": {"access_key": "***"}}],'
                ' "s": {"token": "***"}}',
            ],
        ),
        (["x", "--config", "auth=password: hush"], ["x", "--config", 'auth={"password": "***"}']),
        (["x", "--storage-x", '{"api-key": "hush=1"}'], ["x", "--storage-x", '{"api-key": "***"}']),
        (["x", "--config", "auth={password: hush"], ["x", "--config", "auth=***"]),
        (
            ["x", "--config", "a={ b:  [1, 2]}", "c=d: e"],
            ["x", "--config", "a={ b:  [1, 2]}", "c=d: e"],
        ),
        (["x", "--url", "https://me:hush@host/x"], ["x", "--url", "https://***@host/x"]),
        (["x", "--url=https://me:hush@host/x"], ["x", "--url=https://***@host/x"]),
        (["x", "--envvars", "MY_TOKEN"], ["x", "--envvars", "MY_TOKEN"]),
    ],
)
def test_a_command_is_told_without_secrets(given: list[str], told: list[str]) -> None:
    connection: Any = SimpleNamespace(token=Token(TOKEN))
    assert list(told_arguments(given, connection)) == told


def test_the_token_is_told_nowhere() -> None:
    connection: Any = SimpleNamespace(token=Token(TOKEN))
    given = ["x", TOKEN, f"--config=a={TOKEN}", f"b={TOKEN}c"]
    assert TOKEN not in " ".join(told_arguments(given, connection))


def keep(directory: Path, *, name: str = "20260101-120000-aaaaaa", **known: Any) -> Path:
    folder = directory / RUNS / name
    file = RecordFile(folder, print)
    file.write(lines.run_line(run(id=name, **known)))
    file.write(lines.attempt_line(attempt(1)))
    file.close()
    return folder


NEXT = run(id="20260102-120000-bbbbbb", ended=None, outcome="")


@pytest.mark.parametrize(
    ("outcome", "goes_on"),
    [("limit", True), ("cancelled", True), ("detached", True), ("done", False), ("failed", False)],
)
def test_a_run_goes_on_with_the_record_of_one_that_was_interrupted(
    tmp_path: Path, outcome: str, goes_on: bool
) -> None:
    folder = keep(tmp_path, outcome=outcome)
    found = interrupted_record(tmp_path, NEXT, [])
    assert (found is not None) == goes_on
    if found is not None:
        assert (found.folder, found.attempts) == (folder, (attempt(1),))


@pytest.mark.parametrize("change", [{"project": "a/c"}, {"place": "storage"}])
def test_another_place_is_another_record(tmp_path: Path, change: dict[str, Any]) -> None:
    keep(tmp_path, outcome="limit")
    assert interrupted_record(tmp_path, replace(NEXT, **change), []) is None


def test_a_run_goes_on_with_the_record_of_the_tasks_that_it_takes_up(tmp_path: Path) -> None:
    older = keep(tmp_path, outcome="", ended=None)
    keep(tmp_path, name="20260101-130000-cccccc", outcome="done")
    found = interrupted_record(tmp_path, NEXT, [older.name])
    assert found is not None
    assert found.folder == older


def test_a_run_that_was_killed_and_has_left_no_task_is_over(tmp_path: Path) -> None:
    assert interrupted_record(tmp_path, NEXT, ["gone"]) is None
    keep(tmp_path, outcome="", ended=None)
    assert interrupted_record(tmp_path, NEXT, ["gone"]) is None
