"""From QUEUED to the end: which task runs when, and what its end leaves behind.

Documented: at most so many instances run in parallel per account, further tasks stay QUEUED; QUEUED
and RUNNING alternate. A task takes one instance from its start until its outputs are stored. On a
machine that really runs the tools there is a second limit, that of its cores.

After a crash of the server, tasks that were RUNNING (or ABORTING) are FAILED with a message of the
platform, since their processes are gone, and tasks that were QUEUED are queued again. A batch
parent that was still CREATING its children is FAILED and its children are ABORTED.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cavatica_local.cwl import documents
from cavatica_local.engine import INPUTS_CHANGED, Engine, Execution, ExecutionResult
from cavatica_local.execution import instance_types, outputs
from cavatica_local.execution.inputs import JobOrder, MissingInput
from cavatica_local.execution.instance_types import Instance
from cavatica_local.execution.outputs import OutputError, StoredFile
from cavatica_local.faults.faults import Fault
from cavatica_local.services import apps
from cavatica_local.services.projects import settings_of
from cavatica_local.state import tree
from cavatica_local.state.blobs import Content
from cavatica_local.state.platform import Platform, now

TERMINAL = ("COMPLETED", "FAILED", "ABORTED")
BURST = 20
"""Starts in one go; then other requests have their turn."""
FLAP_SECONDS = 0.4
STOPPED = "The platform was stopped while the task was running."
ERROR_LOG = "job.err.log"
ABORTED = "The task was aborted."


@dataclass
class Active:
    """A task that holds an instance."""

    task_id: str
    instance: Instance
    cores: float
    blobs: dict[str, int] = field(default_factory=dict)
    """Contents of its inputs, with their times of modification."""
    timer: asyncio.TimerHandle | None = None
    started: bool = False
    aborted: bool = False
    lost: bool = False
    """Its spot instance was taken away."""
    failed: str | None = None
    """The platform ended it, with this message."""
    fate: Fault | None = None
    """An injected fault that it will meet."""


@dataclass
class LeftBehind:
    """What an execution left, in the store by now."""

    contents: list[Content]
    outputs: dict[str, Any] = field(default_factory=dict)
    logs: dict[str, StoredFile] = field(default_factory=dict)
    problem: str | None = None


class Scheduler:
    """Starts queued tasks on an engine and concludes them. Lives on the event loop's thread."""

    def __init__(self, platform: Platform, engine: Engine) -> None:
        self._platform = platform
        self._database = platform.database
        self._settings = platform.settings
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._queue: deque[str] = deque()
        self._active: dict[str, Active] = {}
        self._held: set[str] = set()
        self._blobs: Counter[str] = Counter()
        self._cores = 0.0
        self._pump_planned = False
        self._closing = False

    # --- what others ask -------------------------------------------------------------------------

    def recover(self) -> None:
        """Take up the tasks of an earlier run of the server."""
        with self._database.transaction():
            for row in self._executing():
                self._end(row, "FAILED", STOPPED)
            self._database.run("UPDATE executions SET ended = ? WHERE ended IS NULL", now())
            for row in self._rows("CREATING"):
                self._database.run(
                    "UPDATE tasks SET status = 'ABORTED', ended = ? WHERE parent = ?",
                    now(),
                    row["id"],
                )
                self._end(row, "FAILED", STOPPED)
            for row in self._rows("RUNNING", "ABORTING"):
                self.finish_parent(row["id"])
        for row in self._rows("QUEUED"):
            self.submit(row["id"])

    def _executing(self) -> list[sqlite3.Row]:
        """Tasks that had a process, also those that only showed QUEUED at that moment."""
        return self._database.all(
            "SELECT * FROM tasks WHERE batch = 0 AND (status IN ('RUNNING', 'ABORTING') OR"
            " status = 'QUEUED' AND id IN (SELECT task FROM executions WHERE ended IS NULL))"
        )

    def _rows(self, *statuses: str) -> list[sqlite3.Row]:
        marks = ", ".join("?" for _ in statuses)
        return self._database.all(
            f"SELECT * FROM tasks WHERE status IN ({marks}) ORDER BY queued, id",  # noqa: S608
            *statuses,
        )

    def submit(self, task_id: str) -> None:
        """Queue a task, whose status is QUEUED already."""
        self._queue.append(task_id)
        self._plan_pump()

    def abort(self, row: sqlite3.Row) -> None:
        """Abort a task, whose status is ABORTING already."""
        active = self._active.get(row["id"])
        if active is None:
            # Even a task that only waits is seen ABORTING for a moment (documented states).
            self._loop.call_later(0.1, self._abort_waiting, row["id"])
            return
        active.aborted = True
        self._stop(active, "ABORTED", ABORTED)

    def interrupt(self, task_id: str) -> bool:
        """Take away a running task's instance, as happens to spot instances."""
        active = self._active.get(task_id)
        if active is None or not active.started:
            return False
        active.lost = True
        self._engine.abort(task_id)
        return True

    def fail(self, task_id: str, message: str) -> bool:
        """End a queued or running task as FAILED, as the platform does with this message."""
        active = self._active.get(task_id)
        if active is not None:
            active.failed = message
            self._stop(active, "FAILED", message)
            return True
        row = self._row(task_id)
        if row is None or row["batch"] or row["status"] != "QUEUED":
            return False
        with self._database.transaction():
            self._end(row, "FAILED", message)
        return True

    def lose(self, task_id: str) -> bool:
        """Let a task and its children vanish, as if they had never been."""
        row = self._row(task_id)
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
                self.finish_parent(row["parent"])
        return True

    def hold(self, task_id: str) -> bool:
        """Never give an instance to a task; it stays QUEUED until it is aborted."""
        row = self._row(task_id)
        if row is None or row["status"] not in ("DRAFT", "QUEUED") or task_id in self._active:
            return False
        self._held.add(task_id)
        return True

    def forget(self, task_id: str) -> None:
        """Stop a task that is about to be deleted."""
        active = self._active.get(task_id)
        if active is not None:
            active.aborted = True
            self._stop(active, "ABORTED", ABORTED)

    def _stop(self, active: Active, status: str, message: str) -> None:
        """Stop an execution; a task that still waits for its instance ends right now."""
        if active.started:
            self._engine.abort(active.task_id)
        else:
            if active.timer is not None:
                active.timer.cancel()
            self._conclude(active, status, message)

    def _abort_waiting(self, task_id: str) -> None:
        row = self._row(task_id)
        if row is not None and row["status"] == "ABORTING":
            with self._database.transaction():
                self._end(row, "ABORTED", ABORTED)

    def uses(self, blob: str) -> bool:
        """Whether a running task may still read a content."""
        return self._blobs[blob] > 0

    @property
    def free_instances(self) -> int:
        """Instances that no task holds."""
        return self._settings.instances - len(self._active)

    def waiting_for(self, task_id: str) -> str | None:
        """Why a queued task does not run yet: its instance starts, or the account's limit."""
        if task_id in self._active:
            return None if self._active[task_id].started else "instance_init"
        if task_id in self._held:
            return "instance_init"
        return "account_limit" if self.free_instances <= 0 else None

    async def close(self) -> None:
        """End all running tasks; they are FAILED, queued ones stay queued."""
        self._closing = True
        for active in list(self._active.values()):
            if active.timer is not None:
                active.timer.cancel()
        await asyncio.to_thread(self._engine.close)
        with self._database.transaction():
            for task_id, active in list(self._active.items()):
                row = self._row(task_id)
                if row is not None and active.started and row["status"] not in TERMINAL:
                    self._end(row, "FAILED", STOPPED)

    # --- starting --------------------------------------------------------------------------------

    def _plan_pump(self) -> None:
        if not self._pump_planned and not self._closing:
            self._pump_planned = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Give instances to queued tasks, in order, as long as the limits allow."""
        self._pump_planned = False
        with self._database.transaction():
            for _ in range(BURST):
                if not self._queue or self._closing or self.free_instances <= 0:
                    return
                row = self._row(self._queue[0])
                if row is not None and row["status"] == "QUEUED" and not self._allocate(row):
                    return
                self._queue.popleft()
        self._plan_pump()

    def _allocate(self, row: sqlite3.Row) -> bool:
        """Give an instance to a task; False if the host has no cores left for it."""
        if row["id"] in self._held:
            return True
        inputs = json.loads(row["inputs"])
        document = self._document(row)
        demand = documents.demand(document, inputs)
        limit = self._settings.host_cores
        if limit is not None and self._active and self._cores + demand.cores > limit:
            return False
        wanted = json.loads(row["settings"]).get("instance_type") or documents.hint(
            document, "sbg:AWSInstanceType", "sbg:GoogleInstanceType"
        )
        try:
            instance = instance_types.chosen(wanted, demand, allow_bare=True)
        except ValueError as error:
            self._end(row, "FAILED", f"No instance for the task: {error}.")
            return True
        fate = self._platform.faults.for_task(row["name"], spot=bool(row["interruptible"]))
        if fate is not None and fate.do == "hold-task":
            self._held.add(row["id"])
            return True
        active = Active(row["id"], instance, demand.cores, fate=fate)
        self._active[row["id"]] = active
        self._cores += active.cores
        active.timer = self._loop.call_later(self._settings.start_delay, self._begin, active)
        return True

    def _document(self, row: sqlite3.Row) -> dict[str, Any]:
        revision = apps.find_revision(self._database, row["app"], row["revision"])
        return {} if revision is None else apps.document_of(revision)

    def _begin(self, active: Active) -> None:
        """The instance is there: start the execution."""
        try:
            self._start(active)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody else ends the task
            self._give_up(active, error)

    def _give_up(self, active: Active, error: Exception) -> None:
        """Fail a task for a fault of this server, which it would wait out forever."""
        self._loop.call_exception_handler({"message": "a task failed", "exception": error})
        if active.task_id in self._active:
            said = f"{type(error).__name__}: {error}"
            self._conclude(active, "FAILED", f"The embedded platform has a fault ({said}).")

    def _start(self, active: Active) -> None:
        row = self._row(active.task_id)
        project = None
        if row is not None:
            project = self._database.one("SELECT * FROM projects WHERE id = ?", row["project"])
        if row is None or project is None or row["status"] != "QUEUED":
            self._release(active)
            return
        if active.fate is not None and active.fate.seconds <= 0 and self._meet_fate(active):
            return
        document = self._document(row)
        order = JobOrder(self._platform)
        try:
            values = order.build(documents.input_ports(document), json.loads(row["inputs"]))
        except MissingInput as error:
            self._conclude(active, "FAILED", str(error))
            return
        active.started, active.blobs = True, order.blobs
        self._blobs.update(order.blobs.keys())
        directory = self._directory(row["id"])
        try:
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
        except OSError as error:
            self._conclude(active, "FAILED", f"The instance has no disk for the task: {error}")
            return
        with self._database.transaction():
            self._note_start(row)
        execution = Execution(
            row["id"],
            project["uuid"],
            document,
            values,
            directory,
            name=row["name"],
            interruptible=bool(row["interruptible"]),
            network=settings_of(project)["allow_network_access"],
        )
        self._engine.start(execution, lambda result: self._finished(active, result))
        self._plan_surprises(active, row)

    def _note_start(self, row: sqlite3.Row) -> None:
        started = now()
        changes = {"status": "RUNNING", "message": "Running", "running": started}
        self._database.update("tasks", row["id"], {**changes, "attempts": row["attempts"] + 1})
        self._database.insert(
            "executions",
            {"task": row["id"], "started": started, "ended": None, "command_line": ""},
        )

    def _plan_surprises(self, active: Active, row: sqlite3.Row) -> None:
        """What is left to chance (see the switches), and the fault that it is to meet."""
        switches, roll = self._platform.switches, self._platform.faults.roll
        if active.fate is not None:
            self._loop.call_later(active.fate.seconds, self._meet_fate, active)
        if roll("flap", row["name"]) < switches.status_flap:
            self._loop.call_later(FLAP_SECONDS, self._show, active, "QUEUED")
            self._loop.call_later(2 * FLAP_SECONDS, self._show, active, "RUNNING")
        if row["interruptible"] and roll("spot", row["name"]) < switches.spot_loss_rate:
            self._loop.call_later(FLAP_SECONDS, self.interrupt, active.task_id)

    def _meet_fate(self, active: Active) -> bool:
        """Let the injected fault of a task happen, once; whether that was the end of the task."""
        fate = active.fate
        if fate is None or active.aborted or (fate.do == "interrupt-task" and not active.started):
            return False
        active.fate = None
        if fate.do == "lose-task":
            return self.lose(active.task_id)
        if fate.do == "fail-task":
            return self.fail(active.task_id, str(fate.message))
        return self.interrupt(active.task_id)

    def _show(self, active: Active, status: str) -> None:
        if self._active.get(active.task_id) is active and not active.aborted:
            self._database.update("tasks", active.task_id, {"status": status})

    # --- ending ----------------------------------------------------------------------------------

    def _finished(self, active: Active, result: ExecutionResult) -> None:
        """Called by the engine, from any thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_finished, active, result)

    def _on_finished(self, active: Active, result: ExecutionResult) -> None:
        active.lost = active.lost or result.is_lost
        if not self._closing:
            self._platform.in_background(self._end_execution(active, result))

    async def _end_execution(self, active: Active, result: ExecutionResult) -> None:
        try:
            await self._collect(active, result)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody else ends the task
            self._give_up(active, error)

    async def _collect(self, active: Active, result: ExecutionResult) -> None:
        """Store what an execution left, and end its task."""
        # A task that was quicker than its fate meets it at the very end.
        self._meet_fate(active)
        self._database.run(
            "UPDATE executions SET ended = ?, exit_status = ?, command_line = ?"
            " WHERE task = ? AND ended IS NULL",
            now(),
            result.exit_status,
            result.command_line,
            active.task_id,
        )
        left = await asyncio.to_thread(self._store, active, result)
        if not self._again(active):
            self._conclude_execution(active, result, left)
        for content in left.contents:
            self._platform.blobs.release(content)
            # Nothing happens if it is recorded by now.
            self._platform.forget_content(content.blob)

    def _store(self, active: Active, result: ExecutionResult) -> LeftBehind:
        """In a thread: verify the inputs, move outputs and logs into the store, clean up."""
        directory = self._directory(active.task_id)
        collector = outputs.Collector(self._platform.blobs)
        left = LeftBehind(collector.contents)
        try:
            if self._inputs_are_damaged(active, result):
                left.problem = INPUTS_CHANGED
            elif result.succeeded and not active.aborted:
                left.outputs = collector.store(result.outputs)
            for name, path in self._logs(active, result).items():
                if path.is_file():
                    left.logs[name] = collector.file(name, path)
        except (OutputError, OSError) as error:
            left.problem = f"The outputs could not be stored: {error}"
        shutil.rmtree(directory, ignore_errors=True)
        return left

    def _logs(self, active: Active, result: ExecutionResult) -> dict[str, Path]:
        """The logs of an execution; if the platform ended it, the executor's log says so."""
        if active.failed is None:
            return result.logs
        path = result.logs.get(ERROR_LOG, self._directory(active.task_id) / ERROR_LOG)
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{active.failed}\n")
        return {**result.logs, ERROR_LOG: path}

    def _inputs_are_damaged(self, active: Active, result: ExecutionResult) -> bool:
        """Check all inputs, so that each damaged content goes to the quarantine."""
        thorough = self._settings.verify_inputs == "checksum" and not result.inputs_are_safe
        intact = [
            self._platform.blobs.is_intact(blob, modified, thorough=thorough)
            for blob, modified in active.blobs.items()
        ]
        return not all(intact)

    def _directory(self, task_id: str) -> Path:
        return self._settings.root / "executions" / task_id

    def _again(self, active: Active) -> bool:
        """Queue a task that lost its spot instance once more, if it may."""
        row = self._row(active.task_id)
        if not active.lost or active.aborted or active.failed is not None or row is None:
            return False
        if row["attempts"] > self._platform.switches.spot_retries:
            return False
        changes = {"status": "QUEUED", "message": "The spot instance was lost."}
        self._database.update("tasks", row["id"], {**changes, **self._prices(active, row)})
        self._release(active)
        self.submit(row["id"])
        return True

    def _conclude_execution(
        self, active: Active, result: ExecutionResult, left: LeftBehind
    ) -> None:
        row = self._row(active.task_id)
        if row is None:
            self._release(active)
            return
        status, message, shown = self._outcome(active, row, result, left)
        with self._database.transaction():
            job = self._job(active, row, result, (status, message), left.logs)
            changes: dict[str, Any] = {"jobs": json.dumps([job])}
            if shown is not None:
                changes["outputs"] = json.dumps(shown)
            self._database.update("tasks", row["id"], changes)
        self._conclude(active, status, message)

    def _outcome(
        self, active: Active, row: sqlite3.Row, result: ExecutionResult, left: LeftBehind
    ) -> tuple[str, str, dict[str, Any] | None]:
        """Status, message and, if it completed, the task's outputs."""
        if active.aborted:
            return "ABORTED", ABORTED, None
        if active.failed is not None:
            return "FAILED", active.failed, None
        if active.lost:
            return "FAILED", "The task's spot instance was lost.", None
        if left.problem is not None:
            return "FAILED", left.problem, None
        if not result.succeeded:
            return "FAILED", result.message, None
        try:
            with self._database.transaction():
                placed = outputs.Placement(self._platform, row).place(left.outputs)
        except OutputError as error:
            return "FAILED", str(error), None
        return "COMPLETED", "Completed", {**json.loads(row["outputs"]), **placed}

    def _job(
        self,
        active: Active,
        row: sqlite3.Row,
        result: ExecutionResult,
        ending: tuple[str, str],
        logs: dict[str, StoredFile],
    ) -> dict[str, Any]:
        """One entry of the execution details. Logs are files outside of every folder."""
        identifiers = {
            name: tree.add(
                self._database,
                project=row["project"],
                parent=None,
                name=name,
                content=log.content,
                origin_task=row["id"],
            )
            for name, log in logs.items()
        }
        return {
            "name": row["app"].rpartition("/")[2],
            "start_time": row["running"],
            "end_time": now(),
            "status": ending[0],
            "message": ending[1],
            "command_line": result.command_line,
            "retried": row["attempts"] > 1,
            "instance": self._instance(active),
            "logs": identifiers,
        }

    def _instance(self, active: Active) -> dict[str, Any]:
        instance = active.instance
        return {
            "id": f"i-{active.task_id.replace('-', '')[:17]}",
            "type": instance.type,
            "provider": instance.provider,
            "disk": {"size": instance.disk_size, "unit": "GB", "type": instance.disk_type},
        }

    def _conclude(self, active: Active, status: str, message: str) -> None:
        """End a task that holds an instance."""
        row = self._row(active.task_id)
        with self._database.transaction():
            if row is not None:
                self._database.update("tasks", row["id"], self._prices(active, row))
                self._end(row, status, message)
        self._release(active)

    def _prices(self, active: Active, row: sqlite3.Row) -> dict[str, float]:
        """What a task has cost so far: instances that it lost have to be paid too."""
        seconds = now() - row["running"] if active.started else 0.0
        computation, storage = active.instance.prices(
            seconds / self._settings.price_hour, interruptible=bool(row["interruptible"])
        )
        return {
            "computation": (row["computation"] or 0.0) + computation,
            "storage": (row["storage"] or 0.0) + storage,
        }

    def _release(self, active: Active) -> None:
        self._active.pop(active.task_id, None)
        self._cores -= active.cores
        self._blobs.subtract(active.blobs.keys())
        self._blobs += Counter()
        self._platform.contents_released(active.blobs)
        self._plan_pump()

    def _end(self, row: sqlite3.Row, status: str, message: str) -> None:
        self._held.discard(row["id"])
        changes = {"status": status, "message": message, "ended": now()}
        self._database.update("tasks", row["id"], changes)
        if row["parent"]:
            self.finish_parent(row["parent"])

    def finish_parent(self, parent_id: str) -> None:
        """End a batch parent once all its children have ended."""
        parent = self._row(parent_id)
        if parent is None or parent["status"] not in ("RUNNING", "ABORTING"):
            return
        unfinished = self._database.one(
            "SELECT 1 FROM tasks WHERE parent = ?"
            " AND status IN ('DRAFT', 'QUEUED', 'RUNNING', 'ABORTING') LIMIT 1",
            parent_id,
        )
        if unfinished is None:
            counts = child_counts(self._platform, parent_id)
            status, message = _parent_outcome(self._platform, parent, counts)
            self._end(parent, status, message)

    def _row(self, task_id: str) -> sqlite3.Row | None:
        return self._database.one("SELECT * FROM tasks WHERE id = ?", task_id)


def child_counts(platform: Platform, parent: str) -> dict[str, int]:
    """How many children of a batch are in each status."""
    rows = platform.database.all(
        "SELECT status, count(*) AS number FROM tasks WHERE parent = ? GROUP BY status", parent
    )
    return {row["status"]: row["number"] for row in rows}


def _parent_outcome(
    platform: Platform, parent: sqlite3.Row, counts: dict[str, int]
) -> tuple[str, str]:
    """How a batch ended: with some failed children, that depends on a switch."""
    if parent["status"] == "ABORTING" or not set(counts) - {"ABORTED"}:
        return "ABORTED", ABORTED
    if not set(counts) - {"FAILED", "ABORTED"}:
        return "FAILED", "All tasks of the batch failed."
    if counts.get("FAILED") or counts.get("ABORTED"):
        return platform.switches.batch_parent_with_failures, "Some tasks of the batch failed."
    return "COMPLETED", "Completed"
