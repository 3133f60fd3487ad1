"""`snakemake-cavatica status`: how a run stands, once or as it changes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from ..api import NoAnswer, ServerError
from ..finish.foreign_text import one_line
from ..observe.costs import Costs
from ..observe.entries import Attempt, Status
from ..observe.overview import RuleOverview, by_rule, cost_of_all, failed, under_way
from ..observe.progress import Progress
from ..observe.standing import Standing, may_go_on
from ..observe.told import Told
from ..observe.words import duration, several
from .exit_status import NOT_KNOWN, UNFINISHED
from .show import (
    attempt_document,
    console,
    moment,
    remarks,
    show,
    show_json,
    source_document,
    spent_document,
    table,
)
from .which_run import enter, told_run

_MOST_ROWS = 20
"""Of running and of failed jobs; the rest is counted."""
_OFTEN = 2.0
_SELDOM = 15.0
_FOR_A_REQUEST = 3.0
"""Seconds between two looks: at a record, at the platform, and for each request of such a look."""
_IDLE = 10
"""So many times as long as a look took nothing is done after it: large records take a second."""
_UNASKED = "The platform does not answer at the moment; this is how the run stood before."
_STATES = (
    *(Status.DONE, Status.REUSED, Status.RUNNING, Status.QUEUED, Status.SUBMITTED),
    *(Status.FAILED, Status.CANCELLED, Status.LEFT),
)
_WORDS = {
    Standing.RUNNING: "goes on",
    Standing.KILLED: "was killed",
    Standing.SILENT: "has given no sign of life for a long time",
    Standing.UNKNOWN: "may go on, or not: that cannot be told from here",
    Standing.DONE: "has ended well",
    Standing.FAILED: "has ended, and jobs have failed",
    Standing.LIMIT: "has ended because of the limit of its cost",
    Standing.CANCELLED: "was cancelled",
    Standing.DETACHED: "has left its tasks running on purpose",
    Standing.SUCCESSOR: "was taken up by another run",
}


def run(options: argparse.Namespace) -> int:
    """Show it; the exit status tells whether all is well."""
    enter(options.directory)
    told = told_run(options, options.run)
    if options.json:
        show_json(document(told, time.time()))
    elif not options.watch:
        show(*screen(told, time.time()))
    elif console().is_terminal:
        told = _watch(options, told)
    else:
        told = _follow(options, told)
    remarks(told.remarks)
    return exit_status_of(told)


def exit_status_of(told: Told) -> int:
    """0 if the run goes on, or has ended well."""
    if not told.is_current or not told.standing.is_certain:
        return NOT_KNOWN
    goes_on = told.standing is Standing.RUNNING or (
        told.standing is Standing.DETACHED and any(map(may_go_on, told.attempts))
    )
    return 0 if goes_on or told.standing is Standing.DONE else UNFINISHED


# ----------------------------------------------------------------------------------- watching


def _watch(options: argparse.Namespace, told: Told) -> Told:
    """Draw it anew again and again, until the run ends."""
    # What is told on stderr is to arrive there, also if Ctrl-C comes at the worst moment.
    live = Live(console=console(), auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
    try:
        live.start()
        next_look = time.monotonic() + _pause(told, took=0.0, requests=told.requests)
        while True:
            live.update(Group(*screen(told, time.time())), refresh=True)
            if told.standing is not Standing.RUNNING:
                return told
            time.sleep(1.0)
            if time.monotonic() >= next_look:
                told, pause = _look(options, told)
                next_look = time.monotonic() + pause
    finally:
        live.stop()


def _follow(options: argparse.Namespace, told: Told) -> Told:
    """Without a terminal: a line whenever a job has changed, until the run ends."""
    before: list[Status] = []
    pause = _pause(told, took=0.0, requests=told.requests)
    while True:
        states = [one.status for one in told.attempts]
        if states != before or told.standing is not Standing.RUNNING:
            before = states
            show(Text(progress_line(told, time.time())))
            sys.stdout.flush()
        if told.standing is not Standing.RUNNING:
            show(Text(_first_line(told, time.time())))
            return told
        time.sleep(pause)
        told, pause = _look(options, told)


def _look(options: argparse.Namespace, told: Told) -> tuple[Told, float]:
    """How the run stands now, or stood before an outage, and seconds until the next look."""
    began = time.monotonic()
    try:
        now = told_run(options, told.run.id)
    except (NoAnswer, ServerError):
        told = told if _UNASKED in told.remarks else told.with_remarks(_UNASKED)
        now = replace(told, is_current=False)
    took = time.monotonic() - began
    return now, _pause(now, took=took, requests=now.requests - told.requests)


def _pause(told: Told, *, took: float, requests: int) -> float:
    """Seconds after a look that took so long, and so many requests."""
    if told.source == "record":
        return max(_OFTEN, _IDLE * took)
    return max(_SELDOM, _FOR_A_REQUEST * requests)


# -------------------------------------------------------------------------------- for people


def screen(told: Told, now: float) -> list[RenderableType]:
    """All that there is to see, from top to bottom."""
    parts: list[RenderableType] = [Text(line) for line in _head(told, now)]
    parts += [Text(), _by_rule(told)]
    live, wrong = under_way(told.attempts), failed(told.own)
    if live:
        parts += [Text(), _jobs("RUNNING OR WAITING", live, lambda one: _since(one, now))]
    if wrong:
        parts += [Text(), _jobs("FAILED", wrong, _why)]
    unasked = [Text(_UNASKED)] if _UNASKED in told.remarks else []
    return [*parts, Text(), Text(progress_line(told, now)), *unasked]


def _head(told: Told, now: float) -> Iterable[str]:
    run = told.run
    yield _first_line(told, now)
    earlier = [one.id for one in told.runs[:-1]]
    if earlier:
        yield f"It goes on with what {', '.join(earlier)} began."
    if run.command:
        yield f"In {one_line(run.directory)}: {one_line(run.command)}"
    yield f"Project {run.project} on {run.endpoint}"
    if told.source == "platform":
        yield f"As the platform tells it, by {several(told.requests, 'request')}."


def _first_line(told: Told, now: float) -> str:
    run = told.run
    until = run.ended if run.ended is not None else now
    took = f", {duration(max(0.0, until - run.started))}"
    is_over = told.standing is not Standing.RUNNING and run.ended is None
    where = f" on {told.host}" if told.host else ""
    return (
        f"Run {run.id} {_WORDS[told.standing]}{where} "
        f"(began {moment(run.started)}{'' if is_over else took})."
    )


def _by_rule(told: Told) -> RenderableType:
    rules = by_rule(told.own, told.run.jobs_by_rule)
    shown = [state for state in _STATES if any(one.states.get(state) for one in rules)]
    columns = ["RULE", "PLANNED", *(state.upper() for state in shown), "ATTEMPTS"]
    rows = [
        (one.rule, _planned(one), *(one.states.get(state) or "" for state in shown), one.attempts)
        for one in rules
    ]
    return table(columns, rows, numbers=" ".join(columns[1:]))


def _planned(rule: RuleOverview) -> object:
    return "" if rule.planned is None else rule.planned


def _jobs(title: str, attempts: Sequence[Attempt], last: Any) -> RenderableType:
    rows = [
        (one.title, one.number, one.status, last(one), one.page or "")
        for one in attempts[:_MOST_ROWS]
    ]
    found = table((title, "ATTEMPT", "STATE", "", "PAGE"), rows, numbers="ATTEMPT")
    more = len(attempts) - _MOST_ROWS
    return Group(found, Text(f"... and {more} more")) if more > 0 else found


def _since(attempt: Attempt, now: float) -> str:
    """How long it has been so."""
    began = attempt.started if attempt.status is Status.RUNNING else attempt.queued
    return "" if began is None else f"for {duration(max(0.0, now - began))}"


def _why(attempt: Attempt) -> str:
    return attempt.reason.replace("_", " ") or "reason not known here"


def progress_line(told: Told, now: float) -> str:
    """The line that the run itself tells every few minutes."""
    costs = Costs()
    for one in told.paid:
        costs.note(one)
    goes_on = told.standing is Standing.RUNNING or any(map(may_go_on, told.attempts))
    return _progress(told).line(told.attempts, costs, now, is_over=not goes_on)


def _progress(told: Told) -> Progress:
    return Progress(told.run.id, told.run.jobs_by_rule, told.run.started)


# ------------------------------------------------------------------------------- for programs


def document(told: Told, now: float) -> dict[str, Any]:
    """All of it as plain values."""
    run = told.run
    return {
        "run": run.id,
        "runs": [one.id for one in told.runs],
        "state": told.standing,
        "started": run.started,
        "ended": run.ended,
        "project": run.project,
        "endpoint": run.endpoint,
        "directory": run.directory,
        "command": run.command,
        "host": told.host,
        "rules": [_rule_document(one) for one in by_rule(told.own, run.jobs_by_rule)],
        "under_way": [attempt_document(one) for one in under_way(told.attempts)],
        "failed": [attempt_document(one) for one in failed(told.own)],
        "cost": spent_document(cost_of_all(told.paid, now).spent),
        "seconds_left": _progress(told).seconds_left(told.attempts),
        **source_document(told),
    }


def _rule_document(rule: RuleOverview) -> dict[str, Any]:
    states = {state.value: rule.states.get(state, 0) for state in _STATES}
    return {"rule": rule.rule, "planned": rule.planned, **states, "attempts": rule.attempts}
