"""Starts real executions: nothing of the engine is replaced."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cavatica_local.engine import Execution, ExecutionResult
from cavatica_local.engine.cwl import CwltoolEngine

PATIENCE = 60


class Started:
    """An execution under way."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.results: list[ExecutionResult] = []
        self._ended = threading.Event()

    def finished(self, result: ExecutionResult) -> None:
        self.results.append(result)
        self._ended.set()

    def result(self) -> ExecutionResult:
        assert self._ended.wait(PATIENCE), "the execution did not end"
        return self.results[0]


class Runner:
    """Starts executions in fresh directories."""

    def __init__(self, engine: CwltoolEngine, root: Path) -> None:
        self.engine = engine
        self.root = root
        self._started: list[Started] = []
        self._ids = (f"task-{number}" for number in itertools.count(1))

    def start(self, document: dict[str, Any], *, network: bool = True, **inputs: Any) -> Started:
        task_id = next(self._ids)
        directory = self.root / task_id
        directory.mkdir()
        execution = Execution(task_id, "project-uuid", document, inputs, directory, network=network)
        started = Started(execution)
        self.engine.start(started.execution, started.finished)
        self._started.append(started)
        return started

    def end_all(self) -> None:
        """So that a test that fails leaves nothing running for the next one."""
        for started in self._started:
            if not started.results:
                self.engine.abort(started.execution.task_id)
                started.result()

    def __call__(self, document: dict[str, Any], **inputs: Any) -> ExecutionResult:
        return self.start(document, **inputs).result()


def tool(script: str, **fields: Any) -> dict[str, Any]:
    """A CommandLineTool that runs a shell script; its output is the file `out`, if it has one."""
    return {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "id": "owner/project/example/0",
        "baseCommand": ["sh", "-c", script, "script"],
        "inputs": {},
        "outputs": {},
        **fields,
    }


FILE_OUT = {"out": {"type": "File", "outputBinding": {"glob": "out"}}}


def text(result: ExecutionResult, output: str = "out") -> str:
    """The content of an output file of a run that has succeeded."""
    assert result.succeeded, (result.message, result.logs["job.err.log"].read_text())
    return Path(result.outputs[output]["path"]).read_text()


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
