"""Files of this machine that are to be in a project: what is missing there, and how it is sent."""

from __future__ import annotations

import hashlib
import os
import posixpath
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ..api import ApiError, CavaticaError, Client, File, Stop
from ..api.call import BULK
from ..api.upload import upload
from .connection import Connection
from .environment import home_folder
from .folder_making import make_folders
from .folders import levels, refuse_circles
from .found import Found, below, find
from .name_metadata import NO_METADATA, NameMetadata
from .paths import ProjectPath, check_path
from .same_content import Chosen, has_same_content, seconds_of_making

_WEEK = 7 * 86400.0
_SOON = 1.0
"""Seconds after which checksums are noted: files of a process that is killed before have none."""


@dataclass(frozen=True)
class Outgoing:
    """A local file and where it is to be."""

    source: Path
    place: ProjectPath
    size: int


@dataclass
class UploadPlan:
    """What is to be done so that all is there."""

    folders: set[ProjectPath] = field(default_factory=set)
    """Those that have to be there."""
    known: dict[ProjectPath, str | None] = field(default_factory=dict)
    """Those that are, by their ids; None is the root of a project."""
    missing: list[Outgoing] = field(default_factory=list)
    different: list[Outgoing] = field(default_factory=list)
    """There is a file of that name with another content."""
    there: list[Outgoing] = field(default_factory=list)
    documents: dict[ProjectPath, File] = field(default_factory=dict)
    """Of those that are there."""

    @property
    def size(self) -> int:
        """Bytes to be sent."""
        return sum(item.size for item in (*self.missing, *self.different))


def plan_uploads(
    client: Client, sources: Sequence[tuple[Path, ProjectPath]], chosen: Chosen
) -> UploadPlan:
    """See what of these files and folders is missing at their places.

    Raises:
        CavaticaError: something of it cannot be read, or cannot be stored there.
    """
    plan = UploadPlan()
    there: dict[ProjectPath, Found] = {}
    wanted: list[Outgoing] = []
    for source, place in sources:
        if source.is_dir():
            wanted += _of_folder(source, place, chosen, plan.folders)
        else:
            wanted.append(_outgoing(source, place))
        known = find(client, place)
        if known is not None:
            inside = below(client, [known], plan.folders) if known.is_folder else []
            there |= {one.place: one for one in (known, *inside)}
    for place in plan.folders:
        _refuse(place, there.get(place), folder=True)
    plan.known = {place: one.id for place, one in there.items() if one.is_folder}
    for item in wanted:
        _refuse(item.place, there.get(item.place), folder=False)
    _sort(client, plan, wanted, there)
    return plan


def _of_folder(
    source: Path, place: ProjectPath, chosen: Chosen, folders: set[ProjectPath]
) -> Iterator[Outgoing]:
    """The files in a folder; the folders that they need are added to `folders`."""
    for level in levels(str(source)):
        inside = level.folder.relative_to(source).as_posix()
        here = place if inside == "." else place / inside
        refuse_circles(level, "remove that link, or leave it out with --exclude")
        files = [name for name in level.files if chosen.wants(posixpath.join(inside, name))]
        if files or not (chosen.include or chosen.exclude):
            folders.add(here)
        for name in files:
            yield _outgoing(level.folder / name, here / name)


def _outgoing(source: Path, place: ProjectPath) -> Outgoing:
    check_path(place.path)
    if not source.exists():
        what = "a link to nothing" if source.is_symlink() else "not there"
        raise CavaticaError(f"{source} is {what}.")
    if not source.is_file():
        raise CavaticaError(f"{source} is neither a file nor a folder; --exclude leaves it out.")
    if not os.access(source, os.R_OK):
        raise CavaticaError(f"{source} may not be read by you; --exclude leaves it out.")
    return Outgoing(source, place, source.stat().st_size)


def _refuse(place: ProjectPath, known: Found | None, *, folder: bool) -> None:
    if known is not None and known.is_folder != folder:
        what, other = ("file", "folder") if folder else ("folder", "file")
        raise CavaticaError(f"{place} is a {what} on the platform, and here it is a {other}.")


def _sort(
    client: Client,
    plan: UploadPlan,
    wanted: Sequence[Outgoing],
    there: dict[ProjectPath, Found],
) -> None:
    """Files are compared several at a time, since their checksums take time."""
    compare = [item for item in wanted if item.place in there]
    plan.missing = [item for item in wanted if item.place not in there]
    same: set[ProjectPath] = set()

    def compare_one(item: Outgoing, _: Stop) -> None:
        file = there[item.place].file
        assert file is not None  # no root: it is no folder
        known = has_same_content(item.source, file)
        if known is None:
            made = seconds_of_making(file)
            known = made is not None and item.source.stat().st_mtime <= made
        if known:
            same.add(item.place)

    client.files.each(compare_one, compare, client.stop)
    plan.there = [item for item in compare if item.place in same]
    plan.documents = {
        item.place: file for item in plan.there if (file := there[item.place].file) is not None
    }
    plan.different = [item for item in compare if item.place not in same]


# ------------------------------------------------------------------------------- sending


def send(
    connection: Connection,
    plan: UploadPlan,
    sent: Callable[[Outgoing], None],
    metadata: NameMetadata = NO_METADATA,
) -> list[str]:
    """Upload what is missing or different; `sent` is told of each file that has arrived.

    What is there already gets the metadata that it lacks. What stays without checksum or metadata
    is told by the sentences that are returned.

    Raises:
        CavaticaError: it did not work; what has arrived stays, and is not sent again.
    """
    client = connection.client
    needed = {item.place.parent for item in (*plan.missing, *plan.different)}
    folders = make_folders(client, needed | plan.folders, plan.known)
    notes = _Notes(client)
    journals = _journals()

    def send_one(item: Outgoing, stop: Stop) -> None:
        parent = folders[item.place.parent]
        uploaded = upload(
            client,
            item.source,
            parent=parent,
            project=None if parent else item.place.project,
            name=item.place.name,
            overwrite=True,
            stop=stop,
            journal=journals and journals / _name_of(connection, item.place),
        )
        said = metadata.of(item.place.name)
        notes.add(uploaded.file.id, {**said, **uploaded.checksums})
        sent(item)

    try:
        client.files.each(send_one, [*plan.missing, *plan.different], client.stop)
    except BaseException:
        with suppress(CavaticaError):  # the first error is the one to tell
            notes.flush()
        raise
    for place, file in plan.documents.items():
        said = metadata.of(place.name)
        if any(file.metadata.get(key) != value for key, value in said.items()):
            notes.add(file.id, said)
    notes.flush()
    return notes.failures


class _Notes:
    """What is noted in the metadata of files that have arrived, many in one call."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._waiting: dict[str, Mapping[str, str]] = {}
        self._noted = time.monotonic()
        self.failures: list[str] = []

    def add(self, file_id: str, metadata: Mapping[str, str]) -> None:
        """Note it soon, together with others."""
        with self._lock:
            self._waiting[file_id] = metadata
            now = time.monotonic()
            if len(self._waiting) < BULK and now - self._noted < _SOON:
                return
            self._noted = now
            due, self._waiting = self._waiting, {}
        self._note(due)

    def flush(self) -> None:
        """Note what is left."""
        with self._lock:
            due, self._waiting = self._waiting, {}
        if due:
            self._note(due)

    def _note(self, due: Mapping[str, Mapping[str, str]]) -> None:
        items = [{"id": file, "metadata": metadata} for file, metadata in due.items()]
        answers = self._client.edit_files(items).values()
        self.failures += [str(answer) for answer in answers if isinstance(answer, ApiError)]


def _journals() -> Path | None:
    """Where uploads of large files leave what is done of them; None if that cannot be written."""
    home = home_folder()
    state = os.environ.get("XDG_STATE_HOME") or (home and home / ".local" / "state")
    if not state:
        return None
    folder = Path(state, "snakemake-cavatica", "uploads")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in folder.glob("*.jsonl"):
            if time.time() - old.stat().st_mtime > _WEEK:
                old.unlink(missing_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _name_of(connection: Connection, place: ProjectPath) -> str:
    what = f"{connection.platform_of(place.project)}\0{place}".encode("utf-8", "surrogatepass")
    return f"{hashlib.sha256(what).hexdigest()[:32]}.jsonl"
