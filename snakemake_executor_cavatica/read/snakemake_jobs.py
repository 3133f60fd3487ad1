"""What the steps of a job ask of, or do to, Snakemake's own job objects."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from .internals import ResourceList, is_flagged

_RANDOM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""A UUID."""


def members_of(job: Any) -> list[Any]:
    """The jobs of a group, or the job itself; in the same order in every process."""
    if not job.is_group():
        return [job]
    return sorted(job.jobs, key=name_of)


def kind_of(job: Any) -> str:
    """What people call jobs like it: by the rule, or the group.

    Groups that Snakemake itself has made, of jobs that pipes connect, have another random name in
    each run: they are called by their rules.
    """
    if not job.is_group():
        return str(job.rule.name)
    name = str(job.groupid)
    return "+".join(sorted(job.rules)) if _RANDOM.fullmatch(name) else name


def forget_told(job: Any) -> None:
    """A group that was asked too early is to work out anew what it needs; jobs do so by themselves,
    once their inputs are there.
    """
    if job.is_group():
        job._resources = job._input = job._output = job._log = None


def forget_told_of_members(group: Any) -> None:
    """What the jobs of a group were told of files that are gone is to be worked out anew."""
    _forget_params(group)
    for member in group.jobs:
        member._resources = None


def forget_told_of_first_attempt(job: Any) -> None:
    """Params may tell of resources, which another attempt has others of. Snakemake works out these
    anew, and the params only where it starts once more for the attempt, as in a task.
    """
    if job.attempt > 1:
        _forget_params(job)


def _forget_params(job: Any) -> None:
    for member in members_of(job):
        member._params = member._non_derived_params = None


def may_be_incomplete(job: Any) -> bool:
    """Whether Snakemake has to remember that outputs of the job are not finished.

    Not those on the platform: they are hidden until their job is reported, and if another machine
    finishes them, this one would not know. An update() output is there already, and not incomplete
    because a job will change it.
    """
    return not updated_outputs(job) and any(
        not file.is_storage for member in members_of(job) for file in member.output
    )


class StartTimes:
    """Tells Snakemake's records when jobs began, which reports show.

    Those take that from the marker of an incomplete job, which `may_be_incomplete` keeps from being
    made. To make it afterwards would cost more than all else that happens at the end of a job.
    """

    def __init__(self, persistence: Any) -> None:
        self._persistence = persistence
        self._known: dict[str, float] = {}
        # Snakemake 9.23 does not have it: its records begin when they are made.
        self._recorded = getattr(persistence, "_get_recorded_starttime", lambda _: None)
        persistence._get_recorded_starttime = self._of

    def note(self, job: Any, started: datetime | None) -> None:
        """A job is about to be recorded."""
        if started is None or may_be_incomplete(job):
            return
        for member in members_of(job):
            for file in member.output:
                self._known[self._persistence._get_key(file)] = started.timestamp()

    def _of(self, key: str) -> float | None:
        known = self._known.pop(key, None)
        if known is not None:
            return known
        recorded: float | None = self._recorded(key)
        return recorded


@contextmanager
def with_resources(job: Any, changed: Mapping[str, object]) -> Iterator[None]:
    """Let a job that has not begun ask for something else for a moment, on Snakemake's thread.

    It is not known to Snakemake by a copy. What it takes of the run's own limits stays as it is.
    """
    kept = job._resources, job._params, job._non_derived_params
    job._resources = ResourceList(fromdict={**dict(job.resources.items()), **changed})
    job._params = job._non_derived_params = None
    try:
        yield
    finally:
        job._resources, job._params, job._non_derived_params = kept


async def clear_outputs(job: Any) -> None:
    """Remove what the job will make: a stale output must never be taken for a fresh one.

    Raises:
        ProtectedOutputException: one of them is write-protected.
    """
    for member in members_of(job):
        _remove_local_copies(member)
    for member in members_of(job):
        await member.check_protected_output()
        await member.remove_existing_output()


def _remove_local_copies(job: Any) -> None:
    """Remove what an earlier run has fetched of outputs on the platform, maybe write-protected."""
    for file in job.output:
        copy = Path(str(file))
        if not file.is_storage or is_flagged(file, "update"):
            continue
        if copy.is_dir():
            shutil.rmtree(copy)
        else:
            copy.unlink(missing_ok=True)


def updated_outputs(job: Any) -> list[Any]:
    """The update() outputs of a job or group."""
    return [
        file for member in members_of(job) for file in member.output if is_flagged(file, "update")
    ]


def name_of(job: Any) -> tuple[str, list[tuple[str, str]]]:
    """What tells the jobs of a workflow apart."""
    return str(job.rule.name), sorted(job.wildcards_dict.items())
