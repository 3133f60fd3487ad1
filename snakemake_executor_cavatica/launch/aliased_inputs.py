"""DRS objects that a workflow reads: imported together, before the first task is made."""

from __future__ import annotations

from typing import Any

from ..api import CavaticaError
from ..project.alias import Alias
from ..project.connection import Connection


def bring_aliases(workflow: Any, connection: Connection) -> None:
    """Have what the jobs will read imported; those that are found later bring their own.

    Args:
        workflow: Snakemake's.

    Raises:
        CavaticaError: some cannot be imported; each is named, with the reason.
    """
    for rule in workflow.rules:
        for file in rule.output:
            if _alias_of(file) is not None:
                raise CavaticaError(
                    f"Rule {rule.name}: its output {file.storage_object.query} is named by an id, "
                    "or as a DRS object, which can only be read. Name it by its place, "
                    "cavatica://owner/project/path."
                )
    aliases = {
        alias.query: alias
        for job in workflow.dag.needrun_jobs()
        for file in job.input
        if (alias := _alias_of(file)) is not None
    }
    if aliases:
        places = [connection.aliases.place(aliases[query]) for query in sorted(aliases)]
        connection.aliases.bring(places)


def _alias_of(file: Any) -> Alias | None:
    """How our storage provider knows a file, if not by its place."""
    found: Alias | None = None
    if file.is_storage:
        found = getattr(file.storage_object, "alias", None)
    return found
