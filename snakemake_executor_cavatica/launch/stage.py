"""From the places of a job's inputs to files that its task can use.

What lies on the platform in the task's own project is used as it is. What lies in another project
is copied there once, by reference. What lies on this machine is uploaded once.
"""

from __future__ import annotations

import logging
import os
import posixpath
import tarfile
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from ..api import CavaticaError, Conflict, File, FileRef, NotFound, Stop
from ..api.background import run_async
from ..api.calls import within
from ..api.upload import open_uploads, upload
from ..project.connection import Connection
from ..project.index import Entry, ProjectIndex
from ..project.local_record import LocalRecord, checksum_of, stamp_of
from ..project.paths import MAX_NAME, LocalPath, Place, ProjectPath
from ..read.source_archive import write_archive
from ..read.sources import Sources

logger = logging.getLogger(__name__)

_WAITS = (2.0, 3.0, 5.0, 10.0, 15.0, 30.0, 60.0)
"""Seconds between two looks at a file that another program is uploading."""
_STALLED = 30.0
"""Seconds in which an upload that is alive gets on by a part, as a rule."""
_LOCAL_STALLED = 4.0


class MissingInput(CavaticaError):
    """An input is neither here nor on the platform."""


class InputStager:
    """Makes inputs available in one project. Safe to use from several threads."""

    def __init__(
        self,
        connection: Connection,
        home: ProjectPath,
        local_record: LocalRecord,
        workflow_sources: Sources,
        sources_digest: str,
    ) -> None:
        """Args:
        home: the plugin's own folder in the project of the tasks.
        sources_digest: what of the sources belongs to the keys of jobs.
        """
        self._connection = connection
        self._home = home
        self._workflow_sources = workflow_sources
        self.sources_digest = sources_digest
        self._local_record = local_record
        self._index: ProjectIndex = connection.index(home.project)
        self._lock = threading.Lock()
        self._under_way: dict[Place, Future[FileRef]] = {}
        self._folder_copies: dict[Place, FileRef] = {}
        self._settling = threading.Lock()
        self._sources: FileRef | None = None
        self._sources_lock = threading.Lock()
        self._uploads: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def prepare(self, places: Iterable[Place]) -> dict[Place, FileRef]:
        """The platform file or folder of each place; uploads and copies what is not there yet.

        Raises:
            MissingInput: a place is empty.
            CavaticaError: an upload or copy failed.
        """
        found: dict[Place, FileRef] = {}
        elsewhere: list[Place] = []
        for place in set(places):
            if isinstance(place, ProjectPath) and place.project == self._home.project:
                found[place] = _ref(self._existing(self._index, place))
            else:
                elsewhere.append(place)

        def prepare_one(place: Place, _: Stop) -> None:
            # Not stopped if another one fails: other jobs may wait for the same file.
            found[place] = self._once(place, partial(self._make, place))

        client = self._connection.client
        client.files.each(prepare_one, elsewhere, client.stop)
        return found

    def recheck(self, files: Mapping[Place, FileRef]) -> None:
        """The platform refused a task with these files; maybe somebody deleted one of them."""
        self._local_record.recheck({ref.path for ref in files.values()})

    def arrived(self, path: str, ref: FileRef) -> None:
        """The local file or folder at `path` was just downloaded from `ref`: no need to upload."""
        self._local_record.record(path, ref, "")

    def known_folder(self, path: str) -> bool:
        """Whether a local folder is known to be on the platform, as a folder."""
        known = self._local_record.find(path)
        return known is not None and known.ref.is_folder and self._exists(known.ref)

    def provide_sources(self) -> FileRef:
        """The workflow's sources on the platform; the same for all jobs of the run."""
        with self._sources_lock:
            if self._sources is None:
                with tempfile.TemporaryDirectory() as scratch:
                    archive = Path(scratch, "sources.tar")
                    write_archive(self._workflow_sources, archive, secret=self._connection.token)
                    name = _content_name("sources.tar", checksum_of(str(archive)))
                    self._sources = self.upload_content(archive, name)
            return self._sources

    def upload_content(self, content: Path, name: str) -> FileRef:
        """Upload a file under a name that stands for its content, unless it is there already."""
        folder = self._home / "inputs"
        path = posixpath.join(folder.path, name)
        with self._lock:
            uploading = self._uploads[name]
        with uploading:  # files of equal content may be asked for under several paths at once
            entry = self._index.find(path)
            if entry is None:
                entry = self._index.add(path, self._upload_as(content, folder, name))
        return FileRef(entry.id)

    def _upload_as(self, content: Path, folder: ProjectPath, name: str) -> File:
        client = self._connection.client
        parent = self._index.ensure_folder(folder.path)
        rivals: dict[tuple[str, int | None], float] = {}
        for wait in (0.0, *_WAITS):
            client.stop.wait(wait)
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

    def _once(self, place: Place, make: Callable[[], FileRef]) -> FileRef:
        """Many jobs ask for the same file at the same time; one of them does the work.

        Nothing is remembered here once it is done: the local record and the index know, and they
        notice when a local rule has changed the file meanwhile.
        """
        with self._lock:
            future = self._under_way.get(place)
            ours = future is None
            if future is None:
                future = self._under_way[place] = Future()
        if ours:
            try:
                future.set_result(make())
            except BaseException as error:  # noqa: BLE001 - raised again below, for all who wait
                future.set_exception(error)
            finally:
                with self._lock:
                    del self._under_way[place]
        return future.result()

    def _make(self, place: Place) -> FileRef:
        if isinstance(place, LocalPath):
            return self._upload(place.path)
        return self._copy(place)

    @staticmethod
    def _existing(index: ProjectIndex, place: ProjectPath) -> Entry:
        entry = index.find(place.path)
        if entry is None:
            raise MissingInput(
                f"{place} does not exist on the platform. Check the path, and that the file was "
                "not deleted or renamed."
            )
        return entry

    # ------------------------------------------------------------------- from other projects

    def _copy(self, place: ProjectPath) -> FileRef:
        entry = self._existing(self._connection.index(place.project), place)
        # The name tells that the very same file was copied before.
        name = f"{entry.id}-{posixpath.basename(place.path)}"[:MAX_NAME]
        folder = self._home / "references"
        known = self._index.find(posixpath.join(folder.path, name))
        if known is not None:
            return _ref(known)
        parent = self._index.ensure_folder(folder.path)
        if entry.folder:
            return self._copy_folder(place, entry, parent)
        copied = self._connection.client.copy_file(entry.id, parent=parent, name=name)
        self._index.add(posixpath.join(folder.path, name), copied)
        return FileRef(copied.id)

    def _copy_folder(self, place: ProjectPath, entry: Entry, parent: str | None) -> FileRef:
        """Once per run: unlike a file's, the content of a folder may change between runs."""
        with self._lock:
            known = self._folder_copies.get(place)
        if known is not None:
            return known
        client = self._connection.client
        name = f"{entry.id}-{uuid.uuid4().hex[:8]}"
        item = {"file": entry.id, "parent": str(parent), "name": name}
        job = run_async(client, "copy", [item])
        for copied in job.result:
            if copied.resource is not None:
                ref = FileRef(str(copied.resource["id"]), "Directory")
                with self._lock:
                    self._folder_copies[place] = ref
                return ref
        raise CavaticaError(f"The folder {place} could not be copied: {job.result}")

    # ------------------------------------------------------------------- from this machine

    def _upload(self, path: str) -> FileRef:
        if not Path(path).exists():
            raise MissingInput(
                f"The input {path} does not exist on this machine. If a rule makes it, declare it "
                "as that rule's output."
            )
        known = self._local_record.find(path)
        if known is not None and self._exists(known.ref):
            return known.ref
        stamp = stamp_of(path)
        is_folder = Path(path).is_dir()
        checksum = "" if is_folder else checksum_of(path)
        ref = self._upload_folder(path) if is_folder else self._upload_file(path, checksum)
        self._local_record.record(path, ref, checksum, stamp)
        return ref

    def _upload_file(self, path: str, checksum: str) -> FileRef:
        known = self._local_record.find_content(checksum)
        if known is not None and self._exists(known):
            return known
        return self.upload_content(Path(path), _content_name(path, checksum))

    def _upload_folder(self, path: str) -> FileRef:
        """As one tar file: the platform's folders cannot hold every name, nor be empty."""
        with tempfile.TemporaryDirectory() as scratch:
            archive = Path(scratch, "folder.tar")
            with tarfile.open(archive, "w", dereference=True) as tar:
                _add_content(tar, path)
            checksum = checksum_of(str(archive))
            return self.upload_content(archive, _content_name(f"{path}.tar", checksum))

    def _exists(self, ref: FileRef) -> bool:
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


def _add_content(tar: tarfile.TarFile, path: str) -> None:
    """All that is in a folder; links become what they point at, and those to nowhere are left out.

    Each folder once, so that links that go in circles do no harm.
    """
    seen: set[str] = set()
    for folder, folders, names in os.walk(path, followlinks=True):
        seen.add(os.path.realpath(folder))
        folders[:] = [one for one in folders if os.path.realpath(Path(folder, one)) not in seen]
        for name in sorted([*folders, *names]):
            member = Path(folder, name)
            if member.exists():
                tar.add(member, arcname=str(member.relative_to(path)), recursive=False)
            else:
                logger.warning("%s is a link to nothing; it is left out.", member)


def _content_name(path: str, checksum: str) -> str:
    """A name that no other content has, with the extension kept for people and tools."""
    name = posixpath.basename(path)
    # In bytes: the instance's file system has to hold the name as well.
    return f"{checksum[:16]}-{name}" if len(os.fsencode(name)) < MAX_NAME - 17 else checksum


def _ref(entry: Entry) -> FileRef:
    return FileRef(entry.id, "Directory" if entry.folder else "File")
