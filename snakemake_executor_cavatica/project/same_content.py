"""Whether a local file and one on the platform are the same, as far as that can be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from ..api import File
from ..api.checksums import CHECKSUM_KEY, checksum_like


def has_same_content(local: Path, file: File) -> bool | None:
    """By size, and by the checksum in the platform's metadata; None if there is none.

    A checksum that is on record belongs to the content for good: it cannot be changed (documented).
    """
    if file.size is not None and file.size != local.stat().st_size:
        return False
    known = str(file.metadata.get(CHECKSUM_KEY) or "")
    mine = checksum_like(local, known) if known else None
    return None if mine is None else mine == known


def seconds_of_making(file: File) -> float | None:
    """When a file came to the platform, in seconds since the epoch, if that is told."""
    return file.created_on.timestamp() if file.created_on else None


@dataclass(frozen=True)
class Chosen:
    """Which files of a folder are wanted, by patterns for their names or their paths in it."""

    include: Sequence[str] = ()
    """Only these; empty for all."""
    exclude: Sequence[str] = ()
    """Not these, nor what is in folders that these match."""

    def wants(self, path: str) -> bool:
        """Whether the file at a path, relative to the folder, is wanted."""
        pure = PurePosixPath(path)
        above = [str(part) for part in pure.parents[:-1]]
        if any(_matches(one, pattern) for one in (path, *above) for pattern in self.exclude):
            return False
        return not self.include or any(_matches(path, pattern) for pattern in self.include)


def _matches(path: str, pattern: str) -> bool:
    return fnmatchcase(path, pattern) or fnmatchcase(PurePosixPath(path).name, pattern)
