"""Notes of the runs that were submitted from a directory: what else they leave is elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from .entries import Run
from .record import records_here, written_at
from .standing import Standing
from .told import Told

SUBMITTED = Path(".snakemake/cavatica/submitted")
"""Below the working directory: a note for each run, which is called like it."""


@dataclass(frozen=True)
class SubmittedRun:
    """A run that was submitted from here, of which the platform alone tells more."""

    run: str
    endpoint: str
    project: str
    """Of the jobs."""
    home: str
    """The project of its main process."""
    submitted: float
    """Seconds since the epoch."""

    @property
    def told(self) -> Told:
        """What is known of it without a request."""
        run = Run.by_name(
            self.run,
            endpoint=self.endpoint,
            project=self.project,
            place="storage",
            started=self.submitted,
        )
        return Told((run,), (), Standing.UNKNOWN, is_current=False)


_NOTE = TypeAdapter(SubmittedRun)


def note_submission(directory: Path, submission: SubmittedRun) -> None:
    """Leave a note of a run.

    Raises:
        OSError: it cannot be written.
    """
    folder = directory / SUBMITTED
    folder.mkdir(parents=True, exist_ok=True)
    (folder / submission.run).write_text(json.dumps(asdict(submission)), encoding="utf-8")


def submissions_here(directory: Path) -> list[SubmittedRun]:
    """The runs that were submitted from a working directory, the newest first."""
    return sorted(_notes(directory), key=lambda one: one.submitted, reverse=True)


def newest_submission(directory: Path) -> SubmittedRun | None:
    """The newest run of a working directory, if it was submitted; None if another one is newer."""
    newest = next(iter(submissions_here(directory)), None)
    records = records_here(directory)
    if newest is None or (records and written_at(records[0]) > newest.submitted):
        return None
    return newest


def _notes(directory: Path) -> Iterator[SubmittedRun]:
    """Those that can be read: the platform tells of the others, too."""
    for path in (directory / SUBMITTED).glob("*"):
        with suppress(OSError, ValueError):
            yield _NOTE.validate_json(path.read_bytes())
