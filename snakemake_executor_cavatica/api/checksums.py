"""A checksum of a file, made of those of its parts, as object stores make theirs.

It costs nothing beside an upload, which takes the MD5 of each part anyway. The platform tells no
checksum of a file, so this one is kept as metadata: whoever has the file, can compare.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .upload_parts import CHUNK, new_md5

CHECKSUM_KEY = "snakemake_md5"
"""Metadata key of a file's checksum."""
_FORM = re.compile(r"[0-9a-f]{32}(?:-(?P<count>[0-9]{1,5})-(?P<size>[0-9]{1,13}))?")


def of_parts(md5s: Sequence[str], part_size: int) -> str:
    """The checksum of a file by those of its parts, all of `part_size` bytes but the last.

    Of one part it is the part's own; else the MD5 of them all, their number and their size.
    """
    if len(md5s) == 1:
        return md5s[0]
    whole = new_md5()
    for md5 in md5s:
        whole.update(bytes.fromhex(md5))
    return f"{whole.hexdigest()}-{len(md5s)}-{part_size}"


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
    md5s = []
    with path.open("rb", buffering=0) as stream:
        buffer = memoryview(bytearray(CHUNK))
        left, digest = part_size, new_md5()
        while count := stream.readinto(buffer[: min(CHUNK, left)]):
            digest.update(buffer[:count])
            left -= count
            if not left:
                md5s.append(digest.hexdigest())
                left, digest = part_size, new_md5()
        if left < part_size or not md5s:
            md5s.append(digest.hexdigest())
    return of_parts(md5s, part_size)
