"""Files and folders of a project as commands ask for them: by path or pattern, with all they tell.

Nothing is kept: a run has its index for that.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase

from ..api import CavaticaError, Client, ConfigurationError, File, Stop
from ..api.calls import within
from .find_folder import find_folder
from .paths import ProjectPath, decode_folder, encode_folder

_PATTERN = re.compile(r"[*?\[]")
_ANY_DEPTH = "**"


@dataclass(frozen=True)
class Found:
    """A file or folder at its place; the root of a project has no document."""

    place: ProjectPath
    file: File | None = None
    called: str = ""
    """By whoever asks for it, if not by its own name."""

    @property
    def name(self) -> str:
        """What it is called elsewhere; of a root, the project's."""
        return self.called or self.place.name or self.place.project.rpartition("/")[2]

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, or the root."""
        return self.file is None or self.file.is_folder

    @property
    def id(self) -> str | None:
        """The platform's id; None for the root."""
        return self.file.id if self.file else None


def find(client: Client, place: ProjectPath) -> Found | None:
    """What is at a place, asked for by name; None if there is nothing."""
    if not place.path:
        return Found(place)
    parent = place.parent
    above = find_folder(client, place.project, parent.path)
    if above is None and parent.path:
        return None
    names = {place.name}
    with suppress(ConfigurationError):  # too long for a folder, not for a file
        names.add(encode_folder(place.name))
    where = within(above.id if above else None, place.project)
    # A folder may have been made elsewhere, under a name that is not encoded.
    files = client.list_files(names=sorted(names), **where)
    there = [file for file in files if file.name == place.name or file.is_folder]
    exact = [file for file in there if file.name == place.name]
    return Found(place, (exact or there)[0]) if there else None


def with_place(client: Client, file: File, root: str | None) -> Found:
    """A file or folder that is known by its id alone; a request for each folder that it lies in.

    Args:
        root: the id of its project's topmost folder, if that is told.
    """
    project = file.project or ""
    if file.id == root:
        return Found(ProjectPath(project, ""))
    names, above = [checked_name(file)], file.parent
    while above and above != root:
        folder = client.get_file(above)
        if not folder.parent:
            break
        names.append(checked_name(folder))
        above = folder.parent
    return Found(ProjectPath(project, "/".join(reversed(names))), file)


def matching(client: Client, place: ProjectPath) -> list[Found]:
    """What is at a place, or all that its path matches as a pattern; `**` is any folders, or in the
    end all files that are below.

    A file whose name looks like a pattern is meant itself.
    """
    exact = find(client, place)
    if exact is not None:
        return [exact]
    if not _PATTERN.search(place.path):
        return []
    level = [Found(ProjectPath(place.project, ""))]
    parts = place.path.split("/")
    for number, part in enumerate(parts, 1):
        if part != _ANY_DEPTH:
            level = [one for one in children(client, level) if fnmatchcase(one.place.name, part)]
        elif number < len(parts):
            level += [one for one in below(client, level) if one.is_folder]
        else:
            level = [one for one in below(client, level) if not one.is_folder]
    return sorted({one.place: one for one in level}.values(), key=lambda one: one.place)


def children(client: Client, folders: Iterable[Found]) -> list[Found]:
    """What is in these folders, one level deep, sorted."""
    found: list[Found] = []

    def list_one(folder: Found, _: Stop) -> None:
        files = list(client.list_files(**within(folder.id, folder.place.project)))
        found.extend(Found(folder.place / checked_name(file), file) for file in files)

    client.files.each(list_one, [one for one in folders if one.is_folder], client.stop)
    return sorted(found, key=lambda one: one.place)


def below(
    client: Client, folders: Sequence[Found], into: Container[ProjectPath] | None = None
) -> list[Found]:
    """All that is below these folders, folders before their content; only `into` some of them."""
    found: list[Found] = []
    level, seen = list(folders), {one.id for one in folders}
    while level:
        inside = children(client, level)
        found += inside
        level = [one for one in inside if one.is_folder and one.id not in seen]
        level = [one for one in level if into is None or one.place in into]
        seen |= {one.id for one in level}
    return found


def checked_name(file: File) -> str:
    """The name as people know it, if it is a name and no path."""
    name = decode_folder(file.name) if file.is_folder else file.name
    if "/" in name or "\0" in name or name in {"", ".", ".."}:
        raise CavaticaError(f"A file on the platform has the name {name!r}; it is refused.")
    return name
