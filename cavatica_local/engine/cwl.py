"""The engine that runs CWL with cwltool, the reference implementation."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cavatica_local.engine import ABORTED, Execution, ExecutionResult, Finished, records
from cavatica_local.engine.containers import DEFAULT_HABITS, ContainerHabits, Containers

_log = logging.getLogger(__name__)
_FORK_SERVER = "cavatica_local.engine.forkserver"


@dataclass
class _Server:
    """A running fork server and the executions that were given to it."""

    process: subprocess.Popen[bytes]
    channel: socket.socket
    watcher: threading.Thread = field(init=False)
    running: dict[str, tuple[Path, Finished]] = field(default_factory=dict)

    def send(self, message: dict[str, str]) -> None:
        # If the fork server is gone, the watcher ends everything that was given to it.
        with contextlib.suppress(ConnectionError):
            self.channel.sendall(json.dumps(message).encode() + b"\n")


class CwltoolEngine:
    """Runs each execution in a process of its own, forked from one that has cwltool loaded.

    All methods return at once, except `close`. Callbacks come from one watcher thread, so they
    should be short. An execution's directory keeps all that its task wrote, temporary files too:
    it is the caller's to remove once outputs and logs are collected.
    """

    def __init__(
        self,
        containers: Containers = "none",
        habits: ContainerHabits = DEFAULT_HABITS,
        validation: socket.socket | None = None,
    ) -> None:
        """`validation` is where documents come that are to be validated, see `cwl.validation`."""
        self._arguments = [containers, json.dumps(asdict(habits))]
        self._lock = threading.Lock()
        self._closed = False
        with validation or contextlib.nullcontext():
            self._server: _Server | None = self._launch(validation)

    def start(self, execution: Execution, finished: Finished) -> None:
        """Start and return at once; `finished` is called exactly once, from another thread."""
        records.write_execution(execution)
        with self._lock:
            if self._closed:
                raise RuntimeError("the engine is closed")
            server = self._server = self._server or self._launch()
            if execution.task_id in server.running:
                raise ValueError(f"task {execution.task_id} is already running")
            server.running[execution.task_id] = (execution.directory, finished)
            server.send({"run": execution.task_id, "directory": str(execution.directory)})

    def abort(self, task_id: str) -> None:
        """End the whole process group and container now; a task that has ended is left alone."""
        with self._lock:
            if self._server is not None and task_id in self._server.running:
                self._server.send({"abort": task_id})

    def close(self) -> None:
        """Abort everything, wait until all callbacks are called, and release the workers."""
        with self._lock:
            self._closed = True
            server = self._server
        if server is not None:
            with contextlib.suppress(OSError):
                server.channel.shutdown(socket.SHUT_WR)
            server.process.wait()
            server.watcher.join()

    def _launch(self, validation: socket.socket | None = None) -> _Server:
        ours, theirs = socket.socketpair()
        with theirs:
            first = theirs.fileno()
            others = [] if validation is None else [validation.fileno()]
            process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", _FORK_SERVER, str(first), *self._arguments),
                    *map(str, others),
                ],
                pass_fds=[first, *others],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # Away from the user's working directory and out of reach of Ctrl-C.
                cwd="/",
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
            )
        server = _Server(process, ours)
        server.watcher = threading.Thread(target=self._watch, args=[server], daemon=True)
        server.watcher.start()
        return server

    def _watch(self, server: _Server) -> None:
        """Turn reports of the fork server into callbacks until it ends, then fail what is left."""
        # A fork server that is killed with requests unread resets the connection.
        with contextlib.suppress(ConnectionResetError), server.channel.makefile("rb") as reports:
            for line in reports:
                report = json.loads(line)
                with self._lock:
                    directory, finished = server.running.pop(report["ended"])
                _conclude(directory, finished, report["status"], aborted=report["aborted"])
        server.process.wait()
        with self._lock:
            if self._server is server:
                self._server = None
            left = list(server.running.values())
            server.running.clear()
        server.channel.close()
        for directory, finished in left:
            _conclude(directory, finished, None, aborted=False)


def _conclude(directory: Path, finished: Finished, status: int | None, *, aborted: bool) -> None:
    try:
        result = records.read_result(directory, fallback=_without_result(status))
    except (OSError, ValueError) as error:
        result = ExecutionResult(False, f"The result of the task could not be read: {error}")
    if aborted and not result.succeeded:
        result = replace(result, message=ABORTED)
    try:
        finished(result)
    except Exception:  # noqa: BLE001 - its fault must not cost other tasks their callbacks
        _log.exception("The callback of the execution in %s failed", directory)


def _without_result(status: int | None) -> ExecutionResult:
    """For a process that ended before it could report."""
    if status is None:
        message = "The engine's fork server ended while the task was running."
        return ExecutionResult(False, message)
    if status < 0:
        message = f"The process that ran the task was ended by {records.signal_text(-status)}."
        return ExecutionResult(False, message, exit_status=status)
    message = f"The engine failed (status {status}); the reason is in job.err.log."
    return ExecutionResult(False, message)
