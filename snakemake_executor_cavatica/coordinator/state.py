"""What a submitted run leaves for the next one on the same files: `.snakemake`, as one archive.

Its metadata let Snakemake see which rules have changed since, its records tell what there was.
"""

from __future__ import annotations

import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..api import Client
from ..api.download import download
from ..api.upload import upload

FOLDER = ".snakemake"
_LASTING = ("metadata", "incomplete", "cavatica", "log")
"""Folders below it; others hold copies, environments or locks."""
_WHILE_IT_RUNS = ("metadata", "cavatica/runs")
_NOT = ("incoming", "lock.json", "report.html")


def state_name(scope: str) -> str:
    """Of the archive."""
    return f"{scope}.tar.gz"


def save_state(
    client: Client, folder: str, scope: str, workdir: Path, *, is_running: bool = False
) -> None:
    """Keep it on the platform.

    Args:
        folder: id of the folder for it.
        is_running: whether Snakemake still writes there, so that not all of it can be kept.

    Raises:
        CavaticaError: it cannot be stored.
    """
    root = workdir / FOLDER
    with tempfile.TemporaryDirectory(prefix="cavatica-") as scratch:
        path = Path(scratch, "state")
        with tarfile.open(path, "w:gz", compresslevel=6) as archive:
            for file in _files(root, _WHILE_IT_RUNS if is_running else _LASTING):
                archive.add(file, str(file.relative_to(root)))
        upload(client, path, parent=folder, name=state_name(scope), overwrite=True)


def _files(root: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    for part in parts:
        for path in sorted((root / part).rglob("*")):
            if path.is_file() and not set(_NOT) & set(path.relative_to(root).parts):
                yield path


def restore_state(client: Client, folder: str, scope: str, workdir: Path) -> None:
    """Bring here what the last run on the same files has left; what is here and newer stays.

    Raises:
        CavaticaError: it cannot be fetched.
    """
    kept = next(client.list_files(parent=folder, names=[state_name(scope)]), None)
    if kept is None:
        return
    root = workdir / FOLDER
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cavatica-") as scratch:
        path = Path(scratch, "state")
        download(client, kept.id, path, size=kept.size)
        with tarfile.open(path) as archive:
            for member in archive:
                target = root / os.path.normpath(member.name)
                if member.isfile() and not _is_newer(target, member.mtime):
                    archive.extract(member, root)


def _is_newer(path: Path, mtime: float) -> bool:
    return path.exists() and path.stat().st_mtime > mtime
