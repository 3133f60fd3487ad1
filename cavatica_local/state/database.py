"""The server's state in SQLite.

One connection, used from the event loop's thread only: statements here take microseconds, so they
run where the requests are served, and no two of them can interleave. Whatever takes longer
(checksums, moving files, validating CWL) happens in threads and processes that never see the
database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

VERSION = 2
"""Raised whenever a table changes: states of other versions are refused, not guessed at."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS secrets (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS users (
    username TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE, email TEXT NOT NULL,
    first_name TEXT NOT NULL, last_name TEXT NOT NULL, billing_group TEXT NOT NULL UNIQUE
);
CREATE TABLE IF NOT EXISTS billing (
    id TEXT PRIMARY KEY, disabled INTEGER NOT NULL, pending INTEGER NOT NULL, balance REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS projects (
    id TEXT PRIMARY KEY, uuid TEXT NOT NULL, owner TEXT NOT NULL, name TEXT NOT NULL,
    description TEXT NOT NULL, tags TEXT NOT NULL, settings TEXT NOT NULL,
    root_folder TEXT NOT NULL, billing_group TEXT NOT NULL, category TEXT NOT NULL,
    created_by TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS members (
    project TEXT NOT NULL, username TEXT NOT NULL, "write" INTEGER NOT NULL,
    "copy" INTEGER NOT NULL, "execute" INTEGER NOT NULL, "admin" INTEGER NOT NULL,
    PRIMARY KEY (project, username)
);
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, parent TEXT, name TEXT NOT NULL,
    type TEXT NOT NULL, size INTEGER NOT NULL, blob TEXT, metadata TEXT NOT NULL,
    tags TEXT NOT NULL, origin_task TEXT, created REAL NOT NULL, modified REAL NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS files_names ON files (parent, name);
CREATE INDEX IF NOT EXISTS files_pages ON files (parent, id);
CREATE INDEX IF NOT EXISTS files_blobs ON files (blob);
CREATE INDEX IF NOT EXISTS files_projects ON files (project);
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, username TEXT NOT NULL, project TEXT NOT NULL, parent TEXT NOT NULL,
    name TEXT NOT NULL, size INTEGER, part_size INTEGER NOT NULL, md5 TEXT,
    overwrite INTEGER NOT NULL, initiated REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS parts (
    upload TEXT NOT NULL, number INTEGER NOT NULL, etag TEXT NOT NULL, sha256 TEXT NOT NULL,
    size INTEGER NOT NULL, reported INTEGER NOT NULL, PRIMARY KEY (upload, number)
);
CREATE TABLE IF NOT EXISTS apps (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, latest INTEGER NOT NULL, copy_of TEXT
);
CREATE INDEX IF NOT EXISTS apps_projects ON apps (project);
CREATE TABLE IF NOT EXISTS revisions (
    app TEXT NOT NULL, revision INTEGER NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL,
    errors TEXT NOT NULL, notes TEXT, created_by TEXT NOT NULL, created REAL NOT NULL,
    PRIMARY KEY (app, revision)
);
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, name TEXT NOT NULL, description TEXT NOT NULL,
    status TEXT NOT NULL, app TEXT NOT NULL, revision INTEGER NOT NULL,
    created_by TEXT NOT NULL, executed_by TEXT, created REAL NOT NULL, queued REAL, started REAL,
    running REAL, ended REAL, parent TEXT, batch INTEGER NOT NULL, batch_input TEXT, batch_by TEXT,
    batch_group TEXT, origin_id TEXT, inputs TEXT NOT NULL, outputs TEXT NOT NULL,
    errors TEXT NOT NULL, settings TEXT NOT NULL, location TEXT, interruptible INTEGER NOT NULL,
    message TEXT NOT NULL, computation REAL, storage REAL, jobs TEXT NOT NULL,
    attempts INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tasks_projects ON tasks (project, parent, status);
CREATE INDEX IF NOT EXISTS tasks_pages ON tasks (project, parent, id);
CREATE INDEX IF NOT EXISTS tasks_parents ON tasks (parent, status);
CREATE INDEX IF NOT EXISTS tasks_statuses ON tasks (status);
CREATE INDEX IF NOT EXISTS tasks_ages ON tasks (created);
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY, username TEXT NOT NULL, type TEXT NOT NULL, state TEXT NOT NULL,
    items TEXT NOT NULL, result TEXT NOT NULL, total INTEGER NOT NULL, failed INTEGER NOT NULL,
    completed INTEGER NOT NULL, started REAL NOT NULL, finished REAL
);
CREATE TABLE IF NOT EXISTS texts (digest TEXT PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS executions (
    task TEXT NOT NULL, started REAL NOT NULL, ended REAL, exit_status INTEGER,
    command_line TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS executions_tasks ON executions (task);
"""


class UnusableState(Exception):
    """The state is damaged, or was written by another version of this server."""


class Database:
    """Statements, rows and nested transactions over one connection."""

    def __init__(self, path: Path) -> None:
        self._depth = 0
        try:
            self._open(path)
        except sqlite3.DatabaseError as error:
            raise UnusableState(
                f"{path} cannot be used: {error}. Delete its folder to start afresh, or name "
                "another one."
            ) from error

    def _open(self, path: Path) -> None:
        is_new = not path.exists()
        self._connection = sqlite3.connect(path, isolation_level=None, cached_statements=512)
        self._connection.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "cache_size=-65536"):
            self._connection.execute(f"PRAGMA {pragma}")
        if not is_new and self.value("PRAGMA user_version") != VERSION:
            self._connection.close()
            raise UnusableState(
                f"{path.parent} was written by another version of the embedded platform. Delete "
                "the folder to start afresh, or name another one."
            )
        self._connection.executescript(SCHEMA)
        self._connection.execute(f"PRAGMA user_version = {VERSION}")

    def run(self, sql: str, *values: Any) -> int:
        """Execute a statement; the number of rows that it changed."""
        return self._connection.execute(sql, values).rowcount

    def insert(self, table: str, row: dict[str, Any]) -> None:
        """Insert one row, given as column names and values."""
        columns = ", ".join(f'"{name}"' for name in row)
        marks = ", ".join("?" for _ in row)
        self._connection.execute(
            f"INSERT INTO {table} ({columns}) VALUES ({marks})",  # noqa: S608 - names are constants
            tuple(row.values()),
        )

    def update(self, table: str, key: str, row: dict[str, Any]) -> None:
        """Change columns of the row with this id."""
        assignments = ", ".join(f'"{name}" = ?' for name in row)
        self._connection.execute(
            f"UPDATE {table} SET {assignments} WHERE id = ?",  # noqa: S608 - names are constants
            (*row.values(), key),
        )

    def one(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row, if there is one."""
        row: sqlite3.Row | None = self._connection.execute(sql, values).fetchone()
        return row

    def all(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows."""
        return self._connection.execute(sql, values).fetchall()

    def value(self, sql: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.one(sql, *values)
        return None if row is None else row[0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. May be nested: the outermost one commits."""
        if self._depth:
            yield
            return
        self._connection.execute("BEGIN")
        self._depth = 1
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        else:
            self._connection.execute("COMMIT")
        finally:
            self._depth = 0

    def close(self) -> None:
        """Close the connection, which also folds the write-ahead log into the file."""
        self._connection.close()
