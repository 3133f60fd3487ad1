"""Snakemake's lock on the working directory, when the run that took it was killed.

Snakemake cannot know whether a lock is still in use, and asks the user. Of its own runs, this
plugin can: it notes which process takes which lock. So the same command simply works again.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

from .processes import is_dead, this_process

logger = logging.getLogger(__name__)

_LOCKS = Path(".snakemake/locks")
_NOTE = Path(".snakemake/cavatica/lock.json")
_SOON = 10_000_000_000
"""Nanoseconds from the note of a lock until it is there."""

_taken: set[str] = set()
"""Names of the locks that this process has taken."""
_watching = False


def watch_locks() -> None:
    """Note from now on each lock of this process before it is there: it may be killed right then.

    Snakemake takes it long before an executor is made.
    """
    global _watching  # noqa: PLW0603 - audit hooks cannot be removed, so there must be one only
    if not _watching:
        _watching = True
        sys.addaudithook(_note_new_lock)


def _note_new_lock(event: str, arguments: tuple[object, ...]) -> None:
    """Called for all that Python audits, so it has to be quick."""
    if event != "open":
        return
    path, _, flags = arguments
    if not isinstance(path, str) or ".snakemake/locks/" not in path or not isinstance(flags, int):
        return
    if flags & os.O_CREAT:
        _taken.add(Path(path).name)
        with suppress(OSError):  # if the disk is full, there will be no lock either
            note_locks()


def note_locks() -> None:
    """Note which locks, as they are now, belong to this process; those to come with nothing."""
    there = _files()
    _NOTE.parent.mkdir(parents=True, exist_ok=True)
    files = {name: there.get(name) for name in sorted(_taken)}
    _NOTE.write_text(json.dumps({"process": this_process(), "files": files}))


def remove_stale_locks() -> None:
    """Remove the locks whose process is known, and known to be dead; those of others stay."""
    try:
        note, noted = json.loads(_NOTE.read_text()), _NOTE.stat().st_mtime_ns
        process, files = str(note["process"]), dict(note["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    there = _files()
    stale = [
        name
        for name in files.keys() & there.keys()
        if files[name] == there[name]
        or (files[name] is None and abs(there[name][1] - noted) < _SOON)
    ]
    if stale and is_dead(process):
        for name in stale:
            (_LOCKS / name).unlink(missing_ok=True)
        logger.warning(
            "The last Snakemake run in this directory was killed; its lock has been removed."
        )


def _files() -> dict[str, list[int]]:
    """What tells one lock from another that is taken later."""
    if not _LOCKS.is_dir():
        return {}
    status = {path.name: path.stat() for path in _LOCKS.iterdir()}
    return {name: [found.st_ino, found.st_mtime_ns] for name, found in status.items()}
