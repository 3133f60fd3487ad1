"""The body of POST /tasks: for a planned job, a batch or a pack of them."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..api import BatchBy, ExecutionSettings, FileRef, NodeLocation, OutputLocation, TaskDraft
from ..plan.plan import JobPlan, StagedInput
from ..project.paths import Place, ProjectPath, in_task
from ..read.facts import Refusal
from .app import COMMAND, CORES, DISK, MEMORY, SCRIPT, SOURCES, TIME_LIMIT
from .batch import METADATA_KEY, Batch
from .pack import Pack
from .script import command_file, input_order, job_script

PASSING = "passing"
"""Below a run's folder: outputs that children share it for, on the way to folders of their own."""
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
    fixed = _fixed_inputs(plan, job_script(plan), command_file(plan), sources)
    return _draft(
        plan,
        name=name,
        description=description,
        project=run_folder.project,
        app=app,
        inputs=fixed | _staged_inputs(input_order(plan), files),
        output_location=_output_location(run_folder, _folders(plan, (), run_folder)),
    )


def batch_draft(
    batch: Batch,
    *,
    name: str,
    description: str,
    app: str,
    run_folder: ProjectPath,
    sources: FileRef,
) -> TaskDraft:
    """The draft task of a batch; the arguments are as for a job's."""
    first = batch.members[0]
    fixed = _fixed_inputs(batch.plan, batch.script, batch.manifest, sources)
    shared = [staged for staged in input_order(batch.plan) if staged.port != batch.port]
    inputs = fixed | _staged_inputs(shared, first.candidate.files) | {batch.port: batch.files}
    draft = _draft(
        batch.plan,
        name=name,
        description=description,
        project=run_folder.project,
        app=app,
        inputs=inputs,
        output_location=_output_location(
            run_folder, _folders(first.plan, batch.scattered, run_folder)
        ),
    )
    criteria = BatchBy(type="CRITERIA", criteria=[f"metadata.{METADATA_KEY}"])
    return draft.model_copy(
        update={
            "batch": True,
            "batch_input": batch.port,
            "batch_by": criteria if batch.by_criteria else BatchBy(type="ITEM"),
        }
    )


def pack_draft(
    pack: Pack,
    *,
    name: str,
    description: str,
    app: str,
    run_folder: ProjectPath,
    sources: FileRef,
) -> TaskDraft:
    """The draft task of a pack; the arguments are as for a job's."""
    plan = pack.plan
    fixed = _fixed_inputs(plan, pack.script, pack.manifest, sources)
    return _draft(
        plan,
        name=name,
        description=description,
        project=run_folder.project,
        app=app,
        inputs=fixed | _staged_inputs(input_order(plan), pack.files),
        output_location=_output_location(run_folder, _folders(plan, pack.scattered, run_folder)),
    )


def _folders(
    plan: JobPlan, scattered: Collection[str], run_folder: ProjectPath
) -> dict[str, ProjectPath]:
    """The folder of each output port: the one of all jobs, or else one to pass through."""
    return {
        output.port: run_folder / PASSING
        if output.port in scattered
        else output_folder(plan, output.place, run_folder)
        for _, output in plan.collected
    }


def _draft(
    plan: JobPlan,
    *,
    name: str,
    description: str,
    project: str,
    app: str,
    inputs: dict[str, Any],
    output_location: OutputLocation,
) -> TaskDraft:
    settings = plan.settings
    execution = ExecutionSettings(
        instance_type=settings.instance_type,
        max_parallel_instances=settings.max_parallel_instances,
        use_memoization=settings.use_memoization,
        use_elastic_disk=settings.use_elastic_disk,
    )
    return TaskDraft(
        project=project,
        app=app,
        name=name if len(name) <= _MAX_TITLE else f"{name[:_MAX_TITLE]}...",
        description=description,
        inputs=inputs,
        execution_settings=execution if execution.model_dump(exclude_none=True) else None,
        use_interruptible_instances=settings.interruptible,
        output_location=output_location,
    )


def _fixed_inputs(plan: JobPlan, script: str, command: str, sources: FileRef) -> dict[str, Any]:
    """The inputs that every app has."""
    resources = plan.resources
    inputs: dict[str, Any] = {
        SCRIPT: script,
        COMMAND: command,
        SOURCES: sources,
        CORES: resources.cores,
    }
    if resources.memory_mib is not None:
        inputs[MEMORY] = resources.memory_mib
    if resources.disk_mib is not None:
        inputs[DISK] = resources.disk_mib
    if resources.runtime_minutes is not None:
        inputs[TIME_LIMIT] = resources.runtime_minutes * 60
    return inputs


def _staged_inputs(
    order: Iterable[StagedInput], files: Mapping[Place, FileRef]
) -> dict[str, list[FileRef]]:
    inputs: dict[str, list[FileRef]] = {}
    for staged in order:
        inputs.setdefault(staged.port, []).append(files[staged.place])
    return inputs


def _output_location(
    run_folder: ProjectPath, locations: Mapping[str, ProjectPath]
) -> OutputLocation:
    """Each output in its own folder; the platform creates the folders (documented)."""
    return OutputLocation(
        main_location=run_folder.folder_location,
        nodes_override=True,
        nodes_location={
            port: NodeLocation(output_location=folder.folder_location)
            for port, folder in locations.items()
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
