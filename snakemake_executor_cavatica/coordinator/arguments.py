"""Snakemake's arguments as they have to be where a coordinator runs, and the files they name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PROFILE = "--profile"
_LARGEST = 1_000_000
"""Bytes of a file in a profile; what is larger is no part of one."""


@dataclass(frozen=True)
class Arguments:
    """For the coordinator, with what they need besides the workflow's own files."""

    words: tuple[str, ...]
    files: Mapping[str, Path] = field(default_factory=dict)
    """By where they go below the folder of the workflow's files."""


@dataclass(frozen=True)
class Place:
    """Where things are here."""

    root: Path
    """Holds the workflow's files, and where Snakemake is started."""
    start: Path

    def seen_from_start(self, path: Path) -> str:
        """How a path is named there."""
        return os.path.relpath(self.root / path, self.start)


@dataclass(frozen=True)
class Profiles:
    """The files of the profiles that hold here, by whatever name they were asked for."""

    general: tuple[Path, ...] = ()
    of_workflow: Path | None = None


def moved_arguments(
    arguments: Sequence[str], place: Place, profiles: Profiles, overriding: Sequence[str]
) -> Arguments:
    """Absolute paths below the workflow's folder become relative ones, and profiles travel along.

    Args:
        overriding: options that come last: of what is given twice, Snakemake takes the last.
    """
    files: dict[str, Path] = {}

    def moved(profile: Path) -> str:
        """Where a profile is there, with what lies beside it."""
        is_inside = profile.is_relative_to(place.root)
        number = len(files)
        folder = profile.parent.relative_to(place.root) if is_inside else Path(f".profile{number}")
        files.update({str(folder / path.name): path for path in _small_files(profile.parent)})
        return place.seen_from_start(folder / profile.name)

    more = [*overriding]
    for profile in profiles.general:
        more += ["--profile", moved(profile)]
    found = profiles.of_workflow
    more += ["--workflow-profile", "none" if found is None else moved(found)]
    words = [_moved(word, place) for word in _without_profiles(arguments)]
    end = words.index("--") if "--" in words else len(words)
    return Arguments((*words[:end], *more, *words[end:]), files)


def _small_files(folder: Path) -> Iterable[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_file() and path.stat().st_size <= _LARGEST
    )


def _without_profiles(arguments: Sequence[str]) -> Iterator[str]:
    """Of profiles Snakemake takes all that it is told, not only the last."""
    before = ""
    for word in arguments:
        if _PROFILE not in (word, before) and not word.startswith(f"{_PROFILE}="):
            yield word
        before = word


def _moved(word: str, place: Place) -> str:
    name, equals, value = word.partition("=")
    return f"{name}={_path(value, place)}" if equals else _path(word, place)


def _path(word: str, place: Place) -> str:
    if not Path(word).is_absolute():
        return word
    path = Path(os.path.normpath(word))
    for root in (place.root, place.root.resolve()):
        if path.is_relative_to(root):
            return place.seen_from_start(path.relative_to(root))
    return word
