"""A task that holds an instance."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cavatica_local.execution.instance_types import Instance
from cavatica_local.faults.faults import Fault
from cavatica_local.state.times import now

_GB = 1_000_000_000


@dataclass
class Active:
    """A task that holds an instance, from its start until its outputs are stored."""

    task_id: str
    instance: Instance
    cores: float
    directory: Path
    """All that its execution writes goes below it."""
    blobs: dict[str, int] = field(default_factory=dict)
    """Contents of its inputs, with their times of modification."""
    input_bytes: int = 0
    """Of all its inputs, which are on the disk of the instance."""
    timer: asyncio.TimerHandle | None = None
    started: bool = False
    aborted: bool = False
    lost: bool = False
    """Its spot instance was taken away."""
    failed: str | None = None
    """The platform ended it, with this message."""
    fault: Fault | None = None
    """An injected fault that it will meet."""

    def has_room(self, more_bytes: int = 0) -> bool:
        """Whether its inputs and so much besides find room on the disk of the instance."""
        return self.input_bytes + more_bytes <= self.instance.disk_size * _GB

    def shown_instance(self) -> dict[str, Any]:
        """The instance as the execution details have it."""
        instance = self.instance
        return {
            "id": f"i-{self.task_id.replace('-', '')[:17]}",
            "type": instance.type,
            "provider": instance.provider,
            "disk": {"size": instance.disk_size, "unit": "GB", "type": instance.disk_type},
        }

    def prices(self, row: sqlite3.Row, price_hour: float) -> dict[str, float]:
        """What its task has cost so far: instances that it lost have to be paid too."""
        seconds = now() - row["running"] if self.started else 0.0
        computation, storage = self.instance.prices(
            seconds / price_hour, interruptible=bool(row["interruptible"])
        )
        return {
            "computation": (row["computation"] or 0.0) + computation,
            "storage": (row["storage"] or 0.0) + storage,
        }
