"""What this working directory remembers: which local file is which file on the platform.

So nothing is uploaded twice. Kept in SQLite below `.snakemake`, so that the next run knows as well.
A file counts as unchanged while its size and modification time are; after a change its content
decides (`touch` or a fresh checkout cost a checksum, not an upload).
"""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..api import ConfigurationError, FileRef
from .folders import levels

logger = logging.getLogger(__name__)

LOCAL_RECORD = Path(".snakemake/cavatica/files.sqlite")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    project TEXT NOT NULL,   -- endpoint and project; for a file in a parcel, more
    path TEXT NOT NULL,      -- as the workflow names it
    stamp TEXT NOT NULL,     -- size and modification time
    checksum TEXT NOT NULL,  -- sha256 of the content; empty if unknown
    file_id TEXT NOT NULL,
    folder INTEGER NOT NULL,
    PRIMARY KEY (project, path)
);
CREATE INDEX IF NOT EXISTS by_checksum ON files (project, checksum);
CREATE TABLE IF NOT EXISTS reported (
    project TEXT NOT NULL,   -- endpoint and project
    task TEXT PRIMARY KEY    -- whose job Snakemake has finished; only while its run is on record
);
CREATE TABLE IF NOT EXISTS placed (
    project TEXT NOT NULL,   -- endpoint and project
    task TEXT PRIMARY KEY    -- whose results were all here, and began to appear at their places
);
CREATE TABLE IF NOT EXISTS directory (
    id TEXT NOT NULL,        -- of this working directory, wherever it is moved
    inode TEXT NOT NULL      -- by which a copy of it is known to be another one
);
"""
_IN_PARCELS = " in parcels"
"""Behind the project of a file whose `file_id` is that of a parcel: older versions of the plugin
know of no parcels, and must not take one for the file."""


@dataclass(frozen=True)
class Known:
    """What the local record says of a local file or folder."""

    ref: FileRef
    checksum: str
    in_parcel: bool = False
    """Whether `ref` is a parcel, which holds other files besides."""

    @property
    def content(self) -> str:
        """Stands for what is in it, wherever it lies, if that is known; else for the file."""
        return self.checksum or self.ref.path


def _is_in_use(error: sqlite3.Error) -> bool:
    """Whether another process keeps a record from being used: to remove it would harm that one."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY


@contextmanager
def _usable(database: Path) -> Iterator[None]:
    """While the file is used.

    Raises:
        ConfigurationError: it is broken, something else than a record, or in use.
    """
    try:
        yield
    except sqlite3.ProgrammingError:  # the file has no part in that
        raise
    except sqlite3.Error as error:
        what_to_do = "Remove it; the inputs are then uploaded once more."
        if _is_in_use(error):
            what_to_do = "Another process works with it; start again once that has ended."
        raise ConfigurationError(
            f"The plugin's record of uploaded files, {database}, cannot be used ({error}). "
            f"{what_to_do}"
        ) from error


class LocalRecord:
    """The local record of one project. Safe to use from several threads."""

    def __init__(self, project: str, database: Path = LOCAL_RECORD) -> None:
        """`project` has to name endpoint and project, since ids mean nothing elsewhere.

        Raises:
            ConfigurationError: the file cannot be used, now or by any method later.
        """
        self._project = project
        self._lock = threading.Lock()
        self._is_told = False
        self._path = database
        database.parent.mkdir(parents=True, exist_ok=True)
        with _usable(database):
            self._database = sqlite3.connect(database, check_same_thread=False)
            # For every job: nothing may wait for the disk, and a crash must not lose the rest.
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_SCHEMA)
        self._all = (project, project + _IN_PARCELS)
        rows = self._rows("SELECT file_id FROM files WHERE project IN (?, ?)", *self._all)
        self._to_recheck: set[str] = {row[0] for row in rows}
        self._gone: set[str] = set()

    def _rows(self, query: str, *values: object) -> list[tuple[str, ...]]:
        with self._lock, _usable(self._path):
            return self._database.execute(query, values).fetchall()

    def _note(self, statement: str, rows: Iterable[tuple[object, ...]]) -> None:
        """Write what can do without: no run ends because this disk is full.

        What was uploaded is then uploaded once more; what was reported, the platform knows as well.
        """
        with self._lock, _usable(self._path):
            try:
                with self._database:
                    self._database.executemany(statement, rows)
            except sqlite3.OperationalError as error:
                if not self._is_told:
                    self._is_told = True
                    why = (
                        "another process works with it."
                        if _is_in_use(error)
                        else "is the disk full?"
                    )
                    logger.warning(
                        f"{LOCAL_RECORD} cannot be written ({error}); {why} The run goes on. What "
                        "it cannot note may be uploaded once more later."
                    )

    def find(self, path: str, *, alone: bool = False) -> Known | None:
        """The platform's copy of the file or folder at `path`, as it is now.

        With `alone`, what lies in a parcel does not count.
        """
        places = self._all[:1] if alone else self._all
        found = (self._find(project, path) for project in places)
        return next((known for known in found if known is not None), None)

    def _find(self, project: str, path: str) -> Known | None:
        row = self._rows(
            "SELECT stamp, checksum, file_id, folder FROM files WHERE project = ? AND path = ?",
            project,
            path,
        )
        if not row:
            return None
        stamp, checksum, file_id, folder = row[0]
        ref = FileRef(file_id, "Directory" if folder else "File")
        known = Known(ref, checksum, in_parcel=project != self._project)
        # Taken before the content is read: a change in between is then seen the next time.
        now = stamp_of(path)
        if now and now == stamp:
            return known
        # Files that were downloaded have no checksum on record: it would cost reading them again.
        if not checksum or not Path(path).is_file() or checksum_of(path) != checksum:
            return None
        self._write(path, now, known)
        return known

    def find_content(self, checksum: str, *, alone: bool = False) -> Known | None:
        """Any file of the platform with that content; with `alone`, none that is in a parcel."""
        if not checksum:
            return None
        for project in self._all[:1] if alone else self._all:
            rows = self._rows(
                "SELECT file_id FROM files "
                "WHERE project = ? AND checksum = ? AND NOT folder LIMIT 1",
                project,
                checksum,
            )
            if rows:
                return Known(FileRef(rows[0][0]), checksum, in_parcel=project != self._project)
        return None

    def record(self, path: str, known: Known, stamp: str | None = None) -> None:
        """The content at `path` is what is known.

        Its checksum is a SHA-256, hexadecimal; empty if unknown. `stamp` is its `stamp_of` from
        before it was read, where it was read: what was written since is then noticed later.
        """
        self._write(path, stamp or stamp_of(path), known)

    def _write(self, path: str, stamp: str, known: Known) -> None:
        ref = known.ref
        row = (self._all[known.in_parcel], path, stamp, known.checksum, ref.path, ref.is_folder)
        self._note("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", [row])

    def to_recheck(self) -> set[str]:
        """Ids from earlier runs that nobody has yet found to exist still."""
        with self._lock:
            return set(self._to_recheck)

    def has_to_recheck(self, ref: FileRef) -> bool:
        """Whether this is one of them."""
        with self._lock:
            return ref.path in self._to_recheck

    def settle(self, existing: set[str], gone: set[str]) -> None:
        """Take note of which ids exist; what is gone is forgotten."""
        self._note(
            "DELETE FROM files WHERE project IN (?, ?) AND file_id = ?",
            [(*self._all, file_id) for file_id in gone],
        )
        with self._lock:
            self._to_recheck -= existing | gone
            self._gone |= gone

    def recheck(self, ids: set[str]) -> None:
        """The platform did not take these ids: ask for them again before they are used."""
        with self._lock:
            self._to_recheck |= ids

    def is_gone(self, file_id: str) -> bool:
        """Whether the platform was asked for it, and does not have it."""
        with self._lock:
            return file_id in self._gone

    def report(self, task_id: str) -> None:
        """Note that a task's job was reported as finished."""
        self._note("INSERT OR IGNORE INTO reported VALUES (?, ?)", [(self._project, task_id)])

    def place(self, task_id: str) -> None:
        """Note that a task's results are all here, and appear at their places from now on."""
        self._note("INSERT OR IGNORE INTO placed VALUES (?, ?)", [(self._project, task_id)])

    def placed(self) -> set[str]:
        """The tasks of which that was noted."""
        query = "SELECT task FROM placed WHERE project = ?"
        return {row[0] for row in self._rows(query, self._project)}

    def forget_reports(self) -> None:
        """No earlier run is on record any more, so nobody will ask."""
        self._note("DELETE FROM reported WHERE project = ?", [(self._project,)])
        self._note("DELETE FROM placed WHERE project = ?", [(self._project,)])

    def directory_id(self) -> str:
        """What identifies this working directory."""
        here = Path.cwd().stat()
        inode = f"{here.st_dev}:{here.st_ino}"
        with self._lock, _usable(self._path), self._database as database:
            row = database.execute("SELECT id FROM directory WHERE inode = ?", (inode,)).fetchone()
            if row is not None:
                return str(row[0])
            new = uuid.uuid4().hex
            database.execute("INSERT INTO directory VALUES (?, ?)", (new, inode))
            return new

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()


def reported_tasks(database: Path = LOCAL_RECORD) -> set[str]:
    """The tasks that this working directory remembers as reported; none without a record.

    Raises:
        ConfigurationError: the record cannot be used.
    """
    if not database.exists():
        return set()
    with _usable(database), closing(sqlite3.connect(database)) as connection:
        connection.executescript(_SCHEMA)
        return {row[0] for row in connection.execute("SELECT task FROM reported")}


def stamp_of(path: str) -> str:
    """What changes when the file or folder does; empty if there is nothing at `path`.

    For a folder: names, sizes, times and execute permissions of all that is in it, hashed.
    """
    try:
        if Path(path).is_dir():
            return _stamp_of_folder(path)
        status = Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _stamp_of_folder(path: str) -> str:
    digest = hashlib.sha256()
    for level in levels(path):
        for name in (*level.files, *level.circles):
            file = level.folder / name
            # A link that leads nowhere belongs to the folder, too.
            status = file.stat() if file.exists() else file.lstat()
            stamp = f"{status.st_size}\0{status.st_mtime_ns}\0{status.st_mode & 0o111}\0"
            digest.update(os.fsencode(f"{file.relative_to(path)}\0{stamp}"))
        digest.update(os.fsencode(f"{level.folder}\0"))
    return digest.hexdigest()


def size_of(path: str) -> int:
    """Bytes of a file, or of all in a folder; 0 if there is nothing."""
    inside = (level.folder / name for level in levels(path) for name in level.files)
    files = inside if Path(path).is_dir() else [Path(path)]
    return sum(file.stat().st_size for file in files if file.exists())


def checksum_of(path: str) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
