"""The parts of an upload: their bytes, and what the storage has answered to them."""

from __future__ import annotations

import hashlib
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from .client import Client
from .errors import TransferError
from .stop import Stop

# Bytes read, hashed and sent in one go: more than that leave the processor's cache in between.
CHUNK = 256 * 1024

# Seconds after which an upload reports the parts that it has: others see by that that it gets on.
_REPORT_EVERY = 2.0


def new_md5() -> hashlib._Hash:
    """For checksums that keep nobody out."""
    return hashlib.md5(usedforsecurity=False)


class Reports:
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


class Slice:
    """A part of a file, in the form in which `requests` sends a body of known length in chunks.

    It has no `read`: urllib3 would ask that for 16 KiB at a time.
    """

    def __init__(
        self,
        path: Path,
        span: tuple[int, int],
        size: int,
        stop: Stop,
        *,
        moved: Callable[[int], None],
        takes_crc: bool = False,
    ) -> None:
        """Nothing is read yet.

        Args:
            span: where the part begins, and how long parts are.
            size: that of the file.
            moved: is told how many bytes have been handed on, each time.
            takes_crc: whether `crc` is wanted.
        """
        start, length = span
        self._path = path
        self._moved = moved
        self._start = start
        self._length = min(length, size - start)
        self.stop = stop
        self.mismatches = 0
        """How often the storage answered with another MD5."""
        self._digest = new_md5()
        self._takes_crc = takes_crc
        self.crc = 0
        """CRC-32 of what was read the last time, if it was wanted."""

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[memoryview]:
        """The bytes, each time from the start; a chunk is good until the next is asked for."""
        self._digest = new_md5()
        self.crc = 0
        buffer = memoryview(bytearray(min(CHUNK, self._length)))
        left = self._length
        with self._path.open("rb", buffering=0) as stream:
            stream.seek(self._start)
            while left:
                self.stop.check("the upload was stopped")
                count = stream.readinto(buffer[:left])
                if not count:
                    raise TransferError(f"{self._path} became shorter while it was uploaded")
                left -= count
                self._digest.update(buffer[:count])
                if self._takes_crc:
                    self.crc = zlib.crc32(buffer[:count], self.crc)
                yield buffer[:count]
                self._moved(count)

    @property
    def md5(self) -> str:
        """The MD5 of what was read the last time, hexadecimal."""
        return self._digest.hexdigest()

    def body(self) -> bytes | Slice:
        """What to send. Nothing at all must be bytes, or it would be sent chunked."""
        return self if self._length else b""
