"""Where files are that workflows name by an id, or as DRS objects.

A DRS object is imported by the platform into the plugin's own folder, where all runs find it: it is
linked, and used as any other file.
"""

from __future__ import annotations

import posixpath
import threading
from collections.abc import Callable, Iterable

from ..api import ApiError, CavaticaError, File
from ..api.drs import DrsImport, import_drs
from .alias import Alias
from .found import checked_name
from .index import ProjectIndex
from .paths import ProjectPath

_FOLDER = "drs"
"""In the plugin's own."""
_BY_ID = "@id"
"""In indices only: no folder of the platform has such a name."""
_URI_KEY = "snakemake_drs_uri"
_LONGEST_VALUE = 300
"""Bytes of a value of metadata (documented)."""
_NOT_FOUND, _NO_ACCESS = (404,), (401, 403)


class Aliases:
    """Those of one connection. Safe to use from several threads; costs nothing without any."""

    def __init__(self, index: Callable[[str], ProjectIndex]) -> None:
        """`index` gives that of a project."""
        self._index = index
        self._lock = threading.RLock()
        self.home: ProjectPath | None = None
        """The plugin's own folder in the project of the tasks."""
        self._wanted: set[str] = set()
        """Ids of files that are looked up together."""
        self._places: dict[str, ProjectPath] = {}
        """By file id."""
        self._imports: dict[ProjectPath, Alias] = {}
        """DRS objects by the place that they have, or will have."""

    def note(self, alias: Alias) -> None:
        """It will be asked for."""
        with self._lock:
            if alias.file_id is not None and alias.file_id not in self._places:
                self._wanted.add(alias.file_id)

    def place(self, alias: Alias) -> ProjectPath:
        """Where the file is, or will be once it is imported.

        Raises:
            CavaticaError: there is no file of that id, for this token.
        """
        with self._lock:
            return self._place_of_import(alias) if alias.uri else self._place_of_id(alias)

    def bring(self, places: Iterable[object]) -> None:
        """Have the DRS objects imported whose places are among these, if they are not there.

        Raises:
            CavaticaError: some of them cannot be imported; each is named, with the reason.
        """
        if not self._imports:
            return
        with self._lock:
            due = [
                (place, self._imports[place])
                for place in dict.fromkeys(places)
                if isinstance(place, ProjectPath) and place in self._imports
            ]
            if due:
                self._import(due)

    # --------------------------------------------------------------------------- by id

    def _place_of_id(self, alias: Alias) -> ProjectPath:
        file_id = str(alias.file_id)
        if file_id not in self._places:
            answer = self._look_up({*self._wanted, file_id})[file_id]
            if isinstance(answer, ApiError):
                raise CavaticaError(
                    f"{alias.query} cannot be used: there is no file of that id that this token "
                    f"can see. [{answer}]"
                )
        return self._places[file_id]

    def _look_up(self, wanted: set[str]) -> dict[str, File | ApiError]:
        """All that were noted, a hundred in one request."""
        answers = self._index(self._project()).client.get_files(wanted)
        self._wanted.clear()
        for file_id, answer in answers.items():
            if isinstance(answer, File):
                self._places[file_id] = self._noted(answer)
        return answers

    def _noted(self, file: File) -> ProjectPath:
        """Its project's index knows it from now on, without having listed any folder for it."""
        project = file.project or self._project()
        path = posixpath.join(_BY_ID, file.id, checked_name(file))
        return ProjectPath(project, self._index(project).add(path, file).path)

    # --------------------------------------------------------------------------- DRS

    def _project(self) -> str:
        assert self.home is not None
        return self.home.project

    def _place_of_import(self, alias: Alias) -> ProjectPath:
        assert self.home is not None
        place = self.home / _FOLDER / alias.stored_name
        self._imports[place] = alias
        return place

    def _import(self, due: list[tuple[ProjectPath, Alias]]) -> None:
        index = self._index(self._project())
        missing = [(place, alias) for place, alias in due if index.find(place.path) is None]
        if not missing:
            return
        parent = index.ensure_folder(missing[0][0].parent.path)
        assert parent is not None
        wanted = [
            DrsImport(str(alias.uri), place.name, parent, _metadata(alias))
            for place, alias in missing
        ]
        outcomes = import_drs(index.client, wanted)
        self._settle(index, parent, missing, outcomes)

    def _settle(
        self,
        index: ProjectIndex,
        parent: str,
        missing: list[tuple[ProjectPath, Alias]],
        outcomes: list[File | ApiError],
    ) -> None:
        """Files are taken by their names: what another run has imported meanwhile is skipped."""
        names = [place.name for place, _ in missing]
        there = {file.name: file for file in index.client.list_files(parent=parent, names=names)}
        failures = []
        for (place, alias), outcome in zip(missing, outcomes, strict=True):
            if place.name in there:
                index.add(place.path, there[place.name])
            else:
                failures.append(f"{alias.query} cannot be imported: {_why(outcome)}")
        if failures:
            raise CavaticaError(" ".join(failures))


def _why(outcome: File | ApiError) -> str:
    status = getattr(outcome, "status", None)
    told = getattr(outcome, "message", "it was imported, but is not where it should be").rstrip(".")
    if status in _NOT_FOUND:
        return f"its server knows no such object; check the address. [{told}]"
    if status in _NO_ACCESS:
        return (
            "you have no access to it; connect your account to its server, on the platform under "
            f"Account settings, Dataset access. [{told}]"
        )
    return f"{told}."


def _metadata(alias: Alias) -> dict[str, str]:
    uri = str(alias.uri)
    return {_URI_KEY: uri} if len(uri.encode()) <= _LONGEST_VALUE else {}
