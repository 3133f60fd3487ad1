"""Why a job failed, told so that one can act on it: one reason from all that the platform gives.

Pure; `failure.py` fetches what it needs.

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

import posixpath
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from ..api import TaskStatus
from ..in_task.names import COMMAND_NAME
from ..plan.mode import is_shell_command
from ..plan.plan import JobPlan, PlannedOutput
from ..project.paths import LocalPath
from ..translate.task_report import JobReport
from ..watch.outcome import Failed, Lost

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
    INSTANCE = "instance"
    """There is no instance as the job asks for."""
    INPUT = "input"
    """The task could not be given an input."""
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
class SideFile:
    """A file that an earlier task made and that a job did not get."""

    path: str
    """In the working directory of the task."""
    task: str
    """Its name: rule and wildcards."""
    link: str
    """The task's page."""
    beside: str
    """The output of that task by which it was found."""
    is_named: bool = False
    """Whether the job that failed speaks of it."""
    is_declared: bool = False
    """Whether it is an output of its task, and only not an input of the job."""


@dataclass(frozen=True)
class Evidence:
    """What is known of a failed task beside its document."""

    report: JobReport = field(default_factory=JobReport)
    """By the job script; of stderr and logs only the ends."""
    message: str = ""
    """That of the execution details."""
    seconds: float | None = None
    """How long the task's last job took, staging included."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Names of its input files by id, where the platform tells of one."""
    side_files: Sequence[SideFile] = ()
    """What earlier tasks made and did not declare, if the job seems to miss a file."""
    trouble: str = ""
    """Why more is not known."""


@dataclass(frozen=True)
class Finding:
    """A reason in words: one sentence that says what happened, and what to do."""

    reason: Reason
    sentence: str
    advice: str = ""


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
_NO_INSTANCE = _phrases(
    r"\bno instance( type)? (for|with|has|fits|is large|offers|satisfies|meets|matches)\b",
    r"\binstance type \S+ (is|was) (too small|not|un)",
    r"\bno (such )?instance type\b",
)
_NO_INPUT = _phrases(
    r"\binput( file)?s?\b[^.;]{0,80}\b(not|no longer) (exist|found|available|(be )?(found|read))",
    r"\b(failed|failure|unable|cannot|could not|error)\b[^.;]{0,30}"
    r"\b(download|stag|locali[sz]|fetch)\w*[^.;]{0,40}\binput",
    r"\binput( file)?s?\b[^;]{0,300}\b(is|was|were) (lost|damaged)\b",
    r"\bin quarantine\b",
)
_CHANGED_INPUT = _phrases(
    r"\b(changed|modified|wrote|written|overwrote|overwritten|damaged)\b[^.;]{0,40}\binputs?\b",
    r"\binputs?\b[^.;]{0,40}\bread[- ]only\b",
)
_NOT_STORED = _phrases(
    r"\boutputs?\b[^.;]{0,80}\b(not|cannot|can't|couldn't) (be )?(stored|collected|uploaded|valid)",
    r"\boutput\b[^;]{0,300}\bnot valid unicode\b",
)
_NOT_COLLECTED = _phrases(
    r"\b(error|failed|failure|unable)\b[^.;]{0,20}\b(validat|collect|stor|upload|glob)\w*"
    r"[^.;]{0,20}\boutputs?\b",
    r"\bdid not find output\b",
)
"""After a command that left none, because it never ran, or what cannot be one."""
_UNSURE = _phrases(r"\b(possibly|probably|maybe|may|might|likely)\b")
_NO_CAUSE = frozenset(
    {"the", "this", "a", "task", "tool", "job", "app", "has", "was", "is", "failed", "error"}
)
"""Words that say no more than that a task failed."""
_BY_USER = _phrases(r"\b(abort|cancel|stopp|terminat)\w*[^.;]{0,20}\bby (a |the |another )?user\b")
_OWN_FAULT = _phrases(
    r"\b(internal|system|infrastructure|unexpected|platform) (error|failure|problem|fault)\b",
    r"\bplatform was stopped\b",
    r"\bfailed to (create|start|query) docker\b",
    r"\bno instances?( is| are)? (currently )?(available|free)\b",
    r"\b(no|insufficient|not enough|lack of)( \w+)? capacity\b",
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
_NO_PROGRAM_WORDS = re.compile("non-zero exit status 127")
_NO_PACKAGE_WORDS = re.compile(
    "command not found|No module named|there is no package called|there is no package named"
)
_NO_FILE_WORDS = re.compile(
    r"No such file|FileNotFound|not exist|not found"
    r"|\b(no|an|without|missing|requires?) index|only works for indexed"
    r"|(not|n't|fail(ed|s|ure)? to|unable to|error) (be )?(open|load|read|retriev|locat|f[io]u?nd)",
    re.IGNORECASE,
)
"""What programs say if a file is not there; only a reason to look whether there was one."""
_NO_SUCH_FILE_WORDS = re.compile(r"No such file or directory|FileNotFoundError")
_FORBIDDEN_WORDS = re.compile(r"Permission denied|Read-only file system")
_LAST_WORDS = 100
"""Lines at the end of stderr in which they count: later ones tell of the end."""

_MORE_MEMORY = "Give the rule more mem_mb; with retries and attempt it can grow by itself."
_MORE_DISK = "Give the rule more disk_mb, or let its disk grow (cavatica_use_elastic_disk)."
_MORE_TIME = "Give the rule a longer runtime; with retries and attempt it can grow by itself."
_SCRIPT_NEEDS = (
    "Check the image: it needs sh, and its entrypoint, if it has one, has to run the command that "
    "it is given."
)
_COPY_INPUTS = (
    'Have it write to a copy: cavatica_inputs="copy" as a resource of the rule, or '
    "--cavatica-inputs copy for all."
)
RUNS_HERE = "Tasks of this platform run without containers, with the programs of this machine."
_ONLY_DECLARED = (
    "A task has only what its rule declares as input, and the workflow's own files. What another "
    "job made has to be declared as an output there, and as an input here."
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
    def lacks_program(self) -> bool:
        """Whether a program was not found, or a package of software that was not asked for."""
        unused = self.plan.facts.software_unused
        return (
            self.exit_status == _NOT_FOUND
            or bool(self.last_words(_NO_PROGRAM_WORDS))
            or (bool(unused) and bool(self.last_words(_NO_PACKAGE_WORDS)))
        )

    @property
    def names_no_cause(self) -> bool:
        """Whether the platform says no more than that the task failed, or left no outputs."""
        if _NOT_COLLECTED.search(self.told):
            return True
        return _NO_CAUSE.issuperset(re.findall(r"\w+", self.told.lower()))

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

    @cached_property
    def ends(self) -> list[str]:
        """The last lines of stderr and of each log."""
        texts = (self.report.stderr, *self.report.logs.values())
        return ["\n".join(text.splitlines()[-_LAST_WORDS:]) for text in texts]

    def last_words(self, wanted: re.Pattern[str]) -> str:
        """What of the wanted is in the end of stderr or of a log; empty if nothing."""
        found = next(filter(None, map(wanted.search, self.ends)), None)
        return found[0] if found else ""


def recognise(plan: JobPlan, result: Failed | Lost, evidence: Evidence) -> Finding:
    """Why a task ended without success. Pure.

    From what is certain to what is likely. A command that is known to have failed by itself was
    not ended by the platform, whatever else happened to its task; and an exit status that speaks
    of want of memory counts only if the platform gives no other reason to kill the command.
    """
    if isinstance(result, Lost):
        advice = "Run Snakemake again, or use --retries: a new task."
        return Finding(Reason.LOST, f"{one_line(result.reason)}.", advice)
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
        error = one_line(case.report.error)
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
            f"Check that it writes to the paths that the rule declares{_by_name(plan, report)}."
            f"{_instead(plan, report)}",
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


def _instead(plan: JobPlan, report: JobReport) -> str:
    """What a command made that its rule does not declare."""
    declared = {output.path for output in plan.outputs}
    folders = tuple(f"{output.path}/" for output in plan.outputs if output.folder)
    made = [
        name for name in report.undeclared if name not in declared and not name.startswith(folders)
    ]
    return f" It made {_some([_plain(name) for name in made])}." if made else ""


def _plain(path: str) -> str:
    """What people call a file: those of a storage have a path in the task that nobody has given."""
    return posixpath.basename(path) if path.startswith(".snakemake/") else path


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
    if not case.began and (finding := _before_the_start(case)):
        return finding
    if _CHANGED_INPUT.search(told):
        how = f"{_how(case)}, and changed" if case.failed_by_itself else "the command changed"
        sentence = f"{how} one of its inputs, which are read-only on the platform."
        return Finding(Reason.COMMAND, sentence, _COPY_INPUTS)
    if _TOO_LONG.search(told):
        return _time_limit(case, f"the task was ended, since it took longer than {_limit(case)}.")
    if _NO_MEMORY.search(told) and not _NO_RESPONSE.search(told):
        if case.exit_status == _KILLED:
            return _killed()
        how = "was ended, most likely for want of" if _UNSURE.search(told) else "ran out of"
        return _no_memory(f"the task {how} memory, by what the platform says.")
    return None if case.failed_by_itself else _by_fault_of_platform(case)


def _by_fault_of_platform(case: _Case) -> Finding | None:
    """What the platform says of a command that did not fail by itself."""
    told = case.told
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
    if _NOT_STORED.search(told) or (case.began and _NOT_COLLECTED.search(told)):
        return Finding(
            Reason.OUTPUTS,
            "the command succeeded, but the platform could not store its outputs.",
            "It stores regular files and folders, with names in Unicode. Have the command make "
            "such ones, or a tar file.",
        )
    if _OWN_FAULT.search(told):
        return _platform("the platform failed the task, and names no fault of the job.")
    return None


def _before_the_start(case: _Case) -> Finding | None:
    """Why a task never came to its command."""
    if _NO_IMAGE.search(case.told):
        return _no_image(case)
    if _NO_INSTANCE.search(case.told):
        return Finding(
            Reason.INSTANCE,
            f"the platform has no instance for {_asked(case.plan)}.",
            "Give the rule fewer threads or less mem_mb, or name an instance type that is large "
            "enough (cavatica_instance_type).",
        )
    if _NO_INPUT.search(case.told):
        names = [f"{name} ({file})" for file, name in case.evidence.inputs.items()]
        which = f"its input {_some(names)}" if names else "one of its inputs"
        return Finding(
            Reason.INPUT,
            f"the platform could not give the task {which}.",
            "If the file is there but damaged, delete it on the platform. The next run uploads it "
            "again, or makes it again if a rule does.",
        )
    return None


def _asked(plan: JobPlan) -> str:
    """What a job wants of its machine."""
    resources, instance = plan.resources, plan.settings.instance_type
    wanted = [f"{resources.cores} threads"]
    if resources.memory_mib is not None:
        wanted.append(f"{resources.memory_mib} MiB of memory")
    if instance is not None:
        wanted.append(f"the instance type {one_line(instance)}")
    return " and ".join(wanted)


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
        return _platform("the command succeeded, but the platform failed the task afterwards.")
    if status == _KILLED:
        return _killed()
    if words := case.last_words(_NO_MEMORY_WORDS):
        return _no_memory(
            f"{_how(case)}, most likely for want of memory: its stderr or log says {words!r}."
        )
    return Finding(Reason.COMMAND, f"{_how(case)}.", _advice(case))


_NOT_EXECUTED = 126
_NOT_FOUND = 127
"""The shells' own exit statuses (POSIX)."""


def _advice(case: _Case) -> str:
    """What to do about a command that failed, as far as its status and its words suggest it."""
    if case.exit_status == _NOT_EXECUTED:
        return (
            "A program cannot be executed: is it made for this kind of machine, is it executable?"
        )
    if case.lacks_program:
        return _no_program(case.plan)
    if _is_forbidden_an_input(case):
        return f"Inputs are read-only. {_COPY_INPUTS}"
    if case.evidence.side_files:
        return _undeclared(case.evidence.side_files)
    return _ONLY_DECLARED if case.last_words(_NO_SUCH_FILE_WORDS) else ""


def _no_program(plan: JobPlan) -> str:
    """What to check if a program, or a package of a language, is not there."""
    if plan.facts.software_unused and not plan.facts.container:
        methods = " ".join(plan.facts.software_unused)
        cure = f"the rule's own software takes --software-deployment-method {methods}."
    elif not plan.in_container:
        cure = "install it beside Snakemake."
    elif plan.facts.container:
        cure = "check the rule's container."
    else:
        cure = f"name an image that has it, by container or {image_setting(plan)}."
    where = "" if plan.in_container else f" {RUNS_HERE}"
    return f"A program was not found: {cure}{where}"


def _is_forbidden_an_input(case: _Case) -> bool:
    """Whether the system kept the command from writing to an input, by what was written of it."""
    lines = [line for text in case.ends for line in text.splitlines()]
    refused = [line for line in lines if _FORBIDDEN_WORDS.search(line)]
    names = [posixpath.basename(one.path) for one in case.plan.inputs if one.method == "link"]
    return bool(refused) and any(is_named(name, "\n".join(refused)) for name in names)


def _undeclared(side_files: Sequence[SideFile]) -> str:
    """Where the files were made that a job misses, or may miss."""
    first = side_files[0]
    alike = (first.link, first.is_declared)
    names = _some([_plain(one.path) for one in side_files if (one.link, one.is_declared) == alike])
    start = "" if first.is_named else "If it misses a file: "
    made = f"{start}{one_line(first.task)} ({one_line(first.link)}) made {names} beside its output "
    if first.is_declared:
        return (
            f"{made}{one_line(first.beside)}, and this rule does not declare it: only declared "
            "files reach a task. Declare it as an input here."
        )
    return (
        f"{made}{one_line(first.beside)}, and does not declare it: only declared files leave a "
        "task. Declare it as an output there, and as an input here."
    )


def may_miss_a_file(plan: JobPlan, result: Failed, evidence: Evidence) -> bool:
    """Whether it is worth asking what earlier tasks have left undeclared. Pure."""
    case = _Case(plan, result, evidence)
    return (
        recognise(plan, result, evidence).reason is Reason.COMMAND
        and not case.lacks_program
        and bool(case.last_words(_NO_FILE_WORDS))
    )


def _unexplained(case: _Case) -> Finding:
    """Without a reason that is known: say what is."""
    if not case.began and _NO_IMAGE.search(case.report.stderr):
        return _no_image(case)
    if words := case.last_words(_NO_MEMORY_WORDS):
        return _no_memory(
            f"the command was ended, most likely for want of memory: it says {words!r}."
        )
    is_spot = case.interruptible and case.names_no_cause
    spot = " It was to run on a spot instance, which may be gone." if is_spot else ""
    if case.began or case.report.stderr.strip() or case.evidence.trouble:
        return _platform(f"the platform ended the task before the command did.{spot}")
    if not case.names_no_cause:
        return _platform("the platform failed the task; its own words are all that is known.")
    finding = _platform(f"the platform ended the task, and left no trace of its command.{spot}")
    return _about_image(case.plan, finding)


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
    image = one_line(case.plan.image)
    return Finding(
        Reason.IMAGE,
        f"the image {image} could not be pulled.",
        f"Check its name and tag ({image_setting(case.plan)}), and that the platform may pull it: "
        "a private image has to be in a registry that the platform has credentials for.",
    )


def image_setting(plan: JobPlan) -> str:
    """What names the image of a job."""
    if plan.facts.container:
        return "container"
    is_shell = is_shell_command(plan.facts, plan.mode)
    return "--cavatica-container-image" if is_shell else "--container-image"


def _no_script(case: _Case) -> Finding:
    """Something wrote to stderr, but the job script's first line is not there."""
    where = f" in the image {one_line(case.plan.image)}" if case.plan.in_container else ""
    sentence = f"the job's script did not start{where}."
    return _about_image(case.plan, Finding(Reason.SETUP, sentence))


def _about_image(plan: JobPlan, finding: Finding) -> Finding:
    """With what an image needs, if there is one."""
    if not plan.in_container:
        return finding
    return replace(finding, advice=f"{_SCRIPT_NEEDS} {finding.advice}".rstrip())


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
    return _some([_called(plan.outputs[index]) for index in known])


def _by_name(plan: JobPlan, report: JobReport) -> str:
    """How a command gets at the path of an output that has another one in the task."""
    missing = [plan.outputs[index] for index in report.missing if index < len(plan.outputs)]
    differ = any(_called(output) != output.path for output in missing)
    return ", and takes them from {output}: a path that it spells out is another one" * differ


def _called(output: PlannedOutput) -> str:
    """An output as the rule declares it, with its path in the task where that is another one."""
    declared = output.place.path
    is_own = isinstance(output.place, LocalPath) and posixpath.normpath(declared) != output.path
    return f"{declared} ({output.path} in the task)" if is_own else output.path


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_PATHS
    shown = ", ".join(one_line(name) for name in names[:_MOST_PATHS])
    return f"{shown} and {more} more" if more > 0 else shown


def is_named(path: str, text: str) -> bool:
    """Whether a text speaks of a file, by its path or its name."""
    name = re.escape(posixpath.basename(path))
    return re.search(rf"(?<![\w.+-]){name}(?!\.?[\w+-])", text) is not None


_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What could move the cursor of a terminal or change its colours."""


def one_line(text: str) -> str:
    """A text of others, as a part of a sentence."""
    return _cut(" ".join(_CONTROL.sub("", text[: 4 * _LONGEST_TEXT]).split()), _LONGEST_TEXT)


_OWN_PATH = re.compile(rf"^(/\S*/)?{re.escape(COMMAND_NAME)}(\.filled)?: ")
"""A shell begins each of its messages with the file that it runs, which lies deep in a task."""


def shown(line: str, length: int) -> str:
    """A line of others, as it is but harmless; a long one loses its middle: the end tells more."""
    room = 4 * length
    text = line if len(line) <= room else line[: room // 2] + line[-room // 2 :]
    text = _OWN_PATH.sub("command: ", _CONTROL.sub("", text))
    if len(text) <= length:
        return text
    return f"{text[: (length - 1) // 2]}…{text[-(length // 2) :]}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
