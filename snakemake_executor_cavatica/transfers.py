"""Files and whole folders between this machine and a project, by path."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .api import CavaticaError, Client, download, upload
from .index import ProjectIndex
from .paths import decode_folder


def fetch(client: Client, file_id: str, target: Path, *, size: int | None, folder: bool) -> None:
    """Download a file or folder; what is at `target` is replaced once all is there."""
    if not folder:
        _clear(target, folders_only=True)
        download(client, file_id, target, size=size)
        return
    part = target.with_name(f".cavatica-{file_id}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _fetch_content(client, file_id, part)
        _clear(target)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _fetch_content(client: Client, folder_id: str, target: Path) -> None:
    for file in client.list_files(parent=folder_id):
        name = decode_folder(file.name) if file.is_folder else file.name
        if "/" in name or "\0" in name or name in {"", ".", ".."}:
            raise CavaticaError(f"A file on the platform has the name {name!r}; it is refused.")
        if file.is_folder:
            (target / name).mkdir()
            _fetch_content(client, file.id, target / name)
        else:
            download(client, file.id, target / name, size=file.size)


def _clear(target: Path, *, folders_only: bool = False) -> None:
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    elif not folders_only:
        target.unlink(missing_ok=True)


def store(index: ProjectIndex, source: Path, path: str) -> None:
    """Upload a file or folder to `path` in the project, over what is there."""
    if not source.is_dir():
        _store_file(index, source, path)
        return
    index.remove(path)
    index.ensure_folder(path)
    for folder, _, names in os.walk(source):
        relative = Path(folder).relative_to(source)
        inside = path if relative == Path() else f"{path}/{relative.as_posix()}"
        index.ensure_folder(inside)
        for name in names:
            _store_file(index, Path(folder, name), f"{inside}/{name}")


def _store_file(index: ProjectIndex, source: Path, path: str) -> None:
    if index.is_doomed([path]):
        index.flush()
    folder, _, name = path.rpartition("/")
    parent = index.ensure_folder(folder)
    uploaded = upload(
        index.client,
        source,
        parent=parent,
        project=None if parent else index.project,
        name=name,
        overwrite=True,
    )
    index.add(path, uploaded.file)
