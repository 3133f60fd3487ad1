"""`snakemake-cavatica cancel`: aborts what a run has under way, until nothing is left of it."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from ..api import CavaticaError, Task, TaskStatus
from ..coordinator.earlier import left_by
from ..coordinator.stop import stopped
from ..observe.record_file import note_outcome
from ..observe.standing import Standing
from ..observe.task_news import job_in_name
from ..observe.told import Told
from ..observe.words import duration, several
from ..project.connection import Connection
from ..project.signals import signal_to_interrupt
from ..run.processes import number_if_alive_here
from ..run.run_id import is_submitted
from ..run.stopping import Answer, abort_patience, has_ended, stop_all
from ..translate.job_key import run_of
from .asking import agreed
from .clean import look_at_tasks
from .exit_status import NOT_KNOWN, WRONG
from .show import remarks, show, show_json, table
from .submitted import find_submitted, told_submitted
from .which_run import NoRun, NotServed, connected, enter, told_run

_MOST_ROWS = 20
_STEP = 0.2


@dataclass(frozen=True)
class _Target:
    """What is to be aborted: tasks of these runs, maybe of one rule only."""

    connection: Connection
    project: str
    runs: frozenset[str]
    rule: str | None
    rules: Mapping[str, str]
    """Of tasks that are on record, or of what they are parts of."""

    def live(self) -> list[Task]:
        """What is queued or running, and drafts that were never started.

        Raises:
            CavaticaError: the platform does not tell.
        """
        tasks = look_at_tasks(self.connection.watcher, self.project)
        found = {task.id: task for task in (*tasks.live, *tasks.drafts)}
        return [task for task in found.values() if self._is_meant(task, found)]

    def _is_meant(self, task: Task, found: Mapping[str, Task]) -> bool:
        if task.parent in found:
            return False  # it ends with its batch
        rule = self.rules.get(task.id) or job_in_name(task)[0]
        return run_of(task) in self.runs and self.rule in (None, rule)


def run(options: argparse.Namespace) -> int:
    """Ask, abort, and say what goes on; the exit status."""
    enter(options.directory)
    if is_submitted(options.run) and not options.rule:
        return _cancelled(options)
    told = told_run(options, options.run)
    number = number_if_alive_here(told.run.process) if told.standing is Standing.RUNNING else None
    if number is not None and not options.rule and not options.interrupt:
        raise CavaticaError(
            f"The run {told.run.id} goes on in the process {number} of this machine, which would "
            "start further tasks. Press Ctrl-C where it runs: that aborts its tasks. --interrupt "
            "has it done from here."
        )
    if number is not None and options.interrupt:
        return _interrupted(options, told, number)
    return _aborted(options, told, is_agreed=options.yes)


def _cancelled(options: argparse.Namespace) -> int:
    """First the main process, which would start further tasks, then all that it has started."""
    found = find_submitted(options, options.run)
    run = found.coordinator.run
    question = f"End the main process of the run {run}, and abort all of its tasks?"
    has_ended_before = found.coordinator.task.is_terminal
    if not (has_ended_before or options.yes or agreed(question, _NOBODY)):
        return _nothing_done()
    page = found.connection.task_page(found.home, found.coordinator.task.id)
    if not stopped(found.connection, found.home, found.coordinator):
        remarks(
            [
                f"The main process of the run {run} has not stopped, and would start further "
                f"tasks; nothing else was aborted. Look at it: {page}"
            ]
        )
        return NOT_KNOWN
    if not options.json:
        show(Text(f"The main process of the run {run} has ended."))
    left = left_by(found.connection.watcher, found.coordinator)
    told = told_submitted(find_submitted(options, run))
    is_agreed = options.yes or not has_ended_before
    return _aborted(options, told, is_agreed=is_agreed, others=left)


def _interrupted(options: argparse.Namespace, told: Told, number: int) -> int:
    """Have the main process end as by Ctrl-C, then see to what it may have left."""
    if not options.yes and not agreed(
        f"Interrupt the run {told.run.id} (process {number}), which aborts its tasks?", _NOBODY
    ):
        return _nothing_done()
    _interrupt(number)
    show(Text(f"Process {number} was interrupted; waiting until it has ended."))
    while number_if_alive_here(told.run.process) is not None:
        time.sleep(_STEP)
    return _aborted(options, told_run(options, told.run.id), is_agreed=True)


def _interrupt(number: int) -> None:
    wanted = signal_to_interrupt(number)
    if wanted is None:
        raise CavaticaError(
            f"The process {number} listens to no Ctrl-C: it was started in the background, and not "
            f"to end with its terminal. End it by `kill -KILL {number}`, then cancel what it left."
        )
    try:
        os.kill(number, wanted)
    except PermissionError as error:
        raise CavaticaError(f"The process {number} is somebody else's; ask its owner.") from error


_NOBODY = (
    "There is no terminal to ask on whether to abort this. Nothing was aborted; say --yes if you "
    "mean it."
)


def _nothing_done() -> int:
    show(Text("Nothing was aborted."))
    return WRONG


def _aborted(
    options: argparse.Namespace, told: Told, *, is_agreed: bool, others: Iterable[str] = ()
) -> int:
    """Abort what a run has under way, and what `others` have that it went on with."""
    try:
        connection = connected(options, told.run)
    except NotServed as error:
        show(Text(f"There is nothing to abort. {error}"))
        return 0
    target = _target(options, connection, told, others)
    live = target.live()
    if not live and options.rule:
        _check_rule(told, options.rule)
    if not live:
        what = f"of rule {options.rule} " if options.rule else ""
        show(Text(f"There is nothing to abort: no task {what}of the run {told.run.id} goes on."))
        return 0
    if not options.json:
        _show(told, live)
    question = f"Abort {several(len(live), 'task')}? What they have done so far is lost."
    if not is_agreed and not agreed(question, _NOBODY):
        return _nothing_done()
    return _report(options, told, target, _abort(target, live))


def _check_rule(told: Told, rule: str) -> None:
    """A name that is misspelt has no task that goes on, while those that were meant do.

    Raises:
        NoRun: the run has no such rule, as far as is known.
    """
    rules = [one.rule for one in told.attempts if one.kind != "environment"]
    rules += [name for run in told.runs for name in run.jobs_by_rule]
    if rule not in rules:
        known = ", ".join(dict.fromkeys(rules))
        raise NoRun(
            f"{rule} is no rule of the run {told.run.id} whose jobs are tasks ({known}). Nothing "
            "was aborted; name one of these by --rule."
        )


def _target(
    options: argparse.Namespace, connection: Connection, told: Told, others: Iterable[str]
) -> _Target:
    named = {one.task: one.rule for one in told.attempts if one.task is not None}
    shared = {one.parent: one.rule for one in told.attempts if one.parent is not None}
    runs = frozenset([*(one.id for one in told.runs), *others])
    return _Target(connection, told.run.project, runs, options.rule, {**named, **shared})


def _show(told: Told, live: Sequence[Task]) -> None:
    rows = [(task.name, task.status, task.id) for task in live[:_MOST_ROWS]]
    show(table(("TASK", "STATE", "ID"), rows))
    if len(live) > _MOST_ROWS:
        show(Text(f"... and {len(live) - _MOST_ROWS} more"))
    if told.standing in (Standing.RUNNING, Standing.UNKNOWN, Standing.SILENT):
        where = f" on {told.host}" if told.host else ""
        show(
            Text(
                f"The main process of the run may go on{where}: for it, jobs whose tasks are "
                "aborted have failed, and it may start others."
            )
        )


def _abort(target: _Target, live: Sequence[Task]) -> dict[str, Answer]:
    """Abort tasks, and those that come up meanwhile, until none is left or patience is over."""
    patience = abort_patience(local=target.connection.is_local)
    end = time.monotonic() + patience
    answers: dict[str, Answer] = {}
    left = [task.id for task in live]
    while left and time.monotonic() < end:
        answers |= stop_all(target.connection.watcher, target.project, left, timeout=patience)
        left = [task.id for task in target.live() if not has_ended(answers.get(task.id))]
    return answers | {task: None for task in left if not has_ended(answers.get(task))}


def _report(
    options: argparse.Namespace, told: Told, target: _Target, answers: Mapping[str, Answer]
) -> int:
    alive = [task for task, answer in answers.items() if not has_ended(answer)]
    finished = [
        task
        for task, answer in answers.items()
        if isinstance(answer, Task) and answer.status == TaskStatus.COMPLETED
    ]
    aborted = [task for task in answers if task not in (*alive, *finished)]
    others = _others(target) if options.rule else []
    if options.json:
        document = {"run": told.run.id, "aborted": aborted, "finished": finished, "alive": alive}
        show_json({**document, "others": others})
    else:
        show(Text(f"Aborted {several(len(aborted), 'task')}."))
        if finished:
            show(Text(f"{several(len(finished), 'task')} had finished before that."))
        if others:
            go_on = "goes on" if len(others) == 1 else "go on"
            show(Text(f"{several(len(others), 'task')} of other rules of the run {go_on}."))
    if alive:
        pages = "".join(f"\n  {target.connection.task_page(target.project, one)}" for one in alive)
        patience = duration(abort_patience(local=target.connection.is_local))
        remarks(
            [f"After {patience} these have not stopped; they may go on{target.connection.costs}:"]
        )
        show(Text(pages.strip("\n")))
        return NOT_KNOWN
    if aborted and not others:
        _note(told)
    return 0


def _note(told: Told) -> None:
    """Write down of a run that had left its tasks that it was cancelled: `runs` asks nobody."""
    if told.standing is not Standing.DETACHED or told.folder is None:
        return
    try:
        note_outcome(told.folder, told.run, Standing.CANCELLED)
    except OSError as error:
        remarks(
            [
                f"The record {told.folder} cannot be written: {error.strerror}. `runs` calls the "
                f"run detached as before; `status {told.run.id}` asks the platform."
            ]
        )


def _others(target: _Target) -> list[str]:
    whole = _Target(target.connection, target.project, target.runs, None, target.rules)
    return [task.id for task in whole.live()]
