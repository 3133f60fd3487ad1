"""What an attempt is, by what is known when it begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..api import Task
from ..plan.instance_types import disk_of
from ..plan.plan import JobPlan
from ..read.snakemake_jobs import kind_of
from ..run.leftovers import Leftover
from ..run.register import Submission
from ..translate.shared_task import is_packed_job
from .entries import Attempt
from .task_news import job_in_name


def of_submission(submission: Submission, run: str, **known: Any) -> Attempt:
    """By its job, and by the mark of its task if an earlier run than this one has made that."""
    plan, mark = submission.planned, submission.mark
    of_job = of_plan(plan) if plan is not None else _of_job(submission)
    if submission.as_asked is not None:
        of_job["memory_of_rule_mib"] = submission.as_asked.resources.memory_mib
        if of_job["disk_gb"] is not None:
            of_job["disk_of_rule_gb"] = disk_of(submission.as_asked.settings.instance_type)
    if mark is not None and mark.run != run:
        of_job |= {"run": mark.run, "jobid": mark.jobid, "number": mark.attempt}
        of_job["taken_up_by"] = run
    if submission.own is not None:
        of_job["kind"] = "environment"
    return Attempt(**{"id": "", "run": run, "submitted": submission.since, **of_job, **known})


def of_leftover(leftover: Leftover, page: Callable[[str], str]) -> Attempt:
    """Of an earlier run on another machine: only the platform knows of it."""
    rule, wildcards = job_in_name(leftover.task, leftover.mark.jobid)
    return Attempt(
        id="",
        run=leftover.mark.run,
        jobid=leftover.mark.jobid,
        number=leftover.mark.attempt,
        rule=rule,
        wildcards=wildcards,
        **of_task(leftover.task, page),
    )


def of_reused(
    earlier: Leftover, page: Callable[[str], str], news: Mapping[str, Any]
) -> dict[str, Any]:
    """Of a job that has the outputs of an earlier task, of which `news` tells what it cost."""
    return {
        "reused_task": earlier.task.id,
        "page": page(earlier.task.id),
        "spared": news.get("price"),
        "currency": news.get("currency", ""),
        "price": 0.0,
    }


def of_task(task: Task, page: Callable[[str], str]) -> dict[str, Any]:
    """Which task it is, whose address `page` tells."""
    shared = "" if task.parent is None else "pack" if is_packed_job(task.id) else "batch"
    return {"task": task.id, "page": page(task.id), "parent": task.parent, "shared": shared}


def of_plan(plan: JobPlan, **known: Any) -> dict[str, Any]:
    """Which job it is, and what it asks for."""
    facts, resources, by_use = plan.facts, plan.resources, plan.settings.instance_by_use
    return {
        "jobid": facts.jobid,
        "rule": facts.rule,
        "wildcards": dict(facts.wildcards),
        "number": facts.attempt,
        "kind": "group" if facts.directive == "group" else "job",
        "mode": str(plan.mode),
        "image": plan.image if plan.in_container else None,
        "cores": resources.cores,
        "memory_mib": resources.memory_mib,
        "disk_mib": resources.disk_mib,
        "disk_gb": None if by_use is None else disk_of(by_use),
        "instance": plan.settings.instance_type,
        "spot": plan.settings.interruptible,
        "bytes_in": plan.input_bytes,
        **known,
    }


def _of_job(submission: Submission) -> dict[str, Any]:
    """Of a job that could not be planned, or of a task for several jobs."""
    if submission.info is None:
        return {"jobid": "", "rule": submission.name}
    job = submission.info.job
    is_group = job.is_group()
    return {
        "jobid": str(job.jobid),
        "rule": kind_of(job),
        "wildcards": {} if is_group else dict(job.wildcards_dict),
        "number": job.attempt,
        "kind": "group" if is_group else "job",
    }
