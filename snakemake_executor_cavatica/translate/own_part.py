"""What is only one job's in a script: its inputs come to their paths, its outputs are kept."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from shlex import quote

from ..plan.plan import JobPlan, Mode, PlannedOutput
from .small_outputs import gathering
from .staging import quoted_path
from .stored_names import stored_name

_BENCHMARK_COLUMNS = [
    "s",
    "h:m:s",
    "max_rss",
    "max_vms",
    "max_uss",
    "max_pss",
    "io_in",
    "io_out",
    "mean_load",
    "cpu_time",
]
BENCHMARK_FORMAT = r"\t".join(_BENCHMARK_COLUMNS) + r"\n%d\t%d:%02d:%02d" + r"\tNA" * 8 + r"\n"


def own_part(
    plan: JobPlan,
    staged: Iterable[str],
    names: Mapping[str, str] | None = None,
    *,
    parcels: int = 0,
) -> Iterator[str]:
    """What only one job does, as functions for `run_task`.

    Args:
        staged: brings the inputs, which are the arguments, to their paths.
        names: what outputs are to be stored as, by port, where not under their own names.
        parcels: how many of the arguments are parcels.
    """
    outputs = list(enumerate(plan.outputs))
    names = names or {}
    yield f"wanted={len(plan.inputs) + parcels + 1}"
    yield "show_logs() {"
    yield 'cd "$workdir" 2>/dev/null || return 0'
    yield from (f"show {i} {quoted_path(one.path)}" for i, one in outputs if one.role == "log")
    yield "}"
    yield "stage() { :"
    yield from staged
    yield from _output_folders(plan)
    yield "}"
    yield "finish() {"
    yield from (line for _, output in outputs for line in finish_output(output))
    yield from _benchmark_file(plan)
    yield from (line for index, output in outputs for line in checks_of(index, output))
    yield '[ -z "$cavatica_flawed" ] || leave 1'
    yield from (f"resolve {quoted_path(output.path)}" for _, output in outputs)
    yield from (
        _keep(index, output, names.get(output.port, stored_name(output)))
        for index, output in plan.collected
    )
    yield from gathering(plan, plan.facts.jobid)
    yield "}"


def _output_folders(plan: JobPlan) -> Iterator[str]:
    folders = {posixpath.dirname(output.path) for output in plan.outputs}
    facts = plan.facts
    named = [*facts.inputs, *facts.outputs, *facts.logs, *filter(None, [facts.benchmark])]
    folders.update(folder for file in named for folder in _passed(file.plain_path))
    for folder in sorted(folders - {""}):
        yield f'mkdir -p {quoted_path(folder)} || die "cannot create the folders of the outputs"'


def _passed(path: str) -> Iterator[str]:
    """The folders below the working directory that a path leaves again by `..`."""
    parts = [] if posixpath.isabs(path) else path.split("/")
    for position, part in enumerate(parts):
        folder = posixpath.normpath("/".join(parts[:position]) or ".")
        if part == ".." and folder.split("/")[0] not in {"..", "."}:
            yield folder


def finish_output(output: PlannedOutput) -> Iterator[str]:
    """What Snakemake does for touch() outputs and for logs that nobody wrote."""
    if output.folder and (output.touch or output.role == "log"):
        is_there = f"[ -d {quoted_path(output.path)} ] || " if output.role == "log" else ""
        marker = posixpath.join(output.path, ".snakemake_timestamp")
        yield f"{is_there}touch_file {quoted_path(marker)}"
    elif output.touch or output.role == "log":
        yield f"touch_file {quoted_path(output.path)}"


def _benchmark_file(plan: JobPlan) -> Iterator[str]:
    """What was measured; without that, the wall time alone."""
    if plan.mode is not Mode.DIRECT or plan.facts.benchmark is None:
        return
    target = next(output.path for output in plan.outputs if output.role == "benchmark")
    if plan.measured:
        yield f"write_benchmark {quoted_path(target)}"
        return
    yield "took=$(($(date +%s) - began))"
    yield (
        f"printf '{BENCHMARK_FORMAT}' \"$took\" "
        f"$((took / 3600)) $((took / 60 % 60)) $((took % 60)) > {quoted_path(target)}"
    )


def checks_of(index: int, output: PlannedOutput) -> Iterator[str]:
    """Whether an output is what the rule declares."""
    path = quoted_path(output.path)
    yield f"check_{'folder' if output.folder else 'file'} {index} {path}"
    if output.ensure and output.ensure.non_empty:
        yield f"check_filled {index} {path}"
    if output.ensure and output.ensure.checksum:
        algorithm, digest = output.ensure.checksum
        checked = f"check_sum {index} {path} {algorithm}sum {quote(digest)}"
        yield f'[ -n "$cavatica_flawed" ] || {checked}'


def _keep(index: int, output: PlannedOutput, name: str) -> str:
    keep = "keep_folder" if output.folder else "keep"
    return f"{keep} {index} {quoted_path(output.path)} {quote(name)}"
