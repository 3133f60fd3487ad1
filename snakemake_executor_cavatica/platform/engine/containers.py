"""What differs between podman and docker, and the containers that a task may leave behind."""

from __future__ import annotations

import os
import resource
import shlex
import subprocess
from pathlib import Path
from typing import Literal

Containers = Literal["none", "podman", "docker"]

_TASK_LABEL = "org.sevenbridges.task"
_CAP_SYS_RESOURCE = 24
_KERNEL_MAX_PROCESSES = 32768


def run_options(engine: Containers, task_id: str) -> list[str]:
    """Options of `run` that every container of a task gets."""
    limits = _limit_options() if engine == "podman" else []
    return [f"--label={_TASK_LABEL}={task_id}", *limits]


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
