"""A main process that is itself a task, as `snakemake-cavatica submit` starts it, and its judge.

What is called the main process then is the command that follows it. To kill it means to end that
task, and Ctrl-C is `snakemake-cavatica cancel`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from tests import warm_start
from tests.faults.checks import Violation
from tests.faults.records import COORDINATORS, LIVE, Observer, TaskRecord

REQUESTS = 150
"""That a coordinator may send besides what a main process here may: its start, and what it says."""
_COMMAND = [sys.executable, "-m", "snakemake_executor_cavatica.commands.main"]
_RUN = re.compile(r"^Run (\S+): its main process is a task", re.MULTILINE)
_WAYS = ("abort", "fail", "interrupt")
_ON_ITS_WAY = 2.0
"""Seconds that a request to start one may take, after the process that sent it is dead."""
_ENDS_SOON = 0.5
_LONGEST_END = 30.0


def submit(snakemake: Sequence[str]) -> list[str]:
    """The command that submits and follows what `python -m snakemake ...` would run here."""
    return [*_COMMAND, "submit", "--follow", "--", *snakemake[3:]]


def cancel(log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Cancel the run that a log tells of; what this says is added to the log."""
    runs = _RUN.findall(log.read_text(errors="replace"))
    with log.open("ab") as stream:
        return warm_start.Popen(
            [*_COMMAND, "cancel", "--yes", *runs[-1:]],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )


class Coordinators:
    """Those of one run of the campaign."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    @property
    def _home(self) -> Observer:
        """With the token of now."""
        return self._observer.of_project(COORDINATORS)

    def end(self, number: int) -> None:
        """End those that go on, from outside: aborted, failed or without their instance.

        No fault may meet the requests.
        """
        time.sleep(_ON_ITS_WAY)
        deadline = time.monotonic() + _LONGEST_END
        way = _WAYS[number % len(_WAYS)]
        while live := self._live():
            if time.monotonic() > deadline:
                raise AssertionError(f"{live[0].name} does not end")
            for task in live:
                self._observer.end(task.id, way)
            time.sleep(_ENDS_SOON)
            way = "fail"  # one that was interrupted may have begun once more

    def _live(self) -> list[TaskRecord]:
        """Those that go on; a draft never will."""
        return [one for one in self._tasks() if one.status in LIVE and one.status != "DRAFT"]

    def _tasks(self) -> list[TaskRecord]:
        home = self._home
        return home.tasks() if home.has_project() else []

    def judge(self, token: str) -> Iterator[Violation]:
        """None goes on, no two worked at the same time, and no token lies about."""
        for task in self._live():
            yield Violation("coordinator left", f"{task.name} ({task.id}) is {task.status}")
        spans = sorted(
            (one.started, float("inf") if one.ended is None else one.ended, one.task)
            for one in self._observer.coordinators()
        )
        for (_, end, first), (start, _, second) in pairwise(spans):
            if start < end:
                yield Violation("coordinators at the same time", f"{first} and {second}")
        home = self._home
        if home.has_project():
            for folder in ("runs", "states"):
                for path, content in home.folder(folder).items():
                    if token.encode() in content:
                        yield Violation("secret", f"the token is in {COORDINATORS}/{folder}/{path}")
