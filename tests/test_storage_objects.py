"""Copies here of what lies in a project."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snakemake_executor_cavatica import storage
from snakemake_executor_cavatica.project.index import Entry
from snakemake_executor_cavatica.storage import StorageObject

CHANGED = 1_000_000_000.0
NOW = CHANGED + 20


class Index:
    """A project with one file, if any."""

    def __init__(self, entry: Entry | None) -> None:
        clock = SimpleNamespace(now=lambda: datetime.fromtimestamp(NOW, UTC))
        self.client = SimpleNamespace(transport=SimpleNamespace(clock=clock))
        self.touched = 0.0
        self._entry = entry

    def find(self, _path: str) -> Entry | None:
        return self._entry

    def mtime(self, entry: Entry) -> float:
        return entry.mtime

    def touch(self, _entry: Entry, mtime: float) -> None:
        self.touched = mtime


class Stored(StorageObject):
    """A file of that project, with its copy in a folder of the test's."""

    _index: Any = None
    keep_local = False

    def __init__(self, index: Index, copy: Path) -> None:
        self.query = "cavatica://owner/project/data.txt"
        self._index = index
        self._copy = copy
        self.provider: Any = SimpleNamespace(connection=SimpleNamespace(copies=set()))

    def local_path(self) -> Path:
        return self._copy


@pytest.fixture(autouse=True)
def _fetches(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(_client: object, _id: str, target: Path, **_: object) -> None:
        target.write_text("new")

    monkeypatch.setattr(storage, "fetch", fetch)


@pytest.mark.parametrize(("age", "left"), [(None, "new"), (-1, "new"), (0, "old"), (1, "old")])
def test_a_copy_is_fetched_anew_if_the_file_is_newer(
    tmp_path: Path, age: float | None, left: str
) -> None:
    """A run that goes on where another has stopped would decide by results that are no more."""
    copy = tmp_path / "data.txt"
    if age is not None:
        copy.write_text("old")
        os.utime(copy, (CHANGED + age,) * 2)
    stored = Stored(Index(Entry("data.txt", "1", False, 3, CHANGED)), copy)
    stored.provide_copy()
    assert copy.read_text() == left
    assert stored.provider.connection.copies == ({copy} if left == "new" else set())
    assert copy.stat().st_mtime >= CHANGED, "and is not fetched again"


def test_there_is_no_copy_of_what_is_not_there(tmp_path: Path) -> None:
    Stored(Index(None), tmp_path / "data.txt").provide_copy()
    assert not (tmp_path / "data.txt").exists()


def test_the_clock_of_this_machine_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which may be hours ahead of the platform's, or behind."""
    monkeypatch.setattr(time, "time", lambda: CHANGED + 9999)
    copy, index = tmp_path / "data.txt", Index(Entry("data.txt", "1", False, 3, CHANGED))
    stored = Stored(index, copy)
    stored.provide_copy()
    fetched = copy.stat().st_mtime
    copy.write_text("old")
    os.utime(copy, (fetched, fetched))
    stored._index = Index(Entry("data.txt", "2", False, 3, CHANGED + 10))
    stored.provide_copy()
    assert copy.read_text() == "new"
    stored.touch()
    assert stored._index.touched == NOW
