"""Why a job failed, told so that one can act on it: one reason from all that the platform gives.

`recognise` decides, `describe` words it; both are pure. `diagnose` fetches what they need.

The platform's texts are not documented, so they are searched for phrases, in any case of letters.
Where each phrase comes from:

* **documented** by the provider (docs.cavatica.org: "Job retry"): "Spot Instance is terminated",
  "Instance stops responding", "Memory or hard disk exhaustion". The same page says that the
  platform itself starts a job again after the first two: on demand after the loss of a spot
  instance, once if the instance stopped responding. So a task that fails of it has failed twice.
* **seen** in programs that may stand behind a message: "Failed to pull" and "Failed to create/start
  Docker container" (rabix/bunny, the provider's open executor), "Docker image ... not found" and
  "exceeded time limit" (cwltool), "pull access denied", "manifest unknown", "manifest for ... not
  found", "No such image", "failed to register layer: no space left on device" (Docker), "Preempted"
  (Google), "Killed process", "oom-kill" (Linux), ENOSPC and ENOMEM as C libraries spell them.
* **guessed**: everything else, such as "insufficient memory" or "aborted by the user".

What the job script reports is certain, so it comes before these; what only an exit status suggests
comes after them, and is told as what it is.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import signal
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO

from .api import CavaticaError, Client, ExecutionDetails, TaskJob, TaskStatus, download
from .outcome import Failed, Lost
from .pieces import is_piece, jobid_of, task_id_of
from .plan import JobPlan, is_shell_command
from .script import JobReport, pieces, section_of

STDERR_LINES = 30
LOGS_FOLDER = Path(".snakemake/cavatica/logs")

_LOG_NAMES = ("stderr", "job.err.log")
_TAIL = 64 * 1024
"""Bytes of stderr, and of each log, that are looked at."""
_CHUNK = 1024 * 1024
_LONGEST_LINE = 300
_LONGEST_TEXT = 1000
_MOST_PATHS = 10
_SIGNALS_FROM = 128
"""A shell adds this to the number of the signal that ended a command."""
_SIGNALS = {one.value: one.name for one in signal.Signals if one < signal.SIGRTMIN}
_KILLED = _SIGNALS_FROM + signal.SIGKILL
_STOPPED = (_KILLED, _SIGNALS_FROM + signal.SIGTERM)


class Reason(StrEnum):
    """Why a task ended without success."""

    COMMAND = "command"
    """The command failed, for reasons of its own."""
    OUTPUTS = "outputs"
    """Outputs are missing, or are not what the rule declares."""
    SETUP = "setup"
    """The job script could not prepare the command or keep its outputs."""
    OUT_OF_MEMORY = "out of memory"
    DISK_FULL = "disk full"
    TIME_LIMIT = "time limit"
    IMAGE = "image"
    """The container's image could not be had."""
    SPOT_LOSS = "spot loss"
    """The platform says that it took the spot instance away. Nothing is wrong with the job."""
    PLATFORM = "platform"
    """Anything else on the platform's side, also what it does not explain."""
    ABORTED = "aborted"
    """Somebody aborted the task."""
    NOT_STARTED = "not started"
    """The task is a draft again."""
    LOST = "lost"
    """There is no such task any more."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a failed task beside its document."""

    report: JobReport = field(default_factory=JobReport)
    """By the job script; of stderr and logs only the ends."""
    message: str = ""
    """That of the execution details."""
    seconds: float | None = None
    """How long the task's last job took, staging included."""
    trouble: str = ""
    """Why more is not known."""


@dataclass(frozen=True)
class Finding:
    """A reason in words: one sentence that says what happened, and what to do."""

    reason: Reason
    sentence: str
    advice: str = ""


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


# ---------------------------------------------------------------------------------- recognising


def _phrases(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_SPOT = r"\b(spot|preemptible|interruptible)\b"
_GONE = r"\b(terminated|interrupted|reclaimed|revoked|evicted|preempted|lost|taken away)\b"
_SPOT_LOST = _phrases(
    rf"{_SPOT}[^.;]{{0,60}}{_GONE}",
    rf"{_GONE}[^.;]{{0,40}}{_SPOT}",
    rf"\b(loss|termination|interruption|preemption) of [^.;]{{0,20}}{_SPOT}",
    rf"{_SPOT}( \w+)? (termination|interruption|preemption|loss)\b",
    r"\b(was|been|instance) preempted\b",
)
_INSTANCE_LOST = _phrases(rf"\b(instance|node|machine)\b[^.;]{{0,40}}{_GONE}")
_NO_RESPONSE = _phrases(
    r"\b(instance|node|machine)\b[^.;]{0,40}\b(stop\w* responding|not respond\w*|unresponsive)",
    r"\bmemory or (hard )?disk\b",
)
_NO_SPACE = _phrases(
    r"no (more )?space left",
    r"\b(insufficient|not enough|out of|ran out of|exhausted) (free |hard )?(disk|storage)\b",
    r"\b(disk|storage)( space)?( is| was)? (full|exhausted|insufficient)\b",
    r"\bdisk quota exceeded",
    r"\bENOSPC\b",
)
_NO_MEMORY = _phrases(
    r"\b(out of|insufficient|not enough|lack of) (free |available )?memory\b",
    r"\bmemory( limit)?( is| was| has been)? (exceeded|exhausted|insufficient)\b",
    r"\bmemory exhaustion\b",
    r"\bexceed\w*[^.;]{0,30}\bmemory\b",
    r"\boom[- ]?kill",
)
_NO_IMAGE = _phrases(
    r"\bimage\b[^;]{0,200}?\b(not found|not be found|not be pulled|not exist|not available)\b",
    r"\b(failed|failure|unable|cannot|can't|could not|error)\b[^.;]{0,20}\b(pull|pulling)\b",
    r"\bunable to find image\b",
    r"\bno such image\b",
    r"\bpull access denied\b",
    r"\bmanifest unknown\b",
    r"\bmanifest for \S+ not found\b",
)
_TOO_LONG = _phrases(
    r"\b(exceed\w*|reached|hit|over) [^.;]{0,40}\b(time ?limit|wall ?time|wall[- ]?clock)",
    r"\b(exceed\w*|reached) [^.;]{0,40}\b(run(ning)?|execution) time\b",
    r"\b(time ?limit|wall ?time|run ?time limit)( of [^.;]{1,30})?( was| has been)? "
    r"(exceeded|reached)",
    r"\b(command|execution|job|task|tool)( \S+)? (has |was )?timed out\b",
)
_BY_USER = _phrases(r"\b(abort|cancel|stopp|terminat)\w*[^.;]{0,20}\bby (a |the |another )?user\b")
_OWN_FAULT = _phrases(
    r"\b(internal|system|infrastructure|unexpected|platform) (error|failure|problem|fault)\b",
    r"\bplatform was stopped\b",
    r"\bfailed to (create|start|query) docker\b",
    r"\bno instance\b",
)
_EXIT_STATUS = _phrases(r"\bexit(?:ed)? (?:with )?(?:code|status)[: ]{1,2}([0-9]{1,3})\b")

# In what the command itself wrote, where only the exact words count: a program may speak of memory
# and disks in many harmless ways.
_NO_SPACE_WORDS = re.compile(r"No space left on device|Disk quota exceeded|\bENOSPC\b")
_NO_MEMORY_WORDS = re.compile(
    r"java\.lang\.OutOfMemoryError|^MemoryError\b|std::bad_alloc|Cannot allocate memory"
    r"|died with <Signals\.SIGKILL|non-zero exit status 137|Out of memory: Killed process"
    r"|oom-kill",
    re.MULTILINE,
)
_LAST_WORDS = 100
"""Lines at the end of stderr in which they count: later ones tell of the end."""

_MORE_MEMORY = "Give the rule more mem_mb; with retries and attempt it can grow by itself."
_MORE_DISK = "Give the rule more disk_mb, or let its disk grow (cavatica_use_elastic_disk)."
_MORE_TIME = "Give the rule a longer runtime; with retries and attempt it can grow by itself."
_SCRIPT_NEEDS = (
    "Check the image: it needs sh, and its entrypoint, if it has one, has to run the command that "
    "it is given."
)
_ASK_SUPPORT = (
    "Try again (--retries does by itself); if it goes on, ask the support of the platform and name "
    "the task."
)


@dataclass(frozen=True)
class _Case:
    """A failed task with all evidence."""

    plan: JobPlan
    result: Failed
    evidence: Evidence

    @property
    def report(self) -> JobReport:
        return self.evidence.report

    @cached_property
    def told(self) -> str:
        """What the platform says; codes such as OUT_OF_MEMORY are read as words."""
        texts = (self.result.reason, self.evidence.message)
        return " ".join(text[: 4 * _LONGEST_TEXT] for text in texts).replace("_", " ")

    @property
    def exit_status(self) -> int | None:
        """The command's, by the job script, or else by what the platform says."""
        if self.report.exit_status is not None:
            return self.report.exit_status
        found = _EXIT_STATUS.search(self.told)
        return int(found[1]) if found else None

    @property
    def began(self) -> bool:
        """Whether the job script is known to have run."""
        return self.report.started or self.report.exit_status is not None

    @property
    def failed_by_itself(self) -> bool:
        """Whether the job script lived to see the command fail, and not by a signal."""
        status = self.report.exit_status
        return bool(status) and _signal_of(status) is None

    @property
    def interruptible(self) -> bool:
        """Whether the task was to run on a spot instance, as far as is known."""
        known = self.result.interruptible
        return bool(self.plan.settings.interruptible if known is None else known)

    def last_words(self, wanted: re.Pattern[str]) -> str:
        """What of the wanted is in the end of stderr or of a log; empty if nothing."""
        for text in (self.report.stderr, *self.report.logs.values()):
            found = wanted.search("\n".join(text.splitlines()[-_LAST_WORDS:]))
            if found:
                return found[0]
        return ""


def recognise(plan: JobPlan, result: Failed | Lost, evidence: Evidence) -> Finding:
    """Why a task ended without success. Pure.

    From what is certain to what is likely. A command that is known to have failed by itself was
    not ended by the platform, whatever else happened to its task; and an exit status that speaks
    of want of memory counts only if the platform gives no other reason to kill the command.
    """
    if isinstance(result, Lost):
        advice = "Run Snakemake again, or use --retries: a new task."
        return Finding(Reason.LOST, f"{_one_line(result.reason)}.", advice)
    case = _Case(plan, result, evidence)
    for judge in (_by_status, _by_script, _by_space, _by_platform, _by_time, _by_exit_status):
        finding = judge(case)
        if finding is not None:
            return finding
    return _unexplained(case)


def _by_status(case: _Case) -> Finding | None:
    if _SPOT_LOST.search(case.told) and not case.failed_by_itself:
        return _spot_loss()
    if case.result.status == TaskStatus.ABORTED:
        return _aborted()
    if case.result.status == TaskStatus.DRAFT:
        return Finding(
            Reason.NOT_STARTED,
            "the platform did not start the task, which is a draft again.",
            "Its page says what is wrong with it.",
        )
    return None


def _by_script(case: _Case) -> Finding | None:
    """What the job script knows for sure; a full disk explains better why it could not go on."""
    if finding := _in_outputs(case.plan, case.report):
        return finding
    if case.report.error and not case.last_words(_NO_SPACE_WORDS):
        error = _one_line(case.report.error)
        return Finding(Reason.SETUP, f"the job could not be run as it should: {error}.")
    # In a pack, a job whose command failed has no outputs either.
    if case.result.missing_ports and not case.report.exit_status:
        ports = case.result.missing_ports
        paths = [one.path for _, one in case.plan.collected if one.port in ports]
        missing = _some(paths or ports)
        return Finding(
            Reason.OUTPUTS,
            f"MissingOutputException: the task completed without its output {missing}.",
        )
    return None


def _in_outputs(plan: JobPlan, report: JobReport) -> Finding | None:
    """What the script found wrong with the outputs of a command that succeeded."""
    if paths := _paths(plan, report.missing):
        return Finding(
            Reason.OUTPUTS,
            f"MissingOutputException: the command succeeded, but did not make its output {paths}.",
            "Check that it writes to the paths that the rule declares.",
        )
    if paths := _paths(plan, report.folders):
        return Finding(
            Reason.OUTPUTS, f"the output {paths} is a folder; declare it with directory()."
        )
    if paths := _paths(plan, report.empty):
        return Finding(Reason.OUTPUTS, f"the output {paths} is empty (ensure()).")
    if paths := _paths(plan, report.wrong_checksum):
        return Finding(
            Reason.OUTPUTS, f"the output {paths} has another checksum than the rule ensures."
        )
    return None


def _by_space(case: _Case) -> Finding | None:
    """A full disk: also one that an image was too large for, so this comes before images."""
    if _NO_RESPONSE.search(case.told):
        return None
    if _NO_SPACE.search(case.told):
        return Finding(Reason.DISK_FULL, "the disk of the task was full.", _MORE_DISK)
    if case.report.exit_status != 0 and (words := case.last_words(_NO_SPACE_WORDS)):
        return Finding(Reason.DISK_FULL, f"{_how(case)}, and says {words!r}.", _MORE_DISK)
    return None


def _by_platform(case: _Case) -> Finding | None:
    """What the platform says itself."""
    told = case.told
    if _TOO_LONG.search(told):
        return _time_limit(case, f"the task was ended, since it took longer than {_limit(case)}.")
    if _NO_MEMORY.search(told) and not _NO_RESPONSE.search(told):
        sentence = "the task ran out of memory, by what the platform says."
        return _killed() if case.exit_status == _KILLED else _no_memory(sentence)
    if case.failed_by_itself:
        return None
    if _NO_IMAGE.search(told) and not case.began:
        return _no_image(case)
    if _BY_USER.search(told):
        return _aborted()
    if _NO_RESPONSE.search(told):
        return Finding(
            Reason.PLATFORM,
            "the instance stopped responding: out of memory or disk, or a fault of the cloud.",
            "Try again; if it goes on, give the rule more mem_mb and disk_mb.",
        )
    if _INSTANCE_LOST.search(told):
        return _spot_loss() if case.interruptible else _platform("the instance was lost.")
    if _OWN_FAULT.search(told):
        return _platform("the platform failed the task, and names no fault of the job.")
    return None


def _by_time(case: _Case) -> Finding | None:
    """A time limit that the platform kept without a word."""
    minutes, seconds = case.plan.resources.runtime_minutes, case.evidence.seconds
    if not minutes or seconds is None or seconds < minutes * 60:
        return None
    if case.exit_status is not None and case.exit_status not in _STOPPED:
        return None
    return _time_limit(
        case,
        f"the command was stopped after {seconds / 60:.0f} minutes, most likely because of "
        f"{_limit(case)}.",
    )


def _by_exit_status(case: _Case) -> Finding | None:
    status = case.exit_status
    if status is None or (status == 0 and not case.began):
        return None
    if not case.began and case.report.stderr.strip() and _signal_of(status) is None:
        return _no_script(case)
    if status == 0:
        return Finding(
            Reason.PLATFORM, "the command succeeded, but the platform failed the task afterwards."
        )
    if status == _KILLED:
        return _killed()
    if words := case.last_words(_NO_MEMORY_WORDS):
        return _no_memory(
            f"{_how(case)}, most likely for want of memory: its stderr or log says {words!r}."
        )
    return Finding(Reason.COMMAND, f"{_how(case)}.", _ADVICE.get(status, ""))


_ADVICE = {
    126: "A program cannot be executed: is it made for this kind of machine, is it executable?",
    127: "A program was not found: check the rule's container, or --cavatica-container-image.",
}
"""What the shells' own exit statuses mean (POSIX)."""


def _unexplained(case: _Case) -> Finding:
    """Without a reason that is known: say what is."""
    if not case.began and _NO_IMAGE.search(case.report.stderr):
        return _no_image(case)
    if words := case.last_words(_NO_MEMORY_WORDS):
        return _no_memory(
            f"the command was ended, most likely for want of memory: it says {words!r}."
        )
    spot = " It was to run on a spot instance, which may be gone." if case.interruptible else ""
    if case.began or case.report.stderr.strip() or case.evidence.trouble:
        return _platform(f"the platform ended the task before the command did.{spot}")
    finding = _platform(f"the platform ended the task, and left no trace of its command.{spot}")
    return replace(finding, advice=f"{_SCRIPT_NEEDS} {finding.advice}")


def _how(case: _Case) -> str:
    """How the command ended, in the words of its exit status."""
    status = case.exit_status
    if status is None:
        return "the command was ended"
    name = _signal_of(status)
    if name is not None:
        return f"the command was ended by signal {name} (exit status {status})"
    return f"the command failed with exit status {status}"


def _signal_of(exit_status: int | None) -> str | None:
    """The name of the signal that a shell tells by an exit status."""
    return _SIGNALS.get((exit_status or 0) - _SIGNALS_FROM)


def _limit(case: _Case) -> str:
    minutes = case.plan.resources.runtime_minutes
    return f"its runtime of {minutes} minutes" if minutes else "the platform allows"


def _time_limit(case: _Case, sentence: str) -> Finding:
    has_limit = bool(case.plan.resources.runtime_minutes)
    return Finding(Reason.TIME_LIMIT, sentence, _MORE_TIME if has_limit else "")


def _killed() -> Finding:
    return _no_memory(
        f"the command was killed (exit status {_KILLED}), most likely for want of memory."
    )


def _no_memory(sentence: str) -> Finding:
    return Finding(Reason.OUT_OF_MEMORY, sentence, _MORE_MEMORY)


def _no_image(case: _Case) -> Finding:
    image = _one_line(case.plan.image)
    setting = "container" if case.plan.facts.container else "--cavatica-container-image"
    if not (case.plan.facts.container or is_shell_command(case.plan.facts, case.plan.mode)):
        setting = "--container-image"
    return Finding(
        Reason.IMAGE,
        f"the image {image} could not be pulled.",
        f"Check its name and tag ({setting}), and that the platform may pull it: a private image "
        "has to be in a registry that the platform has credentials for.",
    )


def _no_script(case: _Case) -> Finding:
    """Something wrote to stderr, but the job script's first line is not there."""
    image = _one_line(case.plan.image)
    sentence = f"the job's script did not start in the image {image}."
    return Finding(Reason.SETUP, sentence, _SCRIPT_NEEDS)


def _spot_loss() -> Finding:
    return Finding(
        Reason.SPOT_LOSS,
        "the spot instance of the task was taken away.",
        "Nothing is wrong with the job. Try again, or on demand (cavatica_interruptible=false).",
    )


def _aborted() -> Finding:
    return Finding(
        Reason.ABORTED,
        "the task was aborted, and not by this run of Snakemake.",
        "If nobody meant to, run Snakemake again.",
    )


def _platform(sentence: str) -> Finding:
    return Finding(Reason.PLATFORM, sentence, _ASK_SUPPORT)


def _paths(plan: JobPlan, indices: Sequence[int]) -> str:
    known = (index for index in dict.fromkeys(indices) if index < len(plan.outputs))
    return _some([plan.outputs[index].path for index in known])


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_PATHS
    shown = ", ".join(_one_line(name) for name in names[:_MOST_PATHS])
    return f"{shown} and {more} more" if more > 0 else shown


# ------------------------------------------------------------------------------------- wording

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What could move the cursor of a terminal or change its colours."""


def describe(plan: JobPlan, link: str, result: Failed | Lost, evidence: Evidence) -> str:
    """The message: rule, what happened, what to do, task, and the end of stderr. Pure."""
    finding = recognise(plan, result, evidence)
    lines = [f"{plan.title}: {finding.sentence} {finding.advice}".rstrip()]
    lines.append(f"Task: {_one_line(link)} (platform: {_one_line(result.reason)})")
    if evidence.trouble:
        lines.append(f"({_one_line(evidence.trouble)})")
    tail = evidence.report.stderr.strip().splitlines()[-STDERR_LINES:]
    if tail:
        lines.append("End of the job's stderr:")
        lines.extend(f"    {_shown(line)}".rstrip() for line in tail)
    return "\n".join(lines) + "\n"


def _one_line(text: str) -> str:
    return _cut(" ".join(_CONTROL.sub("", text[: 4 * _LONGEST_TEXT]).split()), _LONGEST_TEXT)


def _shown(line: str) -> str:
    return _cut(_CONTROL.sub("", line[: 4 * _LONGEST_LINE]), _LONGEST_LINE)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


# ------------------------------------------------------------------------------------ fetching


def stderr_file(task_id: str) -> Path:
    """Where the stderr of a task goes, from the working directory.

    The id comes from the platform: only one that can be no more than a name is used as one.
    """
    name = f"{task_id_of(task_id)}-{jobid_of(task_id)}" if is_piece(task_id) else task_id
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
) -> Diagnosis:
    """Fetch what the task left behind and say what happened.

    Args:
        task_id: the task, or the piece of one that runs several jobs.
        link: the task's page.
        log_paths: where the rule's logs go, in the order of the rule.
        stderr_path: where the job's stderr goes; see `stderr_file`.
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
    finding = recognise(plan, result, evidence)
    return Diagnosis(describe(plan, link, result, evidence), tuple(written), finding)


def _gather(client: Client, task_id: str, stderr: Path) -> Evidence:
    """Ask for a task's last job, and put its stderr into a file; none of it has to be there."""
    details = ExecutionDetails()
    try:
        details = client.execution_details(task_id_of(task_id))
        file_id = _stderr_of(details.jobs)
        if file_id is not None:
            download(client, file_id, stderr)
            if is_piece(task_id):
                _cut_out(stderr, jobid_of(task_id))
    except CavaticaError as error:
        trouble = f"The task's logs could not be fetched: {error}"
        return Evidence(JobReport(), details.message, _seconds(details.jobs), trouble)
    return Evidence(_read(stderr), details.message, _seconds(details.jobs))


def _cut_out(stderr: Path, jobid: str) -> None:
    """Leave of the stderr of a pack what one of its jobs has said, if its script came to tell."""
    with _mapped(stderr) as content:
        found = section_of(content, jobid)
        if found is None:
            return
        part = stderr.with_name("piece")
        with part.open("wb") as stream:
            for position in range(*found, _CHUNK):
                stream.write(content[position : min(found[1], position + _CHUNK)])
    part.replace(stderr)


def _stderr_of(jobs: Sequence[TaskJob]) -> str | None:
    """The id of the file with the stderr of the last job that has one."""
    logs = (job.log_file_id(name) for job in reversed(jobs) for name in _LOG_NAMES)
    return next((file_id for file_id in logs if file_id is not None), None)


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
        for log, start, end in pieces(content, report):
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
        for log, start, end in pieces(content, JobReport()):
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
