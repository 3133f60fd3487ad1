"""The directory that the jobs of a workflow run in, by all its names.

A task has a working directory of its own, whose path is known only there. What leads below the one
on this machine leads below that of the task, by whatever path it is named.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any

from ..project.environment import home_folder
from .facts import WORKDIR_PLACEHOLDER
from .files_read import links_entered
from .internals import LocalSourceFile


class Workdir:
    """The present directory, and others of the workflow that lie at the same place in a task."""

    def __init__(self, others: Mapping[str, str] | None = None) -> None:
        """`others` are absolute paths of folders, with what leads there from the present one."""
        self._path = str(Path.cwd())
        self._names = {**(others or {}), self._path: "."}
        self._is_here: dict[str, bool] = {self._path: True}

    @property
    def names(self) -> dict[str, str]:
        """Absolute paths, with what leads there from the working directory; that itself first."""
        return {self._path: ".", **self._names}

    def inside(self, path: str) -> str:
        """A path from the working directory, if it leads below it; otherwise as it is."""
        if not posixpath.isabs(path):
            return path
        normal = posixpath.normpath(path)
        if normal.startswith(f"{self._path}/"):
            return self._from_here(path, self._path)
        for folder in map(str, reversed(PurePath(normal).parents)):
            if self._leads_here(folder):
                return self._from_here(path, folder)
        return path

    def _from_here(self, path: str, folder: str) -> str:
        """With its `..`, which may lead through other folders, unless they lead through these."""
        rest = path.removeprefix(f"{folder}/").lstrip("/")
        below = path.startswith(f"{folder}/") and not posixpath.normpath(rest).startswith("../")
        return rest if below else posixpath.relpath(path, folder)

    def _leads_here(self, folder: str) -> bool:
        """Whether a folder is this one by another name, which is remembered."""
        if folder not in self._is_here:
            self._is_here[folder] = os.path.realpath(folder) == self._path
            if self._is_here[folder]:
                self._names[folder] = "."
        return self._is_here[folder]

    def told(self, text: str) -> str:
        """A text in which the mark of the task's working directory stands for this one."""
        return self._pattern().sub(self._mark, text)

    def is_named_in(self, text: str) -> bool:
        """Whether a text holds a path of this machine that a task has elsewhere."""
        return self._pattern().search(text) is not None

    def told_value(self, value: Any) -> Any:
        """The same for what a rule or a configuration may hold; as it is if no text is in it."""
        if isinstance(value, PurePath):
            told = self.told(str(value))
            return value if told == str(value) else type(value)(told)
        if isinstance(value, str):
            told = self.told(value)
            return value if told == value else told
        if type(value) in {dict, OrderedDict}:
            return type(value)(self._told_items(value))
        if type(value) in {list, tuple, set, frozenset}:
            return type(value)(map(self.told_value, value))
        return value

    def _told_items(self, value: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
        for key, member in value.items():
            yield self.told_value(key), self.told_value(member)

    def _pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self._names.keys() - {"/"}, key=len, reverse=True)
        names = "|".join(map(re.escape, longest_first))
        # Not in the middle of another path, nor of a longer name.
        return re.compile(rf"(?<![\w./-])(?:{names or '(?!)'})(?![\w.-])")

    def _mark(self, match: re.Match[str]) -> str:
        there = self._names[match[0]]
        return WORKDIR_PLACEHOLDER if there == "." else f"{WORKDIR_PLACEHOLDER}/{there}"


def workdir_of(workflow: Any, below: str) -> Workdir:
    """The present directory, with other folders of the workflow, and links to such as it was in.

    Args:
        below: the directory, relative to the shipped sources; folders elsewhere no task has.
    """
    files = (
        file.get_path_or_uri(secret_free=True)
        for file in workflow.included
        if isinstance(file, LocalSourceFile)
    )
    # Not resolved: the workflow names them as it was given them.
    folders = workflow_folders(Path(os.path.abspath(file)) for file in files)  # noqa: PTH100
    real = {**{str(folder): str(folder) for folder in sorted(folders)}, **links_entered()}
    found = {folder: shipped(target, below) for folder, target in real.items()}
    return Workdir({folder: there for folder, there in found.items() if there is not None})


def workflow_folders(files: Iterable[Path]) -> set[Path]:
    """The folders of a workflow's files, the standard layout's above them, and the repository's."""
    found: set[Path] = set()
    for folder in {file.parent for file in files}:
        found.add(folder)
        if folder.name == "workflow":
            found.add(folder.parent)
        found.update(one for one in [folder, *folder.parents] if (one / ".git").exists())
    return found - {home_folder(), Path("/")}


def shipped(path: str, below: str) -> str | None:
    """A local path from the present directory; None if it is not below the shipped sources."""
    relative = os.path.relpath(path)
    place = posixpath.normpath(posixpath.join(below, relative))
    return None if place.split("/")[0] == ".." else relative
