"""Says why a job failed: fetches what its task has left, and keeps its logs on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..api import CavaticaError, Client, ExecutionDetails, TaskJob
from ..api.download import download
from ..plan.plan import JobPlan
from ..translate.measured import Measured
from ..translate.shared_task import is_packed_job, jobid_of, task_id_of
from ..watch.outcome import Failed, Lost
from .evidence import Evidence, Finding, Reason
from .member import logs_of
from .message import describe
from .reasons import may_miss_a_file, recognise
from .side_files import SideFiles
from .stderr import cut_out, keep_stderr, read_stderr


@dataclass(frozen=True)
class Diagnosis:
    """What is told to the user, and the log files that were written for it."""

    message: str
    logs: tuple[Path, ...]
    finding: Finding
    measured: Measured
    """What the job took, as far as its stderr tells."""
    exit_status: int | None = None
    """The command's, if it is known."""
    stderr: str = ""
    """The end of what the job wrote there."""

    @property
    def reason(self) -> Reason:
        """Why the task failed."""
        return self.finding.reason


def diagnose(
    client: Client,
    plan: JobPlan,
    task_id: str,
    link: str,
    result: Failed | Lost,
    *,
    log_paths: Sequence[Path],
    stderr_path: Path,
    side_files: SideFiles | None = None,
) -> Diagnosis:
    """Fetch what the task left behind and say what happened.

    Args:
        task_id: the task, or the packed job of one that runs several.
        link: the task's page.
        log_paths: where the rule's logs go, in the order of the rule.
        stderr_path: where the job's stderr goes; see `stderr_file`.
        side_files: tells what earlier tasks made and did not declare.
    """
    evidence = Evidence()
    written: list[Path] = []
    if isinstance(result, Failed):
        try:
            with tempfile.TemporaryDirectory(prefix="cavatica-") as scratch:
                stderr = Path(scratch, "stderr")
                evidence = gather(client, task_id, stderr)
                written = keep_stderr(stderr, plan, log_paths, stderr_path)
        except OSError as error:
            # It must not hide why the job failed.
            trouble = f"The task's logs could not be kept on this machine: {error}"
            evidence = replace(evidence, trouble=trouble)
        if side_files is not None:
            shared = task_id_of(task_id)
            evidence = _looked_further(side_files, shared, plan, result, evidence)
    finding = recognise(plan, result, evidence)
    report = evidence.report
    return Diagnosis(
        describe(plan, link, result, evidence),
        tuple(written),
        finding,
        report.measured,
        report.exit_status,
        report.stderr,
    )


def gather(client: Client, task_id: str, stderr: Path) -> Evidence:
    """Ask for a task's last job, and put its stderr into a file; none of it has to be there."""
    details = ExecutionDetails()
    try:
        details = client.execution_details(task_id_of(task_id))
        file_id = details.stderr_file_id
        if file_id is not None:
            download(client, file_id, stderr)
            if is_packed_job(task_id):
                cut_out(stderr, jobid_of(task_id))
    except CavaticaError as error:
        trouble = f"The task's logs could not be fetched: {error}"
        return Evidence(message=details.message, seconds=_seconds(details.jobs), trouble=trouble)
    return Evidence(read_stderr(stderr), details.message, _seconds(details.jobs))


def _looked_further(
    side_files: SideFiles, task_id: str, plan: JobPlan, result: Failed, evidence: Evidence
) -> Evidence:
    """With what the platform knows of other files and tasks, if that may be the reason."""
    try:
        if may_miss_a_file(plan, result, evidence):
            logs = logs_of(plan, evidence.report)
            text = "\n".join([evidence.report.stderr, *logs.values()])
            return replace(evidence, side_files=side_files.missed_by(task_id, text))
        if recognise(plan, result, evidence).reason is Reason.INPUT:
            return replace(evidence, inputs=side_files.inputs_named_in(result.reason, task_id))
    except (CavaticaError, OSError) as error:
        trouble = f"It could not be looked up what earlier tasks have left: {error}"
        return replace(evidence, trouble=evidence.trouble or trouble)
    return evidence


def _seconds(jobs: Sequence[TaskJob]) -> float | None:
    """How long the last job took."""
    if not jobs or jobs[-1].start_time is None or jobs[-1].end_time is None:
        return None
    return (jobs[-1].end_time - jobs[-1].start_time).total_seconds()
