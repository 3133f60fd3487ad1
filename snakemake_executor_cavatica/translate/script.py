"""The shell script that runs one job inside its task.

Written for any POSIX `sh`, because that is all that a rule's image must have. Nothing that comes
from the workflow is ever interpreted by it: paths are quoted, and the command is a file of its own.
What the platform's API has no field for (exit status, logs of a failed job, which output is
missing) goes to stderr in lines that start with `TAG`; `task_report.py` reads them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from shlex import quote

from ..in_task.names import COMMAND_NAME
from ..in_task.texts import functions, functions_for_measuring
from ..plan.plan import JobPlan
from ..read.facts import has_placeholders
from .command import words_for_placeholders
from .own_part import own_part
from .run_command import run_job
from .staging import staging


def job_script(plan: JobPlan) -> str:
    """The script for a job; it expects the command beside it, in `COMMAND_NAME`."""
    return as_script(
        [
            *shared_part(plan, words_for_placeholders([plan])),
            *own_part(plan, staging(plan), parcels=len(plan.parcels)),
            f'command=$task/{COMMAND_NAME}; run_task "$@"',
        ]
    )


def as_script(lines: Iterable[str]) -> str:
    """Lines as a file."""
    return "\n".join(lines) + "\n"


def shared_part(plan: JobPlan, words: Mapping[str, str]) -> Iterator[str]:
    """What is the same for all jobs that may run by one script.

    Args:
        words: what stands for each placeholder in the commands.
    """
    yield functions()
    if plan.measured:
        yield functions_for_measuring()
    yield from run_job(plan, words)
    yield "run_task() {"
    yield "note started"
    yield f"workdir=$root/{_relative(plan.facts.workdir)}"
    yield f"need {' '.join(_tools(plan))}"
    yield '[ "$#" -eq "$wanted" ] || die "got $# inputs, not $wanted"'
    yield from _sources()
    yield 'stage "$@"'
    yield "note_files"
    if plan.measured:
        yield "measure run_job"
    else:
        yield from ("began=$(date +%s)",) if plan.facts.benchmark is not None else ()
        yield "run_job"
    yield 'status=$?; [ "$status" -eq 0 ] || leave "$status"'
    yield 'cd "$workdir" || die "the working directory is gone"'
    yield "finish"
    yield "leave 0"
    yield "}"


def _tools(plan: JobPlan) -> list[str]:
    """What the script itself calls. More can be missing in an image than its author thinks."""
    tools = ["cat", "chmod", "cp", "ln", "mkdir", "mv", "rm", "tar"]
    if plan.members:
        tools += ["mkfifo", "sleep"]
    if any(output.folder for output in plan.outputs):
        tools += ["find", "head", "sed"]
    elif has_placeholders(plan.command):
        tools.append("sed")
    jobs = [plan.facts, *(one.member.facts for one in plan.members)]
    if any(job.benchmark is not None for job in jobs):
        tools.append("date")
    if any(staged.method == "environment" for staged in plan.inputs):
        tools.append("mktemp")
    outputs = [*plan.outputs, *(output for one in plan.members for output in one.outputs)]
    wanted = [one.ensure.checksum for one in outputs if one.ensure and one.ensure.checksum]
    return tools + sorted({f"{algorithm}sum" for algorithm, _ in wanted})


def _relative(path: str) -> str:
    return quote(posixpath.normpath(path))


def _sources() -> Iterator[str]:
    yield 'mkdir -p "$root" && cd "$root" || die "cannot create the working directory"'
    yield 'tar -xf "$1" || die "cannot unpack the sources of the workflow"'
    yield "shift"
    yield 'mkdir -p "$workdir" && cd "$workdir" || die "cannot enter the working directory"'
    yield "workdir=$(pwd -P)"
