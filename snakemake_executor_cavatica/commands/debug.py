"""`snakemake-cavatica debug`: runs a task again on this machine, and leaves it to look into."""

from __future__ import annotations

import argparse
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from ..api import CavaticaError, ConfigurationError, TaskStatus
from ..finish.foreign_text import shown
from ..observe.words import several, size
from ..read.defaults import NO_CONTAINERS
from ..translate.sent_job import for_one_job, sent_job
from ..translate.shared_task import is_packed_job, task_id_of
from .asking import agreed
from .exit_status import UNFINISHED, WRONG
from .rerun import Needed, Rerun, bring, check_new, needed, program, run_again
from .show import show
from .which_run import connected, enter, is_task, told_task

_LAST_LINES = 20
_LONGEST_LINE = 500


def run(options: argparse.Namespace) -> int:
    """Bring it here and run it; the exit status."""
    start = Path.cwd()
    enter(options.directory)
    if not is_task(options.task):
        raise ConfigurationError(
            f"{options.task} is no task: those have ids such as "
            "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9fa; `snakemake-cavatica logs` names them."
        )
    told = told_task(options, options.task)
    connection = connected(options, told.run, starts=True)
    client = connection.client
    task = client.get_task(task_id_of(options.task))
    if task.batch:
        raise CavaticaError(f"{options.task} is a batch; name one of its children.")
    if task.app is None or sent_job(task, options.task) is None:
        raise CavaticaError(f"{options.task} does not tell what it runs: it is none of a run.")
    wanted = needed(client, task)
    name = f"cavatica-debug-{options.task[:8]}"
    folder = Path(start, options.to or name)
    check_new(folder)
    _announce(wanted, folder)
    if not connection.is_local and not options.yes and not agreed("Bring it here?", _NOBODY):
        return WRONG
    bring(client, wanted, folder)
    project = client.project("/".join(task.app.split("/")[:2]))
    containers = _containers(options.containers, project.settings)
    show(Text(f"Running {task.name} here, {_where(containers, client.get_app_raw(task.app))} ..."))
    rerun = run_again(
        task,
        options.task,
        for_one_job(task, options.task),
        client.get_app_raw(task.app),
        wanted,
        folder=folder,
        containers=containers,
    )
    show(*map(Text, _report(rerun, folder)))
    return 0 if _is_done(rerun, options.task) else UNFINISHED


_NOBODY = (
    "There is no terminal to ask on whether to download this. Nothing was done; say --yes if you "
    "mean it."
)


def _announce(wanted: Needed, folder: Path) -> None:
    """Say what will be downloaded.

    Raises:
        CavaticaError: there is no room for it.
    """
    there = next(one for one in (folder, *folder.parents) if one.is_dir())
    free = shutil.disk_usage(there).free
    least = "" if wanted.is_exact else "at least "
    amount = f"{several(wanted.count, 'file')}, {least}{size(wanted.size)}"
    if 2 * wanted.size > free:  # for a moment a file is there twice
        raise CavaticaError(
            f"The inputs ({amount}) do not fit into {folder}, where {size(free)} are free: twice "
            "their size is needed. --to names another folder."
        )
    show(Text(f"The task takes {amount}, which are brought to {folder} ({size(free)} free)."))


def _containers(wanted: str, settings: Mapping[str, Any]) -> str:
    """What runs containers here; none if the task ran without them, by its project's settings.

    Raises:
        ConfigurationError: that is not here.
    """
    if wanted == "auto":
        has_run_without = settings.get(NO_CONTAINERS) is True
        return (not has_run_without and program(("podman", "docker"))) or "none"
    if wanted != "none" and program([wanted]) is None:
        raise ConfigurationError(f"There is no {wanted} on this machine (--containers).")
    return wanted


def _where(containers: str, document: dict[str, Any]) -> str:
    requirements = document.get("requirements")
    found = [
        str(one.get("dockerPull"))
        for one in (requirements if isinstance(requirements, list) else [])
        if isinstance(one, dict) and one.get("class") == "DockerRequirement"
    ]
    image = found[0] if found else "no image"
    if containers == "none":
        return f"without containers, by what is installed here (its image is {image})"
    return f"in {image} by {containers}"


def _is_done(rerun: Rerun, task: str) -> bool:
    is_pack = is_packed_job(task)
    exit_status = rerun.evidence.report.exit_status
    return rerun.task.status == TaskStatus.COMPLETED and not (is_pack and exit_status)


def _report(rerun: Rerun, folder: Path) -> Iterator[str]:
    """How it has ended, and how to go on from there."""
    status = rerun.task.execution_status
    why = "" if status is None else f" ({shown(status.message, _LONGEST_LINE)})"
    yield f"It has ended as {rerun.task.status}{why}. Its last words:"
    for line in rerun.evidence.report.stderr.rstrip().splitlines()[-_LAST_LINES:]:
        yield f"  {shown(line, _LONGEST_LINE)}"
    if rerun.evidence.trouble:
        yield rerun.evidence.trouble
    if rerun.workspace is None or rerun.entry is None:
        yield "It did not come to run, so that there is nothing to look into. If its image cannot"
        yield "be had here: --containers none runs it by what is installed on this machine."
        yield f"To be rid of it:    rm -r {shlex.quote(str(folder))}"
        return
    yield f"Where it ran:       {_linked(folder / 'task', rerun.workspace)}"
    yield "  snakemake_job.sh is its script, snakemake_command.sh the command, and work the"
    yield "  workflow's directory, with the inputs in their places."
    yield f"What it said:       {folder / 'stderr'}"
    yield f"A shell there:      sh {shlex.quote(str(_linked(folder / 'enter.sh', rerun.entry)))}"
    yield f"To be rid of it:    rm -r {shlex.quote(str(folder))}"


def _linked(link: Path, target: Path) -> Path:
    link.symlink_to(target)
    return link
