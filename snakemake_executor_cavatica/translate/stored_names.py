"""What outputs are called on the platform, and how they are found in a task."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable

from ..plan.plan import JobPlan, PlannedOutput
from ..project.paths import encode_folder


def stored_name(output: PlannedOutput) -> str:
    """The name that an output gets on the platform: that of its place, encoded for folders."""
    name = posixpath.basename(output.place.path)
    return encode_folder(name) if output.folder else name


def output_glob(index: int, output: PlannedOutput) -> str:
    """The glob that finds output number `index`, whatever its name holds."""
    # A glob's `*` passes over names with a leading dot.
    return f"out/{index}/{'.*' if stored_name(output).startswith('.') else '*'}"


def scattered_ports(plans: Iterable[JobPlan]) -> set[str]:
    """The output ports whose files go to several folders, of jobs that have one output location."""
    folders: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for plan in plans:
        for _, output in plan.collected:
            where = (type(output.place).__name__, posixpath.dirname(output.place.path))
            folders[output.port].add(where)
    return {port for port, several in folders.items() if len(several) > 1}


def passing_name(jobid: str, name: str) -> str:
    """What an output is called in a folder that it shares with those of all jobs of a run."""
    # The app looks for names with a leading dot only where outputs have one.
    return f"{'.' if name.startswith('.') else ''}{jobid}-{name}"
