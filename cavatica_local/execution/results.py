"""What an execution leaves: verified, stored, and written into its task."""

from __future__ import annotations

import json
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cavatica_local.engine import ABORTED, INPUTS_CHANGED, ExecutionResult
from cavatica_local.execution import outputs
from cavatica_local.execution.active import Active
from cavatica_local.execution.outputs import OutputError, StoredFile
from cavatica_local.faults.faults import NO_SPACE
from cavatica_local.state import tree
from cavatica_local.state.blobs import Content
from cavatica_local.state.platform import Platform
from cavatica_local.state.times import now

ERROR_LOG = "job.err.log"


@dataclass
class LeftBehind:
    """What an execution left, in the store by now."""

    contents: list[Content]
    outputs: dict[str, Any] = field(default_factory=dict)
    logs: dict[str, StoredFile] = field(default_factory=dict)
    problem: str | None = None


class Results:
    """Takes care of the results of executions."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._database = platform.database
        self._thorough = platform.settings.verify_inputs == "checksum"

    def store(self, active: Active, result: ExecutionResult) -> LeftBehind:
        """In a thread: verify the inputs, move outputs and logs into the store, clean up."""
        collector = outputs.Collector(self._platform.blobs)
        left = LeftBehind(collector.contents)
        try:
            if self._inputs_are_damaged(active, result):
                left.problem = INPUTS_CHANGED
            elif result.succeeded and not active.aborted:
                left.outputs = collector.store(result.outputs)
                if not active.has_room(sum(one.size for one in left.contents)):
                    left.problem = NO_SPACE
            for name, path in self._logs(active, result).items():
                if path.is_file():
                    left.logs[name] = collector.file(name, path)
        except (OutputError, OSError) as error:
            left.problem = f"The outputs could not be stored: {error}"
        if not self._platform.settings.keep_work:
            shutil.rmtree(active.directory, ignore_errors=True)
        return left

    def _logs(self, active: Active, result: ExecutionResult) -> dict[str, Path]:
        """The logs of an execution; if the platform ended it, the executor's log says so."""
        if active.failed is None:
            return result.logs
        path = result.logs.get(ERROR_LOG, active.directory / ERROR_LOG)
        with path.open("a", encoding="utf-8") as log:
            log.write(f"{active.failed}\n")
        return {**result.logs, ERROR_LOG: path}

    def _inputs_are_damaged(self, active: Active, result: ExecutionResult) -> bool:
        """Check all inputs, so that each damaged content goes to the quarantine."""
        thorough = self._thorough and not result.inputs_are_safe
        intact = [
            self._platform.blobs.is_intact(blob, modified, thorough=thorough)
            for blob, modified in active.blobs.items()
        ]
        return not all(intact)

    def record(
        self, active: Active, row: sqlite3.Row, result: ExecutionResult, left: LeftBehind
    ) -> tuple[str, str]:
        """Write outputs and execution details into the task; its final status and message."""
        status, message, shown = self._outcome(active, row, result, left)
        with self._database.transaction():
            job = {
                "name": row["app"].rpartition("/")[2],
                "start_time": row["running"],
                "end_time": now(),
                "status": status,
                "message": message,
                "command_line": result.command_line,
                "retried": row["attempts"] > 1,
                "instance": active.shown_instance(),
                "logs": self._add_logs(row, left.logs),
            }
            changes: dict[str, Any] = {"jobs": json.dumps([job])}
            if shown is not None:
                changes["outputs"] = json.dumps(shown)
            self._database.update("tasks", row["id"], changes)
        return status, message

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

    def _add_logs(self, row: sqlite3.Row, logs: dict[str, StoredFile]) -> dict[str, str]:
        """Logs are files outside of every folder; their ids by name."""
        return {
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
