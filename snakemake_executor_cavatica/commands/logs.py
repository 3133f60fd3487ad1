"""`snakemake-cavatica logs`: what tasks have said, and what they were told to do."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.text import Text

from ..api import CavaticaError, Client, Task
from ..finish.failure import gather
from ..finish.foreign_text import shown
from ..finish.stderr import stderr_file
from ..observe.entries import Attempt, Status
from ..observe.overview import last_attempts
from ..observe.told import Told
from ..observe.words import several
from ..run.run_id import began_at, is_submitted
from ..translate.sent_job import SentJob, sent_job
from ..translate.shared_task import task_id_of
from .following import followed
from .show import attempt_document, remarks, show, show_json, source_document
from .submitted import find_submitted
from .which_run import NoRun, connected, enter, is_task, record_of, told_run, told_task

_LONGEST_LINE = 2000


@dataclass(frozen=True)
class Said:
    """One attempt, and what is known of it besides its record."""

    attempt: Attempt
    sent: SentJob | None = None
    stderr: str = ""
    logs: Mapping[int, str] = field(default_factory=dict)
    """The ends of the rule's logs, by number; of failed attempts only: others keep theirs."""
    trouble: str = ""

    @property
    def named_logs(self) -> dict[str, str]:
        """The same by path, or by number where that is not known."""
        paths = {} if self.sent is None else self.sent.logs
        return {paths.get(number, f"log {number}"): text for number, text in self.logs.items()}


def run(options: argparse.Namespace) -> int:
    """Show it; the exit status."""
    enter(options.directory)
    if options.follow:
        return _follow(options)
    told, chosen, what = _choice(options)
    few = chosen[-options.most :] if options.most else chosen
    said = list(_said(options, told, few))
    more = [f"{len(chosen) - len(few)} more are not shown (--most)."] if chosen[: -len(few)] else []
    if options.json:
        documents = [_document(one) for one in said]
        show_json({"run": told.run.id, "attempts": documents, **source_document(told)})
    elif not said:
        show(Text(f"{what} has failed{'' if options.all else '; --all shows the others'}."))
    else:
        for one in said:
            show(*map(Text, _lines(one, options.lines)))
    remarks([*told.remarks, *(one.trouble for one in said if one.trouble), *more])
    return 0


def _follow(options: argparse.Namespace) -> int:
    run = options.run or options.target
    if run is None or not is_submitted(run):
        raise NoRun(
            "--follow shows what the main process of a run says that was submitted: name the run. "
            "Other main processes say it where they were started."
        )
    found = find_submitted(options, run)
    return followed(found.connection, found.home, found.coordinator)


# ------------------------------------------------------------------------------------- which


def _choice(options: argparse.Namespace) -> tuple[Told, list[Attempt], str]:
    """The run, its attempts that are wanted, and what to say if there are none."""
    target = options.target
    if target is not None and is_task(target):
        told = told_task(options, target)
        return told, list(told.of_task(target)), f"The task {target}"
    is_run = target is not None and (
        began_at(target) is not None
        or is_submitted(target)
        or (not options.run and record_of(target) is not None)
    )
    told = told_run(options, target if is_run else options.run)
    rule = None if is_run else target
    own = [one for one in told.attempts if rule in (None, one.rule)]
    if rule is not None and not own:
        known = ", ".join(dict.fromkeys(one.rule for one in told.attempts))
        raise NoRun(f"{rule} is no run, task, or rule of the run {told.run.id} ({known}).")
    if options.all:
        return told, own, "No job"
    of_jobs = {one.id for one in last_attempts(own)}
    wanted = [
        one
        for one in own
        if one.status is Status.FAILED and (one.id in of_jobs or one.kind == "environment")
    ]
    return told, wanted, "No job" if rule is None else f"No job of rule {rule}"


# -------------------------------------------------------------------------------------- what


def _said(options: argparse.Namespace, told: Told, attempts: Sequence[Attempt]) -> Iterator[Said]:
    """With what the platform has of each; without it, what is on this machine."""
    names = [task_id_of(one.task) for one in attempts if one.task is not None]
    if not names:
        yield from map(Said, attempts)
        return
    try:
        client = connected(options, told.run, starts=True).watcher
        tasks = client.get_tasks(names)
    except CavaticaError as error:
        trouble = f"The platform was not asked, so that commands and logs are missing: {error}"
        for one in attempts:
            yield Said(one, stderr=_stderr_here(one), trouble=trouble)
        return
    for one in attempts:
        answer = tasks.get(task_id_of(one.task or ""))
        yield (
            _of_platform(client, one, answer)
            if isinstance(answer, Task)
            else Said(
                one, stderr=_stderr_here(one), trouble="" if one.task is None else str(answer)
            )
        )


def _of_platform(client: Client, attempt: Attempt, task: Task) -> Said:
    assert attempt.task is not None
    with tempfile.TemporaryDirectory(prefix="cavatica-") as scratch:
        evidence = gather(client, attempt.task, Path(scratch, "stderr"))
    said = Said(
        attempt,
        sent_job(task, attempt.task),
        evidence.report.stderr,
        evidence.report.logs,
        evidence.trouble,
    )
    return said if said.stderr else replace(said, stderr=_stderr_here(attempt))


def _stderr_here(attempt: Attempt) -> str:
    """What a run has kept of it on this machine."""
    if attempt.task is None:
        return attempt.stderr_end
    try:
        return stderr_file(attempt.task).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return attempt.stderr_end


# -------------------------------------------------------------------------------- for people


def _lines(said: Said, most: int) -> Iterator[str]:
    attempt = said.attempt
    reason = f" ({attempt.reason.replace('_', ' ')})" if attempt.reason else ""
    yield f"=== {attempt.title}, attempt {attempt.number}: {attempt.status}{reason}"
    yield from ([attempt.page] if attempt.page else [])
    yield from _harmless(attempt.message.splitlines())
    if said.sent is not None:
        yield from _part("command", said.sent.command, most)
    for name, text in said.named_logs.items():
        yield from _part(name, text, most)
    if said.stderr.strip():
        yield from _part("stderr", said.stderr, most)
    yield ""


def _part(title: str, text: str, most: int) -> Iterator[str]:
    """The end of a text; all of it without a limit."""
    lines = text.rstrip().splitlines()
    left_out = max(0, len(lines) - most) if most else 0
    before = f" (without the first {several(left_out, 'line')}; --lines 0 shows all)"
    yield f"--- {title}{before if left_out else ''}"
    yield from _harmless(lines[left_out:])


def _harmless(lines: Iterable[str]) -> Iterator[str]:
    return (shown(line, _LONGEST_LINE) for line in lines)


# ------------------------------------------------------------------------------ for programs


def _document(said: Said) -> dict[str, Any]:
    return {
        **attempt_document(said.attempt),
        "command": None if said.sent is None else said.sent.command,
        "stderr": said.stderr,
        "logs": said.named_logs,
        "trouble": said.trouble,
    }
