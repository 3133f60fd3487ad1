"""What surrounds a main process and may change under it: disk, clock, token, other people."""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests import warm_start
from tests.faults.checks import Violation
from tests.faults.records import Observer
from tests.faults.worlds import World
from tests.workflow.workflow_runs import Platform
from tests.workflow.workflow_runs import Workflow as PlacedWorkflow

DISK = "48m"
"""Of the file system of a working directory that is to be full for a while."""
_CLOCK = Path(__file__).with_name("clock.c")
_FREEZER = Path("/sys/fs/cgroup/freezer")
_LONGEST_COMMAND = 90.0
_MOST_STARTS = 8
_UNTIL_IT_ASKS = 10.0
"""Seconds from the start of a process to its first request, on a busy machine."""
_LONGEST_NEIGHBOUR = 150.0
PERMISSIONS = ("write", "copy", "execute")


def missing(name: str) -> str:
    """What this machine lacks for a world; empty if nothing."""
    if name == "clock" and shutil.which("gcc") is None:
        return "gcc"
    if name == "disk" and os.geteuid() != 0:
        return "the right to mount file systems"
    return ""


class Disk:
    """The file system of one working directory, which can be filled."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._filler = directory / ".filler"
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(directory)]
        subprocess.run(command, check=True)

    def fill(self) -> None:
        """Leave no byte of it."""
        piece = b"\0" * 65536
        with self._filler.open("ab", buffering=0) as stream, suppress(OSError):
            while True:
                while stream.write(piece) == len(piece):
                    pass
                piece = piece[: max(len(piece) // 2, 1)]

    def free(self) -> None:
        """Let there be room."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Give it back, with all that is in it."""
        subprocess.run(["umount", "--lazy", str(self._directory)], check=False)


class Clock:
    """What time a main process believes that it is."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._library = folder / "clock.so"
        command = ["gcc", "-shared", "-fPIC", "-O1", "-o", str(self._library), str(_CLOCK), "-ldl"]
        subprocess.run(command, check=True)
        self._file = folder / "wrong"
        self._file.write_bytes(bytes(8))

    def set(self, seconds: float) -> None:
        """From now on it is wrong by so much."""
        with self._file.open("r+b") as stream:
            stream.write(struct.pack("=d", seconds))

    def environment(self) -> dict[str, str]:
        """Of a process that is to believe it. Files keep the times that the kernel gives them."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_IS_WRONG_BY": str(self._file)}


class Sleeper:
    """A main process that stands still, until it wakes up."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, *, frozen: bool) -> None:
        self.process = process
        self.log = log
        self.wakes = 0.0
        """When, by the monotonic clock."""
        self._group: Path | None = None
        if frozen and os.access(_FREEZER, os.W_OK):
            self._group = _FREEZER / f"faults-{process.pid}"
            self._group.mkdir()
            (self._group / "cgroup.procs").write_text(str(process.pid))
            (self._group / "freezer.state").write_text("FROZEN")
        else:
            process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        if self._group is None:
            self.process.send_signal(signal.SIGCONT)
        else:
            (self._group / "freezer.state").write_text("THAWED")

    def bury(self) -> None:
        """It has ended."""
        if self._group is not None:
            self._group.rmdir()


class Credentials:
    """Where a main process finds its token, if not in its environment."""

    def __init__(self, home: Path, platform: Platform, *, in_file: bool) -> None:
        self._home = home
        self._in_file = in_file
        self._endpoint = platform.endpoint
        self.write(platform.token)

    @property
    def _file(self) -> Path:
        return self._home / ("token" if self._in_file else ".sevenbridges/credentials")

    def write(self, token: str) -> None:
        """This is the token from now on."""
        profile = f"[cavatica]\napi_endpoint = {self._endpoint}\nauth_token = {token}\n"
        self._file.parent.mkdir(parents=True, exist_ok=True)
        new = self._file.with_name("new")
        new.write_text(f"{token}\n" if self._in_file else profile)
        new.chmod(0o600)
        new.replace(self._file)

    def environment(self) -> dict[str, str]:
        """Of a process that is to find it there."""
        if self._in_file:
            return {"SNAKEMAKE_CAVATICA_TOKEN_FILE": str(self._file)}
        return {"HOME": str(self._home)}


@dataclass
class Around:
    """All that changes around the main process of one run, each at its moment."""

    world: World
    directory: Path
    platform: Platform
    observer: Observer
    disks: list[Disk] = field(default_factory=list)
    credentials: Credentials | None = None
    clock: Clock | None = None
    was_full: bool = False
    """Since it was last asked for."""
    changes: list[str] = field(default_factory=list)
    """What has happened."""
    _full: deque[tuple[float, float]] = field(default_factory=deque)
    _times: deque[tuple[float, float]] = field(default_factory=deque)
    _free_at: float | None = None
    _known_at: float | None = None
    _revoked: float = -math.inf
    _is_renewed: bool = False
    _user: str = ""

    def __post_init__(self) -> None:
        """Everything as it is at first."""
        self._full.extend(sorted(self.world.full))
        self._times.extend(self.world.clock)
        if self.world.has("clock"):
            self.clock = Clock(self.directory / "clock")
            self.tick(0.0)
        if self.world.has("token"):
            home = self.directory / "home"
            self.credentials = Credentials(home, self.platform, in_file=self.world.token_file)
            self._user = self.observer.user()  # later, a fault may meet the request

    def environment(self, placed: PlacedWorkflow) -> dict[str, str]:
        """Of a main process."""
        environment = placed.environment()
        if self.credentials is not None:
            del environment["SB_AUTH_TOKEN"]
            environment |= self.credentials.environment()
        if self.clock is not None:
            environment |= self.clock.environment()
        return environment

    def new_directory(self, directory: Path) -> None:
        """A working directory is about to be used."""
        if self.world.has("disk"):
            self.disks.append(Disk(directory))

    def tick(self, done: float) -> None:
        """Do what is due, when that share of the jobs is done."""
        while self._times and done >= self._times[0][0] and self.clock is not None:
            seconds = self._times.popleft()[1]
            self.clock.set(seconds)
            self.changes.append(f"clock {seconds:+.0f} s")
        self._tick_of_disks(done)
        if self.credentials is not None:
            self._tick_of_token(done)

    def _tick_of_disks(self, done: float) -> None:
        if self._free_at is not None and time.monotonic() > self._free_at:
            self.free()
        if self._full and self._free_at is None and done >= self._full[0][0] and self.disks:
            self._free_at = time.monotonic() + self._full.popleft()[1]
            self.disks[-1].fill()
            self.was_full = True
            self.changes.append("disk full")

    def free(self) -> None:
        """Let there be room on all disks."""
        self._free_at = None
        for disk in self.disks:
            disk.free()

    def _tick_of_token(self, done: float) -> None:
        assert self.credentials is not None
        if not self._is_renewed and done >= self.world.renewed:
            self._is_renewed = True
            asked = {"username": self._user}
            token = str(self.observer.control("revoke", asked)["auth_token"])
            self.observer.renew(token)
            self.platform = replace(self.platform, token=token)
            self._known_at = time.monotonic() + self.world.gap
            self._revoked = time.time()
            self.changes.append("token renewed")
        if self._known_at is not None and time.monotonic() >= self._known_at:
            self._known_at = None
            self.credentials.write(self.platform.token)

    def has_no_token(self, began: float) -> bool:
        """Whether a process that began then may have found none that is good, from the first."""
        return -_UNTIL_IT_ASKS < began - self._revoked < self.world.gap + _UNTIL_IT_ASKS

    def settle(self) -> None:
        """Nothing is the matter any more."""
        self._full.clear()
        self.free()
        if self._known_at is not None and self.credentials is not None:
            self._known_at = None
            self.credentials.write(self.platform.token)

    def close(self) -> None:
        """Give back what would stay."""
        for disk in self.disks:
            disk.close()


# ------------------------------------------------------------------------------- other people


class Transfers(threading.Thread):
    """Somebody puts files into the project, and gets them, again and again."""

    def __init__(self, directory: Path, platform: Callable[[], Platform], seed: int) -> None:
        """`platform` gives it with the token that is good now."""
        super().__init__(name="transfers", daemon=True)
        self._directory = directory
        self._platform = platform
        self._over = threading.Event()
        self.logs: list[Path] = []
        self.violations: list[Violation] = []
        dice = random.Random(f"transfers {seed}")
        self._content = {
            f"{'ab'[number % 2]}/{number}.bin": dice.randbytes(dice.choice((0, 10, 5000, 300_000)))
            for number in range(8)
        }
        for name, content in self._content.items():
            path = directory / "given" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def run(self) -> None:
        """Until `finish`; commands may fail under faults, but not lie."""
        round_ = 0
        while not self._over.is_set():
            self._round(round_ % 3)
            round_ += 1

    def finish(self) -> None:
        """The last ones, when there are no faults any more: they have to work."""
        self._over.set()
        self.join()
        for number in range(3):
            if not self._round(number):
                self.violations.append(Violation("transfer failed", self.logs[-1].read_text()))

    def _round(self, number: int) -> bool:
        """Put and get; whether both have worked."""
        place = f"cavatica://{self._platform().project}/beside/{number}"
        target = self._directory / f"got{number}"
        if self._command("put", str(self._directory / "given"), place) != 0:
            return False
        if self._command("get", place, str(target)) != 0:
            return False
        for name, content in self._content.items():
            path = target / name
            if not path.is_file() or path.read_bytes() != content:
                self.violations.append(Violation("wrong transfer", f"{path} after exit status 0"))
        return True

    def _command(self, *words: str) -> int:
        log = self._directory / f"transfer{len(self.logs)}.log"
        self.logs.append(log)
        command = [sys.executable, "-m", "snakemake_executor_cavatica.commands.main", *words]
        platform = self._platform()
        environment = {
            **os.environ,
            "SB_API_ENDPOINT": platform.endpoint,
            "SB_AUTH_TOKEN": platform.token,
            "XDG_STATE_HOME": str(self._directory / "state"),
        }
        with log.open("wb") as stream:
            process = warm_start.Popen(
                command, env=environment, stdout=stream, stderr=subprocess.STDOUT
            )
            return _ended(process, _LONGEST_COMMAND, log, self.violations)


class Neighbour(threading.Thread):
    """Another user, who runs the same workflow in a directory of their own, to its end."""

    def __init__(
        self, placed: PlacedWorkflow, command: Sequence[str], logs: Path, after: float
    ) -> None:
        super().__init__(name="neighbour", daemon=True)
        self.placed = placed
        self.after = after
        """Share of the first user's jobs that are done when this one begins."""
        self.is_due = False
        self._options = list(command)
        self._logs = logs
        self._over = threading.Event()
        self.logs: list[Path] = []
        self.starts: list[float] = []
        self.finished = False
        self.violations: list[Violation] = []

    def run(self) -> None:
        """The same command, until it has succeeded."""
        while not self.finished and len(self.logs) < _MOST_STARTS and not self._over.is_set():
            self._once()

    def finish(self) -> None:
        """There are no faults any more: now it has to work."""
        if self.is_due:
            self.join(_LONGEST_NEIGHBOUR)
            self._over.set()
            self.join()
        if not self.finished:
            self._once()
        if not self.finished:
            self.violations.append(Violation("neighbour gave up", self.logs[-1].name))

    def _once(self) -> None:
        log = self._logs / f"neighbour{len(self.logs)}.log"
        self.logs.append(log)
        self.starts.append(time.time())
        with log.open("wb") as stream:
            process = warm_start.Popen(
                self._options,
                cwd=self.placed.directory,
                env=self.placed.environment(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
            status = _ended(process, _LONGEST_NEIGHBOUR, log, self.violations)
        self.finished = status == 0
        if not self.finished:
            self.violations.append(Violation("neighbour gave up", log.name))


def _ended(
    process: subprocess.Popen[bytes], longest: float, log: Path, violations: list[Violation]
) -> int:
    """The exit status of a process; one that hangs is killed."""
    try:
        return process.wait(longest)
    except subprocess.TimeoutExpired:
        violations.append(Violation("hangs", log.name))
        process.kill()
        return process.wait()


def second_user(platform: Platform, observer: Observer) -> Platform:
    """The same platform and project as another member of it sees them."""
    made: Mapping[str, str] = observer.control("users", {"username": "neighbour"})
    observer.add_member(platform.project, "neighbour", PERMISSIONS)
    return replace(platform, token=made["auth_token"])
