"""A task is created once and started once, whatever becomes of the answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest

from snakemake_executor_cavatica.api import (
    ApiError,
    BadRequest,
    Client,
    Conflict,
    NoAnswer,
    ServerError,
    Stop,
    Task,
    TaskDraft,
)
from snakemake_executor_cavatica.launch import submit
from snakemake_executor_cavatica.launch.submit import Submitter
from snakemake_executor_cavatica.project.paths import ProjectPath

DRAFT = TaskDraft(project="owner/project", app="owner/project/app/0", name="one", description="x")


class Tasks:
    """A client that keeps tasks, and loses or refuses the first call that it is told to."""

    def __init__(self, lost: ApiError | None = None, *, takes_effect: bool = False) -> None:
        self._lost = lost
        self._takes_effect = takes_effect
        self.tasks: dict[str, Task] = {}
        self.calls: list[str] = []
        self.stop = Stop()

    def _answer(self, call: str, key: str, **fields: Any) -> Task:
        """Note the call, do what it asks for unless it is lost before, and answer it."""
        self.calls.append(call)
        lost, self._lost = self._lost, None
        if lost is None or self._takes_effect:
            self.tasks[key] = Task.model_validate({"id": key, **fields})
        if lost is not None:
            raise lost
        return self.tasks[key]

    def create_task(self, draft: TaskDraft) -> Task:
        fields = {"name": draft.name, "description": draft.description, "status": "DRAFT"}
        return self._answer("create", f"task-{len(self.tasks)}", **fields)

    def run_task(self, task: str, *, batch: bool | None) -> Task:
        return self._answer("run", task, name="one", status="QUEUED")

    def get_task(self, task: str) -> Task:
        return self.tasks[task]

    def list_tasks(self, **_: Any) -> Iterator[Task]:
        return iter(self.tasks.values())

    def delete_task(self, task: str, *, missing_ok: bool) -> None:
        self.calls.append("delete")
        del self.tasks[task]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "_LOOK_AGAIN", 0.0)


def submitter(tasks: Tasks) -> Submitter:
    return Submitter(cast(Client, tasks), "run", ProjectPath("owner/project", "home"))


LOST = [NoAnswer("lost", sent=True), ServerError("lost", status=502)]


@pytest.mark.parametrize("lost", LOST)
def test_a_draft_whose_creation_was_not_answered_is_looked_up_and_not_created_again(
    lost: ApiError,
) -> None:
    """A second draft would be swept at the end, but in a run that is killed it stays."""
    tasks = Tasks(lost, takes_effect=True)
    assert submitter(tasks).create(DRAFT).id == "task-0"
    assert tasks.calls == ["create"]


@pytest.mark.parametrize("lost", LOST)
def test_a_draft_whose_creation_got_lost_is_created_again(lost: ApiError) -> None:
    tasks = Tasks(lost)
    assert submitter(tasks).create(DRAFT).id == "task-0"
    assert tasks.calls == ["create", "create"]


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("takes_effect", [True, False])
def test_a_start_that_was_not_answered_is_repeated_only_if_it_had_no_effect(
    lost: ApiError, takes_effect: bool
) -> None:
    tasks = Tasks(lost, takes_effect=takes_effect)
    tasks.tasks["t"] = Task.model_validate({"id": "t", "status": "DRAFT"})
    assert submitter(tasks).run(tasks.tasks["t"]).status == "QUEUED"
    assert tasks.calls == (["run"] if takes_effect else ["run", "run"])


@pytest.mark.parametrize("refusal", [BadRequest("no", status=400), Conflict("no", status=409)])
@pytest.mark.parametrize("status", ["QUEUED", "RUNNING", "COMPLETED"])
def test_a_task_that_is_refused_because_it_runs_already_is_not_deleted(
    refusal: ApiError, status: str
) -> None:
    tasks = Tasks(refusal)
    tasks.tasks["t"] = Task.model_validate({"id": "t", "status": status})
    draft = Task.model_validate({"id": "t", "status": "DRAFT"})
    assert submitter(tasks).run(draft).status == status
    assert tasks.calls == ["run"]


def test_a_draft_that_is_refused_is_deleted() -> None:
    tasks = Tasks(BadRequest("no", status=400))
    tasks.tasks["t"] = Task.model_validate({"id": "t", "status": "DRAFT"})
    with pytest.raises(BadRequest):
        submitter(tasks).run(tasks.tasks["t"])
    assert tasks.calls == ["run", "delete"]
