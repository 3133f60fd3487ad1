"""What files a project has, in memory: Snakemake asks again and again, the platform counts calls.

Folders are listed once, when something in them is first asked for (100 entries a call); after that
the index changes only by what this run itself does. Outputs of running tasks are therefore not to
be seen before their job is reported, although the platform puts them at their place earlier; and
what a run that died has left unreported is hidden.
"""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from ..api import CavaticaError, Client, File, NotFound
from ..api.calls import within
from .content import entry_of
from .deletions import Deletions
from .folder_making import create_folder
from .paths import ProjectPath, decode_folder
from .times import MTIME_KEY, Times
from .tree import Entry, Tree


class Veil(Protocol):
    """Says what is not to be seen."""

    def hidden(self, folder: str, files: Sequence[File]) -> Iterable[File]:
        """Those files of a folder that are not to be seen."""


class ProjectIndex:
    """The files of one project. Safe to use from several threads."""

    def __init__(self, client: Client, project: str) -> None:
        self.client = client
        self.project = project
        self.veil: Veil | None = None
        self.deletions = Deletions(lambda: self.client, project)
        self._lock = threading.RLock()
        self._tree = Tree()
        self._times = Times()

    # ------------------------------------------------------------------------------- asking

    def find(self, path: str) -> Entry | None:
        """The entry at `path`, or None if there is nothing."""
        with self._lock:
            entry = self._tree.find(path)
            if entry is not None:
                return entry
            parent = posixpath.dirname(path)
            if parent in self._tree.listed or not self._list(parent):
                return None
            return self._tree.find(path)

    def ids(self) -> set[str]:
        """All files and folders that have been found, and not hidden."""
        with self._lock:
            return self._tree.ids()

    def children(self, path: str) -> list[Entry]:
        """What lies in the folder at `path` ("" is the root), sorted; empty if it is none."""
        with self._lock:
            if path not in self._tree.listed and not self._list(path):
                return []
            return sorted(self._tree.children(path), key=lambda entry: entry.path)

    def walk(self, path: str) -> Iterator[Entry]:
        """Everything below the folder at `path`, folders before their content."""
        for entry in self.children(path):
            yield entry
            if entry.folder:
                yield from self.walk(entry.path)

    def _list(self, path: str) -> bool:
        """Fetch a folder's listing; False if there is no such folder."""
        parent: str | None = None
        if path:
            folder = self.find(path)
            if folder is None or not folder.folder:
                return False
            parent = folder.id
        try:
            files = self.client.list_files(**within(parent, self.project))
            listed = [(file, self._remember(path, file)) for file in files]
        except NotFound as error:
            if not parent:
                raise CavaticaError(
                    f"The project {self.project} does not exist, or this token cannot see it. "
                    f"Check its name, owner/project. [{error}]"
                ) from error
            return False
        self._tree.listed.add(path)
        entries = {file.id: entry.path for file, entry in listed}
        try:
            hidden = self.veil.hidden(path, [file for file, _ in listed]) if self.veil else ()
            for file in hidden:
                self._tree.drop(entries[file.id])
        except BaseException:
            self._tree.listed.discard(path)
            for known in entries.values():
                self._tree.drop(known)
            raise
        return True

    def _remember(self, parent: str, file: File, mtime: float | None = None) -> Entry:
        name = decode_folder(file.name) if file.is_folder else file.name
        path = posixpath.join(parent, name)
        entry = entry_of(path, file, self._times.of(file) if mtime is None else mtime)
        self._tree.put(entry)
        return entry

    # ----------------------------------------------------------------------------- changing

    def add(self, path: str, file: File) -> Entry:
        """Record that `file` is now at `path`; the folders above it exist, then."""
        with self._lock:
            # Listing the folder now would show outputs of other tasks before their jobs are
            # reported. A folder that was not there when the run began has no older content.
            return self._remember(posixpath.dirname(path), file)

    def add_tree(self, path: str, folder: File) -> Entry:
        """Record a folder that was just made as a whole; its content is listed when asked for."""
        with self._lock:
            self._tree.forget_below(path)
            entry = self._remember(posixpath.dirname(path), folder)
            if entry.path != path:
                self._tree.drop(entry.path)
                entry = Entry(path, entry.id, True, 0, entry.mtime)
                self._tree.put(entry)
            return entry

    def ensure_folder(self, path: str, *, is_likely: bool = False) -> str | None:
        """The id of the folder at `path`, made if needed; None for the root.

        With `is_likely`, a task has probably made it, so it is looked up before it is made.
        """
        if not path:
            return None
        with self._lock:
            entry = self.find(path)
            if entry is not None and entry.folder:
                return entry.id
            if entry is not None:
                raise CavaticaError(
                    f"{ProjectPath(self.project, path)} is a file, but the workflow needs a folder "
                    "of that name. Rename or remove the file."
                )
            parent = self.ensure_folder(posixpath.dirname(path), is_likely=is_likely)
            folder, is_new = create_folder(
                self.client, self.project, path, parent, look_first=is_likely
            )
            if is_new:
                self._tree.listed.add(path)
            return self._remember(posixpath.dirname(path), folder).id

    def mtime(self, entry: Entry) -> float:
        """Seconds since the epoch. A folder is as new as the newest file in it."""
        if not entry.folder:
            return entry.mtime
        inside = [self.mtime(child) for child in self.children(entry.path)]
        return max(inside, default=entry.mtime)

    def touch(self, entry: Entry, mtime: float) -> None:
        """Give a file another modification time; the platform itself has no call for that.

        Of a folder, one file is touched, which makes the folder as new.
        """
        if entry.folder:
            for child in self.walk(entry.path):
                if not child.folder:
                    self.touch(child, mtime)
                    return
            return
        self.client.update_metadata(entry.id, {MTIME_KEY: repr(mtime)})
        with self._lock:
            self._tree.put(replace(entry, mtime=mtime))

    def remove(self, path: str) -> None:
        """Delete the file or folder at `path`, unless it is pinned; here it is gone at once."""
        with self._lock:
            entry = self.find(path)
            if entry is None or path in self.deletions.pinned:
                return
            self._tree.drop(path)
            if entry.folder:
                self._tree.forget_below(path)
            self.deletions.add(entry)
        self.deletions.carry_out(entry)

    def free(self, parent: str | None, name: str) -> None:
        """Delete what now has that name in a folder, whatever the index knows of it."""
        where = within(parent, self.project)
        for file in list(self.client.list_files(names=[name], **where)):
            if file.is_folder:
                self.deletions.delete_folder(name, file.id)
            else:
                self.client.delete_file(file.id, missing_ok=True)
            self.forget({file.id})

    def forget(self, ids: set[str]) -> None:
        """Somebody else has deleted these files."""
        with self._lock:
            self._tree.drop_ids(ids)
