"""Which files go into a task and come out of it, by which ports, and how."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from ..project.paths import LocalPath, Place, in_task
from ..read import values
from ..read.facts import GB, Defaults, JobFacts, Refusal, WorkflowFile
from .given import given_choice
from .plan import JobPlan, PlannedOutput, StagedInput

_SMALL = 5_000_000
"""Bytes up to which an input is copied, however much there is of others."""
_COPIED_PER_MINUTE = 7_500_000_000
"""By a usual disk, which moves 250 MB a second: so much does not stay in memory, so it is read and
written."""
UPDATE_PORT = "snakemake_update"
BESIDE_PORT = "snakemake_beside"
CHECKPOINTS_PORT = "snakemake_checkpoints"


def written_files(facts: JobFacts) -> list[WorkflowFile]:
    """All that the job leaves behind, in the order of its output ports."""
    benchmark = [] if facts.benchmark is None else [facts.benchmark]
    return [*facts.outputs, *facts.logs, *benchmark]


def staged_inputs(facts: JobFacts, defaults: Defaults, direct: bool) -> list[StagedInput]:
    """What the job script gets as its arguments."""
    wanted = [(file, UPDATE_PORT) for file in facts.old_versions]
    wanted += [(file, input_port(file.name)) for file in own_inputs(facts, direct)]
    wanted += [(file, BESIDE_PORT) for file in facts.beside]
    wanted += [(file, CHECKPOINTS_PORT) for file in (() if direct else facts.staged)]
    written = [path_in_task(file, direct) for file in written_files(facts)]
    occupied = [*written, *(path_in_task(file, direct) for file, _ in wanted)]
    staged: dict[str, StagedInput] = {}
    copied = _copied_inputs(facts, defaults, [file for file, _ in wanted])
    for file, port in wanted:
        path = path_in_task(file, direct)
        known = staged.get(path)
        if known is None:
            is_copied = file.place in copied or port == UPDATE_PORT
            method = _method(file, path, occupied, is_copied=is_copied)
            staged[path] = StagedInput(
                port,
                file.place,
                path,
                file.form,
                method,
                file.size,
                file.executable,
                tuple(file.encoded),
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


def path_in_task(file: WorkflowFile, direct: bool) -> str:
    """Where a file lies in the task, from the job's working directory."""
    return in_task(file.path if direct else file.plain_path)


def wanted_method(facts: JobFacts, defaults: Defaults) -> str:
    """How inputs are to get to their paths: what the rule or the setting says."""
    return given_choice(facts, "cavatica_inputs", values.INPUTS) or defaults.inputs


def _copied_inputs(
    facts: JobFacts, defaults: Defaults, files: Sequence[WorkflowFile]
) -> set[Place]:
    """The inputs that are copied: a link looks like no file to many programs.

    But copies take time and disk: of inputs that are many bytes together, only some are.
    """
    wanted = wanted_method(facts, defaults)
    if wanted == "link":
        return set()
    sizes = {file.place: file.size for file in files}
    if wanted == "copy" or facts.copies_inputs or sum(sizes.values()) <= defaults.copy_up_to:
        return set(sizes)
    return {file.place for file in files if file.size <= _SMALL or file.executable}


def links_for_size(plan: JobPlan) -> str:
    """What is said of a rule that has links as inputs because of their size."""
    linked = sum(one.size for one in plan.inputs if one.method == "link")
    minutes = -(-linked // _COPIED_PER_MINUTE)
    return (
        f"Rule {plan.facts.rule}: large inputs of {plan.title}, {linked / GB:.1f} GB, are links to "
        "the platform's files and not files, because all its inputs together are more than "
        "--cavatica-copy-up-to. Programs that look at a link itself (tar, find -type f, "
        "realpath) do not see a file, some without failing. cavatica_inputs='copy' as a resource "
        f"of the rule makes copies, for about {minutes} min and {linked / GB:.1f} GB of disk for "
        "such a job; cavatica_inputs='link' accepts links."
    )


def own_inputs(facts: JobFacts, direct: bool) -> list[WorkflowFile]:
    """The inputs of the rule that the task gets; Snakemake in it has its own copies of some."""
    return [file for file in facts.inputs if direct or not file.cached_source]


def _method(
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
    folders = dict.fromkeys(staged.port for staged in inputs if staged.form == "folder")
    ports = {port: _free(f"{port}_folder", taken) for port in folders}
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


def planned_outputs(facts: JobFacts, direct: bool, taken: set[str]) -> list[PlannedOutput]:
    """The output ports; `taken` are those of the inputs, since a tool has one set of ids."""
    planned: list[PlannedOutput] = []
    declared: set[Place] = set()

    def add(file: WorkflowFile, port: str, role: Literal["output", "log", "benchmark"]) -> None:
        # Some rules have one file as output and log, or as two logs: it leaves the task once.
        if file.place in declared:
            return
        declared.add(file.place)
        port = f"{port}_out" if port in inputs else port
        planned.append(
            PlannedOutput(
                port=_free(port, taken),
                place=file.place,
                path=path_in_task(file, direct),
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
        replace(output, is_nested=True)
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


def disk_for_copies(inputs: Sequence[StagedInput]) -> int:
    """MB, in steps: jobs that share a task have to ask for the same."""
    size = sum(one.size for one in inputs if one.method == "copy")
    return 1000 * (1 << (-(-size // GB) - 1).bit_length()) if size else 0
