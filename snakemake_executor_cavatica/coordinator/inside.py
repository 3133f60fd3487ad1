"""What runs in a coordinator's task: Snakemake, and what makes it known outside.

    python -m snakemake_executor_cavatica.coordinator.inside FOLDER TOKEN_FILE

The token is a file in the folder for temporary files that only this user can read, and is deleted
on the platform before anything else happens. It is in no environment: local rules inherit that, and
what they write may be read by all members of the project of the jobs. It is not in HOME either,
which is the working directory of the task.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from ..api import CavaticaError, Client, ConfigurationError, Token
from ..api.credentials import SB_TOKEN_VARIABLE, TOKEN_FILE_VARIABLE, TOKEN_VARIABLE
from ..connections import CONNECTIONS
from ..observe.record import RECORD, UnreadableRecord, find_record
from ..project.connection import Connection
from . import pieces, state
from .home import check_private
from .instructions import FILE, VARIABLE, WORKFLOW, Instructions, read_instructions
from .stop import take_away

_SHORTEST, _LONGEST, _SHARE = 10.0, 300.0, 0.05
"""Seconds between two pieces of the log; it grows with the time that the run has taken so far."""
_LOCAL = 1.0
_TEMPORARY = (None, "/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - folders are made in them
"""Where folders for temporary files may be made; None is where the system wants them."""
_STATE_EVERY = 900.0
_LOCAL_STATE_EVERY = 5.0
"""Seconds between two copies of the metadata, for the case that this ends without an end."""


def main() -> int:
    """Do the work of a coordinator; Snakemake's exit status."""
    folder, token = Path(sys.argv[1]), Path(sys.argv[2])
    signal.signal(signal.SIGTERM, _end)
    os.umask(0o077)
    try:
        with _private_folder() as private:
            return _coordinate(folder, private, token)
    except CavaticaError as error:
        sys.stderr.write(f"The coordinator cannot work. {error}\n")
        return 1
    finally:
        CONNECTIONS.close()


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - Python's signature
    """The task is to end: what is open is closed, and the token's file goes."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


@contextlib.contextmanager
def _private_folder() -> Iterator[Path]:
    """Where only this user looks, and nothing is collected from.

    Raises:
        ConfigurationError: there is no such place.
    """
    task = Path.cwd().resolve()
    for place in _TEMPORARY:
        try:
            made = tempfile.TemporaryDirectory(prefix="cavatica-", dir=place)
        except OSError:
            continue
        with made as name:
            path = Path(name).resolve()
            if not path.is_relative_to(task):
                yield path
                return
    raise ConfigurationError(
        f"There is no folder for temporary files outside of the task's own, {task}, where the "
        "token does not go. Name an image with a /tmp that can be written to by --image."
    )


def _coordinate(folder: Path, private: Path, token: Path) -> int:
    instructions = read_instructions(folder / FILE)
    kept = private / "token"
    kept.write_text(token.read_text(encoding="utf-8"), encoding="utf-8")
    kept.chmod(0o600)
    for name in (TOKEN_VARIABLE, SB_TOKEN_VARIABLE):
        os.environ.pop(name, None)
    os.environ[TOKEN_FILE_VARIABLE] = str(kept)
    connection = CONNECTIONS.connect(instructions.endpoint)
    take_away(connection.client, instructions.folder)
    home = connection.client.project(instructions.home)
    check_private(connection.client, home, instructions.user)
    return _Work(folder, instructions, connection).run()


class _Work:
    """One run of Snakemake, and what is told of it."""

    def __init__(self, folder: Path, instructions: Instructions, connection: Connection) -> None:
        self._folder = folder
        self._told = instructions
        self._client = connection.client
        self._watcher = connection.watcher
        self._token: Token = connection.token
        self._is_local = connection.has_no_rate_limit
        self._workdir = folder / WORKFLOW / instructions.workdir
        self._writer = pieces.Writer(self._watcher, instructions.folder)
        self._log = bytearray()
        self._trouble = ""

    def run(self) -> int:
        """Run Snakemake to its end."""
        state.restore_state(self._client, self._told.states, self._told.scope, self._workdir)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "snakemake", *self._told.arguments],
            cwd=self._folder / WORKFLOW / self._told.start,
            env={
                **os.environ,
                **self._told.environment,
                VARIABLE: str(self._folder / FILE),
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            reader = threading.Thread(target=self._read, args=[process], daemon=True)
            reader.start()
            self._tell(process)
            reader.join(_SHORTEST)
            self._close()
        finally:
            process.kill()
        return process.wait()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        """Take what Snakemake says, line by line, also into the task's own log."""
        assert process.stdout is not None
        for line in process.stdout:
            harmless = self._token.cut_from(line)
            self._log += harmless
            sys.stderr.buffer.write(harmless)
            sys.stderr.buffer.flush()

    # ------------------------------------------------------------------------------- telling

    def _tell(self, process: subprocess.Popen[bytes]) -> None:
        """Let others know, until Snakemake has ended."""
        began = kept = time.monotonic()
        state_every = _LOCAL_STATE_EVERY if self._is_local else _STATE_EVERY
        while True:
            share = min(max(_SHORTEST, _SHARE * (time.monotonic() - began)), _LONGEST)
            try:
                process.wait(_LOCAL if self._is_local else share)
            except subprocess.TimeoutExpired:
                self._send()
                if time.monotonic() - kept > state_every:
                    kept = time.monotonic()
                    self._keep(self._watcher, is_running=True)
            else:
                return

    def _send(self) -> None:
        """That it cannot be told now is no reason to end: the next time tells it."""
        with self._told_if_it_fails():
            self._writer.send(bytes(self._log), self._record())

    def _keep(self, client: Client, *, is_running: bool) -> None:
        told = self._told
        with self._told_if_it_fails():
            state.save_state(client, told.states, told.scope, self._workdir, is_running=is_running)

    def _close(self) -> None:
        """Leave everything where it can be found, also if the run has failed; with patience."""
        self._keep(self._client, is_running=False)
        report = self._workdir / self._told.report
        files = {
            "report.html": report.read_bytes() if report.is_file() else b"",
            pieces.RECORD: self._record(),
            pieces.LOG: bytes(self._log),  # it comes last: who sees it sees all
        }
        self._writer.client = self._client
        with self._told_if_it_fails():
            self._writer.close({name: content for name, content in files.items() if content})

    @contextlib.contextmanager
    def _told_if_it_fails(self) -> Iterator[None]:
        try:
            yield
        except (CavaticaError, OSError) as error:  # Snakemake may write there at this moment
            if str(error) != self._trouble:
                self._trouble = str(error)
                sys.stderr.write(f"The log cannot be kept on the platform now: {error}\n")

    def _record(self) -> bytes:
        """The record that the run writes to; empty as long as there is none."""
        try:
            return (find_record(self._workdir, self._told.run) / RECORD).read_bytes()
        except (UnreadableRecord, OSError):
            return b""


if __name__ == "__main__":
    sys.exit(main())
