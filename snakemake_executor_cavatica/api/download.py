"""Whole files from the platform: one signed URL, read in ranges (seen in the provider's client).

Ranges go in parallel and are repeated on their own. No range is held in memory. The platform tells
no checksum: the size is verified, and what TLS lets through has the bytes that were sent. Where a
checksum is known otherwise, it is compared with that of the ranges, taken as they are written. A
download that is kept can be gone on with by another process.
"""

from __future__ import annotations

import hashlib
import re
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import requests

from .checksums import Digest, checksum_like, digest_like, of_parts, part_size_of
from .client import Client
from .errors import StorageError, TransferError, as_int
from .journal import Journal, held, journal
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
    checksum: str | None = None,
    version: str | None = None,
) -> int:
    """Download a file to `target`, replacing what is there, and return its size in bytes.

    `size`, if given, must be what arrives: without it, a content that is cut off where its headers
    say so cannot be noticed. TransferError if it is not, if the content has not the `checksum` (as
    in `checksums`), or if the storage goes on failing; Stopped if `stop` is set. The content grows
    in a temporary file beside the target, so that the target is always whole. Missing folders are
    made. Nothing is left over after an error; if the `version` of the content is named, whole parts
    are, and the next call for the same one fetches the rest.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    hashed = part_size_of(checksum, size) if checksum and size is not None else None
    part_size = hashed if hashed and hashed >= DOWNLOAD_PART else part_size
    header = {
        "file": file_id,
        "version": version,
        "size": size,
        "part_size": part_size,
        "checksum": checksum,
    }
    several = size is not None and size > part_size
    with (
        _place(target, kept=version is not None, several=several) as (part, done),
        client.traffic.down.file(size or 0) as moving,
    ):
        if done is not None and (done.header != header or not part.exists()):
            done.begin(header)
        if done is None or not done.parts:
            part.write_bytes(b"")
        like = checksum if hashed else None
        job = _Download(client, file_id, part, (part_size, size), moving, done=done, like=like)
        arrived = job.run(threads, stop or client.stop)
        if hashed and checksum:
            job.verify(checksum, hashed, target)
        part.replace(target)
    return arrived


@contextmanager
def _place(target: Path, *, kept: bool, several: bool) -> Iterator[tuple[Path, Journal | None]]:
    """Where the content grows, beside the target; what was done of it, if it has several parts.

    Not named after the target: that name may be as long as the file system allows. What is kept has
    always the same name, so that what a process leaves that is killed is used by the next one.
    """
    digest = hashlib.sha256(target.name.encode("utf-8", "surrogatepass")).hexdigest()
    part = target.with_name(f".cavatica-{digest[:32] if kept else uuid.uuid4().hex}.part")
    what = f"{target} is being downloaded"
    if kept and several:
        with journal(part.with_suffix(".parts"), what) as done:
            try:
                yield part, done
                done.remove()
            finally:
                if not done.parts:
                    done.remove()
                    part.unlink(missing_ok=True)
        return
    with held(part, what) if kept else nullcontext():
        try:
            yield part, None
        except BaseException:  # else it is no longer there, or another process's by now
            part.unlink(missing_ok=True)
            raise


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
        self,
        client: Client,
        file_id: str,
        path: Path,
        sizes: tuple[int, int | None],
        moving: FileMoving,
        *,
        done: Journal | None = None,
        like: str | None = None,
    ) -> None:
        """Nothing is fetched yet.

        Args:
            sizes: bytes of a part and, if it is known, of the whole.
            like: a checksum with which that of the content will be compared.
        """
        self._client = client
        self._file_id = file_id
        self._path = path
        self._part_size, self._size = sizes
        self._done = done
        self._like = like
        self._sums = {int(part["start"]): str(part["sum"]) for part in done.parts} if done else {}
        """Checksums of the parts that are there, by their first byte; empty if none are wanted."""
        self._lock = threading.Lock()
        self._url: str | None = None
        self._moving = moving

    def run(self, threads: int, stop: Stop) -> int:
        """Fetch all parts and return the size, which the first answer tells."""
        if self._sums and self._size is not None:
            end, total = 0, self._size
            for start in self._sums:
                self._moving.add(min(self._part_size, total - start))
        else:
            first = self._part(0, stop)
            end, total = first.end, first.total
        self._size = total

        def rest(start: int, stop: Stop) -> None:
            self._part(start, stop)

        starts = [at for at in range(end, total, self._part_size) if at not in self._sums]
        self._client.parts.each(rest, starts, stop, at_once=threads)
        arrived = self._path.stat().st_size
        if arrived != total:
            raise TransferError(f"only {arrived} of {total} bytes of file {self._file_id} arrived")
        return arrived

    def verify(self, checksum: str, part_size: int, target: Path) -> None:
        """TransferError if what has arrived has another one; then there is nothing to go on with.

        Args:
            part_size: of the parts that the checksum is made of.
            target: what people call the file.
        """
        starts = sorted(self._sums)
        if starts == list(range(0, max(self._size or 0, 1), part_size)):
            found = of_parts([self._sums[start] for start in starts], part_size)
        else:
            found = checksum_like(self._path, checksum) or ""
        if found == checksum:
            return
        if self._done is not None:
            self._done.remove()
        raise TransferError(
            f"{target}: what has arrived is not what was put there: its checksum is another "
            f"than the platform's metadata tell ({checksum}). Fetch it again; if the file was "
            "replaced on the platform, remove the checksum from its metadata"
        )

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
        position, digest = span.start, digest_like(self._like) if self._like else None
        with self._path.open("r+b") as stream:
            stream.seek(span.start)
            # Raw: the bytes as stored, even if the storage calls them compressed.
            while data := response.raw.read(_CHUNK, decode_content=False):
                stop.check("the download was stopped")
                position += len(data)
                if position > span.end:
                    break  # it would run into the next part
                stream.write(data)
                if digest is not None:
                    digest.update(data)
                self._moving.add(len(data))
        if position != span.end:
            raise StorageError(
                f"the answer for {span} of file {self._file_id} ended at byte {position}"
            )
        self._keep(span, digest)

    def _keep(self, span: Span, digest: Digest | None) -> None:
        """A part is there, and on record if it is one of those that were planned."""
        self._sums[span.start] = digest.hexdigest() if digest is not None else ""
        if self._done is not None and span.end - span.start <= self._part_size:
            self._done.add({"start": span.start, "sum": self._sums[span.start]})

    def _signed_url(self) -> str:
        with self._lock:
            if self._url is None:
                self._url = self._client.download_url(self._file_id)
            return self._url

    def _forget(self, url: str) -> None:
        with self._lock:
            if self._url == url:  # else another part has already asked for a new one
                self._url = None
