"""Which task gets an instance, and when.

Documented: at most so many instances run in parallel per account, further tasks stay QUEUED. On a
machine that really runs the tools there is a second limit, that of its cores.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import deque
from collections.abc import Callable

from cavatica_local.cwl import documents
from cavatica_local.execution import instance_types
from cavatica_local.execution.active import Active
from cavatica_local.execution.task_records import TaskRecords
from cavatica_local.state.platform import Platform
from cavatica_local.state.task_inputs import inputs_of

BURST = 20
"""Starts in one go; then other requests have their turn."""


class TaskQueue:
    """The tasks that wait for an instance, and those that hold one."""

    def __init__(
        self, platform: Platform, records: TaskRecords, begin: Callable[[Active], None]
    ) -> None:
        self._platform = platform
        self._settings = platform.settings
        self._records = records
        self._begin = begin
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[str] = deque()
        self._held: set[str] = set()
        self._cores = 0.0
        self._start_planned = False
        self.active: dict[str, Active] = {}
        self.is_closed = False

    def submit(self, task_id: str) -> None:
        """Queue a task, whose status is QUEUED already."""
        self._waiting.append(task_id)
        self._plan_start()

    def hold(self, task_id: str) -> bool:
        """Never give an instance to a task; it stays QUEUED until it is aborted."""
        row = self._records.row(task_id)
        if row is None or row["status"] not in ("DRAFT", "QUEUED") or task_id in self.active:
            return False
        self._held.add(task_id)
        return True

    @property
    def free_instances(self) -> int:
        """Instances that no task holds."""
        return self._settings.instances - len(self.active)

    def waiting_for(self, task_id: str) -> str | None:
        """Why a queued task does not run yet: its instance starts, or the account's limit."""
        if task_id in self.active:
            return None if self.active[task_id].started else "instance_init"
        if task_id in self._held:
            return "instance_init"
        return "account_limit" if self.free_instances <= 0 else None

    def conclude(self, active: Active, status: str, message: str) -> None:
        """End a task that holds an instance."""
        row = self._records.row(active.task_id)
        with self._platform.database.transaction():
            if row is not None:
                prices = active.prices(row, self._settings.price_hour)
                self._platform.database.update("tasks", row["id"], prices)
                self._records.end(row, status, message)
        self.release(active)

    def release(self, active: Active) -> None:
        """Take a task's instance back."""
        self.active.pop(active.task_id, None)
        self._cores -= active.cores
        self._platform.release_contents(active.blobs)
        self._plan_start()

    def close(self) -> None:
        """Give out no more instances."""
        self.is_closed = True
        for active in self.active.values():
            if active.timer is not None:
                active.timer.cancel()

    def _plan_start(self) -> None:
        if not self._start_planned and not self.is_closed:
            self._start_planned = True
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        """Give instances to waiting tasks, in order, as long as the limits allow."""
        self._start_planned = False
        with self._platform.database.transaction():
            for _ in range(BURST):
                if not self._waiting or self.is_closed or self.free_instances <= 0:
                    return
                row = self._records.row(self._waiting[0])
                if row is not None and row["status"] == "QUEUED" and not self._allocate(row):
                    return
                self._waiting.popleft()
        self._plan_start()

    def _allocate(self, row: sqlite3.Row) -> bool:
        """Give an instance to a task; False if the host has no cores left for it."""
        if row["id"] in self._held:
            return True
        document = self._records.document(row)
        inputs = inputs_of(self._platform.database, row["inputs"])
        demand = documents.demand(document, inputs)
        # One that waits for other tasks would otherwise keep them waiting for its core.
        cores = 0 if documents.mostly_waits(document) else demand.cores
        limit = self._settings.host_cores
        if limit is not None and cores and self._cores and self._cores + cores > limit:
            return False
        wanted = json.loads(row["settings"]).get("instance_type") or documents.hint(
            document, "sbg:AWSInstanceType", "sbg:GoogleInstanceType"
        )
        try:
            instance = instance_types.chosen(wanted, demand, allow_bare=True)
        except ValueError as error:
            self._records.end(row, "FAILED", f"No instance for the task: {error}.")
            return True
        fault = self._platform.faults.for_task(row["name"], spot=bool(row["interruptible"]))
        if fault is not None and fault.do == "hold-task":
            self._held.add(row["id"])
            return True
        directory = self._settings.root / "executions" / row["id"]
        active = Active(row["id"], instance, cores, directory, fault=fault)
        self.active[row["id"]] = active
        self._cores += active.cores
        active.timer = self._loop.call_later(self._settings.start_delay, self._begin, active)
        return True
