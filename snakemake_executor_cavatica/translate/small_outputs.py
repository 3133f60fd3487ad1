"""Small outputs leave a task once more in one file, so that one download brings all of them. Pure.

Later jobs, and people, have each of them as a file of its own.
"""

from __future__ import annotations

from shlex import quote

from ..in_task.names import JOBS_FOLDER, SMALL_OUTPUTS
from ..plan.plan import JobPlan
from ..project.paths import LocalPath
from .stored_names import output_glob

GATHERED = "snakemake_small_outputs"
"""The output port, and the glob that finds its file."""
GATHERED_GLOB = f"{SMALL_OUTPUTS}/*"


def gathers(plan: JobPlan, *, packed: bool = False) -> bool:
    """Whether a task has several outputs that come to this machine, and may be small."""
    files = len(_globs(plan))
    return plan.parcel_up_to > 0 and (files > 1 or (packed and files > 0))


def gathering(plan: JobPlan, name: str, *, packed: bool = False) -> list[str]:
    """The lines that do it, in the folder of the task; `name` is that of the file."""
    if not gathers(plan, packed=packed):
        return []
    below = f"{JOBS_FOLDER}/*/" if packed else ""
    globs = " ".join(f"{below}{glob}" for glob in _globs(plan))
    file = quote(f"{name}.tar")
    return [f'(cd "$task" && gather_small {file} {plan.parcel_up_to} {globs})']


def folder_of_output(number: int, job: str = "") -> str:
    """Where output `number` lies in the file; `job` is its number in a pack."""
    return f"{JOBS_FOLDER}/{job}/out/{number}" if job else f"out/{number}"


def _globs(plan: JobPlan) -> list[str]:
    return [
        output_glob(number, output)
        for number, output in plan.collected
        if isinstance(output.place, LocalPath) and not output.folder
    ]
