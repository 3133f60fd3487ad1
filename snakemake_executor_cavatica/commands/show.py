"""How commands show what they know: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ..finish.foreign_text import one_line
from ..observe.costs import Spent
from ..observe.entries import Attempt
from ..observe.lines import ATTEMPT, attempt_line
from ..observe.told import Told

_FOR_FILES = 10_000
"""Columns where nobody looks at a terminal: no line is broken, and nothing is cut."""
_COLOURS = {
    **dict.fromkeys(("done", "reused"), "green"),
    **dict.fromkeys(("failed", "killed"), "red"),
    **dict.fromkeys(("limit", "cancelled", "left", "silent", "unknown", "detached"), "yellow"),
    "running": "cyan",
}


def console() -> Console:
    """Where tables go. Colours and widths are those of the terminal, if it is one."""
    width = None if sys.stdout.isatty() else _FOR_FILES
    return Console(width=width, highlight=False, markup=False, emoji=False)


def show(*parts: RenderableType) -> None:
    """Print for people; where no terminal is, without spaces at the ends of lines."""
    out = console()
    if out.is_terminal:
        for part in parts:
            out.print(part)
        return
    with out.capture() as captured:
        for part in parts:
            out.print(part)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def show_json(document: Mapping[str, Any]) -> None:
    """Print for programs."""
    sys.stdout.write(f"{json.dumps(document, indent=2)}\n")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: str = "") -> Table:
    """A plain table; `numbers` names the columns that are flush right, separated by spaces."""
    found = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    right = numbers.split()
    for name in columns:
        is_number = name in right
        found.add_column(
            name, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number
        )
    for row in rows:
        found.add_row(*map(cell, row))
    return found


def cell(value: object) -> Text:
    """What stands in a table: harmless, whatever it says, and coloured where it is a state."""
    text = one_line("" if value is None else str(value))
    return Text(text, style=_COLOURS.get(text, ""))


def moment(seconds: float | None) -> str:
    """A time as people here read it; the day only if it is not today."""
    if seconds is None:
        return "-"
    when = datetime.fromtimestamp(seconds).astimezone()
    is_today = when.date() == datetime.now().astimezone().date()
    return f"{when:%H:%M:%S}" if is_today else f"{when:%Y-%m-%d %H:%M}"


def remarks(told: Iterable[str]) -> None:
    """Tell on stderr what is not known, so that what a program reads stays as it is."""
    for remark in dict.fromkeys(told):
        sys.stderr.write(f"{one_line(remark)}\n")


# ---------------------------------------------------------------------------------- documents


def attempt_document(attempt: Attempt) -> dict[str, Any]:
    """An attempt as in the record: what goes without saying is left out."""
    document: dict[str, Any] = attempt_line(attempt)[ATTEMPT]
    return document


def spent_document(spent: Spent) -> dict[str, Any]:
    """An amount."""
    return {
        "known": round(spent.known, 6),
        "guessed": round(spent.guessed, 6),
        "currency": spent.currency,
    }


def source_document(told: Told) -> dict[str, Any]:
    """Who tells, and what they do not know."""
    return {
        "source": told.source,
        "requests": told.requests,
        "is_current": told.is_current,
        "remarks": list(told.remarks),
    }
