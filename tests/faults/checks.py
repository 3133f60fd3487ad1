"""What must hold after every run, whatever happened in it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.faults.records import LIVE, TOO_MANY, Records
from tests.faults.workflows import Workflow, flat

REQUESTS_PER_START = 40
REQUESTS_PER_TASK = 7
REQUESTS_PER_FAULT = 4
REQUESTS_PER_SECOND = 3
"""A run may send as many requests as these allow together; more are a storm."""
IN_FLIGHT = 12
"""Requests that may have left before the answer 429 of another one was there."""
_AT_EXIT = "Exception ignored in: <module 'threading'"
_ON_ITS_WAY = 0.3
"""Seconds that an answer may take to the client."""
_LARGEST_SEARCHED = 20_000_000
FULL = "No space left on device"
_OURS = "/snakemake_executor_cavatica/"
_NEAR = 80
"""Lines in which a traceback, with those that led to it, comes to its end."""


@dataclass(frozen=True)
class Violation:
    """Something that must not happen, and did."""

    kind: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}"


@dataclass(frozen=True)
class Evidence:
    """All that a run left."""

    workflow: Workflow
    records: Records
    files: Mapping[str, bytes]
    """By path, where the data live."""
    finished: bool
    """Whether Snakemake came to the end; if not, that is a violation already."""
    interrupted: bool
    cancelled: bool
    """Whether Ctrl-C was pressed, so that tasks were aborted."""
    was_full: bool
    """Whether the disk was full, so that Snakemake may have ended by an error of its own."""
    faults_fail_tasks: bool
    starts: Sequence[float]
    """When main processes were started, Unix seconds."""
    main_seconds: float
    reset: float
    """Seconds after a 429 until requests are taken again, where there is a limit."""
    injected_reset: float
    """The same for a 429 that is a fault."""
    everybody: Records | None = None
    """What this and other users have done in the project, if there are any."""
    reuses: bool = False
    """Whether results of others may be taken instead of running a job."""
    further_requests: int = 0
    """What other commands than Snakemake may have sent."""
    attempts: Sequence[RecordedAttempt] | None = None
    """What the plugin's own records say, in all working directories; None if nobody has looked."""


@dataclass(frozen=True)
class RecordedAttempt:
    """An attempt of a job, or of a group of jobs, in one of the plugin's records of runs."""

    record: str
    task: str
    job: str
    """As people call it, and where it shares its task, which part of it."""
    has_failed: bool
    """Or was aborted. A task whose results could not be fetched may be taken up by another one."""
    goes_on: bool
    """By the record that was written to last."""


def check(evidence: Evidence) -> Iterator[Violation]:
    """Everything that the records tell."""
    yield from wrong_outputs(evidence)
    yield from not_once(evidence)
    yield from repeated_within_a_task(evidence)
    yield from unexplained_ends(evidence)
    yield from live_tasks(evidence.records)
    yield from at_the_same_time(evidence.records)
    yield from not_on_record(evidence)
    yield from storms(evidence)
    yield from calls_after_429(evidence)


def wrong_outputs(evidence: Evidence) -> Iterator[Violation]:
    """Each output is there and holds what it must; nothing else lies beside them."""
    expected = flat(evidence.workflow.kept())
    for path, content in expected.items():
        found = evidence.files.get(path)
        if found is None and evidence.finished:
            yield Violation("missing output", path)
        elif found not in (None, content):
            yield Violation("wrong output", f"{path}: {found[:60]!r}, not {content[:60]!r}")
    possible = flat(evidence.workflow.contents())
    for path in evidence.files:
        if path in expected or path in evidence.workflow.given:
            continue
        if path not in possible:
            yield Violation("foreign file", path)
        elif not evidence.interrupted:
            yield Violation("temporary file left", path)


def not_once(evidence: Evidence) -> Iterator[Violation]:
    """Each command ran to success once, by the platform's record."""
    for job in evidence.workflow.jobs:
        tasks = evidence.records.of(job.key)
        others = evidence.everybody.of(job.key) if evidence.reuses and evidence.everybody else ()
        if not tasks and not others and evidence.finished:
            yield Violation("never ran", job.key)
        elif len(tasks) > 1:
            yield Violation("ran twice", f"{job.key} in the tasks {', '.join(tasks)}")
    known = {job.key for job in evidence.workflow.jobs}
    for key in evidence.records.successes.keys() - known:
        yield Violation("foreign job", key)


def repeated_within_a_task(evidence: Evidence) -> Iterator[Violation]:
    """In a task its own jobs run, and each once; once more only if the platform starts it again."""
    records = evidence.records
    for (key, task), times in records.endings.items():
        starts = records.starts(task)
        if times > starts:
            yield Violation("repeated in a task", f"{key} {times} times, {task} ran {starts}")
        if task in records.tasks and key not in records.tasks[task].keys:
            yield Violation("not its job", f"{key} ran in {records.tasks[task].name} ({task})")


def unexplained_ends(evidence: Evidence) -> Iterator[Violation]:
    """A task only fails or is aborted for a reason that the scenario gave."""
    fails = {job.key for job in evidence.workflow.jobs if job.fails or job.needs}
    for task in evidence.records.tasks.values():
        children = [child.status for child in evidence.records.children(task.id)]
        # A batch all of whose children a fault has lost is aborted.
        lost = task.kind == "batch" and not children and evidence.faults_fail_tasks
        if task.status == "ABORTED" and not (evidence.cancelled or evidence.was_full or lost):
            yield Violation("aborted", f"{task.name} ({task.id}), and nobody pressed Ctrl-C")
        if task.status != "FAILED" or evidence.faults_fail_tasks:
            continue
        # A batch fails with its children, of which each is judged; a pack never does.
        if "FAILED" not in children and (task.kind == "pack" or fails.isdisjoint(task.keys)):
            yield Violation("failed", f"{task.name} ({task.id}): {task.message}")


def live_tasks(records: Records) -> Iterator[Violation]:
    """No task is left that runs, waits, or could be started."""
    for task in records.tasks.values():
        if task.status in LIVE:
            yield Violation("left alive", f"{task.name} ({task.id}) is {task.status}")


def at_the_same_time(records: Records) -> Iterator[Violation]:
    """No job runs in two tasks at once."""
    spans: defaultdict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for one in records.executions:
        task = records.tasks.get(one.task)
        if task is not None and task.kind != "pack":
            end = float("inf") if one.ended is None else one.ended
            for key in task.keys:
                spans[key].append((one.started, end, one.task))
    for key, several in spans.items():
        several.sort()
        for (_, end, first), (start, _, second) in pairwise(several):
            if start < end and first != second:
                yield Violation("at the same time", f"{key} in {first} and {second}")


def not_on_record(evidence: Evidence) -> Iterator[Violation]:
    """The plugin's records name each task that ran, once for each of its jobs, and its end."""
    if evidence.attempts is None or evidence.was_full:
        return  # it is written as far as there is room
    counts = Counter(
        (one.record, one.task, one.job) for one in evidence.attempts if not one.has_failed
    )
    for (_, where, job), number in counts.items():
        if number > 1:
            yield Violation("recorded twice", f"{job} in {where}: {number} entries")
    for one in evidence.attempts:
        if evidence.finished and one.goes_on:
            yield Violation("goes on, by the record", f"{one.job} in {one.task}")
    recorded = {one.task for one in evidence.attempts}
    ran = {one.task for one in evidence.records.executions}
    for task in evidence.records.tasks.values():
        if task.id in ran and task.keys and recorded.isdisjoint((task.id, task.parent)):
            yield Violation("not on record", f"{task.name} ({task.id}), which is {task.status}")


def request_bound(evidence: Evidence) -> float:
    """How many requests are no storm."""
    records = evidence.records
    faults = sum(request.fault is not None for request in records.requests)
    tasks = (evidence.everybody or records).tasks.values()
    return (
        REQUESTS_PER_START * len(evidence.starts)
        + evidence.further_requests
        + REQUESTS_PER_TASK * sum(max(len(task.keys), 1) for task in tasks)
        + REQUESTS_PER_FAULT * faults
        + REQUESTS_PER_SECOND * evidence.main_seconds
    )


def storms(evidence: Evidence) -> Iterator[Violation]:
    """The number of requests is in proportion."""
    number, bound = len(evidence.records.requests), request_bound(evidence)
    if number > bound:
        kinds = Counter(request.kind for request in evidence.records.requests).most_common(3)
        yield Violation("request storm", f"{number} requests, more than {bound:.0f}: {kinds}")


def calls_after_429(evidence: Evidence) -> Iterator[Violation]:
    """After a 429, nothing is sent until its reset but what was on its way."""
    if evidence.everybody is not None or evidence.further_requests:
        return  # the log does not tell whose requests they are
    refused = [one for one in evidence.records.requests if one.status == TOO_MANY and one.is_call]
    while refused:
        first = refused[0].time
        is_fault = "rate-limit" in (refused[0].fault or "")
        reset = evidence.injected_reset if is_fault else evidence.reset
        window = [one for one in refused if one.time <= first + reset]
        refused = refused[len(window) :]
        late = [one for one in window if one.time > first + _ON_ITS_WAY]
        if len(late) > IN_FLIGHT * _started(evidence, first, reset):
            yield Violation("calls after 429", f"{len(late)} in {reset:.0f} s")


def _started(evidence: Evidence, moment: float, reset: float) -> int:
    """How many main processes started about then, and do not know what others were told."""
    return sum(-8 < start - moment < reset for start in evidence.starts)


def tracebacks(logs: Iterable[Path]) -> Iterator[Violation]:
    """Users never see one."""
    for log in logs:
        lines = list(_without_logging(log.read_text(errors="replace").splitlines()))
        for number, line in enumerate(lines):
            if line.startswith("Traceback (most recent call last)"):
                # What came before tells where it was ignored, its last lines what it was.
                shown = [lines[max(number - 1, 0)], *lines[number + 1 : number + 40]]
                end = next((n for n, one in enumerate(shown) if n and one[:1] != " "), 0)
                if shown[0].startswith(_AT_EXIT) and shown[end].startswith("KeyboardInterrupt"):
                    continue  # pressed when all was done, and Python was about to leave
                if _is_snakemakes_own(lines[number:]):
                    continue
                yield Violation("traceback", f"{log.name}: {' | '.join(shown[: end + 1])}")
                break


def _is_snakemakes_own(lines: Sequence[str]) -> bool:
    """Whether Snakemake could not write what it notes of jobs, for want of space."""
    end = next((n for n, line in enumerate(lines) if FULL in line), _NEAR)
    return end < _NEAR and not any(_OURS in line for line in lines[:end])


def _without_logging(lines: Iterable[str]) -> Iterator[str]:
    """Without what Python tells when Snakemake's own log could not be written."""
    is_logging = False
    for line in lines:
        is_logging = is_logging or line.endswith("--- Logging error ---")
        if not is_logging:
            yield line
        is_logging = is_logging and not line.startswith("Arguments: ")


def secrets(token: str, places: Iterable[Path], documents: Iterable[str]) -> Iterator[Violation]:
    """The token stands in no file of the run and in no task."""
    files = (
        path for place in places for path in ([place] if place.is_file() else place.rglob("*"))
    )
    for path in files:
        small = path.is_file() and path.stat().st_size < _LARGEST_SEARCHED
        if small and token.encode() in path.read_bytes():
            yield Violation("secret", f"the token is in {path}")
    if any(token in document for document in documents):
        yield Violation("secret", "the token is in a task")
