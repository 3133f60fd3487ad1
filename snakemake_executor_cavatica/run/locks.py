"""Snakemake's lock on the working directory, when the run that took it was killed.

Snakemake cannot know whether a lock is still in use, and asks the user. Of its own runs, this
plugin can: it notes which process took which lock. So the same command simply works again.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

from .journal import is_dead, this_process

logger = logging.getLogger(__name__)

_LOCKS = Path(".snakemake/locks")
_NOTE = Path(".snakemake/cavatica/lock.json")


def note_lock() -> None:
    """Note that the lock, as it is now, belongs to this process."""
    _NOTE.parent.mkdir(parents=True, exist_ok=True)
    _NOTE.write_text(json.dumps({"process": this_process(), "files": _files()}))


def remove_stale_lock() -> None:
    """Remove the lock if the process that is known to have taken it is known to be dead."""
    try:
        note = json.loads(_NOTE.read_text())
        process, files = str(note["process"]), dict(note["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    locks = _files()
    if locks and is_dead(process) and all(files.get(name) == locks[name] for name in locks):
        for name in locks:
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
