"""Who runs and who pays, as far as the platform tells."""

from __future__ import annotations

from collections.abc import Iterator

from ..api import Account, Forbidden, NotFound
from ..project.connection import Connection
from .finding import Finding, remark


def paying(connection: Connection, project: str) -> Iterator[Finding]:
    """Whether the project's billing group can pay; one request.

    Only its members are told of it, so that nothing is said to others.
    """
    group = connection.project(project).billing_group
    if not group:
        return
    try:
        told = Account(connection.watcher).billing_group(group)
    except (NotFound, Forbidden):
        return
    name = f"The billing group {told.name or told.id} of the project {project}"
    if told.disabled:
        yield Finding(
            f"{name} is disabled, so that no task can run. Ask its owner to enable it, or have an "
            "administrator of the project choose another one in the project's settings."
        )
    elif told.pending:
        yield remark(f"{name} is pending: tasks may not run before it is approved.")
    if told.balance is not None and told.balance.amount is not None and told.balance.amount <= 0:
        left = f"{told.balance.amount:.2f} {told.balance.currency or ''}".rstrip()
        yield remark(
            f"{name} has a balance of {left}. Unless it is billed afterwards, tasks will not run: "
            "ask its owner for funds."
        )
