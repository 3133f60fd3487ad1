"""What happens to a task from outside: aborts, faults, and what is left to chance."""

from __future__ import annotations

import asyncio
import sqlite3

from cavatica_local.engine import ABORTED, Engine
from cavatica_local.execution.active import Active
from cavatica_local.execution.task_queue import TaskQueue
from cavatica_local.execution.task_records import TaskRecords
from cavatica_local.state.platform import Platform

FLAP_SECONDS = 0.4


class Interventions:
    """Ends tasks before their time, or shows them as what they are not."""

    def __init__(
        self, platform: Platform, engine: Engine, records: TaskRecords, queue: TaskQueue
    ) -> None:
        self._platform = platform
        self._database = platform.database
        self._engine = engine
        self._records = records
        self._queue = queue
        self._loop = asyncio.get_running_loop()

    def abort(self, row: sqlite3.Row) -> None:
        """Abort a task, whose status is ABORTING already."""
        if row["id"] in self._queue.active:
            self.forget(row["id"])
        else:
            # Even a task that only waits is seen ABORTING for a moment (documented states).
            self._loop.call_later(0.1, self._abort_waiting, row["id"])

    def _abort_waiting(self, task_id: str) -> None:
        row = self._records.row(task_id)
        if row is not None and row["status"] == "ABORTING":
            with self._database.transaction():
                self._records.end(row, "ABORTED", ABORTED)

    def forget(self, task_id: str) -> None:
        """Stop a task if it holds an instance."""
        active = self._queue.active.get(task_id)
        if active is not None:
            active.aborted = True
            self._stop(active, "ABORTED", ABORTED)

    def interrupt(self, task_id: str) -> bool:
        """Take away a running task's instance, as happens to spot instances."""
        active = self._queue.active.get(task_id)
        if active is None or not active.started:
            return False
        active.lost = True
        self._engine.abort(task_id)
        return True

    def fail(self, task_id: str, message: str) -> bool:
        """End a queued or running task as FAILED, as the platform does with this message."""
        active = self._queue.active.get(task_id)
        if active is not None:
            active.failed = message
            self._stop(active, "FAILED", message)
            return True
        row = self._records.row(task_id)
        if row is None or row["batch"] or row["status"] != "QUEUED":
            return False
        with self._database.transaction():
            self._records.end(row, "FAILED", message)
        return True

    def lose(self, task_id: str) -> bool:
        """Let a task and its children vanish, as if they had never been."""
        row = self._records.row(task_id)
        if row is None:
            return False
        tasks = self._database.all(
            "SELECT id FROM tasks WHERE id = ? OR parent = ?", *[task_id] * 2
        )
        for task in tasks:
            self.forget(task["id"])
        with self._database.transaction():
            self._database.run("DELETE FROM tasks WHERE id = ? OR parent = ?", task_id, task_id)
            if row["parent"]:
                self._records.finish_parent(row["parent"])
        return True

    def _stop(self, active: Active, status: str, message: str) -> None:
        """Stop an execution; a task that still waits for its instance ends right now."""
        if active.started:
            self._engine.abort(active.task_id)
        else:
            if active.timer is not None:
                active.timer.cancel()
            self._queue.conclude(active, status, message)

    def plan_surprises(self, active: Active, row: sqlite3.Row) -> None:
        """What is left to chance (see the switches), and the fault that a task is to meet."""
        switches, roll = self._platform.switches, self._platform.faults.roll
        if active.fault is not None:
            self._loop.call_later(active.fault.seconds, self.meet_fault, active)
        if roll("flap", row["name"]) < switches.status_flap:
            self._loop.call_later(FLAP_SECONDS, self._show, active, "QUEUED")
            self._loop.call_later(2 * FLAP_SECONDS, self._show, active, "RUNNING")
        if row["interruptible"] and roll("spot", row["name"]) < switches.spot_loss_rate:
            self._loop.call_later(FLAP_SECONDS, self.interrupt, active.task_id)

    def meet_fault(self, active: Active) -> bool:
        """Let the injected fault of a task happen, once; whether that was the end of the task."""
        fault = active.fault
        if fault is None or active.aborted or (fault.do == "interrupt-task" and not active.started):
            return False
        active.fault = None
        if fault.do == "lose-task":
            return self.lose(active.task_id)
        if fault.do == "fail-task":
            return self.fail(active.task_id, str(fault.message))
        return self.interrupt(active.task_id)

    def _show(self, active: Active, status: str) -> None:
        if self._queue.active.get(active.task_id) is active and not active.aborted:
            self._database.update("tasks", active.task_id, {"status": status})
