"""Jobs whose results are there already: from the between-workflow cache, or of an earlier run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..read.digest import digest
from ..read.fetched import with_parts
from ..read.source_candidates import PROGRAMS
from ..read.sources import Sources
from ..read.workflow import definitions, found_before_jobs, read_before_jobs
from ..run.context import RunContext
from ..run.register import Submission
from ..run.reports import Reports
from ..translate.reuse_key import (
    SourcesContent,
    inputs_read,
    named_in,
    obstacle_to_reuse,
    reuse_key,
)
from .between_workflow_cache import BetweenWorkflowCache
from .contents import Contents

_SNAKEFILE = ".smk"
"""It names all that there is, and no job reads it."""


@dataclass(frozen=True)
class KnownResults:
    """What spares a job its task. Safe to use from several threads."""

    run: RunContext
    reports: Reports
    cache: BetweenWorkflowCache
    contents: Contents
    sources: SourcesContent
    take: Callable[[Submission], bool]
    """Has a job done by the results of an earlier run, if there are such."""
    told: set[str] = field(default_factory=set)
    """Rules of which it was said why they have no such results."""

    def are_cached(self, submission: Submission) -> bool:
        """Whether the job's outputs came from the between-workflow cache, and it is reported."""
        job = submission.info.job
        if not (self.cache.serves(job) and self.cache.fetch(job)):
            return False
        self.run.observer.reused(submission)
        self.reports.finished(submission.info, soon=False)
        return True

    def key(self, submission: Submission) -> str:
        """What later runs find the job's results by; empty if they are for nobody else.

        Its inputs are on the platform.
        """
        plan = submission.as_asked or submission.plan
        if plan.reuse is False:
            return ""
        contents = self.contents.of(inputs_read(plan))
        obstacle = obstacle_to_reuse(plan, contents)
        if obstacle is None:
            return reuse_key(plan, code=submission.code, sources=self.sources, contents=contents)
        if plan.reuse and plan.facts.rule not in self.told:
            self.told.add(plan.facts.rule)
            self.run.logger.warning(
                f"Rule {plan.facts.rule}: jobs run although results of earlier runs are to be "
                f"taken (--cavatica-reuse), because {obstacle}."
            )
        return ""

    def are_taken(self, submission: Submission) -> bool:
        """Whether an earlier run has done the job, and it is reported with those results."""
        mark = submission.mark
        wanted = submission.plan.reuse and not submission.is_forced
        return bool(wanted and mark and mark.reuse) and self.take(submission)


def sources_content(workflow: Any, sources: Sources) -> SourcesContent:
    """What of the files that are sent along with a workflow results may depend on."""
    define = definitions(workflow) & set(sources.files)
    defining = {sources.name(one): one for one in define}
    beside = [file for file in sources.files if file not in define]
    programs = [file for file in beside if file.suffix in PROGRAMS]
    naming = {
        name: named_in(_text(file), defining)
        for name, file in defining.items()
        if file.suffix in PROGRAMS and file.suffix != _SNAKEFILE
    }
    naming[""] = {one for file in programs for one in named_in(_text(file), defining)}
    return SourcesContent(
        with_parts(workflow, sources.digest(beside)),
        {name: sources.digest([file]) for name, file in defining.items()},
        naming,
        sources.digest(read_before_jobs(workflow, sources)),
        digest(found_before_jobs(workflow, sources)),
    )


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace")
