"""What the index of a project knows, without asking for it again."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import cast

import pytest

from snakemake_executor_cavatica.api import (
    AsyncJob,
    CavaticaError,
    Client,
    File,
    Forbidden,
    ManyItems,
    NoAnswer,
    NotFound,
    Stop,
    background,
)
from snakemake_executor_cavatica.project.index import ProjectIndex


def file(identifier: str, name: str, *, folder: bool = False, **more: object) -> File:
    kind = "folder" if folder else "file"
    return File.model_validate({"id": identifier, "name": name, "type": kind, **more})


def at(second: int) -> str:
    """A moment in the platform's writing; `seconds_at` is what it means."""
    return f"2026-01-01T00:00:{second:02}Z"


def seconds_at(second: int) -> float:
    return datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC).timestamp()


class Listings:
    """A client that lists folders, and counts how often."""

    def __init__(self, content: dict[str, list[File]]) -> None:
        self.content = content
        self.totals: dict[str, int] = {}
        """Of folders that are said to be larger than they are."""
        self.stop = Stop()
        self.asked: list[str] = []
        self.deleted: list[str] = []

    def list_files(
        self,
        *,
        parent: str = "",
        project: str = "",
        names: Sequence[str] | None = None,
    ) -> Iterator[File]:
        self.asked.append(f"{parent}/{'|'.join(names)}" if names else parent)
        return (file for file in self.content[parent] if not names or file.name in names)

    def list_if_few(self, most: int, *, parent: str = "", project: str = "") -> Iterator[File]:
        total = self.totals.get(parent, 0)
        if total <= most:
            return self.list_files(parent=parent, project=project)
        self.asked.append(parent)
        raise ManyItems(total)

    def delete_files(self, files: Iterable[str]) -> dict[str, object]:
        self.deleted += files
        return {}

    def start_async(self, _kind: str, items: list[dict[str, str]]) -> AsyncJob:
        self.deleted += [item["file"] for item in items]
        return AsyncJob.model_validate({"id": "job"})

    def async_job(self, _kind: str, job: str) -> AsyncJob:
        return AsyncJob.model_validate({"id": job, "state": "FINISHED"})

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


@pytest.mark.parametrize("deferred", [False, True])
def test_a_folder_stays_until_what_was_made_from_it_is_on_record(
    index: ProjectIndex, client: Listings, deferred: bool
) -> None:
    """Protects a run that is killed: the next one could not make those results again without it."""
    is_on_record = False
    index.deletions.deferred = deferred
    index.deletions.may_delete = lambda: is_on_record
    assert index.find("data") is not None
    index.remove("data")
    assert index.find("data") is None
    assert index.deletions.occupy(["data"])
    assert not client.deleted
    is_on_record = True
    index.deletions.flush()
    assert client.deleted == ["f-data"]
    assert not index.deletions.occupy(["data"])


@pytest.mark.parametrize("deferred", [False, True])
def test_a_file_stays_until_what_was_made_from_it_is_on_record(
    index: ProjectIndex, client: Listings, deferred: bool
) -> None:
    is_on_record = False
    index.deletions.deferred = deferred
    index.deletions.may_delete = lambda: is_on_record
    index.remove("a.txt")
    index.deletions.flush()
    assert index.find("a.txt") is None
    assert index.deletions.occupy(["a.txt"])
    assert not client.deleted
    is_on_record = True
    index.deletions.flush()
    assert client.deleted == ["1"]
    assert not index.deletions.occupy(["a.txt"])


def test_what_waits_for_its_deletion_may_be_spared(index: ProjectIndex, client: Listings) -> None:
    """Protects paid results that Snakemake deletes because it cannot write here."""
    index.deletions.deferred = True
    for path in ("a.txt", "data"):
        index.remove(path)
        assert index.deletions.are_overdue(0)
        index.deletions.spare_at(path)
        assert not index.deletions.are_overdue(0)
    index.deletions.flush()
    assert not client.deleted


def test_a_folder_that_cannot_be_deleted_is_told_and_waits(
    index: ProjectIndex, client: Listings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects what else waits for its deletion, and the next try."""
    index.deletions.deferred = True
    for path in ("data", "a.txt"):
        index.remove(path)
    with monkeypatch.context() as patched:
        patched.setattr(client, "get_file", lambda _: file("f-data", "data", folder=True))
        with pytest.raises(CavaticaError, match=r"The folder .*/data could not be deleted"):
            index.deletions.flush()
    assert "1" in client.deleted
    assert not index.deletions.occupy(["a.txt"])
    assert index.deletions.occupy(["data"])
    index.deletions.flush()
    assert not index.deletions.occupy(["data"])


def test_only_what_is_in_the_way_keeps_a_job_from_its_place(
    index: ProjectIndex, client: Listings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects a job from a file that cannot be deleted, and from waiting for folders of others."""
    index.deletions.deferred = True
    for path in ("data/sub", "data/b.txt", "a.txt"):
        index.remove(path)
    refused = Forbidden("no permission", status=403)
    with monkeypatch.context() as patched:
        patched.setattr(client, "delete_files", lambda _: {"1": refused})
        index.deletions.make_way(["data/b.txt"])
        assert not client.deleted, "the folder is in nobody's way"
        with pytest.raises(CavaticaError, match=r"a\.txt: no permission"):
            index.deletions.make_way(["a.txt"])
    index.deletions.make_way(["data/sub/d.txt"])
    assert client.deleted == ["1", "f-sub"]


@pytest.mark.parametrize("sent", [True, False])
def test_a_platform_that_does_not_answer_is_not_asked_for_each_folder(
    index: ProjectIndex, client: Listings, monkeypatch: pytest.MonkeyPatch, sent: bool
) -> None:
    """Protects the end of a run from as many times all patience."""
    index.deletions.deferred = True
    asked: set[str] = set()

    def unanswered(_: str, items: list[dict[str, str]]) -> AsyncJob:
        asked.update(item["file"] for item in items)
        raise NoAnswer("no answer", sent=sent)

    for path in ("data/sub", "data"):
        index.remove(path)
    monkeypatch.setattr(client, "start_async", unanswered)
    monkeypatch.setattr(client, "get_file", lambda _: file("f-sub", "sub", folder=True))
    monkeypatch.setattr(background, "A_MOMENT", 0.1)
    with pytest.raises(CavaticaError, match="no answer"):
        index.deletions.flush()
    assert len(asked) == 1
    assert index.deletions.occupy(["data"])
    assert index.deletions.occupy(["data/sub"])


def test_a_file_is_as_old_as_its_content_whatever_was_done_to_it_since(
    index: ProjectIndex, client: Listings
) -> None:
    """A move, or new metadata, changes when it was modified: no reason to run jobs again."""
    client.content[""] = [
        file("1", "moved", created_on=at(1), modified_on=at(9)),
        file("2", "told", modified_on=at(5)),
        file("3", "neither"),
    ]
    times = {entry.path: index.mtime(entry) for entry in index.children("")}
    assert times == {"moved": seconds_at(1), "told": seconds_at(5), "neither": 0}


@pytest.mark.parametrize("folder_itself", [1, 9])
def test_a_folder_is_as_new_as_the_newest_file_in_it(
    index: ProjectIndex, client: Listings, folder_itself: int
) -> None:
    """The platform tells when it was made, which can be before or after what it holds."""
    client.content[""] = [file("f-data", "data", folder=True, created_on=at(folder_itself))]
    client.content["f-data"] = [
        file("f-sub", "sub", folder=True, created_on=at(folder_itself)),
        file("2", "b.txt", created_on=at(3)),
    ]
    client.content["f-sub"] = [file("3", "c.txt", created_on=at(4))]
    data = index.find("data")
    assert data is not None
    assert index.mtime(data) == seconds_at(4)


def test_an_empty_folder_is_as_old_as_it_is(index: ProjectIndex, client: Listings) -> None:
    client.content["f-sub"] = []
    client.content["f-data"] = [file("f-sub", "sub", folder=True, created_on=at(2))]
    data = index.find("data")
    assert data is not None
    assert index.mtime(data) == seconds_at(2)


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


@pytest.fixture
def large(index: ProjectIndex, client: Listings) -> ProjectIndex:
    """The same with a folder of which twenty names may be asked for."""
    client.content["f-data"] += [file(f"n{n}", f"{n}.txt") for n in range(30)]
    client.totals["f-data"] = 20_000
    assert index.find("data") is not None
    client.asked.clear()
    return index


def test_a_large_folder_is_not_listed_for_some_of_its_files(
    large: ProjectIndex, client: Listings
) -> None:
    """Protects runs that use a few of 200,000 files, of which a listing takes ten minutes."""
    for _ in range(2):
        assert large.find("data/b.txt") is not None
        assert large.find("data/none.txt") is None
        assert large.find("data/sub/c.txt") is not None
    assert client.asked == ["f-data", "f-data/b.txt", "f-data/none.txt", "f-data/sub", "f-sub"]


def test_a_large_folder_is_listed_once_much_is_asked_for(
    large: ProjectIndex, client: Listings
) -> None:
    for _ in range(2):
        for n in range(30):
            assert large.find(f"data/{n}.txt") is not None
    assert client.asked == ["f-data", *(f"f-data/{n}.txt" for n in range(20)), "f-data"]
    assert len(large.children("data")) == 32


@pytest.mark.parametrize(("files_named", "is_listed"), [(1_999, False), (2_000, True)])
def test_a_large_folder_is_listed_at_once_where_a_workflow_names_as_many_files(
    client: Listings, files_named: int, is_listed: bool
) -> None:
    """Protects large workflows from asking for name after name before the folder is listed."""
    client.totals["f-data"] = 20_000
    index = ProjectIndex(cast(Client, client), "owner/project", lambda: files_named)
    assert index.find("data/b.txt") is not None
    assert client.asked[2:] == (["f-data"] if is_listed else ["f-data/b.txt"])


def test_it_is_told_when_a_listing_takes_minutes(
    large: ProjectIndex, client: Listings, caplog: pytest.LogCaptureFixture
) -> None:
    """Protects users from ten silent minutes."""
    client.totals["f-data"] = 30_000
    large.children("data")
    assert not caplog.messages
    client.content[""].append(file("f-huge", "huge", folder=True))
    client.totals["f-huge"] = 200_001
    client.content["f-huge"] = [file("h", "h.txt")]
    large.add_tree("huge", file("f-huge", "huge", folder=True))
    assert [one.path for one in large.children("huge")] == ["huge/h.txt"]
    (told,) = caplog.messages
    assert "owner/project/huge holds 200,001 files" in told
    assert "up to 11 minutes" in told


def test_what_was_not_there_in_a_large_folder_appears_when_this_run_reports_it(
    large: ProjectIndex, client: Listings
) -> None:
    """Protects jobs from outputs of tasks that still run, whenever their folder is listed."""
    assert large.find("data/new.txt") is None
    client.content["f-data"].append(file("new", "new.txt"))
    assert large.find("data/new.txt") is None
    assert "data/new.txt" not in {entry.path for entry in large.children("data")}
    large.add("data/new.txt", file("new", "new.txt"))
    assert large.find("data/new.txt") is not None
    assert "data/new.txt" in {entry.path for entry in large.children("data")}


def test_what_was_removed_from_a_large_folder_is_gone_at_once(
    large: ProjectIndex, client: Listings
) -> None:
    """The platform deletes it later."""
    large.deletions.may_delete = lambda: False
    assert large.find("data/b.txt") is not None
    large.remove("data/b.txt")
    assert large.find("data/b.txt") is None
    assert "data/b.txt" not in {entry.path for entry in large.children("data")}


class _Unreported:
    """Hides what a run has left, and asks for its journal in the same folder meanwhile."""

    def __init__(self, index: ProjectIndex) -> None:
        self.index = index

    def hidden(self, folder: str, files: Sequence[File]) -> Iterable[File]:
        self.index.find(posixpath.join(folder, "journal"))
        return [file for file in files if file.name == "b.txt"]


def test_what_a_run_has_left_in_a_large_folder_stays_hidden(
    large: ProjectIndex, client: Listings
) -> None:
    large.veil = _Unreported(large)
    for _ in range(2):
        assert large.find("data/b.txt") is None
        assert large.find("data/3.txt") is not None
    assert client.asked == ["f-data", "f-data/b.txt", "f-data/journal", "f-data/3.txt"]
    assert "data/b.txt" not in {entry.path for entry in large.children("data")}


def test_a_folder_with_an_odd_name_is_found_in_a_large_one(
    large: ProjectIndex, client: Listings
) -> None:
    client.content["f-data"].append(file("f-odd", "a_.20b", folder=True))
    client.content["f-odd"] = [file("7", "c.txt")]
    assert large.find("data/a b/c.txt") is not None


def test_a_name_that_could_not_be_asked_for_is_not_taken_for_absent(
    large: ProjectIndex, client: Listings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects against jobs that run again because the network failed for a moment."""
    assert large.find("data/1.txt") is not None
    with monkeypatch.context() as broken:
        broken.setattr(client, "list_files", _fail)
        with pytest.raises(NoAnswer):
            large.find("data/b.txt")
    assert large.find("data/b.txt") is not None


def _fail(**_: object) -> Iterator[File]:
    raise NoAnswer("the network is down", sent=False)
