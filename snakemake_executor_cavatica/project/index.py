"""What files a project has, in memory: Snakemake asks again and again, the platform counts calls.

Folders are listed once, when something in them is first asked for (100 entries a call); large ones
when much is asked for, and until then by name. After that the index changes only by what this run
itself does. Outputs of running tasks are therefore not to be seen before their job is reported,
although the platform puts them at their place earlier; and what a run that died has left unreported
is hidden.
"""

from __future__ import annotations

import logging
import posixpath
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Protocol

from ..api import CavaticaError, Client, ConfigurationError, File, ManyItems, NotFound
from ..api.calls import within
from ..api.clock import Moment
from .content import entry_of
from .deletions import Deletions
from .folder_making import create_folder
from .paths import ProjectPath, decode_folder, encode_folder
from .times import MTIME_KEY, Times
from .tree import Entry, Tree

_LARGE = 10_000
"""Files in a folder: to list more takes over a tenth of the requests of five minutes."""
_FILES_FOR_A_NAME = 1_000
"""One request by name for each ten of a listing."""
_FILES_FOR_ONE_NAMED = 10
"""A workflow takes more requests for a file that it names than a tenth of one, for its job."""
_HUGE = 50_000
"""Files in a folder: to list more may take minutes."""
_FILES_A_MINUTE = 20_000
"""So many are listed by the rate limit."""

logger = logging.getLogger(__name__)


class Veil(Protocol):
    """Says what is not to be seen."""

    def hidden(self, folder: str, files: Sequence[File]) -> Iterable[File]:
        """Those files of a folder that are not to be seen."""


class ProjectIndex:
    """The files of one project. Safe to use from several threads."""

    def __init__(
        self, client: Client, project: str, files_named: Callable[[], int] = lambda: 0
    ) -> None:
        """`files_named` tells how many files the workflow has named so far."""
        self.client = client
        self.project = project
        self.veil: Veil | None = None
        self.began = Moment()
        """What is known of files is not older."""
        self.deletions = Deletions(lambda: self.client, project)
        self._lock = threading.RLock()
        self._tree = Tree()
        self._times = Times()
        self._files_named = files_named
        self._large: dict[str, int] = {}
        """How many files are in large folders."""
        self._asked: Counter[str] = Counter()
        """How many names of theirs were asked for one by one."""

    # ------------------------------------------------------------------------------- asking

    def find(self, path: str) -> Entry | None:
        """The entry at `path`, or None if there is nothing."""
        with self._lock:
            if path and not self._tree.is_known(path):
                self._ask_for(path)
            return self._tree.find(path)

    def ids(self) -> set[str]:
        """All files and folders that have been found, and not hidden."""
        with self._lock:
            return self._tree.ids()

    def names(self, files: Iterable[str]) -> dict[str, str]:
        """The names of files that have been found, by their ids."""
        with self._lock:
            paths = {file: self._tree.path_of(file) for file in files}
        return {file: posixpath.basename(path) for file, path in paths.items() if path is not None}

    def children(self, path: str) -> list[Entry]:
        """What lies in the folder at `path` ("" is the root), sorted; empty if it is none."""
        with self._lock:
            if path not in self._tree.listed and not self._list_all(path):
                return []
            return sorted(self._tree.children(path), key=lambda entry: entry.path)

    def walk(self, path: str) -> Iterator[Entry]:
        """Everything below the folder at `path`, folders before their content."""
        for entry in self.children(path):
            yield entry
            if entry.folder:
                yield from self.walk(entry.path)

    def _ask_for(self, path: str) -> None:
        """List the folder that a path is in, or, as long as that pays, ask for the name alone."""
        folder, name = posixpath.split(path)
        if folder not in self._large:
            try:
                self._list(folder, partial(self.client.list_if_few, _LARGE))
            except ManyItems as many:
                self._large[folder] = many.total
        if folder in self._large and self._pays_to_list(folder):
            self._list_all(folder)
        elif folder in self._large:
            self._asked[folder] += 1
            names = {name}
            with suppress(ConfigurationError):  # too long for a folder, not for a file
                names.add(encode_folder(name))
            self._tree.drop(path)  # until it is found: what hides files may ask for it meanwhile
            try:
                by_name = partial(self.client.list_files, names=sorted(names))
                self._list(folder, by_name, is_all=False)
            except BaseException:
                self._tree.forget(path)
                raise

    def _pays_to_list(self, folder: str) -> bool:
        """Whether the pages of a large folder are few beside what it takes otherwise."""
        worth = max(
            self._asked[folder] * _FILES_FOR_A_NAME, self._files_named() * _FILES_FOR_ONE_NAMED
        )
        return worth >= self._large[folder]

    def _list_all(self, folder: str) -> bool:
        """List a folder however large it is, which can take some time; False if there is none."""
        try:
            return self._list(folder, partial(self.client.list_if_few, _HUGE))
        except ManyItems as many:
            logger.warning(
                "%s holds %s files. To list them takes up to %d minutes, by the rate limit.",
                ProjectPath(self.project, folder),
                f"{many.total:,}",
                -(-many.total // _FILES_A_MINUTE),
            )
        return self._list(folder, self.client.list_files)

    def _list(
        self, path: str, fetch: Callable[..., Iterable[File]], *, is_all: bool = True
    ) -> bool:
        """Know what `fetch`, told where it is, finds in a folder; False if there is no such folder.

        Args:
            is_all: whether that is all that is in it.

        Raises:
            ManyItems: `fetch` does not want as many.
        """
        parent: str | None = None
        if path:
            folder = self.find(path)
            if folder is None or not folder.folder:
                return False
            parent = folder.id
        try:
            files = list(fetch(**within(parent, self.project)))
        except NotFound as error:
            if not parent:
                raise CavaticaError(
                    f"The project {self.project} does not exist, or this token cannot see it. "
                    f"Check its name, owner/project. [{error}]"
                ) from error
            return False
        self._take(path, files, is_all=is_all)
        return True

    def _take(self, folder: str, files: Sequence[File], *, is_all: bool) -> None:
        """Know these files of a folder from now on, but for those that are not to be seen."""
        new = [file for file in files if not (is_all and self._tree.is_known(_path(folder, file)))]
        paths = {file.id: self._remember(folder, file).path for file in new}
        if is_all:
            self._tree.listed.add(folder)
        try:
            for file in self.veil.hidden(folder, new) if self.veil else ():
                self._tree.drop(paths[file.id])
        except BaseException:
            self._tree.listed.discard(folder)
            for path in paths.values():
                self._tree.forget(path)
            raise

    def _remember(self, parent: str, file: File, mtime: float | None = None) -> Entry:
        path = _path(parent, file)
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
            self.hide(path)
            self.deletions.add(entry)
        if not self.deletions.deferred:
            self.deletions.flush()

    def hide(self, path: str) -> None:
        """Let nothing be seen at `path` until it is added again, unless what is there is pinned."""
        with self._lock:
            entry = self._tree.find(path)
            if path not in self.deletions.pinned:
                self._tree.drop(path)
                if entry is not None and entry.folder:
                    self._tree.forget_below(path)

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


def _path(folder: str, file: File) -> str:
    name = decode_folder(file.name) if file.is_folder else file.name
    return posixpath.join(folder, name)
