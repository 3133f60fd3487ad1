"""A checksum of a file, made of those of its parts, as object stores make theirs.

The platform tells no checksum of a file, so they are kept as metadata: whoever has the file can
compare. MD5 costs nothing beside an upload, which takes it of each part anyway, and tells one
content from another. CRC-32 sees that something was damaged on its way, in an eighth of the time:
for large files both are kept, or a fast network would have to wait for the processor.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from .upload_parts import CHUNK, new_md5

CHECKSUM_KEY = "snakemake_md5"
"""Metadata key of a file's MD5."""
CRC_KEY = "snakemake_crc32"
"""Metadata key of the CRC-32 of a file of several parts."""
_FORM = re.compile(
    r"(?P<sum>[0-9a-f]{32}|[0-9a-f]{8})(?:-(?P<count>[0-9]{1,5})-(?P<size>[0-9]{1,13}))?"
)
_OF_CRC = 8
"""Digits."""


class Digest(Protocol):
    """A checksum under way."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Some bytes more."""

    def hexdigest(self) -> str:
        """The checksum so far."""


class Crc32:
    """CRC-32, as those of `hashlib` are used."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        """Some bytes more."""
        self._value = zlib.crc32(data, self._value)

    def hexdigest(self) -> str:
        """The checksum so far."""
        return f"{self._value:08x}"


def digest_like(checksum: str) -> Digest:
    """What computes checksums of the kind of a known one."""
    return Crc32() if len(checksum.partition("-")[0]) == _OF_CRC else new_md5()


def of_parts(parts: Sequence[str], part_size: int) -> str:
    """The checksum of a file by those of its parts, all of `part_size` bytes but the last.

    Of one part it is the part's own; else that of them all, their number and their size.
    """
    if len(parts) == 1:
        return parts[0]
    whole = digest_like(parts[0])
    for part in parts:
        whole.update(bytes.fromhex(part))
    return f"{whole.hexdigest()}-{len(parts)}-{part_size}"


def part_size_of(checksum: str, size: int) -> int | None:
    """Bytes of the parts that a checksum of a file of `size` bytes is made of.

    None if it is no checksum that is known here.
    """
    form = _FORM.fullmatch(checksum)
    if form is None:
        return None
    if form["count"] is None:
        return max(size, 1)
    part_size = int(form["size"])
    fits = part_size > 0 and -(-size // part_size) == int(form["count"])
    return part_size if fits else None


def checksum_like(path: Path, checksum: str) -> str | None:
    """The checksum of a local file in the form of a known one, to compare; None if it has none."""
    part_size = part_size_of(checksum, path.stat().st_size)
    if part_size is None:
        return None
    parts = []
    with path.open("rb", buffering=0) as stream:
        buffer = memoryview(bytearray(CHUNK))
        left, digest = part_size, digest_like(checksum)
        while count := stream.readinto(buffer[: min(CHUNK, left)]):
            digest.update(buffer[:count])
            left -= count
            if not left:
                parts.append(digest.hexdigest())
                left, digest = part_size, digest_like(checksum)
        if left < part_size or not parts:
            parts.append(digest.hexdigest())
    return of_parts(parts, part_size)
