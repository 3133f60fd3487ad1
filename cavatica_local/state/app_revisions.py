"""The stored revisions of apps."""

from __future__ import annotations

import json
import sqlite3
from functools import lru_cache
from typing import Any

from cavatica_local.state.database import Database


def find_revision(database: Database, app: str, revision: int) -> sqlite3.Row | None:
    """One revision of an app."""
    return database.one("SELECT * FROM revisions WHERE app = ? AND revision = ?", app, revision)


def document_of(revision: sqlite3.Row) -> dict[str, Any]:
    """The document as it was installed, without the platform's keys. Shared: not to be changed."""
    return _parsed(revision["document"])


@lru_cache(maxsize=64)
def _parsed(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    return document
