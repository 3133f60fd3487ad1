"""Starts Snakemake where its libraries are loaded: that is most of what a start costs.

`Popen` is used like that of `subprocess`. What it starts is a process of its own and a child of
this one, with the arguments, environment, folder and streams that it is given, and it does what
`python -m snakemake`, the command `snakemake`, or our commands do. Snakemake and the plugin are
read afresh each time; only libraries are there already. Where that would make a difference, Python
is started afresh, too, and always with CAVATICA_TESTS_COLD_START in the environment.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from functools import cache
from pathlib import Path
from typing import Any

COLD = "CAVATICA_TESTS_COLD_START"
_IMPORTED = (
    "snakemake.cli",
    "snakemake.report.html_reporter",
    "snakemake.storage",
    "snakemake_executor_cavatica.executor",
)
_READ_AFRESH = ("snakemake", "cavatica", "__m")
"""Beginnings of the names of modules that are not kept: they look at folder and environment."""
_MODULES = ("snakemake", "snakemake_executor_cavatica.commands.main")
_AS_COMMAND = str(Path(sys.executable).with_name("snakemake"))
_READ_AT_THE_START = ("PYTHON", "LC_", "LANG", "LD_")
"""Beginnings of the names of variables that Python reads before anything else."""
_PR_SET_CHILD_SUBREAPER = 36
_LONGEST_REQUEST = 1 << 20
_STARTING = threading.Lock()


def as_in_a_terminal() -> None:
    """Jobs in the background of a shell, as CI may be, ignore these signals."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Popen(subprocess.Popen[Any]):
    """A process that is forked instead of started, if its command is Snakemake's."""

    def _execute_child(self, args: Any, *rest: Any) -> None:
        # What it is called with is the same, in the same order, from Python 3.11 on.
        executable, preexec_fn, _, pass_fds, cwd, env, _, _, shell = rest[:9]
        unusual = executable or pass_fds or shell or preexec_fn not in (None, as_in_a_terminal)
        environment = dict(os.environ if env is None else env)
        as_ever = rest[16:] == (None, None, None, -1, False, -1)
        if unusual or not as_ever or not _is_snakemake(args) or not _same_python(environment):
            super()._execute_child(args, *rest)  # type: ignore[misc]
            return
        streams = rest[9:15]
        ours = enumerate((streams[0], *streams[3::2]))
        given = [own if stream == -1 else stream for own, stream in ours]
        self.pid = _loaded().fork(list(args), environment, str(cwd or Path.cwd()), given)
        self._child_created = True
        self._close_pipe_fds(*streams)  # type: ignore[attr-defined]


def _is_snakemake(command: list[str]) -> bool:
    as_module = command[:2] == [sys.executable, "-m"] and command[2] in _MODULES
    return as_module or command[0] == _AS_COMMAND


def _same_python(environment: dict[str, str]) -> bool:
    """Whether Python would start the same with this environment."""
    return COLD not in environment and all(
        environment.get(name) == os.environ.get(name)
        for name in {*environment, *os.environ}
        if name.startswith(_READ_AT_THE_START)
    )


class _Loaded:
    """The process that has the libraries loaded, as seen from the tests."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        with theirs:
            # It ends when the channel does.
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )

    def fork(
        self, command: list[str], environment: dict[str, str], cwd: str, streams: list[int]
    ) -> int:
        """Have it forked; the number of a process that is a child of this one."""
        request = json.dumps([command, environment, cwd]).encode()
        with self._lock:
            # It is forked by a process that ends at once; so it comes to us, as we ask for it.
            _prctl(_PR_SET_CHILD_SUBREAPER, 1)
            try:
                socket.send_fds(self._channel, [request], streams)
                answer = self._channel.recv(16)
            finally:
                _prctl(_PR_SET_CHILD_SUBREAPER, 0)
        assert answer, "the process that has the libraries loaded has ended"
        return int(answer)


def _loaded() -> _Loaded:
    """One for all threads: a second one would take the children of the first away from us."""
    with _STARTING:
        return _started()


@cache
def _started() -> _Loaded:
    return _Loaded()


def _prctl(option: int, value: int) -> None:
    assert ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0


# --- in the process that has the libraries loaded -------------------------------------------------


def _serve(channel: socket.socket) -> tuple[list[str], dict[str, str], str] | None:
    """Fork whenever asked to; in what is forked, return what it has to become."""
    while True:
        request, streams, _, _ = socket.recv_fds(channel, _LONGEST_REQUEST, 3)
        if not request:
            return None
        reading, writing = os.pipe()
        between = os.fork()
        if not between:
            number = os.fork()
            if number:
                os.write(writing, str(number).encode())
                os._exit(0)
            channel.close()
            _take(streams)
            os.closerange(3, max(*streams, writing) + 1)
            command, environment, cwd = json.loads(request)
            return command, environment, cwd
        os.waitpid(between, 0)
        channel.send(os.read(reading, 16))
        for done in (reading, writing, *streams):
            os.close(done)


def _take(streams: list[int]) -> None:
    for own, stream in enumerate(streams):
        os.dup2(stream, own)
    sys.stdout, sys.stderr = _made_anew(sys.stdout), _made_anew(sys.stderr)


def _made_anew(stream: Any) -> io.TextIOWrapper:
    """The same for what its number stands for now: a file can be gone back in, and a pipe not."""
    raw = io.FileIO(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        raw if stream.write_through else io.BufferedWriter(raw),  # type: ignore[type-var]
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _become(command: list[str], environment: dict[str, str], cwd: str) -> None:
    """What Python does at its start with a module's name or a script."""
    as_in_a_terminal()
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(cwd)
    if command[1] == "-m":
        sys.argv = command[2:]
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(command[2], run_name="__main__", alter_sys=True)
    else:
        sys.argv = command
        sys.path.insert(0, str(Path(_AS_COMMAND).parent))
        runpy.run_path(_AS_COMMAND, run_name="__main__")


def _libraries() -> list[str]:
    """The modules that Snakemake and the plugin import, besides their own."""
    reading, writing = os.pipe()
    if not os.fork():
        for module in _IMPORTED:
            importlib.import_module(module)
        with os.fdopen(writing, "w") as names:
            names.write(" ".join(sys.modules))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as names:
        found = names.read().split()
    os.wait()
    assert found, "Snakemake cannot be imported"
    return [module for module in found if not module.startswith(_READ_AFRESH)]


def _main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    # Ctrl-C is for those who are forked; this one ends when the tests do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    del sys.path[0]
    for module in _libraries():
        # Some modules are there under other names only, as those of `six`.
        with contextlib.suppress(ImportError):
            importlib.import_module(module)
    # A collection would touch, and so copy, every page that the forked processes share.
    gc.collect()
    gc.freeze()
    forked = _serve(channel)
    if forked:
        gc.unfreeze()
        _become(*forked)


if __name__ == "__main__":
    _main()
