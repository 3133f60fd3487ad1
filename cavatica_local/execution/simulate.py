"""An engine that runs nothing: tasks take some seconds, and leave empty files or fail.

For trying out a workflow's shape, and for measuring clients: one thread with a heap of timers
serves ten thousand tasks in flight.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from pathlib import Path
from typing import Any

from cavatica_local.cwl import documents
from cavatica_local.engine import (
    ABORTED,
    OUT_OF_MEMORY,
    Execution,
    ExecutionResult,
    Finished,
    exit_message,
)
from cavatica_local.execution.behaviours import Fate, Simulation
from cavatica_local.execution.simulated_archive import simulated_archive
from cavatica_local.execution.simulated_text import simulated_text
from cavatica_local.execution.wildcards import output_names
from cavatica_local.faults.faults import NO_SPACE

_MIB = 1 << 20
_ABORTED = ExecutionResult(succeeded=False, message=ABORTED)


class SimulateEngine:
    """Runs executions by waiting."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._due: list[tuple[float, int, Execution, Fate]] = []
        self._finished: dict[str, Finished] = {}
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="simulation", daemon=True)
        self._thread.start()

    def start(self, execution: Execution, finished: Finished) -> None:
        """Let the execution end after its time."""
        fate = self._simulation.fate(
            execution.name,
            interruptible=execution.interruptible,
            memory_mb=_memory_mb(execution),
            disk_mb=1000 * execution.disk_gb,
        )
        due = time.monotonic() + fate.seconds
        with self._changed:
            self._finished[execution.task_id] = finished
            heapq.heappush(self._due, (due, next(self._order), execution, fate))
            self._changed.notify()

    def abort(self, task_id: str) -> None:
        """End the execution now."""
        with self._changed:
            finished = self._finished.pop(task_id, None)
        if finished is not None:
            finished(_ABORTED)

    def close(self) -> None:
        """End all executions and the thread."""
        with self._changed:
            self._closed = True
            remaining = list(self._finished.values())
            self._finished.clear()
            self._changed.notify()
        self._thread.join()
        for finished in remaining:
            finished(_ABORTED)

    def _serve(self) -> None:
        while (due := self._next()) is not None:
            execution, fate = due
            with self._changed:
                finished = self._finished.pop(execution.task_id, None)
            if finished is not None:
                finished(_failure(execution, fate) or _success(execution, fate))

    def _next(self) -> tuple[Execution, Fate] | None:
        """Wait until an execution is due; None when the engine was closed."""
        with self._changed:
            while not self._closed:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2:]
                self._changed.wait(wait)
        return None


def _memory_mb(execution: Execution) -> float:
    return documents.demand(execution.document, execution.inputs).ram * _MIB / 1e6


def _failure(execution: Execution, fate: Fate) -> ExecutionResult | None:
    if fate.is_lost:
        return ExecutionResult(False, "The task's spot instance was lost.", is_lost=True)
    if fate.memory_mb > _memory_mb(execution):
        return ExecutionResult(False, exit_message(OUT_OF_MEMORY), OUT_OF_MEMORY)
    if fate.disk_mb > 1000 * execution.disk_gb:
        return ExecutionResult(False, NO_SPACE, 1)
    return ExecutionResult(False, exit_message(1), 1) if fate.fails else None


def _success(execution: Execution, fate: Fate) -> ExecutionResult:
    ports = documents.output_ports(execution.document)
    outputs = {name: _output(execution, port, fate) for name, port in ports.items()}
    for name, port in ports.items():
        archive = simulated_archive(execution, port, ports.values())
        if archive is not None:
            outputs[name] = {"class": "File", "path": str(archive)}
    return ExecutionResult(
        succeeded=True,
        message="Completed",
        exit_status=0,
        outputs=outputs,
        command_line="(simulated)",
    )


def _output(execution: Execution, port: documents.Port, fate: Fate) -> Any:
    """An empty file or folder, named after the port's glob, or a list of them; otherwise null."""
    kind = port.alternatives[0] if port.alternatives else "null"
    is_list = isinstance(kind, dict) and kind.get("type") == "array"
    item = kind["items"] if isinstance(kind, dict) and is_list else kind
    if item == "string":
        return simulated_text(port.glob, execution.inputs, fate)
    if item not in ("File", "Directory"):
        return [] if is_list else None
    folder = execution.directory / port.id
    names = output_names(port.glob, execution.inputs)
    names = names or [documents.resolve_glob(port.glob, execution.inputs, port.id)]
    values = [_create(folder / name, str(item)) for name in names]
    return values if is_list else values[0]


def _create(path: Path, kind: str) -> dict[str, Any]:
    if kind == "Directory":
        path.mkdir(parents=True)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return {"class": kind, "path": str(path)}
