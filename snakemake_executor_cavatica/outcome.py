"""What a task document means for its job. Pure: no call is made and nothing is remembered."""

from __future__ import annotations

from dataclasses import dataclass

from .api import ApiError, FileRef, NotFound, Task, TaskStatus, iter_files
from .plan import JobPlan


@dataclass(frozen=True)
class Pending:
    """Not finished. QUEUED and RUNNING may alternate (documented)."""

    status: str
    detail: str = ""
    error: ApiError | None = None
    """Why nothing is known this time."""


@dataclass(frozen=True)
class Completed:
    """Finished, with the stored file of each output port."""

    outputs: dict[str, FileRef]


@dataclass(frozen=True)
class Failed:
    """Finished without success; `reason` is one sentence."""

    reason: str
    missing_ports: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lost:
    """The platform does not know the task any more."""

    reason: str


Outcome = Pending | Completed | Failed | Lost


def outcome(answer: Task | ApiError, plan: JobPlan) -> Outcome:
    """How the job stands, by the platform's answer about its task.

    An error that is not about the task (rate limit, maintenance, no answer) leaves it pending. So
    does a status that this client does not know: to call a running task failed would start and
    bill it twice.
    """
    if isinstance(answer, NotFound):
        return Lost("the task does not exist on the platform any more (was it deleted?)")
    if isinstance(answer, ApiError):
        return Pending("UNKNOWN", error=answer)
    status = answer.known_status
    if status is TaskStatus.COMPLETED:
        return _completed(answer, plan)
    if status is TaskStatus.FAILED:
        return Failed(_reason(answer, "The task failed."))
    if status is TaskStatus.ABORTED:
        return Failed(_reason(answer, "The task was aborted."))
    if status is TaskStatus.DRAFT:
        return Failed(_reason(answer, "The task is a draft again; it was not started."))
    return Pending(answer.status or "UNKNOWN", _waiting_for(answer))


def _completed(task: Task, plan: JobPlan) -> Outcome:
    outputs: dict[str, FileRef] = {}
    for _, planned in plan.collected:
        found = next(iter_files(task.outputs.get(planned.port)), None)
        if found is not None:
            outputs[planned.port] = found
    missing = tuple(planned.port for _, planned in plan.collected if planned.port not in outputs)
    if missing:
        return Failed("The task completed, but some of its outputs are missing.", missing)
    return Completed(outputs)


def _reason(task: Task, otherwise: str) -> str:
    message = task.execution_status.message if task.execution_status else ""
    texts = [text.strip() for text in (message, *task.error_texts) if text.strip()]
    return " ".join(dict.fromkeys(texts)) or otherwise


def _waiting_for(task: Task) -> str:
    status = task.execution_status
    if status is None:
        return ""
    if status.account_limit:
        return "waiting for the account's limit of parallel instances"
    if status.system_limit:
        return "waiting for the platform's limit of parallel instances"
    if status.instance_init:
        return "waiting for an instance to start"
    return ""
