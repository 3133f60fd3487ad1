"""Folders of a project that have to be there, made level by level."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..api import CavaticaError, Client, Conflict, File, Stop
from ..api.calls import within
from ..api.once import A_MOMENT, once, some_tries
from .paths import ProjectPath, encode_folder


def make_folders(
    client: Client,
    wanted: Iterable[ProjectPath],
    known: Mapping[ProjectPath, str | None],
) -> dict[ProjectPath, str | None]:
    """The ids of these folders and of all above them; None for the root of a project.

    Args:
        known: ids of those that are there.
    """
    ids = dict(known)
    needed: set[ProjectPath] = set()
    for place in wanted:
        needed |= _with_those_above(place)
    ids |= {place: None for place in needed if not place.path}
    by_depth: dict[int, list[ProjectPath]] = {}
    for place in sorted(needed - set(ids)):
        by_depth.setdefault(place.path.count("/"), []).append(place)
    made: set[ProjectPath] = set()

    def make_one(place: ProjectPath, _: Stop) -> None:
        look_first = place.parent not in made
        folder, is_new = create_folder(
            client, place.project, place.path, ids[place.parent], look_first=look_first
        )
        ids[place] = folder.id
        if is_new:
            made.add(place)

    for _, places in sorted(by_depth.items()):
        client.files.each(make_one, places, client.stop)
    return ids


def _with_those_above(place: ProjectPath) -> set[ProjectPath]:
    found = {place}
    while place.path:
        place = place.parent
        found.add(place)
    return found


def create_folder(
    client: Client, project: str, path: str, parent: str | None, *, look_first: bool
) -> tuple[File, bool]:
    """The folder at `path`, in the folder `parent`, and whether it was made just now.

    Raises:
        CavaticaError: there is a file of that name.
    """
    name = encode_folder(ProjectPath(project, path).name)
    where = within(parent, project)

    def look() -> File | None:
        found = client.list_files(names=[name], **where)
        return next((folder for folder in found if folder.is_folder), None)

    if look_first and (there := look()) is not None:
        return there, False

    def make() -> tuple[File, bool]:
        try:
            return client.create_folder(name, **where), True
        except Conflict as error:  # a task or another program was faster
            there = look()
            if there is None:
                raise CavaticaError(
                    f"{ProjectPath(project, path)} is no folder but a file. [{error}]"
                ) from error
            return there, False

    def made() -> tuple[File, bool] | None:
        there = look()
        return None if there is None else (there, False)

    return once(make, some_tries(client.stop, A_MOMENT), look=made)
