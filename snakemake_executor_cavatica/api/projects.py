"""Projects as such: who is a member, and making new ones. Few need this; `Client` has the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .answers import parse
from .call import PAGE, get, id_path, post
from .client import Client
from .models import Project, User

_FIELDS = "id,name,category,created_by,billing_group,settings"


def projects_named(client: Client, name: str) -> Iterator[Project]:
    """The projects that the token's owner is a member of, and whose names contain this one."""
    call = get("/projects", {"name": name, "fields": _FIELDS, "limit": PAGE})
    return client.listing.documents(Project, call)


def members_of(client: Client, project: str) -> list[str]:
    """The names of all members of a project."""
    call = get(f"/projects/{id_path(project)}/members", {"limit": PAGE})
    return [parse(call, User, one).username for one in client.listing.items(call)]


def make_project(
    client: Client, name: str, *, billing_group: str | None, settings: Mapping[str, Any]
) -> Project:
    """Make a project; its id may have a number behind it, if there is one of this name."""
    group = {} if billing_group is None else {"billing_group": billing_group}
    return client.one(
        Project, post("/projects", {"name": name, "settings": dict(settings), **group})
    )
