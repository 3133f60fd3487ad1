"""A job that may share a task with others, and what such jobs must have in common. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from ..api.models import FileRef
from ..plan.plan import JobPlan, StagedInput
from ..project.paths import MAX_NAME, Place
from ..read.digest import digest
from ..read.facts import PLACEHOLDERS
from .app import app_document, app_name
from .job_key import TaskMark
from .script import shared_part
from .stored_names import passing_name, stored_name

_ANY_WORDS = {placeholder: f"<{placeholder[1:-1]}>" for placeholder in PLACEHOLDERS}


@dataclass(frozen=True)
class Candidate:
    """A job that may share a task."""

    plan: JobPlan
    mark: TaskMark
    files: Mapping[Place, FileRef]
    """The platform file of each input."""
    names: Mapping[str, str]
    """Stored names by file id, as far as they are known."""

    def id_of(self, staged: StagedInput) -> str:
        """The platform file of an input."""
        return self.files[staged.place].path

    def name_of(self, staged: StagedInput) -> str:
        """Its stored name; empty if it is not known."""
        return self.names.get(self.id_of(staged), "")


def obstacle_in_names(candidate: Candidate) -> str | None:
    """Why outputs of the job cannot pass through a folder of all jobs; None if they can."""
    jobid = candidate.mark.jobid
    names = [passing_name(jobid, stored_name(output)) for _, output in candidate.plan.collected]
    if any(len(name.encode(errors="surrogateescape")) > MAX_NAME for name in names):
        return "the name of one of its outputs is too long"
    return None


def shape(plan: JobPlan) -> str:
    """What has to be equal in all jobs that share a task, but for the inputs."""
    bare = replace(plan, inputs=(), in_parcels=())
    return digest(
        [
            app_name(plan.facts.rule),
            app_document(bare),
            list(shared_part(plan, _ANY_WORDS)),
            asdict(plan.resources),
            asdict(plan.settings),
        ]
    )
