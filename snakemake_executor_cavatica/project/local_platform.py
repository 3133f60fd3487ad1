"""The embedded platform: as a child process of a Snakemake run, or as one that is there already."""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..api import ConfigurationError, Token, is_on_loopback
from ..api.credentials import SB_TOKEN_VARIABLE, TOKEN_FILE_VARIABLE, TOKEN_VARIABLE
from .environment import BEFORE_PARSING

START_TIMEOUT = 60.0
"""Seconds; loading the CWL engine takes about 4 of them."""
STOP_TIMEOUT = 20.0
TOKEN_VARIABLES = (TOKEN_VARIABLE, TOKEN_FILE_VARIABLE, SB_TOKEN_VARIABLE)


@dataclass
class LocalPlatform:
    """A server that lives as long as its standard input is open, so never longer than this."""

    endpoint: str
    token: Token
    project: str
    process: subprocess.Popen[bytes]

    @classmethod
    def start(cls, root: Path, *options: str) -> LocalPlatform:
        """Serve `root`, which is made if needed, and wait until the server answers.

        Raises:
            ConfigurationError: the server ended or did not get ready; with its own last words.
        """
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        (root / ".gitignore").write_text("*\n")  # the root holds a token, and large files
        log = root / "server.log"
        with log.open("ab") as errors:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",  # modules of the workflow's folder are not meant for the platform
                    "-m",
                    "cavatica_local",
                    "serve",
                    f"--root={root}",
                    "--rate-limit=off",
                    "--until-stdin-closes",
                    *options,
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is for Snakemake, which then aborts the tasks
            )
        assert process.stdout is not None
        line = _first_line(process.stdout)
        try:
            ready = json.loads(line)
        except ValueError:
            process.kill()
            raise ConfigurationError(
                f"The embedded platform did not start: {_last_line(log)} (all of it: {log})"
            ) from None
        return cls(ready["api_endpoint"], Token(ready["auth_token"]), ready["project"], process)

    def stop(self) -> None:
        """End the server and everything that it runs."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class Served:
    """A server that another process has started."""

    endpoint: str
    token: Token
    project: str


def served(root: Path) -> Served | None:
    """The server that works on `root` at this moment; None if none does."""
    try:
        with (root / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _served(root)
    except OSError:
        pass  # nobody has ever served it
    return None


def _served(root: Path) -> Served | None:
    try:
        public = json.loads((root / "served.json").read_bytes())
        token = Token((root / "token").read_text())
        found = Served(str(public["api_endpoint"]), token, str(public["project"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it has just been started
    return found if is_on_loopback(found.endpoint) else None


def _environment() -> dict[str, str]:
    """The tools of this environment come first, as they do for Snakemake's local executor."""
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), BEFORE_PARSING.get("PATH", os.defpath)]
    )
    # The tasks inherit it, and they are other people's code.
    kept = {name: value for name, value in BEFORE_PARSING.items() if name not in TOKEN_VARIABLES}
    return {**kept, "PATH": path}


def _first_line(stream: IO[bytes]) -> bytes:
    """The line that the server prints when it is ready; empty if it ends or takes too long."""
    deadline = time.monotonic() + START_TIMEOUT
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        line = b""
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return b""
            chunk = os.read(stream.fileno(), 4096)
            if not chunk:
                return line
            line += chunk
        return line


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it gave no reason"
