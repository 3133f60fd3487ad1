"""The attempts as the page's scripts read them: a list for each column. Pure.

Ten thousand attempts are a few MB this way, and texts that many have are there once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..entries import Attempt, Run, Status
from . import figures
from .failures import reason_of, sentence_of
from .links import safe_link
from .timeline import Bar, timeline

Column = list[Any]
_STDERR_SHOWN = 1500
_STDERR_IN_ALL = 2_000_000
"""Characters of stderr that the table can show."""


class _Texts:
    """Texts by number; each is there once."""

    def __init__(self) -> None:
        self.all: dict[str, int] = {}

    def number(self, text: str | None) -> int | None:
        return None if not text else self.all.setdefault(text, len(self.all))


def page_data(
    runs: Sequence[Run],
    attempts: Sequence[Attempt],
    rules: Sequence[figures.RuleFigures],
    utc_offset: float,
) -> dict[str, Any]:
    """All that the scripts need.

    Args:
        utc_offset: seconds by which the times that are shown are ahead of UTC.
    """
    texts = _Texts()
    drawn = timeline(runs, attempts)
    order = {rule.rule: number for number, rule in enumerate(rules)}
    return {
        "offset": utc_offset,
        "rules": [rule.rule for rule in rules],
        "boxes": {
            name: [_box(rule, name) for rule in rules]
            for name in figures.PLOTS
            if any(name in rule.boxes for rule in rules)
        },
        "currency": next((one.currency for one in attempts if one.currency), ""),
        "timeline": {
            "begin": drawn.begin,
            "end": drawn.end,
            "byRule": drawn.is_by_rule,
            "bands": [[band.label, band.rows] for band in drawn.bands],
            "runs": [[run.started, run.ended] for run in runs],
        },
        "columns": _columns(attempts, drawn.bars, order, texts),
        "texts": list(texts.all),
    }


def _box(rule: figures.RuleFigures, name: str) -> list[float] | None:
    box = rule.boxes.get(name)
    if box is None:
        return None
    return [_short(one) for one in (box.low, box.first, box.median, box.third, box.high)]


def _short(number: float) -> float:
    return round(number, 3)


def _columns(
    attempts: Sequence[Attempt],
    bars: Sequence[Bar | None],
    rules: dict[str, int],
    texts: _Texts,
) -> dict[str, Column]:
    def column(value: Callable[[Attempt], Any]) -> Column:
        found = map(value, attempts)
        return [round(one, 3) if isinstance(one, float) else one for one in found]

    def shared(value: Callable[[Attempt], str | None]) -> Column:
        return [texts.number(value(one)) for one in attempts]

    return {
        "title": column(lambda one: one.title),
        "rule": column(lambda one: rules[one.rule]),
        "state": shared(lambda one: str(one.status)),
        "number": column(lambda one: one.number),
        "task": column(lambda one: one.task),
        "reused": column(lambda one: one.reused_task or None),
        "page": column(lambda one: safe_link(one.page)),
        "run": shared(lambda one: one.run),
        "kind": shared(lambda one: "" if one.kind == "job" else one.kind),
        "shared": shared(lambda one: one.shared),
        "parent": shared(lambda one: one.parent),
        "app": shared(lambda one: one.app),
        "mode": shared(lambda one: one.mode),
        "image": shared(lambda one: one.image),
        "instance": shared(lambda one: one.instance),
        "spot": column(lambda one: None if one.spot is None else int(one.spot)),
        "reason": shared(_reason),
        "message": shared(sentence_of),
        "stderr": _stderr(attempts, texts),
        "submitted": column(lambda one: one.submitted),
        "queued": column(lambda one: one.queued),
        "started": column(lambda one: one.started),
        "ended": column(lambda one: one.ended),
        "ran": column(figures.seconds),
        "cores": column(lambda one: one.cores),
        "memory_mib": column(lambda one: one.memory_mib),
        "peak_mib": column(lambda one: one.measured.peak_memory_mib),
        "cpu_seconds": column(lambda one: one.measured.cpu_seconds),
        "old": column(lambda one: int(one.measured.is_old)),
        "exit": column(lambda one: one.measured.exit_status),
        "bytes_in": column(lambda one: one.bytes_in),
        "bytes_out": column(lambda one: one.bytes_out),
        **{name: column(figure) for name, figure in figures.PLOTS.items()},
        "bar": [None if bar is None else _bar(bar) for bar in bars],
    }


def _reason(attempt: Attempt) -> str | None:
    return reason_of(attempt) if attempt.reason or attempt.status is Status.FAILED else None


def _bar(bar: Bar) -> list[float]:
    return [_short(bar.begin), _short(bar.start), _short(bar.end), bar.row]


def _stderr(attempts: Sequence[Attempt], texts: _Texts) -> Column:
    """The end of each, as long as there is room for them all."""
    room = _STDERR_IN_ALL
    column: Column = []
    for one in attempts:
        text = one.stderr_end.strip("\n")[-_STDERR_SHOWN:]
        room -= len(text)
        column.append(texts.number(text) if room >= 0 else None)
    return column
