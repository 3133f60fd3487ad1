"""`snakemake-cavatica cost`: what a run has cost, rule by rule."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.text import Text

from ..observe.entries import Attempt
from ..observe.exact_costs import ExactCosts, exact_costs
from ..observe.overview import RuleCost, cost_by_rule, cost_of_all
from ..observe.told import Told
from ..observe.words import several
from .show import remarks, show, show_json, source_document, spent_document, table
from .which_run import connected, enter, told_run

_COLUMNS = ("RULE", "ATTEMPTS", "COST", "A GUESS", "ON SPOT", "WITHOUT A RESULT")


def run(options: argparse.Namespace) -> int:
    """Show it; the exit status."""
    enter(options.directory)
    told = told_run(options, options.run)
    exact = None
    if options.exact:
        connection = connected(options, told.run, starts=True)
        exact = exact_costs(connection.client, told.run.project, told.paid)
        told = replace(told, attempts=exact.attempts, overhead=()).with_remarks(*_about(exact))
    now = time.time()
    if options.json:
        show_json(_document(told, exact, now))
    else:
        digits = 2 if exact is None else 6
        show(*_screen(told, told.paid, digits, now))
    remarks(told.remarks)
    return 0


def _about(exact: ExactCosts) -> list[str]:
    told = []
    if exact.missing:
        told.append(
            f"{several(exact.missing, 'attempt')} are not in the billing group's breakdown (yet), "
            "and count by the price of their tasks, which has two decimals."
        )
    if exact.refunded:
        told.append(f"Of the sum, {exact.refunded:.6f} was refunded.")
    return told


def _screen(told: Told, attempts: Sequence[Attempt], digits: int, now: float) -> list[Any]:
    whole = cost_of_all(attempts, now)
    rows = [_cells(one, digits) for one in (*cost_by_rule(attempts, now), whole)]
    of = "" if len(told.runs) == 1 else f", with those before it ({len(told.runs) - 1})"
    currency = whole.spent.currency or "the platform has told no price"
    lines = [Text(f"Run {told.run.id}{of}; {currency}"), Text()]
    notes = [Text()]
    if whole.without_price:
        notes.append(Text(f"{several(whole.without_price, 'attempt')} that ran have no price."))
    return [*lines, table(_COLUMNS, rows, numbers=" ".join(_COLUMNS[1:])), *notes]


def _cells(cost: RuleCost, digits: int) -> tuple[object, ...]:
    amounts = (cost.spent.total, cost.spent.guessed, cost.spot, cost.lost)
    return (cost.rule, cost.attempts, *(f"{amount:.{digits}f}" for amount in amounts))


def _document(told: Told, exact: ExactCosts | None, now: float) -> dict[str, Any]:
    return {
        "run": told.run.id,
        "runs": [one.id for one in told.runs],
        "exact": exact is not None,
        "rules": [_rule_document(one) for one in cost_by_rule(told.paid, now)],
        "all": _rule_document(cost_of_all(told.paid, now)),
        **source_document(told),
    }


def _rule_document(cost: RuleCost) -> dict[str, Any]:
    return {
        "rule": cost.rule,
        "attempts": cost.attempts,
        **spent_document(cost.spent),
        "spot": round(cost.spot, 6),
        "without_result": round(cost.lost, 6),
        "without_price": cost.without_price,
    }
