"""What a coordinator is told, in a file beside the workflow's own files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..read.sources import Reason, Sources
from ..read.workflow import storages_of

VARIABLE = "SNAKEMAKE_CAVATICA_COORDINATOR"
"""Names the file with the instructions, to the Snakemake that a coordinator starts."""
FILE = "instructions.json"
WORKFLOW = "workflow"
PLUGIN = "plugin"
"""Folders beside the file."""


@dataclass(frozen=True)
class Instructions:
    """All plain values; nothing secret but what the workflow's `envvars` are."""

    run: str
    scope: str
    """Identifies the files that only one run at a time may work on."""
    endpoint: str
    user: str
    home: str
    """The coordinator's own project."""
    folder: str
    """Id of the run's folder there."""
    states: str
    """Id of the folder there with what runs leave for the next ones."""
    token: str
    """Id of the file there that holds the token."""
    arguments: tuple[str, ...]
    """Of Snakemake."""
    environment: Mapping[str, str]
    start: str
    workdir: str
    """Where Snakemake begins, and where the workflow works, below the folder of its files."""
    files: Mapping[str, str]
    """Paths there, with the reasons why they belong to the workflow."""
    lasting: tuple[str, ...]
    report: str
    """Seen from the working directory."""

    def text(self) -> str:
        """To be read again."""
        return json.dumps(asdict(self), indent=1)


def read_instructions(path: Path) -> Instructions:
    """What `text` has written."""
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name in ("arguments", "lasting"):
        values[name] = tuple(values[name])
    return Instructions(**values)


@dataclass(frozen=True)
class Mission:
    """What a run that a coordinator has started has to be."""

    run: str
    sources: Sources


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
    root = Path(path).parent / WORKFLOW
    sources = Sources(
        root,
        tuple(root / name for name in sorted(told.files)),
        told.workdir,
        {root / name: Reason(reason) for name, reason in told.files.items()},
        lasting=frozenset(root / name for name in told.lasting),
    )
    return Mission(told.run, replace(sources, storages=storages_of(workflow)))
