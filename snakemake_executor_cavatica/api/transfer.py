"""Whole files to and from the platform, in parts.

Upload: open, then for each part ask for a signed URL and PUT the bytes, then complete, which also
reports the storage's ETags (documented): three calls for a file of one part. Download: one signed
URL, read in ranges (seen in the provider's client). Parts go in parallel and are repeated on their
own. Neither direction holds a part in memory, so memory does not grow with the size of files or
parts: each of the client's threads has one buffer of 256 KiB.

Integrity: sizes are verified in both directions. The storage's ETag of a part is its MD5 in most
object stores, so that is compared with the bytes sent, hashed as they are read. The MD5 of the
whole that an upload may state is stored but not used by the platform (documented), so only a file
that is read in one go states it. For downloads there is no checksum to compare with; what TLS lets
through has the bytes that were sent.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import requests
import tenacity

from . import calls
from .answers import parse
from .client import PARTS_AT_ONCE, Client
from .errors import (
    ApiError,
    CavaticaError,
    Conflict,
    Maintenance,
    NoAnswer,
    NotFound,
    ServerError,
    Stopped,
    TransferError,
    UnexpectedAnswer,
    as_int,
)
from .models import Document, File, Moment, PartUrl, Text, UploadInit, Whole
from .transport import StorageError, after_failures, after_senseless_answers
from .workers import Stop

MIB = 1024 * 1024

# Limits of the platform, as its clients state them.
RECOMMENDED_PART = 32 * MIB
MAX_PARTS = 10_000

# Parts of a download: large enough that a request's overhead vanishes, small enough to repeat.
DOWNLOAD_PART = 16 * MIB

# Parts of one file that travel at once: one that is alone has all threads of its client. As many as
# the provider's client takes, since each part waits for two round trips besides its bytes.
THREADS = PARTS_AT_ONCE

# Tries for one part after failures that do not pass by themselves. Each has a fresh URL.
_TRIES = 5

# Tries for a whole upload, for what cannot be cured part by part.
_UPLOADS = 3

# So often a part is sent that the storage answers with an ETag which is not the MD5 of its bytes.
# After that it is no MD5 at all: there are object stores, with encryption, where it never is.
_ETAG_TRIES = 3
_MD5 = re.compile("[0-9a-f]{32}")

# How far our clock and the platform's may be apart.
_CLOCK_TOLERANCE = timedelta(minutes=5)

# Platform codes (documented).
_NO_SUCH_UPLOAD = 8003
_UPLOAD_EXISTS = 8006
_CANNOT_COMPLETE = 8007

# Bytes read, hashed and sent in one go: more than that leave the processor's cache in between.
_CHUNK = 256 * 1024

# Bytes of an answer read in one go. Each piece is a new object: for larger ones the C library maps
# fresh memory every time, which costs more than all else.
_PIECE = 96 * 1024

# Seconds after which an upload reports the parts that it has: others see by that that it gets on.
_REPORT_EVERY = 2.0

_OK = 200
_PARTIAL = 206
_NOTHING_IN_RANGE = 416
_NOT_IMPLEMENTED = 501
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

Answered = TypeVar("Answered")


@dataclass(frozen=True)
class UploadedFile:
    """A file that is on the platform now; `size` is bytes."""

    file: File
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
    stop: Stop | None = None,
) -> UploadedFile:
    """Upload `path` into the folder `parent` or the root of `project`.

    Conflict (code 8005) if the name is taken and not `overwrite`; TransferError if the file changes
    meanwhile; Stopped if `stop` is set. After any error the unfinished upload is thrown away on the
    platform. It is begun anew if the platform has lost it, or if what arrived is something else.
    """
    stop = stop or client.transport.stop_event()
    before = path.stat()
    part_size = part_size or choose_part_size(before.st_size)
    job = _Upload(
        client=client,
        path=path,
        name=name or path.name,
        size=before.st_size,
        modified=before.st_mtime_ns,
        md5=file_md5(path) if before.st_size <= _CHUNK else None,
        parent=parent,
        project=project,
        overwrite=overwrite,
        part_size=part_size,
        threads=threads,
        stop=stop,
    )
    anew = client.transport.patience.retrying(
        tenacity.retry_if_exception(_can_begin_anew),
        stop,
        hopeless=tenacity.stop_after_attempt(_UPLOADS),
    )
    return anew(job.run)


class _Damaged(TransferError):
    """What arrived on the platform is not what was sent."""


def _can_begin_anew(error: BaseException) -> bool:
    if isinstance(error, ApiError):
        return error.code in (_NO_SUCH_UPLOAD, _CANNOT_COMPLETE)
    return isinstance(error, _Damaged)


def _is_lost(error: BaseException) -> bool:
    """Whether a call that must not be repeated blindly may have taken effect all the same."""
    if isinstance(error, NoAnswer):
        return error.sent
    if isinstance(error, ServerError):
        return not isinstance(error, Maintenance) and error.status != _NOT_IMPLEMENTED
    return isinstance(error, UnexpectedAnswer)


def choose_part_size(size: int) -> int:
    """The part size (bytes) to ask for: 32 MiB, or more if the parts would be too many."""
    needed = -(-size // MAX_PARTS)
    return max(RECOMMENDED_PART, -(-needed // MIB) * MIB)


def file_md5(path: Path) -> str:
    """The MD5 of a file's content, hexadecimal: the form that the platform stores."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, _md5).hexdigest()


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


class OpenUpload(Document):
    """An upload that is under way, as the platform lists it (documented)."""

    upload_id: str
    name: Text = ""
    project: Text = ""
    initiated: Moment = None
    uploaded_parts_count: Whole = None


def open_uploads(client: Client, name: str, *, project: str | None = None) -> list[OpenUpload]:
    """The token owner's uploads of files called `name` that are under way, with their progress."""
    call = calls.get("/upload/multipart", {"limit": calls.PAGE})
    listed = [parse(call, OpenUpload, document) for document in client.transport.pages(call)]
    found = []
    for upload in listed:
        if upload.name == name and project in (None, upload.project):
            one = calls.get(f"/upload/multipart/{quote(upload.upload_id, safe='')}")
            with suppress(NotFound):  # completed meanwhile
                parts = parse(one, OpenUpload, client.transport.send(one)).uploaded_parts_count
                found.append(upload.model_copy(update={"uploaded_parts_count": parts}))
    return found


@dataclass(frozen=True, kw_only=True)
class _Upload:
    """One file on its way to the platform."""

    client: Client
    path: Path
    name: str
    size: int
    modified: int
    """Time of modification in ns, by which a change is noticed."""
    md5: str | None
    """Of a small file, for which it costs nothing."""
    parent: str | None
    project: str | None
    overwrite: bool
    part_size: int
    threads: int
    stop: Stop

    def run(self) -> UploadedFile:
        """Open, send and complete, or throw away what was begun."""
        opened = self._open()
        try:
            reports = self._send_parts(opened)
            after = self.path.stat()
            if (after.st_size, after.st_mtime_ns) != (self.size, self.modified):
                raise TransferError(f"{self.path} changed while it was uploaded; upload it again")
            file = self._complete(opened, reports)
        except BaseException:
            # The first error is the one to tell, even if the clean-up fails as well.
            with suppress(CavaticaError):
                self.client.abort_upload(opened.upload_id)
            raise
        if file.size is not None and file.size != self.size:
            self.client.delete_file(file.id, missing_ok=True)
            raise _Damaged(
                f"{self.path} has {self.size} bytes but arrived on the platform with {file.size}"
            )
        return UploadedFile(file, self.size)

    # --- open ---

    def _open(self) -> UploadInit:
        """Open the upload, also if the platform's first answer gets lost.

        Then an upload is open that nobody knows of. It may block the name (code 8006) until it
        expires, so it is looked up and thrown away.
        """
        began = datetime.now(UTC)
        lost = False

        def open_once() -> UploadInit:
            nonlocal lost
            try:
                return self._start()
            except Conflict as error:
                if not lost or error.code != _UPLOAD_EXISTS:
                    raise
                self._abort_orphans(began)
                return self._start()
            except ApiError as error:
                lost = lost or _is_lost(error)
                raise

        return self._until_known(open_once)

    def _start(self) -> UploadInit:
        return self.client.start_upload(
            self.name,
            self.size,
            parent=self.parent,
            project=self.project,
            part_size=self.part_size,
            md5=self.md5,
            overwrite=self.overwrite,
        )

    def _until_known(self, call: Callable[[], Answered]) -> Answered:
        """Repeat a call that knows what to do if an earlier one took effect without an answer."""
        return self.client.transport.patience.retrying(
            tenacity.retry_if_exception(_is_lost), self.stop, hopeless=after_senseless_answers()
        )(call)

    def _abort_orphans(self, began: datetime) -> None:
        """What we opened without knowing is of this name, new, and without parts.

        Another run's upload that is hit all the same begins anew (code 8003).
        """
        for found in open_uploads(self.client, self.name, project=self.project):
            is_new = found.initiated and found.initiated >= began - _CLOCK_TOLERANCE
            if is_new and not found.uploaded_parts_count:
                self.client.abort_upload(found.upload_id)

    # --- parts ---

    def _send_parts(self, opened: UploadInit) -> dict[int, dict[str, str]]:
        """Send all parts; what was not reported yet."""
        part_size = opened.part_size or self.part_size
        if part_size <= 0:
            raise UnexpectedAnswer(f"the platform wants upload parts of {part_size} bytes")
        # An empty file is one empty part (seen in the provider's client).
        count = max(1, -(-self.size // part_size))
        reports = _Reports(self.client, opened.upload_id)

        def send(number: int, stop: Stop) -> None:
            start = (number - 1) * part_size
            part = _Slice(self.path, start, part_size, self.size, stop)
            reports.add(number, self._send_part(opened, number, part))

        self.client.parts.each(
            send,
            range(1, count + 1),
            self.stop,
            at_once=self.threads if opened.parallel_uploads else 1,
        )
        return reports.rest()

    def _send_part(self, opened: UploadInit, number: int, part: _Slice) -> dict[str, str]:
        def put() -> dict[str, str]:
            return self._put(self.client.upload_part_url(opened.upload_id, number), part)

        return _tries(self.client, part.stop)(put)

    def _put(self, target: PartUrl, part: _Slice) -> dict[str, str]:
        """PUT the part and return the answer's headers that the platform wants to hear of."""
        sent_headers = {key: str(value) for key, value in target.headers.items()}
        answer = self.client.transport.put_part(target.url, part.body(), sent_headers)
        codes = target.report.success_codes if target.report else []
        if answer.status not in (codes or [_OK]):
            raise StorageError(
                f"the storage refused a part of the upload (HTTP {answer.status})",
                status=answer.status,
            )
        self._check_etag(answer.headers.get("etag", "").strip('"').lower(), part)
        wanted = (target.report.headers if target.report else []) or ["ETag"]
        # The quotes belong to HTTP, not to the ETag (the provider's client strips them as well).
        return {
            str(header): answer.headers.get(str(header).lower(), "").strip('"') for header in wanted
        }

    def _check_etag(self, etag: str, part: _Slice) -> None:
        """StorageError if other bytes seem to have arrived; see _ETAG_TRIES."""
        transport = self.client.transport
        if not transport.etags_are_md5 or not _MD5.fullmatch(etag) or etag == part.md5:
            return
        part.mismatches += 1
        if part.mismatches == _ETAG_TRIES:
            transport.etags_are_md5 = False
            return
        raise StorageError("other bytes arrived at the storage than were sent", lasting=True)

    # --- complete ---

    def _complete(self, opened: UploadInit, reports: Mapping[int, Mapping[str, str]]) -> File:
        """Complete the upload, once, even if the platform's first answer gets lost.

        An upload ends when it is completed, so a second request that finds none shows that the
        first one worked; then the file is found by its name.
        """
        lost = False

        def complete_once() -> File:
            nonlocal lost
            try:
                return self.client.complete_upload(opened.upload_id, reports)
            except NotFound:
                file = self._arrived() if lost else None
                if file is None:
                    raise
                return file
            except ApiError as error:
                lost = lost or _is_lost(error)
                raise

        return self._until_known(complete_once)

    def _arrived(self) -> File | None:
        """The file of an upload that was completed, if that can be told from an older one."""
        if self.overwrite:
            return None
        for file in self.client.list_files(
            parent=self.parent, project=self.project, names=[self.name]
        ):
            if not file.is_folder and file.size in (None, self.size):
                return file
        return None


class _Reports:
    """What the storage has answered to parts and the platform has not been told yet."""

    def __init__(self, client: Client, upload_id: str) -> None:
        self._client = client
        self._upload_id = upload_id
        self._lock = threading.Lock()
        self._waiting: dict[int, dict[str, str]] = {}
        self._told = time.monotonic()

    def add(self, number: int, headers: dict[str, str]) -> None:
        """Keep it for the end, but for not too long."""
        with self._lock:
            self._waiting[number] = headers
            now = time.monotonic()
            if now - self._told < _REPORT_EVERY:
                return
            self._told = now
            due, self._waiting = self._waiting, {}
        self._client.report_parts(self._upload_id, due)

    def rest(self) -> dict[int, dict[str, str]]:
        """What is left when all parts are sent."""
        return self._waiting


class _Slice:
    """A part of a file, in the form in which `requests` sends a body of known length in chunks.

    It has no `read`: urllib3 would ask that for 16 KiB at a time.
    """

    def __init__(self, path: Path, start: int, length: int, size: int, stop: Stop) -> None:
        self._path = path
        self._start = start
        self._length = min(length, size - start)
        self.stop = stop
        self.mismatches = 0
        """How often the storage answered with another MD5."""
        self._digest = _md5()

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[memoryview]:
        """The bytes, each time from the start; a chunk is good until the next is asked for."""
        self._digest = _md5()
        buffer = memoryview(bytearray(min(_CHUNK, self._length)))
        left = self._length
        with self._path.open("rb", buffering=0) as stream:
            stream.seek(self._start)
            while left:
                if self.stop.is_set():
                    raise Stopped("the upload was stopped")
                count = stream.readinto(buffer[:left])
                if not count:
                    raise TransferError(f"{self._path} became shorter while it was uploaded")
                left -= count
                self._digest.update(buffer[:count])
                yield buffer[:count]

    @property
    def md5(self) -> str:
        """The MD5 of what was read the last time, hexadecimal."""
        return self._digest.hexdigest()

    def body(self) -> bytes | _Slice:
        """What to send. Nothing at all must be bytes, or it would be sent chunked."""
        return self if self._length else b""


# --------------------------------------------------------------------------- download


def download(
    client: Client,
    file_id: str,
    target: Path,
    *,
    size: int | None = None,
    part_size: int = DOWNLOAD_PART,
    threads: int = THREADS,
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
        stop = stop or client.transport.stop_event()
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

    def run(self, threads: int, stop: Stop) -> int:
        """Fetch all parts and return the size. The first answer tells the size of the whole."""
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
        return _tries(self._client, stop)(self._fetch, start, stop)

    def _fetch(self, start: int, stop: Stop) -> Span:
        url = self._signed_url()
        try:
            with self._client.transport.get_range(url, start, start + self._part_size) as response:
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
            while data := response.raw.read(_PIECE, decode_content=False):
                if stop.is_set():
                    raise Stopped("the download was stopped")
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


def _tries(client: Client, stop: Stop) -> tenacity.Retrying:
    """The policy for one part: as for calls, but only a few tries if waiting is no cure."""
    return client.transport.patience.retrying(
        tenacity.retry_if_exception_type(StorageError),
        stop,
        hopeless=after_failures(_TRIES, _is_lasting),
    )


def _is_lasting(error: BaseException) -> bool:
    return isinstance(error, StorageError) and error.lasting
