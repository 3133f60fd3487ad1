"""The lines of a record: each tells what is new of a run or of an attempt. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any, TypeVar

from pydantic import TypeAdapter

from .entries import RECORD_VERSION, Attempt, Measured, Run

RUN = "run"
ATTEMPT = "attempt"
_VERSION = "version"

Entry = TypeVar("Entry", Run, Attempt)


def run_line(run: Run, changes: Iterable[str] | None = None) -> dict[str, Any]:
    """The line that tells of a run these fields, or all; it tells the version, too."""
    return {RUN: _told(run, changes), _VERSION: RECORD_VERSION}


def attempt_line(attempt: Attempt, changes: Iterable[str] | None = None) -> dict[str, Any]:
    """The line that tells of an attempt these fields, or all."""
    return {ATTEMPT: _told(attempt, changes)}


def _told(entry: Run | Attempt, changes: Iterable[str] | None) -> dict[str, Any]:
    """The id, and these fields; at first all but what goes without saying."""
    if changes is None:
        usual = _USUAL[type(entry)]
        changes = [name for name, value in usual.items() if getattr(entry, name) != value]
    return {"id": entry.id, **{name: _plain(getattr(entry, name)) for name in changes}}


def _default(item: Any) -> Any:
    return item.default_factory() if item.default_factory is not MISSING else item.default


_USUAL = {kind: {item.name: _default(item) for item in fields(kind)} for kind in (Run, Attempt)}
"""What the fields hold that are not told."""


def _plain(value: Any) -> Any:
    if isinstance(value, Measured):
        known = asdict(value).items()
        return {name: one for name, one in known if one is not None and one is not False}
    if isinstance(value, float):
        return round(value, 9)  # packed jobs have a share of a price
    return dict(value) if isinstance(value, Mapping) else value


def version_of(line: Mapping[str, Any]) -> int:
    """The version of the record, as far as the line tells."""
    version = line.get(_VERSION, RECORD_VERSION)
    return version if isinstance(version, int) else RECORD_VERSION


def read_run(news: Mapping[str, Any]) -> Run:
    """A run, from all that its lines say; what this version has no name for is passed over.

    Raises:
        ValueError: that is not enough, or of another kind.
    """
    return _within_reason(_RUN.validate_python(news))


def read_attempt(news: Mapping[str, Any]) -> Attempt:
    """An attempt, in the same way.

    Raises:
        ValueError: that is not enough, or of another kind.
    """
    return _within_reason(_ATTEMPT.validate_python(news))


_RUN, _ATTEMPT = TypeAdapter(Run), TypeAdapter(Attempt)
_LATEST = 1e11
"""Seconds since the epoch, or anything else with decimals: what is more, no calendar has."""
_MOST = 2**63
"""Of what is counted: more than that cannot be reckoned with."""


def _within_reason(entry: Entry) -> Entry:
    for number in _numbers(entry):
        if not abs(number) <= (_LATEST if isinstance(number, float) else _MOST):  # or it is NaN
            raise ValueError(f"{number} is beyond all reason")
    return entry


def _numbers(entry: Run | Attempt | Measured) -> Iterator[float]:
    for item in fields(entry):
        value = getattr(entry, item.name)
        if isinstance(value, Measured):
            yield from _numbers(value)
        elif isinstance(value, int | float):
            yield value
