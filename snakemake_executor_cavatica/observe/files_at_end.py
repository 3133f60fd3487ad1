"""Files that a run writes when it is over, for those who asked for them."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..api import CavaticaError, ConfigurationError
from .entries import Attempt
from .record import read_record
from .trace import trace
from .whole_file import write_whole


@dataclass(frozen=True)
class FilesAtEnd:
    """Where they go; None is what nobody has asked for."""

    trace: Path | None = None
    report: Path | None = None

    def write(
        self, run: str, record: Path, attempts: Sequence[Attempt], logger: logging.Logger
    ) -> list[tuple[str, Path]]:
        """Write them; those that are there now, with what they are.

        That one cannot be written does not make a failure of a run: it is told.

        Args:
            run: the run's id.
            record: the folder of its record.
            attempts: what that tells.
        """
        written = []
        if self.trace is not None and _write_trace(self.trace, attempts, logger):
            written.append(("trace", self.trace))
        if self.report is not None and not attempts:
            logger.warning("There is no report of this run: it has started no task.")
        elif self.report is not None and _write_report(self.report, run, record, logger):
            written.append(("report", self.report))
        return written


def files_at_end(trace: str | None, report: str | None) -> FilesAtEnd:
    """What the options say, seen to before the run begins.

    Raises:
        CavaticaError: no such file can be there, or no report can be made here.
    """
    if report is not None:
        from .report.document import check_possible  # noqa: PLC0415 - few want a report

        check_possible()
    return FilesAtEnd(_path("--cavatica-trace", trace), _path("--cavatica-report", report))


def _path(option: str, text: str | None) -> Path | None:
    if text is None:
        return None
    path = Path(text).absolute()  # a workflow may change the directory
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else "is in a folder that does not exist"
        raise ConfigurationError(f"{option} {text} {problem}; name a file.")
    return path


def _write_trace(path: Path, attempts: Iterable[Attempt], logger: logging.Logger) -> bool:
    try:
        write_whole(path, trace(attempts), errors="backslashreplace")
    except OSError as error:
        logger.warning(f"The trace {path} cannot be written: {error.strerror}.")
        return False
    return True


def _write_report(path: Path, run: str, record: Path, logger: logging.Logger) -> bool:
    from .report.document import write_report  # noqa: PLC0415 - few want a report

    try:
        write_report(read_record(record), path)
    except Exception as error:  # whatever it is: the run is what counts
        why = str(error) if isinstance(error, CavaticaError) else f"Fault of the plugin: {error!r}."
        later = f"snakemake-cavatica report {run} -o {shlex.quote(path.name)}"
        logger.warning(f"There is no report of this run. {why} Later, this makes it: {later}")
        logger.debug("The report could not be made:", exc_info=True)
        return False
    return True
