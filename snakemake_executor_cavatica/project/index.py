"""What files a project has, in memory: Snakemake asks again and again, the platform counts calls.

Folders are listed once, when something in them is first asked for (100 entries a call); after that
the index changes only by what this run itself does. Outputs of running tasks are therefore not to
be seen before their job is reported, although the platform puts them at their place earlier; and
what a run that died has left unreported is hidden.
"""

from __future__ import annotations

import logging
import posixpath
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

from ..api import ApiError, CavaticaError, Client, Conflict, File, NotFound
from ..api.background import run_async_once
from ..api.calls import BULK, within
from ..api.once import once, some_tries
from .paths import ProjectPath, decode_folder, encode_folder

logger = logging.getLogger(__name__)

MTIME_KEY = "snakemake_mtime"
"""Metadata key for a modification time that Snakemake set itself (`--touch`); seconds as text."""


class Veil(Protocol):
    """Says what is not to be seen."""

    def hidden(self, folder: str, files: Sequence[File]) -> Iterable[File]:
        """Those files of a folder that are not to be seen."""


@dataclass(frozen=True)
class Entry:
    """A file or folder of the project; `path` is relative to the project's root, decoded."""

    path: str
    id: str
    folder: bool
    size: int
    mtime: float
    """Seconds since the epoch, by the platform's clock."""


class _Tree:
    """Entries by path, by folder and by id: no step takes the longer the more of them there are."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._inside: dict[str, dict[str, Entry]] = {"": {}}
        """By folder, known as an entry or not: what is in it, by path."""
        self._folders: dict[str, set[str]] = {}
        """The same folders by the one that they are in."""
        self._paths: dict[str, str] = {}
        """By id."""

    def find(self, path: str) -> Entry | None:
        return self._entries.get(path)

    def children(self, path: str) -> list[Entry]:
        return list(self._inside.get(path, {}).values())

    def folders(self, path: str) -> set[str]:
        """Folders in a folder that hold anything, or did."""
        return self._folders.get(path, set())

    def ids(self) -> set[str]:
        return set(self._paths)

    def put(self, entry: Entry) -> None:
        """Have an entry at its path, instead of what was there."""
        self.drop(entry.path)
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

    def drop(self, path: str) -> None:
        entry = self._entries.pop(path, None)
        if entry is not None:
            del self._inside[posixpath.dirname(path)][path]
            if self._paths.get(entry.id) == path:
                del self._paths[entry.id]

    def drop_ids(self, ids: Iterable[str]) -> None:
        for path in [self._paths[file] for file in ids if file in self._paths]:
            self.drop(path)


class ProjectIndex:
    """The files of one project. Safe to use from several threads."""

    def __init__(self, client: Client, project: str) -> None:
        self.client = client
        self.project = project
        self.deferred = False
        """Whether deletions wait for `flush`, to go out in bulk; True while an executor runs."""
        self.veil: Veil | None = None
        self.before_deletion: Callable[[], bool] = lambda: True
        """Whether files may be deleted: what was made from them has to be on record."""
        self._pinned: set[str] = set()
        self._lock = threading.RLock()
        self._flushing = threading.Lock()
        self._tree = _Tree()
        self._listed: set[str] = set()
        self._task_times: dict[str, float] = {}
        self._to_delete: dict[str, str] = {}
        self._doomed_folders: dict[str, str] = {}
        self._doomed_since = 0.0

    # ------------------------------------------------------------------------------- asking

    def find(self, path: str) -> Entry | None:
        """The entry at `path`, or None if there is nothing."""
        with self._lock:
            entry = self._tree.find(path)
            if entry is not None:
                return entry
            parent = posixpath.dirname(path)
            if parent in self._listed or not self._list(parent):
                return None
            return self._tree.find(path)

    def ids(self) -> set[str]:
        """All files and folders that have been found, and not hidden."""
        with self._lock:
            return self._tree.ids()

    def children(self, path: str) -> list[Entry]:
        """What lies in the folder at `path` ("" is the root), sorted; empty if it is none."""
        with self._lock:
            if path not in self._listed and not self._list(path):
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
        self._listed.add(path)
        entries = {file.id: entry.path for file, entry in listed}
        try:
            hidden = self.veil.hidden(path, [file for file, _ in listed]) if self.veil else ()
            for file in hidden:
                self._tree.drop(entries[file.id])
        except BaseException:
            self._listed.discard(path)
            for known in entries.values():
                self._tree.drop(known)
            raise
        return True

    def _remember(self, parent: str, file: File, mtime: float | None = None) -> Entry:
        name = decode_folder(file.name) if file.is_folder else file.name
        path = posixpath.join(parent, name)
        entry = Entry(
            path=path,
            id=file.id,
            folder=file.is_folder,
            size=file.size or 0,
            mtime=self._mtime(file) if mtime is None else mtime,
        )
        self._tree.put(entry)
        return entry

    def _mtime(self, file: File) -> float:
        """One time for all files of a task, whichever of them is seen first.

        The platform stores the outputs of a task one after the other and in any order. Where one
        of them is made from another (groups), their own times would tell Snakemake to run the job
        again. Any time between the task's start and end is as good as another to other jobs.
        """
        touched = file.metadata.get(MTIME_KEY)
        if touched is not None:
            try:
                return float(str(touched))
            except ValueError:
                logger.debug("metadata %s of file %s is no time", MTIME_KEY, file.id)
        moment = file.created_on or file.modified_on or datetime.fromtimestamp(0, UTC)
        task = file.origin.task if file.origin else None
        if task is None:
            return moment.timestamp()
        return self._task_times.setdefault(task, moment.timestamp())

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
            self._forget_below(path)
            entry = self._remember(posixpath.dirname(path), folder)
            if entry.path != path:
                self._tree.drop(entry.path)
                entry = Entry(path, entry.id, True, 0, entry.mtime)
                self._tree.put(entry)
            return entry

    def _forget_below(self, path: str) -> None:
        inside = self._tree.children(path)
        for folder in {one.path for one in inside if one.folder} | self._tree.folders(path):
            self._forget_below(folder)
        for entry in inside:
            self._tree.drop(entry.path)
        self._listed.discard(path)

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
            folder, is_new = self._create_folder(path, parent, look_first=is_likely)
            if is_new:
                self._listed.add(path)
            return self._remember(posixpath.dirname(path), folder).id

    def _create_folder(
        self, path: str, parent: str | None, *, look_first: bool
    ) -> tuple[File, bool]:
        """The folder, and whether it was made just now."""
        name = encode_folder(posixpath.basename(path))
        where = within(parent, self.project)

        def look() -> File | None:
            found = self.client.list_files(names=[name], **where)
            return next((folder for folder in found if folder.is_folder), None)

        if look_first and (there := look()) is not None:
            return there, False

        def make() -> tuple[File, bool]:
            try:
                return self.client.create_folder(name, **where), True
            except Conflict:  # a task or another program was faster
                there = look()
                if there is None:
                    raise
                return there, False

        def made() -> tuple[File, bool] | None:
            there = look()
            return None if there is None else (there, False)

        return once(make, some_tries(self.client.stop), look=made)

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
            self._tree.put(Entry(entry.path, entry.id, False, entry.size, mtime))

    def remove(self, path: str) -> None:
        """Delete the file or folder at `path`, unless it is pinned; here it is gone at once."""
        with self._lock:
            entry = self.find(path)
            if entry is None or path in self._pinned:
                return
            self._tree.drop(path)
            if entry.folder:
                self._forget_below(path)
                self._doomed_folders[entry.id] = path
            else:
                if not self._to_delete:
                    self._doomed_since = time.monotonic()
                self._to_delete[entry.id] = path
        if entry.folder:
            self._delete_folders()
        elif not self.deferred or len(self._to_delete) >= BULK:
            self.flush()

    def _delete_folders(self) -> None:
        """Delete folders at once, unless what was made from them is not on record."""
        with self._lock:
            to_delete = dict(self._doomed_folders)
        if not to_delete or not self.before_deletion():
            return
        for folder, path in to_delete.items():
            self._delete_folder(path, folder)
            with self._lock:
                self._doomed_folders.pop(folder, None)

    def _delete_folder(self, path: str, folder: str) -> None:
        def is_gone() -> Literal[True] | None:
            try:
                self.client.get_file(folder)
            except NotFound:
                return True
            return None

        run_async_once(
            self.client,
            "delete",
            {"file": folder},
            look=is_gone,
            failure=f"The folder {ProjectPath(self.project, path)} could not be deleted",
        )

    def free(self, parent: str | None, name: str) -> None:
        """Delete what now has that name in a folder, whatever the index knows of it."""
        where = within(parent, self.project)
        for file in list(self.client.list_files(names=[name], **where)):
            if file.is_folder:
                self._delete_folder(name, file.id)
            else:
                self.client.delete_file(file.id, missing_ok=True)
            self.forget({file.id})

    def forget(self, ids: set[str]) -> None:
        """Somebody else has deleted these files."""
        with self._lock:
            self._tree.drop_ids(ids)

    def pin(self, path: str) -> None:
        """Keep what is at `path`: Snakemake deletes the outputs of a failed job, and knows nothing
        of a file that the job was only going to update.
        """
        with self._lock:
            self._pinned.add(path)

    def unpin(self, path: str) -> None:
        """The job that was going to update `path` has ended."""
        with self._lock:
            self._pinned.discard(path)

    def is_untidy(self, seconds: float) -> bool:
        """Whether files have waited for their deletion at least that long."""
        with self._lock:
            return bool(self._to_delete) and time.monotonic() - self._doomed_since >= seconds

    def is_to_be_deleted(self, paths: Iterable[str]) -> bool:
        """Whether one of the paths is still occupied by what waits for its deletion."""
        with self._lock:
            to_delete = {*self._to_delete.values(), *self._doomed_folders.values()}
        return not to_delete.isdisjoint(paths)

    def flush(self) -> None:
        """Delete now what waits for it; what cannot be deleted waits on.

        Raises:
            CavaticaError: files that could not be deleted, each with the reason.
        """
        with self._flushing:  # whoever finds a path that is to be deleted waits until it is free
            self._delete_folders()
            with self._lock:
                to_delete = dict(self._to_delete)
            if not to_delete or not self.before_deletion():
                return
            answers = self.client.delete_files(list(to_delete))
            failed = {
                file: error
                for file, error in answers.items()
                if isinstance(error, ApiError) and not isinstance(error, NotFound)
            }
            with self._lock:
                for file in to_delete.keys() - failed.keys():
                    self._to_delete.pop(file, None)
        if failed:
            reasons = "; ".join(
                f"{ProjectPath(self.project, to_delete[file])}: {error}"
                for file, error in failed.items()
            )
            raise CavaticaError(f"These files could not be deleted: {reasons}")
