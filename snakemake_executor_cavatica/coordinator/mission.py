"""What a run has to be that a coordinator has started."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..in_task.as_parsed import Seen
from ..read.fetched import use_parts_of_submitter
from ..read.sources import Reason, Sources
from ..read.workflow import storages_of
from .instructions import VARIABLE, WORKFLOW, read_instructions


@dataclass(frozen=True)
class Mission:
    """Its id, what a person has typed, and the workflow's own files."""

    run: str
    command: tuple[str, ...]
    sources: Sources


def parse_as_submitted() -> None:
    """Let the workflow find in folders what it has found where it was submitted, if it was."""
    path = os.environ.get(VARIABLE, "")
    if path:
        told = read_instructions(Path(path))
        folder = Path(path).resolve().parent
        workdir = str(folder / WORKFLOW / told.workdir)
        use_parts_of_submitter(workdir, folder)
        Seen(told.listings, told.asked, workdir, workdir).show()


def mission(workflow: Any) -> Mission | None:
    """What this process is to do if a coordinator has started it; None if a person has.

    The workflow's files are those that were chosen where it was submitted. What would be found here
    may be others, and then no task of an earlier run would be taken up.
    """
    # Not for a further Snakemake that a rule may start.
    path = os.environ.pop(VARIABLE, "")
    if not path:
        return None
    told = read_instructions(Path(path))
    top = Path(path).parent / WORKFLOW
    sources = Sources(
        top / told.root,
        tuple(top / name for name in sorted(told.files)),
        os.path.relpath(told.workdir, told.root),
        {top / name: Reason(reason) for name, reason in told.files.items()},
        lasting=frozenset(top / name for name in told.lasting),
        listings=told.listings,
        asked=told.asked,
    )
    command = ("snakemake", *told.given)
    return Mission(told.run, command, replace(sources, storages=storages_of(workflow)))
