"""What a task document means for its job. Pure: no call is made and nothing is remembered."""

from __future__ import annotations

from dataclasses import dataclass

from ..api.errors import ApiError, NotFound, UnknownAddress
from ..api.models import FileRef, Task, TaskStatus, iter_files
from ..plan.plan import JobPlan
from ..translate.small_outputs import GATHERED


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
    gathered: FileRef | None = None
    """A file with the small ones of them, if there is one."""


@dataclass(frozen=True)
class Failed:
    """Finished without success; `reason` is what the platform says of it.

    Why it failed takes more than the task's document: see `failure.py`.
    """

    reason: str
    missing_ports: tuple[str, ...] = ()
    status: str = TaskStatus.FAILED
    interruptible: bool | None = None
    """Whether the task was to run on a spot instance; None if the platform does not tell."""


@dataclass(frozen=True)
class Lost:
    """The platform does not know the task any more."""

    reason: str


Outcome = Pending | Completed | Failed | Lost


_FAILURES = {
    TaskStatus.FAILED: "The task failed.",
    TaskStatus.ABORTED: "The task was aborted.",
    TaskStatus.DRAFT: "The task is a draft again; it was not started.",
}
"""What to say where the platform gives no reason."""
_MOST_TEXTS = 10
_LONGEST_TEXT = 600


def outcome(answer: Task | ApiError, plan: JobPlan) -> Outcome:
    """How the job stands, by the platform's answer about its task.

    An error that is not about the task (rate limit, maintenance, no answer, a 404 that may not be
    the platform's) leaves it pending. So does a status that this client does not know: to call a
    running task failed would start and bill it twice.
    """
    if isinstance(answer, NotFound) and not isinstance(answer, UnknownAddress):
        return Lost("the task does not exist on the platform any more (was it deleted?)")
    if isinstance(answer, ApiError):
        return Pending("UNKNOWN", error=answer)
    status = answer.known_status
    if status is TaskStatus.COMPLETED:
        return _completed(answer, plan)
    if status in _FAILURES:
        reason = _told(answer) or _FAILURES[status]
        return Failed(reason, (), status, answer.use_interruptible_instances)
    return Pending(answer.status or "UNKNOWN", _waiting_for(answer))


def _completed(task: Task, plan: JobPlan) -> Outcome:
    outputs: dict[str, FileRef] = {}
    for _, planned in plan.collected:
        found = next(iter_files(task.outputs.get(planned.port)), None)
        if found is not None:
            outputs[planned.port] = found
    missing = tuple(planned.port for _, planned in plan.collected if planned.port not in outputs)
    if missing:
        reason = "The task completed, but some of its outputs are missing."
        return Failed(reason, missing, TaskStatus.COMPLETED, task.use_interruptible_instances)
    return Completed(outputs, next(iter_files(task.outputs.get(GATHERED)), None))


def _told(task: Task) -> str:
    """All that the task's document tells about its end, on one line of bounded length.

    `message_code` is known from the provider's client only; its values are not documented.
    """
    status = task.execution_status
    code = f"[{status.message_code}]" if status and status.message_code else ""
    texts = [status.message if status else "", *task.error_texts[:_MOST_TEXTS], code]
    plain = (" ".join(text[:_LONGEST_TEXT].split()) for text in texts)
    return " ".join(dict.fromkeys(filter(None, plain)))


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
