"""What of one transfer is done, line by line, for a process that goes on where another stopped."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import TransferError


class Journal:
    """A file of JSON lines: first what the transfer is, then each part that is done.

    It survives a process that is killed. It is not forced to the disk, since what it is about is
    not either.
    """

    def __init__(self, path: Path) -> None:
        """`path` is read by `journal`."""
        self._path = path
        self._lock = threading.Lock()
        self.header: dict[str, Any] = {}
        self.parts: list[dict[str, Any]] = []

    def begin(self, header: Mapping[str, Any]) -> None:
        """Forget what was done; `header` says what is done from now on."""
        with self._lock:
            self.header, self.parts = dict(header), []
            self._path.write_text(json.dumps(self.header) + "\n")

    def add(self, part: Mapping[str, Any]) -> None:
        """One more part is done."""
        with self._lock, self._path.open("a") as stream:
            self.parts.append(dict(part))
            stream.write(json.dumps(part) + "\n")

    def remove(self) -> None:
        """There is nothing to go on with."""
        with self._lock:
            self.header, self.parts = {}, []
            self._path.write_text("")  # the same file, which is nobody else's; it goes at the end

    def read(self) -> None:
        """See what is done. A last line that is cut short is not."""
        documents = []
        for line in self._path.read_text(errors="replace").splitlines():
            try:
                document = json.loads(line)
            except ValueError:
                break
            if not isinstance(document, dict):
                break
            documents.append(document)
        self.header, self.parts = (documents or [{}])[0], documents[1:]


@contextmanager
def journal(path: Path, what: str) -> Iterator[Journal]:
    """The journal at `path`, for this process alone; an empty one does not stay.

    Raises:
        TransferError: another process has it; `what` says what it is doing.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with held(path, what):
        path.chmod(0o600)
        opened = Journal(path)
        opened.read()
        try:
            yield opened
        finally:
            if not opened.header:
                path.unlink(missing_ok=True)


@contextmanager
def held(path: Path, what: str) -> Iterator[None]:
    """Nobody else works on the file at `path` meanwhile, which is made if it is missing.

    Raises:
        TransferError: another process does; `what` says what that is.
    """
    with path.open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who had it may just have removed it, or put it elsewhere.
            is_ours = os.path.samestat(os.fstat(stream.fileno()), path.stat())
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        if not is_ours:
            raise TransferError(f"{what} by another program; let that end first")
        yield
