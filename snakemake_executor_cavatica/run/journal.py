"""A run's journal on the platform: what another process needs to take the run up if this one dies.

The journal is a small file in the plugin's folder, there as long as the run is. What changes stands
in its metadata: one call merges new entries into it and brings back what others have written
(documented; at most 1,000 entries a file and 300 bytes a value).
"""

from __future__ import annotations

import logging
import platform
import re
import tempfile
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from ..api import CavaticaError, Client, Conflict, File, NotFound, Stop
from ..api.clock import Moment
from ..api.upload import upload
from .processes import is_dead, this_process

logger = logging.getLogger(__name__)

JOURNAL = "under-way-"
"""Before a run's id: the name of its journal."""

UNKNOWN = "?"
"""In place of a run's id: one that took this run up while it was silent, and has ended since. It
has removed the journal, as `clean` may have done: both mean that nobody counted on this run.
"""

_PREFIX = "snakemake_"
_REPORTED = f"{_PREFIX}reported_"
_VALUE = 300
"""Bytes in one metadata value (documented)."""
_ENTRIES = 900
"""Entries that one file holds, with room for those that are not results."""
_TEXT = """\
This file shows that the Snakemake run {run} is under way on {host}. Its metadata tells the next
run which results have arrived, should this one be killed. It is removed when the run ends; if it
stays behind, `snakemake-cavatica clean --runs {run}` removes it.

Process: {process}
"""
_PROCESS = re.compile(r"^Process: (.*)$", re.MULTILINE)


class State(StrEnum):
    """How a run stands, as far as it could still say so."""

    RUNNING = "running"
    ENDED = "ended"
    """In order, but tasks have results that were not reported any more."""
    DETACHED = "detached"
    """The tasks were left running on purpose."""


@dataclass(frozen=True)
class Record:
    """What a run's journal says."""

    run: str
    files: tuple[str, ...]
    """Ids; the first holds all but results that did not fit in."""
    scope: str
    """What only one run at a time may work on: a storage prefix, or a working directory."""
    host: str
    process: str
    began: datetime
    """By the platform's clock."""
    seen: str
    """When the run last gave a sign of life, by the platform's clock."""
    state: State
    successor: str
    """The run that has taken this one up; empty if none has."""
    reported: frozenset[str]
    """Tasks whose jobs were reported as finished."""

    def is_about(self, scope: str) -> bool:
        """Whether the run works on this."""
        return self.scope == _short(scope)

    @classmethod
    def read(cls, files: Iterable[File]) -> list[Record]:
        """The journals among files. One that holds too much for one file has several."""
        pages: dict[str, list[File]] = {}
        for file in sorted(files, key=lambda file: file.name):
            if file.name.startswith(JOURNAL) and not file.is_folder:
                run = file.name.removeprefix(JOURNAL).partition(".")[0]
                pages.setdefault(run, []).append(file)
        return [cls._read(run, files) for run, files in pages.items()]

    @classmethod
    def _read(cls, run: str, pages: list[File]) -> Record:
        first = pages[0]
        entries = {str(key): str(value) for key, value in first.metadata.items()}
        state = entries.get(f"{_PREFIX}state", "")
        return cls(
            run=run,
            files=tuple(page.id for page in pages),
            scope=entries.get(f"{_PREFIX}scope", ""),
            host=entries.get(f"{_PREFIX}host", "another machine"),
            process=entries.get(f"{_PREFIX}process", ""),
            began=first.created_on or datetime.fromtimestamp(0, UTC),
            seen=entries.get(f"{_PREFIX}seen", ""),
            state=State(state) if state in set(State) else State.RUNNING,
            successor=entries.get(f"{_PREFIX}heir", ""),
            reported=frozenset(
                task
                for page in pages
                for key, value in page.metadata.items()
                if str(key).startswith(_REPORTED)
                for task in str(value).split()
            ),
        )

    @property
    def is_over(self) -> bool:
        """Whether the run is known to be dead, or has given its tasks up."""
        return bool(self.successor) or self.state is not State.RUNNING or is_dead(self.process)

    def age(self, now: datetime) -> float:
        """Seconds since the last sign of life; `now` is by the platform's clock.

        A machine whose clock is wrong would else take a run that goes on for dead.
        """
        try:
            return (now - datetime.fromisoformat(self.seen)).total_seconds()
        except ValueError:
            return (now - self.began).total_seconds()


class _Reported:
    """Tasks that were reported, as many in one entry of the journal as it holds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[str] = []
        self._unwritten: set[int] = set()

    def note(self, task_id: str) -> None:
        with self._lock:
            longer = f"{self._entries[-1]} {task_id}" if self._entries else task_id
            if self._entries and len(longer.encode()) <= _VALUE:
                self._entries[-1] = longer
            else:
                self._entries.append(task_id)
            self._unwritten.add(len(self._entries) - 1)

    @property
    def is_new(self) -> bool:
        """Whether there is something to write."""
        with self._lock:
            return bool(self._unwritten)

    def take(self) -> dict[int, str]:
        """What is to be written, by the entry's number."""
        with self._lock:
            entries = {number: self._entries[number] for number in self._unwritten}
            self._unwritten.clear()
            return entries

    def put_back(self, entries: Iterable[int]) -> None:
        """These could not be written."""
        with self._lock:
            self._unwritten.update(entries)


class Journal:
    """The journal of this run. Written by a thread of its own, in which no error is fatal."""

    def __init__(
        self,
        client: Client,
        parent: str | None,
        run: str,
        *,
        on_successor: Callable[[str], None],
    ) -> None:
        """`client` is one that gives up soon, `parent` the id of the plugin's folder, and
        `on_successor` is told, once, which other run has taken this one up.
        """
        self._client = client
        self._parent = parent
        self._run = run
        self._on_successor = on_successor
        self._writing = threading.Lock()
        self._over = Stop()
        self._reported = _Reported()
        self._pages: list[str] = []
        self._has_successor = False
        self._is_gone = False
        self._interval = 0.0
        self._acknowledged = Moment(0.0, 0.0)
        """When the last sign of life was sent that the platform has taken; not when its answer was
        here, since a machine may fall asleep in between.
        """
        self._thread: threading.Thread | None = None

    def open(self, client: Client, scope: str, interval: float) -> None:
        """Store the journal, with all patience of `client`, and keep it from now on.

        Args:
            interval: seconds between two signs of life.

        Raises:
            CavaticaError: it cannot be stored.
        """
        self._add_page(client)
        entries = {"scope": scope, "host": platform.node(), "process": this_process()}
        began = Moment()
        client.update_metadata(
            self._pages[0],
            {f"{_PREFIX}{key}": _short(value) for key, value in entries.items()}
            | _sign_of_life(client),
        )
        self._interval, self._acknowledged = interval, began
        self._thread = threading.Thread(
            target=self._keep, args=(interval,), name="cavatica-journal", daemon=True
        )
        self._thread.start()

    @property
    def is_silent(self) -> bool:
        """Whether others may have taken this run for dead."""
        return self._acknowledged.longest > 2 * self._interval

    def report(self, task_id: str) -> None:
        """Note that a task's job was reported as finished; written soon."""
        self._reported.note(task_id)

    def is_written(self) -> bool:
        """Whether all that was reported is on the platform; written now if it is not."""
        return self.write() if self._reported.is_new else True

    def write(self) -> bool:
        """Write what is new, and a sign of life; what cannot be written now is written later."""
        try:
            self.confirm(self._client)
        except CavaticaError as error:
            logger.debug("The journal could not be written: %s", error)
            return False
        return True

    def confirm(self, client: Client) -> None:
        """Write, and see whether this run is still the one that its tasks belong to.

        Raises:
            CavaticaError: it cannot be written.
        """
        with self._writing:
            if self._is_gone:
                return
            entries, began = self._reported.take(), Moment()
            try:
                successor = self._write(client, entries)
                self._acknowledged = began
            except NotFound:
                self._is_gone = True
                self._over.set()
                if not self.is_silent:
                    logger.warning(
                        "The journal of this run on the platform is gone (was it cleaned away?). "
                        "If the run is killed, another machine cannot take it up."
                    )
                    return
                successor = UNKNOWN
            except CavaticaError:
                self._reported.put_back(entries)
                raise
            is_news = bool(successor) and not self._has_successor
            self._has_successor = self._has_successor or is_news
        if is_news:  # told without a lock: Snakemake's own locks are taken there
            self._over.set()
            self._on_successor(successor)

    def close(self, state: State | None) -> None:
        """Say how the run stands at its end, or remove the journal: there is nothing to take up.

        Raises:
            CavaticaError: that did not work.
        """
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if state is None:
            for page in self._pages:
                self._client.delete_file(page, missing_ok=True)
            return
        self.write()
        self._client.update_metadata(self._pages[0], {f"{_PREFIX}state": str(state)})

    def inherit(self, client: Client, record: Record) -> bool:
        """Tell a dead run's journal that this run has taken its tasks up; False if it is alive.

        Its machine may wake up at this very moment. It asks its journal before it does anything,
        so either it finds this there, or its new sign of life is in the answer here.

        Raises:
            CavaticaError: that did not work.
        """
        answer = client.update_metadata(record.files[0], {f"{_PREFIX}heir": self._run})
        return str(answer.get(f"{_PREFIX}seen") or record.seen) == record.seen

    def leave_to(self, client: Client, record: Record) -> None:
        """Take that back.

        Raises:
            CavaticaError: that did not work.
        """
        client.update_metadata(record.files[0], {f"{_PREFIX}heir": ""})

    # ------------------------------------------------------------------------------- writing

    def _keep(self, interval: float) -> None:
        last = time.time()
        while not self._over.wait(interval / 6):
            # By the wall clock: the other one stands still while a machine sleeps.
            if self._reported.is_new or abs(time.time() - last) >= interval:
                last = time.time()
                self.write()

    def _write(self, client: Client, entries: Mapping[int, str]) -> str:
        """Returns which other run has taken this one up; empty if none has."""
        successor = ""
        pages: defaultdict[int, dict[str, str]] = defaultdict(dict)
        pages[0] = _sign_of_life(client)
        for number, value in entries.items():
            pages[number // _ENTRIES][f"{_REPORTED}{number}"] = value
        for page, metadata in sorted(pages.items()):
            if page == len(self._pages):
                self._add_page(client)
            answer = client.update_metadata(self._pages[page], metadata)
            if page == 0:
                successor = str(answer.get(f"{_PREFIX}heir") or "")
        return successor

    def _add_page(self, client: Client) -> None:
        number = len(self._pages)
        name = f"{JOURNAL}{self._run}" + (f".{number}" if number else "")
        with tempfile.TemporaryDirectory() as scratch:
            text = Path(scratch, "journal.txt")
            process = this_process()
            text.write_text(_TEXT.format(run=self._run, host=platform.node(), process=process))
            try:
                file = upload(client, text, parent=self._parent, name=name).file
            except Conflict:
                there = list(client.list_files(parent=self._parent, names=[name]))
                if not there:
                    raise
                file = there[0]  # by an upload of ours, whose answer got lost: the name is unique
        self._pages.append(file.id)


def declare_over(client: Client, record: Record) -> None:
    """Write into a run's journal that it is over, for one that was killed and is known to be dead.

    Raises:
        CavaticaError: that did not work.
    """
    client.update_metadata(record.files[0], {f"{_PREFIX}state": str(State.DETACHED)})


def process_in(text: str) -> str:
    """The process that has stored a journal of this content; empty if it does not tell."""
    found = _PROCESS.search(text)
    return found[1] if found else ""


def _sign_of_life(client: Client) -> dict[str, str]:
    return {
        f"{_PREFIX}seen": client.transport.clock.now().isoformat(timespec="seconds"),
        f"{_PREFIX}state": str(State.RUNNING),
    }


def _short(value: str) -> str:
    """A value that the platform takes; a longer one becomes one that fits nothing else."""
    if len(value.encode()) <= _VALUE:
        return value
    return f"uuid5:{uuid.uuid5(uuid.NAMESPACE_URL, value)}"
