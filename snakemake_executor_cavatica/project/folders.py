"""What is in a folder of this machine, for a platform that knows no links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..api import CavaticaError


class Level(NamedTuple):
    """One folder, with the names of what is in it, in order."""

    folder: Path
    folders: list[str]
    files: list[str]
    """Also links that lead nowhere."""
    circles: list[str]
    """Links to a folder that they lie in: what is behind them has no end."""


def levels(path: str) -> Iterator[Level]:
    """A folder and all that are below it, also behind links, as often as something leads there."""
    above = {path: frozenset([os.path.realpath(path)])}
    for folder, folders, files in os.walk(path, followlinks=True):
        around = above.pop(folder)
        real = {name: os.path.realpath(Path(folder, name)) for name in sorted(folders)}
        folders[:] = [name for name in real if real[name] not in around]
        above |= {os.path.join(folder, name): around | {real[name]} for name in folders}  # noqa: PTH118 - as os.walk has it
        circles = [name for name in real if real[name] in around]
        yield Level(Path(folder), list(folders), sorted(files), circles)


def refuse_circles(level: Level, advice: str) -> None:
    """Refuse to store what has no end.

    Raises:
        CavaticaError: there is a link to a folder that it lies in.
    """
    for name in level.circles:
        raise CavaticaError(
            f"{level.folder / name} leads back to a folder that it is in; {advice}."
        )
