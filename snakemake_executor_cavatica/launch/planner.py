"""From one of Snakemake's jobs to its plan, with what there is to say about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from ..plan.decide import plan_job
from ..plan.instance_types import disk_of
from ..plan.plan import RUNS_HERE, JobPlan, Mode
from ..plan.remarks import Remarks
from ..plan.resizing import UsedBefore, as_lacked, as_much_memory, less_memory, more_memory
from ..plan.smaller_disk import less_disk, on_instance
from ..read.facts import Defaults, JobFacts
from ..read.job import JobReader
from ..read.prepared_script import keep_copy
from ..read.snakemake_jobs import (
    forget_told_of_first_attempt,
    forget_told_of_members,
    with_resources,
)
from ..run.context import RunContext
from ..run.register import Submission
from ..run.unanswered import Unanswered
from .environments import with_environment

_RIGHT_SIZE = "by what its jobs have used in earlier runs (--cavatica-right-size)"


class Planner:
    """Plans the jobs of a run, on Snakemake's own thread, where its objects are at rest."""

    def __init__(
        self,
        run: RunContext,
        reader: JobReader,
        defaults: Defaults,
        *,
        name: Callable[[Any, JobPlan], str],
        keep_scripts: bool,
        used_before: UsedBefore,
    ) -> None:
        """`name` gives what the task of a job is called; `keep_scripts` says whether the scripts of
        rules, as they run, are kept for people to look at; `used_before` what is known of the
        memory and the disks of jobs, where it is to be heeded.
        """
        self._run = run
        self._reader = reader
        self.defaults = defaults
        self._name = name
        self._keep_scripts = keep_scripts
        self._used_before = used_before
        self._is_image_told = False
        self._resized: set[str] = set()
        """Rules of which it was told what their jobs get instead."""
        self._outgrown: set[str] = set()
        """Rules of which a job had too little by what earlier runs have used."""
        self._lacked: dict[str, Mapping[str, object]] = {}
        """By job, which lacked memory or disk in this run: the resources that it begins with."""
        self._remarks = Remarks()

    def submission(self, job: Any) -> Submission:
        """The job, as it goes through all steps."""
        unanswered = Unanswered(local=self._run.connection.is_local)
        submission = Submission(SubmittedJobInfo(job), unanswered=unanswered)
        submission.info.aux = {"submission": submission}
        return submission

    def plan(self, submission: Submission) -> None:
        """Decide how the job runs.

        Raises:
            Refusal: it cannot run as the workflow asks.
        """
        job = submission.info.job
        forget_told_of_first_attempt(job)
        submission.identity = self._reader.identity(job)
        plan = self._resized_plan(submission, self._plan(self._reader.read(job)))
        self._run.logger.debug(f"{plan.title}: {plan.mode} mode, because {plan.reason}.")
        self._tell_unused_image(plan)
        for sentence in self._remarks.on(plan):
            self._run.logger.warning(sentence)
        for script in (plan.script, *(one.member.facts.script for one in plan.members)):
            if script is not None:
                keep_copy(script, wanted=self._keep_scripts)
        submission.code = self._reader.code(job) if plan.mode is Mode.SNAKEMAKE else ""
        submission.name = self._name(job, plan)
        asked = submission.as_asked if submission.has_less else None
        submission.larger = self._larger(job, asked or plan)
        submission.is_forced = self._reader.is_forced(job)
        submission.planned = plan

    def plan_without_old_files(self, submission: Submission) -> None:
        """Decide once more how a group runs, now that the files of an earlier run are gone which
        its jobs hand on to one another: what it was told of them is not what will be.

        Raises:
            Refusal: it cannot run as the workflow asks.
        """
        if submission.plan.facts.is_told_by_old_files:
            forget_told_of_members(submission.info.job)
            self.plan(submission)

    def _resized_plan(self, submission: Submission, plan: JobPlan) -> JobPlan:
        """The job with what it lacked before, or with as much memory as it needed in earlier runs,
        or as was enough for all; and on a disk that was.
        """
        job, lacked = submission.info.job, self._lacked.get(submission.identity, {})
        changed, resized = as_lacked(plan.facts, lacked), plan
        if job.is_group():
            if changed:
                submission.as_asked = plan
                resources = {**plan.facts.resources, **changed}
                resized = self._plan(replace(plan.facts, resources=resources))
            return resized
        if "mem" not in lacked:
            changed = {**changed, **self._other_memory(submission, plan)}
        if changed:
            resized = self._with(job, changed)
        less = less_disk(resized, self.defaults, self._used_before)
        if less is not None and "disk" not in lacked and plan.facts.rule not in self._outgrown:
            if less.resources:
                resized = self._with(job, {**changed, **less.resources})
            resized = on_instance(resized, less.instance)
            disks = [disk_of(one) for one in (less.instance, plan.settings.instance_type)]
            self._tell(plan, f"a disk of {disks[0]} GB instead of {disks[1]}", _RIGHT_SIZE)
            submission.has_less = True
        if resized is not plan:
            submission.as_asked = plan
        return resized

    def _other_memory(self, submission: Submission, plan: JobPlan) -> Mapping[str, object]:
        """The resources that change."""
        facts, before = plan.facts, self._used_before
        needed = before.needed_by(facts) if plan.memory_retries else None
        changed = as_much_memory(facts, needed, self.defaults)
        why = "by what such jobs needed in earlier runs (--cavatica-memory-retries)"
        if changed is None and needed is None and facts.rule not in self._outgrown:
            changed = less_memory(plan, before)
            why = _RIGHT_SIZE
            submission.has_less = changed is not None
        if changed is None:
            return {}
        instead = f"{changed['mem_mb']} MB of memory instead of {facts.resources.get('mem_mb')}"
        self._tell(plan, instead, why)
        return changed

    def begin_with(self, submission: Submission, resources: Mapping[str, object]) -> None:
        """From now on the attempts at a job that lacked these have so much. From any thread.

        Else each of them would be paid once more with what is known to be too little.
        """
        lacked = self._lacked.get(submission.identity, {})
        self._lacked[submission.identity] = {**lacked, **resources}

    def keep_as_asked(self, rule: str) -> None:
        """From now on jobs get what their rule asks for. From any thread.

        Else each of them would be paid twice where the data of this run are larger.
        """
        self._outgrown.add(rule)

    def _with(self, job: Any, changed: Mapping[str, object]) -> JobPlan:
        with with_resources(job, changed):
            return self._plan(self._reader.read(job))

    def _tell(self, plan: JobPlan, instead: str, why: str) -> None:
        """Say once of a rule what its jobs get."""
        text = f"Rule {plan.facts.rule}: {instead}, {why}."
        if text not in self._resized:
            self._resized.add(text)
            self._run.logger.info(text)

    def plan_alone(self, facts: JobFacts) -> JobPlan:
        """Decide how a job runs that goes again by itself. From any thread.

        Raises:
            Refusal: it cannot run so.
        """
        return replace(self._plan(facts), batched=False, packed=1)

    def _plan(self, facts: JobFacts) -> JobPlan:
        plan = plan_job(facts, self.defaults)
        if self.defaults.conda == "per-run":
            plan = with_environment(plan, self._run.home)
        return plan

    def _larger(self, job: Any, plan: JobPlan) -> list[JobFacts]:
        """The job with more memory, try by try, if its command or script tells how much it has."""
        found: list[JobFacts] = []
        facts = plan.facts
        has_command = plan.mode is Mode.DIRECT and not plan.members
        for _ in range(plan.memory_retries if has_command else 0):
            changed = more_memory(facts, self.defaults)
            if changed is None:
                break
            with with_resources(job, changed):
                facts = self._reader.read(job)
            if (facts.command, facts.script) == (plan.facts.command, plan.facts.script):
                break
            found.append(facts)
        return found

    def _tell_unused_image(self, plan: JobPlan) -> None:
        """Say once that images which somebody has named are not used."""
        named = plan.image != self.defaults.snakemake_image
        if named and not plan.in_container and not self._is_image_told:
            self._is_image_told = True
            self._run.logger.warning(
                f"The image {plan.image} of rule {plan.facts.rule} is not used, and no other one. "
                f"{RUNS_HERE} `cavatica-local serve --containers podman` uses them."
            )
