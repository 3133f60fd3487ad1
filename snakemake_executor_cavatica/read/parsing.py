"""What a workflow finds out while it is parsed, about files and folders that it does not read, and
about its environment.

Tasks that parse it again lack most of these files. `in_task/as_parsed.py` gives the same answers
there.
"""

from __future__ import annotations

import functools
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..in_task.as_parsed import Told, as_able, full_path, told_of
from ..in_task.listed import kind_of

_IMPORTING = re.compile(r"^<frozen importlib|/importlib/|/pkgutil\.py$")
"""Who looks for modules and versions of packages, also in the working directory."""
_ENVIRONMENT = re.compile(r"\b(os|_collections_abc)(\.py|>)$")
"""By which methods variables are asked for."""
_STARTING = re.compile(
    r"(\b(os(\.py|>)|subprocess\.py|snakemake/shell\.py)|executor_cavatica/read/\w+\.py)$"
)
"""By which functions programs are started."""
_SHELLS = {"sh", "bash", "dash", "ksh", "zsh", "busybox"}
_SHELL_COMMAND = re.compile(r"\s*(?:set -euo pipefail;)?\s*(?:\w+=[^\s$`]*\s+)*([\w./+-]*)")
_ANSWERING_NOTHING = {"", "cp", "echo", "ln", "mkdir", "mv", "rm", "touch", "true"}
PACKAGES = {"site-packages", "dist-packages"}
"""Folders of installed packages."""
_OURS = Path(__file__).parents[1]
"""This one, which may be installed from where it is developed."""

_listed: dict[str, None] = {}
"""Folders that were looked into, as `full_path` has them."""
_asked: dict[str, None] = {}
"""Paths that were asked for, in the same form."""
_variables: set[str] = set()
"""Environment variables that the workflow's own code has asked for, whether set or not."""
_programs: set[str] = set()
"""Names of programs that the workflow's own code has started."""
_depth = 0
"""How many Snakefiles are being parsed, each included by the one before."""


def watch_parsing() -> None:
    """Note from now on, for the life of this process, what workflows ask for; to be called once."""
    from .internals import workflow_class  # noqa: PLC0415 - most commands do without Snakemake

    owner = workflow_class()
    include: Callable[..., Any] = owner.include

    @functools.wraps(include)
    def noted(*args: Any, **kwargs: Any) -> Any:
        with parsing():
            return include(*args, **kwargs)

    owner.include = noted


@contextmanager
def parsing() -> Iterator[None]:
    """For the length of the block a workflow is parsed."""
    global _depth  # noqa: PLW0603 - as the functions of `os` are there once, so is this
    originals = {name: getattr(os, name) for name in ("stat", "lstat", "access", "readlink")}
    if _depth == 0:
        os.environ.__class__ = _Environment
        for name, original in originals.items():
            setattr(os, name, _noting(original))
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if _depth == 0:
            os.environ.__class__ = _Environment.__base__
            for name, original in originals.items():
                setattr(os, name, original)


class _Environment(type(os.environ)):  # type: ignore[misc]  # it has no public name
    """The same variables; notes which of them are asked for, each by itself."""

    _copied: set[str] = set()  # noqa: RUF012 - there is but one environment

    def __iter__(self) -> Iterator[str]:
        """All are wanted, most likely for another process: that says nothing of any of them."""
        for name in super().__iter__():
            self._copied.add(name)
            yield name

    def __getitem__(self, name: str) -> str:
        if name in self._copied:
            self._copied.remove(name)
        elif _is_workflow(_ENVIRONMENT):
            _variables.add(name)
        return str(super().__getitem__(name))


def _is_workflow(between: re.Pattern[str]) -> bool:
    """Whether the workflow's own code is what calls, by functions in such files."""
    frame = sys._getframe(2)
    while frame.f_back is not None and between.search(frame.f_code.co_filename):
        frame = frame.f_back
    file = frame.f_code.co_filename
    return not file.startswith("<") and not is_installed(Path(file))


def is_installed(path: Path) -> bool:
    """Whether it belongs to Python, or to a package."""
    is_package = bool(PACKAGES.intersection(path.parts)) or path.is_relative_to(_OURS)
    return is_package or path.is_relative_to(sys.base_prefix)


def is_parsing() -> bool:
    """Whether a workflow is being parsed."""
    return _depth > 0


def _noting(original: Callable[..., Any]) -> Any:
    """The same function, which notes what it is asked for; there is no audit event for it."""

    @functools.wraps(original)
    def noting(path: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(path, str | bytes | os.PathLike) and kwargs.get("dir_fd") is None:
            _note(path, _asked)
        return original(path, *args, **kwargs)

    return as_able(original, noting)


def _note(path: str | bytes | os.PathLike[Any], noted: dict[str, None]) -> None:
    if text := os.fsdecode(path):
        noted[full_path(text)] = None


def note_listing(path: object) -> None:
    """Note that the workflow looks into a folder."""
    if not _depth or not isinstance(path, str | os.PathLike | None):
        return
    if not _IMPORTING.search(sys._getframe(3).f_code.co_filename):
        _note("." if path is None else path, _listed)


def note_program(command: Any) -> None:
    """Note that the workflow starts a program: one of these words, or a shell with a command."""
    if _depth and _is_workflow(_STARTING):
        _programs.update({program_of(command)} - _ANSWERING_NOTHING)


def program_of(command: Any) -> str:
    """The name of the program that words, or a command for a shell, start; empty if unknown."""
    given = command if isinstance(command, list | tuple) else ["sh", "-c", command]
    words = [os.fsdecode(one) for one in given if isinstance(one, str | bytes | os.PathLike)]
    if words[1:2] == ["-c"] and Path(words[0]).name in _SHELLS:
        words = _SHELL_COMMAND.findall("".join(words[2:3]))
    return Path(words[0]).name if words else ""


def _names(folder: str) -> dict[str, str] | None:
    try:
        with os.scandir(folder) as entries:
            return {entry.name: kind_of(entry) for entry in entries}
    except OSError:
        return None


def folders_listed() -> dict[str, dict[str, str] | None]:
    """Folders that were looked into while the workflow was parsed, with the names in them, and what
    these stand for; None where there is no folder.

    As they are now: what the workflow has made or removed while it was parsed, it finds so when a
    task parses it again.
    """
    return {folder: _names(folder) for folder in tuple(_listed)}


def paths_asked() -> dict[str, Told | None]:
    """Paths that were asked for while the workflow was parsed, and what is there now."""
    return {path: told_of(path) for path in tuple(_asked)}


def variables_asked() -> frozenset[str]:
    """Environment variables that the workflow asked for while it was parsed, set or not."""
    return frozenset(_variables)


def programs_started() -> frozenset[str]:
    """Names of programs that the workflow has started while it was parsed, and that may have told
    it something.
    """
    return frozenset(_programs)
