"""Whole files to and from the platform, in parts.

Upload: open, then for each part ask for a signed URL, PUT the bytes and report the storage's ETag,
then complete (documented). Download: one signed URL, read in ranges (seen in the provider's
client). Parts go in parallel and are repeated on their own. Neither direction holds a part in
memory, so memory does not grow with the size of files or parts.

Integrity: sizes are verified in both directions. The platform only stores the MD5 that an upload
states (documented), and offers none for downloads.
"""

from __future__ import annotations

import hashlib
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

import requests
import tenacity

from .client import Client
from .errors import (
    CavaticaError,
    NoAnswer,
    NotFound,
    ServerError,
    TransferError,
    UnexpectedAnswer,
    as_int,
)
from .models import File, PartUrl, UploadInit
from .transport import StorageError

MIB = 1024 * 1024

# Limits of the platform, as its clients state them.
RECOMMENDED_PART = 32 * MIB
MAX_PARTS = 10_000

# Parts of a download: large enough that a request's overhead vanishes, small enough to repeat.
DOWNLOAD_PART = 16 * MIB

# Parts of one file that travel at once.
THREADS = 4

# Tries for one part. Each asks for a fresh URL, so an expired one costs a single try.
_TRIES = 5
_CHUNK = 256 * 1024

_OK = 200
_PARTIAL = 206
_NOTHING_IN_RANGE = 416
_EXPIRED = frozenset({401, 403})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

Item = TypeVar("Item")


@dataclass(frozen=True)
class UploadedFile:
    """A file that is on the platform now; `md5` is hexadecimal, `size` is bytes."""

    file: File
    md5: str
    size: int


# --------------------------------------------------------------------------- upload


def upload(
    client: Client,
    path: Path,
    *,
    parent: str | None = None,
    project: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
    part_size: int | None = None,
    threads: int = THREADS,
    md5: str | None = None,
) -> UploadedFile:
    """Upload `path` into the folder `parent` or the root of `project`.

    `md5` (hexadecimal) spares reading the file once more if it is known. Conflict (code 8005) if
    the name is taken and not `overwrite`; TransferError if the file changes meanwhile. After any
    error the unfinished upload is thrown away on the platform.
    """
    before = path.stat()
    size = before.st_size
    md5 = md5 or file_md5(path)
    name = name or path.name
    part_size = part_size or choose_part_size(size)
    opened = client.start_upload(
        name,
        size,
        parent=parent,
        project=project,
        part_size=part_size,
        md5=md5,
        overwrite=overwrite,
    )
    try:
        _send_parts(client, path, size=size, opened=opened, asked=part_size, threads=threads)
        after = path.stat()
        if (after.st_size, after.st_mtime_ns) != (size, before.st_mtime_ns):
            raise TransferError(f"{path} changed while it was uploaded; upload it again")
        file = _complete(client, opened, name=name, parent=parent, project=project)
    except BaseException:
        # The first error is the one to tell, even if the clean-up fails as well.
        with suppress(CavaticaError):
            client.abort_upload(opened.upload_id)
        raise
    if file.size is not None and file.size != size:
        raise TransferError(
            f"{path} has {size} bytes but arrived on the platform with {file.size} "
            f"(file {file.id}); delete that file and upload again"
        )
    return UploadedFile(file, md5, size)


def choose_part_size(size: int) -> int:
    """The part size (bytes) to ask for: 32 MiB, or more if the parts would be too many."""
    needed = -(-size // MAX_PARTS)
    return max(RECOMMENDED_PART, -(-needed // MIB) * MIB)


def file_md5(path: Path) -> str:
    """The MD5 of a file's content, hexadecimal: the form that the platform stores."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _send_parts(
    client: Client,
    path: Path,
    *,
    size: int,
    opened: UploadInit,
    asked: int,
    threads: int,
) -> None:
    part_size = opened.part_size or asked
    if part_size <= 0:
        raise UnexpectedAnswer(f"the platform wants upload parts of {part_size} bytes")
    # An empty file is one empty part (seen in the provider's client).
    count = max(1, -(-size // part_size))

    def send(number: int, stop: threading.Event) -> None:
        start = (number - 1) * part_size
        _send_part(
            client, opened.upload_id, number, _Slice(path, start, part_size, size, stop), stop
        )

    in_parallel(send, range(1, count + 1), threads if opened.parallel_uploads else 1)


def _send_part(
    client: Client, upload_id: str, number: int, part: _Slice, stop: threading.Event
) -> None:
    def put() -> dict[str, str]:
        return _put(client, client.upload_part_url(upload_id, number), part)

    headers = _tries(client, stop)(put)
    client.report_part(upload_id, number, headers)


def _put(client: Client, target: PartUrl, part: _Slice) -> dict[str, str]:
    """PUT the part and return the answer's headers that the platform wants to hear of."""
    sent_headers = {key: str(value) for key, value in target.headers.items()}
    with part:
        answer = client.transport.put_part(target.url, part.body(), sent_headers)
    codes = target.report.success_codes if target.report else []
    if answer.status not in (codes or [_OK]):
        raise StorageError(
            f"the storage refused a part of the upload (HTTP {answer.status})",
            status=answer.status,
        )
    wanted = (target.report.headers if target.report else []) or ["ETag"]
    # The quotes belong to HTTP, not to the ETag (the provider's client strips them as well).
    return {
        str(header): answer.headers.get(str(header).lower(), "").strip('"') for header in wanted
    }


def _complete(
    client: Client, opened: UploadInit, *, name: str, parent: str | None, project: str | None
) -> File:
    """Complete the upload, once, even if the platform's first answer gets lost.

    An upload ends when it is completed, so a second request that finds none shows that the first
    one worked; then the file is found by its name.
    """
    try:
        return client.complete_upload(opened.upload_id)
    except (NoAnswer, ServerError):
        try:
            return client.complete_upload(opened.upload_id)
        except NotFound:
            for file in client.list_files(parent=parent, project=project, names=[name]):
                if not file.is_folder:
                    return file
            raise


class _Slice:
    """A part of a file, in the form in which `requests` streams a body of known length."""

    def __init__(
        self, path: Path, start: int, length: int, size: int, stop: threading.Event
    ) -> None:
        self._path = path
        self._start = start
        self._length = min(length, size - start)
        self._stop = stop
        self._stream: BinaryIO | None = None
        self._left = 0

    def __enter__(self) -> None:
        self._stream = self._path.open("rb")
        self._stream.seek(self._start)
        self._left = self._length

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(_CHUNK), b"")

    def body(self) -> bytes | _Slice:
        """What to send. Nothing at all must be bytes, or it would be sent chunked."""
        return self if self._length else b""

    def read(self, amount: int = -1) -> bytes:
        """At most `amount` bytes of the part, none at its end."""
        if self._stop.is_set():
            raise TransferError("the upload was stopped")
        if self._stream is None:
            return b""
        data = self._stream.read(self._left if amount < 0 else min(amount, self._left))
        if not data and self._left:
            raise TransferError(f"{self._path} became shorter while it was uploaded")
        self._left -= len(data)
        return data


# --------------------------------------------------------------------------- download


def download(
    client: Client,
    file_id: str,
    target: Path,
    *,
    size: int | None = None,
    part_size: int = DOWNLOAD_PART,
    threads: int = THREADS,
) -> int:
    """Download a file to `target`, replacing what is there, and return its size in bytes.

    `size`, if given, must be what arrives. TransferError if it is not, or if the storage goes on
    failing. The content grows in a temporary file beside the target, so that the target is always
    whole; nothing is left over after an error. Missing folders are made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not named after the target: that name may be as long as the file system allows.
    part = target.with_name(f".cavatica-{uuid.uuid4().hex}.part")
    try:
        part.touch(exist_ok=False)
        arrived = _Download(client, file_id, part, part_size).run(size, threads)
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

    def __init__(self, client: Client, file_id: str, path: Path, part_size: int) -> None:
        self._client = client
        self._file_id = file_id
        self._path = path
        self._part_size = part_size
        self._lock = threading.Lock()
        self._url: str | None = None

    def run(self, size: int | None, threads: int) -> int:
        """Fetch all parts and return the size. The first answer tells the size of the whole."""
        first = self._part(0, threading.Event())
        if size is not None and first.total != size:
            raise TransferError(
                f"file {self._file_id} should have {size} bytes but the storage has {first.total}"
            )

        def rest(start: int, stop: threading.Event) -> None:
            span = self._part(start, stop)
            if span.end != min(start + self._part_size, first.total):
                raise TransferError(f"the storage gave {span}, which leaves a gap")

        in_parallel(rest, range(first.end, first.total, self._part_size), threads)
        arrived = self._path.stat().st_size
        if arrived != first.total:
            raise TransferError(
                f"only {arrived} of {first.total} bytes of file {self._file_id} arrived"
            )
        return arrived

    def _part(self, start: int, stop: threading.Event) -> Span:
        return _tries(self._client, stop)(self._fetch, start, stop)

    def _fetch(self, start: int, stop: threading.Event) -> Span:
        url = self._signed_url()
        end = start + self._part_size
        with self._client.transport.get_range(url, start, end) as response:
            status = response.status_code
            if status not in (_OK, _PARTIAL, _NOTHING_IN_RANGE):
                if status in _EXPIRED:
                    self._forget(url)
                raise StorageError(
                    f"the storage refused to give file {self._file_id} (HTTP {status})",
                    status=status,
                )
            span = answered_span(status, response.headers)
            if span.start != start:
                raise TransferError(f"asked for bytes from {start}, the storage gave {span}")
            self._write(response, span, stop)
        return span

    def _write(self, response: requests.Response, span: Span, stop: threading.Event) -> None:
        position = span.start
        with self._path.open("r+b") as stream:
            stream.seek(span.start)
            # Raw: the bytes as stored, even if the storage calls them compressed.
            while data := response.raw.read(_CHUNK, decode_content=False):
                if stop.is_set():
                    raise TransferError("the download was stopped")
                position += len(data)
                if position > span.end:
                    break  # it would run into the next part
                stream.write(data)
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


# --------------------------------------------------------------------------- parts


def in_parallel(
    work: Callable[[Item, threading.Event], None], items: Iterable[Item], threads: int
) -> None:
    """Do `work` on all items, `threads` at a time; the first error stops the others and is raised.

    `work` is given an event that is set when it should stop.
    """
    stop = threading.Event()
    waiting: set[Future[None]] = set()
    with ThreadPoolExecutor(max(1, threads), thread_name_prefix="cavatica-transfer") as pool:
        try:
            for item in items:
                # Bounded: a large file has hundreds of thousands of parts.
                if len(waiting) >= 2 * threads:
                    waiting = _raise_first(waiting, FIRST_COMPLETED)
                waiting.add(pool.submit(work, item, stop))
            _raise_first(waiting, FIRST_EXCEPTION)
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _raise_first(futures: set[Future[None]], until: str) -> set[Future[None]]:
    done, waiting = wait(futures, return_when=until)
    for future in done:
        future.result()
    return waiting


def _tries(client: Client, stop: threading.Event) -> tenacity.Retrying:
    """The policy for one part: a few tries after failures of the storage."""
    patience = client.transport.patience
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(StorageError),
        wait=tenacity.wait_random_exponential(
            multiplier=patience.first_wait, max=patience.longest_wait
        ),
        stop=tenacity.stop_after_attempt(_TRIES) | tenacity.stop_when_event_set(stop),
        sleep=tenacity.sleep_using_event(stop),
        reraise=True,
    )
