"""Files and folders of other projects, each copied once, by reference, to that of the tasks."""

from __future__ import annotations

import posixpath
import threading
import uuid

from ..api import CavaticaError, FileRef
from ..api.background import run_async
from ..project.connection import Connection
from ..project.index import Entry, ProjectIndex
from ..project.paths import MAX_NAME, Place, ProjectPath


class References:
    """What tasks can use of other projects. Safe to use from several threads."""

    def __init__(self, connection: Connection, home: ProjectPath) -> None:
        """`home` is the plugin's own folder in the project of the tasks."""
        self._connection = connection
        self._home = home
        self._index = connection.index(home.project)
        self._lock = threading.Lock()
        self._folder_copies: dict[Place, FileRef] = {}

    def of(self, place: ProjectPath) -> FileRef:
        """What a place of another project is in the tasks' own; copied if it is not there yet.

        Raises:
            CavaticaError: the place is empty, or the platform does not copy it.
        """
        entry = existing(self._connection.index(place.project), place)
        # The name tells that the very same content was copied before.
        name = f"{entry.id}-{entry.changed:.0f}-{posixpath.basename(place.path)}"
        name = name.encode()[:MAX_NAME].decode(errors="ignore")
        folder = self._home / "references"
        known = self._index.find(posixpath.join(folder.path, name))
        if known is not None:
            return ref_of(known)
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


def existing(index: ProjectIndex, place: ProjectPath) -> Entry:
    """What stands at a place of a project.

    Raises:
        CavaticaError: nothing does.
    """
    entry = index.find(place.path)
    if entry is None:
        raise CavaticaError(
            f"{place} does not exist on the platform. Check the path, and that the file was "
            "not deleted or renamed."
        )
    return entry


def ref_of(entry: Entry) -> FileRef:
    """An entry of the index, as a task names it."""
    return FileRef(entry.id, "Directory" if entry.folder else "File")
