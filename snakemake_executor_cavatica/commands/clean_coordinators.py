"""What coordinators have left: in their own project all of it, in others what is urgent."""

from __future__ import annotations

from ..api import Client
from ..coordinator.home import existing_home
from ..coordinator.remains import Remains, remains
from ..run.run_id import is_submitted
from .clean import CleanRequest, Survey, ToDelete


def add_remains(client: Client, request: CleanRequest, plan: Survey, named: str | None) -> None:
    """Add it to the plan.

    In another project only the tokens of its runs: what else is with them tells what they did.
    Without a submitted run there, nothing is asked.

    Args:
        named: the coordinators' project, if the user has chosen one.

    Raises:
        CavaticaError: it cannot be found out.
    """
    known = {run for run in (*request.runs, *plan.known_runs) if is_submitted(run)}
    is_of_jobs = bool(known)
    if not is_of_jobs and not _may_be_home(request.project, named):
        return
    home = named or _home(client)
    if home is None or (not is_of_jobs and home != request.project):
        return
    for one in remains(client, home, known if is_of_jobs else request.runs):
        plan.to_delete += _tokens(home, one) if home != request.project else [_folder(one)]
        plan.unknown_runs.discard(one.run)


def _may_be_home(project: str, named: str | None) -> bool:
    return project == named or "/snakemake-coordinator" in project


def _home(client: Client) -> str | None:
    project = existing_home(client, client.user().username)
    return None if project is None else project.id


def _tokens(home: str, left: Remains) -> list[ToDelete]:
    label = f"{home}/runs/{left.run}: the token"
    return [ToDelete(label, (file.id,), (), 1, file.size or 0, True) for file in left.tokens]


def _folder(left: Remains) -> ToDelete:
    size = sum(file.size or 0 for file in left.files)
    return ToDelete(f"runs/{left.run}", (), (left.folder.id,), len(left.files), size, True)
