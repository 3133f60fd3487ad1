"""`snakemake-cavatica runs`: the runs that left a record here, or tasks in a project."""

from __future__ import annotations

import argparse
import time
from typing import Any

from ..observe.costs import Spent
from ..observe.entries import Attempt, Run, Status
from ..observe.overview import RuleOverview, by_rule, cost_of_all, total
from ..observe.standing import Standing, standing_of
from ..observe.told import Told
from ..observe.words import duration
from .show import moment, remarks, show, show_json, source_document, spent_document, table
from .which_run import enter, told_runs

_COLUMNS = ("RUN", "STATE", "BEGAN", "TOOK", "DONE", "OF", "FAILED", "COST", "PROJECT", "COMMAND")

_SUBMITTED = (
    "How runs stand that were submitted (their ids end with an s), only the platform tells: "
    "`snakemake-cavatica status RUN` asks it."
)


def run(options: argparse.Namespace) -> int:
    """List them; the exit status."""
    enter(options.directory)
    told = told_runs(options, options.most)
    rows = [_row(one, known) for known in told for one in reversed(known.runs)][: options.most]
    remarks(remark for known in told for remark in known.remarks)
    if any(known.source == "platform" and not known.is_current for known in told):
        remarks([_SUBMITTED])
    if options.json:
        sources = [source_document(known) for known in told]
        show_json({"runs": [_document(row) for row in rows], "sources": sources})
    else:
        show(table(_COLUMNS, map(_cells, rows), numbers="DONE OF FAILED COST"))
    return 0


class _Row:
    """One run, and what of a record is its own."""

    def __init__(self, run: Run, standing: Standing, attempts: list[Attempt], now: float) -> None:
        own = [one for one in attempts if one.is_of(run.id)]
        paid = [one for one in attempts if one.run == run.id]
        self.run = run
        self.standing = standing
        self.jobs: RuleOverview = total(by_rule(own, run.jobs_by_rule))
        self.spent: Spent = cost_of_all(paid, now).spent
        until = run.ended
        if until is None and standing is Standing.RUNNING:
            until = now
        self.seconds = None if until is None else max(0.0, until - run.started)


def _row(run: Run, told: Told) -> _Row:
    """A run that was interrupted has an outcome of its own, another one went on with it."""
    standing = told.standing if run is told.run else standing_of(run)
    return _Row(run, standing, list(told.attempts), time.time())


def _cells(row: _Row) -> tuple[object, ...]:
    planned = row.jobs.planned
    return (
        row.run.id,
        row.standing,
        moment(row.run.started),
        "-" if row.seconds is None else duration(row.seconds),
        row.jobs.done,
        "?" if planned is None else max(planned, row.jobs.done),
        row.jobs.states.get(Status.FAILED, 0),
        row.spent,
        row.run.project,
        row.run.command,
    )


def _document(row: _Row) -> dict[str, Any]:
    return {
        "id": row.run.id,
        "state": row.standing,
        "started": row.run.started,
        "ended": row.run.ended,
        "project": row.run.project,
        "endpoint": row.run.endpoint,
        "directory": row.run.directory,
        "command": row.run.command,
        "planned": row.jobs.planned,
        "done": row.jobs.done,
        "failed": row.jobs.states.get(Status.FAILED, 0),
        "attempts": row.jobs.attempts,
        "cost": spent_document(row.spent),
    }
