"""Users, and projects with their settings and members, as they are stored."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

from cavatica_local.errors import ApiError
from cavatica_local.state.database import Database
from cavatica_local.state.ids import file_id, new_uuid
from cavatica_local.state.permissions import GRANTED
from cavatica_local.state.platform import Platform
from cavatica_local.state.times import now

DEFAULT_SETTINGS: dict[str, Any] = {
    "locked": False,
    "controlled": False,
    "location": "aws:us-east-1",
    "use_interruptible_instances": True,
    "use_memoization": False,
    "use_elastic_disk": False,
    "allow_network_access": False,
    "intermediate_files": {"retention": "LIMITED", "duration": 24},
}
"""Documented defaults: interruptible instances are on for AWS locations, memoization is off. Users
have to switch on the network in a project before its tasks can reach it.
"""


def settings_of(row: sqlite3.Row) -> dict[str, Any]:
    """A project's settings; one that is newer than the project has its default."""
    return {**DEFAULT_SETTINGS, **json.loads(row["settings"])}


def create_user(platform: Platform, username: str, token: str, email: str | None = None) -> None:
    """Add a user, with a billing group."""
    platform.database.insert(
        "users",
        {
            "username": username,
            "token": token,
            "email": email or f"{username}@example.org",
            "first_name": username.capitalize(),
            "last_name": "Local",
            "billing_group": new_uuid(),
        },
    )


@dataclass(frozen=True)
class BillingState:
    """Whether a billing group can pay; at first it can."""

    disabled: bool = False
    pending: bool = False
    balance: float = 100.0
    """Dollars. It stays what it is: tasks here cost nothing."""


def billing_state(database: Database, group: str) -> BillingState:
    """The state of a billing group."""
    row = database.one("SELECT * FROM billing WHERE id = ?", group)
    if row is None:
        return BillingState()
    return BillingState(bool(row["disabled"]), bool(row["pending"]), row["balance"])


def set_billing_state(database: Database, group: str, state: BillingState) -> None:
    """Change it."""
    database.run("DELETE FROM billing WHERE id = ?", group)
    database.insert("billing", {"id": group, **asdict(state)})


def create_project(
    database: Database, owner: str, name: str, *, settings: dict[str, Any], **details: Any
) -> str:
    """Add a project with its root folder and its owner as a member; its id."""
    project_id = f"{owner}/{_free_short_name(database, owner, name)}"
    created, root = now(), file_id()
    row = {
        "id": project_id,
        "uuid": new_uuid(),
        "owner": owner,
        "name": name,
        "description": "",
        "tags": "[]",
        "settings": json.dumps(settings),
        "root_folder": root,
        "category": "PRIVATE",
        "created_by": owner,
        "created": created,
        "modified": created,
        **details,
    }
    database.insert("projects", row)
    database.insert(
        "files",
        {
            "id": root,
            "project": project_id,
            "parent": None,
            "name": row["uuid"],
            "type": "folder",
            "size": 0,
            "blob": None,
            "metadata": "{}",
            "tags": "[]",
            "origin_task": None,
            "created": created,
            "modified": created,
        },
    )
    set_member(database, project_id, owner, dict.fromkeys(GRANTED, True))
    return project_id


def short_name(name: str) -> str:
    """Documented: lower case, special characters removed, spaces and underscores to dashes."""
    dashed = re.sub(r"[\s_]+", "-", name.strip().lower())
    return re.sub(r"[^a-z0-9-]", "", dashed)


def _free_short_name(database: Database, owner: str, name: str) -> str:
    short = short_name(name)
    if not short:
        raise ApiError(3007, "The project's name has no letter or digit.")
    candidate, number = short, 0
    while database.one("SELECT 1 FROM projects WHERE id = ?", f"{owner}/{candidate}"):
        number += 1
        candidate = f"{short}_{number}"
    return candidate


def set_member(database: Database, project: str, username: str, granted: dict[str, bool]) -> None:
    """Add a member or replace the permissions of one."""
    database.run("DELETE FROM members WHERE project = ? AND username = ?", project, username)
    flags = {name: bool(granted.get(name)) for name in GRANTED}
    database.insert("members", {"project": project, "username": username, **flags})
