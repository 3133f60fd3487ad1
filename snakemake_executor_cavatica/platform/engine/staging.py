"""Brings stored inputs to where a task on the platform finds them."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


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
            _link(local_path(entry["location"]), target)
            self._sources[target] = entry["location"]
        kept = {key: entry[key] for key in entry.keys() - {"listing", "secondaryFiles", "path"}}
        return {**kept, "location": target.as_uri()}


def _link(source: Path, target: Path) -> None:
    """The source's own bytes under another name, or a copy across file systems.

    The mode of a link is the mode of the stored file, so only a copy may be made read-only here.
    """
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        shutil.copyfile(source, target)
        target.chmod(0o444)
