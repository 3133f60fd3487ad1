"""Files that people ask for, in places that hold something already."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from snakemake_executor_cavatica.observe.whole_file import write_whole


def test_a_file_holds_all_or_what_it_held(tmp_path: Path) -> None:
    """Protects a workflow that reads it meanwhile, and an older report from a full disk."""
    path = tmp_path / "file"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new \udcff")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    write_whole(path, "new \udcff", errors="backslashreplace")
    assert path.read_text() == "new \\udcff"


def test_a_link_stays_and_leads_to_the_new_text(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there/file", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_what_is_no_file_is_written_to_and_stays(tmp_path: Path) -> None:
    """Protects /dev/full and /dev/null of a machine where somebody is root."""
    pipe, read = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_whole(pipe, "text")
    reader.join(10)
    assert read == ["text"]
    assert pipe.is_fifo()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path, "text")
