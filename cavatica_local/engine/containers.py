"""What differs between podman and docker, and the containers that a task may leave behind."""

from __future__ import annotations

import contextlib
import os
import resource
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Containers = Literal["none", "podman", "docker"]

_TASK_LABEL = "org.sevenbridges.task"
_CAP_SYS_RESOURCE = 24
_KERNEL_MAX_PROCESSES = 32768
_NOBODY = 65534
_SECONDS_BETWEEN_REMOVALS = 0.5


@dataclass(frozen=True)
class ContainerHabits:
    """How a container is set up where CWL leaves it open; see the server's switches."""

    user: str = "image"
    """image: as the image says; root; nobody: one that owns nothing."""
    writable_root: bool = False
    cwl_variables: bool = False
    """Whether HOME and TMPDIR are set, or only what the image sets."""
    entrypoint: bool = True
    """Whether the image's entrypoint is started, with the command as its arguments."""

    @property
    def own_user(self) -> bool:
        """Whether tools run as this process's user.

        Without root there is no choice: what other users write could not be collected.
        """
        return os.geteuid() != 0 or self.user == "root"


DEFAULT_HABITS = ContainerHabits()


def run_options(engine: Containers, habits: ContainerHabits, task_id: str) -> list[str]:
    """Options of `run` that every container of a task gets, beside those of cwltool."""
    options = [f"--label={_TASK_LABEL}={task_id}"]
    if habits.user == "nobody" and not habits.own_user:
        options.append(f"--user={_NOBODY}:{_NOBODY}")
    if not habits.entrypoint:
        options.append("--entrypoint=")
    if engine == "podman":
        options += _limit_options()
        if os.geteuid() != 0:
            options.append("--userns=keep-id")
        if not habits.writable_root:
            # Unlike docker, it would mount writable folders over /run and /var/tmp.
            options.append("--read-only-tmpfs=false")
    return options


def removal_command(engine: Containers, task_id: str) -> list[str]:
    """A command that kills and removes whatever containers of a task still exist."""
    program = shlex.quote(engine)
    # podman waits ten seconds before it kills, docker does not know the option.
    now = " --time=0" if engine == "podman" else ""
    wanted = shlex.quote(f"label={_TASK_LABEL}={task_id}")
    script = (
        f"ids=$({program} ps --all --quiet --filter {wanted}) || exit 1;"
        f' [ -z "$ids" ] || exec {program} rm --force{now} $ids'
    )
    return ["/bin/sh", "-c", script]


def end_container(engine: Containers, task_id: str, client: subprocess.Popen[str]) -> None:
    """Kill and remove a task's container, and wait for the program that started it."""
    command = removal_command(engine, task_id)
    while client.poll() is None:
        # Again and again: one that is still being made can neither be seen nor removed.
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            client.wait(timeout=_SECONDS_BETWEEN_REMOVALS)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def ensure_image(engine: Containers, image: str) -> None:
    """Pull an image unless it is here; raise LookupError where it cannot be had."""
    inspect = [engine, "image", "inspect", image]
    if subprocess.run(inspect, capture_output=True, check=False).returncode == 0:
        return
    pull = subprocess.run(
        [engine, "pull", image], capture_output=True, text=True, errors="replace", check=False
    )
    if pull.returncode != 0:
        reason = pull.stderr.strip().splitlines() or [f"status {pull.returncode}"]
        raise LookupError(f"Image {image} was not found and could not be pulled: {reason[-1]}")


def _limit_options() -> list[str]:
    """Resource limits for a root that may not raise its own, as inside most sandboxes.

    There podman's generous defaults make every container fail to start.
    """
    if os.geteuid() != 0 or _may_raise_limits():
        return []
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    processes = min(resource.getrlimit(resource.RLIMIT_NPROC)[1], _KERNEL_MAX_PROCESSES)
    return [f"--ulimit=nofile={open_files}:{open_files}", f"--ulimit=nproc={processes}:{processes}"]


def _may_raise_limits() -> bool:
    status = Path("/proc/self/status")
    if not status.exists():
        return True
    effective = next(
        line.split()[1] for line in status.read_text().splitlines() if line.startswith("CapEff")
    )
    return bool(int(effective, 16) >> _CAP_SYS_RESOURCE & 1)
