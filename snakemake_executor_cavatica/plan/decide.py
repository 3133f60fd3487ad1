"""How a job runs as a task, decided from plain values alone: mode, files, ports, resources.

`jobs.py` reads the `JobFacts` off Snakemake's objects; what is decided here goes on to `app.py`,
`script.py` and `draft.py`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Literal, TypeVar

from ..api import CavaticaError, ConfigurationError
from ..project.paths import LocalPath, Place, check_output, check_path, check_text, in_task
from ..read import values
from .instance_types import choose_instance

TBD = "<TBD>"
"""What Snakemake formats where a value is known only once the job runs."""
GB = 1_000_000_000
_SMALL = 5_000_000
"""Bytes up to which an input is copied, however much there is of others."""
_COPIED_PER_MINUTE = 15 * GB
"""What a usual disk reads and writes."""
UPDATE_PORT = "snakemake_update"
CHECKPOINTS_PORT = "snakemake_checkpoints"
TMPDIR_MARK = "\0tmpdir\0"
"""Stands in a direct command for the task's own temporary directory.

With NUL, which neither a path nor a command can hold: no wildcard or parameter reads like it.
"""
WORKDIR_MARK = "\0workdir\0"
"""Stands in the same way for the task's own working directory, as an absolute path."""
MARKS = (TMPDIR_MARK, WORKDIR_MARK)

_POSIX_SHELLS = {"ash", "bash", "dash", "ksh", "sh", "zsh"}
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
"""Names of environment variables that a shell takes."""

T = TypeVar("T")


class Refusal(CavaticaError):
    """A job that cannot run as the workflow asks; the message names rule and directive."""

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(f"Rule {rule} cannot run on CAVATICA: {reason}")


class Mode(StrEnum):
    """The two ways to run a job."""

    DIRECT = "direct"
    SNAKEMAKE = "snakemake"


# ------------------------------------------------------------------------------- what is given


@dataclass(frozen=True)
class Ensure:
    """What `ensure()` asks of an output; `checksum` is (algorithm, hex digest)."""

    non_empty: bool = False
    checksum: tuple[str, str] | None = None


@dataclass(frozen=True)
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
    prefix: str = "set -euo pipefail; "
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


@dataclass(frozen=True)
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
    staged: Sequence[WorkflowFile] = ()
    """Not inputs, but read by the input functions of Snakemake inside the task."""
    updates: Sequence[WorkflowFile] = ()
    """The present versions of update() outputs, as inputs."""
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


@dataclass(frozen=True)
class Defaults:
    """What holds for every job unless its rule says otherwise."""

    mode: str = "auto"
    inputs: str = "auto"
    copy_up_to: int = 10 * GB
    """Bytes of all inputs of a job."""
    shell_image: str = ""
    snakemake_image: str = ""
    instance_type: str | None = None
    max_parallel_instances: int | None = None
    use_memoization: bool | None = None
    use_elastic_disk: bool | None = None
    interruptible: bool | None = None
    output_metadata: str | None = None
    batch: str = "off"
    pack: int = 1
    conda: str = "per-run"
    environment: Mapping[str, str] = field(default_factory=dict)
    workflow_environment: Mapping[str, str] = field(default_factory=dict)
    """Set by the Snakefile itself; Snakemake inside a task sets it again."""
    precommand: str | None = None
    in_containers: bool = True
    """Whether tasks run in their images; on an embedded platform they may not."""
    location: str | None = None
    """Cloud and region of the project, such as aws:us-east-1; None if unknown."""


# ------------------------------------------------------------------------------ what is decided


@dataclass(frozen=True)
class StagedInput:
    """One argument of the job script: `how` it gets to `path` in the job's working directory."""

    port: str
    place: Place
    path: str
    form: Literal["file", "folder", "archive"]
    how: Literal["link", "copy", "unpack", "environment"]
    size: int = 0
    executable: bool = False


@dataclass(frozen=True)
class PlannedOutput:
    """One output port: what the job leaves at `path` is collected for `place`."""

    port: str
    place: Place
    path: str
    folder: bool
    role: Literal["output", "log", "benchmark"]
    touch: bool = False
    ensure: Ensure | None = None
    inside: bool = False
    """Lies in another output, which is a folder, and leaves the task with that."""


@dataclass(frozen=True)
class Resources:
    """What the job asks of its machine."""

    cores: int
    memory_mib: int | None
    disk_mib: int | None
    runtime_minutes: int | None
    """Longest run time; 0 means no limit (CWL)."""


@dataclass(frozen=True)
class TaskSettings:
    """Execution settings of the task; None leaves the choice to the platform."""

    instance_type: str | None
    max_parallel_instances: int | None
    use_memoization: bool | None
    use_elastic_disk: bool | None
    interruptible: bool | None


@dataclass(frozen=True)
class JobPlan:
    """Everything about a job that its app, script and draft are made from."""

    facts: JobFacts
    mode: Mode
    reason: str
    image: str
    command: str
    script: PreparedScript | None
    """Runs instead of the command."""
    shell: Shell
    inputs: tuple[StagedInput, ...]
    outputs: tuple[PlannedOutput, ...]
    resources: Resources
    settings: TaskSettings
    environment: Mapping[str, str]
    precommand: str | None
    metadata: Mapping[str, str]
    in_container: bool = True
    """Whether the job runs in its image."""
    batched: bool = False
    """Whether it may be a child of a batch task, with other jobs."""
    packed: int = 1
    """With how many jobs, itself included, it may share a task of its own."""
    wanted_inputs: str = "auto"
    """How inputs are to get to their paths: what the rule or the setting says."""

    @property
    def collected(self) -> list[tuple[int, PlannedOutput]]:
        """The outputs that the platform collects by ports of their own, with their numbers."""
        return [(index, one) for index, one in enumerate(self.outputs) if not one.inside]

    @property
    def is_linked_for_size(self) -> bool:
        """Whether some of its inputs are links that nobody has asked for."""
        return self.wanted_inputs == "auto" and any(one.how == "link" for one in self.inputs)

    @property
    def needs_environment(self) -> bool:
        """Whether conda environments have to be made before the job can start."""
        return any(staged.how == "environment" for staged in self.inputs)

    @property
    def title(self) -> str:
        """`rule [sample=A]`, as people call the job."""
        if not self.facts.wildcards:
            return self.facts.rule
        values = ", ".join(f"{name}={value}" for name, value in self.facts.wildcards.items())
        return f"{self.facts.rule} [{values}]"


def plan_job(facts: JobFacts, defaults: Defaults) -> JobPlan:
    """Decide how a job runs.

    Raises:
        Refusal: the job cannot run as the workflow asks.
    """
    mode, reason = choose_mode(facts, defaults)
    direct = mode is Mode.DIRECT
    if not direct:
        _refuse_what_snakemake_cannot_find(facts, reason)
    command = (facts.command or "") if direct else facts.snakemake_command
    script = facts.script if direct else None
    try:
        _check_texts(facts, defaults, script.text if script else command)
        inputs = _inputs(facts, defaults, direct)
        copies_mb = _disk_for_copies(inputs)
        resources = _resources(facts, copies_mb)
        settings = _settings(facts, defaults, resources, copies_mb)
    except ConfigurationError as error:
        raise Refusal(facts.rule, str(error)) from error
    return JobPlan(
        facts=facts,
        mode=mode,
        reason=reason,
        image=_image(facts, defaults, mode),
        command=command,
        script=script,
        shell=facts.shell if direct else Shell("sh", "", ""),
        inputs=tuple(inputs),
        outputs=tuple(_outputs(facts, direct, taken={staged.port for staged in inputs})),
        resources=resources,
        settings=settings,
        environment=_environment(defaults, direct),
        precommand=defaults.precommand,
        metadata=_read(facts, "cavatica_output_metadata", values.metadata)
        or values.metadata(defaults.output_metadata or ""),
        in_container=defaults.in_containers,
        batched=_batched(facts, defaults),
        packed=_packed(facts, defaults),
        wanted_inputs=_wanted_inputs(facts, defaults),
    )


# ----------------------------------------------------------------------------------------- mode


def choose_mode(facts: JobFacts, defaults: Defaults) -> tuple[Mode, str]:
    """Direct or snakemake mode, and why. A rule's own resource beats the setting."""
    wanted = _choice(facts, "cavatica_mode", values.MODES) or defaults.mode
    obstacles = _obstacles(facts)
    image = _text(facts, "cavatica_container_image")
    if wanted == Mode.SNAKEMAKE:
        return Mode.SNAKEMAKE, "snakemake mode was asked for"
    if wanted == Mode.DIRECT:
        if obstacles:
            raise Refusal(
                facts.rule, f"direct mode was asked for, but {obstacles[0]}. Use mode 'auto'."
            )
        return Mode.DIRECT, "direct mode was asked for"
    if not obstacles:
        # Another image than Snakemake's has tools that the command needs, and maybe no Snakemake.
        any_image = _default_image(facts, defaults, Mode.DIRECT) == defaults.snakemake_image
        if facts.benchmark is not None and any_image and not (image or facts.container):
            return Mode.SNAKEMAKE, "it has a benchmark, which only Snakemake measures in full"
        if facts.script is not None:
            return Mode.DIRECT, f"its {facts.script.language} script needs nothing of Snakemake"
        return Mode.DIRECT, "it is a shell command that needs nothing of Snakemake"
    if facts.container and image is None:
        raise Refusal(
            facts.rule,
            f"it has its own container ({facts.container}), but {obstacles[0]}, which takes "
            "Snakemake inside the task. If that image holds Snakemake, say so with the resource "
            "cavatica_mode='snakemake'; to run it in another image, name that with the resource "
            "cavatica_container_image.",
        )
    return Mode.SNAKEMAKE, obstacles[0]


def _obstacles(facts: JobFacts) -> list[str]:
    """Why the job cannot run directly; empty if it can."""
    found = []
    if facts.directive == "group":
        found.append("it is a group of jobs")
    found.extend(facts.needs_snakemake)
    if facts.script is None and facts.directive not in {"group", "shell"}:
        found.append(f"it has a {facts.directive} directive")
    if facts.script and posixpath.basename(facts.shell.executable) not in _POSIX_SHELLS:
        found.append(f"its script is to be started by {facts.shell.executable}")
    if facts.benchmark_repeats > 1:
        found.append("its benchmark is repeated")
    if facts.benchmark is not None and facts.benchmark.path.endswith(".jsonl"):
        found.append("its benchmark is written as JSON lines")
    if facts.command is not None and TBD in facts.command:
        found.append("its command depends on values that are known only once it runs")
    return found


def _refuse_what_snakemake_cannot_find(facts: JobFacts, reason: str) -> None:
    """Inside a task, Snakemake is told the job by its rule and wildcards, and looks for files under
    the names that the workflow gives them.
    """
    if facts.beyond_snakemake:
        raise Refusal(
            facts.rule,
            f"it needs Snakemake inside the task, but {facts.beyond_snakemake}, or use a "
            "shell directive and direct mode.",
        )
    inputs = _own_inputs(facts, direct=False)
    files = [*inputs, *facts.staged, *facts.outputs, *facts.logs]
    for file in [*files, *([facts.benchmark] if facts.benchmark else [])]:
        if in_task(file.plain_path) != posixpath.normpath(file.plain_path):
            raise Refusal(
                facts.rule,
                f"the file {file.plain_path} lies outside of the working directory, where "
                "Snakemake inside the task does not find it; and the job takes Snakemake there, "
                f"because {reason}. Link or copy the file below the working directory and name it "
                f"from there, or {_without_snakemake(facts)}.",
            )


def _without_snakemake(facts: JobFacts) -> str:
    """What to do for a job to run directly, where all paths are mapped."""
    if _obstacles(facts):
        return "use a shell directive, for which such paths are mapped"
    loss = " (its benchmark then has the wall time only)" if facts.benchmark else ""
    return f"run the job without Snakemake, by the resource cavatica_mode='direct'{loss}"


def _check_texts(facts: JobFacts, defaults: Defaults, command: str) -> None:
    """Refuse what cannot be written into a task."""
    check_text(without_marks(command), "The command")
    for file in _written(facts):
        check_output(file.place, folder=file.form == "folder")
    for file in (*facts.inputs, *facts.staged):
        check_path(file.path)
    for name, value in _environment(defaults, direct=True).items():
        if not VARIABLE.fullmatch(name):
            raise ConfigurationError(
                f"The environment variable {name!r} has a name that a shell does not take; leave "
                "it out of envvars."
            )
        check_text(without_marks(value), f"The value of the environment variable {name}")


def without_marks(text: str) -> str:
    """A text without what the job script fills in."""
    for mark in MARKS:
        text = text.replace(mark, "")
    return text


def has_marks(text: str) -> bool:
    """Whether the job script has to fill in something."""
    return any(mark in text for mark in MARKS)


def _environment(defaults: Defaults, direct: bool) -> Mapping[str, str]:
    given = defaults.workflow_environment if direct else {}
    return {**given, **defaults.environment}


def _written(facts: JobFacts) -> list[WorkflowFile]:
    """All that the job leaves behind, in the order of its output ports."""
    benchmark = [] if facts.benchmark is None else [facts.benchmark]
    return [*facts.outputs, *facts.logs, *benchmark]


# ---------------------------------------------------------------------------------------- files


def _inputs(facts: JobFacts, defaults: Defaults, direct: bool) -> list[StagedInput]:
    wanted = [(file, UPDATE_PORT) for file in facts.updates]
    wanted += [(file, input_port(file.name)) for file in _own_inputs(facts, direct)]
    wanted += [(file, CHECKPOINTS_PORT) for file in (() if direct else facts.staged)]
    written = [_path(file, direct) for file in _written(facts)]
    occupied = [*written, *(_path(file, direct) for file, _ in wanted)]
    staged: dict[str, StagedInput] = {}
    copied = _copied_inputs(facts, defaults, [file for file, _ in wanted])
    for file, port in wanted:
        path = _path(file, direct)
        known = staged.get(path)
        if known is None:
            is_copied = file.place in copied or port == UPDATE_PORT
            how = _how(file, path, occupied, is_copied=is_copied)
            staged[path] = StagedInput(
                port, file.place, path, file.form, how, file.size, file.executable
            )
        elif known.place != file.place and not _both_local(known.place, file.place):
            raise Refusal(
                facts.rule,
                f"its inputs {known.place} and {file.place} would both be {path} in the task. "
                "Rename one of them.",
            )
    return _with_port_per_kind(list(staged.values()))


def _both_local(one: Place, other: Place) -> bool:
    """Then they are one file if they are at one path: `a` and `./a`."""
    return isinstance(one, LocalPath) and isinstance(other, LocalPath)


def _path(file: WorkflowFile, direct: bool) -> str:
    return in_task(file.path if direct else file.plain_path)


def _wanted_inputs(facts: JobFacts, defaults: Defaults) -> str:
    return _choice(facts, "cavatica_inputs", values.INPUTS) or defaults.inputs


def _copied_inputs(
    facts: JobFacts, defaults: Defaults, files: Sequence[WorkflowFile]
) -> set[Place]:
    """The inputs that are copied: a link looks like no file to many programs.

    But copies take time and disk: of inputs that are many bytes together, only some are.
    """
    wanted = _wanted_inputs(facts, defaults)
    if wanted == "link":
        return set()
    sizes = {file.place: file.size for file in files}
    if wanted == "copy" or facts.copies_inputs or sum(sizes.values()) <= defaults.copy_up_to:
        return set(sizes)
    return {file.place for file in files if file.size <= _SMALL or file.executable}


def links_for_size(plan: JobPlan) -> str:
    """What is said of a rule that has links as inputs because of their size."""
    linked = sum(one.size for one in plan.inputs if one.how == "link")
    minutes = -(-linked // _COPIED_PER_MINUTE)
    return (
        f"Rule {plan.facts.rule}: large inputs of {plan.title}, {linked / GB:.1f} GB, are links to "
        "the platform's files and not files, because all its inputs together are more than "
        "--cavatica-copy-up-to. Programs that look at a link itself (tar, find -type f, "
        "realpath) do not see a file, some without failing. cavatica_inputs='copy' as a resource "
        f"of the rule makes copies, for about {minutes} min and {linked / GB:.1f} GB of disk for "
        "such a job; cavatica_inputs='link' accepts links."
    )


def _own_inputs(facts: JobFacts, direct: bool) -> list[WorkflowFile]:
    return [file for file in facts.inputs if direct or not file.cached_source]


def _how(
    file: WorkflowFile, path: str, occupied: Sequence[str], *, is_copied: bool
) -> Literal["link", "copy", "unpack"]:
    """How an input gets to `path`, if those paths are read or written too.

    A link leads out of the working directory: to write below it would be to change the original.
    """
    if file.form == "archive":
        return "unpack"
    below = file.form == "folder" and any(other.startswith(f"{path}/") for other in occupied)
    return "copy" if below or is_copied else "link"


def _with_port_per_kind(inputs: list[StagedInput]) -> list[StagedInput]:
    """Give folders ports of their own: a port is an array of File or one of Directory."""
    taken = {staged.port for staged in inputs if staged.form != "folder"}
    ports = {
        staged.port: _free(f"{staged.port}_folder", taken)
        for staged in inputs
        if staged.form == "folder"
    }
    return [
        replace(staged, port=ports[staged.port]) if staged.form == "folder" else staged
        for staged in inputs
    ]


def _free(port: str, taken: set[str]) -> str:
    """`port`, or a name like it that is not taken; taken from then on."""
    while port in taken:
        port += "_"
    taken.add(port)
    return port


def _outputs(facts: JobFacts, direct: bool, taken: set[str]) -> list[PlannedOutput]:
    """The output ports; `taken` are those of the inputs, since a tool has one set of ids."""
    planned: list[PlannedOutput] = []

    def add(file: WorkflowFile, port: str, role: Literal["output", "log", "benchmark"]) -> None:
        port = f"{port}_out" if port in inputs else port
        planned.append(
            PlannedOutput(
                port=_free(port, taken),
                place=file.place,
                path=_path(file, direct),
                folder=file.form == "folder",
                role=role,
                touch=file.touch,
                ensure=file.ensure,
            )
        )

    inputs = frozenset(taken)
    repeated = _repeated_names(facts.outputs)
    for index, file in enumerate(facts.outputs):
        name = _identifier(file.name) if file.name else "output"
        add(file, f"{name}_{index}" if name in repeated or not file.name else name, "output")
    for index, file in enumerate(facts.logs):
        add(file, f"log_{index}", "log")
    if facts.benchmark is not None:
        add(facts.benchmark, "benchmark", "benchmark")
    folders = [output.path for output in planned if output.folder]
    return [
        replace(output, inside=True)
        if any(output.path.startswith(f"{folder}/") for folder in folders)
        else output
        for output in planned
    ]


def _repeated_names(files: Sequence[WorkflowFile]) -> set[str]:
    names = [_identifier(file.name) for file in files if file.name]
    return {name for name in names if names.count(name) > 1}


def input_port(name: str | None) -> str:
    """The input port of a rule's input; unnamed ones share one port."""
    return _identifier(name) if name else "inputs"


def _identifier(name: str) -> str:
    """`name` as a port: the platform knows letters, digits and `_`; `snakemake_` is ours."""
    port = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"{port}_" if port.startswith("snakemake_") else port


# ------------------------------------------------------------------------------------ resources


def _image(facts: JobFacts, defaults: Defaults, mode: Mode) -> str:
    default = _default_image(facts, defaults, mode)
    named = _text(facts, "cavatica_container_image") or facts.container or default
    scheme, separator, rest = named.partition("://")
    if not separator and not named.startswith(("/", ".", "~")) and not named.endswith(".sif"):
        return named
    if scheme == "docker" and rest:
        return rest
    raise Refusal(
        facts.rule,
        f"its container {named!r} is not a Docker image, and CAVATICA runs nothing else. Name one "
        "as docker://registry/name:tag.",
    )


def _default_image(facts: JobFacts, defaults: Defaults, mode: Mode) -> str:
    return defaults.shell_image if is_shell_command(facts, mode) else defaults.snakemake_image


def is_shell_command(facts: JobFacts, mode: Mode) -> bool:
    """Whether the default image is that of shell commands: a script counts on Snakemake's own."""
    return mode is Mode.DIRECT and facts.script is None


def _disk_for_copies(inputs: Sequence[StagedInput]) -> int:
    """MB, in steps: jobs that share a task have to ask for the same."""
    size = sum(one.size for one in inputs if one.how == "copy")
    return 1000 * (1 << (-(-size // GB) - 1).bit_length()) if size else 0


def _resources(facts: JobFacts, copies_mb: int) -> Resources:
    """Disk only where it is asked for, which a rule does for all its jobs: they share an app."""
    memory_mb = _whole(facts, "mem_mb")
    disk_mb = _whole(facts, "disk_mb")
    return Resources(
        cores=max(1, facts.threads),
        memory_mib=None if memory_mb is None else _mebibytes(memory_mb),
        disk_mib=None if disk_mb is None else _mebibytes(disk_mb + copies_mb),
        runtime_minutes=_whole(facts, "runtime"),
    )


def _settings(
    facts: JobFacts, defaults: Defaults, resources: Resources, copies_mb: int
) -> TaskSettings:
    instance = _text(facts, "cavatica_instance_type") or defaults.instance_type or None
    parallel = _whole(facts, "cavatica_max_parallel_instances", least=1)
    if instance is None:
        instance = choose_instance(
            cores=resources.cores,
            memory_mib=resources.memory_mib or 0,
            disk_mb=(_whole(facts, "disk_mb") or 0) + copies_mb,
            gpus=_whole(facts, "gpu"),
        )
        if instance is not None and not (defaults.location or "aws").startswith("aws"):
            raise Refusal(
                facts.rule,
                f"its gpu or disk_mb takes a certain instance type, and the project lies at "
                f"{defaults.location}, whose types this plugin does not know. Name one with the "
                "resource cavatica_instance_type.",
            )
    return TaskSettings(
        instance_type=instance,
        max_parallel_instances=_first(parallel, defaults.max_parallel_instances),
        use_memoization=_first(_truth(facts, "cavatica_use_memoization"), defaults.use_memoization),
        use_elastic_disk=_first(
            _truth(facts, "cavatica_use_elastic_disk"), defaults.use_elastic_disk
        ),
        interruptible=_interruptible(facts, defaults),
    )


def _batched(facts: JobFacts, defaults: Defaults) -> bool:
    """Whether the job may share a batch task. What has failed once is repeated alone."""
    wanted = _choice(facts, "cavatica_batch", values.BATCHES) or defaults.batch
    return wanted == "auto" and facts.attempt == 1


def _packed(facts: JobFacts, defaults: Defaults) -> int:
    """How many jobs may share a task. What has failed once is repeated alone."""
    wanted = _whole(facts, "cavatica_pack", least=1) or defaults.pack
    return wanted if facts.attempt == 1 else 1


def _interruptible(facts: JobFacts, defaults: Defaults) -> bool | None:
    chosen = _truth(facts, "cavatica_interruptible")
    if chosen is not None:
        return chosen
    if facts.preemptible:
        # The last attempt must not be lost to the spot market as well, unless it is the only one.
        return not (facts.last_attempt and facts.attempt > 1)
    return defaults.interruptible


def _mebibytes(megabytes: int) -> int:
    return -(-megabytes * 1_000_000 // 1_048_576)


def _first(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)


def _given(facts: JobFacts, name: str) -> object | None:
    value = facts.resources.get(name)
    return None if value in (None, "", TBD) else value


def _text(facts: JobFacts, name: str) -> str | None:
    value = _given(facts, name)
    return None if value is None else str(value)


def _read(facts: JobFacts, name: str, reader: Callable[[object], T]) -> T | None:
    """A resource as its reader in `words.py` understands it; None if it is not given."""
    value = _given(facts, name)
    try:
        return None if value is None else reader(value)
    except ValueError as error:
        raise Refusal(facts.rule, f"resource {name}={value!r} {error}.") from None


def _whole(facts: JobFacts, name: str, *, least: int = 0) -> int | None:
    return _read(facts, name, partial(values.whole, least=least))


def _choice(facts: JobFacts, name: str, choices: Sequence[str]) -> str | None:
    return _read(facts, name, partial(values.choice, choices=choices))


def _truth(facts: JobFacts, name: str) -> bool | None:
    return _read(facts, name, values.truth)
