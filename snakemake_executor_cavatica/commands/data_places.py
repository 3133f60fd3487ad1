"""What the commands about files of projects have in common: places, permissions, how far it is."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ..api import CavaticaError, ConfigurationError, NotFound
from ..api.traffic import Direction
from ..connections import CONNECTIONS
from ..observe.words import duration, several, size
from ..project.alias import Alias, alias_of
from ..project.connection import Connection
from ..project.found import Found, matching, with_place
from ..project.paths import SCHEME, ProjectPath, check_path

_SHOWN = 5
_Item = TypeVar("_Item")


def connect(options: argparse.Namespace) -> Connection:
    """The platform that the options name."""
    return CONNECTIONS.connect(options.api_endpoint, options.credentials_profile, joins=True)


def place_of(text: str) -> ProjectPath:
    """A place on the platform.

    Raises:
        ConfigurationError: it is none.
    """
    try:
        place = ProjectPath.parse(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} is no place on the platform: {error}. Write {SCHEME}owner/project/path."
        ) from None
    check_path(place.path)
    return place


def check_permission(connection: Connection, project: str, needed: str) -> None:
    """Say at once what would fail later.

    Raises:
        ConfigurationError: there is no such project, or its files may not be changed or read.
    """
    permissions = connection.project(project).permissions
    if permissions is None:
        return
    if not (permissions.write if needed == "write" else permissions.copy_):
        raise ConfigurationError(
            f"You have no {needed} permission in the project {project}. Ask one of its "
            "administrators for it."
        )


def found_at(connection: Connection, places: Iterable[str], needed: str | None) -> list[Found]:
    """What is at these places, or matches them.

    Raises:
        CavaticaError: one of them is none, may not be read, or has nothing.
    """
    found: dict[str | ProjectPath, Found] = {}
    for text in places:
        there = _by_id(connection, text)
        place = there[0].place if there else place_of(text)
        if needed is None:
            connection.project(place.project)
        else:
            check_permission(connection, place.project, needed)
        there = there or matching(connection.client, place)
        if not there:
            raise CavaticaError(f"{text} does not exist, and matches nothing on the platform.")
        found |= {one.id or one.place: one for one in there}
    return list(found.values())


def _by_id(connection: Connection, text: str) -> list[Found]:
    """The file that `cavatica://id/<file id>` names; none if it is a place."""
    alias = _alias(text)
    if alias is None:
        return []
    try:
        file = connection.client.get_file(str(alias.file_id))
    except NotFound as error:
        raise CavaticaError(
            f"{text}: there is no file of that id that this token can see. [{error}]"
        ) from error
    root = connection.project(file.project).root_folder if file.project else None
    return [replace(with_place(connection.client, file, root), called=alias.name)]


def _alias(text: str) -> Alias | None:
    """The id that a text is; DRS objects are for workflows only, and no place."""
    return alias_of(text) if text.startswith(SCHEME) else None


def is_pattern(text: str, found: Found) -> bool:
    """Whether what was found is named by a pattern only."""
    return _alias(text) is None and found.place != place_of(text)


def goes_into(target: str, sources: int) -> bool:
    """Whether things go into the target under their own names, or one becomes the target itself."""
    return sources > 1 or target.endswith(("/", os.sep)) or Path(target).name in {"", ".", ".."}


def say(line: str) -> None:
    """A line on stdout, harmless whatever names are in it."""
    sys.stdout.write(f"{harmless(line)}\n")


def harmless(text: str) -> str:
    """As it is, but what could move the cursor of a terminal is spelled out."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def amount(files: int, bytes_: int) -> str:
    """`3 files, 12 MiB`."""
    return f"{several(files, 'file')}, {size(bytes_)}"


def refuse_to_replace(different: list[_Item], name: Callable[[_Item], object]) -> None:
    """Say which files would be replaced.

    Raises:
        CavaticaError: there are some.
    """
    if not different:
        return
    some = ", ".join(harmless(str(name(item))) for item in different[:_SHOWN])
    more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
    raise CavaticaError(
        f"There {'is a file' if len(different) == 1 else 'are files'} of the same name with "
        f"another content, or one that cannot be told: {some}{more}. Nothing was moved; "
        "--overwrite replaces them."
    )


class _Bar(Progress):
    """Looks at what has moved as often as it is drawn: the parts of a file tell nobody."""

    def __init__(self, direction: Direction, total: int, console: Console) -> None:
        self._direction, self._total, self._begun = direction, total, direction.total
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[done]} of {task.fields[files]} files"),
            console=console,
            disable=not console.is_terminal,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """What is drawn."""
        for task in self.tasks:
            self.update(task.id, completed=min(self._direction.total - self._begun, self._total))
        yield from super().get_renderables()


@contextmanager
def shown_progress(
    what: str, total: int, files: int, direction: Direction
) -> Iterator[Callable[[object], None]]:
    """A bar on a terminal while files move; give it each that has arrived."""
    count = itertools.count(1)
    with _Bar(direction, total, Console(stderr=True)) as progress:
        bar = progress.add_task(what, total=total, done=0, files=files)
        yield lambda _: progress.update(bar, done=next(count))


class Stopwatch:
    """How long something took, and how fast it was."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def told(self, bytes_: int) -> str:
        """`in 12 s (30 MiB/s)`."""
        seconds = time.monotonic() - self._began
        rate = f" ({size(bytes_ / seconds)}/s)" if bytes_ and seconds > 1 else ""
        return f"in {duration(seconds)}{rate}"


@contextmanager
def told_of_the_machine(what: str) -> Iterator[None]:
    """What this machine refuses becomes one sentence.

    Raises:
        CavaticaError: there is no space, no permission, or something else of the kind.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or what
        raise CavaticaError(
            f"{where}: {error.strerror or error}. What has arrived stays; the same command goes on."
        ) from error
