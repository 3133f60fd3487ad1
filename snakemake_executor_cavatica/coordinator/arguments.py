"""Snakemake's arguments as they have to be where a coordinator runs, and the files they name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PROFILE, _WORKFLOW_PROFILE = "--profile", "--workflow-profile"
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
    """Where the workflow's files are here."""

    root: Path
    start: Path
    """Where Snakemake was started."""

    def seen_from_start(self, path: Path) -> str:
        """How a path is named there."""
        return os.path.relpath(self.root / path, self.start)


def moved_arguments(
    arguments: Sequence[str],
    place: Place,
    profiles: Mapping[str, Path],
    overriding: Sequence[str],
) -> Arguments:
    """Profiles travel along, and absolute paths below the workflow's folder are relative ones.

    Args:
        profiles: files of profiles, by what the arguments call the profile.
        overriding: options that come last; of what is given twice, Snakemake takes the last.
    """
    files: dict[str, Path] = {}
    names: dict[str, str] = {}
    for number, (name, file) in enumerate(profiles.items()):
        is_inside = file.is_relative_to(place.root)
        folder = file.parent.relative_to(place.root) if is_inside else Path(f".profiles/{number}")
        files |= {str(folder / path.name): path for path in _small_files(file.parent)}
        names[name] = place.seen_from_start(folder / file.name)
    words = list(_moved(arguments, place, names))
    end = words.index("--") if "--" in words else len(words)
    return Arguments((*words[:end], *overriding, *words[end:]), files)


def _small_files(folder: Path) -> Iterable[Path]:
    return sorted(
        path for path in folder.iterdir() if path.is_file() and path.stat().st_size <= _LARGEST
    )


def _moved(arguments: Sequence[str], place: Place, profiles: Mapping[str, str]) -> Iterator[str]:
    option = ""
    for word in arguments:
        name, equals, value = word.partition("=")
        if word.startswith("-"):
            option = name
        if option in (_PROFILE, _WORKFLOW_PROFILE):
            if equals and value in profiles:
                yield f"{name}={profiles[value]}"
                continue
            if word in profiles:
                yield profiles[word]
                continue
        yield f"{name}={_path(value, place)}" if equals else _path(word, place)


def _path(word: str, place: Place) -> str:
    if not Path(word).is_absolute():
        return word
    path = Path(os.path.normpath(word))
    for root in (place.root, place.root.resolve()):
        if path.is_relative_to(root):
            return place.seen_from_start(path.relative_to(root))
    return word
