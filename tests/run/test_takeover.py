"""Journals of other runs that change between the plan of a run and its begin."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import Mock

import pytest

from snakemake_executor_cavatica.api import ConfigurationError, File
from snakemake_executor_cavatica.api.clock import Moment
from snakemake_executor_cavatica.project.paths import ProjectPath
from snakemake_executor_cavatica.run import processes
from snakemake_executor_cavatica.run.journals import Journals
from snakemake_executor_cavatica.run.takeover import Takeover

SCOPE = "cavatica://owner/project/wf"
NOW = datetime.now(UTC).isoformat(timespec="seconds")


def journal(run: str, scope: str = SCOPE, state: str = "detached", **more: str) -> File:
    told = {"scope": scope, "state": state, "seen": NOW} | more
    metadata = {f"snakemake_{key}": text for key, text in told.items() if text}
    document = {"id": run, "name": f"under-way-{run}", "type": "file", "created_on": NOW}
    return File.model_validate(document | {"metadata": metadata})


class Project:
    """The files of its journals, as they are at the moment; it is its own client and index."""

    has_no_rate_limit = True

    def __init__(self, *journals: File) -> None:
        self.put(*journals)
        self.client = self.watcher = self
        self.began = Moment()
        self.transport = SimpleNamespace(clock=SimpleNamespace(now=lambda: datetime.now(UTC)))

    def put(self, *journals: File) -> None:
        self.files = {file.id: file for file in journals}

    def index(self, _project: str) -> Project:
        return self

    def children(self, path: str) -> list[Any]:
        return [
            SimpleNamespace(id=file.id, path=f"{path}/{file.name}", folder=False)
            for file in self.files.values()
        ]

    def get_files(self, ids: Iterable[str]) -> dict[str, File]:
        return {one: self.files[one] for one in ids if one in self.files}


def planned(project: Project) -> Takeover:
    """A run that has seen the files of the project, and does not work on them yet."""
    some, home = cast(Any, project), ProjectPath("owner/project", "home")
    journals = Journals(some, some, home)
    assert len(journals.records) == len(project.files)
    earlier = Mock(journals=journals)
    return Takeover(some, earlier, home, "new", Mock(), on_successor=print)


DEAD = journal("dead", reported_0="task-1")


@pytest.mark.parametrize(
    ("seen", "now"),
    [
        ([DEAD], [journal("dead", reported_0="task-1 task-2")]),
        ([DEAD], []),
        ([journal("dead", scope="", state="")], [DEAD]),
    ],
    ids=["reported more", "was taken up and done", "did not say yet what it is about"],
)
def test_a_run_that_did_jobs_since_the_plan_outdates_it(seen: list[File], now: list[File]) -> None:
    """Protects from doing these jobs again."""
    project = Project(*seen)
    takeover = planned(project)
    project.put(*now)
    with pytest.raises(ConfigurationError, match="The Snakemake run dead has worked on the same"):
        takeover.begin(SCOPE, lock=True)


def test_a_run_that_ended_on_this_machine_since_the_plan_outdates_it() -> None:
    """Protects what is not waited for, since its process is known to be dead."""
    with subprocess.Popen(["sleep", "0.1"]) as other:
        name = f"{processes._machine()} {other.pid} {processes._start_of(other.pid)}"
        project = Project(journal("other", state="running", process=name))
        takeover = planned(project)
    project.put()
    with pytest.raises(ConfigurationError, match="Run the same command again"):
        takeover.begin(SCOPE, lock=True)


def test_a_run_that_lives_is_found_though_it_did_not_say_yet_what_it_is_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Protects from two runs on the same files."""
    project = Project(journal("other", scope="", state=""))
    takeover = planned(project)
    project.put(journal("other", state="running"))
    waited_for: list[str] = []
    wait = lambda _, record, __: waited_for.append(record.run)  # noqa: E731
    monkeypatch.setattr(Journals, "wait_until_over", wait)
    takeover.begin(SCOPE, lock=True)
    assert waited_for == ["other"]


@pytest.mark.parametrize("lock", [True, False])
def test_what_stays_as_it_was_is_taken_up(lock: bool) -> None:
    """Protects the usual case, and --nolock from being refused anything."""
    project = Project(DEAD, journal("elsewhere", scope=f"{SCOPE}-2", reported_0="task-3"))
    takeover = planned(project)
    project.put(DEAD if lock else journal("dead", reported_0="task-1 task-2"))
    takeover.begin(SCOPE, lock=lock)
    assert takeover.predecessors == ["dead"]
