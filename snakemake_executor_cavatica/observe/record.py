"""Reads the records of runs, from which everything else is told.

A record lies below `.snakemake/cavatica/runs/<run>/`. It is that of the run of this name and of all
runs that went on where it was interrupted. It can be read while it is being written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..api.answers import read_json
from ..api.errors import CavaticaError
from ..run.run_id import is_called
from . import lines
from .entries import RECORD_VERSION, Attempt, Run
from .lines import Entry

RUNS = Path(".snakemake/cavatica/runs")
"""Below the working directory: the folders of all records."""
RECORD = "record.jsonl"
MOST_RECORDS = 20
"""From which is told what earlier runs have used."""
_A_FEW = 5


class UnreadableRecord(CavaticaError):
    """There is no such record, or this version cannot read it."""


@dataclass(frozen=True)
class Record:
    """What a record says; `remarks` are sentences about what could not be read."""

    folder: Path
    runs: tuple[Run, ...]
    """In the order in which they worked on it."""
    attempts: tuple[Attempt, ...]
    """In the order in which they began."""
    remarks: tuple[str, ...] = ()


def read_record(folder: Path) -> Record:
    """The record in a folder.

    Raises:
        UnreadableRecord: there is none, or a newer version of the plugin has written it.
    """
    path = folder / RECORD
    remarks: list[str] = []
    runs: dict[str, dict[str, Any]] = {}
    attempts: dict[str, dict[str, Any]] = {}
    for number, line in _lines(path, remarks):
        _check_version(path, line)
        _gather(runs, line.get(lines.RUN), number)
        _gather(attempts, line.get(lines.ATTEMPT), number)
    return Record(
        folder,
        tuple(_entries(runs, lines.read_run, path, remarks)),
        tuple(_entries(attempts, lines.read_attempt, path, remarks)),
        tuple(remarks),
    )


def _lines(
    path: Path, remarks: list[str], begin: bytes = b""
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines that are whole, with their numbers; only those that begin so."""
    try:
        with path.open("rb") as stream:
            for number, text in enumerate(stream, 1):
                if not (text.strip() and text.startswith(begin)):
                    continue
                try:
                    line = read_json(text)
                except ValueError:
                    remarks.append(
                        f"Line {number} of {path} is cut short (was the run killed, or the disk "
                        "full, while it was written?); what it told is missing."
                    )
                    continue
                if isinstance(line, dict):
                    yield number, line
    except OSError as error:
        raise UnreadableRecord(f"The record {path} cannot be read: {error.strerror}.") from error


def _gather(found: dict[str, dict[str, Any]], news: object, number: int) -> None:
    """Take note of what a line, of that number, says of a run or an attempt, if it does."""
    if isinstance(news, dict):
        found.setdefault(str(news.get("id", f"line {number}")), {}).update(news)


def _check_version(path: Path, line: dict[str, Any]) -> None:
    version = lines.version_of(line)
    if version > RECORD_VERSION:
        raise UnreadableRecord(
            f"The record {path} has version {version}, and this version of the plugin reads up to "
            f"{RECORD_VERSION}. Install the version that wrote it, or a newer one."
        )


def _entries(
    found: Mapping[str, Mapping[str, Any]],
    read: Callable[[Mapping[str, Any]], Entry],
    path: Path,
    remarks: list[str],
) -> Iterator[Entry]:
    for identifier, values in found.items():
        try:
            yield read(values)
        except ValueError:
            remarks.append(
                f"What {path} says of {identifier} is not enough to know what it is, or of another "
                "kind than it should be; it is left out."
            )


# ------------------------------------------------------------------------------- which record


def records_here(directory: Path) -> list[Path]:
    """The folders of all records of a working directory, the one written to last first."""
    found = [path for path in (directory / RUNS).glob(f"*/{RECORD}") if path.is_file()]
    return [path.parent for path in sorted(found, key=_written, reverse=True)]


def newest_records(directory: Path) -> list[Record]:
    """The newest that can be read: what others tell is enough, or is missed."""
    records = []
    for folder in records_here(directory)[:MOST_RECORDS]:
        with suppress(UnreadableRecord):
            records.append(read_record(folder))
    return records


def written_at(folder: Path) -> float:
    """When the record in a folder was written to last; seconds since the epoch."""
    return (folder / RECORD).stat().st_mtime


def _written(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime, path.parent.name


def find_record(directory: Path, run: str | None = None) -> Path:
    """The folder of the record in which a run is, by its id or the end of it, or the newest one is.

    Raises:
        UnreadableRecord: there is none.
    """
    here = records_here(directory)
    known: list[str] = []
    for folder in here:
        runs = [one.id for one in runs_in(folder)]
        if run is None or any(is_called(one, run) for one in runs):
            return folder
        known += runs
    if not here:
        raise UnreadableRecord(f"No run has left a record here ({directory / RUNS}).")
    raise UnreadableRecord(
        f"No record in {directory / RUNS} is about the run {run}. The newest ones are about "
        f"{', '.join(known[:_A_FEW])}{' ...' if known[_A_FEW:] else ''}."
    )


def runs_in(folder: Path) -> list[Run]:
    """The runs that a record is about, without reading all of it; none if it cannot be read."""
    path, runs = folder / RECORD, dict[str, dict[str, Any]]()
    try:
        for number, line in _lines(path, [], f'{{"{lines.RUN}":'.encode()):
            _gather(runs, line.get(lines.RUN), number)
    except UnreadableRecord:
        return []
    return list(_entries(runs, lines.read_run, path, []))
