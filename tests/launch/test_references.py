"""Files of other projects, and when a copy may be used again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from snakemake_executor_cavatica.api import File
from snakemake_executor_cavatica.launch.references import References
from snakemake_executor_cavatica.project.paths import MAX_NAME, ProjectPath
from snakemake_executor_cavatica.project.tree import Entry

HOME = ProjectPath("me/p", "snakemake")
FILE = Entry("ref.fa", "a" * 24, folder=False, size=3, mtime=1.0, changed=1.0)


class Platform:
    """A connection, its client and its indices: of one file, and the copies of it."""

    def __init__(self) -> None:
        self.client = self
        self.known: dict[str, Entry] = {}
        self.copies: list[str] = []

    def index(self, _project: str) -> Platform:
        return self

    def find(self, path: str) -> Entry | None:
        return self.known.get(path)

    def ensure_folder(self, _path: str) -> str:
        return "folder"

    def copy_file(self, _file: str, *, parent: str, name: str) -> File:
        assert parent == "folder"
        self.copies.append(name)
        return File.model_validate({"id": f"copy{len(self.copies)}", "name": name})

    def add(self, path: str, file: File) -> None:
        self.known[path] = Entry(path, file.id, folder=False, size=3, mtime=1.0)


@pytest.mark.parametrize("name", ["ref.fa", f"{'é' * 125}.fa"])
def test_a_copy_is_used_until_the_file_is_overwritten(name: str) -> None:
    """A platform may keep its id then."""
    platform = Platform()
    references = References(cast(Any, platform), HOME)
    place = ProjectPath("other/p", name)
    for changed, copy in ((1.0, "copy1"), (1.0, "copy1"), (2.0, "copy2"), (2.0, "copy2")):
        platform.known[name] = replace(FILE, path=name, changed=changed)
        assert references.of(place).path == copy
    assert all(len(one.encode()) <= MAX_NAME for one in platform.copies)
