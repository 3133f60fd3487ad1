"""The body of POST /tasks for one planned job."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from .api import ExecutionSettings, FileRef, NodeLocation, OutputLocation, TaskDraft
from .app import COMMAND, CORES, DISK, MEMORY, SCRIPT, SOURCES, TIME_LIMIT
from .paths import Place, ProjectPath, in_task
from .plan import JobPlan, Refusal
from .script import command_file, input_order, job_script

_MAX_TITLE = 200


def task_draft(
    plan: JobPlan,
    *,
    name: str,
    description: str,
    app: str,
    run_folder: ProjectPath,
    sources: FileRef,
    files: Mapping[Place, FileRef],
) -> TaskDraft:
    """The draft task of a job.

    Args:
        name: of the task, as people see it.
        description: identifies run, job and attempt.
        app: owner/project/name/revision.
        run_folder: where outputs go that do not live on the platform.
        sources: the workflow's sources as a platform file.
        files: the platform file of each input.
    """
    settings = plan.settings
    execution = ExecutionSettings(
        instance_type=settings.instance_type,
        max_parallel_instances=settings.max_parallel_instances,
        use_memoization=settings.use_memoization,
        use_elastic_disk=settings.use_elastic_disk,
    )
    return TaskDraft(
        project=run_folder.project,
        app=app,
        name=name if len(name) <= _MAX_TITLE else f"{name[:_MAX_TITLE]}...",
        description=description,
        inputs=_inputs(plan, sources, files),
        execution_settings=execution if execution.model_dump(exclude_none=True) else None,
        use_interruptible_instances=settings.interruptible,
        output_location=_output_location(plan, run_folder),
    )


def _inputs(plan: JobPlan, sources: FileRef, files: Mapping[Place, FileRef]) -> dict[str, Any]:
    resources = plan.resources
    inputs: dict[str, Any] = {
        SCRIPT: job_script(plan),
        COMMAND: command_file(plan),
        SOURCES: sources,
        CORES: resources.cores,
    }
    if resources.memory_mib is not None:
        inputs[MEMORY] = resources.memory_mib
    if resources.disk_mib is not None:
        inputs[DISK] = resources.disk_mib
    if resources.runtime_minutes is not None:
        inputs[TIME_LIMIT] = resources.runtime_minutes * 60
    for staged in input_order(plan):
        inputs.setdefault(staged.port, []).append(files[staged.place])
    return inputs


def _output_location(plan: JobPlan, run_folder: ProjectPath) -> OutputLocation:
    """Each output in its own folder; the platform creates the folders (documented)."""
    return OutputLocation(
        main_location=run_folder.folder_location,
        nodes_override=True,
        nodes_location={
            output.port: NodeLocation(
                output_location=output_folder(plan, output.place, run_folder).folder_location
            )
            for _, output in plan.collected
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
