"""Small outputs that tasks have gathered in one file: downloaded at once, taken one by one.

Whatever is not there, or not as it should be, is downloaded by itself.
"""

from __future__ import annotations

import posixpath
import shutil
import tarfile
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..api import CavaticaError, Client, File
from ..api.download import download
from ..project.fetch_store import INCOMING

_KEPT = 8
"""How many files are kept, opened, for further jobs of their packs."""


@dataclass(frozen=True)
class Gathered:
    """Where a job's small outputs are, besides."""

    file: File
    job: str
    """Its number in a pack; empty if the task is the job's own."""


class _Opened:
    """The content of one such file, in a folder."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.folder: Path | None = None
        self.files: dict[str, Path] = {}
        """By the folder that each lay in, which is of one output."""


class SmallOutputs:
    """Takes outputs out of such files. Safe to use from several threads."""

    def __init__(self, client: Client, logger: Any) -> None:
        self._client = client
        self._logger = logger
        self._lock = threading.Lock()
        self._opened: OrderedDict[str, _Opened] = OrderedDict()

    def take(self, file: File, wanted: Mapping[str, tuple[Path, File]]) -> set[Path]:
        """Move what is in the file to its paths, where nothing is yet.

        Args:
            wanted: by its folder in the file, where each output goes, and its document.

        Returns:
            Those paths that have their content now.
        """
        opened = self._open(file)
        taken = set()
        with opened.lock:
            for folder, (path, document) in wanted.items():
                found = opened.files.get(folder)
                if found is not None and found.stat().st_size == document.size:
                    del opened.files[folder]
                    shutil.move(found, path)
                    taken.add(path)
        return taken

    def close(self) -> None:
        """Remove what nobody has taken."""
        while self._opened:
            _remove(self._opened.popitem()[1])

    def _open(self, file: File) -> _Opened:
        with self._lock:
            opened = self._opened.setdefault(file.id, _Opened())
            self._opened.move_to_end(file.id)
            old = self._opened.popitem(last=False)[1] if len(self._opened) > _KEPT else None
        if old is not None:
            _remove(old)
        with opened.lock:
            if opened.folder is None:
                INCOMING.mkdir(parents=True, exist_ok=True)
                opened.folder = Path(tempfile.mkdtemp(dir=INCOMING))
                try:
                    opened.files = self._fetch(file, opened.folder)
                except (CavaticaError, OSError, tarfile.TarError) as error:
                    self._logger.debug(f"Outputs come one by one, not by {file.name}: {error}")
        return opened

    def _fetch(self, file: File, folder: Path) -> dict[str, Path]:
        archive = folder / "archive"
        download(self._client, file.id, archive, size=file.size)
        found: dict[str, Path] = {}
        with tarfile.open(archive) as tar:
            for number, member in enumerate(tar):
                content = tar.extractfile(member) if member.isfile() else None
                if content is not None:
                    path = folder / str(number)
                    with path.open("wb") as target:
                        shutil.copyfileobj(content, target)
                    found[posixpath.dirname(member.name)] = path
        archive.unlink()
        return found


def _remove(opened: _Opened) -> None:
    with opened.lock:
        opened.files = {}
        if opened.folder is not None:
            shutil.rmtree(opened.folder, ignore_errors=True)
