"""What is told of a failed job, and where its stderr and logs go.

`describe` words it, and is pure; `diagnose` fetches what that needs. Why the task failed is decided
in `reasons.py`.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

from ..api import CavaticaError, Client, ExecutionDetails, TaskJob
from ..api.download import download
from ..plan.plan import JobPlan
from ..project.paths import ProjectPath
from ..translate.shared_task import is_packed_job, jobid_of, task_id_of
from ..translate.task_report import JobReport, section_of, stretches
from ..watch.outcome import Failed, Lost
from .reasons import Evidence, Finding, Reason, may_miss_a_file, one_line, recognise, shown
from .side_files import SideFiles

STDERR_LINES = 30
LOGS_FOLDER = Path(".snakemake/cavatica/logs")

_TAIL = 64 * 1024
"""Bytes of stderr, and of each log, that are looked at."""
_CHUNK = 1024 * 1024
_LONGEST_LINE = 300
_MOST_LOGS = 5
_NOT_TEXT = 10
"""One byte in so many that is no UTF-8: then it is no text."""


@dataclass(frozen=True)
class Diagnosis:
    """What is told to the user, and the log files that were written for it."""

    message: str
    logs: tuple[Path, ...]
    finding: Finding

    @property
    def reason(self) -> Reason:
        """Why the task failed."""
        return self.finding.reason


# ------------------------------------------------------------------------------------- wording


def describe(plan: JobPlan, link: str, result: Failed | Lost, evidence: Evidence) -> str:
    """The message: rule, what happened, what to do, task, and the end of stderr. Pure."""
    finding = recognise(plan, result, evidence)
    lines = [f"{plan.title}: {finding.sentence} {finding.advice}".rstrip()]
    lines.append(f"Task: {one_line(link)} (platform: {one_line(result.reason)})")
    if evidence.trouble:
        lines.append(f"({one_line(evidence.trouble)})")
    stderr = evidence.report.stderr
    if stderr.strip():
        lines.extend(_end("the job's stderr", stderr, STDERR_LINES))
    logs = _logs_to_show(plan, evidence.report)
    for place, text in logs:
        lines.extend(_end(f"the log {place}", text, STDERR_LINES // len(logs)))
    return "\n".join(lines) + "\n"


def _logs_to_show(plan: JobPlan, report: JobReport) -> list[tuple[str, str]]:
    """The logs whose ends are told: those that are not on this machine, and else if there is no
    stderr, which says why as a rule.
    """
    written = [
        (plan.outputs[index].place, text)
        for index, text in report.logs.items()
        if index < len(plan.outputs) and text.strip()
    ]
    wanted = [
        (place.query if isinstance(place, ProjectPath) else place.path, text)
        for place, text in written
        if isinstance(place, ProjectPath) or not report.stderr.strip()
    ]
    return wanted[:_MOST_LOGS]


def _end(name: str, text: str, count: int) -> Iterator[str]:
    """The last lines of a text, under its name."""
    if "\0" in text or text.count("\ufffd") > len(text) / _NOT_TEXT:
        yield f"(There is no text in {one_line(name)}.)"
        return
    yield f"End of {one_line(name)}:"
    yield from (
        f"    {shown(line, _LONGEST_LINE)}".rstrip() for line in text.strip().splitlines()[-count:]
    )


# ------------------------------------------------------------------------------------ fetching


def stderr_file(task_id: str) -> Path:
    """Where the stderr of a task goes, from the working directory.

    The id comes from the platform: only one that can be no more than a name is used as one.
    """
    name = f"{task_id_of(task_id)}-{jobid_of(task_id)}" if is_packed_job(task_id) else task_id
    if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name):
        return LOGS_FOLDER / f"{name}.stderr"
    digest = hashlib.sha256(task_id.encode(errors="surrogatepass")).hexdigest()
    return LOGS_FOLDER / f"task-{digest[:32]}.stderr"


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
                evidence = _gather(client, task_id, stderr)
                written = _keep(stderr, plan, log_paths, stderr_path)
        except OSError as error:
            # It must not hide why the job failed.
            trouble = f"The task's logs could not be kept on this machine: {error}"
            evidence = replace(evidence, trouble=trouble)
        if side_files is not None:
            shared = task_id_of(task_id)
            evidence = _looked_further(side_files, shared, plan, result, evidence)
    finding = recognise(plan, result, evidence)
    return Diagnosis(describe(plan, link, result, evidence), tuple(written), finding)


def _gather(client: Client, task_id: str, stderr: Path) -> Evidence:
    """Ask for a task's last job, and put its stderr into a file; none of it has to be there."""
    details = ExecutionDetails()
    try:
        details = client.execution_details(task_id_of(task_id))
        file_id = details.stderr_file_id
        if file_id is not None:
            download(client, file_id, stderr)
            if is_packed_job(task_id):
                _cut_out(stderr, jobid_of(task_id))
    except CavaticaError as error:
        trouble = f"The task's logs could not be fetched: {error}"
        return Evidence(message=details.message, seconds=_seconds(details.jobs), trouble=trouble)
    return Evidence(_read(stderr), details.message, _seconds(details.jobs))


def _looked_further(
    side_files: SideFiles, task_id: str, plan: JobPlan, result: Failed, evidence: Evidence
) -> Evidence:
    """With what the platform knows of other files and tasks, if that may be the reason."""
    try:
        if may_miss_a_file(plan, result, evidence):
            text = "\n".join([evidence.report.stderr, *evidence.report.logs.values()])
            return replace(evidence, side_files=side_files.missed_by(task_id, text))
        if recognise(plan, result, evidence).reason is Reason.INPUT:
            return replace(evidence, inputs=side_files.inputs_named_in(result.reason, task_id))
    except (CavaticaError, OSError) as error:
        trouble = f"It could not be looked up what earlier tasks have left: {error}"
        return replace(evidence, trouble=evidence.trouble or trouble)
    return evidence


def _cut_out(stderr: Path, jobid: str) -> None:
    """Leave of the stderr of a pack what one of its jobs has said, if its script came to tell."""
    with _mapped(stderr) as content:
        found = section_of(content, jobid)
        if found is None:
            return
        part = stderr.with_name("section")
        with part.open("wb") as stream:
            for position in range(*found, _CHUNK):
                stream.write(content[position : min(found[1], position + _CHUNK)])
    part.replace(stderr)


def _seconds(jobs: Sequence[TaskJob]) -> float | None:
    """How long the last job took."""
    if not jobs or jobs[-1].start_time is None or jobs[-1].end_time is None:
        return None
    return (jobs[-1].end_time - jobs[-1].start_time).total_seconds()


@contextmanager
def _mapped(path: Path) -> Iterator[bytes | mmap]:
    """The content of a file that may be larger than the memory; empty if there is no file."""
    if not path.exists() or path.stat().st_size == 0:
        yield b""
        return
    with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as content:
        yield content


def _read(stderr: Path) -> JobReport:
    """What the script reported, and the ends of stderr and logs."""
    report = JobReport()
    tail = b""
    with _mapped(stderr) as content:
        for log, start, end in stretches(content, report):
            last = content[max(start, end - _TAIL) : end]
            if log is None:
                tail = (tail + last)[-_TAIL:]
            else:
                report.logs[log] = last.decode(errors="replace")
    report.stderr = tail.decode(errors="replace")
    return report


def _keep(stderr: Path, plan: JobPlan, log_paths: Sequence[Path], rest: Path) -> list[Path]:
    """Write the rule's logs to their places, and what else the job said, if anything, to `rest`."""
    indices = [index for index, output in enumerate(plan.outputs) if output.role == "log"]
    places = dict(zip(indices, log_paths, strict=False))
    written: dict[Path, None] = {}
    with _mapped(stderr) as content, ExitStack() as files:
        stream: BinaryIO | None = None
        for log, start, end in stretches(content, JobReport()):
            if log is None:
                stream = stream or files.enter_context(_whole(rest))
                _copy(content, start, end, stream)
            elif log in places:
                with _whole(places[log]) as log_stream:
                    _copy(content, start, end, log_stream)
                written[places[log]] = None
    return [*written, *([rest] if stream else [])]


def _copy(content: bytes | mmap, start: int, end: int, stream: BinaryIO) -> None:
    """As text, since Snakemake shows no log that is not."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for position in range(start, end, _CHUNK):
        stop = min(end, position + _CHUNK)
        stream.write(decoder.decode(content[position:stop], final=stop == end).encode())


@contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    """A text file that is there once it is complete; its last line is ended."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not named after the file: that name may be as long as the file system allows.
    part = path.with_name(f".cavatica-{uuid.uuid4().hex}.part")
    try:
        with part.open("w+b") as stream:
            yield stream
            if stream.tell():
                stream.seek(-1, os.SEEK_END)
                if stream.read(1) != b"\n":
                    stream.write(b"\n")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
