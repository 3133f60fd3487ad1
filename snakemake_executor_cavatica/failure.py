"""Why a job failed, told so that one can act on it: one text from all that the platform gives."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .api import CavaticaError, Client, download
from .outcome import Failed, Lost
from .plan import JobPlan
from .script import JobReport, read_report

logger = logging.getLogger(__name__)

STDERR_LINES = 30
_LOG_NAMES = ("stderr", "job.err.log")
_OUT_OF_MEMORY = 137


@dataclass(frozen=True)
class Diagnosis:
    """What is told to the user, and the log files that were written for it."""

    message: str
    logs: tuple[Path, ...]


def diagnose(
    client: Client,
    plan: JobPlan,
    task_id: str,
    link: str,
    result: Failed | Lost,
    *,
    log_paths: Sequence[Path],
    stderr_path: Path,
) -> Diagnosis:
    """Fetch what the task left behind and say what happened.

    Args:
        link: the task's page.
        log_paths: where the rule's logs go, in the order of the rule.
        stderr_path: where the job's stderr goes.
    """
    stderr = "" if isinstance(result, Lost) else _fetch_stderr(client, task_id)
    report = read_report(stderr)
    written = _write_logs(plan, report, log_paths)
    if report.stderr.strip():
        _write(stderr_path, report.stderr)
        written.append(stderr_path)
    return Diagnosis(describe(plan, link, result, report), tuple(written))


def describe(plan: JobPlan, link: str, result: Failed | Lost, report: JobReport) -> str:
    """The message: rule, what happened, task, and the end of stderr. Pure."""
    lines = [f"{plan.title}: {_cause(plan, result, report)}"]
    lines.append(f"Task: {link} (platform: {result.reason})")
    tail = report.stderr.strip().splitlines()[-STDERR_LINES:]
    if tail:
        lines.append("End of the job's stderr:")
        lines.extend(f"    {line}" for line in tail)
    return "\n".join(lines) + "\n"


def _cause(plan: JobPlan, result: Failed | Lost, report: JobReport) -> str:
    """One sentence; what the job script knows is more exact than what the platform says."""
    if isinstance(result, Lost):
        return f"{result.reason}."
    if cause := _cause_in_outputs(plan, report):
        return cause
    if report.error:
        return f"the job could not be run as it should: {report.error}."
    if result.missing_ports:
        return f"the task completed without its output {', '.join(result.missing_ports)}."
    if report.exit_status == _OUT_OF_MEMORY:
        return (
            f"the command was killed (exit status {_OUT_OF_MEMORY}), most likely for want of "
            "memory. Give the rule more mem_mb; with retries and attempt it can grow by itself."
        )
    if report.exit_status:
        return f"the command failed with exit status {report.exit_status}."
    if report.exit_status == 0:
        return "the command succeeded, but the platform failed the task afterwards."
    return "the platform ended the task before the command did."


def _cause_in_outputs(plan: JobPlan, report: JobReport) -> str | None:
    """What the script found wrong with the outputs of a command that succeeded."""
    if paths := _paths(plan, report.missing):
        return (
            f"the command succeeded, but did not make its output {paths}. Check that it writes "
            "to the paths that the rule declares."
        )
    if paths := _paths(plan, report.folders):
        return f"the output {paths} is a folder; declare it with directory()."
    if paths := _paths(plan, report.empty):
        return f"the output {paths} is empty (ensure())."
    if paths := _paths(plan, report.wrong_checksum):
        return f"the output {paths} has another checksum than the rule ensures."
    return None


def _paths(plan: JobPlan, indices: Sequence[int]) -> str:
    known = (index for index in dict.fromkeys(indices) if index < len(plan.outputs))
    return ", ".join(plan.outputs[index].path for index in known)


def _fetch_stderr(client: Client, task_id: str) -> str:
    """The stderr of a task's last job; a log that cannot be had must not hide the failure."""
    try:
        for job in reversed(client.execution_details(task_id).jobs):
            for name in _LOG_NAMES:
                file_id = job.log_file_id(name)
                if file_id is not None:
                    with tempfile.TemporaryDirectory() as scratch:
                        path = Path(scratch, "log")
                        download(client, file_id, path)
                        return path.read_text(encoding="utf-8", errors="replace")
    except CavaticaError as error:
        return f"(The task's logs could not be fetched: {error})"
    return ""


def _write_logs(plan: JobPlan, report: JobReport, log_paths: Sequence[Path]) -> list[Path]:
    indices = [index for index, output in enumerate(plan.outputs) if output.role == "log"]
    written = []
    for index, path in zip(indices, log_paths, strict=False):
        if index in report.logs:
            _write(path, report.logs[index])
            written.append(path)
    return written


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ended = text if text.endswith("\n") else f"{text}\n"
    path.write_text(ended, encoding="utf-8", errors="surrogatepass")
