"""Brings stored inputs to where a task on the platform finds them."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_COPIED = 8 << 20
"""Bytes up to which an input is copied, where a task could write to a link: a few milliseconds."""
_FICLONE = 0x40049409


def local_path(location: str) -> Path:
    """The path behind a file URI."""
    parts = urlsplit(location)
    if parts.scheme != "file":
        raise ValueError(f"not a file URI: {location}")
    return Path(unquote(parts.path))


@dataclass
class InputFolder:
    """The folder in which all inputs of a task lie side by side, under their stored names.

    The second file of a name goes to a numbered folder, with its secondary files.
    """

    root: Path
    is_read_only: bool = False
    """Whether the tool cannot write to the folder. Else small files, and those that the file system
    copies without their bytes, are private copies; larger ones are links, to be checked after."""
    _copies: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Size and time of modification in nanoseconds."""
    _sources: dict[Path, str] = field(default_factory=dict)
    _folders: dict[tuple[tuple[str, str], ...], Path] = field(default_factory=dict)
    _next_number: dict[str, int] = field(default_factory=dict)

    def stage(self, value: Any) -> Any:
        """A copy of an input value whose files and directories are below the folder."""
        if isinstance(value, list):
            return [self.stage(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("class") not in ("File", "Directory"):
            return {key: self.stage(item) for key, item in value.items()}
        entries = [value, *value.get("secondaryFiles", ())]
        folder = self._folder_for(entries)
        folder.mkdir(exist_ok=True)
        primary, *secondary = (self._put(entry, folder) for entry in entries)
        return {**primary, "secondaryFiles": secondary} if secondary else primary

    def _folder_for(self, entries: list[dict[str, Any]]) -> Path:
        """Where all entries are free or already present; the same for the same files."""
        # Contents are stored once, so that the same bytes may come under several names.
        same = tuple((entry.get("location", ""), entry["basename"]) for entry in entries)
        if all(location for location, _ in same) and same in self._folders:
            return self._folders[same]
        name = entries[0]["basename"]
        number = self._next_number.get(name, 0)
        while not self._fits(entries, self._numbered(number)):
            number += 1
        # Thousands of files may have one name: the next one does not search from the start.
        self._next_number[name] = number + 1
        self._folders[same] = self._numbered(number)
        return self._folders[same]

    def _numbered(self, number: int) -> Path:
        return self.root / str(number) if number else self.root

    def _fits(self, entries: list[dict[str, Any]], folder: Path) -> bool:
        if folder.is_file():
            return False
        targets = ((folder / entry["basename"], entry.get("location")) for entry in entries)
        return all(
            not os.path.lexists(target) or (location and self._sources.get(target) == location)
            for target, location in targets
        )

    def _put(self, entry: dict[str, Any], folder: Path) -> dict[str, Any]:
        target = folder / entry["basename"]
        if entry["class"] == "Directory":
            target.mkdir()
            for item in entry["listing"]:
                self._put(item, target)
        elif target not in self._sources:
            self._place(local_path(entry["location"]), target)
            self._sources[target] = entry["location"]
        kept = {key: entry[key] for key in entry.keys() - {"listing", "secondaryFiles", "path"}}
        return {**kept, "location": target.as_uri()}

    def _place(self, source: Path, target: Path) -> None:
        is_small = source.stat().st_size <= _COPIED
        free = [_is_cloned, _is_linked]
        ways = [_is_linked] if self.is_read_only else [] if is_small else free
        if not any(way(source, target) for way in ways):
            shutil.copyfile(source, target)
        if not target.samefile(source):
            target.chmod(0o444)
            self._copies[target] = _state(target)

    @property
    def changed(self) -> list[Path]:
        """Copies that are gone, or have been written to."""
        return [path for path, state in self._copies.items() if _state(path) != state]


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return (-1, -1)
    return status.st_size, status.st_mtime_ns


def _is_linked(source: Path, target: Path) -> bool:
    """Make the source's own bytes known by another name; False across file systems."""
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        return False
    return True


def _is_cloned(source: Path, target: Path) -> bool:
    """Make a copy that shares its bytes until somebody writes; False where nothing can."""
    with source.open("rb") as original, target.open("wb") as copy:
        try:
            fcntl.ioctl(copy, _FICLONE, original.fileno())
        except OSError:
            target.unlink()
            return False
    return True
