"""What the platform tells of who pays, and of the apps in a project."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from .answers import Model, parse
from .calls import PAGE, Call, get
from .client import Client
from .models_of_accounts import App, BillingGroup


def billing_group(group: str) -> Call:
    """A billing group; for its members only."""
    return get(f"/billing/groups/{quote(group, safe='')}")


def list_apps(project: str) -> Call:
    """The first page of the apps in a project."""
    return get("/apps", {"project": project, "limit": PAGE})


class Account:
    """These calls as methods, by somebody's client. All raise ApiError."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def billing_group(self, group: str) -> BillingGroup:
        """A billing group by its id; NotFound or Forbidden for who is no member of it."""
        return self._one(BillingGroup, billing_group(group))

    def apps(self, project: str) -> Iterator[App]:
        """The apps in a project, page by page."""
        call = list_apps(project)
        for document in self._client.listing.items(call):
            yield parse(call, App, document)

    def _one(self, model: type[Model], call: Call) -> Model:
        return parse(call, model, self._client.transport.send(call))
