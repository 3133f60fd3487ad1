"""The files and folders of a project that are known, by path, by folder and by id."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A file or folder of the project; `path` is relative to the project's root, decoded."""

    path: str
    id: str
    folder: bool
    size: int
    mtime: float
    """Seconds since the epoch, by the platform's clock."""
    changed: float = 0.0
    """When its content may have changed, in the same way; 0 if that is not told."""
    checksum: str = ""
    """Of its content, where one is on record that can be relied on."""


class Tree:
    """Entries by path, by folder and by id: no step takes the longer the more of them there are."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._inside: dict[str, dict[str, Entry]] = {"": {}}
        """By folder, known as an entry or not: what is in it, by path."""
        self._folders: dict[str, set[str]] = {}
        """The same folders by the one that they are in."""
        self._paths: dict[str, str] = {}
        """By id."""
        self.listed: set[str] = set()
        """Folders of which all that is in them is known."""
        self._absent: dict[str, set[str]] = {}
        """By folder: paths at which there is nothing, as far as this run is to know."""

    def find(self, path: str) -> Entry | None:
        """The entry at a path."""
        return self._entries.get(path)

    def children(self, path: str) -> list[Entry]:
        """What is known to be in a folder."""
        return list(self._inside.get(path, {}).values())

    def folders(self, path: str) -> set[str]:
        """Folders in a folder that hold anything, or did."""
        return self._folders.get(path, set())

    def ids(self) -> set[str]:
        """Of all entries."""
        return set(self._paths)

    def path_of(self, file: str) -> str | None:
        """Where a file or folder is, by its id."""
        return self._paths.get(file)

    def put(self, entry: Entry) -> None:
        """Have an entry at its path, instead of what was there."""
        self.forget(entry.path)
        self._entries[entry.path] = entry
        self._folder(posixpath.dirname(entry.path))[entry.path] = entry
        self._paths[entry.id] = entry.path

    def _folder(self, path: str) -> dict[str, Entry]:
        inside = self._inside.get(path)
        if inside is None:
            inside = self._inside[path] = {}
            parent = posixpath.dirname(path)
            self._folder(parent)
            self._folders.setdefault(parent, set()).add(path)
        return inside

    def is_known(self, path: str) -> bool:
        """Whether nobody has to be asked what is at a path."""
        folder = posixpath.dirname(path)
        is_absent = path in self._absent.get(folder, ())
        return path in self._entries or folder in self.listed or is_absent

    def drop(self, path: str) -> None:
        """From now on there is nothing at a path."""
        self._take_out(path)
        self._absent.setdefault(posixpath.dirname(path), set()).add(path)

    def forget(self, path: str) -> None:
        """Whoever wants to know what is at a path has to ask again."""
        self._take_out(path)
        self._absent.get(posixpath.dirname(path), set()).discard(path)

    def _take_out(self, path: str) -> None:
        entry = self._entries.pop(path, None)
        if entry is not None:
            del self._inside[posixpath.dirname(path)][path]
            if self._paths.get(entry.id) == path:
                del self._paths[entry.id]

    def drop_ids(self, ids: Iterable[str]) -> None:
        """From now on there are no files with these ids."""
        for path in [self._paths[file] for file in ids if file in self._paths]:
            self.drop(path)

    def forget_below(self, path: str) -> None:
        """Drop all that is in a folder, which is to be listed again."""
        inside = self.children(path)
        for folder in {one.path for one in inside if one.folder} | self.folders(path):
            self.forget_below(folder)
        for entry in inside:
            self._take_out(entry.path)
        self._absent.pop(path, None)
        self.listed.discard(path)
