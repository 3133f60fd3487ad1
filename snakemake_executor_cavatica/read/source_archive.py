"""The workflow's own files as one tar file, with the stand-ins for what images lack."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
import tempfile
from dataclasses import replace
from pathlib import Path

from ..api import ConfigurationError, Token
from ..in_task import texts
from ..in_task.names import PLUGINS_FOLDER, SCRIPT_MODULE
from .fetched import files_of_parts
from .sources import Sources

_FIXED_TIME = 315_619_200
"""1980-01-02: the archive must not differ because of times, and zip knows no earlier ones."""

_STAND_IN = "cavatica_stand_in"
_SCHEDULER = "snakemake_scheduler_plugin_cavatica"
_PLUGIN = """\
import {module}
from {module} import StorageObject, StorageProviderSettings


class StorageProvider({module}.StorageProvider):
    schemes = {schemes}
"""


class SourceArchive:
    """The sources as a plain tar file, as they were when the run began.

    What is edited afterwards is for the next run: some tasks would have it and others not, and
    nobody could tell by which of both a result was made.
    """

    def __init__(self, sources: Sources, *, secret: Token) -> None:
        """Write them down.

        Raises:
            ConfigurationError: a file holds the secret, or this machine does not let it be done.
        """
        self._secret = secret
        self._is_complete = False
        try:
            self._scratch = tempfile.TemporaryDirectory(prefix="cavatica-")
            self._path = Path(self._scratch.name, "sources.tar")
            self.sources = replace(sources, checksums=_write_sources(sources, self._path, secret))
        except OSError as error:
            raise ConfigurationError(
                f"The workflow's own files could not be put together in {tempfile.gettempdir()}: "
                f"{error}. Nothing was submitted."
            ) from error

    def complete(self) -> Path:
        """The file, with the stand-ins and with what was fetched by now besides.

        Raises:
            ConfigurationError: what was fetched holds the secret.
        """
        if not self._is_complete:
            _add_others(self.sources, self._path, self._secret)
            self._is_complete = True
        return self._path

    def close(self) -> None:
        """It is on the platform, or nobody needs it any more."""
        self._scratch.cleanup()


def write_archive(sources: Sources, target: Path, *, secret: Token | None = None) -> None:
    """Write the sources and the stand-ins for what images lack as a plain tar file.

    Plain, because many images have no decompressor; and the same bytes for the same sources, so
    that an archive that was uploaded before is found again.

    Raises:
        ConfigurationError: a file holds the secret.
    """
    _write_sources(sources, target, secret)
    _add_others(sources, target, secret)


def _write_sources(sources: Sources, target: Path, secret: Token | None) -> dict[Path, str]:
    """Their SHA-256."""
    checksums = {}
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in sources.files:
            content = path.read_bytes()
            if secret:
                refuse_secret(path, content, secret)
            executable = os.access(path, os.X_OK)
            _add(archive, str(path.relative_to(sources.root)), content, executable=executable)
            checksums[path] = hashlib.sha256(content).hexdigest()
    return checksums


def _add_others(sources: Sources, target: Path, secret: Token | None) -> None:
    with tarfile.open(target, "a", format=tarfile.PAX_FORMAT) as archive:
        _add_ours(archive, f"{PLUGINS_FOLDER}/{_STAND_IN}.py", "storage_stand_in.py")
        _add_ours(archive, f"{PLUGINS_FOLDER}/{SCRIPT_MODULE}.py", "script_stand_in.py")
        scheduler = f"{PLUGINS_FOLDER}/{_SCHEDULER}"
        _add_ours(archive, f"{scheduler}/__init__.py", "scheduler_stand_in.py")
        for module in ("as_parsed.py", "fetched_parts.py", "listed.py", "own_jobs.py"):
            _add_ours(archive, f"{scheduler}/{module}", module)
        seen = {"listings": sources.listings, "asked": sources.asked}
        _add(archive, f"{scheduler}/seen.json", json.dumps(seen).encode())
        for name, content, copy in files_of_parts():
            if secret and copy:
                refuse_secret(copy, content, secret)
            _add(archive, f"{scheduler}/{name}", content)
        for name, schemes in sorted(sources.storages.items()):
            package = f"snakemake_storage_plugin_{name.replace('-', '_')}"
            text = _PLUGIN.format(module=_STAND_IN, schemes=tuple(schemes))
            _add(archive, f"{PLUGINS_FOLDER}/{package}/__init__.py", text.encode())


def refuse_secret(path: Path, content: bytes, secret: Token) -> None:
    """See that a file may be sent along.

    Raises:
        ConfigurationError: it holds the secret.
    """
    if secret.is_in(content):
        raise ConfigurationError(
            f"{path} holds your API token and would be shipped to the tasks, where every member "
            "of the project can read it. Move the token to ~/.sevenbridges/credentials."
        )


def _add_ours(archive: tarfile.TarFile, name: str, module: str) -> None:
    """Add a module of this package that runs inside a task, under another name."""
    _add(archive, name, texts.content(module))


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, executable: bool = False) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mtime = _FIXED_TIME
    member.mode = 0o755 if executable else 0o644
    archive.addfile(member, io.BytesIO(content))
