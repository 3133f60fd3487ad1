"""Plans the jobs of a run as the run will, while most of their inputs are still to be made.

What depends on those is not known yet: Snakemake says `<TBD>` for it. Where that decides how a job
runs, nothing is said of it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

from ..api import CavaticaError
from ..plan.decide import plan_job
from ..plan.plan import JobPlan
from ..read.facts import TBD, UNKNOWN_COMMAND, Defaults, JobFacts, Refusal
from ..read.internals import RuleException
from ..read.job import JobReader
from ..read.prepared_script import UNKNOWN_VALUES
from ..read.snakemake_jobs import forget_told, kind_of, members_of
from .finding import UNANSWERED, Finding, NotChecked

SOME = 10
"""Jobs of each rule that are planned where that must not take long."""
_SECONDS = 3.0
"""For which jobs are planned then, at most."""


@dataclass
class RuleJobs:
    """The jobs of one rule, or group, that are to run as tasks."""

    rule: str
    jobs: list[Any] = field(default_factory=list)
    """Snakemake's."""
    plans: list[JobPlan] = field(default_factory=list)
    later: str = ""
    """Why some of them can only be planned once their inputs are there."""


def jobs_of_tasks(workflow: Any) -> list[RuleJobs]:
    """By rule, in the order of the Snakefile."""
    dag = workflow.dag
    places = {rule.name: place for place, rule in enumerate(workflow.rules)}
    single = [job for job in dag.needrun_jobs() if not job.is_local]
    single.sort(key=lambda job: places[job.rule.name])
    rules: dict[str, RuleJobs] = {}
    for job in dict.fromkeys(dag.get_job_group(job) or job for job in single):
        rule = kind_of(job)
        rules.setdefault(rule, RuleJobs(rule)).jobs.append(job)
    return list(rules.values())


class EarlyPlanner:
    """Plans jobs before it is their turn."""

    def __init__(self, workflow: Any, reader: JobReader, defaults: Defaults) -> None:
        self._dag = workflow.dag
        self._reader = reader
        self._defaults = defaults
        self._needed = set(workflow.dag.needrun_jobs())

    def plan(self, rules: Iterable[RuleJobs], *, most: int | None = None) -> list[Finding]:
        """Plan jobs, which are then among those of their rules; what would be refused.

        Args:
            most: of each rule, where that must not take long.
        """
        findings: list[Finding] = []
        end = None if most is None else time.monotonic() + _SECONDS
        for rule in rules:
            refused: defaultdict[str, int] = defaultdict(int)
            for job in rule.jobs if most is None else _spread(rule.jobs, most):
                if end is not None and time.monotonic() > end:
                    return findings
                self._plan(rule, job, refused)
                forget_told(job)
            findings += [Finding(text, rule.rule, jobs=count) for text, count in refused.items()]
        return findings

    def _plan(self, rule: RuleJobs, job: Any, refused: defaultdict[str, int]) -> None:
        waits = self._waits(job)
        try:
            if waits and _is_undecided(job):
                rule.later = "values of it depend on files that are not there yet"
                return
            facts = self._reader.read(job)
            if waits and _has_unknown_values(facts):
                rule.later = UNKNOWN_VALUES
                return
            rule.plans.append(plan_job(_told(facts) if waits else facts, self._defaults))
        except UNANSWERED as error:
            raise NotChecked(str(error)) from error
        except Refusal as error:
            refused[str(error)] += 1
        except (CavaticaError, WorkflowError, RuleException, OSError) as error:
            if waits:
                rule.later = str(error)
            else:
                refused[f"Rule {rule.rule}: {error}"] += 1
        except Exception as error:  # noqa: BLE001 - functions of the workflow may raise anything
            what = f"unexpected {type(error).__name__}: {error}"
            if waits:
                rule.later = what
            else:
                refused[f"Rule {rule.rule}: {what}."] += 1

    def _waits(self, job: Any) -> bool:
        """Whether another job has to be done first."""
        members = set(members_of(job))
        return any(
            need in self._needed and need not in members
            for member in members
            for need in self._dag.dependencies.get(member, ())
        )


def _is_undecided(job: Any) -> bool:
    """Whether how a job runs depends on what is not known yet."""
    for member in members_of(job):
        if any(str(file) == TBD for file in member.input) or str(member.threads) == TBD:
            return True
    return False


def _has_unknown_values(facts: JobFacts) -> bool:
    """Whether how the job runs depends on values that are not known yet; for a group also those of
    commands: it may be the group itself that makes what they depend on, or another job.
    """
    members = [member.facts for member in facts.members]
    return any(UNKNOWN_VALUES in one.needs_snakemake for one in (facts, *members)) or any(
        UNKNOWN_COMMAND in one.needs_snakemake or TBD in (one.command or "") for one in members
    )


def _told(facts: JobFacts) -> JobFacts:
    """A command's values that are not known yet will be, once it runs: they decide nothing."""
    if facts.command is None:
        return facts
    return replace(facts, command=facts.command.replace(TBD, "later"))


def _spread(jobs: list[Any], most: int) -> Iterator[Any]:
    """Some of them, from the first to the last."""
    if len(jobs) <= most:
        yield from jobs
        return
    step = (len(jobs) - 1) / (most - 1)
    for number in range(most):
        yield jobs[round(number * step)]
