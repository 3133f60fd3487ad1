"""Parcels: one file for many small ones, since each upload takes three requests of its own.

Each content lies in it once, under its checksum. The same files make the same parcel, byte for
byte, so that it is found on the platform from any directory, like all that is uploaded.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..api import Client, Stop
from ..project.local_record import Known, LocalRecord, checksum_of, stamp_of
from ..translate.parcel import LARGEST_PARCEL, name_in_parcel
from .uploads import Uploads, content_name

_AROUND = 1024
"""Bytes, at most, that a tar file takes beside the content of each file in it."""


@dataclass
class _Content:
    """What is to travel, and the files that hold it, with their `stamp_of` from before that."""

    checksum: str
    room: int
    """Bytes that it takes in a parcel."""
    paths: dict[str, str] = field(default_factory=dict)
    users: int = 0
    """How many jobs need it."""


class Parcels:
    """Sends small files of this machine together."""

    def __init__(self, client: Client, uploads: Uploads, local_record: LocalRecord) -> None:
        self._client = client
        self._uploads = uploads
        self._local_record = local_record

    def send(self, paths: Iterable[str], arrived: Callable[[], None]) -> None:
        """Upload what is not on the platform yet: neighbours in `paths` into the same parcel.

        What cannot be read, or would be alone in its parcel, is left out.

        Args:
            paths: what each job needs, job after job.
            arrived: called after each parcel, from any thread.

        Raises:
            CavaticaError: a parcel could not be uploaded.
        """
        parcels = [one for one in _parcels(self._lacking(paths)) if len(one) > 1]

        def send_one(parcel: list[_Content], _: Stop) -> None:
            self._send(parcel)
            arrived()

        self._client.files.each(send_one, parcels, self._client.stop)

    def _lacking(self, paths: Iterable[str]) -> list[_Content]:
        contents: dict[str, _Content] = {}
        for path, users in Counter(paths).items():
            known = self._local_record.find(path)
            if known is not None and self._uploads.exists(known.ref):
                continue
            with suppress(OSError):
                stamp = stamp_of(path)
                room = Path(path).stat().st_size + _AROUND
                content = _Content(checksum_of(path), room)
                known = self._uploads.of_content(content.checksum, alone=False)
                if known is not None:
                    self._local_record.record(path, known, stamp)
                    continue
                content = contents.setdefault(content.checksum, content)
                content.paths[path] = stamp
                content.users += users
        return list(contents.values())

    def _send(self, contents: list[_Content]) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch, "parcel.tar")
            packed = _write(archive, contents)
            name = content_name(f"{len(packed)}-small-files.tar", checksum_of(str(archive)))
            ref = self._uploads.upload_content(archive, name)
        for content in packed:
            known = Known(ref, content.checksum, in_parcel=True)
            for path, stamp in content.paths.items():
                self._local_record.record(path, known, stamp)


def _parcels(contents: Sequence[_Content]) -> Iterator[list[_Content]]:
    """What travels together; what many jobs need does so apart, unless all fits into one."""
    if sum(one.room for one in contents) <= LARGEST_PARCEL:
        yield list(contents)
        return
    yield from _portions(one for one in contents if one.users > 1)
    yield from _portions(one for one in contents if one.users == 1)


def _portions(contents: Iterable[_Content]) -> Iterator[list[_Content]]:
    parcel: list[_Content] = []
    size = 0
    for content in contents:
        if size + content.room > LARGEST_PARCEL:
            yield parcel
            parcel, size = [], 0
        parcel.append(content)
        size += content.room
    yield parcel


def _write(archive: Path, contents: Iterable[_Content]) -> list[_Content]:
    """Write a parcel; returns what it holds, which is not what was changed just now."""
    packed = []
    with tarfile.open(archive, "w") as tar:
        for content in contents:
            data = b""
            with suppress(OSError):
                data = Path(next(iter(content.paths))).read_bytes()
            if hashlib.sha256(data).hexdigest() != content.checksum:
                continue
            member = tarfile.TarInfo(name_in_parcel(content.checksum))
            member.size = len(data)
            member.mode = 0o444
            tar.addfile(member, io.BytesIO(data))
            packed.append(content)
    return packed
