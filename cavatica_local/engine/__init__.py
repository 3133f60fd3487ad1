"""What runs a task: the interface of an engine, which the server's scheduler drives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

OUT_OF_MEMORY = 137
"""Exit status of a process that was killed, mostly because it took too much memory."""
ABORTED = "The task was aborted."
INPUTS_CHANGED = "The task changed its input files, which are read-only."


@dataclass(frozen=True)
class Execution:
    """One task, ready to run: everything an engine has to know, and nothing of the server."""

    task_id: str
    project_uuid: str
    document: dict[str, Any]
    """The packed CWL document, as installed."""
    inputs: dict[str, Any]
    """CWL job order. File: {"class", "location" (file URI of the stored bytes), "basename" (name as
    stored), "size", optionally "secondaryFiles"}; Directory: {"class", "basename", "listing"};
    scalars as they are."""
    directory: Path
    """Private to this execution; exists and is empty. All that the engine writes goes below it."""
    name: str = ""
    interruptible: bool = False
    """Whether it runs on a spot instance."""
    network: bool = True
    """Whether the project lets its tasks reach the network; only containers can be kept from it."""
    disk_gb: float = math.inf
    """Of its instance; real tasks can take what this machine has, until they have ended."""


@dataclass(frozen=True)
class ExecutionResult:
    """How an execution ended."""

    succeeded: bool
    message: str
    """One sentence for the task's `execution_status.message`."""
    exit_status: int | None = None
    """Of the tool's process; None where none was started. Negative: ended by that signal."""
    outputs: dict[str, Any] = field(default_factory=dict)
    """CWL output object; File and Directory entries carry an absolute local `path`."""
    logs: dict[str, Path] = field(default_factory=dict)
    """Log name ("cmd.log", "job.err.log", "stderr", "job.tree.log", ...) to local file."""
    command_line: str = ""
    is_lost: bool = False
    """Whether its spot instance was taken away."""
    inputs_are_safe: bool = False
    """Whether the tool could not have changed what is stored, so that nobody has to check."""


Finished = Callable[[ExecutionResult], None]


def exit_message(status: int) -> str:
    """What is said of a tool that ended with this status."""
    if status == OUT_OF_MEMORY:
        return f"Tool failed with exit code {status}: it was killed, possibly out of memory."
    return f"Tool failed with exit code {status}."


class Engine(Protocol):
    """Runs executions, each in a process group of its own."""

    def start(self, execution: Execution, finished: Finished) -> None:
        """Start and return at once; `finished` is called exactly once, from any thread."""

    def abort(self, task_id: str) -> None:
        """End the whole process group (and container) now; `finished` is still called."""

    def close(self) -> None:
        """Abort everything and release the workers."""
