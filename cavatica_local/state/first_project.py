"""The user and the project that a server has from the start, and how to reach them."""

from __future__ import annotations

import json
import os
import secrets
import sqlite3

from cavatica_local.state.accounts import DEFAULT_SETTINGS, create_project, create_user
from cavatica_local.state.platform import Platform
from cavatica_local.state.visitors import Visitors

FIRST_USER = "local"
FIRST_PROJECT = "project"


def first_project(platform: Platform, visitors: Visitors) -> dict[str, str]:
    """What a client needs to know; made on a fresh root.

    Other processes find it in the root, whose lock tells whether it holds: all but the token in
    `served.json`, the token in a file of its own.
    """
    root = platform.settings.root
    with platform.database.transaction():
        user = _user(platform)
        project = _project(platform, user)
    token_file = os.open(root / "token", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    with os.fdopen(token_file, "w") as file:
        file.write(user["token"])
    public = {"api_endpoint": platform.settings.api, "project": project}
    (root / "served.json").write_text(json.dumps(public))
    return {
        **public,
        "auth_token": user["token"],
        "pages": visitors.invite(FIRST_USER, f"/u/{project}", kept_in=root / "pages"),
    }


def _user(platform: Platform) -> sqlite3.Row:
    find = "SELECT * FROM users WHERE username = ?"
    user = platform.database.one(find, FIRST_USER)
    if user is None:
        create_user(platform, FIRST_USER, secrets.token_hex(16))
        user = platform.database.one(find, FIRST_USER)
    if user is None:
        raise RuntimeError("the first user could not be made")
    return user


def _project(platform: Platform, user: sqlite3.Row) -> str:
    project = platform.database.value("SELECT id FROM projects ORDER BY created LIMIT 1")
    if project is not None:
        return str(project)
    return create_project(
        platform.database,
        FIRST_USER,
        FIRST_PROJECT,
        settings=DEFAULT_SETTINGS,
        billing_group=user["billing_group"],
    )
