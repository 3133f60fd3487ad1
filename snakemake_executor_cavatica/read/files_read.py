"""Which files this process has read: what a workflow needs while it is parsed, nobody else knows.

Sample sheets, schemas, version files and Python modules are opened by the workflow's own code. It
is watched from the moment that there are settings of our executor: the `snakemake` command makes
them before it parses anything, and only where that executor is asked for. What compiled
libraries open by themselves (as polars and pyarrow do) goes unnoticed.
"""

from __future__ import annotations

import os
import sys
from importlib.util import source_from_cache
from pathlib import Path

from .fetched import watch_fetching
from .parsing import is_parsing, note_listing, note_program, watch_parsing

_SNAKEMAKE_IO = "/snakemake/io/__init__.py"
"""Snakemake itself opens inputs there, to see whether they have changed. That makes no sources."""

_read: dict[str, str] = {}
"""Absolute paths, and how they were first given."""
_read_while_parsed: set[str] = set()
_made_while_parsed: set[str] = set()
"""Files that the workflow itself has written or put there. Nothing of them is read by that."""
_links: dict[str, str] = {}
"""Links that led to another working directory, and where they led."""
_watching = False


def watch_reads() -> None:
    """Note from now on, for the life of this process, which files are opened for reading."""
    global _watching  # noqa: PLW0603 - audit hooks cannot be removed, so there must be one only
    if not _watching:
        _watching = True
        watch_parsing()
        watch_fetching()
        sys.addaudithook(_note_read)


def _note_read(event: str, arguments: tuple[object, ...]) -> None:
    """Called for all that Python audits, so it has to be quick."""
    if event != "open":
        _note_other(event, arguments)
        return
    path, _, flags = arguments
    if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
        _note_made(path)
        if flags & (os.O_WRONLY | os.O_CREAT | os.O_TRUNC):
            return
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not isinstance(path, str) or path in _read or "/.snakemake/" in path:
        return
    if not sys._getframe(1).f_code.co_filename.endswith(_SNAKEMAKE_IO):
        name = os.path.abspath(path)  # noqa: PTH100 - called for every open()
        _read.setdefault(name, path)
        if is_parsing():
            _read_while_parsed.add(name)


def _note_other(event: str, arguments: tuple[object, ...]) -> None:
    if event == "os.chdir" and isinstance(arguments[0], (str, Path)):
        folder = os.path.abspath(arguments[0])  # noqa: PTH100 - links have to stay
        if os.path.realpath(folder) != folder:
            _links[folder] = os.path.realpath(folder)
    elif event in {"os.scandir", "os.listdir"}:
        note_listing(arguments[0])
    elif event in {"subprocess.Popen", "os.system"}:
        note_program(arguments[1 if event == "subprocess.Popen" else 0])
    elif event in {"os.rename", "os.link", "os.symlink"}:
        _note_made(arguments[1])


def _note_made(path: object) -> None:
    if is_parsing() and isinstance(path, str | bytes | os.PathLike):
        _made_while_parsed.add(os.path.abspath(os.fsdecode(path)))  # noqa: PTH100 - links stay


def files_read() -> dict[Path, str]:
    """Files that were read so far, and the paths that were used; modules that were compiled before
    stand for their source.
    """
    return {Path(_source_of(name)): given for name, given in tuple(_read.items())}


def was_read_while_parsed(path: Path) -> bool:
    """Whether the workflow has read it while it was parsed, and not only functions of it later."""
    return str(path) in _read_while_parsed


def files_made() -> set[Path]:
    """Files that the workflow has made or changed while it was parsed; a task that parses it makes
    them again.
    """
    return set(map(Path, tuple(_made_while_parsed)))


def links_entered() -> dict[str, str]:
    """Paths with links in them that led this process to another directory, and to which one."""
    return dict(_links)


def _source_of(name: str) -> str:
    if not name.endswith(".pyc"):
        return name
    try:
        return source_from_cache(name)
    except ValueError:  # a module without source
        return name
