"""What the platform tells of who pays, and of the apps in a project."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from .call import PAGE, Call, get, segment
from .client import Client
from .models_of_accounts import AnalysisCost, App, BillingGroup


def billing_group(group: str) -> Call:
    """A billing group; for its members only."""
    return get(f"/billing/groups/{segment(group)}")


def list_apps(project: str) -> Call:
    """The first page of the apps in a project."""
    return get("/apps", {"project": project, "limit": PAGE})


def analysis_breakdown(group: str, *, date_from: date, date_to: date) -> Call:
    """The first page of what the tasks of a billing group have cost; for its admins only.

    Whether the days, both included, are those of a task's begin or of its end is not documented.
    """
    return get(
        f"/billing/groups/{segment(group)}/breakdown/analysis",
        {
            "date_from": date_from.strftime("%m-%d-%Y"),
            "date_to": date_to.strftime("%m-%d-%Y"),
            "limit": PAGE,
        },
    )


class Account:
    """These calls as methods, by somebody's client. All raise ApiError."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def billing_group(self, group: str) -> BillingGroup:
        """A billing group by its id; NotFound or Forbidden for who is no member of it."""
        return self._client.one(BillingGroup, billing_group(group))

    def apps(self, project: str) -> Iterator[App]:
        """The apps in a project, page by page."""
        return self._client.listing.documents(App, list_apps(project))

    def analysis_breakdown(
        self, group: str, *, date_from: date, date_to: date
    ) -> Iterator[AnalysisCost]:
        """What each task of a billing group has cost in these days; for its admins only."""
        call = analysis_breakdown(group, date_from=date_from, date_to=date_to)
        return self._client.listing.documents(AnalysisCost, call)
