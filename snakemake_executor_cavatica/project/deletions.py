"""Files of a project that wait for their deletion, since many can be deleted in one call."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import Literal

from ..api import ApiError, CavaticaError, Client, NotFound
from ..api.background import run_async_once
from ..api.call import BULK
from .paths import ProjectPath
from .tree import Entry


class Deletions:
    """What is to be deleted in one project. Safe to use from several threads."""

    def __init__(self, client: Callable[[], Client], project: str) -> None:
        self._client = client
        self._project = project
        self.deferred = False
        """Whether files wait for `flush`, to go out in bulk; True while an executor runs."""
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
        """A file or folder is to be deleted, by `carry_out`."""
        with self._lock:
            if entry.folder:
                self._folders[entry.id] = entry.path
            else:
                if not self._files:
                    self._waiting_since = time.monotonic()
                self._files[entry.id] = entry.path

    def carry_out(self, entry: Entry) -> None:
        """Delete a file or folder that was added, at once or later with others."""
        if entry.folder:
            self._delete_folders()
        elif not self.deferred or len(self._files) >= BULK:
            self.flush()

    def _delete_folders(self) -> None:
        """Delete folders at once, unless what was made from them is not on record."""
        with self._lock:
            to_delete = dict(self._folders)
        if not to_delete or not self.may_delete():
            return
        for folder, path in to_delete.items():
            self.delete_folder(path, folder)
            with self._lock:
                self._folders.pop(folder, None)

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
        """Whether files have waited for their deletion at least that long."""
        with self._lock:
            return bool(self._files) and time.monotonic() - self._waiting_since >= seconds

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
        self.flush()
        with self._lock:
            left = sorted(places.intersection(self._folders.values()))
        if left:
            raise CavaticaError(
                f"The folder {ProjectPath(self._project, left[0])} is to be deleted, but what was "
                "made from it is not on record on the platform yet. Try again later."
            )

    def spare(self, file: str) -> None:
        """This file is not to be deleted any more."""
        with self._lock:
            self._files.pop(file, None)

    def spare_at(self, path: str) -> None:
        """No file that was at this path is to be deleted any more."""
        with self._lock:
            self._files = {file: at for file, at in self._files.items() if at != path}

    def flush(self) -> None:
        """Delete now what waits for it; what cannot be deleted waits on.

        Raises:
            CavaticaError: files that could not be deleted, each with the reason.
        """
        with self._flushing:  # whoever finds a path that is to be deleted waits until it is free
            self._delete_folders()
            with self._lock:
                to_delete = dict(self._files)
            if not to_delete or not self.may_delete():
                return
            answers = self._client().delete_files(list(to_delete))
            failed = {
                file: error
                for file, error in answers.items()
                if isinstance(error, ApiError) and not isinstance(error, NotFound)
            }
            with self._lock:
                for file in to_delete.keys() - failed.keys():
                    self._files.pop(file, None)
        if failed:
            reasons = "; ".join(
                f"{ProjectPath(self._project, to_delete[file])}: {error}"
                for file, error in failed.items()
            )
            raise CavaticaError(f"These files could not be deleted: {reasons}")
