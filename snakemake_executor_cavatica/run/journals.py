"""The journals of runs in the plugin's folder of a project, and which of the runs are alive."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from ..api import Client, ConfigurationError, File
from ..api.download import download
from ..project.index import ProjectIndex
from ..project.paths import SCHEME, ProjectPath
from .journal import JOURNAL, Record, State, process_in
from .processes import is_dead, number_if_alive_here

logger = logging.getLogger(__name__)

_MISSED_BEATS = 2.5
"""Signs of life that a living run does not miss."""
_LOOKS = 5
LONG_SILENCE = 10
"""Signs of life; after so many, nobody need wait for the next one."""


class Journals:
    """The runs that left a journal."""

    def __init__(self, client: Client, index: ProjectIndex, home: ProjectPath) -> None:
        """`home` is the plugin's folder, `index` that of its project."""
        self._client = client
        self._index = index
        self._home = home
        self._records: list[Record] | None = None
        self._silent: set[str] = set()

    @property
    def records(self) -> list[Record]:
        """Their journals, as they were when first asked for."""
        if self._records is None:
            entries = self._index.children(self._home.path)
            names = [entry.path.rpartition("/")[2] for entry in entries]
            self._records = self._read(
                entry.id
                for entry, name in zip(entries, names, strict=True)
                if name.startswith(JOURNAL) and not entry.folder
            )
        return self._records

    def _read(self, files: Iterable[str]) -> list[Record]:
        answers = self._client.get_files(files).values()
        return Record.read(file for file in answers if isinstance(file, File))

    def is_over(self, record: Record) -> bool:
        """Whether a run is dead, as far as that can be known."""
        return record.is_over or record.run in self._silent

    def in_scope(self, scope: str) -> list[Record]:
        """The runs that worked on the same files."""
        return [record for record in self.records if record.is_about(scope)]

    def wait_until_over(self, record: Record, interval: float) -> None:
        """Wait to see whether a run is alive, if it may be; `interval` is between signs, seconds.

        Raises:
            ConfigurationError: it is.
        """
        if self.is_over(record):
            return
        if record.age(self._client.transport.clock.now()) < LONG_SILENCE * interval:
            self._listen(record, interval)
        self._silent.add(record.run)

    def _listen(self, record: Record, interval: float) -> None:
        patience = _MISSED_BEATS * interval
        logger.warning(
            "The run %s on %s worked on the same files, and may still do so. Waiting up to %.0f s "
            "for a sign of life.",
            record.run,
            record.host,
            patience,
        )
        end = time.monotonic() + patience
        while time.monotonic() < end:
            time.sleep(interval / 6)
            now = self._read(record.files)
            if not now or now[0].state is State.ENDED:
                raise ConfigurationError(
                    f"The run {record.run}, which worked on the same files, has ended at this "
                    "moment. Start again, so that its results are taken into account."
                )
            if now[0].is_over:
                return
            if now[0].seen != record.seen:
                raise conflict(record)

    def refresh(self) -> None:
        """Read the journals once more: time has passed since the workflow was parsed."""
        if self.records:
            self._records = self._read(file for record in self.records for file in record.files)

    def begun_in_vain(self, interval: float) -> list[Record]:
        """Those of runs that died before they could say what they work on: they have no tasks.

        Args:
            interval: seconds between two signs of life.

        Raises:
            CavaticaError: it cannot be found out.
        """
        nameless = [file for one in self.records if not one.scope for file in one.files]
        return [
            one
            for one in self._read(nameless)
            if not one.scope and self._has_died_early(one, interval)
        ]

    def _has_died_early(self, record: Record, interval: float) -> bool:
        with tempfile.TemporaryDirectory() as scratch:
            text = Path(scratch, "journal.txt")
            download(self._client, record.files[0], text)
            process = process_in(text.read_text(errors="replace"))
        if is_dead(process):
            return True
        silence = record.age(self._client.transport.clock.now())
        return number_if_alive_here(process) is None and silence >= LONG_SILENCE * interval

    def gives_signs(self, record: Record) -> bool:
        """Whether a run that was taken for dead is alive after all."""
        now = self._read(record.files)
        return bool(now) and now[0].seen != record.seen and not now[0].successor

    def newcomers(self, own: str, scope: str) -> list[Record]:
        """Runs on the same files whose journals have appeared since, before our own did."""
        entry = self._index.find(self._home.path)
        if entry is None:
            return []
        known = {file for record in self.records for file in record.files}
        names = {
            file.id: file.name
            for file in self._client.list_files(parent=entry.id)
            if file.name.startswith(JOURNAL) and not file.is_folder and file.id not in known
        }
        if len(names) <= 1:
            return []
        records = self._read(names)
        for _ in range(_LOOKS):
            if all(record.scope for record in records):
                break
            time.sleep(1.0)  # one has just been stored, and does not say yet what it is about
            records = self._read(names)
        records.sort(key=lambda record: (record.began, record.run))
        ours = next((one for one in records if one.run == own), None)
        earlier = records[: records.index(ours)] if ours else records
        return [one for one in earlier if one.is_about(scope) and not one.is_over]


def outdated_by(run: str) -> ConfigurationError:
    """The error for a plan that another run has overtaken."""
    return ConfigurationError(
        f"The Snakemake run {run} has worked on the same files since this run was planned, and "
        "before it started any job (if it took that long: was this machine asleep?). Run the same "
        "command again, so that these results are taken into account."
    )


def conflict(record: Record) -> ConfigurationError:
    """The error for two runs on the same files."""
    where = record.scope if record.scope.startswith(SCHEME) else "this working directory"
    return ConfigurationError(
        f"The Snakemake run {record.run} on {record.host} works on the same files ({where}) at "
        "this moment, and two runs would overwrite each other's results. Wait until it has ended, "
        "or stop it; --nolock starts nevertheless."
    )
