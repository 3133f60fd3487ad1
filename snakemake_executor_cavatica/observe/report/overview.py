"""The first part of a report: what ran, how it ended, and the same lines as in the log. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from ..entries import Attempt, Run, Status
from ..jobs import last_attempts
from ..summary import facts
from .rule_graph import HEIGHT, draw, read_graph
from .timeline import last_moment

_ENDS = {
    "done": "All jobs are done",
    "failed": "The run failed",
    "limit": "The run ended at the limit of its cost",
    "cancelled": "The run was cancelled",
    "detached": "The run was left, and its tasks go on",
    "successor": "Another run went on with the tasks",
}
_STOPPED = "The run was ended from outside"
_GOES_ON = "The run goes on, or was ended from outside"
ORDER = (
    Status.FAILED,
    Status.CANCELLED,
    Status.LEFT,
    Status.RUNNING,
    Status.QUEUED,
    Status.SUBMITTED,
    Status.REUSED,
    Status.DONE,
)
"""Which state names a rule whose jobs are in several."""
_ENVIRONMENT = "environment"


@dataclass(frozen=True)
class RunLine:
    """One of the runs that the record is about."""

    id: str
    command: str
    begin: str
    end: str
    outcome: str


@dataclass(frozen=True)
class Overview:
    """What stands at the top."""

    title: str
    state: str
    """done or failed, or queued where it cannot be said."""
    stretches: tuple[tuple[str, int, int], ...]
    """How many jobs are in which state, and how many before them."""
    facts: tuple[tuple[str, str], ...]
    runs: tuple[RunLine, ...]

    @property
    def number(self) -> int:
        """All jobs."""
        return sum(number for _, number, _ in self.stretches)


@dataclass(frozen=True)
class RuleBox:
    """A rule in the workflow's graph."""

    name: str
    label: str
    x: float
    y: float
    width: float
    height: float
    state: str
    text: str


@dataclass(frozen=True)
class GraphView:
    """The workflow's graph, ready to be drawn."""

    width: float
    height: float
    boxes: tuple[RuleBox, ...]
    lines: tuple[str, ...]


def overview(runs: Sequence[Run], attempts: Sequence[Attempt], *, is_dead: bool) -> Overview:
    """What there is to say at first.

    Args:
        is_dead: whether the last run is known to be over, whatever its record says.
    """
    run = runs[-1]
    so_far = run if run.ended is not None else replace(run, ended=last_moment([run], attempts))
    jobs = [one for one in last_attempts(attempts) if one.kind != _ENVIRONMENT]
    counts = Counter(one.status for one in jobs)
    return Overview(
        title=_title(run, is_dead=is_dead),
        state=_state(run, counts),
        stretches=tuple(_stretches(run, jobs, counts)),
        facts=tuple((name, f"{text}.") for name, text in facts(so_far, attempts)),
        runs=tuple(map(_run_line, runs)),
    )


def _stretches(
    run: Run, jobs: Sequence[Attempt], counts: Counter[Status]
) -> Iterator[tuple[str, int, int]]:
    before = 0
    for status in reversed(ORDER):
        if counts[status]:
            yield str(status), counts[status], before
            before += counts[status]
    begun = sum(one.is_of(run.id) for one in jobs)
    missing = (run.jobs_planned or 0) - begun
    if missing > 0:
        yield "not_started", missing, before


def _title(run: Run, *, is_dead: bool) -> str:
    if run.outcome in _ENDS:
        return _ENDS[run.outcome]
    return _STOPPED if is_dead else _GOES_ON


def _state(run: Run, counts: Counter[Status]) -> str:
    if run.outcome == "failed" or counts[Status.FAILED]:
        return "failed"
    return "done" if run.outcome == "done" else "queued"


def _run_line(run: Run) -> RunLine:
    return RunLine(
        id=run.id,
        command=run.command,
        begin=moment(run.started),
        end="" if run.ended is None else moment(run.ended),
        outcome=run.outcome or "no end on record",
    )


def moment(seconds: float) -> str:
    """A time as this machine's clock shows it."""
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}"


def zone(seconds: float) -> tuple[str, float]:
    """How this machine's times differ from UTC, in words and in seconds."""
    offset = datetime.fromtimestamp(seconds).astimezone().utcoffset()
    ahead = 0 if offset is None else round(offset.total_seconds())
    hours, minutes = divmod(abs(ahead) // 60, 60)
    return f"UTC{'-' if ahead < 0 else '+'}{hours:02}:{minutes:02}" if ahead else "UTC", ahead


def graph_view(runs: Iterable[Run], attempts: Iterable[Attempt]) -> GraphView | None:
    """The graph of the last run that tells one; None if none does."""
    run = next((one for one in reversed(list(runs)) if one.graph), None)
    graph = read_graph(run.graph if run is not None else "")
    if run is None or not graph.rules:
        return None
    by_rule: dict[str, Counter[Status]] = {}
    for one in last_attempts(attempts):
        by_rule.setdefault(one.rule, Counter())[one.status] += 1
    counts = {rule: by_rule.get(rule, Counter()) for rule in graph.rules}
    texts = {
        rule: _text_of_rule(counts[rule], run.jobs_by_rule.get(rule, 0)) for rule in graph.rules
    }
    drawing = draw(graph, texts)
    boxes = [
        RuleBox(
            name=place.rule,
            label=place.label,
            x=round(place.x - place.width / 2, 1),
            y=place.y - HEIGHT / 2,
            width=place.width,
            height=HEIGHT,
            state=_state_of_rule(counts[place.rule]),
            text=texts[place.rule],
        )
        for place in drawing.places
    ]
    return GraphView(drawing.width, drawing.height, tuple(boxes), drawing.lines)


def _state_of_rule(counts: Counter[Status]) -> str:
    return next((str(status) for status in ORDER if counts[status]), "none")


def _text_of_rule(counts: Counter[Status], planned: int) -> str:
    told = [f"{counts[status]} {status}" for status in reversed(ORDER) if counts[status]]
    if told:
        return ", ".join(told)
    return f"{planned} not started" if planned else "no task"
