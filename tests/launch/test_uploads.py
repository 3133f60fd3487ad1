"""Which inputs are uploaded, and which are known to be on the platform."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from snakemake_executor_cavatica.api import CavaticaError, File, FileRef, NotFound, Stop
from snakemake_executor_cavatica.launch import uploads as uploads_module
from snakemake_executor_cavatica.launch.uploads import Uploads
from snakemake_executor_cavatica.project.local_record import Known, LocalRecord, checksum_of
from snakemake_executor_cavatica.project.paths import ProjectPath
from snakemake_executor_cavatica.project.tree import Entry


class Connection:
    """A connection, its client and its index in one: they know which files there still are."""

    def __init__(self) -> None:
        self.there: set[str] = set()
        self.client = self
        self.stop = Stop()

    def index(self, _project: str) -> Connection:
        return self

    def get_files(self, files: Iterable[str]) -> dict[str, File | NotFound]:
        return {
            file: File.model_validate({"id": file, "name": file})
            if file in self.there
            else NotFound(f"{file} is gone")
            for file in files
        }

    def forget(self, _files: set[str]) -> None:
        """What the index knows is of no matter here."""


class NotedUploads(Uploads):
    """Notes what would be uploaded."""

    uploaded: list[Path]
    archived: list[tarfile.TarInfo]

    def upload_content(self, content: Path, name: str, stamp: str = "") -> FileRef:
        self.uploaded.append(content)
        if tarfile.is_tarfile(content):
            with tarfile.open(content) as archive:
                self.archived = archive.getmembers()
        return FileRef(f"new {name}")


@pytest.fixture
def connection() -> Connection:
    return Connection()


@pytest.fixture
def local_record(tmp_path: Path) -> Iterator[LocalRecord]:
    """What an earlier run has left: one file, by its content."""
    first = tmp_path / "first.txt"
    first.write_text("content")
    earlier = LocalRecord("project", tmp_path / "files.sqlite")
    earlier.record(str(first), Known(FileRef("known"), checksum_of(str(first))))
    earlier.close()
    opened = LocalRecord("project", tmp_path / "files.sqlite")
    yield opened
    opened.close()


@pytest.mark.parametrize("name", ["first.txt", "copy.txt"])
@pytest.mark.parametrize("is_there", [True, False])
def test_what_an_earlier_run_has_uploaded_is_used_only_if_it_is_still_there(
    connection: Connection, local_record: LocalRecord, tmp_path: Path, name: str, is_there: bool
) -> None:
    """Also under another path, where its content tells that it was uploaded."""
    (tmp_path / name).write_text("content")
    connection.there = {"known"} if is_there else set()
    home = ProjectPath("owner/project", "home")
    uploads = NotedUploads(cast(Any, connection), home, local_record)
    uploads.uploaded = []
    path = str(tmp_path / name)
    ref = uploads.of(path).ref
    assert (ref.path == "known") is is_there
    assert uploads.uploaded == ([] if is_there else [Path(path)])


def test_a_folder_tells_nothing_of_the_users_of_this_machine(
    connection: Connection,
    local_record: LocalRecord,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where the task's root knows no such user, `tar` could not make the file."""
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "program").touch(0o755)
    (folder / "sub" / "up").symlink_to("..")
    uploads = NotedUploads(
        cast(Any, connection), ProjectPath("owner/project", "home"), local_record
    )
    uploads.uploaded = []
    uploads.of(str(folder))
    found = [(one.name, one.uid, one.gid, one.uname, one.gname) for one in uploads.archived]
    assert found == [("sub", 0, 0, "", ""), ("sub/program", 0, 0, "", "")]
    assert uploads.archived[1].mode & 0o777 == 0o755
    assert "sub/up is a link to a folder that it lies in" in caplog.text


def test_content_that_is_there_under_another_name_is_not_uploaded(tmp_path: Path) -> None:
    """Whoever has uploaded it: all that is known is what the platform lists."""
    (tmp_path / "a.bam").write_text("content")
    (tmp_path / "longer.bam").write_text("contents")
    start = checksum_of(str(tmp_path / "a.bam"))[:16]
    other = checksum_of(str(tmp_path / "longer.bam"))[:16]
    there = [
        Entry(f"home/inputs/{start}-other.txt", "same", False, 7, 0.0),
        Entry(f"home/inputs/{other}-cut.txt", "cut", False, 7, 0.0),
    ]
    index = Listed(there)
    record = LocalRecord("project", tmp_path / "files.sqlite")
    uploads = Sent(cast(Any, index), ProjectPath("owner/project", "home"), record)
    uploads.sent = []
    assert uploads.of(str(tmp_path / "a.bam")).ref == FileRef("same")
    assert uploads.of(str(tmp_path / "longer.bam")).ref == FileRef("new")
    assert uploads.sent == [f"{other}-longer.bam"]
    assert index.listings == 1
    record.close()


class Listed(Connection):
    """An index that has been listed."""

    def __init__(self, entries: list[Entry]) -> None:
        super().__init__()
        self.entries = {entry.path: entry for entry in entries}
        self.listings = 0

    def children(self, _path: str) -> list[Entry]:
        self.listings += 1
        return list(self.entries.values())

    def find(self, path: str) -> Entry | None:
        return self.entries.get(path)

    def ensure_folder(self, _path: str) -> str:
        return "folder"

    def add(self, path: str, file: File) -> Entry:
        self.entries[path] = Entry(path, file.id, False, file.size or 0, 0.0)
        return self.entries[path]


class Sent(Uploads):
    """Notes what is really uploaded."""

    sent: list[str]

    def _upload_as(self, content: Path, _folder: ProjectPath, name: str, _stamp: str) -> File:
        self.sent.append(name)
        return File.model_validate({"id": "new", "name": name, "size": content.stat().st_size})


def test_what_changes_while_it_is_read_is_not_uploaded_under_a_wrong_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later runs would take it for what the name tells."""

    def read_slowly(path: str) -> str:
        checksum = checksum_of(path)
        Path(path).write_text("another content")
        return checksum

    sent: list[str] = []
    monkeypatch.setattr(uploads_module, "checksum_of", read_slowly)
    monkeypatch.setattr(uploads_module, "upload", lambda *_, name, **__: sent.append(name))
    (tmp_path / "a.bam").write_text("content")
    record = LocalRecord("project", tmp_path / "files.sqlite")
    home = ProjectPath("owner/project", "home")
    with pytest.raises(CavaticaError, match="was changed while it was read"):
        Uploads(cast(Any, Listed([])), home, record).of(str(tmp_path / "a.bam"))
    assert sent == []
    record.close()
