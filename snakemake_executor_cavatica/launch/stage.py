"""From the places of a job's inputs to files that its task can use.

What lies on the platform in the task's own project is used as it is. What lies in another project
is copied there once, by reference. What lies on this machine is uploaded once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterable, Mapping
from concurrent.futures import Future
from functools import partial

from ..api import FileRef, Stop
from ..project.connection import Connection
from ..project.local_record import Known, LocalRecord, checksum_of
from ..project.paths import LocalPath, Place, ProjectPath
from ..read.source_archive import SourceArchive
from .parcels import Parcels
from .references import References, existing, ref_of
from .uploads import Uploads, content_name


class InputStager:
    """Makes inputs available in one project. Safe to use from several threads."""

    def __init__(
        self,
        connection: Connection,
        home: ProjectPath,
        local_record: LocalRecord,
        archive: SourceArchive,
        sources_digest: str,
    ) -> None:
        """`home` is the plugin's own folder in the project of the tasks, and `sources_digest` what
        of the sources belongs to the keys of jobs.
        """
        self._connection = connection
        self._home = home
        self._archive = archive
        self.sources_digest = sources_digest
        self._local_record = local_record
        self._index = connection.index(home.project)
        self._lock = threading.Lock()
        self._under_way: dict[tuple[Place, bool], Future[Known]] = {}
        self._uploads = Uploads(connection, home, local_record)
        self._parcels = Parcels(connection.client, self._uploads, local_record)
        self._references = References(connection, home)
        self._sources: FileRef | None = None
        self._sources_lock = threading.Lock()

    def send_together(self, paths: Iterable[str], arrived: Callable[[], None]) -> None:
        """Upload small local files in parcels, as far as they are not on the platform yet.

        `arrived` is called after each parcel.

        Raises:
            CavaticaError: some could not be sent; `prepare` sends them one by one.
        """
        self._parcels.send(paths, arrived)

    def prepare(self, places: Iterable[Place], *, together: Container[Place]) -> dict[Place, Known]:
        """The platform file or folder of each place; uploads and copies what is not there yet.

        Args:
            together: those that may lie in a parcel; the others have to be files of their own.

        Raises:
            CavaticaError: a place is empty, or an upload or copy failed.
        """
        found: dict[Place, Known] = {}
        elsewhere: list[Place] = []
        wanted = set(places)
        self._connection.aliases.bring(wanted)
        for place in wanted:
            if isinstance(place, ProjectPath) and place.project == self._home.project:
                found[place] = Known(ref_of(existing(self._index, place)), "")
            else:
                elsewhere.append(place)

        def prepare_one(place: Place, _: Stop) -> None:
            # Not stopped if another one fails: other jobs may wait for the same file.
            alone = place not in together
            found[place] = self._once((place, alone), partial(self._make, place, alone=alone))

        client = self._connection.client
        client.files.each(prepare_one, elsewhere, client.stop)
        return found

    def recheck(self, files: Mapping[Place, FileRef]) -> None:
        """The platform refused a task with these files; maybe somebody deleted one of them."""
        self._local_record.recheck({ref.path for ref in files.values()})

    def arrived(self, path: str, ref: FileRef) -> None:
        """The local file or folder at `path` was just downloaded from `ref`: no need to upload."""
        self._local_record.record(path, Known(ref, ""))

    def on_platform(self, place: Place) -> FileRef | None:
        """What a place that was prepared is on the platform, without asking; None if unknown, or
        if it lies in a parcel.
        """
        if isinstance(place, LocalPath):
            known = self._local_record.find(place.path, alone=True)
            return None if known is None else known.ref
        entry = self._connection.index(place.project).find(place.path)
        return None if entry is None else ref_of(entry)

    def is_known(self, path: str) -> bool:
        """Whether the file at `path` is known to be on the platform, by this run."""
        known = self._local_record.find(path)
        return known is not None and not self._local_record.has_to_recheck(known.ref)

    def known_folder(self, path: str) -> bool:
        """Whether a local folder is known to be on the platform, as a folder."""
        known = self._local_record.find(path)
        return known is not None and known.ref.is_folder and self._uploads.exists(known.ref)

    def provide_sources(self) -> FileRef:
        """The workflow's sources on the platform; the same for all jobs of the run."""
        with self._sources_lock:
            if self._sources is None:
                archive = self._archive.complete()
                name = content_name("sources.tar", checksum_of(str(archive)))
                self._sources = self._uploads.upload_content(archive, name)
                self._archive.close()
            return self._sources

    def _once(self, wanted: tuple[Place, bool], make: Callable[[], Known]) -> Known:
        """Many jobs ask for the same file at the same time; one of them does the work.

        Nothing is remembered here once it is done: the local record and the index know, and they
        notice when a local rule has changed the file meanwhile.
        """
        with self._lock:
            future = self._under_way.get(wanted)
            ours = future is None
            if future is None:
                future = self._under_way[wanted] = Future()
        if ours:
            try:
                future.set_result(make())
            except BaseException as error:  # noqa: BLE001 - raised again below, for all who wait
                future.set_exception(error)
            finally:
                with self._lock:
                    del self._under_way[wanted]
        return future.result()

    def _make(self, place: Place, *, alone: bool) -> Known:
        if isinstance(place, LocalPath):
            return self._uploads.of(place.path, alone=alone)
        return Known(self._references.of(place), "")
