"""What the index of a project knows, without asking for it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from snakemake_executor_cavatica.api import AsyncJob, Client, File, NotFound
from snakemake_executor_cavatica.index import ProjectIndex


def file(identifier: str, name: str, *, folder: bool = False) -> File:
    kind = "folder" if folder else "file"
    return File.model_validate({"id": identifier, "name": name, "type": kind})


class Listings:
    """A client that lists folders, and counts how often."""

    def __init__(self, content: dict[str, list[File]]) -> None:
        self.content = content
        self.asked: list[str] = []
        self.deleted: list[str] = []

    def list_files(self, *, parent: str = "", project: str = "", **_: Any) -> Iterator[File]:
        self.asked.append(parent)
        return iter(self.content[parent])

    def start_async(self, _kind: str, items: list[dict[str, str]]) -> AsyncJob:
        self.deleted += [item["file"] for item in items]
        return AsyncJob.model_validate({"id": "job"})

    def wait_async(self, _kind: str, job: str) -> AsyncJob:
        return AsyncJob.model_validate({"id": job})

    def get_file(self, file_id: str) -> File:
        raise NotFound(f"{file_id} is gone")


@pytest.fixture
def client() -> Listings:
    return Listings(
        {
            "": [file("f-data", "data", folder=True), file("1", "a.txt")],
            "f-data": [file("f-sub", "sub", folder=True), file("2", "b.txt")],
            "f-sub": [file("3", "c.txt")],
        }
    )


@pytest.fixture
def index(client: Listings) -> ProjectIndex:
    return ProjectIndex(cast(Client, client), "owner/project")


def test_each_folder_is_listed_once(index: ProjectIndex, client: Listings) -> None:
    for _ in range(3):
        assert [entry.path for entry in index.walk("")] == [
            "a.txt",
            "data",
            "data/b.txt",
            "data/sub",
            "data/sub/c.txt",
        ]
        assert index.find("data/none.txt") is None
        assert index.find("none/none.txt") is None
    assert client.asked == ["", "f-data", "f-sub"]
    assert index.ids() == {"1", "2", "3", "f-data", "f-sub"}


def test_a_folder_stays_until_what_was_made_from_it_is_on_record(
    index: ProjectIndex, client: Listings
) -> None:
    """Protects a run that is killed: the next one could not make those results again without it."""
    is_on_record = False
    index.before_deletion = lambda: is_on_record
    assert index.find("data") is not None
    index.remove("data")
    assert index.find("data") is None
    assert index.is_doomed(["data"])
    assert not client.deleted
    is_on_record = True
    index.flush()
    assert client.deleted == ["f-data"]
    assert not index.is_doomed(["data"])


def test_a_folder_that_is_replaced_is_listed_anew(index: ProjectIndex, client: Listings) -> None:
    assert index.find("data/sub/c.txt") is not None
    index.add("data/new/deep/d.txt", file("4", "d.txt"))
    client.content["f-other"] = [file("5", "e.txt")]
    index.add_tree("data", file("f-other", "data", folder=True))
    assert [entry.path for entry in index.walk("data")] == ["data/e.txt"]
    assert index.find("data/new/deep/d.txt") is None
    assert index.ids() == {"1", "5", "f-other"}


def test_what_somebody_else_has_deleted_is_gone(index: ProjectIndex) -> None:
    assert len(list(index.walk(""))) == 5
    index.forget({"2", "unknown"})
    assert index.find("data/b.txt") is None
    assert [entry.path for entry in index.children("data")] == ["data/sub"]


def test_a_file_in_the_place_of_another_has_its_own_id(index: ProjectIndex) -> None:
    assert index.find("a.txt") is not None
    index.add("a.txt", file("9", "a.txt"))
    entry = index.find("a.txt")
    assert entry is not None
    assert entry.id == "9"
    index.forget({"1"})
    assert index.find("a.txt") is not None
