"""What a run must not see of those before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from snakemake_executor_cavatica.api import Client, File, NotFound, Task
from snakemake_executor_cavatica.project.index import ProjectIndex
from snakemake_executor_cavatica.project.paths import ProjectPath
from snakemake_executor_cavatica.run.earlier_runs import EarlierRuns
from snakemake_executor_cavatica.run.journal import Record, State
from snakemake_executor_cavatica.run.takeover import Takeover
from snakemake_executor_cavatica.translate.app import COMMAND
from snakemake_executor_cavatica.translate.job_key import (
    JobKey,
    Listed,
    TaskMark,
    job_list_line,
    several,
)

MARKS = [TaskMark("run", str(n), 1, JobKey(f"{n:016x}", f"{n:032x}")) for n in range(2)]
PACK = {
    "id": "pack",
    "name": "one [2 jobs]",
    "description": f"{several('run', MARKS)}: pack",
    "status": "RUNNING",
}


class Running:
    """A client that shows a pack, by default while it still runs."""

    def __init__(self, **changes: Any) -> None:
        self._pack = {**PACK, **changes}
        self.gone: set[str] = set()
        """Files that somebody has deleted."""

    def list_tasks(self, **_: Any) -> Iterator[Task]:
        return iter([Task.model_validate(self._pack)])

    def get_files(self, files: Iterable[str]) -> dict[str, NotFound]:
        return {file: NotFound(f"{file} is gone") for file in files if file in self.gone}

    def get_task(self, _task: str) -> Task:
        job_list = [Listed(mark, outputs={"output_0": f"{mark.jobid}.txt"}) for mark in MARKS]
        return Task.model_validate({**self._pack, "inputs": {COMMAND: job_list_line(job_list)}})


RECORD = Record(
    run="run",
    files=("journal",),
    scope="cavatica://owner/project/wf",
    host="host",
    process="1",
    began=datetime(2026, 1, 1, tzinfo=UTC),
    seen="2026-01-01T00:00:00+00:00",
    state=State.ENDED,
    successor="",
    reported=frozenset({"pack#0"}),
)


class Dead(EarlierRuns):
    """One run, which was killed after it had reported the first of the two jobs."""

    def __init__(self, client: Client, index: ProjectIndex, home: ProjectPath) -> None:
        super().__init__(client, index, home, set)
        self.journals._records = [RECORD]


def test_a_job_that_failed_in_a_pack_is_not_taken_up() -> None:
    """Protects against a failure that the next run is told at once, instead of a new attempt."""
    home = ProjectPath("owner/project", "home")
    for outputs, taken_up in (
        ({"output_0": [{"class": "File", "path": "id", "name": "1.txt"}]}, ["pack#1"]),
        ({"output_0": []}, []),
    ):
        client = cast(Client, Running(status="COMPLETED", outputs=outputs))
        earlier = Dead(client, ProjectIndex(client, "owner/project"), home)
        left = earlier.leftovers([RECORD]).left
        assert [leftover.task.id for leftover in left] == taken_up


SINGLE = {"id": "task", "name": "one", "description": f"{MARKS[1]}: one"}


@pytest.mark.parametrize("lost", [False, True])
def test_a_task_whose_results_are_not_all_there_is_not_taken_up(lost: bool) -> None:
    """Protects against a job that is reported with one of its outputs deleted meanwhile."""
    files = [{"class": "File", "path": identifier} for identifier in ("kept", "lost")]
    running = Running(**SINGLE, status="COMPLETED", outputs={"output_0": files})
    running.gone = {"lost"} if lost else set()
    client, home = cast(Client, running), ProjectPath("owner/project", "home")
    earlier = Dead(client, ProjectIndex(client, "owner/project"), home)
    leftovers = earlier.leftovers([RECORD])
    claimed = leftovers.claim(MARKS[1].key)
    assert (claimed is None) is lost
    assert len(leftovers.left) == lost, "its results stay hidden until there are others"


def test_what_only_this_machine_knows_to_be_reported_is_told_to_others() -> None:
    """Else they hide these results, and their journals stay."""
    files = [{"class": "File", "path": "kept"}]
    running = Running(**SINGLE, status="COMPLETED", outputs={"output_0": files})
    client, home = cast(Client, running), ProjectPath("owner/project", "home")
    earlier = Dead(client, ProjectIndex(client, "owner/project"), home)
    earlier._known = lambda: {"task", "of another run"}
    leftovers = earlier.leftovers([RECORD])
    assert (leftovers.left, leftovers.finished) == ([], ["task"])


class Connection:
    """One that notes which journals are deleted."""

    has_no_rate_limit = True

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.watcher = self.journals = self
        self.records: list[Record] = []

    def begun_in_vain(self, _interval: float) -> list[Record]:
        return []

    def delete_file(self, file: str, *, missing_ok: bool) -> None:
        assert missing_ok
        self.deleted.append(file)


class Noted:
    """A journal, or the local record: what is asked of it is of no matter but how it is closed."""

    closed: State | None = None

    def __init__(self) -> None:
        self.reported: list[str] = []

    def report(self, task: str) -> None:
        self.reported.append(task)

    def open(self, *_: object, **__: object) -> None:
        """It is there."""

    def close(self, state: State | None) -> None:
        self.closed = state

    def forget_reports(self) -> None:
        """Forget what was reported."""


@pytest.mark.parametrize("is_left", [True, False])
def test_reports_stay_on_record_while_a_run_before_them_does(is_left: bool) -> None:
    """Protects tasks of the run before that this one has reported: the next one would redo them."""
    connection, journal = Connection(), Noted()
    home = ProjectPath("owner/project", "home")
    takeover = Takeover(
        cast(Any, connection),
        cast(Any, connection),
        home,
        "second",
        cast(Any, Noted()),
        on_successor=lambda _heir: None,
    )
    takeover._inherited = [RECORD, replace(RECORD, run="other", files=("other",))]
    takeover._own._journal = cast(Any, journal)
    takeover.reported("task of the first run")
    takeover.end({"run"} if is_left else set(), state=State.ENDED)
    assert journal.closed == (State.ENDED if is_left else None)
    assert connection.deleted == ([] if is_left else ["journal", "other"])


def made(name: str, task: str) -> File:
    return File.model_validate({"id": name, "name": name, "origin": {"task": task}})


def test_results_of_a_pack_that_ends_after_it_was_looked_at_are_hidden() -> None:
    """Protects against taking unreported results for finished ones; reported ones stay visible."""
    client = cast(Client, Running())
    home = ProjectPath("owner/project", "home")
    earlier = Dead(client, ProjectIndex(client, "owner/project"), home)
    files = [made("0.txt", "pack"), made("1.txt", "pack"), made("1.txt", "other")]
    assert list(earlier.hidden("wf", files)) == [files[1]]
    earlier.reveal("pack#1")
    assert not list(earlier.hidden("wf", files))


def test_all_that_an_unreported_task_has_made_is_hidden_also_what_it_does_not_list() -> None:
    """What it had not yet made when it was looked at, is not among its outputs."""
    client = cast(Client, Running(**SINGLE))
    home = ProjectPath("owner/project", "home")
    earlier = Dead(client, ProjectIndex(client, "owner/project"), home)
    files = [made("late.txt", "task"), made("late.txt", "other"), made("uploaded.txt", "")]
    assert list(earlier.hidden("wf", files)) == [files[0]]
    earlier.reveal("task")
    assert not list(earlier.hidden("wf", files))


@pytest.mark.parametrize(
    ("state", "is_over"), [(State.RUNNING, False), (State.ENDED, True), (State.DETACHED, True)]
)
def test_a_run_that_has_left_its_tasks_is_over(state: State, is_over: bool) -> None:
    """Nobody has to wait for a sign of life of a run that was detached, on whatever machine."""
    record = replace(RECORD, state=state, process="another-machine 1 1")
    assert record.is_over is is_over
    assert replace(record, successor="next").is_over


def test_what_was_seen_before_its_run_was_known_to_be_dead_is_noted_as_finished() -> None:
    """Else a third run would hide it from itself, and do all that follows from it once more.

    Machine A sleeps, B takes its run up and is killed, and C goes on: found by the fault campaign.
    """
    file = {"class": "File", "path": "seen"}
    running = Running(**SINGLE, status="COMPLETED", outputs={"output_0": file})
    client, home = cast(Client, running), ProjectPath("owner/project", "home")
    index = ProjectIndex(client, "owner/project")
    index.ids = lambda: {"seen"}  # type: ignore[method-assign]
    earlier = Dead(client, index, home)
    leftovers = earlier.leftovers([RECORD])
    assert not leftovers.left
    assert leftovers.finished == ["task"]
    assert not list(earlier.hidden("wf", [made("seen", "task")])), "when it is listed once more"
    connection, noted = Connection(), Noted()
    takeover = Takeover(
        cast(Any, connection),
        cast(Any, connection),
        home,
        "b",
        cast(Any, noted),
        on_successor=print,
    )
    takeover._own = cast(Any, noted)
    takeover.leftovers = leftovers
    takeover.open_journal()
    takeover.open_journal()
    assert noted.reported == ["task", "task"], "here and on the platform"
