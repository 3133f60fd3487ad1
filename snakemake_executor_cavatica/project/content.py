"""What stands for the content of a file of the platform, which tells no checksum of its own.

An id alone does not: a platform may keep it when a file is overwritten.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ..api import File
from ..api.checksums import CHECKSUM_KEY
from .tree import Entry

_UNLABELLED_KEY = "snakemake_unlabelled"
"""Metadata: when a file was changed last before a batch has labelled it, and when that was."""
_NOTED_WITHIN = timedelta(minutes=10)
"""After the making of a file `put` notes its checksum."""
_AT_ONCE = timedelta(seconds=10)
"""In which the platform itself is done with the output of a task."""
_BY_AND_BY = timedelta(hours=1)
"""In which a run is done with it: it moves, describes and labels some."""


def entry_of(path: str, file: File, mtime: float) -> Entry:
    """A file or folder, as it is at a path."""
    changed = _changed(file)
    return Entry(
        path=path,
        id=file.id,
        folder=file.is_folder,
        size=file.size or 0,
        mtime=mtime,
        changed=changed.timestamp() if changed else 0.0,
        checksum=_checksum(file),
    )


def _checksum(file: File) -> str:
    """The one that `put` has noted; not where the file was changed in any way since.

    It might have been overwritten by somebody who does not note checksums.
    """
    known = str(file.metadata.get(CHECKSUM_KEY) or "")
    return known if known and _is_as_made(file, _NOTED_WITHIN) else ""


def _changed(file: File) -> datetime | None:
    """When a file may have got another content; None if that is not told."""
    is_output = file.origin_task is not None
    is_as_made = is_output and _is_as_made(file, settling(file))
    return file.created_on if is_as_made else modified(file)


def modified(file: File) -> datetime | None:
    """When a file was changed last, apart from the labels that batches have put on it."""
    before, _, labelled = str(file.metadata.get(_UNLABELLED_KEY) or "").partition(" ")
    try:
        is_label = file.modified_on and file.modified_on - _moment(labelled) <= _AT_ONCE
        return _moment(before) if is_label else file.modified_on
    except ValueError:
        return file.modified_on


def label_note(before: datetime | None, now: datetime) -> dict[str, str]:
    """Metadata of a file that is labelled now, and was changed before, to tell that later."""
    return {_UNLABELLED_KEY: f"{before.isoformat()} {now.isoformat()}"} if before else {}


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def settling(file: File, *, is_moved: bool = False) -> timedelta:
    """How long after its making the output of a task may be changed by those who made it.

    Their changes are to its place and metadata; whoever writes another file in its place, where the
    platform keeps the id then, does so later, or has no such reason.
    """
    return _BY_AND_BY if is_moved or file.metadata else _AT_ONCE


def _is_as_made(file: File, within: timedelta) -> bool:
    """Whether nothing of a file was changed later than this after its making."""
    made, changed = file.created_on, modified(file)
    return made is not None and changed is not None and changed - made <= within


def content_of(entry: Entry) -> str:
    """What is another text whenever the content is another one; empty if that is not known.

    Files of equal content have the same only where their checksum is on record.
    """
    if entry.folder or not entry.changed:
        return ""
    if entry.checksum:
        return f"md5 {entry.checksum}, {entry.size} bytes"
    return f"file {entry.id} of {entry.changed}, {entry.size} bytes"
