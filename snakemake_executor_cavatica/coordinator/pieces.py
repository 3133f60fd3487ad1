"""The log and the record of a submitted run, as they grow, in files that others can read.

Both only get longer. What is new goes into a small file of its own, less and less often; now and
then all of it goes into one file, and those before it are deleted. So neither who writes nor who
reads needs more than a bounded number of requests.
"""

from __future__ import annotations

import gzip
import json
import logging
import re
import tempfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..api import Client, File, NotFound
from ..api.download import download
from ..api.upload import upload

logger = logging.getLogger(__name__)

LOG = "log.txt"
RECORD = "record.jsonl"
_PIECE = re.compile(r"(piece|whole)-(\d{6})\.json\.gz")
_NO_PIECE = (OSError, EOFError, zlib.error, RecursionError, LookupError, TypeError, AttributeError)
"""What reading something else ends with, besides ValueError."""
_WHOLE_EVERY = 16
_REPLACED_MEANWHILE = 3
"""How often a listed piece may be gone before it is read: its content is in another one then."""
_LARGEST_WHOLE = 64 * 1024 * 1024
"""Bytes. Of more than that, only what is new is sent."""


@dataclass
class Said:
    """What a coordinator has said so far."""

    log: bytes = b""
    record: bytes = b""
    number: int = 0
    """Of the last piece."""
    is_final: bool = False
    written: float = 0.0
    """When the last of it came; seconds since the epoch, by the platform's clock."""


@dataclass
class Writer:
    """Sends what is new."""

    client: Client
    folder: str
    """Its id."""
    _number: int = 0
    _sent: tuple[int, int] = (0, 0)
    _ids: list[str] = field(default_factory=list)

    def send(self, log: bytes, record: bytes) -> None:
        """Send what has been added since the last time; nothing if nothing was.

        Raises:
            CavaticaError: it cannot be sent; the next call tries all of it again.
        """
        if (len(log), len(record)) == self._sent:
            return
        number = self._number + 1
        is_whole = number % _WHOLE_EVERY == 0 and len(log) + len(record) < _LARGEST_WHOLE
        is_whole = is_whole or len(record) < self._sent[1]  # it is another one
        at_log, at_record = (0, 0) if is_whole else self._sent
        piece = {
            "log": [at_log, log[at_log:].decode(errors="surrogateescape")],
            "record": [at_record, record[at_record:].decode(errors="surrogateescape")],
        }
        name = f"{'whole' if is_whole else 'piece'}-{number:06}.json.gz"
        made = put(self.client, self.folder, name, gzip.compress(json.dumps(piece).encode()))
        self._number, self._sent = number, (len(log), len(record))
        old, self._ids = (self._ids, [made]) if is_whole else ([], [*self._ids, made])
        self._delete(old)

    def close(self, files: dict[str, bytes]) -> None:
        """Send whole files in place of all pieces.

        Raises:
            CavaticaError: that did not work; the pieces stay.
        """
        for name, content in files.items():
            put(self.client, self.folder, name, content)
        self._delete(self._ids)
        self._ids = []

    def _delete(self, ids: Iterable[str]) -> None:
        if ids := list(ids):
            self.client.delete_files(ids)


def put(client: Client, folder: str, name: str, content: bytes) -> str:
    """Store a file; the id. What has the name is replaced."""
    with tempfile.TemporaryDirectory(prefix="cavatica-") as scratch:
        path = Path(scratch, "content")
        path.write_bytes(content)
        return upload(client, path, parent=folder, name=name, overwrite=True).file.id


@dataclass
class Reader:
    """Reads what a coordinator says, from where it read last."""

    client: Client
    folder: str
    said: Said = field(default_factory=Said)

    def look(self) -> Said:
        """What it has said by now.

        Raises:
            CavaticaError: it cannot be read.
        """
        for _ in range(_REPLACED_MEANWHILE):
            with suppress(NotFound):
                return self._look()
        return self._look()

    def _look(self) -> Said:
        files = {file.name: file for file in self.client.list_files(parent=self.folder)}
        if LOG in files:
            log = _content(self.client, files[LOG])
            record = _content(self.client, files[RECORD]) if RECORD in files else self.said.record
            self.said = Said(log, record, self.said.number, True, _time(files[LOG]))
            return self.said
        for number, file in self._new(files):
            said = replace(self.said, number=number, written=_time(file))
            try:
                (log_at, log), (record_at, record) = _read(_content(self.client, file))
                said.log, said.record = said.log[:log_at] + log, said.record[:record_at] + record
            except ValueError as error:
                logger.warning(
                    "What the main process has told in %s cannot be read, and is missing: %s",
                    file.name,
                    error,
                )
            self.said = said
        return self.said

    def _new(self, files: dict[str, File]) -> list[tuple[int, File]]:
        """The pieces that are needed, in order: from the last that holds everything."""
        found = [
            (int(match[2]), match[1] == "whole", file)
            for name, file in files.items()
            if (match := _PIECE.fullmatch(name))
        ]
        first = max((number for number, is_whole, _ in found if is_whole), default=0)
        begin = max(first, self.said.number + 1)
        wanted = {number: file for number, _, file in found if number >= begin}
        return sorted(wanted.items())


def _read(piece: bytes) -> list[tuple[int, bytes]]:
    """Of log and record, from where on it tells them, and what.

    Raises:
        ValueError: it is no piece that a coordinator has written.
    """
    try:
        told = json.loads(gzip.decompress(piece))
        return [
            (int(at), text.encode(errors="surrogateescape"))
            for at, text in (told["log"], told["record"])
        ]
    except _NO_PIECE as error:
        raise ValueError(repr(error)) from error


def _time(file: File) -> float:
    return file.modified_on.timestamp() if file.modified_on else 0.0


def _content(client: Client, file: File) -> bytes:
    with tempfile.TemporaryDirectory(prefix="cavatica-") as scratch:
        path = Path(scratch, "content")
        download(client, file.id, path, size=file.size)
        return path.read_bytes()
