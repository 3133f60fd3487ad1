"""Patterns of paths, by which users widen and narrow what is sent along with a workflow.

As in a shell, from the working directory on: `*`, `?` and `[...]` stand for anything within one
name, `**` for any number of folders, and a folder for all that is in it.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path


@dataclass(frozen=True)
class Patterns:
    """What is sent along though it would not be, and what is not though it would be."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def excludes(self, path: Path, workdir: Path) -> bool:
        """Whether a pattern matches the path, or a folder above it."""
        parts = _parts(str(path), workdir)
        return any(_matches(parts, _parts(pattern, workdir)) for pattern in self.exclude)


NO_PATTERNS = Patterns()


def matching_files(pattern: str, workdir: Path) -> Iterator[Path]:
    """The files that a pattern names; what is hidden has to be named with its dot."""
    for name in glob.iglob(pattern, root_dir=workdir, recursive=True):  # noqa: PTH207 - `Path.glob` matches what is hidden
        path = Path(os.path.normpath(workdir / name))
        yield from visible_files(path) if path.is_dir() else [path]


def visible_files(folder: Path) -> Iterator[Path]:
    """Files below a folder, but none that is hidden, installed, or beyond a link to a folder."""
    for place, folders, names in os.walk(folder):
        if is_environment(Path(place)):
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(names) if not name.startswith("."))


def is_environment(folder: Path) -> bool:
    """Whether it is an environment of Python's or conda's: installed, not written."""
    return (folder / "pyvenv.cfg").exists() or (folder / "conda-meta").exists()


def _parts(path: str, workdir: Path) -> Sequence[str]:
    return Path(os.path.relpath(workdir / path, workdir)).parts


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(parts[skipped:], pattern[1:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
