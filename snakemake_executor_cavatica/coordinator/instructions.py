"""What a coordinator is told, in a file beside the workflow's own files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..in_task.as_parsed import Told

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
    given: tuple[str, ...]
    """Arguments of Snakemake, as they were typed."""
    arguments: tuple[str, ...]
    """The same as they have to be here."""
    environment: Mapping[str, str]
    root: str
    start: str
    workdir: str
    """The folder of the workflow's own files, where Snakemake begins, and where it works: all below
    the folder that holds what was sent."""
    files: Mapping[str, str]
    """Paths below that, with the reasons why they belong to the workflow."""
    lasting: tuple[str, ...]
    report: str
    """Seen from the working directory."""
    listings: Mapping[str, Mapping[str, str] | None]
    """What was in the folders that the workflow looked into while it was parsed."""
    asked: Mapping[str, Told | None]
    """What it was told of files then."""

    def text(self) -> str:
        """To be read again."""
        return json.dumps(asdict(self), indent=1)


def read_instructions(path: Path) -> Instructions:
    """What `text` has written."""
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for name in ("given", "arguments", "lasting"):
        values[name] = tuple(values[name])
    values["asked"] = {name: told and Told(*told) for name, told in values["asked"].items()}
    return Instructions(**values)
