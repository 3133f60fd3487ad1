"""Files of a project that wait for their deletion, since many can be deleted in one call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePosixPath
from typing import Literal

from ..api import ApiError, CavaticaError, Client, NoAnswer, NotFound, TransferError
from ..api.background import run_async_once
from .paths import ProjectPath
from .tree import Entry


class Deletions:
    """What is to be deleted in one project. Safe to use from several threads."""

    def __init__(self, client: Callable[[], Client], project: str) -> None:
        self._client = client
        self._project = project
        self.deferred = False
        """Whether what was added waits for `flush`, to go out in bulk; True while an executor
        runs."""
        self.may_delete: Callable[[], bool] = lambda: True
        """Whether what was made from the files is on record."""
        self.pinned: set[str] = set()
        """Paths of what is kept: Snakemake deletes the outputs of a failed job, and knows nothing
        of a file that the job was only going to update."""
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._files: dict[str, str] = {}
        """Paths by id."""
        self._folders: dict[str, str] = {}
        self._waiting_since = 0.0

    def add(self, entry: Entry) -> None:
        """A file or folder is to be deleted."""
        with self._lock:
            if not self._files and not self._folders:
                self._waiting_since = time.monotonic()
            (self._folders if entry.folder else self._files)[entry.id] = entry.path

    def delete_folder(self, path: str, folder: str) -> None:
        """Delete a folder with all that is in it, now."""

        def is_gone() -> Literal[True] | None:
            try:
                self._client().get_file(folder)
            except NotFound:
                return True
            return None

        run_async_once(
            self._client(),
            "delete",
            {"file": folder},
            look=is_gone,
            failure=f"The folder {ProjectPath(self._project, path)} could not be deleted",
        )

    def are_overdue(self, seconds: float) -> bool:
        """Whether something has waited for its deletion at least that long, and nobody is at it."""
        with self._lock:
            waits = bool(self._files or self._folders) and not self._flushing.locked()
            return waits and time.monotonic() - self._waiting_since >= seconds

    def occupy(self, paths: Iterable[str]) -> bool:
        """Whether one of the paths is still occupied by what waits for its deletion."""
        with self._lock:
            to_delete = {*self._files.values(), *self._folders.values()}
        return not to_delete.isdisjoint(paths)

    def make_way(self, paths: Iterable[str]) -> None:
        """Delete now what waits for its deletion at one of the paths, or above it.

        Raises:
            CavaticaError: something cannot be deleted; or a folder has to wait on, and would take
                with it what is put there.
        """
        places = {str(one) for path in paths for one in (path, *PurePosixPath(path).parents)}
        if not self.occupy(places):
            return
        try:
            self._delete(lambda folder: folder in places)
        except CavaticaError:  # which may be about other files
            if self.occupy(places):
                raise
        with self._lock:
            left = sorted(places.intersection(self._folders.values()))
        if left:
            raise CavaticaError(
                f"The folder {ProjectPath(self._project, left[0])} is to be deleted, but what was "
                "made from it is not on record on the platform yet. Try again later."
            )

    def spare(self, id_: str) -> None:
        """This file or folder is not to be deleted any more."""
        with self._lock:
            self._files.pop(id_, None)
            self._folders.pop(id_, None)

    def spare_at(self, path: str) -> None:
        """Nothing that was at this path is to be deleted any more."""
        with self._lock:
            self._files = {file: at for file, at in self._files.items() if at != path}
            self._folders = {folder: at for folder, at in self._folders.items() if at != path}

    def flush(self) -> None:
        """Delete now what waits for it; what cannot be deleted waits on.

        Raises:
            CavaticaError: files and folders that could not be deleted, each with the reason.
        """
        self._delete(lambda _: True)

    def _delete(self, is_wanted: Callable[[str], bool]) -> None:
        """Delete the folders at some paths, and all files: a hundred of them are one request."""
        with self._flushing:  # whoever finds a path that is to be deleted waits until it is free
            with self._lock:
                files = dict(self._files)
                folders = {folder: at for folder, at in self._folders.items() if is_wanted(at)}
            if not (files or folders) or not self.may_delete():
                return
            reasons = [*self._delete_files(files), *self._delete_folders(folders)]
        if reasons:
            raise CavaticaError(f"Not everything could be deleted: {'; '.join(reasons)}")

    def _delete_files(self, to_delete: dict[str, str]) -> Iterator[str]:
        """Delete files, paths by id; why some cannot be deleted."""
        answers = self._client().delete_files(list(to_delete)) if to_delete else {}
        for file, path in to_delete.items():
            error = answers.get(file)
            if isinstance(error, ApiError) and not isinstance(error, NotFound):
                yield f"{ProjectPath(self._project, path)}: {error}"
            else:
                self.spare(file)

    def _delete_folders(self, to_delete: dict[str, str]) -> Iterator[str]:
        """The same for folders, with all that is in them."""
        for folder, path in to_delete.items():
            try:
                self.delete_folder(path, folder)
            except NotFound:
                self.spare(folder)
            except (ApiError, TransferError) as error:
                if any(isinstance(one, NoAnswer) for one in (error, error.__cause__)):
                    raise  # after all patience, which each of the others would take as well
                place = ProjectPath(self._project, path)
                yield f"{place}: {error}" if isinstance(error, ApiError) else str(error)
            else:
                self.spare(folder)
