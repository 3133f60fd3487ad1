"""A job in plain values, as it was read from Snakemake, and what holds for all jobs of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from ..api.errors import CavaticaError
from ..project.paths import Place

STRICT_PREFIX = "set -euo pipefail; "
"""What Snakemake puts before a command, unless the workflow says otherwise."""
TBD = "<TBD>"
"""What Snakemake formats where a value is known only once the job runs."""
UNKNOWN_COMMAND = "its command depends on values that are known only once it runs"
MAX_SIZE = 600_000
"""Bytes, as JSON, of what a job runs. A task can hold 1 MiB in all, and paths need their share."""
MB = 1_000_000
GB = 1_000_000_000
TMPDIR_PLACEHOLDER = "\0tmpdir\0"
"""Stands in a direct command for the task's own temporary directory.

With NUL, which neither a path nor a command can hold: no wildcard or parameter reads like it.
"""
WORKDIR_PLACEHOLDER = "\0workdir\0"
"""Stands in the same way for the task's own working directory, as an absolute path."""
PLACEHOLDERS = (TMPDIR_PLACEHOLDER, WORKDIR_PLACEHOLDER)
OWN_FOLDERS = "\0own\0"
"""Stands in a variable that lists folders, at its begin or end, for what it lists in the task."""
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Names of environment variables that a shell takes."""


class Refusal(CavaticaError):
    """A job that cannot run as the workflow asks; the message names rule and directive."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"Rule {rule} cannot run on CAVATICA: {reason}")
        self.rule = rule


# ------------------------------------------------------------------------------- what is given


@dataclass(frozen=True)
class Ensure:
    """What `ensure()` asks of an output; `checksum` is (algorithm, hex digest)."""

    non_empty: bool = False
    checksum: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class WorkflowFile:
    """One input, output, log or benchmark file of a job."""

    path: str
    """What a command formatted by the main process calls it."""
    plain_path: str
    """What Snakemake calls it inside a task, where there is no default storage provider."""
    place: Place
    name: str | None = None
    """The keyword in the rule."""
    form: Literal["file", "folder", "archive"] = "file"
    """archive: a local directory, which travels as one tar file."""
    touch: bool = False
    ensure: Ensure | None = None
    cached_source: bool = False
    """From `workflow.source_path()`: Snakemake inside a task has its own copy of it."""
    size: int = 0
    """Bytes of an input; 0 where nobody knows them, so that it is copied: that is never wrong."""
    executable: bool = False
    """Whether an input of this machine may be run, which the platform does not keep."""
    encoded: Sequence[str] = ()
    """Of a folder on the platform: those in it that have other names there, as paths from it on."""


@dataclass(frozen=True)
class CondaFile:
    """The definition of a conda environment."""

    name: str
    """Path or address, for people."""
    texts: Mapping[str, str]
    """What defines it, by suffix: `.yaml`, and maybe `.post-deploy.sh` and pins of platforms."""


@dataclass(frozen=True)
class Shell:
    """How Snakemake would start the command: shell, and what it puts before and after."""

    executable: str = "bash"
    prefix: str = STRICT_PREFIX
    suffix: str = ""


class Language(StrEnum):
    """Of scripts that can run without Snakemake."""

    PYTHON = "Python"
    R = "R"
    BASH = "bash"


@dataclass(frozen=True)
class PreparedScript:
    """A rule's script with its job written into it: it needs nothing but its language."""

    language: Language
    name: str
    """Of its file."""
    text: str


@dataclass(frozen=True, slots=True)
class JobFacts:
    """A Snakemake job in plain values."""

    rule: str
    """Name of the rule, or of the group."""
    jobid: str
    attempt: int
    directive: str
    """shell, script, run, notebook, wrapper, cwl, template_engine or group."""
    snakemake_command: str
    """Runs the job by Snakemake, from the workflow's directory in the task."""
    wildcards: Mapping[str, str] = field(default_factory=dict)
    docstring: str | None = None
    command: str | None = None
    """The formatted shell command."""
    shell: Shell = field(default_factory=Shell)
    script: PreparedScript | None = None
    """In the place of a shell command; None if the rule has no script, or one that needs Snakemake
    in the task."""
    container: str | None = None
    inputs: Sequence[WorkflowFile] = ()
    addresses: Sequence[str] = ()
    """Of inputs that it reads by itself (`retrieve=False`), and that its task does not get."""
    staged: Sequence[WorkflowFile] = ()
    """Not inputs, but read by the input functions of Snakemake inside the task."""
    old_versions: Sequence[WorkflowFile] = ()
    """The present versions of update() outputs, as inputs."""
    beside: Sequence[WorkflowFile] = ()
    """Programs that a script among the inputs may use, where they are not sent along as sources."""
    outputs: Sequence[WorkflowFile] = ()
    logs: Sequence[WorkflowFile] = ()
    benchmark: WorkflowFile | None = None
    benchmark_repeats: int = 1
    conda: tuple[CondaFile, ...] = ()
    """Environments that have to be made for the job."""
    software_unused: tuple[str, ...] = ()
    """Directives for the job's software that have no effect, by the method that they take."""
    needs_snakemake: Sequence[str] = ()
    """Directives beside the command that only Snakemake can serve, each as a phrase."""
    beyond_snakemake: str | None = None
    """Why Snakemake in a task cannot run this very job, and what to do; None if it can."""
    copies_inputs: bool = False
    """Whether the rule itself asks for copies: shadow "copy-minimal"."""
    threads: int = 1
    resources: Mapping[str, object] = field(default_factory=dict)
    preemptible: bool = False
    last_attempt: bool = False
    workdir: str = "."
    """The workflow's directory, relative to the root of the shipped sources."""
    members: Sequence[Member] = ()
    """The jobs of a group, none before one that it needs; empty if only Snakemake can tell."""
    room: Sequence[int] = ()
    """Of a group: what its jobs may take together of what they have to share."""
    is_told_by_old_files: bool = False
    """Whether files that a group makes for its own jobs are still there, of an earlier run."""


@dataclass(frozen=True)
class Member:
    """A job of a group, as the group's task runs it without Snakemake."""

    facts: JobFacts
    """With all outputs but pipes, also those that do not leave the task."""
    unit: int = 0
    """The jobs of one unit are connected by pipes, and start together."""
    after: Sequence[int] = ()
    """The members, by their places, that have to be done before."""
    takes: Sequence[int] = ()
    """What it takes of the group's `room`."""
    pipes: Sequence[str] = ()
    """Paths in the task of the pipes that it writes to."""
    reads: Sequence[str] = ()
    """Paths of the pipes that it reads."""
    shadow: str | None = None
    """minimal, copy-minimal, shallow or full, if it runs in a directory of its own."""


@dataclass(frozen=True)
class Defaults:
    """What holds for every job unless its rule says otherwise."""

    mode: str = "auto"
    inputs: str = "auto"
    copy_up_to: int = 10 * GB
    """Bytes of all inputs of a job."""
    parcel_up_to: int = MB
    """Bytes of one input."""
    shell_image: str = ""
    snakemake_image: str = ""
    instance_type: str | None = None
    max_parallel_instances: int | None = None
    use_memoization: bool | None = None
    use_elastic_disk: bool | None = None
    interruptible: bool | None = None
    output_metadata: str | None = None
    inherit_metadata: bool = False
    batch: str = "off"
    pack: int = 1
    memory_retries: int = 0
    reuse: bool | None = None
    """Whether results of earlier runs are taken; None: only those of this one are offered."""
    conda: str = "per-run"
    measured: bool = True
    """Whether tasks tell what their jobs take."""
    benchmarks_extended: bool = False
    """Whether benchmarks are to have more columns, which only Snakemake writes."""
    environment: Mapping[str, str] = field(default_factory=dict)
    workflow_environment: Mapping[str, str] = field(default_factory=dict)
    """Set by the Snakefile itself; Snakemake inside a task sets it again."""
    variables_missed: Sequence[str] = ()
    """What the workflow asked for while it was parsed, and lacks where tasks parse it again."""
    programs_started: Sequence[str] = ()
    """Those that the workflow has started while it was parsed."""
    precommand: str | None = None
    in_containers: bool = True
    """Whether tasks run in their images; on an embedded platform they may not."""
    location: str | None = None
    """Cloud and region of the project, such as aws:us-east-1; None if unknown."""


def without_placeholders(text: str) -> str:
    """A text without what the job script fills in."""
    for placeholder in (*PLACEHOLDERS, OWN_FOLDERS):
        text = text.replace(placeholder, "")
    return text


def has_placeholders(text: str) -> bool:
    """Whether the job script has to fill in something."""
    return any(placeholder in text for placeholder in PLACEHOLDERS)
