"""Files and folders of this machine, each uploaded once.

They go to the plugin's own folder, under names that begin with a checksum of their content: what
another run, directory or machine has uploaded is found by that, whatever it was called there.
"""

from __future__ import annotations

import logging
import os
import posixpath
import tarfile
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from ..api import CavaticaError, Conflict, File, FileRef, NotFound
from ..api.calls import within
from ..api.upload import open_uploads, upload
from ..project.connection import Connection
from ..project.folders import levels
from ..project.local_record import Known, LocalRecord, checksum_of, stamp_of
from ..project.paths import MAX_NAME, ProjectPath
from ..project.tree import Entry

logger = logging.getLogger(__name__)

_WAITS = (2.0, 3.0, 5.0, 10.0, 15.0, 30.0, 60.0)
"""Seconds between two looks at a file that another program is uploading."""
_STALLED = 30.0
"""Seconds in which an upload that is alive gets on by a part, as a rule."""
_LOCAL_STALLED = 4.0
_OF_CHECKSUM = 16
"""Digits of the checksum that a name begins with."""


class Uploads:
    """What of this machine is on the platform. Safe to use from several threads."""

    def __init__(
        self, connection: Connection, home: ProjectPath, local_record: LocalRecord
    ) -> None:
        """`home` is the plugin's own folder in the project of the tasks."""
        self._connection = connection
        self._home = home
        self._local_record = local_record
        self._index = connection.index(home.project)
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._uploading: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        """By the start of the checksum."""
        self._there: dict[tuple[str, int], str] | None = None
        """Paths of uploaded contents, by the start of their checksums and their sizes."""

    def of(self, path: str, *, alone: bool = True) -> Known:
        """What a local file or folder is on the platform; uploaded if it is not there yet.

        Args:
            alone: whether it has to be a file of its own there, and not one in a parcel.

        Raises:
            CavaticaError: it does not exist, or cannot be uploaded.
        """
        if not Path(path).exists():
            raise CavaticaError(
                f"The input {path} does not exist on this machine. If a rule makes it, declare it "
                "as that rule's output."
            )
        known = self._local_record.find(path, alone=alone)
        if known is not None and self.exists(known.ref):
            return known
        stamp = stamp_of(path)
        if Path(path).is_dir():
            known = Known(self._upload_folder(path), "")
        else:
            checksum = checksum_of(path)
            known = self.of_content(checksum, alone=alone)
            if known is None:
                ref = self.upload_content(Path(path), content_name(path, checksum), stamp)
                known = Known(ref, checksum)
        self._local_record.record(path, known, stamp)
        return known

    def of_content(self, checksum: str, *, alone: bool = True) -> Known | None:
        """Where a content lies, whatever it is called, if this directory knows that."""
        known = self._local_record.find_content(checksum, alone=alone)
        return known if known is not None and self.exists(known.ref) else None

    def _upload_folder(self, path: str) -> FileRef:
        """As one tar file: the platform's folders cannot hold every name, nor be empty."""
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch, "folder.tar")
            with tarfile.open(archive, "w", dereference=True) as tar:
                _add_content(tar, path)
            checksum = checksum_of(str(archive))
            return self.upload_content(archive, content_name(f"{path}.tar", checksum))

    def exists(self, ref: FileRef) -> bool:
        """Whether a file known from an earlier run is still there; all of them asked in bulk."""
        with self._settling:
            to_recheck = self._local_record.to_recheck()
            if ref.path in to_recheck:
                answers = self._connection.client.get_files(to_recheck)
                gone = {file for file, answer in answers.items() if isinstance(answer, NotFound)}
                there = {file for file, answer in answers.items() if isinstance(answer, File)}
                self._local_record.settle(there, gone)
                self._index.forget(gone)
        return not self._local_record.is_gone(ref.path)

    def upload_content(self, content: Path, name: str, stamp: str = "") -> FileRef:
        """Upload a file under a name that stands for its content, unless that is there already.

        Args:
            stamp: of the file when its name was found, if it may change.

        Raises:
            CavaticaError: it has changed since, or cannot be uploaded.
        """
        folder = self._home / "inputs"
        start = name[:_OF_CHECKSUM]
        key = (start, content.stat().st_size)
        with self._lock:
            uploading = self._uploading[start]
        with uploading:  # files of equal content may be asked for under several paths at once
            entry = self._same_content(folder, key)
            if entry is None:
                path = posixpath.join(folder.path, name)
                entry = self._index.add(path, self._upload_as(content, folder, name, stamp))
                with self._lock:
                    self._contents(folder)[key] = entry.path
        return FileRef(entry.id)

    def _same_content(self, folder: ProjectPath, key: tuple[str, int]) -> Entry | None:
        """A file that is there, by the start of its checksum, which is its name's, and its size.

        Only who may write to the project could have given it a false name.
        """
        with self._lock:
            path = self._contents(folder).get(key)
        return None if path is None else self._index.find(path)

    def _contents(self, folder: ProjectPath) -> dict[tuple[str, int], str]:
        """The folder was listed once for all; what is deleted meanwhile, the index knows."""
        if self._there is None:
            found = [one for one in self._index.children(folder.path) if not one.folder]
            self._there = {
                (posixpath.basename(one.path)[:_OF_CHECKSUM], one.size): one.path for one in found
            }
        return self._there

    def _upload_as(self, content: Path, folder: ProjectPath, name: str, stamp: str) -> File:
        client = self._connection.client
        parent = self._index.ensure_folder(folder.path)
        rivals: dict[tuple[str, int | None], float] = {}
        for wait in (0.0, *_WAITS):
            client.stop.wait(wait)
            # Its name tells its content.
            if stamp and stamp_of(str(content)) != stamp:
                raise CavaticaError(f"{content} was changed while it was read; start again.")
            try:
                return upload(client, content, parent=parent, name=name).file
            except Conflict:
                # Another run has uploaded the same content, or is doing so at this moment.
                for file in client.list_files(names=[name], **within(parent, folder.project)):
                    return file
                rivals = self._abort_stalled(name, rivals)
        raise CavaticaError(
            f"{name} is being uploaded to {folder} by another program, which does not get it done. "
            "Try again later."
        )

    def _abort_stalled(
        self, name: str, known: Mapping[tuple[str, int | None], float]
    ) -> dict[tuple[str, int | None], float]:
        """Abort uploads of that name that do not get on: a run that was killed leaves them open.

        Another run's upload that is hit all the same begins anew.

        Args:
            known: uploads and how far they had come, with the moment when that was first seen.
        """
        now = time.monotonic()
        patience = _LOCAL_STALLED if self._connection.is_local else _STALLED
        found: dict[tuple[str, int | None], float] = {}
        for rival in open_uploads(self._connection.client, name):
            progress = (rival.upload_id, rival.uploaded_parts_count)
            if now - known.get(progress, now) >= patience:
                self._connection.client.abort_upload(rival.upload_id)
            else:
                found[progress] = known.get(progress, now)
        return found


def _add_content(tar: tarfile.TarFile, path: str) -> None:
    """All that is in a folder; links become what they point at."""
    for level in levels(path):
        for name in sorted([*level.folders, *level.files]):
            member = level.folder / name
            if member.exists():
                inside = str(member.relative_to(path))
                tar.add(member, arcname=inside, recursive=False, filter=_of_nobody)
            else:
                logger.warning("%s is a link to nothing; it is left out.", member)
        for name in level.circles:
            circle = level.folder / name
            logger.warning("%s is a link to a folder that it lies in; it is left out.", circle)


def _of_nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The task's own, if that is root: it may not know the users of this machine."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def content_name(path: str, checksum: str) -> str:
    """A name that no other content has, with the extension kept for people and tools."""
    name = posixpath.basename(path)
    # In bytes: the instance's file system has to hold the name as well.
    return (
        f"{checksum[:_OF_CHECKSUM]}-{name}" if len(os.fsencode(name)) < MAX_NAME - 17 else checksum
    )
