"""Whole files from the platform: one signed URL, read in ranges (seen in the provider's client).

Ranges go in parallel and are repeated on their own. No range is held in memory. There is no
checksum to compare with: the size is verified, and what TLS lets through has the bytes that were
sent.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import requests

from .client import Client
from .errors import StorageError, TransferError, as_int
from .stop import Stop
from .traffic import FileMoving
from .workers import PARTS_AT_ONCE

# Large enough that a request's overhead vanishes, small enough to repeat.
DOWNLOAD_PART = 16 * 1024 * 1024

# Bytes of an answer read in one go. Each is a new object: for larger ones the C library maps fresh
# memory every time, which costs more than all else.
_CHUNK = 96 * 1024

_OK = HTTPStatus.OK
_PARTIAL = HTTPStatus.PARTIAL_CONTENT
_NOTHING_IN_RANGE = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def download(
    client: Client,
    file_id: str,
    target: Path,
    *,
    size: int | None = None,
    part_size: int = DOWNLOAD_PART,
    threads: int = PARTS_AT_ONCE,
    stop: Stop | None = None,
) -> int:
    """Download a file to `target`, replacing what is there, and return its size in bytes.

    `size`, if given, must be what arrives: without it, a content that is cut off where its headers
    say so cannot be noticed. TransferError if it is not, or if the storage goes on failing; Stopped
    if `stop` is set. The content grows in a temporary file beside the target, so that the target is
    always whole; nothing is left over after an error. Missing folders are made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not named after the target: that name may be as long as the file system allows.
    part = target.with_name(f".cavatica-{uuid.uuid4().hex}.part")
    try:
        part.touch(exist_ok=False)
        stop = stop or client.stop
        arrived = _Download(client, file_id, part, part_size, size).run(threads, stop)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return arrived


@dataclass(frozen=True)
class Span:
    """Which bytes of a file an answer holds: from `start` up to and without `end` of `total`."""

    start: int
    end: int
    total: int


def answered_span(status: int, headers: Mapping[str, str]) -> Span:
    """What an answer to a ranged request holds. `headers` are looked up case-insensitively.

    TransferError if it does not tell: without a length, the end of the answer could not be told
    from a broken connection.
    """
    content_range = headers.get("Content-Range", "")
    if status == _PARTIAL and (match := _CONTENT_RANGE.fullmatch(content_range)):
        first, last, total = (int(number) for number in match.groups())
        return Span(first, last + 1, total)
    length = as_int(headers.get("Content-Length"))
    if status == _OK and length is not None:
        return Span(0, length, length)  # a storage that does not do ranges sends everything
    if status == _NOTHING_IN_RANGE and content_range in ("", "bytes */0"):
        return Span(0, 0, 0)  # an empty file has no first byte
    raise TransferError(f"the storage does not tell the size of the file (HTTP {status})")


class _Download:
    """One file on its way into `path`, which exists and is empty."""

    def __init__(
        self, client: Client, file_id: str, path: Path, part_size: int, size: int | None
    ) -> None:
        self._client = client
        self._file_id = file_id
        self._path = path
        self._part_size = part_size
        self._size = size
        self._lock = threading.Lock()
        self._url: str | None = None
        self._moving: FileMoving | None = None

    def run(self, threads: int, stop: Stop) -> int:
        """Fetch all parts and return the size."""
        with self._client.traffic.down.file(self._size or 0) as self._moving:
            return self._run(threads, stop)

    def _run(self, threads: int, stop: Stop) -> int:
        """The first answer tells the size of the whole."""
        first = self._part(0, stop)
        self._size = first.total

        def rest(start: int, stop: Stop) -> None:
            self._part(start, stop)

        starts = range(first.end, first.total, self._part_size)
        self._client.parts.each(rest, starts, stop, at_once=threads)
        arrived = self._path.stat().st_size
        if arrived != first.total:
            raise TransferError(
                f"only {arrived} of {first.total} bytes of file {self._file_id} arrived"
            )
        return arrived

    def _part(self, start: int, stop: Stop) -> Span:
        return self._client.transport.storage.tries(stop)(self._fetch, start, stop)

    def _fetch(self, start: int, stop: Stop) -> Span:
        url = self._signed_url()
        try:
            with self._client.transport.storage.get(
                url, start, start + self._part_size
            ) as response:
                span = self._checked_span(start, response)
                self._write(response, span, stop)
        except StorageError as error:
            if error.lasting:
                self._forget(url)
            raise
        return span

    def _checked_span(self, start: int, response: requests.Response) -> Span:
        """What the answer holds, if that is what was asked for."""
        status = response.status_code
        if status not in (_OK, _PARTIAL, _NOTHING_IN_RANGE):
            raise StorageError(
                f"the storage refused to give file {self._file_id} (HTTP {status})", status=status
            )
        span = answered_span(status, response.headers)
        if self._moving is not None:
            self._moving.has_size(span.total)
        if span.start != start:
            raise TransferError(f"asked for bytes from {start}, the storage gave {span}")
        if self._size is not None and span.total != self._size:
            raise StorageError(
                f"file {self._file_id} should have {self._size} bytes but the storage has "
                f"{span.total}",
                lasting=True,
            )
        if status == _PARTIAL and span.end != min(start + self._part_size, span.total):
            raise StorageError(f"the storage gave {span}, which leaves a gap", lasting=True)
        return span

    def _write(self, response: requests.Response, span: Span, stop: Stop) -> None:
        position = span.start
        with self._path.open("r+b") as stream:
            stream.seek(span.start)
            # Raw: the bytes as stored, even if the storage calls them compressed.
            while data := response.raw.read(_CHUNK, decode_content=False):
                stop.check("the download was stopped")
                position += len(data)
                if position > span.end:
                    break  # it would run into the next part
                stream.write(data)
                if self._moving is not None:
                    self._moving.add(len(data))
        if position != span.end:
            raise StorageError(
                f"the answer for {span} of file {self._file_id} ended at byte {position}"
            )

    def _signed_url(self) -> str:
        with self._lock:
            if self._url is None:
                self._url = self._client.download_url(self._file_id)
            return self._url

    def _forget(self, url: str) -> None:
        with self._lock:
            if self._url == url:  # else another part has already asked for a new one
                self._url = None
