"""What the survey of `clean` has found is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from ..api import ApiError, CavaticaError, Client, File, NotFound, Task
from ..api.background import run_async
from ..api.call import BULK
from ..project.find_folder import find_folder
from .clean import CleanRequest, Survey, look_at_tasks

_DELETE_THREADS = 4


@dataclass
class Outcome:
    """What was deleted, and a sentence for everything that was not."""

    drafts: int = 0
    labels: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def check_again(client: Client, request: CleanRequest, plan: Survey) -> None:
    """See whether the plan still holds: a person may have thought about it for an hour.

    Raises:
        CavaticaError: tasks have been started since.
    """
    tasks = look_at_tasks(client, request.project)
    known = {task.id for task in plan.live}
    started = {task.id for task in tasks.ours} - known
    if started:
        raise CavaticaError(
            f"{len(started)} tasks of the plugin were started in the meantime, and may need what "
            "was to be deleted. Nothing was deleted; look again."
        )
    still = {task.id for task in tasks.drafts}
    plan.drafts = [task for task in plan.drafts if task.id in still]


def carry_out(client: Client, request: CleanRequest, plan: Survey) -> Outcome:
    """Delete what the plan says, and tell honestly what is still there."""
    outcome = Outcome()
    with ThreadPoolExecutor(_DELETE_THREADS) as pool:  # the API deletes tasks one by one only
        problems = list(pool.map(partial(_delete_draft, client), plan.drafts))
    outcome.failures = [problem for problem in problems if problem]
    outcome.drafts = len(problems) - len(outcome.failures)
    failed = delete_files(client, [file for item in plan.to_delete for file in item.files])
    failed |= delete_folders(client, [file for item in plan.to_delete for file in item.folders])
    for item in plan.to_delete:
        reasons = {failed[file] for file in (*item.files, *item.folders) if file in failed}
        if reasons:
            outcome.failures.append(f"{item.label}: {'; '.join(sorted(reasons))}")
        else:
            outcome.labels.append(item.label)
    if outcome.labels and not outcome.failures:
        _remove_empty_folders(client, request)
    return outcome


def _delete_draft(client: Client, task: Task) -> str | None:
    try:
        client.delete_task(task.id, missing_ok=True)
    except ApiError as error:
        return f"draft {task.id} ({task.name}): {error}"
    return None


def delete_files(client: Client, files: list[str]) -> dict[str, str]:
    """Delete plain files; the reasons of those that stay."""
    failed: dict[str, str] = {}
    for start in range(0, len(files), BULK):
        chunk = files[start : start + BULK]
        try:
            answers: Mapping[str, ApiError | None] = client.delete_files(chunk)
        except ApiError as error:
            answers = dict.fromkeys(chunk, error)
        for file, problem in answers.items():
            if problem is not None and not isinstance(problem, NotFound):
                failed[file] = str(problem)
    return failed


def delete_folders(client: Client, folders: list[str]) -> dict[str, str]:
    """Delete folders with all that is in them, which only background jobs can do.

    What a job says of its items is the reason, but whether a folder is gone is looked up: a job can
    fail for single files in a folder.
    """
    failed: dict[str, str] = {}
    for start in range(0, len(folders), BULK):
        chunk = folders[start : start + BULK]
        reasons = _delete_together(client, chunk)
        for folder, answer in client.get_files(chunk).items():
            if isinstance(answer, File):
                failed[folder] = reasons.get(folder, "it is still there after the deletion")
            elif not isinstance(answer, NotFound):
                failed[folder] = f"it is not known whether it is gone: {answer}"
    return failed


def _delete_together(client: Client, folders: list[str]) -> dict[str, str]:
    """One background job; the reasons that it gives for what it could not do."""
    try:
        job = run_async(client, "delete", [{"file": folder} for folder in folders])
    except CavaticaError as error:
        return dict.fromkeys(folders, str(error))
    return {
        folder: str(item.error.get("message") or item.error)
        for folder, item in zip(folders, job.result, strict=False)
        if item.error is not None
    }


def _remove_empty_folders(client: Client, request: CleanRequest) -> None:
    """Remove the plugin's folder and its `runs` if nothing is in them any more."""
    for path in (request.path("runs"), request.folder):
        folder = find_folder(client, request.project, path)
        if folder is None:
            continue
        if next(client.list_files(parent=folder.id), None) is not None:
            return
        try:
            client.delete_file(folder.id, missing_ok=True)
        except ApiError:
            return  # somebody has just put something there
