"""What the database says of tasks that are to run, run, or have ended."""

from __future__ import annotations

import sqlite3
from typing import Any

from cavatica_local.engine import ABORTED, ExecutionResult
from cavatica_local.state import app_revisions
from cavatica_local.state.database import Database
from cavatica_local.state.times import now
from cavatica_local.switches import Switches

TERMINAL = ("COMPLETED", "FAILED", "ABORTED")
STOPPED = "The platform was stopped while the task was running."


class TaskRecords:
    """Rows of tasks, and how they change from their start to their end."""

    def __init__(self, database: Database, switches: Switches) -> None:
        self._database = database
        self._switches = switches

    def row(self, task_id: str) -> sqlite3.Row | None:
        """A task."""
        return self._database.one("SELECT * FROM tasks WHERE id = ?", task_id)

    def document(self, row: sqlite3.Row) -> dict[str, Any]:
        """The app of a task; without content if there is no such revision any more."""
        revision = app_revisions.find_revision(self._database, row["app"], row["revision"])
        return {} if revision is None else app_revisions.document_of(revision)

    def recover(self) -> list[str]:
        """End what an earlier run of the server has left; the tasks that are to be queued again."""
        with self._database.transaction():
            for row in self._executing():
                self.end(row, "FAILED", STOPPED)
            self._database.run("UPDATE executions SET ended = ? WHERE ended IS NULL", now())
            for row in self._with_status("CREATING"):
                self._database.run(
                    "UPDATE tasks SET status = 'ABORTED', ended = ? WHERE parent = ?",
                    now(),
                    row["id"],
                )
                self.end(row, "FAILED", STOPPED)
            for row in self._with_status("RUNNING", "ABORTING"):
                self.finish_parent(row["id"])
        return [row["id"] for row in self._with_status("QUEUED")]

    def _executing(self) -> list[sqlite3.Row]:
        """Tasks that had a process, also those that only showed QUEUED at that moment."""
        return self._database.all(
            "SELECT * FROM tasks WHERE batch = 0 AND (status IN ('RUNNING', 'ABORTING') OR"
            " status = 'QUEUED' AND id IN (SELECT task FROM executions WHERE ended IS NULL))"
        )

    def _with_status(self, *statuses: str) -> list[sqlite3.Row]:
        marks = ", ".join("?" for _ in statuses)
        return self._database.all(
            f"SELECT * FROM tasks WHERE status IN ({marks}) ORDER BY queued, id",  # noqa: S608
            *statuses,
        )

    def note_start(self, row: sqlite3.Row) -> None:
        """A task's command starts."""
        started = now()
        changes = {"status": "RUNNING", "message": "Running", "running": started}
        self._database.update("tasks", row["id"], {**changes, "attempts": row["attempts"] + 1})
        self._database.insert(
            "executions",
            {"task": row["id"], "started": started, "ended": None, "command_line": ""},
        )

    def note_end_of_command(self, task_id: str, result: ExecutionResult) -> None:
        """A task's command has ended; the task itself has not, until its outputs are stored."""
        self._database.run(
            "UPDATE executions SET ended = ?, exit_status = ?, command_line = ?"
            " WHERE task = ? AND ended IS NULL",
            now(),
            result.exit_status,
            result.command_line,
            task_id,
        )

    def end(self, row: sqlite3.Row, status: str, message: str) -> None:
        """A task has ended, and with it maybe the batch that it belongs to."""
        changes = {"status": status, "message": message, "ended": now()}
        self._database.update("tasks", row["id"], changes)
        if row["parent"]:
            self.finish_parent(row["parent"])

    def finish_parent(self, parent_id: str) -> None:
        """End a batch parent once all its children have ended."""
        parent = self.row(parent_id)
        if parent is None or parent["status"] not in ("RUNNING", "ABORTING"):
            return
        unfinished = self._database.one(
            "SELECT 1 FROM tasks WHERE parent = ?"
            " AND status IN ('DRAFT', 'QUEUED', 'RUNNING', 'ABORTING') LIMIT 1",
            parent_id,
        )
        if unfinished is None:
            status, message = self._parent_outcome(parent)
            self.end(parent, status, message)

    def _parent_outcome(self, parent: sqlite3.Row) -> tuple[str, str]:
        """How a batch ended: with some failed children, that depends on a switch."""
        counts = child_counts(self._database, parent["id"])
        if parent["status"] == "ABORTING" or not set(counts) - {"ABORTED"}:
            return "ABORTED", ABORTED
        if not set(counts) - {"FAILED", "ABORTED"}:
            return "FAILED", "All tasks of the batch failed."
        if counts.get("FAILED") or counts.get("ABORTED"):
            return self._switches.batch_parent_with_failures, "Some tasks of the batch failed."
        return "COMPLETED", "Completed"


def child_counts(database: Database, parent: str) -> dict[str, int]:
    """How many children of a batch are in each status."""
    rows = database.all(
        "SELECT status, count(*) AS number FROM tasks WHERE parent = ? GROUP BY status", parent
    )
    return {row["status"]: row["number"] for row in rows}
