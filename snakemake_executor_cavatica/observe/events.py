"""A change of a job's state, as logger plugins understand it: `remote_job_state`, version 2. Pure.

The shape is that of snakesee's adapter, which was proposed for all executors.
"""

from __future__ import annotations

from typing import Any

from ..finish.evidence import Reason
from .entries import Attempt, Status

KEY = "remote_job_state"
"""Of the log record that carries it."""
_VERSION = 2
_SOURCE = "executor_heuristic"
"""Where the category comes from: all that task, script and platform say, weighed here."""
_PHASES = {
    Status.SUBMITTED: "queued",
    Status.QUEUED: "queued",
    Status.RUNNING: "running",
    Status.DONE: "succeeded",
    Status.REUSED: "succeeded",
    Status.FAILED: "failed",
    Status.CANCELLED: "failed",
}
_CATEGORIES = {
    Reason.SPOT_LOSS: "spot",
    Reason.OUT_OF_MEMORY: "oom",
    Reason.TIME_LIMIT: "timeout",
    Reason.IMAGE: "image_pull",
    Reason.ABORTED: "cancelled",
    Reason.PLATFORM: "node_failure",
    Reason.LOST: "node_failure",
}


def remote_job_state(
    attempt: Attempt, jobid: int, *, remote_status: str, members: int = 1
) -> dict[str, Any] | None:
    """How a job stands; None if that is no state of it (its task was left to a later run).

    Args:
        jobid: Snakemake's, of the job or of a member of a group.
        remote_status: the platform's word.
        members: jobs that share the attempt, and what it costs.
    """
    phase = _PHASES.get(attempt.status)
    if phase is None:
        return None
    is_over = phase in ("succeeded", "failed")
    state = {
        "schema_version": _VERSION,
        "jobid": jobid,
        "executor": "cavatica",
        "phase": phase,
        "external_jobid": attempt.task,
        "remote_status": remote_status or None,
        "queued_at": attempt.submitted if attempt.queued is None else attempt.queued,
        "started_at": attempt.started,
        "stopped_at": attempt.ended if is_over else None,
        "attempt": attempt.number,
        "exit_code": attempt.measured.exit_status,
        "cost_estimate": _dollars(attempt, members),
        **(_termination(attempt) if phase == "failed" else {}),
    }
    return {name: value for name, value in state.items() if value is not None}


def _termination(attempt: Attempt) -> dict[str, Any]:
    if attempt.status is Status.CANCELLED:
        category = "cancelled"
    else:
        reasons = {reason.name.lower(): one for reason, one in _CATEGORIES.items()}
        category = reasons.get(attempt.reason, "unknown")
    return {
        "status_reason": attempt.message or attempt.reason or None,
        "termination_category": category,
        "termination_source": _SOURCE,
        "termination_confidence": "low" if category == "unknown" else "high",
    }


def _dollars(attempt: Attempt, members: int) -> float | None:
    if attempt.price is None or attempt.currency not in ("", "USD"):
        return None
    return attempt.price / members
