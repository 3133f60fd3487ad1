"""A small process that has cwltool loaded and forks one process per task.

The standard library's fork server does not fit: each of its children runs the main module of the
program again (Snakemake's, if the platform is embedded there), it is one per program with one
global preload list, and it cannot tell a process group apart from a process. This one owns its
tasks: it starts each in a session of its own, ends whole groups, leaves nothing behind when a task
ends, and ends everything when its client goes away, even by `kill -9`.

It also forks the process that validates documents, which would have to load cwltool a second time.

Lines of JSON on one socket. In: {"run": task id, "directory": ...}, {"abort": task id}.
Out: {"ended": task id, "status": exit status, negative for a signal, "aborted": true or false}.
End of file: abort everything, then exit.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from cavatica_local.cwl import validation
from cavatica_local.engine import records, worker
from cavatica_local.engine.containers import ContainerHabits, Containers, removal_command

GRACE_SECONDS = 1.0
"""Between SIGTERM and SIGKILL on abort."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


@dataclass
class _Task:
    task_id: str
    aborted: bool = False
    kill_at: float | None = None
    """When to send SIGKILL; set by an abort."""
    status: int | None = None
    """Set once the task's process has ended and its containers are being removed."""


class ForkServer:
    """Forks, watches and ends the processes of tasks; single-threaded, as forking demands."""

    def __init__(
        self,
        channel: socket.socket,
        containers: Containers,
        habits: ContainerHabits,
        spared: Container[int] = (),
    ) -> None:
        """`spared` are children that are no tasks."""
        self._spared = spared
        self._channel = channel
        self._containers = containers
        self._habits = habits
        self._tasks: dict[int, _Task] = {}
        self._unread = b""
        self._open = True
        self._selector = selectors.DefaultSelector()
        self._alarm, wakeup = socket.socketpair()
        for end in (self._alarm, wakeup):
            end.setblocking(False)
        # A handler must exist for a signal to reach the wakeup descriptor.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        self._wakeup = wakeup
        if containers == "none":
            _prctl(_PR_SET_CHILD_SUBREAPER, 1)

    def serve(self) -> None:
        """Work until the client has gone and the last task has ended."""
        with self._selector as selector:
            selector.register(self._alarm, selectors.EVENT_READ, self._drain_alarm)
            selector.register(self._channel, selectors.EVENT_READ, self._read_requests)
            while self._open or self._tasks:
                for key, _ in selector.select(self._seconds_to_next_kill()):
                    key.data()
                if not self._open and self._channel in selector.get_map():
                    selector.unregister(self._channel)
                self._kill_overdue()
                self._reap()

    def _drain_alarm(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._alarm.recv(4096):
                pass

    def _read_requests(self) -> None:
        try:
            received = self._channel.recv(1 << 16)
        except ConnectionResetError:  # the client was killed before it read our last report
            received = b""
        if not received:
            self._open = False
            for task in list(self._tasks.values()):
                self._abort(task.task_id)
        *lines, self._unread = (self._unread + received).split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "run" in request:
                self._fork(request["run"], Path(request["directory"]))
            else:
                self._abort(request["abort"])

    def _fork(self, task_id: str, directory: Path) -> None:
        server = os.getpid()
        pid = os.fork()
        if pid:
            self._tasks[pid] = _Task(task_id)
            return
        status = 1
        try:
            self._become_task(server, task_id, directory)
            worker.main(directory, self._containers, self._habits)
            status = 0
        except BaseException:  # noqa: BLE001 - the outermost frame of a process: nothing above it
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _become_task(self, server: int, task_id: str, directory: Path) -> None:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, lambda *_: self._end_own_group(task_id))
        for inherited in (self._channel, self._alarm, self._wakeup, self._selector):
            inherited.close()
        _redirect_streams(records.error_log(directory))
        if self._containers == "none":
            _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGHUP)
        if os.getppid() != server:
            self._end_own_group(task_id)

    def _end_own_group(self, task_id: str) -> None:
        """In a task's process, when the fork server has died: no one else would end the tool."""
        if self._containers != "none":
            command = removal_command(self._containers, task_id)
            subprocess.Popen(command, start_new_session=True)
        os.killpg(0, signal.SIGKILL)

    def _abort(self, task_id: str) -> None:
        for pid, task in self._tasks.items():
            if task.task_id == task_id and not task.aborted and task.status is None:
                _signal_group(pid, signal.SIGTERM)
                task.aborted, task.kill_at = True, time.monotonic() + GRACE_SECONDS

    def _seconds_to_next_kill(self) -> float | None:
        times = [task.kill_at for task in self._tasks.values() if task.kill_at is not None]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _kill_overdue(self) -> None:
        for pid, task in self._tasks.items():
            if task.kill_at is not None and task.kill_at <= time.monotonic():
                _signal_group(pid, signal.SIGKILL)
                task.kill_at = None

    def _reap(self) -> None:
        """Take notice of dead children: tasks, cleaners, and what tasks have left behind."""
        while (pid := _dead_child()) is not None:
            task = self._tasks.pop(pid, None)
            if task is not None:
                # Before the process is reaped, so that its number cannot belong to anyone else.
                _signal_group(pid, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if task is not None:
                self._ended(task, status)
        if self._containers == "none":
            self._kill_strays()

    def _ended(self, task: _Task, status: int) -> None:
        task.kill_at = None
        if task.status is None:
            task.status = status
            if self._containers != "none" and (task.aborted or status):
                self._tasks[self._start_cleaner(task.task_id)] = task
                return
        report = {"ended": task.task_id, "status": task.status, "aborted": task.aborted}
        # The client may have gone: then nobody is left who wants to know.
        with contextlib.suppress(ConnectionError):
            self._channel.sendall(json.dumps(report).encode() + b"\n")

    def _start_cleaner(self, task_id: str) -> int:
        command = removal_command(self._containers, task_id)
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(command, stdin=nowhere, stdout=nowhere).pid

    def _kill_strays(self) -> None:
        """Processes that left their group outlive their task as children of the fork server."""
        children = Path(f"/proc/self/task/{os.getpid()}/children")
        if children.exists():
            for child in map(int, children.read_text().split()):
                if child not in self._tasks and child not in self._spared:
                    # A program that runs as another user is beyond our reach.
                    with contextlib.suppress(PermissionError):
                        os.kill(child, signal.SIGKILL)


def _dead_child() -> int | None:
    try:
        dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return dead.si_pid if dead else None


def _signal_group(leader: int, number: signal.Signals) -> None:
    """Signal a task's group; its leader alone if it has not yet made the group."""
    try:
        os.killpg(leader, number)
    except ProcessLookupError:
        os.kill(leader, number)


def _redirect_streams(log: Path) -> None:
    sources = (
        (0, os.open(os.devnull, os.O_RDONLY)),
        (1, os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)),
    )
    for target, source in sources:
        os.dup2(source, target)
        os.close(source)
    os.dup2(1, 2)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl failed")


def _fork_validator(channel: socket.socket, documents: socket.socket) -> int:
    pid = os.fork()
    if not pid:
        try:
            channel.close()  # else nobody would see that the fork server has ended
            validation.serve(documents)
        finally:
            os._exit(0)
    documents.close()
    return pid


def main() -> None:
    """Serve on the inherited sockets whose descriptors are among the arguments."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    containers: Containers = sys.argv[2]  # type: ignore[assignment]
    habits = ContainerHabits(**json.loads(sys.argv[3]))
    documents = [socket.socket(fileno=int(number)) for number in sys.argv[4:]]
    worker.preload()
    # Forked processes share these objects; a collection would touch, and so copy, every page.
    gc.collect()
    gc.freeze()
    spared = [_fork_validator(channel, one) for one in documents]
    ForkServer(channel, containers, habits, spared).serve()


if __name__ == "__main__":
    main()
