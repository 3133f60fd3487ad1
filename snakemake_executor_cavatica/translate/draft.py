"""The body of POST /tasks: for a job, a batch or several jobs in one task."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..api.drafts import BatchBy, ExecutionSettings, NodeLocation, OutputLocation, TaskDraft
from ..api.models import FileRef
from ..in_task.names import SMALL_OUTPUTS
from ..plan.plan import JobPlan, StagedInput, TaskSettings
from ..project.paths import Place, ProjectPath, in_task
from ..read.facts import Refusal
from .app import COMMAND, CORES, DISK, IN_PARCELS, MEMORY, PARCELS, SCRIPT, SOURCES, TIME_LIMIT
from .command import command_file
from .parcel import contents_of_parcels
from .script import job_script
from .small_outputs import GATHERED, gathers
from .staging import input_order
from .task_name import shortened

PASSING = "passing"
"""Below a run's folder: outputs that children share it for, on the way to folders of their own."""


@dataclass(frozen=True)
class Work:
    """What a task is to do: one job, or several."""

    plan: JobPlan
    """Of the job, or of all as if they were one."""
    script: str
    command: str
    """Or the manifest of several jobs."""
    inputs: Mapping[str, list[FileRef]]
    """The platform files of each port."""
    scattered: Collection[str] = ()
    """Ports of outputs that go to several folders in the end."""
    packed: bool = False
    """Whether it is all of several jobs."""
    batch_input: str | None = None
    """The port by whose files the task has children."""
    batch_by: BatchBy | None = None


def work_of_job(plan: JobPlan, files: Mapping[Place, FileRef]) -> Work:
    """What the task of a single job does; `files` has the platform file of each input."""
    inputs = files_by_port(input_order(plan), files)
    return Work(plan, job_script(plan), command_file(plan), inputs)


def task_draft(
    work: Work,
    *,
    name: str,
    description: str,
    app: str,
    run_folder: ProjectPath,
    sources: FileRef,
) -> TaskDraft:
    """The draft of a task.

    Args:
        work: what it does.
        name: as people see it.
        description: identifies run, job and attempt, or the jobs.
        app: owner/project/name/revision.
        run_folder: where outputs go that do not live on the platform.
        sources: the workflow's sources as a platform file.
    """
    execution = _execution_settings(work.plan.settings)
    return TaskDraft(
        project=run_folder.project,
        app=app,
        name=shortened(name),
        description=description,
        inputs={**_fixed_inputs(work, sources), **work.inputs},
        batch=work.batch_input is not None or None,
        batch_input=work.batch_input,
        batch_by=work.batch_by,
        execution_settings=execution if execution.model_dump(exclude_none=True) else None,
        use_interruptible_instances=work.plan.settings.interruptible,
        output_location=_output_location(work, run_folder),
    )


def _execution_settings(settings: TaskSettings) -> ExecutionSettings:
    return ExecutionSettings(
        instance_type=settings.instance,
        max_parallel_instances=settings.max_parallel_instances,
        use_memoization=settings.use_memoization,
        use_elastic_disk=settings.use_elastic_disk,
    )


def _fixed_inputs(work: Work, sources: FileRef) -> dict[str, Any]:
    """The inputs that every app has."""
    resources = work.plan.resources
    inputs: dict[str, Any] = {
        SCRIPT: work.script,
        COMMAND: work.command,
        SOURCES: sources,
        CORES: resources.cores,
    }
    if work.plan.in_parcels:
        inputs[PARCELS] = [FileRef(parcel) for parcel in work.plan.parcels]
        inputs[IN_PARCELS] = contents_of_parcels(work.plan)
    if resources.memory_mib is not None:
        inputs[MEMORY] = resources.memory_mib
    if resources.disk_mib is not None:
        inputs[DISK] = resources.disk_mib
    if resources.runtime_minutes is not None:
        inputs[TIME_LIMIT] = resources.runtime_minutes * 60
    return inputs


def files_by_port(
    order: Iterable[StagedInput], files: Mapping[Place, FileRef]
) -> dict[str, list[FileRef]]:
    """The platform files of inputs, in their order."""
    inputs: dict[str, list[FileRef]] = {}
    for staged in order:
        inputs.setdefault(staged.port, []).append(files[staged.place])
    return inputs


def _output_location(work: Work, run_folder: ProjectPath) -> OutputLocation:
    """Each output in its own folder, or in one to pass through where jobs differ.

    The platform creates the folders (documented).
    """
    folders = {
        output.port: run_folder / PASSING
        if output.port in work.scattered
        else output_folder(work.plan, output.place, run_folder)
        for _, output in work.plan.collected
    }
    if gathers(work.plan, packed=work.packed):
        folders[GATHERED] = run_folder / SMALL_OUTPUTS
    return OutputLocation(
        main_location=run_folder.folder_location,
        nodes_override=True,
        nodes_location={
            port: NodeLocation(output_location=folder.folder_location)
            for port, folder in folders.items()
        },
    )


def output_folder(plan: JobPlan, place: Place, run_folder: ProjectPath) -> ProjectPath:
    """The platform folder that an output is stored in."""
    if not isinstance(place, ProjectPath):
        folder = posixpath.dirname(in_task(place.path))
        return run_folder / folder if folder else run_folder
    if place.project != run_folder.project:
        raise Refusal(
            plan.facts.rule,
            f"its output {place} lies in another project than its task ({run_folder.project}). "
            "Outputs can only be written to the task's own project.",
        )
    return place.parent
