"""Files and whole folders between this machine and a project, by path."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from ..api import CavaticaError, Client, File, Stop
from ..api.download import download
from ..api.upload import upload
from .folders import levels, refuse_circles
from .found import checked_name
from .index import ProjectIndex

INCOMING = Path(".snakemake/cavatica/incoming")
"""Downloads wait here until all files of their task have arrived."""


def fetch(client: Client, file_id: str, target: Path, *, size: int | None, folder: bool) -> None:
    """Download a file or folder; what is at `target` is replaced once all is there.

    Nothing is left over after an error, and nothing is written outside of `target`, whatever the
    names on the platform are.
    """
    if not folder and not _is_folder(target):
        download(client, file_id, target, size=size)
        return
    part = target.with_name(f".cavatica-{file_id}.part")
    clear(part)
    try:
        if folder:
            _fetch_content(client, file_id, part)
        else:
            download(client, file_id, part, size=size)
        clear(target)
        part.rename(target)
    finally:
        clear(part)


def fetch_all(client: Client, wanted: Mapping[Path, File]) -> None:
    """Download many files and folders, each to a path where nothing is yet."""
    folders = {path: file for path, file in wanted.items() if file.is_folder}
    _fetch_files(client, {path: file for path, file in wanted.items() if path not in folders})
    for path, folder in folders.items():
        fetch(client, folder.id, path, size=None, folder=True)


def _fetch_files(client: Client, wanted: Mapping[Path, File]) -> None:
    def fetch_one(item: tuple[Path, File], stop: Stop) -> None:
        path, file = item
        download(client, file.id, path, size=file.size, stop=stop)

    client.files.each(fetch_one, list(wanted.items()), client.stop)


def put(source: Path, target: Path) -> None:
    """Move a file or folder to its place in one step, over what is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.stat().st_dev != target.parent.stat().st_dev:
        beside = target.with_name(f".cavatica-{uuid.uuid4().hex}.part")
        source = Path(shutil.move(source, beside))
    if source.is_dir() or _is_folder(target):
        clear(target)
    source.replace(target)


def _fetch_content(client: Client, folder_id: str, target: Path) -> None:
    """Download what a folder holds into a new one."""
    files: dict[Path, File] = {}
    level, seen = {target: folder_id}, {folder_id}
    while level:
        below: dict[Path, str] = {}
        for place, content in _listed(client, level).items():
            place.mkdir(parents=True)
            for file in content:
                path = place / checked_name(file)
                if path in files or path in below or file.id in seen:
                    raise CavaticaError(
                        f"The folder {folder_id} on the platform holds {file.name!r} more than "
                        "once; rename one of them."
                    )
                if file.is_folder:
                    seen.add(file.id)
                    below[path] = file.id
                else:
                    files[path] = file
        level = below
    _fetch_files(client, files)


def _listed(client: Client, folders: Mapping[Path, str]) -> dict[Path, list[File]]:
    """What is in each of the folders."""
    found: dict[Path, list[File]] = {}

    def list_one(item: tuple[Path, str], _: Stop) -> None:
        path, folder_id = item
        found[path] = list(client.list_files(parent=folder_id))

    client.files.each(list_one, list(folders.items()), client.stop)
    return found


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def clear(path: Path) -> None:
    """Remove what is there; of a symbolic link never what it leads to."""
    if _is_folder(path):
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def store(index: ProjectIndex, source: Path, path: str) -> None:
    """Upload a file or folder to `path` in the project, over what is there."""
    if not source.is_dir():
        _store_file(index, source, path, index.client.stop)
        return
    index.remove(path)
    index.deletions.make_way([path])
    index.ensure_folder(path)
    files: list[tuple[Path, str]] = []
    for level in levels(str(source)):
        refuse_circles(level, "remove that link")
        relative = level.folder.relative_to(source)
        inside = path if relative == Path() else f"{path}/{relative.as_posix()}"
        index.ensure_folder(inside)
        files += [(level.folder / name, f"{inside}/{name}") for name in level.files]

    def store_one(item: tuple[Path, str], stop: Stop) -> None:
        _store_file(index, *item, stop)

    index.client.files.each(store_one, files, index.client.stop)


def _store_file(index: ProjectIndex, source: Path, path: str, stop: Stop) -> None:
    index.deletions.make_way([path])
    folder, _, name = path.rpartition("/")
    parent = index.ensure_folder(folder)
    uploaded = upload(
        index.client,
        source,
        parent=parent,
        project=None if parent else index.project,
        name=name,
        overwrite=True,
        stop=stop,
    )
    index.deletions.spare(uploaded.file.id)  # if the platform has kept it
    index.add(path, uploaded.file)
