"""Which local file is which file on the platform."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_cavatica.api import FileRef
from snakemake_executor_cavatica.project.local_record import Ledger, checksum_of, stamp_of

FILE, FOLDER = FileRef("id-file"), FileRef("id-folder", "Directory")


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "state" / "files.sqlite"


@pytest.fixture
def ledger(database: Path) -> Iterator[Ledger]:
    opened = Ledger("https://api me/p", database)
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


def found(ledger: Ledger, path: str) -> FileRef | None:
    known = ledger.find(path)
    return None if known is None else known.ref


def test_nothing_is_known_at_first(ledger: Ledger, file: str) -> None:
    assert ledger.find(file) is None
    assert ledger.find_content(checksum_of(file)) is None


def test_an_unchanged_file_is_known(ledger: Ledger, file: str) -> None:
    ledger.record(file, FILE, checksum_of(file))
    assert found(ledger, file) == FILE


def test_a_touched_file_with_the_same_content_is_known(ledger: Ledger, file: str) -> None:
    ledger.record(file, FILE, checksum_of(file))
    age(file)
    assert found(ledger, file) == FILE
    Path(file).chmod(0o600)
    assert found(ledger, file) == FILE


def test_a_touched_file_without_checksum_is_not(ledger: Ledger, file: str) -> None:
    ledger.record(file, FILE, "")
    assert found(ledger, file) == FILE
    age(file)
    assert found(ledger, file) is None


def test_a_changed_file_is_not_known(ledger: Ledger, file: str) -> None:
    ledger.record(file, FILE, checksum_of(file))
    Path(file).write_text("CONTENT")
    age(file)
    assert found(ledger, file) is None


def test_a_deleted_file_is_not_known(ledger: Ledger, file: str) -> None:
    ledger.record(file, FILE, checksum_of(file))
    Path(file).unlink()
    assert found(ledger, file) is None
    ledger.record(file, FILE, "")  # gone before it could be recorded
    assert found(ledger, file) is None


def test_a_file_that_became_a_folder_is_not_known(ledger: Ledger, file: str) -> None:
    ledger.record(file, FILE, checksum_of(file))
    Path(file).unlink()
    Path(file).mkdir()
    assert found(ledger, file) is None


def test_an_unchanged_folder_is_known_as_a_folder(ledger: Ledger, folder: str) -> None:
    ledger.record(folder, FOLDER, "")
    known = ledger.find(folder)
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
    ],
)
def test_a_changed_folder_is_not_known(ledger: Ledger, folder: str, change: object) -> None:
    ledger.record(folder, FOLDER, "")
    assert callable(change)
    change(Path(folder))
    assert ledger.find(folder) is None


def test_a_folder_with_a_dangling_link_is_known_until_it_changes(
    ledger: Ledger, folder: str
) -> None:
    (Path(folder) / "link").symlink_to("nowhere")
    assert stamp_of(folder)
    ledger.record(folder, FOLDER, "")
    assert found(ledger, folder) == FOLDER
    (Path(folder) / "sub" / "x").write_text("longer")
    assert found(ledger, folder) is None


def test_content_is_found_under_any_name(ledger: Ledger, file: str, tmp_path: Path) -> None:
    ledger.record(file, FILE, checksum_of(file))
    copy = tmp_path / "copy"
    copy.write_text("content")
    assert ledger.find_content(checksum_of(str(copy))) == FILE


def test_files_without_checksum_have_no_content_in_common(ledger: Ledger, file: str) -> None:
    ledger.record(file, FILE, "")
    assert ledger.find_content("") is None


def test_everything_is_known_after_reopening(ledger: Ledger, database: Path, file: str) -> None:
    ledger.record(file, FILE, checksum_of(file))
    again = Ledger("https://api me/p", database)
    assert found(again, file) == FILE
    assert again.doubted() == {"id-file"}
    assert ledger.doubted() == set()
    again.settle({"id-file"}, set())
    assert again.doubted() == set()
    assert found(again, file) == FILE
    again.close()


def test_what_is_gone_from_the_platform_is_forgotten(
    ledger: Ledger, database: Path, file: str
) -> None:
    ledger.record(file, FILE, checksum_of(file))
    ledger.settle(set(), {"id-file"})
    assert ledger.find(file) is None
    assert ledger.find_content(checksum_of(file)) is None


def test_projects_know_nothing_of_each_other(ledger: Ledger, database: Path, file: str) -> None:
    ledger.record(file, FILE, checksum_of(file))
    other = Ledger("https://api me/other", database)
    assert other.find(file) is None
    assert other.find_content(checksum_of(file)) is None
    assert other.doubted() == set()
    other.record(file, FileRef("id-there"), checksum_of(file))
    other.settle(set(), {"id-file"})
    assert found(ledger, file) == FILE
    assert found(other, file) == FileRef("id-there")
    other.close()


@pytest.mark.parametrize("name", ["it's", "日本", "a\nb", "-x", "%s;DROP TABLE files"])
def test_any_name_can_be_recorded(ledger: Ledger, tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    Path(path).write_text("x")
    ledger.record(path, FILE, checksum_of(path))
    assert found(ledger, path) == FILE


def test_a_path_below_a_file_is_nothing(ledger: Ledger, file: str) -> None:
    assert stamp_of(f"{file}/below") == ""
    assert ledger.find(f"{file}/below") is None


def test_many_threads_may_write(ledger: Ledger, tmp_path: Path) -> None:
    paths = [str(tmp_path / f"f{number}") for number in range(40)]
    for path in paths:
        Path(path).write_text(path)

    def work(mine: list[str]) -> None:
        for path in mine:
            ledger.record(path, FileRef(path), checksum_of(path))
            assert found(ledger, path) == FileRef(path)

    threads = [threading.Thread(target=work, args=(paths[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found(ledger, path) for path in paths] == [FileRef(path) for path in paths]
