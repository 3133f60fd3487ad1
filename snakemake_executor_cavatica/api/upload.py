"""Whole files to the platform, in parts.

Open, then for each part ask for a signed URL and PUT the bytes, then complete, which also reports
the storage's ETags (documented): three calls for a file of one part. Parts go in parallel and are
repeated on their own. No part is held in memory: each of the client's threads has one buffer of
256 KiB. With a journal, another process can go on with what is left of the parts.

The storage's ETag of a part is its MD5 in most object stores, so that is compared with the bytes
sent, hashed as they are read. The MD5 of the whole that an upload may state is stored but not used
by the platform (documented), so only a file that is read in one go states it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import tenacity

from .answers import parse
from .call import PAGE, get, segment
from .checksums import CHECKSUM_KEY, CRC_KEY, of_parts
from .client import Client
from .errors import (
    ApiError,
    CavaticaError,
    Conflict,
    NotFound,
    StorageError,
    TransferError,
    UnexpectedAnswer,
)
from .fields import Document, Id, Moment, Text, Whole
from .models import File, PartUrl, UploadInit
from .once import once
from .retry import after_senseless_answers
from .stop import Stop
from .unfinished import SentPart, Unfinished, unfinished
from .upload_parts import CHUNK, Reports, Slice, new_md5
from .workers import PARTS_AT_ONCE

MIB = 1024 * 1024

# Limits of the platform, as its clients state them.
RECOMMENDED_PART = 32 * MIB
MAX_PARTS = 10_000

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


@dataclass(frozen=True)
class UploadedFile:
    """A file that is on the platform now; `size` is bytes."""

    file: File
    size: int
    checksums: Mapping[str, str]
    """By the keys of metadata that they are kept under, see `checksums`."""


def upload(
    client: Client,
    path: Path,
    *,
    parent: str | None = None,
    project: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
    part_size: int | None = None,
    threads: int = PARTS_AT_ONCE,
    stop: Stop | None = None,
    journal: Path | None = None,
) -> UploadedFile:
    """Upload `path` into the folder `parent` or the root of `project`.

    Conflict (code 8005) if the name is taken and not `overwrite`; TransferError if the file changes
    meanwhile; Stopped if `stop` is set. After any error the unfinished upload is thrown away on the
    platform; if it has several parts and there is a `journal`, it stays, and the next call with the
    same journal sends what is left. It is begun anew if the platform has lost it, or if what
    arrived is something else.
    """
    stop = stop or client.stop
    before = path.stat()
    part_size = part_size or choose_part_size(before.st_size)
    target = Target(name or path.name, parent, project, overwrite)
    stamp = {"size": before.st_size, "modified": before.st_mtime_ns, **vars(target)}
    journal = journal if before.st_size > part_size else None
    with unfinished(journal, stamp, f"{path} is being uploaded") as known:
        job = _Upload(
            client=client,
            path=path,
            target=target,
            size=before.st_size,
            modified=before.st_mtime_ns,
            md5=file_md5(path) if before.st_size <= CHUNK else None,
            unfinished=known,
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


@dataclass(frozen=True)
class Target:
    """Where a file goes: its name in a folder, or in the root of a project."""

    name: str
    parent: str | None
    project: str | None
    overwrite: bool


class _Damaged(TransferError):
    """What arrived on the platform is not what was sent."""


def _can_begin_anew(error: BaseException) -> bool:
    if isinstance(error, ApiError):
        return error.code in (_NO_SUCH_UPLOAD, _CANNOT_COMPLETE)
    return isinstance(error, _Damaged)


def choose_part_size(size: int) -> int:
    """The part size (bytes) to ask for: 32 MiB, or more if the parts would be too many."""
    needed = -(-size // MAX_PARTS)
    return max(RECOMMENDED_PART, -(-needed // MIB) * MIB)


def file_md5(path: Path) -> str:
    """The MD5 of a file's content, hexadecimal: the form that the platform stores."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, new_md5).hexdigest()


class OpenUpload(Document):
    """An upload that is under way, as the platform lists it (documented)."""

    upload_id: Id
    name: Text = ""
    project: Text = ""
    initiated: Moment = None
    uploaded_parts_count: Whole = None


def open_uploads(client: Client, name: str, *, project: str | None = None) -> list[OpenUpload]:
    """The token owner's uploads of files called `name` that are under way, with their progress."""
    call = get("/upload/multipart", {"limit": PAGE})
    listed = [parse(call, OpenUpload, document) for document in client.listing.items(call)]
    found = []
    for upload in listed:
        if upload.name == name and project in (None, upload.project):
            one = get(f"/upload/multipart/{segment(upload.upload_id)}")
            with suppress(NotFound):  # completed meanwhile
                parts = client.one(OpenUpload, one).uploaded_parts_count
                found.append(upload.model_copy(update={"uploaded_parts_count": parts}))
    return found


@dataclass(frozen=True, kw_only=True)
class _Upload:
    """One file on its way to the platform."""

    client: Client
    path: Path
    target: Target
    size: int
    modified: int
    """Time of modification in ns, by which a change is noticed."""
    md5: str | None
    """Of a small file, for which it costs nothing."""
    unfinished: Unfinished
    part_size: int
    threads: int
    stop: Stop

    def run(self) -> UploadedFile:
        """Open, send and complete, or throw away what was begun and cannot be gone on with."""
        opened = self.unfinished.opened()
        if opened is None:
            if (outdated := self.unfinished.outdated()) is not None:
                with suppress(ApiError):  # it ends by itself, later
                    self.client.abort_upload(outdated.upload_id)
            opened = self._open()
            self.unfinished.begin(opened)
        sent = self.unfinished.sent()
        try:
            with self.client.traffic.up.file(self.size) as moving:
                reports = self._send_parts(opened, sent, moving.add)
            after = self.path.stat()
            if (after.st_size, after.st_mtime_ns) != (self.size, self.modified):
                raise TransferError(f"{self.path} changed while it was uploaded; upload it again")
            file = self._complete(opened, reports)
        except BaseException as error:
            if not self.unfinished.stays_after(error):
                # The first error is the one to tell, even if the clean-up fails as well.
                with suppress(CavaticaError):
                    self.client.abort_upload(opened.upload_id)
                    self.unfinished.forget()
            raise
        self.unfinished.forget()
        if file.size is not None and file.size != self.size:
            self.client.delete_file(file.id, missing_ok=True)
            raise _Damaged(
                f"{self.path} has {self.size} bytes but arrived on the platform with {file.size}"
            )
        return self._uploaded(file, sent, opened.part_size or self.part_size)

    def _uploaded(self, file: File, sent: Mapping[int, SentPart], part_size: int) -> UploadedFile:
        parts = [sent[number] for number in sorted(sent)]
        found = {CHECKSUM_KEY: of_parts([part.md5 for part in parts], part_size)}
        if self._takes_crc and len(parts) > 1:
            found[CRC_KEY] = of_parts([part.crc for part in parts], part_size)
        return UploadedFile(file, self.size, found)

    @property
    def _takes_crc(self) -> bool:
        return self.unfinished.journal is not None

    # --- open ---

    def _open(self) -> UploadInit:
        """Open the upload, also if the platform's first answer gets lost.

        Then an upload is open that nobody knows of. It may block the name (code 8006) until it
        expires, so it is looked up and thrown away.
        """
        began = self.client.transport.clock.now()

        def begin_anew(error: ApiError) -> UploadInit | None:
            if not isinstance(error, Conflict) or error.code != _UPLOAD_EXISTS:
                return None
            self._abort_orphans(began)
            return self._start()

        return once(self._start, self._policy(), refused=begin_anew)

    def _start(self) -> UploadInit:
        return self.client.start_upload(
            self.target.name,
            self.size,
            parent=self.target.parent,
            project=self.target.project,
            part_size=self.part_size,
            md5=self.md5,
            overwrite=self.target.overwrite,
        )

    def _policy(self) -> tenacity.Retrying:
        return self.client.transport.patience.retrying(
            tenacity.retry_never, self.stop, hopeless=after_senseless_answers()
        )

    def _abort_orphans(self, began: datetime) -> None:
        """What we opened without knowing is of this name, new, and without parts.

        Another run's upload that is hit all the same begins anew (code 8003).
        """
        for found in open_uploads(self.client, self.target.name, project=self.target.project):
            is_new = found.initiated and found.initiated >= began - _CLOCK_TOLERANCE
            if is_new and not found.uploaded_parts_count:
                self.client.abort_upload(found.upload_id)

    # --- parts ---

    def _send_parts(
        self, opened: UploadInit, sent: dict[int, SentPart], moved: Callable[[int], None]
    ) -> dict[int, dict[str, str]]:
        """Send all parts that are not `sent`, and add them there; what was not reported yet."""
        part_size = opened.part_size or self.part_size
        if part_size <= 0:
            raise UnexpectedAnswer(f"the platform wants upload parts of {part_size} bytes")
        # An empty file is one empty part (seen in the provider's client).
        count = max(1, -(-self.size // part_size))
        reports = Reports(self.client, opened.upload_id)
        for number, there in sent.items():
            moved(min(part_size, self.size - (number - 1) * part_size))
            reports.add(number, there.headers)

        def send(number: int, stop: Stop) -> None:
            start = (number - 1) * part_size
            part = Slice(
                self.path,
                (start, part_size),
                self.size,
                stop,
                moved=moved,
                takes_crc=self._takes_crc,
            )
            headers = self._send_part(opened, number, part)
            sent[number] = SentPart(part.md5, f"{part.crc:08x}", headers)
            self.unfinished.add(number, sent[number])
            reports.add(number, headers)

        self.client.parts.each(
            send,
            [number for number in range(1, count + 1) if number not in sent],
            self.stop,
            at_once=self.threads if opened.parallel_uploads else 1,
        )
        return reports.rest()

    def _send_part(self, opened: UploadInit, number: int, part: Slice) -> dict[str, str]:
        def put() -> dict[str, str]:
            return self._put(self.client.upload_part_url(opened.upload_id, number), part)

        return self.client.transport.storage.tries(part.stop)(put)

    def _put(self, target: PartUrl, part: Slice) -> dict[str, str]:
        """PUT the part and return the answer's headers that the platform wants to hear of."""
        sent_headers = {key: str(value) for key, value in target.headers.items()}
        answer = self.client.transport.storage.put(target.url, part.body(), sent_headers)
        codes = target.report.success_codes if target.report else []
        if answer.status not in (codes or [HTTPStatus.OK]):
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

    def _check_etag(self, etag: str, part: Slice) -> None:
        """StorageError if other bytes seem to have arrived; see _ETAG_TRIES."""
        storage = self.client.transport.storage
        if not storage.etags_are_md5 or not _MD5.fullmatch(etag) or etag == part.md5:
            return
        part.mismatches += 1
        if part.mismatches == _ETAG_TRIES:
            storage.etags_are_md5 = False
            return
        raise StorageError("other bytes arrived at the storage than were sent", lasting=True)

    # --- complete ---

    def _complete(self, opened: UploadInit, reports: Mapping[int, Mapping[str, str]]) -> File:
        """Complete the upload, once, even if the platform's first answer gets lost.

        An upload ends when it is completed, so a second request that finds none shows that the
        first one worked; then the file is found by its name.
        """
        return once(
            lambda: self.client.complete_upload(opened.upload_id, reports),
            self._policy(),
            refused=lambda error: self._arrived() if isinstance(error, NotFound) else None,
        )

    def _arrived(self) -> File | None:
        """The file of an upload that was completed, if that can be told from an older one."""
        if self.target.overwrite:
            return None
        for file in self.client.list_files(
            parent=self.target.parent, project=self.target.project, names=[self.target.name]
        ):
            if not file.is_folder and file.size in (None, self.size):
                return file
        return None
