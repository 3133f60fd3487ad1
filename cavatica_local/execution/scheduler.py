"""From QUEUED to the end: tasks are started on an engine, and their ends are recorded.

Documented: QUEUED and RUNNING alternate. A task takes one instance from its start until its outputs
are stored.

After a crash of the server, tasks that were RUNNING (or ABORTING) are FAILED with a message of the
platform, since their processes are gone, and tasks that were QUEUED are queued again. A batch
parent that was still CREATING its children is FAILED and its children are ABORTED.
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from typing import Any

from cavatica_local.cwl import documents
from cavatica_local.engine import Engine, Execution, ExecutionResult
from cavatica_local.execution.active import Active
from cavatica_local.execution.inputs import JobOrder, MissingInput
from cavatica_local.execution.interventions import Interventions
from cavatica_local.execution.results import LeftBehind, Results
from cavatica_local.execution.task_queue import TaskQueue
from cavatica_local.execution.task_records import STOPPED, TERMINAL, TaskRecords
from cavatica_local.faults.faults import NO_SPACE
from cavatica_local.state.accounts import settings_of
from cavatica_local.state.platform import Platform
from cavatica_local.state.task_inputs import inputs_of


class Scheduler:
    """Runs tasks as they get instances. Lives on the event loop's thread, with all its parts."""

    def __init__(self, platform: Platform, engine: Engine) -> None:
        self._platform = platform
        self._database = platform.database
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._results = Results(platform)
        self.records = TaskRecords(platform.database, platform.switches)
        self.queue = TaskQueue(platform, self.records, self._begin)
        self.interventions = Interventions(platform, engine, self.records, self.queue)

    def recover(self) -> None:
        """Take up the tasks of an earlier run of the server."""
        for task_id in self.records.recover():
            self.queue.submit(task_id)

    async def close(self) -> None:
        """End all running tasks; they are FAILED, queued ones stay queued."""
        self.queue.close()
        await asyncio.to_thread(self._engine.close)
        with self._database.transaction():
            for task_id, active in list(self.queue.active.items()):
                row = self.records.row(task_id)
                if row is not None and active.started and row["status"] not in TERMINAL:
                    self.records.end(row, "FAILED", STOPPED)

    # --- starting --------------------------------------------------------------------------------

    def _begin(self, active: Active) -> None:
        """The instance is there: start the execution."""
        try:
            self._start(active)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody else ends the task
            self._give_up(active, error)

    def _give_up(self, active: Active, error: Exception) -> None:
        """Fail a task for a fault of this server, which it would wait out forever."""
        self._loop.call_exception_handler({"message": "a task failed", "exception": error})
        if active.task_id in self.queue.active:
            said = f"{type(error).__name__}: {error}"
            self.queue.conclude(active, "FAILED", f"The embedded platform has a fault ({said}).")

    def _start(self, active: Active) -> None:
        row = self.records.row(active.task_id)
        project = None
        if row is not None:
            project = self._database.one("SELECT * FROM projects WHERE id = ?", row["project"])
        if row is None or project is None or row["status"] != "QUEUED":
            self.queue.release(active)
            return
        fault = active.fault
        if fault is not None and fault.seconds <= 0 and self.interventions.meet_fault(active):
            return
        document = self.records.document(row)
        try:
            values = self._take_inputs(active, document, row)
        except MissingInput as error:
            self.queue.conclude(active, "FAILED", str(error))
            return
        if not active.has_room():
            self.queue.conclude(active, "FAILED", NO_SPACE)
            return
        try:
            shutil.rmtree(active.directory, ignore_errors=True)
            active.directory.mkdir(parents=True)
        except OSError as error:
            message = f"The instance has no disk for the task: {error}"
            self.queue.conclude(active, "FAILED", message)
            return
        with self._database.transaction():
            self.records.note_start(row)
        active.started = True
        execution = Execution(
            row["id"],
            project["uuid"],
            document,
            values,
            active.directory,
            name=row["name"],
            interruptible=bool(row["interruptible"]),
            network=settings_of(project)["allow_network_access"],
            disk_gb=active.instance.disk_size,
        )
        self._engine.start(execution, lambda result: self._finished(active, result))
        self.interventions.plan_surprises(active, row)

    def _take_inputs(
        self, active: Active, document: dict[str, Any], row: sqlite3.Row
    ) -> dict[str, Any]:
        """The job order of a task, whose contents stay from now on until it has ended."""
        order = JobOrder(self._platform)
        inputs = inputs_of(self._database, row["inputs"])
        values = order.build(documents.input_ports(document), inputs)
        active.blobs = order.blobs
        active.input_bytes = sum(order.sizes.values())
        for blob in order.blobs:
            self._platform.blobs.use(blob)
        return values

    # --- ending ----------------------------------------------------------------------------------

    def _finished(self, active: Active, result: ExecutionResult) -> None:
        """Called by the engine, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_finished, active, result)

    def _on_finished(self, active: Active, result: ExecutionResult) -> None:
        active.lost = active.lost or result.is_lost
        if not self.queue.is_closed:
            self._platform.in_background(self._end_execution(active, result))

    async def _end_execution(self, active: Active, result: ExecutionResult) -> None:
        try:
            await self._collect(active, result)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody else ends the task
            self._give_up(active, error)

    async def _collect(self, active: Active, result: ExecutionResult) -> None:
        """Store what an execution left, and end its task."""
        # A task that was quicker than its fault meets it at the very end.
        self.interventions.meet_fault(active)
        self.records.note_end_of_command(active.task_id, result)
        left = await asyncio.to_thread(self._results.store, active, result)
        if not self._again(active):
            self._conclude(active, result, left)
        # Nothing happens to those that are recorded by now.
        self._platform.release_contents(content.blob for content in left.contents)

    def _again(self, active: Active) -> bool:
        """Queue a task that lost its spot instance once more, if it may."""
        if not active.lost or active.aborted or active.failed is not None:
            return False
        row = self.records.row(active.task_id)
        if row is None or row["attempts"] > self._platform.switches.spot_retries:
            return False
        changes = {"status": "QUEUED", "message": "The spot instance was lost."}
        prices = active.prices(row, self._platform.settings.price_hour)
        self._database.update("tasks", row["id"], {**changes, **prices})
        self.queue.release(active)
        self.queue.submit(row["id"])
        return True

    def _conclude(self, active: Active, result: ExecutionResult, left: LeftBehind) -> None:
        row = self.records.row(active.task_id)
        if row is None:
            self.queue.release(active)
            return
        status, message = self._results.record(active, row, result, left)
        self.queue.conclude(active, status, message)
