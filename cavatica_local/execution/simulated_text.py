"""What a simulated task of the plugin says that it took, in the words of the plugin's own scripts.

So that what people are told about memory, disk and time can be tried with thousands of tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cavatica_local.execution.behaviours import Fate
from cavatica_local.execution.wildcards import packed_jobs

_GLOB = "snakemake_measured.txt"
_MB_IN_MIB = 1e6 / (1 << 20)


def simulated_text(glob: object, inputs: Mapping[str, Any], fate: Fate) -> str | None:
    """The text of such a file; None for that of any other tool."""
    if glob != _GLOB:
        return None
    line = _line(fate)
    jobs = packed_jobs(inputs)
    return "".join(f"job {job}: {line}\n" for job in jobs) if jobs else f"{line}\n"


def _line(fate: Fate) -> str:
    started = datetime.now(UTC) - timedelta(seconds=fate.seconds)
    return (
        f"wall {fate.seconds:.2f} s, cpu {fate.seconds:.2f} s, "
        f"memory {_mebibytes(fate.memory_mb)}, disk {_mebibytes(fate.disk_mb)}, "
        f"exit 0, outputs 0 B, "
        f"started {started:%Y-%m-%dT%H:%M:%SZ}."
    )


def _mebibytes(megabytes: float) -> str:
    return f"{megabytes * _MB_IN_MIB:.2f} MiB" if megabytes else "unknown"
