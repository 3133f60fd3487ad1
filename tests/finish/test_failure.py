"""What a user is told of a failed job, and which reason the executor gets to know."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from translated_jobs import local, plan, read_report

from snakemake_executor_cavatica.api import Client, ExecutionDetails, NoAnswer, TaskJob
from snakemake_executor_cavatica.finish import failure
from snakemake_executor_cavatica.finish.evidence import Evidence, Reason, SideFile
from snakemake_executor_cavatica.finish.failure import diagnose
from snakemake_executor_cavatica.finish.message import STDERR_LINES, describe
from snakemake_executor_cavatica.finish.reasons import recognise
from snakemake_executor_cavatica.finish.stderr import LOGS_FOLDER, stderr_file
from snakemake_executor_cavatica.in_task.names import TAG
from snakemake_executor_cavatica.plan.plan import RUNS_HERE, JobPlan
from snakemake_executor_cavatica.plan.smaller_disk import on_instance
from snakemake_executor_cavatica.project.paths import ProjectPath
from snakemake_executor_cavatica.translate.measured import Measured
from snakemake_executor_cavatica.translate.task_report import JobReport
from snakemake_executor_cavatica.watch.outcome import Failed, Lost

PLAN = plan(outputs=[local("a"), local("b")], wildcards={"sample": "A"})
LIMITED = plan(resources={"runtime": 60})
SPOT = plan(resources={"cavatica_interruptible": True})
OWN_IMAGE = plan(container="docker://ghcr.io/me/tool:1")
UNUSED = plan(software_unused=("conda", "env-modules"))
HERE = plan(defaults={"in_containers": False})
WITH_INPUT = plan(inputs=[local("in/reads.fq")], resources={"cavatica_inputs": "link"})
IN_SNAKEMAKE = plan(None, directive="run")
LINK = "https://cavatica/tasks/1"
FAILED = Failed("Tool failed.")
ABORTED = Failed("The task was aborted.", status="ABORTED")

NAME_PROGRAM = "or let the command name what runs it, as in `python {input.script}`."
MORE_MEMORY = "Give the rule more mem_mb; with retries and attempt it can grow by itself."
MORE_DISK = "Give the rule more disk_mb, or let its disk grow (cavatica_use_elastic_disk)."
MORE_TIME = "Give the rule a longer runtime; with retries and attempt it can grow by itself."
SUPPORT = (
    "Try again (--retries does by itself); if it goes on, ask the support of the platform and name "
    "the task."
)
SCRIPT_NEEDS = (
    "Check the image: it needs sh, and its entrypoint, if it has one, has to run the command that "
    "it is given."
)
COPY = (
    'Have it write to a copy: cavatica_inputs="copy" as a resource of the rule, or '
    "--cavatica-inputs copy for all."
)
GIVE_AGAIN = (
    "If the file is there but damaged, delete it on the platform. The next run uploads it again, "
    "or makes it again if a rule does."
)
KILLED = f"the command was killed (exit status 137), most likely for want of memory. {MORE_MEMORY}"
TAKEN = (
    "the spot instance of the task was taken away. Nothing is wrong with the job. Try again, or "
    "on demand (cavatica_interruptible=false)."
)


def said(text: str, status: int | None = 1) -> Evidence:
    """The job wrote this to stderr."""
    return Evidence(JobReport(status, stderr=text, started=True))


def ran(*values: Any, **more: Any) -> Evidence:
    return Evidence(replace(JobReport(*values, **more), started=True))


def side(path: str, *, named: bool) -> SideFile:
    return SideFile(path, "map [sample=B]", "https://cavatica/tasks/2", "x.bam", named)


def missing(*files: SideFile) -> Evidence:
    return replace(said("cat: x.bai: No such file or directory\n"), side_files=files)


CAUSES: dict[str, tuple[Reason, JobPlan, Failed | Lost, Evidence]] = {
    "the task does not exist on the platform any more (was it deleted?). Run Snakemake again, or "
    "use --retries: a new task.": (
        Reason.LOST,
        PLAN,
        Lost("the task does not exist on the platform any more (was it deleted?)"),
        Evidence(),
    ),
    "MissingOutputException: the command succeeded, but did not make its output a, b. Check that "
    "it writes to the paths that the rule declares.": (
        Reason.OUTPUTS,
        PLAN,
        FAILED,
        ran(1, missing=[0, 1]),
    ),
    "the output b is a folder; declare it with directory().": (
        Reason.OUTPUTS,
        PLAN,
        FAILED,
        ran(1, folders=[1]),
    ),
    "the output b is a file; declare it without directory().": (
        Reason.OUTPUTS,
        PLAN,
        FAILED,
        ran(1, plain_files=[1]),
    ),
    "the output a is empty (ensure()).": (Reason.OUTPUTS, PLAN, FAILED, ran(1, empty=[0])),
    "the output a has another checksum than the rule ensures.": (
        Reason.OUTPUTS,
        PLAN,
        FAILED,
        ran(1, wrong_checksum=[0]),
    ),
    "the job could not be run as it should: the precommand failed.": (
        Reason.SETUP,
        PLAN,
        FAILED,
        ran(1, "the precommand failed"),
    ),
    "MissingOutputException: the task completed without its output bam.": (
        Reason.OUTPUTS,
        PLAN,
        Failed("x", ("bam",), "COMPLETED"),
        ran(0),
    ),
    KILLED: (Reason.OUT_OF_MEMORY, PLAN, FAILED, ran(137)),
    "the command failed with exit status 3.": (Reason.COMMAND, PLAN, FAILED, ran(3)),
    "the command was ended by signal SIGSEGV (exit status 139).": (
        Reason.COMMAND,
        PLAN,
        FAILED,
        ran(139),
    ),
    "the command was ended by signal SIGTERM (exit status 143).": (
        Reason.COMMAND,
        PLAN,
        FAILED,
        ran(143),
    ),
    "the command failed with exit status 255.": (Reason.COMMAND, PLAN, FAILED, ran(255)),
    "the command failed with exit status 127. A program was not found: name an image that has it, "
    "by container or --cavatica-container-image.": (Reason.COMMAND, PLAN, FAILED, ran(127)),
    "the command failed with exit status 127. A program was not found: check the rule's "
    "container.": (Reason.COMMAND, OWN_IMAGE, FAILED, ran(127)),
    "the command failed with exit status 127. A program was not found: the rule's own software "
    "takes --software-deployment-method conda env-modules.": (
        Reason.COMMAND,
        UNUSED,
        FAILED,
        ran(127),
    ),
    "the command failed with exit status 1. A program was not found: the rule's own software takes "
    f"--software-deployment-method conda. {RUNS_HERE}": (
        Reason.COMMAND,
        plan(software_unused=("conda",), defaults={"in_containers": False}),
        FAILED,
        said("Error in library(x) : there is no package called 'x'\n"),
    ),
    f"the command failed with exit status 127. A program was not found: install it beside "
    f"Snakemake. {RUNS_HERE}": (Reason.COMMAND, HERE, FAILED, ran(127)),
    "the command failed with exit status 126. A program cannot be executed: is it made for this "
    "kind of machine, is it executable?": (
        Reason.COMMAND,
        plan(inputs=[local("x.sh", executable=True), local("y.sh")]),
        FAILED,
        said("sh: 1: ./x.sh: Permission denied", 126),
    ),
    "the command failed with exit status 126. Its input in/reads.fq is not executable. Make it "
    f"executable here, {NAME_PROGRAM}": (
        Reason.COMMAND,
        WITH_INPUT,
        FAILED,
        said("in/reads.fq: Permission denied", 126),
    ),
    "the command failed with exit status 126. Its input bin/x.sh is not executable. Files on the "
    f"platform have no permissions: {NAME_PROGRAM.removeprefix('or ')}": (
        Reason.COMMAND,
        plan(inputs=[replace(local("bin/x.sh"), place=ProjectPath("me/project", "bin/x.sh"))]),
        FAILED,
        said("sh: 1: bin/x.sh: Permission denied", 126),
    ),
    f"the command failed with exit status 1. Inputs are read-only. {COPY}": (
        Reason.COMMAND,
        WITH_INPUT,
        FAILED,
        said("sh: 1: cannot create in/reads.fq: Permission denied\n"),
    ),
    "the command failed with exit status 2.": (
        Reason.COMMAND,
        WITH_INPUT,
        FAILED,
        said("in/my.reads.fq.gz: Permission denied\n", 2),
    ),
    f"the command changed one of its inputs, which are read-only on the platform. {COPY}": (
        Reason.COMMAND,
        PLAN,
        Failed("The task changed its input files, which are read-only."),
        ran(0),
    ),
    "the command failed with exit status 3, and changed one of its inputs, which are read-only on "
    f"the platform. {COPY}": (
        Reason.COMMAND,
        PLAN,
        Failed("Inputs are read-only."),
        ran(3),
    ),
    "the command failed with exit status 1. A task has only what its rule declares as input, and "
    "the workflow's own files. What another job made has to be declared as an output there, and as "
    "an input here.": (
        Reason.COMMAND,
        PLAN,
        FAILED,
        said("FileNotFoundError: [Errno 2] No such file or directory: 'x.bai'\n"),
    ),
    "the command failed with exit status 1. map [sample=B] (https://cavatica/tasks/2) made x.bai, "
    "y.bai beside its output x.bam, and does not declare it: only declared files leave a task. "
    "Declare it as an output there, and as an input here.": (
        Reason.COMMAND,
        PLAN,
        FAILED,
        missing(side("x.bai", named=True), side(".snakemake/storage/fs/y.bai", named=True)),
    ),
    "the command failed with exit status 1. If it misses a file: map [sample=B] "
    "(https://cavatica/tasks/2) made x.bai beside its output x.bam, and does not declare it: only "
    "declared files leave a task. Declare it as an output there, and as an input here.": (
        Reason.COMMAND,
        PLAN,
        FAILED,
        missing(side("x.bai", named=False)),
    ),
    "MissingOutputException: the command succeeded, but did not make its output a. Check that it "
    "writes to the paths that the rule declares. It made c, d e.": (
        Reason.OUTPUTS,
        PLAN,
        FAILED,
        ran(1, missing=[0], undeclared=["b", "c", "d\x1b[2J\te"]),
    ),
    "the platform has no instance for 96 threads. Give the rule fewer threads or less mem_mb, or "
    "name an instance type that is large enough (cavatica_instance_type).": (
        Reason.INSTANCE,
        plan(threads=96),
        Failed("No instance for the task: no instance has 96 cores and 1024 MiB of memory."),
        Evidence(),
    ),
    "the platform has no instance for 16 threads and 954 MiB of memory and the instance type "
    "c4.large;ebs-gp2;10. Give the rule fewer threads or less mem_mb, or name an instance type "
    "that is large enough (cavatica_instance_type).": (
        Reason.INSTANCE,
        plan(
            threads=16,
            resources={"cavatica_instance_type": "c4.large;ebs-gp2;10", "mem_mb": 1000},
        ),
        Failed("the instance type c4.large is too small: 16 cores are required"),
        Evidence(),
    ),
    "the command failed with exit status 3, and its disk of 60 GB was nearly full. Give the rule "
    "more disk_mb, or let its disk grow (cavatica_use_elastic_disk).": (
        Reason.DISK_FULL,
        on_instance(PLAN, "c5.large;ebs-gp2;60"),
        FAILED,
        ran(3, measured=Measured(peak_disk_mib=52_000, exit_status=3)),
    ),
    f"the platform could not give the task one of its inputs. {GIVE_AGAIN}": (
        Reason.INPUT,
        SPOT,
        Failed("The content of the file 0123 is in quarantine."),
        Evidence(),
    ),
    f"the platform could not give the task its input reads.fq (0123). {GIVE_AGAIN}": (
        Reason.INPUT,
        SPOT,
        Failed("The input file reads.fq (0123) is lost: a task has changed the content."),
        Evidence(inputs={"0123": "reads.fq"}),
    ),
    "the command succeeded, but the platform could not store its outputs. It stores regular "
    "files and folders, with names in Unicode. Have the command make such ones, or a tar file.": (
        Reason.OUTPUTS,
        SPOT,
        Failed("The outputs could not be stored: The output's name 'a' is not valid Unicode."),
        Evidence(),
    ),
    f"the platform failed the task; its own words are all that is known. {SUPPORT}": (
        Reason.PLATFORM,
        SPOT,
        Failed("The moon is in the wrong phase."),
        Evidence(),
    ),
    "the platform ended the task, and left no trace of its command. It was to run on a spot "
    f"instance, which may be gone. {SUPPORT}": (
        Reason.PLATFORM,
        replace(SPOT, in_container=False),
        FAILED,
        Evidence(),
    ),
    "the task was ended, most likely for want of memory, by what the platform says. "
    f"{MORE_MEMORY}": (
        Reason.OUT_OF_MEMORY,
        PLAN,
        Failed("Tool was ended by signal SIGKILL, possibly out of memory."),
        ran(),
    ),
    f"the command succeeded, but the platform failed the task afterwards. {SUPPORT}": (
        Reason.PLATFORM,
        PLAN,
        FAILED,
        ran(0),
    ),
    f"the platform ended the task before the command did. {SUPPORT}": (
        Reason.PLATFORM,
        PLAN,
        FAILED,
        ran(),
    ),
    "the job's script did not start.": (
        Reason.SETUP,
        HERE,
        Failed("Tool failed with exit code 1."),
        Evidence(JobReport(stderr="cat: can't open 'sh': No such file or directory\n")),
    ),
    f"the job's script did not start in the image snakemake/snakemake:v9. {SCRIPT_NEEDS}": (
        Reason.SETUP,
        PLAN,
        Failed("Tool failed with exit code 1."),
        Evidence(JobReport(stderr="cat: can't open 'sh': No such file or directory\n")),
    ),
    f"the platform ended the task, and left no trace of its command. {SCRIPT_NEEDS} {SUPPORT}": (
        Reason.PLATFORM,
        PLAN,
        FAILED,
        Evidence(),
    ),
    "the platform ended the task, and left no trace of its command. It was to run on a spot "
    f"instance, which may be gone. {SCRIPT_NEEDS} {SUPPORT}": (
        Reason.PLATFORM,
        SPOT,
        FAILED,
        Evidence(),
    ),
    "the command failed with exit status 1, and says 'No space left on device'. " + MORE_DISK: (
        Reason.DISK_FULL,
        PLAN,
        FAILED,
        said("cat: write error: No space left on device\n"),
    ),
    "the command failed with exit status 1, most likely for want of memory: its stderr or log "
    f"says 'std::bad_alloc'. {MORE_MEMORY}": (
        Reason.OUT_OF_MEMORY,
        PLAN,
        FAILED,
        ran(1, logs={1: "terminate called after throwing an instance of 'std::bad_alloc'\n"}),
    ),
    "the command was ended, most likely for want of memory: it says 'oom-kill'. " + MORE_MEMORY: (
        Reason.OUT_OF_MEMORY,
        PLAN,
        FAILED,
        said("oom-kill: x", None),
    ),
    "the command was stopped after 60 minutes, most likely because of its runtime of 60 minutes. "
    + MORE_TIME: (
        Reason.TIME_LIMIT,
        LIMITED,
        FAILED,
        Evidence(JobReport(started=True), seconds=3601.0),
    ),
    "the platform did not start the task, which is a draft again. Its page says what is wrong "
    "with it.": (Reason.NOT_STARTED, PLAN, Failed("x", status="DRAFT"), Evidence()),
    "the task was aborted, and not by this run of Snakemake. If nobody meant to, run Snakemake "
    "again.": (Reason.ABORTED, PLAN, ABORTED, ran(137)),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_is_told_in_its_own_words(cause: str) -> None:
    reason, job, result, evidence = CAUSES[cause]
    lines = describe(job, LINK, result, evidence).splitlines()
    assert lines[:2] == [
        f"{job.title}: {cause}",
        f"Task: {LINK} (platform: {result.reason})",
    ]
    assert recognise(job, result, evidence).reason is reason


def test_each_reason_is_tested() -> None:
    told = {reason for reason, *_ in [*CAUSES.values(), *MESSAGES]}
    assert told == set(Reason)


# What the platform says, with what is known beside that. Documented, seen and guessed: see the
# docstring of the module.
MESSAGES: list[tuple[Reason, str, JobPlan, Evidence]] = [
    (Reason.SPOT_LOSS, "The task's spot instance was lost.", PLAN, Evidence()),
    (Reason.SPOT_LOSS, "The task's spot instance was lost.", PLAN, ran()),
    (Reason.SPOT_LOSS, "Spot Instance is terminated", PLAN, ran(137)),
    (Reason.SPOT_LOSS, "Spot instance interruption", PLAN, ran(143)),
    (Reason.SPOT_LOSS, "Job failed: terminated spot instance i-0abc.", PLAN, Evidence()),
    (Reason.SPOT_LOSS, "SPOT_INSTANCE_TERMINATED", PLAN, Evidence()),
    (Reason.SPOT_LOSS, "The preemptible VM was preempted by the cloud.", PLAN, Evidence()),
    (Reason.SPOT_LOSS, "Loss of the spot instance", PLAN, ran(0)),
    (Reason.SPOT_LOSS, "Instance was terminated.", SPOT, ran(137)),
    (Reason.PLATFORM, "Instance was terminated.", PLAN, ran()),
    (Reason.PLATFORM, "Instance stops responding", SPOT, ran()),
    (Reason.PLATFORM, "Memory or hard disk exhaustion", PLAN, ran()),
    (Reason.PLATFORM, "Internal error.", PLAN, Evidence()),
    (Reason.PLATFORM, "The platform was stopped while the task was running.", PLAN, ran()),
    (Reason.PLATFORM, "Failed to create Docker container.", PLAN, Evidence()),
    (Reason.COMMAND, "Spot Instance is terminated; retried on demand. Exit code 2", PLAN, ran(2)),
    (Reason.COMMAND, "Docker image not found", PLAN, ran(2)),
    (Reason.COMMAND, "Use Spot Instances: on. Tool failed", SPOT, ran(2)),
    (Reason.COMMAND, "Tool failed with exit code 4.", PLAN, Evidence()),
    (Reason.OUT_OF_MEMORY, "Tool failed with exit code 137.", PLAN, Evidence()),
    (Reason.OUT_OF_MEMORY, "Insufficient memory", PLAN, Evidence()),
    (Reason.OUT_OF_MEMORY, "OUT_OF_MEMORY", PLAN, Evidence()),
    (Reason.OUT_OF_MEMORY, "Container was OOMKilled", PLAN, ran()),
    (Reason.OUT_OF_MEMORY, "The job exceeded the memory of the instance.", PLAN, ran(1)),
    (
        Reason.OUT_OF_MEMORY,
        "Tool was ended by signal SIGKILL, possibly out of memory.",
        PLAN,
        ran(),
    ),
    (Reason.DISK_FULL, "Insufficient disk space: no space left on device.", PLAN, Evidence()),
    (Reason.DISK_FULL, "Disk is full", PLAN, ran(0)),
    (
        Reason.DISK_FULL,
        "Failed to pull x/y:1: failed to register layer: write /z: no space left on device",
        PLAN,
        Evidence(),
    ),
    (Reason.IMAGE, "Failed to pull ubuntu:none", PLAN, Evidence()),
    (Reason.IMAGE, "Docker image not found", PLAN, Evidence()),
    (Reason.IMAGE, "Docker image x/y:1 not found", OWN_IMAGE, Evidence()),
    (Reason.IMAGE, "pull access denied for x, repository does not exist", PLAN, Evidence()),
    (Reason.IMAGE, "manifest for a/b:c not found: manifest unknown", IN_SNAKEMAKE, Evidence()),
    (
        Reason.IMAGE,
        "Image a/b was not found and could not be pulled: Error: initializing source",
        PLAN,
        Evidence(),
    ),
    (Reason.IMAGE, "Tool failed.", PLAN, Evidence(JobReport(stderr="no such image: a/b:1"))),
    (Reason.INPUT, "The input file 0123 does not exist any more.", SPOT, Evidence()),
    (Reason.INPUT, "Failed to download the input files.", PLAN, Evidence()),
    (Reason.INSTANCE, "There is no instance type 'c0.large'", PLAN, Evidence()),
    (Reason.PLATFORM, "No instance is available: insufficient capacity", PLAN, Evidence()),
    (Reason.OUTPUTS, "Error collecting output for parameter 'output_0'", PLAN, ran(0)),
    (Reason.PLATFORM, "Error collecting output for parameter 'output_0'", PLAN, Evidence()),
    (Reason.COMMAND, "The task changed its input files, which are read-only.", PLAN, ran()),
    (Reason.TIME_LIMIT, "Tool exceeded its time limit of 60 seconds.", LIMITED, ran(143)),
    (Reason.TIME_LIMIT, "The task exceeded the maximum execution time.", PLAN, ran(1)),
    (Reason.TIME_LIMIT, "exceeded time limit of 5 seconds and will be terminated", PLAN, ran()),
    (Reason.ABORTED, "Task aborted by the user", PLAN, ran(137)),
]


@pytest.mark.parametrize(
    ("reason", "message", "job", "evidence"), MESSAGES, ids=[one[1] for one in MESSAGES]
)
def test_the_platforms_words_are_understood(
    reason: Reason, message: str, job: JobPlan, evidence: Evidence
) -> None:
    assert recognise(job, Failed(message), evidence).reason is reason
    quiet = replace(evidence, message=message)
    assert recognise(job, Failed("The task failed."), quiet).reason is reason


@pytest.mark.parametrize(
    ("message", "may_pass"),
    [
        ("Internal error.", True),
        ("The instance was terminated.", True),
        ("No instance is available: insufficient capacity", True),
        ("Instance stops responding", False),
        ("The output could not be stored", False),
        ("The task failed.", False),
    ],
)
def test_only_what_the_platform_calls_its_own_fault_is_worth_another_try(
    message: str, may_pass: bool
) -> None:
    """The rest may be the job's all the same, and would be paid twice."""
    assert recognise(PLAN, Failed(message), Evidence()).may_pass is may_pass


@pytest.mark.parametrize(
    ("known", "reason"),
    [(True, Reason.SPOT_LOSS), (False, Reason.PLATFORM), (None, Reason.PLATFORM)],
)
def test_a_lost_instance_is_a_spot_instance_only_if_the_task_was_to_have_one(
    known: bool | None, reason: Reason
) -> None:
    result = Failed("The instance was terminated.", interruptible=known)
    assert recognise(PLAN, result, Evidence()).reason is reason


@pytest.mark.parametrize("message", ["Spot Instance is terminated", "Task aborted by the user"])
def test_a_command_that_the_platform_killed_had_memory_enough(message: str) -> None:
    assert "memory" not in describe(PLAN, LINK, Failed(message), ran(137))


def test_an_aborted_task_may_still_have_lost_its_spot_instance() -> None:
    result = Failed("The spot instance was terminated.", status="ABORTED")
    assert recognise(PLAN, result, Evidence()).reason is Reason.SPOT_LOSS


@pytest.mark.parametrize(
    "text",
    ["checking for disk space", "sorting in memory", "out of memory, using disk instead", "killed"],
)
def test_a_program_may_speak_of_memory_and_disks(text: str) -> None:
    assert recognise(PLAN, FAILED, said(f"{text}\n")).reason is Reason.COMMAND


def test_words_long_before_the_end_are_no_reason() -> None:
    text = "No space left on device: trying elsewhere\n" + "working\n" * 200
    assert recognise(PLAN, FAILED, said(text)).reason is Reason.COMMAND
    assert recognise(PLAN, FAILED, said(text, 0)).reason is Reason.PLATFORM


def test_a_full_disk_explains_what_the_script_could_not_do() -> None:
    report = JobReport(1, "cannot copy in", stderr="cp: No space left on device", started=True)
    assert recognise(PLAN, FAILED, Evidence(report)).reason is Reason.DISK_FULL


@pytest.mark.parametrize("seconds", [None, 0.0, 3599.0])
def test_no_time_limit_is_blamed_before_its_time(seconds: float | None) -> None:
    evidence = Evidence(JobReport(143, started=True), seconds=seconds)
    assert recognise(LIMITED, FAILED, evidence).reason is Reason.COMMAND


def test_a_command_that_fails_late_by_itself_has_not_reached_its_time_limit() -> None:
    evidence = Evidence(JobReport(2, started=True), seconds=9999.0)
    assert recognise(LIMITED, FAILED, evidence).reason is Reason.COMMAND


@pytest.mark.parametrize(
    ("job", "setting"),
    [
        (PLAN, "(--cavatica-container-image)"),
        (OWN_IMAGE, "(container)"),
        (IN_SNAKEMAKE, "(--container-image)"),
    ],
)
def test_an_image_is_named_with_where_it_comes_from(job: JobPlan, setting: str) -> None:
    finding = recognise(job, Failed("Docker image not found"), Evidence())
    assert f"the image {job.image} could" in finding.sentence
    assert setting in finding.advice


# ------------------------------------------------------------------------------------- wording


def test_the_end_of_stderr_is_shown() -> None:
    report = JobReport(1, stderr="\n".join(f"line {n}" for n in range(100)) + "\n\n")
    shown = describe(PLAN, LINK, FAILED, Evidence(report)).splitlines()[3:]
    assert shown == [f"    line {n}" for n in range(100 - STDERR_LINES, 100)]


@pytest.mark.parametrize("file", ["snakemake_command.sh", "snakemake_command.sh.filled"])
@pytest.mark.parametrize("depth", [1, 40])
def test_what_a_shell_says_is_shown_without_the_path_of_its_file(file: str, depth: int) -> None:
    said = "line 2: /opt/tools/rsem: cannot execute: required file not found"
    stderr = f"/sbgenomics/{'workspaces/' * depth}{file}: {said}\nsnakemake_command.sh: {said}"
    message = describe(PLAN, LINK, FAILED, Evidence(read_report(stderr)))
    assert message.count(f"    command: {said}") == 2
    assert "workspaces" not in message


def test_a_long_line_keeps_its_beginning_and_its_end() -> None:
    line = f"Error: {'x' * 5000} is not a FASTA file"
    message = describe(PLAN, LINK, FAILED, Evidence(read_report(line)))
    (shown,) = [line for line in message.splitlines() if "Error: " in line]
    assert shown.startswith("    Error: xx")
    assert shown.endswith("xx is not a FASTA file")
    assert len(shown) <= 4 + 300


def test_nothing_of_the_scripts_own_lines_is_left() -> None:
    stderr = (
        f"{TAG} started\nsaid{TAG} missing-output 0\n{TAG} log 1\nthe log\n{TAG} end-log 1\n"
        f"{TAG} log 0\ncut off\n{TAG} error x\n{TAG} exit-status 1\n"
    )
    message = describe(PLAN, LINK, FAILED, Evidence(read_report(stderr)))
    assert TAG not in message
    assert "    said" in message
    assert "the log" not in message


reports = st.builds(
    JobReport,
    st.none() | st.integers(0, 255),
    st.none() | st.text(max_size=5),
    *[st.lists(st.integers(0, 5), max_size=3)] * 4,
)


@given(reports)
def test_numbers_of_outputs_that_do_not_exist_are_passed_over(report: JobReport) -> None:
    message = describe(PLAN, LINK, FAILED, Evidence(report))
    assert "output ." not in message
    assert "output  " not in message


def test_an_output_is_named_once() -> None:
    assert "its output a. " in describe(PLAN, LINK, FAILED, ran(1, missing=[0, 0]))


@pytest.mark.parametrize("path", ["../results/a", "/data/results/a"])
def test_an_output_outside_of_the_working_directory_is_called_as_the_rule_does(path: str) -> None:
    message = describe(plan(outputs=[local(path)]), LINK, FAILED, ran(1, missing=[0]))
    assert f"did not make its output {path} (.cavatica/outside/" in message
    assert (
        "/a in the task). Check that it writes to the paths that the rule declares, and takes "
        "them from {output}: a path that it spells out is another one." in message
    )


def test_not_all_of_many_outputs_are_named() -> None:
    job = plan(outputs=[local(f"o{number}") for number in range(50)])
    message = describe(job, LINK, FAILED, ran(1, missing=list(range(50))))
    assert "o0, o1, o2, o3, o4, o5, o6, o7, o8, o9 and 40 more. " in message


def test_nothing_moves_the_cursor_of_a_terminal() -> None:
    nasty = "\x1b[2J\x1b]0;title\x07\x9b1A"
    message = describe(
        PLAN, f"{LINK}{nasty}", Failed(f"failed{nasty}"), said(f"\x1b[31mred\x1b[0m {nasty}")
    )
    assert "    red " in message
    assert all(character.isprintable() or character == "\n" for character in message)


@given(
    st.text(),
    st.text(),
    st.text(),
    st.text(alphabet=f"{TAG} error log 0\n\x1b\r") | st.text(),
    st.tuples(st.none() | st.integers(-1, 300), st.none() | st.floats()),
)
def test_no_text_makes_it_fail(
    told: str, details: str, link: str, stderr: str, numbers: tuple[int | None, float | None]
) -> None:
    report = read_report(stderr)
    status, seconds = numbers
    report.exit_status = status
    for result in (Failed(told), Failed(told, ("x",), told, True), Lost(told)):
        message = describe(LIMITED, link, result, Evidence(report, details, seconds, told))
        assert message.endswith("\n")
        assert message.startswith(LIMITED.title)
        assert len(message) < 20_000


def test_a_message_is_bounded() -> None:
    long = "x" * 100_000
    report = JobReport(1, long, stderr="\n".join([long] * 50), logs={0: long})
    for evidence in (Evidence(report, long, trouble=long), said(long)):
        for result in (Failed(long), Failed(long, (long,) * 50), Lost(long)):
            assert len(describe(PLAN, long, result, evidence)) < 20_000


# ------------------------------------------------------------------------------------ fetching


@pytest.mark.parametrize(
    "task_id", ["", ".", "..", "../../etc/passwd", "/etc/passwd", "a/b", "a\0b", "a\nb", "x" * 300]
)
def test_no_task_id_leads_out_of_the_folder_of_logs(task_id: str) -> None:
    path = stderr_file(task_id)
    assert path.parent == LOGS_FOLDER
    assert len(path.name) < 120
    assert path.name.isprintable()


@given(st.text(), st.text())
def test_each_task_has_a_file_of_its_own(one: str, other: str) -> None:
    assert (stderr_file(one) == stderr_file(other)) == (one == other)


def test_a_plain_task_id_is_kept() -> None:
    name = "b3f4d8a0-0c4f-4c41-a3b2-0123456789ab"
    assert stderr_file(name) == LOGS_FOLDER / f"{name}.stderr"


class Platform:
    """Stands for the client: one job with this stderr."""

    def __init__(self, stderr: bytes | None, *, error: Exception | None = None) -> None:
        self.stderr = stderr
        self.error = error

    def execution_details(self, task_id: str) -> ExecutionDetails:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        logs = {} if self.stderr is None else {"stderr": "https://x/files/f1/download_info"}
        job = TaskJob(logs=logs, start_time=now, end_time=now + timedelta(hours=1))
        return ExecutionDetails(message="Failed", jobs=[TaskJob(), job])

    def fetch(self, _client: Client, file_id: str, target: Path) -> None:
        assert file_id == "f1"
        if self.error is not None:
            raise self.error
        target.write_bytes(self.stderr or b"")


@pytest.fixture
def diagnosed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Diagnose a job with two logs, whose stderr is given."""
    job = plan(outputs=[local("a")], logs=[local("l1"), local("l2")])

    def run(platform: Platform, **places: Any) -> failure.Diagnosis:
        monkeypatch.setattr(failure, "download", platform.fetch)
        known = {
            "log_paths": [tmp_path / "logs" / "l1", tmp_path / "logs" / "l2"],
            "stderr_path": tmp_path / "new" / "stderr",
        }
        client = cast(Client, platform)
        return diagnose(client, job, "1", LINK, FAILED, **{**known, **places})

    return run


def test_logs_and_stderr_come_to_their_places(diagnosed: Any, tmp_path: Path) -> None:
    stderr = (
        f"{TAG} started\noops \xff\nend{TAG} log 1\none\n\n{TAG} end-log 1\n"
        f"{TAG} log 2\n\n{TAG} end-log 2\n{TAG} exit-status 4\n"
    ).encode("latin-1")
    result = diagnosed(Platform(stderr))
    assert result.reason is Reason.COMMAND
    assert (tmp_path / "logs/l1").read_text() == "one\n"
    assert (tmp_path / "logs/l2").read_text() == ""
    assert (tmp_path / "new/stderr").read_text() == "oops \N{REPLACEMENT CHARACTER}\nend\n"
    assert result.logs == (tmp_path / "logs/l1", tmp_path / "logs/l2", tmp_path / "new/stderr")
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "l1",
        "l2",
        "logs",
        "new",
        "stderr",
    ]


def test_logs_come_to_their_places_beside_one_that_is_an_output_and_one_that_is_there_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = ["x.log", "y.log", "y.log", "z.log"]
    job = plan(outputs=[local("x.log")], logs=[local(name) for name in logs])
    stderr = f"{TAG} log 1\ny\n{TAG} end-log 1\n{TAG} log 2\nz\n{TAG} end-log 2\n"
    platform = Platform(f"{stderr}{TAG} exit-status 4\n".encode())
    monkeypatch.setattr(failure, "download", platform.fetch)
    result = diagnose(
        cast(Client, platform),
        job,
        "1",
        LINK,
        FAILED,
        log_paths=[tmp_path / name for name in logs],
        stderr_path=tmp_path / "stderr",
    )
    assert result.logs == (tmp_path / "y.log", tmp_path / "z.log")
    assert [path.read_text() for path in result.logs] == ["y\n", "z\n"]
    assert not (tmp_path / "x.log").exists()


def test_what_a_failed_job_took_is_read_and_neither_kept_nor_shown(
    diagnosed: Any, tmp_path: Path
) -> None:
    line = "wall 1.00 s, cpu 0.50 s, memory 7.25 MiB, exit 4, outputs unknown, started unknown."
    result = diagnosed(Platform(f"oops\n{TAG} measured {line}\n{TAG} exit-status 4\n".encode()))
    assert result.measured == Measured(1.0, 0.5, 7.25, 4)
    assert "wall" not in result.message
    assert (tmp_path / "new/stderr").read_text() == "oops\n"


@pytest.mark.parametrize("stderr", [None, b"", f"{TAG} exit-status 3\n".encode()])
def test_nothing_is_written_of_nothing(
    diagnosed: Any, tmp_path: Path, stderr: bytes | None
) -> None:
    assert diagnosed(Platform(stderr)).logs == ()
    assert not list(tmp_path.rglob("*"))


def test_logs_that_cannot_be_fetched_do_not_hide_the_failure(diagnosed: Any) -> None:
    result = diagnosed(Platform(b"x", error=NoAnswer("No space left on device")))
    assert result.reason is Reason.PLATFORM
    assert "(The task's logs could not be fetched: No space left on device)" in result.message


def test_a_full_disk_here_is_not_taken_for_one_there(diagnosed: Any) -> None:
    result = diagnosed(Platform(b"x", error=OSError(28, "No space left on device")))
    assert result.reason is Reason.PLATFORM
    assert "could not be kept on this machine: [Errno 28]" in result.message


def test_logs_that_cannot_be_written_do_not_hide_the_failure(
    diagnosed: Any, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    stderr = f"oops\n{TAG} exit-status 137\n".encode()
    result = diagnosed(Platform(stderr), stderr_path=tmp_path / "file" / "stderr")
    assert result.reason is Reason.OUT_OF_MEMORY
    assert "could not be kept on this machine" in result.message
    assert "    oops" in result.message
    assert result.logs == ()


def test_a_hundred_megabytes_are_kept_and_not_shown(diagnosed: Any, tmp_path: Path) -> None:
    line = b"progress \xe2\x82\xac bar\r" * 100
    log = b"\n".join([b"log line"] * 10_000)
    mark = TAG.encode()
    stderr = line * 50_000 + b"the end" + mark + b" log 1\n" + log + b"\n" + mark
    stderr += b" end-log 1\n" + mark + b" exit-status 3\n"
    assert len(stderr) > 80_000_000
    result = diagnosed(Platform(stderr))
    assert result.reason is Reason.COMMAND
    assert len(result.message) < 20_000
    assert "    the end\n" in result.message
    assert (tmp_path / "logs/l1").read_bytes() == log + b"\n"
    assert (tmp_path / "new/stderr").stat().st_size == len(line) * 50_000 + len("the end\n")


UNPARSED = """
Exception in file "/x/workflow/rules/common.smk", line 12:
Reads of the sample sheet were not found: data/b.fastq
  File "/x/workflow/rules/common.smk", line 12, in <module>
"""


def test_a_workflow_that_cannot_be_parsed_in_the_task_is_told() -> None:
    """A pipeline that reads data of all samples at once has those of its job alone."""
    told = advice(IN_SNAKEMAKE, UNPARSED)
    assert "could not read the workflow, so that the command was not run" in told
    assert "workflow.is_main_process" in told
    assert f"because {IN_SNAKEMAKE.reason}." in told
    later = UNPARSED.replace("Reads", "Building DAG of jobs...\nReads")
    in_rule = UNPARSED.replace("in <module>", "in __rule_x")
    module = UNPARSED.replace("Reads", "No module named 'x'\nReads")
    assert "could not read the workflow" not in advice(PLAN, UNPARSED)
    for text in (later, in_rule, module):
        assert "could not read the workflow" not in advice(IN_SNAKEMAKE, text)


def test_a_package_that_the_workflow_imports_and_the_task_lacks_is_told() -> None:
    """Seen in metagenome-atlas/atlas, whose package is installed where it is started."""
    text = """
ModuleNotFoundError in file "/x/workflow/Snakefile", line 23:
No module named 'atlas'
  File "/x/workflow/Snakefile", line 23, in <module>
"""
    told = advice(IN_SNAKEMAKE, text)
    assert "imports a package while Snakemake in the task reads it" in told
    assert "--container-image" in told
    assert "imports a package" not in advice(PLAN, text)
    assert "imports a package" not in advice(IN_SNAKEMAKE, UNPARSED)


def advice(plan_: JobPlan, stderr: str) -> str:
    return recognise(plan_, FAILED, said(stderr)).advice
