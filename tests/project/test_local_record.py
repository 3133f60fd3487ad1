"""Which local file is which file on the platform."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from snakemake_executor_cavatica.api import ConfigurationError, FileRef
from snakemake_executor_cavatica.project.local_record import (
    Known,
    LocalRecord,
    checksum_of,
    reported_tasks,
    size_of,
    stamp_of,
)

FILE, FOLDER = FileRef("id-file"), FileRef("id-folder", "Directory")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "state" / "files.sqlite"


@pytest.fixture
def known(database: Path) -> Iterator[LocalRecord]:
    opened = LocalRecord("https://api me/p", database)
    yield opened
    opened.close()


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "data.txt"
    path.write_text("content")
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    path = tmp_path / "folder"
    (path / "sub").mkdir(parents=True)
    (path / "sub" / "x").write_text("x")
    return str(path)


def age(path: str, seconds: int = 100) -> None:
    status = Path(path).stat()
    os.utime(path, (status.st_atime - seconds, status.st_mtime - seconds))


def found(known: LocalRecord, path: str) -> FileRef | None:
    known = known.find(path)
    return None if known is None else known.ref


def test_nothing_is_known_at_first(known: LocalRecord, file: str) -> None:
    assert known.find(file) is None
    assert known.find_content(checksum_of(file)) is None


def test_an_unchanged_file_is_known(known: LocalRecord, file: str) -> None:
    known.record(file, Known(FILE, checksum_of(file)))
    assert found(known, file) == FILE


def test_a_touched_file_with_the_same_content_is_known(known: LocalRecord, file: str) -> None:
    known.record(file, Known(FILE, checksum_of(file)))
    age(file)
    assert found(known, file) == FILE
    Path(file).chmod(0o600)
    assert found(known, file) == FILE


def test_a_touched_file_without_checksum_is_not(known: LocalRecord, file: str) -> None:
    known.record(file, Known(FILE, ""))
    assert found(known, file) == FILE
    age(file)
    assert found(known, file) is None


def test_a_changed_file_is_not_known(known: LocalRecord, file: str) -> None:
    known.record(file, Known(FILE, checksum_of(file)))
    Path(file).write_text("CONTENT")
    age(file)
    assert found(known, file) is None


def test_a_deleted_file_is_not_known(known: LocalRecord, file: str) -> None:
    known.record(file, Known(FILE, checksum_of(file)))
    Path(file).unlink()
    assert found(known, file) is None
    known.record(file, Known(FILE, ""))  # gone before it could be recorded
    assert found(known, file) is None


def test_a_file_that_became_a_folder_is_not_known(known: LocalRecord, file: str) -> None:
    known.record(file, Known(FILE, checksum_of(file)))
    Path(file).unlink()
    Path(file).mkdir()
    assert found(known, file) is None


def test_an_unchanged_folder_is_known_as_a_folder(known: LocalRecord, folder: str) -> None:
    known.record(folder, Known(FOLDER, ""))
    known = known.find(folder)
    assert known is not None
    assert known.ref.is_folder


@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / "sub" / "x").write_text("longer"),
        lambda path: age(str(path / "sub" / "x")),
        lambda path: (path / "sub" / "x").unlink(),
        lambda path: (path / "new").write_text(""),
        lambda path: (path / "empty").mkdir(),
        lambda path: (path / "sub").rename(path / "sub2"),
        lambda path: (path / "link").symlink_to("nowhere"),
        lambda path: (path / "link").symlink_to(path / "sub"),
        lambda path: (path / "sub" / "x").chmod(0o755),
    ],
)
def test_a_changed_folder_is_not_known(known: LocalRecord, folder: str, change: object) -> None:
    known.record(folder, Known(FOLDER, ""))
    assert callable(change)
    change(Path(folder))
    assert known.find(folder) is None


def test_a_folder_is_not_known_once_what_is_behind_a_link_has_changed(
    known: LocalRecord, folder: str, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (Path(folder) / "link").symlink_to(tmp_path / "elsewhere")
    known.record(folder, Known(FOLDER, ""))
    assert found(known, folder) == FOLDER
    (tmp_path / "elsewhere" / "new").touch()
    assert found(known, folder) is None


def test_the_size_of_a_folder_is_that_of_all_files_in_it(folder: str, tmp_path: Path) -> None:
    before = size_of(folder)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "new").write_text("12345")
    (Path(folder) / "link").symlink_to(tmp_path / "elsewhere")
    (Path(folder) / "nowhere").symlink_to("missing")
    assert size_of(folder) == before + 5


def test_a_folder_with_a_dangling_link_is_known_until_it_changes(
    known: LocalRecord, folder: str
) -> None:
    (Path(folder) / "link").symlink_to("nowhere")
    assert stamp_of(folder)
    known.record(folder, Known(FOLDER, ""))
    assert found(known, folder) == FOLDER
    (Path(folder) / "sub" / "x").write_text("longer")
    assert found(known, folder) is None


def test_content_is_found_under_any_name(known: LocalRecord, file: str, tmp_path: Path) -> None:
    known.record(file, Known(FILE, checksum_of(file)))
    copy = tmp_path / "copy"
    copy.write_text("content")
    assert known.find_content(checksum_of(str(copy))) == Known(FILE, checksum_of(file))


def test_files_without_checksum_have_no_content_in_common(known: LocalRecord, file: str) -> None:
    known.record(file, Known(FILE, ""))
    assert known.find_content("") is None


def test_everything_is_known_after_reopening(known: LocalRecord, database: Path, file: str) -> None:
    known.record(file, Known(FILE, checksum_of(file)))
    again = LocalRecord("https://api me/p", database)
    assert found(again, file) == FILE
    assert again.to_recheck() == {"id-file"}
    assert known.to_recheck() == set()
    again.settle({"id-file"}, set())
    assert again.to_recheck() == set()
    assert found(again, file) == FILE
    again.close()


def test_what_is_gone_from_the_platform_is_forgotten(
    known: LocalRecord, database: Path, file: str
) -> None:
    known.record(file, Known(FILE, checksum_of(file)))
    known.settle(set(), {"id-file"})
    assert known.find(file) is None
    assert known.find_content(checksum_of(file)) is None


def test_projects_know_nothing_of_each_other(known: LocalRecord, database: Path, file: str) -> None:
    known.record(file, Known(FILE, checksum_of(file)))
    other = LocalRecord("https://api me/other", database)
    assert other.find(file) is None
    assert other.find_content(checksum_of(file)) is None
    assert other.to_recheck() == set()
    other.record(file, Known(FileRef("id-there"), checksum_of(file)))
    other.settle(set(), {"id-file"})
    assert found(known, file) == FILE
    assert found(other, file) == FileRef("id-there")
    other.close()


@pytest.mark.parametrize("name", ["it's", "日本", "a\nb", "-x", "%s;DROP TABLE files"])
def test_any_name_can_be_recorded(known: LocalRecord, tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    Path(path).write_text("x")
    known.record(path, Known(FILE, checksum_of(path)))
    assert found(known, path) == FILE


def test_a_path_below_a_file_is_nothing(known: LocalRecord, file: str) -> None:
    assert stamp_of(f"{file}/below") == ""
    assert known.find(f"{file}/below") is None


def test_many_threads_may_write(known: LocalRecord, tmp_path: Path) -> None:
    paths = [str(tmp_path / f"f{number}") for number in range(40)]
    for path in paths:
        Path(path).write_text(path)

    def work(mine: list[str]) -> None:
        for path in mine:
            known.record(path, Known(FileRef(path), checksum_of(path)))
            assert found(known, path) == FileRef(path)

    threads = [threading.Thread(target=work, args=(paths[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found(known, path) for path in paths] == [FileRef(path) for path in paths]


def test_a_full_disk_does_not_end_a_run(
    known: LocalRecord, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is noted here can be found out again, and tasks that were started cost money."""
    known.record(file, Known(FileRef("before"), ""))
    pages = known._database.execute("PRAGMA page_count").fetchone()[0]
    known._database.execute(f"PRAGMA max_page_count={pages}")
    for number in range(1000):
        known.record(f"{file}.{number}", Known(FileRef("later"), "a" * 64))
        known.report(f"task-{number}")
    assert found(known, file) == FileRef("before")
    assert caplog.text.count("is the disk full?") == 1


def test_a_broken_file_is_told_whoever_reads_it(database: Path, file: str) -> None:
    assert reported_tasks(database) == set()
    opened = LocalRecord("https://api me/p", database)
    opened.report("task")
    assert reported_tasks(database) == {"task"}
    opened._database.execute("PRAGMA cache_size=0")
    for path in (database, database.with_name(f"{database.name}-wal")):
        path.write_bytes(b"broken" * 10_000)
    for read in (lambda: reported_tasks(database), lambda: LocalRecord("p", database)):
        with pytest.raises(ConfigurationError, match=r"files\.sqlite, cannot be used .*Remove it"):
            read()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        opened.find(file)
    opened.close()


def test_a_record_that_another_process_uses_is_not_to_be_removed(database: Path) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(database)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConfigurationError, match="Another process works with it"):
            LocalRecord("https://api me/p", database)
