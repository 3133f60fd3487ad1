"""Each reason of a failure in words: a sentence that says what happened, and what to do. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..plan.instance_types import disk_of
from ..plan.plan import JobPlan, PlannedOutput
from ..project.paths import LocalPath
from ..translate.task_report import JobReport
from .advice import COPY_INPUTS, image_setting
from .evidence import KILLED, Case, Finding, Reason, signal_of
from .foreign_text import one_line, plain, some
from .member import outputs_of

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


def lost(words: str) -> Finding:
    """The task is not there any more, in the platform's words."""
    advice = "Run Snakemake again, or use --retries: a new task."
    return Finding(Reason.LOST, f"{one_line(words)}.", advice)


def not_started() -> Finding:
    """The task is a draft again."""
    return Finding(
        Reason.NOT_STARTED,
        "the platform did not start the task, which is a draft again.",
        "Its page says what is wrong with it.",
    )


def aborted() -> Finding:
    """Somebody aborted the task."""
    return Finding(
        Reason.ABORTED,
        "the task was aborted, and not by this run of Snakemake.",
        "If nobody meant to, run Snakemake again.",
    )


def spot_loss() -> Finding:
    """The instance was taken away."""
    return Finding(
        Reason.SPOT_LOSS,
        "the spot instance of the task was taken away.",
        "Nothing is wrong with the job. Try again, or on demand (cavatica_interruptible=false).",
    )


def platform(sentence: str) -> Finding:
    """Nobody here is to blame."""
    return Finding(Reason.PLATFORM, sentence, _ASK_SUPPORT)


def fault_of_platform(sentence: str) -> Finding:
    """The same, where the platform says so itself."""
    return replace(platform(sentence), may_pass=True)


def no_response() -> Finding:
    """The instance fell silent, for a reason that is not known."""
    return Finding(
        Reason.PLATFORM,
        "the instance stopped responding: out of memory or disk, or a fault of the cloud.",
        "Try again; if it goes on, give the rule more mem_mb and disk_mb.",
    )


# ----------------------------------------------------------------------------- before the command


def no_image(case: Case) -> Finding:
    """The image could not be had."""
    image = one_line(case.plan.image)
    return Finding(
        Reason.IMAGE,
        f"the image {image} could not be pulled.",
        f"Check its name and tag ({image_setting(case.plan)}), and that the platform may pull it: "
        "a private image has to be in a registry that the platform has credentials for.",
    )


def no_instance(plan: JobPlan) -> Finding:
    """No instance is as the job asks for."""
    return Finding(
        Reason.INSTANCE,
        f"the platform has no instance for {_asked(plan)}.",
        "Give the rule fewer threads or less mem_mb, or name an instance type that is large "
        "enough (cavatica_instance_type).",
    )


def no_input(inputs: Mapping[str, str]) -> Finding:
    """An input could not be had; `inputs` are the names, by id, of those that are spoken of."""
    names = [f"{name} ({file})" for file, name in inputs.items()]
    which = f"its input {some(names)}" if names else "one of its inputs"
    return Finding(
        Reason.INPUT,
        f"the platform could not give the task {which}.",
        "If the file is there but damaged, delete it on the platform. The next run uploads it "
        "again, or makes it again if a rule does.",
    )


def no_script(case: Case) -> Finding:
    """Something wrote to stderr, but the job script's first line is not there."""
    where = f" in the image {one_line(case.plan.image)}" if case.plan.in_container else ""
    sentence = f"the job's script did not start{where}."
    return _about_image(case.plan, Finding(Reason.SETUP, sentence))


def no_trace(plan: JobPlan, more: str) -> Finding:
    """Nothing is known of the command."""
    finding = platform(f"the platform ended the task, and left no trace of its command.{more}")
    return _about_image(plan, finding)


def not_run(error: str) -> Finding:
    """The job script could not do its part."""
    return Finding(Reason.SETUP, f"the job could not be run as it should: {one_line(error)}.")


# -------------------------------------------------------------------------- memory, disk and time


def out_of_memory(*, is_sure: bool) -> Finding:
    """The platform says so."""
    how = "ran out of" if is_sure else "was ended, most likely for want of"
    return _out_of_memory(f"the task {how} memory, by what the platform says.")


def killed() -> Finding:
    """By a signal that nobody here has sent."""
    return _out_of_memory(
        f"the command was killed (exit status {KILLED}), most likely for want of memory."
    )


def says_no_memory(words: str) -> Finding:
    """The command's own last words suggest it."""
    return _out_of_memory(
        f"the command was ended, most likely for want of memory: it says {words!r}."
    )


def failed_without_memory(case: Case, words: str) -> Finding:
    """The same of a command that ended by itself."""
    return _out_of_memory(
        f"{ending(case)}, most likely for want of memory: its stderr or log says {words!r}."
    )


def _out_of_memory(sentence: str) -> Finding:
    return Finding(Reason.OUT_OF_MEMORY, sentence, _MORE_MEMORY)


def disk_full() -> Finding:
    """The platform says so."""
    return Finding(Reason.DISK_FULL, "the disk of the task was full.", _MORE_DISK)


def says_disk_full(case: Case, words: str) -> Finding:
    """The command's own last words say it."""
    return Finding(Reason.DISK_FULL, f"{ending(case)}, and says {words!r}.", _MORE_DISK)


def disk_nearly_full(case: Case) -> Finding:
    """Nobody says it, but the disk is one that was chosen for the job."""
    disk = disk_of(case.plan.settings.instance_by_use)
    sentence = f"{ending(case)}, and its disk of {disk} GB was nearly full."
    return Finding(Reason.DISK_FULL, sentence, _MORE_DISK)


def too_long(case: Case) -> Finding:
    """The platform says that it ended the task for its time."""
    return _time_limit(case, f"the task was ended, since it took longer than {_limit(case)}.")


def stopped_after(case: Case, seconds: float) -> Finding:
    """The platform does not say so, but the time suggests it."""
    return _time_limit(
        case,
        f"the command was stopped after {seconds / 60:.0f} minutes, most likely because of "
        f"{_limit(case)}.",
    )


# --------------------------------------------------------------------------- the command's outputs


def not_made(plan: JobPlan, report: JobReport, missing: str) -> Finding:
    """The command left no file where the rule declares one."""
    return Finding(
        Reason.OUTPUTS,
        f"MissingOutputException: the command succeeded, but did not make its output {missing}.",
        f"Check that it writes to the paths that the rule declares{_by_name(plan, report)}."
        f"{_instead(plan, report)}",
    )


def wrong_output(paths: str, fault: str) -> Finding:
    """An output is not what the rule declares."""
    return Finding(Reason.OUTPUTS, f"the output {paths} {fault}.")


def without_outputs(case: Case) -> Finding:
    """The platform has no files for some ports, and the script does not say why."""
    ports = case.result.missing_ports
    paths = [one.path for _, one in case.plan.collected if one.port in ports]
    sentence = "MissingOutputException: the task completed without its output "
    return Finding(Reason.OUTPUTS, f"{sentence}{some(paths or ports)}.")


def not_stored() -> Finding:
    """The platform could not take what the command made."""
    return Finding(
        Reason.OUTPUTS,
        "the command succeeded, but the platform could not store its outputs.",
        "It stores regular files and folders, with names in Unicode. Have the command make "
        "such ones, or a tar file.",
    )


def changed_input(case: Case) -> Finding:
    """The command wrote to an input."""
    how = f"{ending(case)}, and changed" if case.failed_by_itself else "the command changed"
    sentence = f"{how} one of its inputs, which are read-only on the platform."
    return Finding(Reason.COMMAND, sentence, COPY_INPUTS)


# ------------------------------------------------------------------------------- parts of sentences


def _instead(plan: JobPlan, report: JobReport) -> str:
    """What a command made that its rule does not declare."""
    of_members = [output for member in plan.members for output in member.outputs]
    outputs = [*plan.outputs, *of_members]
    declared = {output.path for output in outputs}
    folders = tuple(f"{output.path}/" for output in outputs if output.folder)
    made = [
        name for name in report.undeclared if name not in declared and not name.startswith(folders)
    ]
    return f" It made {some([plain(name) for name in made])}." if made else ""


def _asked(plan: JobPlan) -> str:
    """What a job wants of its machine."""
    resources, instance = plan.resources, plan.settings.instance
    wanted = [f"{resources.cores} threads"]
    if resources.memory_mib is not None:
        wanted.append(f"{resources.memory_mib} MiB of memory")
    if instance is not None:
        wanted.append(f"the instance type {one_line(instance)}")
    return " and ".join(wanted)


def ending(case: Case) -> str:
    """How the command ended, in the words of its exit status."""
    status = case.exit_status
    if status is None:
        return "the command was ended"
    name = signal_of(status)
    if name is not None:
        return f"the command was ended by signal {name} (exit status {status})"
    return f"the command failed with exit status {status}"


def _limit(case: Case) -> str:
    minutes = case.plan.resources.runtime_minutes
    return f"its runtime of {minutes} minutes" if minutes else "the platform allows"


def _time_limit(case: Case, sentence: str) -> Finding:
    has_limit = bool(case.plan.resources.runtime_minutes)
    return Finding(Reason.TIME_LIMIT, sentence, _MORE_TIME if has_limit else "")


def _about_image(plan: JobPlan, finding: Finding) -> Finding:
    """With what an image needs, if there is one."""
    if not plan.in_container:
        return finding
    return replace(finding, advice=f"{_SCRIPT_NEEDS} {finding.advice}".rstrip())


def paths(outputs: Sequence[PlannedOutput], indices: Sequence[int]) -> str:
    """Outputs by their numbers; empty if there are none."""
    known = (index for index in dict.fromkeys(indices) if index < len(outputs))
    return some([_called(outputs[index]) for index in known])


def _by_name(plan: JobPlan, report: JobReport) -> str:
    """How a command gets at the path of an output that has another one in the task."""
    outputs = outputs_of(plan, report)
    missing = [outputs[index] for index in report.missing if index < len(outputs)]
    differ = any(_called(output) != output.path for output in missing)
    return ", and takes them from {output}: a path that it spells out is another one" * differ


def _called(output: PlannedOutput) -> str:
    """An output as the rule declares it, with its path in the task where that is another one."""
    declared = output.place.path
    is_own = isinstance(output.place, LocalPath) and posixpath.normpath(declared) != output.path
    return f"{declared} ({output.path} in the task)" if is_own else output.path
