"""Contents of files: each stored once, named by its SHA-256, never changed.

What may block here runs in threads.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

CHUNK = 1 << 20


@dataclass(frozen=True)
class Content:
    """A stored content."""

    blob: str
    size: int


def checksums(
    parts: Iterable[Path], names: Iterable[str], *, whole: Path | None = None
) -> list[str]:
    """Checksums of what some files hold together; each is read once, and copied to `whole`."""
    digests = [hashlib.new(name, usedforsecurity=False) for name in names]
    with nullcontext() if whole is None else whole.open("wb") as output:
        for part in parts:
            with part.open("rb") as stream:
                while chunk := stream.read(CHUNK):
                    for digest in digests:
                        digest.update(chunk)
                    if output is not None:
                        output.write(chunk)
    return [digest.hexdigest() for digest in digests]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class BlobStore:
    """A folder of contents, two levels deep; each stays as long as somebody uses it.

    It counts who uses a content for a while: whoever stores it, and the tasks that read it. Of the
    files in the database it is told when it asks, by a function for the event loop's thread.
    """

    def __init__(self, root: Path, is_in_a_file: Callable[[str], bool]) -> None:
        self._root = root / "blobs"
        self._quarantine = root / "quarantine"
        self._is_in_a_file = is_in_a_file
        self._users: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._root.mkdir(exist_ok=True)
        self._quarantine.mkdir(exist_ok=True)

    def path(self, blob: str) -> Path:
        """Where a content is stored."""
        return self._root / blob[:2] / blob

    def exists(self, blob: str) -> bool:
        """Whether the content is there (it is not, once it was found damaged)."""
        return self.path(blob).exists()

    def adopt(self, source: Path, blob: str | None = None) -> Content:
        """Take over a file by renaming it. `blob` is its checksum where that is known already.

        Whoever adopts a content uses it: it stays until `release`, even if the last file that
        refers to the same content is deleted before the new one is recorded.

        A source that is a hard link to a stored content (a tool that linked its input to its
        output) has that content's checksum, so it is simply removed.
        """
        size = source.stat().st_size
        blob = blob or sha256_of(source)
        self.use(blob)
        target = self.path(blob)
        if target.exists():
            source.unlink()
            return Content(blob, size)
        target.parent.mkdir(exist_ok=True)
        if source.is_symlink() or source.stat().st_nlink > 1:
            # Someone else holds this inode too and could change the content later.
            private = source.with_name(f"{source.name}.{os.getpid()}")
            shutil.copyfile(source, private)
            source.unlink()
            source = private
        source.chmod(0o444)
        source.rename(target)
        return Content(blob, size)

    def is_intact(self, blob: str, modified: int, *, thorough: bool) -> bool:
        """Whether the content still has its checksum; a damaged one is moved to the quarantine.

        Without `thorough` the checksum is computed only if the time of modification is another one.
        """
        path = self.path(blob)
        if not path.exists():
            return False
        if not thorough and path.stat().st_mtime_ns == modified:
            return True
        if sha256_of(path) == blob:
            return True
        path.rename(self._quarantine / blob)
        return False

    def use(self, blob: str) -> None:
        """Keep a content until `release`."""
        with self._lock:
            self._users[blob] += 1

    def release(self, blob: str) -> None:
        """One user less."""
        with self._lock:
            self._users[blob] -= 1
            if not self._users[blob]:
                del self._users[blob]

    def remove_unused(self, blob: str) -> None:
        """Remove a content that nobody uses. On the event loop's thread only."""
        with self._lock:
            if not self._users[blob] and not self._is_in_a_file(blob):
                self.path(blob).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove all contents that nobody uses, left by a crash."""
        for folder in self._root.iterdir():
            for entry in list(folder.iterdir()):
                self.remove_unused(entry.name)
