"""The file in which a simulated task of the plugin gathers its small outputs, which are all empty.

So that the requests of clients that fetch it can be counted with thousands of tasks.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from pathlib import Path

from cavatica_local.cwl import documents
from cavatica_local.engine import Execution
from cavatica_local.execution.wildcards import output_names

_GLOB = "small_outputs/*"


def simulated_archive(
    execution: Execution, port: documents.Port, ports: Iterable[documents.Port]
) -> Path | None:
    """Such a file; None for the output of any other tool, or if it would hold nothing."""
    if port.glob != _GLOB:
        return None
    names = [name for one in ports for name in output_names(one.glob, execution.inputs)]
    if not names:
        return None
    path = execution.directory / port.id / f"{execution.task_id}.tar"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    return path
