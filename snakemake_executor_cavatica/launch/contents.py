"""The contents of inputs, as texts: by checksum where there is one, else by what a file is."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path

from ..api import File
from ..plan.plan import StagedInput
from ..project.connection import Connection
from ..project.content import content_of, entry_of
from ..project.folders import levels
from ..project.local_record import LocalRecord, checksum_of, stamp_of
from ..project.paths import LocalPath, Place, ProjectPath
from ..project.tree import Entry
from ..read.digest import digest


class Contents:
    """What stands for the content of each input of a run. Safe to use from several threads."""

    def __init__(self, connection: Connection, local_record: LocalRecord) -> None:
        self._connection = connection
        self._local_record = local_record
        self._copies: dict[str, str] = {}
        """By id of a copy, the content of its original."""
        self._folders: dict[tuple[str, str], str] = {}
        """By path and stamp, of folders of this machine."""

    def of(self, inputs: Iterable[StagedInput]) -> dict[Place, str]:
        """Of each input; empty where it is not known. The inputs are on the platform by now."""
        found: dict[Place, str] = {}
        for staged in inputs:
            place = staged.place
            if isinstance(place, ProjectPath):
                found[place] = self._there(place)
            else:
                found[place] = self._here(place, is_archive=staged.form == "archive")
        return found

    def note_copy(self, copy: File, original: File) -> None:
        """A file was copied, so that both have one content."""
        self._copies[copy.id] = self._of_entry(entry_of(original.name, original, 0.0))

    def _there(self, place: ProjectPath) -> str:
        index = self._connection.index(place.project)
        entry = index.find(place.path)
        if entry is None or not entry.folder:
            return "" if entry is None else self._of_entry(entry)
        return _of_folder(
            {
                posixpath.relpath(one.path, place.path): "folder"
                if one.folder
                else self._of_entry(one)
                for one in index.walk(place.path)
            }
        )

    def _of_entry(self, entry: Entry) -> str:
        return self._copies.get(entry.id) or content_of(entry)

    def _here(self, place: LocalPath, *, is_archive: bool) -> str:
        if is_archive:
            return self._of_local_folder(place.path)
        known = self._local_record.find(place.path)
        if known is None:
            return ""
        # What was downloaded has no checksum on record: it is what the platform's file was then.
        return f"sha256 {known.checksum}" if known.checksum else f"output {known.ref.path}"

    def _of_local_folder(self, path: str) -> str:
        key = (path, stamp_of(path))
        if key not in self._folders:
            self._folders[key] = _of_folder(dict(_members(path)))
        return self._folders[key]


def _members(path: str) -> Iterable[tuple[str, str]]:
    """Of a folder as it travels: links are what they point at."""
    for level in levels(path):
        for name in level.folders:
            yield str((level.folder / name).relative_to(path)), "folder"
        for file in (level.folder / name for name in level.files):
            if file.exists():
                mode = "program" if os.access(file, os.X_OK) else "file"
                yield str(file.relative_to(Path(path))), f"{mode} {checksum_of(str(file))}"


def _of_folder(members: Mapping[str, str]) -> str:
    return f"folder {digest(dict(members))}" if all(members.values()) else ""
