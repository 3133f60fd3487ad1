"""Whether the names that the plugin gives to apps are free in the project, or taken by others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ..api import Account
from ..launch.submit import refuse_foreign_app
from ..project.connection import Connection
from ..translate.app import app_name, name_in
from .finding import Finding, noted, remark
from .jobs import RuleJobs

_MOST = 8
"""Apps that are looked into, one request each."""


def taken(
    connection: Connection, project: str, rules: Sequence[RuleJobs], known: Collection[str]
) -> Iterator[Finding]:
    """Names that somebody else's apps have.

    Args:
        known: names of apps that are the plugin's own.
    """
    there = {name_in(app.id) for app in Account(connection.client).apps(project)}
    asked = {app_name(rule.rule): rule.rule for rule in rules}
    unclear = [name for name in asked if name in there and name not in known]
    findings: list[Finding] = []
    for name in unclear[:_MOST]:
        with noted(findings, asked[name]):
            app = f"{project}/{name}"
            refuse_foreign_app(app, connection.client.get_app_raw(app))
    yield from findings
    if len(unclear) > _MOST:
        yield remark(
            f"Whether {len(unclear) - _MOST} more apps of that name are the plugin's own was not "
            f"looked at: {', '.join(unclear[_MOST : _MOST + 3])} ..."
        )
