"""What to do about a command that failed for its own reasons, in words. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ..plan.mode import is_shell_command
from ..plan.plan import RUNS_HERE, JobPlan
from ..project.paths import ProjectPath
from ..read.facts import WorkflowFile
from .evidence import SideFile
from .foreign_text import one_line, plain, some

COPY_INPUTS = (
    'Have it write to a copy: cavatica_inputs="copy" as a resource of the rule, or '
    "--cavatica-inputs copy for all."
)
NOT_EXECUTABLE = (
    "A program cannot be executed: is it made for this kind of machine, is it executable?"
)
ONLY_DECLARED = (
    "A task has only what its rule declares as input, and the workflow's own files. What another "
    "job made has to be declared as an output there, and as an input here."
)
NOT_SPELLED_OUT = (
    " Outputs in a storage have another path in the task than the rule declares, and so have their "
    "folders: the command has to take them from {output}, as in $(dirname {output})."
)


def not_parsed(plan: JobPlan) -> str:
    """What to do if Snakemake in the task ended while it parsed the workflow."""
    return (
        "Snakemake in the task could not read the workflow, so that the command was not run. While "
        "it is parsed there, it can read no data but the job's own inputs, nothing that lies "
        "elsewhere on this machine, and of variables those of --envvars. Let the workflow read "
        "others only where it is started (if workflow.is_main_process:), or send small files along "
        f"(--cavatica-sources-include). The job takes Snakemake because {plan.reason}."
    )


def not_imported(plan: JobPlan) -> str:
    """What to do if Snakemake in the task lacks a package that the workflow itself imports."""
    held = "name an image that holds it beside Snakemake (--container-image)"
    return (
        "The workflow imports a package while Snakemake in the task reads it, and that is not "
        f"there, so that the command was not run: {held if plan.in_container else 'install it'}, "
        "or, if it belongs to the workflow, put it beside the Snakefile. The job takes Snakemake "
        f"because {plan.reason}."
    )


def no_program(plan: JobPlan) -> str:
    """What to check if a program, or a package of a language, is not there."""
    if plan.facts.software_unused and not plan.facts.container:
        methods = " ".join(plan.facts.software_unused)
        cure = f"the rule's own software takes --software-deployment-method {methods}."
    elif not plan.in_container:
        cure = "install it beside Snakemake."
    elif plan.facts.container:
        cure = "check the rule's container."
    else:
        cure = f"name an image that has it, by container or {image_setting(plan)}."
    where = "" if plan.in_container else f" {RUNS_HERE}"
    return f"A program was not found: {cure}{where}"


def not_executable(program: WorkflowFile) -> str:
    """What to do about an input that is a program, and may not be executed."""
    cure = "Make it executable here, or let"
    if isinstance(program.place, ProjectPath):
        cure = "Files on the platform have no permissions: let"
    return (
        f"Its input {one_line(program.path)} is not executable. {cure} the command name what runs "
        "it, as in `python {input.script}`."
    )


def undeclared(side_files: Sequence[SideFile]) -> str:
    """Where the files were made that a job misses, or may miss."""
    first = side_files[0]
    alike = (first.link, first.is_declared)
    names = some([plain(one.path) for one in side_files if (one.link, one.is_declared) == alike])
    start = "" if first.is_named else "If it misses a file: "
    made = f"{start}{one_line(first.task)} ({one_line(first.link)}) made {names} beside its output "
    if first.is_declared:
        return (
            f"{made}{one_line(first.beside)}, and this rule does not declare it: only declared "
            "files reach a task. Declare it as an input here."
        )
    return (
        f"{made}{one_line(first.beside)}, and does not declare it: only declared files leave a "
        "task. Declare it as an output there, and as an input here."
    )


def image_setting(plan: JobPlan) -> str:
    """What names the image of a job."""
    if plan.facts.container:
        return "container"
    is_shell = is_shell_command(plan.facts, plan.mode)
    return "--cavatica-container-image" if is_shell else "--container-image"
