"""The record of the run that is under way: in memory, and in its file as it grows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from . import lines
from .entries import Attempt, Run
from .record import RUNS, Record
from .record_file import RecordFile

Listener = Callable[[Attempt, Attempt | None], None]
"""Is told how an attempt now stands, and how it stood before; None if it is new."""


class LiveRecord:
    """All attempts of this run, and of those that it goes on with. Safe for several threads.

    Its file is there once there is an attempt: a run that finds nothing to do leaves nothing.
    """

    def __init__(self, run: Run, warn: Callable[[str], None], listener: Listener) -> None:
        """`listener` is called with a lock held, for each attempt that is new or changes."""
        self.run = run
        self.earlier: tuple[Run, ...] = ()
        """The runs that this one goes on with."""
        self._listener = listener
        # By its whole path: a workflow may change the directory.
        self._file = RecordFile(Path(run.directory, RUNS, run.id), warn)
        self._warn = warn
        self._lock = threading.RLock()
        self._has_begun = False
        self._attempts: dict[str, Attempt] = {}
        self._by_task: dict[str, str] = {}
        """Ids of attempts, the last for each task."""

    @property
    def path(self) -> Path:
        """Of its file."""
        return self._file.path

    def go_on_with(self, earlier: Record) -> None:
        """This is the record of an interrupted run, and goes on; there is no attempt yet."""
        self.earlier = earlier.runs
        self._file = RecordFile(earlier.folder, self._warn)
        for attempt in earlier.attempts:
            self._keep(attempt, None)

    def add(self, attempt: Attempt) -> Attempt:
        """Take up an attempt, which gets its id here."""
        with self._lock:
            name = self.run.id.rpartition("-")[2]
            new = replace(attempt, id=f"{name}.{len(self._attempts) + 1}")
            self._write(lines.attempt_line(new))
            self._keep(new, None)
            return new

    def change(self, identifier: str, **changes: Any) -> Attempt:
        """Note what is new of an attempt; how it stands then."""
        with self._lock:
            before = self._attempts[identifier]
            news = {name: one for name, one in changes.items() if getattr(before, name) != one}
            if not news:
                return before
            attempt = _changed(before, news)
            self._write(lines.attempt_line(attempt, news))
            self._keep(attempt, before)
            return attempt

    def _write(self, line: dict[str, Any]) -> None:
        if not self._has_begun:
            self._has_begun = True
            self._file.write(lines.run_line(self.run))
        self._file.write(line)

    def _keep(self, attempt: Attempt, before: Attempt | None) -> None:
        self._attempts[attempt.id] = attempt
        if attempt.task is not None:
            self._by_task[attempt.task] = attempt.id
        self._listener(attempt, before)

    def of_task(self, task: str) -> Attempt | None:
        """The last attempt that this task was, or is."""
        with self._lock:
            identifier = self._by_task.get(task)
            return None if identifier is None else self._attempts[identifier]

    @property
    def attempts(self) -> list[Attempt]:
        """All of them, in the order in which they began."""
        with self._lock:
            return list(self._attempts.values())

    def end(self, **changes: Any) -> None:
        """The run is over: write down how."""
        with self._lock:
            ended = replace(self.run, **changes)
            if self._has_begun:
                self._file.write(lines.run_line(ended, changes))
            self.run = ended
            self._file.close()


_FIELDS = tuple(one.name for one in fields(Attempt))
_values = attrgetter(*_FIELDS)


def _changed(attempt: Attempt, news: Mapping[str, Any]) -> Attempt:
    """As `replace` does, which takes many times as long, for each of the fields."""
    new = object.__new__(Attempt)
    for name, value in zip(_FIELDS, _values(attempt), strict=True):
        object.__setattr__(new, name, value)
    for name, value in news.items():
        object.__setattr__(new, name, value)
    return new
