"""What tasks have cost to six decimals, by the breakdown of their billing group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice

from ..api import Account, BadRequest, CavaticaError, Client, Forbidden, NotFound
from ..api.models_of_accounts import AnalysisCost
from ..translate.shared_task import task_id_of
from .entries import Attempt

MOST_ANALYSES = 10_000
"""Lines of a breakdown that are looked at: a hundred requests."""
_AROUND = timedelta(days=1)
"""On both sides of a run: in which zone the days are is not documented."""


@dataclass(frozen=True)
class ExactCosts:
    """Attempts with exact prices, as far as the breakdown has them."""

    attempts: tuple[Attempt, ...]
    missing: int
    """Tasks that had a price and are not in the breakdown, which may come days later."""
    refunded: float
    """Of the sum, what the platform has given back."""
    requests: int


class NoBreakdown(CavaticaError):
    """The breakdown is not for the owner of this token, or there is none."""


def exact_costs(client: Client, project: str, attempts: Sequence[Attempt]) -> ExactCosts:
    """Look up what the tasks of these attempts have cost.

    Raises:
        NoBreakdown: it is for others only.
        CavaticaError: the platform does not tell.
    """
    before = client.transport.requests_sent
    found = _breakdown(client, project, attempts)
    amounts = {
        name: one.analysis_cost.amount
        for name, one in found.items()
        if one.analysis_cost is not None and one.analysis_cost.amount is not None
    }
    shares = Counter(_payer(one, amounts) for one in attempts)
    exact = [_priced(one, amounts, shares[_payer(one, amounts)]) for one in attempts]
    payers = {payer for one in attempts if (payer := _payer(one, amounts)) is not None}
    return ExactCosts(
        tuple(exact),
        missing=sum(one.price is not None and not _payer(one, amounts) for one in attempts),
        refunded=sum(found[name].refunded_amount or 0.0 for name in payers),
        requests=client.transport.requests_sent - before,
    )


def _breakdown(
    client: Client, project: str, attempts: Sequence[Attempt]
) -> dict[str, AnalysisCost]:
    """The lines that are about these attempts, or the batches that they were children of."""
    wanted = {task_id_of(one.task) for one in attempts if one.task is not None}
    parents = {one.parent for one in attempts if one.parent is not None}
    times = [one.ended or one.started or one.queued for one in attempts]
    known = [moment for moment in times if moment is not None]
    if not wanted or not known:
        return {}
    group = client.project(project).billing_group
    if not group:
        raise NoBreakdown(f"The platform does not tell which billing group pays for {project}.")
    lines = Account(client).analysis_breakdown(
        group,
        date_from=(datetime.fromtimestamp(_begin(attempts, min(known)), UTC) - _AROUND).date(),
        date_to=(datetime.fromtimestamp(max(known), UTC) + _AROUND).date(),
    )
    try:
        return _until_all(lines, wanted, parents)
    except (Forbidden, NotFound, BadRequest) as error:
        raise NoBreakdown(
            f"Exact amounts are for the admins of the billing group of {project} only, and the "
            f"owner of this token is none. [{error.message.rstrip('. ')}]"
        ) from error


def _begin(attempts: Iterable[Attempt], default: float) -> float:
    return min((one.queued for one in attempts if one.queued is not None), default=default)


def _until_all(
    lines: Iterable[AnalysisCost], wanted: set[str], parents: set[str]
) -> dict[str, AnalysisCost]:
    found: dict[str, AnalysisCost] = {}
    left = set(wanted)
    for line in islice(lines, MOST_ANALYSES):
        if line.id in wanted or line.id in parents:
            found[line.id] = line
            left.discard(line.id)
            if not left:
                break
    return found


def _payer(attempt: Attempt, amounts: dict[str, float]) -> str | None:
    """The task by which an attempt is in the breakdown: its own, or that of its batch."""
    for name in (task_id_of(attempt.task or ""), attempt.parent):
        if name is not None and name in amounts:
            return name
    return None


def _priced(attempt: Attempt, amounts: dict[str, float], sharing: int) -> Attempt:
    """Those that share a task cost the same part of it each."""
    payer = _payer(attempt, amounts)
    return attempt if payer is None else replace(attempt, price=amounts[payer] / sharing)
