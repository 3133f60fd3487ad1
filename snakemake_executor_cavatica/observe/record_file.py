"""Writes a record: one write for each line, so that after a kill each line is whole or the last."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .entries import Run
from .lines import run_line
from .record import RECORD

_ENCODER = json.JSONEncoder(separators=(",", ":"))


def note_outcome(folder: Path, run: Run, outcome: str) -> None:
    """Write down how a run has ended after all, whose main process is no more.

    The record stays as old as it was: commands and runs look for the one that was written last.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / RECORD
    line = run_line(replace(run, outcome=outcome), ["outcome"])
    before = path.stat()
    with path.open("ab") as file:
        file.write(_ENCODER.encode(line).encode() + b"\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


class RecordFile:
    """The file of a record, which is there from its first line on. For one thread at a time.

    That it cannot be written ends no run: lines wait until it can, and one warning tells of it.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self.path = folder / RECORD
        self._warn = warn
        self._file: int | None = None
        self._waiting: deque[bytes] = deque()
        self._is_torn = False
        """Whether the file may end in the middle of a line."""
        self._has_warned = False

    def write(self, line: Mapping[str, Any]) -> None:
        """Append a line."""
        self._waiting.append(_ENCODER.encode(line).encode() + b"\n")
        try:
            if self._file is None:
                self._file = self._opened()
            while self._waiting:
                self._append(self._file, self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            self._tell(error)

    def _opened(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        # The run before may have been killed in the middle of its last line.
        size = os.fstat(file).st_size
        self._is_torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        return file

    def _append(self, file: int, line: bytes) -> None:
        whole = b"\n" + line if self._is_torn else line
        written = os.write(file, whole)
        self._is_torn = written < len(whole)
        if self._is_torn:
            raise OSError(f"only {written} of {len(whole)} bytes were written")

    def _tell(self, error: OSError) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._warn(
                f"The record of this run, {self.path}, cannot be written: "
                f"{error.strerror or error}. The run goes on; what is missing is written once "
                "there is room."
            )

    def close(self) -> None:
        """Nothing more is written."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
