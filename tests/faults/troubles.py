"""When troubles begin and end, and when the main process is struck, by how far the run has come."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from tests.faults.records import Observer, endings
from tests.faults.scenarios import RUN, Fault, Interruption, Scenario

TICK = 0.1
READY = "CAVATICA: project"
"""What the plugin prints once it is connected."""
LONGEST_WAIT = 6.0
"""Seconds to wait for a moment before a lesser one is taken."""
_ON_ITS_WAY = 1.5
_DONE = 200


@dataclass(frozen=True)
class Witness:
    """The file in which commands note that they have come to their end."""

    path: Path

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text() if self.path.exists() else ""

    @property
    def jobs(self) -> int:
        """How many jobs have been done."""
        return len({key for key, _ in endings(self.text)})


class Troubles:
    """Faults, outages and losses, each when the run has come to its moment."""

    def __init__(self, scenario: Scenario, observer: Observer, witness: Witness) -> None:
        self._observer = observer
        self._witness = witness
        self._seed = scenario.seed * 1000
        self._standing = list(scenario.faults)
        self._jobs = len(scenario.workflow.jobs)
        self._outages = deque(sorted(scenario.outages, key=lambda one: one.after))
        self._losses = deque(sorted(scenario.losses))
        self._over_at: float | None = None

    def begin(self, *further: Fault) -> None:
        """Inject the standing faults, and further ones ahead of them."""
        self._over_at = None
        self._inject([*further, *self._standing])

    def pause(self) -> None:
        """No fault until `begin`."""
        self._inject([])

    def end(self) -> None:
        """No trouble any more."""
        self._standing.clear()
        self._outages.clear()
        self._losses.clear()
        self.pause()

    def pass_by(self) -> None:
        """End an outage that is over."""
        if self._over_at is not None and time.monotonic() > self._over_at:
            self.begin()

    def tick(self) -> None:
        """Do what is due."""
        self.pass_by()
        if not self._outages and not self._losses:
            return
        done = self._witness.jobs / self._jobs
        if self._outages and done >= self._outages[0].after and self._over_at is None:
            outage = self._outages.popleft()
            self._inject([outage.fault])
            self._over_at = time.monotonic() + outage.seconds
        running = [one.task for one in self._observer.executions() if one.ended is None]
        due = self._losses and done >= self._losses[0] and running
        if due and self._observer.control("interrupt", {"task": running[0]})["interrupted"]:
            self._losses.popleft()

    def _inject(self, faults: list[Fault]) -> None:
        self._seed += 1
        self._observer.control("faults", {"faults": faults, "seed": self._seed})


@dataclass(frozen=True)
class Scene:
    """Where moments are watched for."""

    observer: Observer
    troubles: Troubles
    witness: Witness
    jobs: int
    """Of the workflow."""
    directory: Path
    """Where the main process works."""
    log: Path
    """Its output."""


class Moment:
    """Watches for the moment of an interruption."""

    def __init__(self, interruption: Interruption, scene: Scene) -> None:
        self.interruption = interruption
        self._scene = scene
        self._armed: float | None = None
        self._requests = 0

    def has_come(self) -> bool:
        """Whether to strike now."""
        if self.interruption.moment == "beginning":
            return self._has_begun()
        if self._armed is None:
            done = self._scene.witness.jobs
            if done >= self.interruption.after * self._scene.jobs and self._is_ready():
                self._arm()
            return False
        late = time.monotonic() - self._armed > LONGEST_WAIT
        running = sum(one.ended is None for one in self._scene.observer.executions())
        wanted = 1 if late else self.interruption.number
        if self.interruption.moment in ("running", "unseen"):
            return running >= wanted
        return self._requests_since() >= wanted

    @property
    def is_soon(self) -> bool:
        """Whether it is worth looking more often."""
        return self.interruption.moment == "beginning"

    def _has_begun(self) -> bool:
        """Whether Snakemake's lock is there, for long enough."""
        if self._armed is None:
            if not any(self._scene.directory.glob(".snakemake/locks/*")):
                return False
            self._armed = time.monotonic()
        return time.monotonic() - self._armed >= self.interruption.after

    def _is_ready(self) -> bool:
        """Ctrl-C is the plugin's matter once the plugin is there."""
        return self.interruption.ending != "ctrl-c" or READY in self._scene.log.read_text()

    def _arm(self) -> None:
        self._armed = time.monotonic()
        self._requests = len(self._scene.observer.requests())
        if self.interruption.moment == "starting":
            seconds = _ON_ITS_WAY * self.interruption.number
            delay = {"do": "delay", "path": RUN, "seconds": seconds, "times": 1}
            self._scene.troubles.begin(delay)
        elif self.interruption.moment == "drafted":
            self._scene.troubles.begin({"do": "drop-before", "path": RUN})

    def _requests_since(self) -> int:
        """Requests of the kind that makes the moment, since it was due."""
        later = self._scene.observer.requests()[self._requests :]
        if self.interruption.moment == "submitting":
            return sum(one.kind == "POST /v2/tasks" for one in later)
        runs = [one for one in later if one.kind.endswith("/actions/run")]
        if self.interruption.moment in ("starting", "drafted"):
            return self.interruption.number if runs else 0
        if self.interruption.moment == "started":
            return self.interruption.number if any(one.status == _DONE for one in runs) else 0
        return sum(
            one.kind == "POST /v2/bulk/files/get" or "/download_info" in one.path for one in later
        )
