"""Which attempts are at the same job. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from .entries import Attempt

OF_SNAKEMAKE = ("job", "group")
"""Kinds of attempts at jobs that Snakemake knows."""


def job_of(attempt: Attempt) -> Hashable:
    """What the attempts at one job have in common, also in different runs.

    Groups of one name are told apart by their ids, which are the same in all runs; children of
    batches may be known as tasks only.
    """
    if attempt.kind == "group" or not attempt.jobid:
        return attempt.rule, attempt.jobid or attempt.task
    return attempt.rule, tuple(sorted(attempt.wildcards.items()))


def last_attempts(attempts: Iterable[Attempt]) -> list[Attempt]:
    """One for each job, which tells how it stands; tasks of the plugin's own are left out."""
    return list({job_of(one): one for one in attempts if one.kind in OF_SNAKEMAKE}.values())
