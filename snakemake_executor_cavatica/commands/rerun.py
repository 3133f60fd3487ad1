"""A task of a platform, run again on this machine, in a folder of its own."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..api import (
    ApiError,
    CavaticaError,
    Client,
    ConfigurationError,
    File,
    FileRef,
    Task,
    TaskDraft,
    iter_files,
)
from ..finish.evidence import Evidence
from ..finish.failure import gather
from ..project.connection import LOCAL_ROOT
from ..project.fetch_store import fetch_all, store
from ..project.index import ProjectIndex
from ..project.local_platform import LocalPlatform
from ..translate.shared_task import is_packed_job, jobid_of, packed_job_id

_BROUGHT = "brought"
_INPUTS = "inputs"
_MOST_LISTINGS = 200
_STEP = 0.3


@dataclass(frozen=True)
class Needed:
    """What a task takes, to be brought here."""

    files: Mapping[str, File]
    """By id: files and folders."""
    count: int
    size: int
    """Bytes."""
    is_exact: bool
    """Whether all folders were looked into."""


@dataclass(frozen=True)
class Rerun:
    """How a task has ended here."""

    task: Task
    evidence: Evidence
    workspace: Path | None
    """Where it ran; None if it never came to that."""
    entry: Path | None
    """A script that opens a shell there."""


def needed(client: Client, task: Task) -> Needed:
    """Find out what would have to be brought here.

    Raises:
        CavaticaError: some of it is not there any more.
    """
    refs = {ref.path: ref for ref in iter_files(task.inputs)}
    answers = client.get_files(refs)
    gone = [refs[name].name or name for name, one in answers.items() if isinstance(one, ApiError)]
    if gone:
        raise CavaticaError(
            f"{len(gone)} inputs of the task are not there any more, or not for you: "
            f"{', '.join(gone[:5])}. A run in storage mode may have removed what was temp()."
        )
    files = {name: one for name, one in answers.items() if isinstance(one, File)}
    inside, is_exact = _inside(client, [one.id for one in files.values() if one.is_folder])
    all_files = [*(one for one in files.values() if not one.is_folder), *inside]
    return Needed(files, len(all_files), sum(one.size or 0 for one in all_files), is_exact)


def _inside(client: Client, folders: list[str]) -> tuple[list[File], bool]:
    """The files in folders and all below, as far as the requests for that go."""
    found: list[File] = []
    for _ in range(_MOST_LISTINGS):
        if not folders:
            return found, True
        entries = list(client.list_files(parent=folders.pop()))
        folders += [one.id for one in entries if one.is_folder]
        found += [one for one in entries if not one.is_folder]
    return found, not folders


def bring(client: Client, needed: Needed, folder: Path) -> None:
    """Download all that a task takes into a new folder.

    Raises:
        CavaticaError: that did not work.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be made: {error.strerror}.") from error
    wanted = {folder / _BROUGHT / name / _plain(file): file for name, file in needed.files.items()}
    fetch_all(client, wanted)


def _plain(file: File) -> str:
    if file.name in ("", ".", "..") or "/" in file.name or "\0" in file.name:
        raise CavaticaError(f"The input {file.id} has a name that no file can have here.")
    return file.name


def run_again(
    task: Task,
    job: str,
    inputs: Mapping[str, object],
    document: dict[str, object],
    needed: Needed,
    *,
    folder: Path,
    containers: str,
) -> Rerun:
    """Run a task on an embedded platform in a folder that holds what was brought.

    Args:
        job: the task's id, or that of the packed job that is meant.
        inputs: what it was sent.
        document: its app.
        containers: podman, docker or none.

    Raises:
        CavaticaError: the embedded platform does not start, or does not take it.
    """
    root = folder / LOCAL_ROOT
    platform = LocalPlatform.start(root, "--keep-work", f"--containers={containers}")
    try:
        with Client(platform.endpoint, platform.token) as client:
            ids = _given(client, platform.project, needed, folder)
            app = f"{platform.project}/debug"
            client.install_app(app, _without_traces(document))
            draft = TaskDraft(
                project=platform.project,
                app=app,
                name=task.name,
                inputs={name: _with(value, ids) for name, value in inputs.items()},
                use_interruptible_instances=False,
            )
            made = client.create_task(draft)
            if made.errors:
                raise CavaticaError(f"It cannot run here: {'; '.join(made.error_texts)}")
            client.run_task(made.id)
            ended = _ended(client, made.id)
            evidence = gather(client, _same_job(made.id, job), folder / "stderr")
    finally:
        platform.stop()
    work = root / "executions" / made.id
    spaces = sorted(work.glob(f"sbgenomics/workspaces/*/tasks/{made.id}/*"))
    entry = work / "enter.sh"
    return Rerun(ended, evidence, spaces[-1] if spaces else None, entry if entry.exists() else None)


def _same_job(task_id: str, job: str) -> str:
    return packed_job_id(task_id, jobid_of(job)) if is_packed_job(job) else task_id


def _given(client: Client, project: str, needed: Needed, folder: Path) -> dict[str, str]:
    """Hand what was brought over to the embedded platform; its ids there, by those before."""
    index = ProjectIndex(client, project)
    ids = {}
    for name, file in needed.files.items():
        path = f"{_INPUTS}/{name}/{file.name}"
        brought = folder / _BROUGHT / name
        store(index, brought / file.name, path)
        entry = index.find(path)
        assert entry is not None
        ids[name] = entry.id
        shutil.rmtree(brought)  # the platform has its own copy
    shutil.rmtree(folder / _BROUGHT, ignore_errors=True)
    return ids


def _with(value: object, ids: Mapping[str, str]) -> object:
    """An input value with other ids."""
    if isinstance(value, list):
        return [_with(member, ids) for member in value]
    ref = FileRef.from_value(value)
    if ref is not None:
        return FileRef(ids[ref.path], ref.class_)
    if isinstance(value, Mapping):
        return {key: _with(member, ids) for key, member in value.items()}
    return value


def _without_traces(document: dict[str, object]) -> dict[str, object]:
    """An app without what the platform that it comes from has added."""
    return {
        key: value for key, value in document.items() if not key.startswith("sbg:") and key != "id"
    }


def _ended(client: Client, task_id: str) -> Task:
    while True:
        task = client.get_task(task_id)
        if task.is_terminal:
            return task
        time.sleep(_STEP)


def check_new(folder: Path) -> None:
    """See that there is no such folder, or an empty one.

    Raises:
        ConfigurationError: there is something else.
    """
    try:
        is_new = not folder.exists() or not any(folder.iterdir())
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be used: {error.strerror}.") from error
    if not is_new:
        raise ConfigurationError(f"{folder} is not empty; remove it, or name another by --to.")


def program(names: Iterable[str]) -> str | None:
    """The first of these programs that is there."""
    return next((name for name in names if shutil.which(name)), None)
