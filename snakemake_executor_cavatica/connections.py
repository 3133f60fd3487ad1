"""The platforms that this process talks to.

Executor, storage provider and commands share them. Snakemake makes its two plugins independently,
and gives neither a way to find the other, so that the process is what they have in common.
"""

from __future__ import annotations

import atexit

from .project.connection import Connections
from .run.earlier_runs import earlier_runs

CONNECTIONS = Connections(on_index=earlier_runs)
atexit.register(CONNECTIONS.close)
