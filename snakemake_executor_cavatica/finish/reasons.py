"""Which of the reasons it is that a job failed for, from all that the platform gives. Pure.

What the job script reports is certain, so it comes first; then comes what the platform says
(`phrases.py`); what only an exit status suggests comes last, and is told as what it is.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from typing import TypeVar

from ..api.models import TaskStatus
from ..plan.plan import JobPlan, Mode, StagedInput
from ..plan.smaller_disk import is_nearly_full
from ..project.paths import ProjectPath
from ..read.facts import WorkflowFile
from ..watch.outcome import Failed, Lost
from . import advice, phrases, wording
from .evidence import KILLED, NOT_EXECUTED, STOPPED, Case, Evidence, Finding, Reason, signal_of
from .foreign_text import is_named
from .member import outputs_of

File = TypeVar("File", StagedInput, WorkflowFile)


def recognise(plan: JobPlan, result: Failed | Lost, evidence: Evidence) -> Finding:
    """Why a task ended without success.

    From what is certain to what is likely. A command that is known to have failed by itself was
    not ended by the platform, whatever else happened to its task; and an exit status that speaks
    of want of memory counts only if the platform gives no other reason to kill the command.
    """
    if isinstance(result, Lost):
        return wording.lost(result.reason)
    case = Case(plan, result, evidence)
    for judge in (_by_status, _by_script, _by_space, _by_platform, _by_time, _by_exit_status):
        finding = judge(case)
        if finding is not None:
            return finding
    return _unexplained(case)


def may_miss_a_file(plan: JobPlan, result: Failed, evidence: Evidence) -> bool:
    """Whether it is worth asking what earlier tasks have left undeclared."""
    case = Case(plan, result, evidence)
    return (
        recognise(plan, result, evidence).reason is Reason.COMMAND
        and not case.lacks_program
        and bool(case.last_words(phrases.NO_FILE_WORDS))
    )


def _by_status(case: Case) -> Finding | None:
    if phrases.SPOT_LOST.search(case.told) and not case.failed_by_itself:
        return wording.spot_loss()
    if case.result.status == TaskStatus.ABORTED:
        return wording.aborted()
    if case.result.status == TaskStatus.DRAFT:
        return wording.not_started()
    return None


def _by_script(case: Case) -> Finding | None:
    """What the job script knows for sure; a full disk explains better why it could not go on."""
    if finding := _in_outputs(case):
        return finding
    if case.report.error and not case.last_words(phrases.NO_SPACE_WORDS):
        return wording.not_run(case.report.error)
    # A packed job whose command failed has no outputs either.
    if case.result.missing_ports and not case.report.exit_status:
        return wording.without_outputs(case)
    return None


def _in_outputs(case: Case) -> Finding | None:
    """What the script found wrong with the outputs of a command that succeeded."""
    plan, report = case.plan, case.report
    outputs = outputs_of(plan, report)
    if paths := wording.paths(outputs, report.missing):
        return wording.not_made(plan, report, paths)
    if paths := wording.paths(outputs, report.folders):
        return wording.wrong_output(paths, "is a folder; declare it with directory()")
    if paths := wording.paths(outputs, report.plain_files):
        return wording.wrong_output(paths, "is a file; declare it without directory()")
    if paths := wording.paths(outputs, report.empty):
        return wording.wrong_output(paths, "is empty (ensure())")
    if paths := wording.paths(outputs, report.wrong_checksum):
        return wording.wrong_output(paths, "has another checksum than the rule ensures")
    return None


def _by_space(case: Case) -> Finding | None:
    """A full disk: also one that an image was too large for, so this comes before images."""
    if phrases.NO_RESPONSE.search(case.told):
        return None
    if phrases.NO_SPACE.search(case.told):
        return wording.disk_full()
    if case.report.exit_status != 0 and (words := case.last_words(phrases.NO_SPACE_WORDS)):
        return wording.says_disk_full(case, words)
    if case.report.exit_status and is_nearly_full(case.plan, case.report.measured.peak_disk_mib):
        return wording.disk_nearly_full(case)
    return None


def _by_platform(case: Case) -> Finding | None:
    """What the platform says itself."""
    told = case.told
    if not case.began and (finding := _before_the_start(case)):
        return finding
    if phrases.CHANGED_INPUT.search(told):
        return wording.changed_input(case)
    if phrases.TOO_LONG.search(told):
        return wording.too_long(case)
    if phrases.NO_MEMORY.search(told) and not phrases.NO_RESPONSE.search(told):
        if case.exit_status == KILLED:
            return wording.killed()
        return wording.out_of_memory(is_sure=not phrases.UNSURE.search(told))
    return None if case.failed_by_itself else _by_fault_of_platform(case)


def _before_the_start(case: Case) -> Finding | None:
    """Why a task never came to its command."""
    if phrases.NO_IMAGE.search(case.told):
        return wording.no_image(case)
    if phrases.NO_INSTANCE.search(case.told):
        return wording.no_instance(case.plan)
    if phrases.NO_INPUT.search(case.told):
        return wording.no_input(case.evidence.inputs)
    return None


def _by_fault_of_platform(case: Case) -> Finding | None:
    """What the platform says of a command that did not fail by itself."""
    told = case.told
    if phrases.BY_USER.search(told):
        return wording.aborted()
    if phrases.NO_RESPONSE.search(told):
        return wording.no_response()
    if phrases.INSTANCE_LOST.search(told):
        if case.interruptible:
            return wording.spot_loss()
        return wording.fault_of_platform("the instance was lost.")
    if phrases.NOT_STORED.search(told) or (case.began and phrases.NOT_COLLECTED.search(told)):
        return wording.not_stored()
    if phrases.OWN_FAULT.search(told):
        return wording.fault_of_platform(
            "the platform failed the task, and names no fault of the job."
        )
    return None


def _by_time(case: Case) -> Finding | None:
    """A time limit that the platform kept without a word."""
    minutes, seconds = case.plan.resources.runtime_minutes, case.evidence.seconds
    if not minutes or seconds is None or seconds < minutes * 60:
        return None
    if case.exit_status is not None and case.exit_status not in STOPPED:
        return None
    return wording.stopped_after(case, seconds)


def _by_exit_status(case: Case) -> Finding | None:
    status = case.exit_status
    if status is None or (status == 0 and not case.began):
        return None
    if not case.began and case.report.stderr.strip() and signal_of(status) is None:
        return wording.no_script(case)
    if status == 0:
        return wording.platform(
            "the command succeeded, but the platform failed the task afterwards."
        )
    if status == KILLED:
        return wording.killed()
    if words := case.last_words(phrases.NO_MEMORY_WORDS):
        return wording.failed_without_memory(case, words)
    return Finding(Reason.COMMAND, f"{wording.ending(case)}.", _advice(case))


def _advice(case: Case) -> str:
    """What to do about a command that failed, as far as its status and its words suggest it."""
    if case.exit_status == NOT_EXECUTED:
        program = next(
            _forbidden(case, [one for one in case.plan.facts.inputs if not one.executable]), None
        )
        return advice.not_executable(program) if program else advice.NOT_EXECUTABLE
    if case.lacks_program:
        return advice.no_program(case.plan)
    if case.plan.mode is Mode.SNAKEMAKE and case.last_words(phrases.NOT_IMPORTED):
        return advice.not_imported(case.plan)
    if case.plan.mode is Mode.SNAKEMAKE and case.last_words(phrases.NOT_PARSED):
        return advice.not_parsed(case.plan)
    if any(_forbidden(case, [one for one in case.plan.inputs if one.method == "link"])):
        return f"Inputs are read-only. {advice.COPY_INPUTS}"
    if case.evidence.side_files:
        return advice.undeclared(case.evidence.side_files)
    if not case.last_words(phrases.NO_SUCH_FILE_WORDS):
        return ""
    is_stored = any(isinstance(one.place, ProjectPath) for one in case.plan.outputs)
    return advice.ONLY_DECLARED + advice.NOT_SPELLED_OUT * is_stored


def _forbidden(case: Case, files: Iterable[File]) -> Iterator[File]:
    """Those to which the system kept the command from writing, or which it did not execute, by what
    was written of it.
    """
    lines = [line for text in case.ends for line in text.splitlines()]
    refused = "\n".join(line for line in lines if phrases.FORBIDDEN_WORDS.search(line))
    return (file for file in files if is_named(posixpath.basename(file.path), refused))


def _unexplained(case: Case) -> Finding:
    """Without a reason that is known: say what is."""
    if not case.began and phrases.NO_IMAGE.search(case.report.stderr):
        return wording.no_image(case)
    if words := case.last_words(phrases.NO_MEMORY_WORDS):
        return wording.says_no_memory(words)
    is_spot = case.interruptible and case.names_no_cause
    spot = " It was to run on a spot instance, which may be gone." if is_spot else ""
    if case.began or case.report.stderr.strip() or case.evidence.trouble:
        return wording.platform(f"the platform ended the task before the command did.{spot}")
    if not case.names_no_cause:
        return wording.platform(
            "the platform failed the task; its own words are all that is known."
        )
    return wording.no_trace(case.plan, spot)
