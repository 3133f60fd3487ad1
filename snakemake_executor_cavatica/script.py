"""The shell script that runs one job inside its task.

Written for any POSIX `sh`, because that is all that a rule's image must have. Nothing that comes
from the workflow is ever interpreted by it: paths are quoted, and the command is a file of its own.
What the platform's API has no field for (exit status, logs of a failed job, which output is
missing) goes to stderr in lines that start with `MARK`; `read_report` is their reader.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from shlex import quote

from .paths import encode_folder
from .plan import TMPDIR_MARK, JobPlan, Mode, PlannedOutput, Shell, StagedInput

MARK = "[snakemake-cavatica]"
SCRIPT_NAME = "snakemake_job.sh"
COMMAND_NAME = "snakemake_command.sh"
PLUGINS_FOLDER = ".cavatica/plugins"
"""Below the root of the sources: stand-ins for plugins, which Snakemake finds by PYTHONPATH."""

_DEFAULT_PREFIX = "set -euo pipefail; "
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
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
_BENCHMARK_FORMAT = r"\t".join(_BENCHMARK_COLUMNS) + r"\n%d\t%d:%02d:%02d" + r"\tNA" * 8 + r"\n"

_FUNCTIONS = f"""\
# One job of a Snakemake workflow, by snakemake-executor-plugin-cavatica.
# Arguments: the workflow's sources as a tar file, then the job's inputs in the order below.
set -u
task=$PWD
root=$task/work
note() {{ printf '{MARK} %s\\n' "$1" >&2; }}
leave() {{
  if [ "$1" -ne 0 ]; then show_logs; fi
  note "exit-status $1"
  exit "$1"
}}
die() {{ note "error $1"; leave 1; }}
show() {{
  [ -f "$2" ] || return 0
  note "log $1"
  cat "$2" >&2
  printf '\\n' >&2
  note "end-log $1"
}}
folder_of() {{ case $1 in */*) mkdir -p "${{1%/*}}" || die "cannot create ${{1%/*}}" ;; esac; }}
place() {{ folder_of "$1"; rm -rf "$1"; }}
stage_link() {{ place "$1"; ln -s "$2" "$1" || die "cannot link $1"; }}
stage_copy() {{ place "$1"; cp -RL "$2" "$1" && chmod -R u+w "$1" || die "cannot copy $1"; }}
stage_unpack() {{ place "$1"; mkdir "$1" && tar -xf "$2" -C "$1" || die "cannot unpack $1"; }}
failed=
check_file() {{
  if [ -d "$2" ]; then note "is-folder $1"; failed=1
  elif [ ! -e "$2" ]; then note "missing-output $1"; failed=1; fi
}}
check_folder() {{ [ -d "$2" ] || {{ note "missing-output $1"; failed=1; }}; }}
check_filled() {{ [ -s "$2" ] || {{ note "empty-output $1"; failed=1; }}; }}
check_sum() {{
  found=$("$3" < "$2") || die "the image has no $3, which ensure() needs"
  [ "${{found%% *}}" = "$4" ] || {{ note "wrong-checksum $1"; failed=1; }}
}}
keep() {{
  mkdir -p "$task/out/$1" || die "cannot create the folder for output $1"
  if [ -L "$2" ]; then cp -RL "$2" "$task/out/$1/$3" && rm "$2"
  else mv "$2" "$task/out/$1/$3"; fi || die "cannot collect output $1"
}}
"""


def job_script(plan: JobPlan) -> str:
    """The script for a job; it expects the command beside it, in `COMMAND_NAME`."""
    outputs = list(enumerate(plan.outputs))
    logs = [(index, output) for index, output in outputs if output.role == "log"]
    lines = [
        _FUNCTIONS,
        "show_logs() {",
        '  cd "$workdir" 2>/dev/null || return 0',
        *(f"  show {index} {_path(output.path)}" for index, output in logs),
        "}",
        f"workdir=$root/{_relative(plan.facts.workdir)}",
        f'[ "$#" -eq {len(plan.inputs) + 1} ] || die "got $# inputs, not {len(plan.inputs) + 1}"',
        *_sources(),
        *(f'stage_{staged.how} {_path(staged.path)} "$1"; shift' for staged in input_order(plan)),
        *_output_folders(plan),
        *_environment(plan),
        *_run(plan),
        'cd "$workdir" || die "the working directory is gone"',
        *(_finish_output(output) for _, output in outputs),
        *_benchmark_file(plan),
        *(line for index, output in outputs for line in _check(index, output)),
        '[ -z "$failed" ] || leave 1',
        *(_keep(index, output) for index, output in _deepest_first(outputs)),
        "leave 0",
    ]
    return "\n".join(lines) + "\n"


def input_order(plan: JobPlan) -> list[StagedInput]:
    """The inputs as the script's arguments: port after port, since a tool binds whole ports."""
    ports = list(dict.fromkeys(staged.port for staged in plan.inputs))
    return sorted(plan.inputs, key=lambda staged: ports.index(staged.port))


def command_file(plan: JobPlan) -> str:
    """The content of `COMMAND_NAME`."""
    shell = plan.shell
    prefix = "" if _is_strict(shell) else shell.prefix
    return f"{prefix}{plan.command}{shell.suffix}\n"


def _is_strict(shell: Shell) -> bool:
    """Whether the prefix is Snakemake's strict mode, which the shell then gets as options."""
    return posixpath.basename(shell.executable) == "bash" and shell.prefix == _DEFAULT_PREFIX


def _path(path: str) -> str:
    """Quoted, and never read as an option."""
    return quote(f"./{path}" if path.startswith("-") else path)


def _relative(path: str) -> str:
    return quote(posixpath.normpath(path))


def _sources() -> Iterator[str]:
    yield 'mkdir -p "$root" && cd "$root" || die "cannot create the working directory"'
    yield 'tar -xf "$1" || die "cannot unpack the sources of the workflow: is there no tar?"'
    yield "shift"
    yield 'mkdir -p "$workdir" && cd "$workdir" || die "cannot enter the working directory"'


def _output_folders(plan: JobPlan) -> Iterator[str]:
    folders = {posixpath.dirname(output.path) for output in plan.outputs}
    for folder in sorted(folders - {""}):
        yield f'mkdir -p {_path(folder)} || die "cannot create the folders of the outputs"'


def _environment(plan: JobPlan) -> Iterator[str]:
    yield 'export TMPDIR="${TMPDIR:-/tmp}"'
    yield 'export TMP="$TMPDIR" TEMP="$TMPDIR" TEMPDIR="$TMPDIR"'
    assignments = " ".join(f"{name}={plan.resources.cores}" for name in _THREAD_VARIABLES)
    yield f"export {assignments}"
    if plan.mode is Mode.SNAKEMAKE:
        yield f'export PYTHONPATH="$root/{PLUGINS_FOLDER}${{PYTHONPATH:+:$PYTHONPATH}}"'
    for name, value in plan.environment.items():
        yield f"export {name}={quote(value)}"
    if plan.precommand:
        yield f'eval {quote(plan.precommand)} >&2 || die "the precommand failed"'


def _run(plan: JobPlan) -> Iterator[str]:
    """Run the command with its stdout on stderr, because the platform keeps only that."""
    yield from _choose_shell(plan.shell)
    if TMPDIR_MARK in plan.command:
        yield (
            f'sed "s|{TMPDIR_MARK}|$TMPDIR|g" "$task/{COMMAND_NAME}" > "$root/.cavatica.command" '
            '|| die "cannot write the command: is there no sed?"'
        )
        yield "command_file=$root/.cavatica.command"
    else:
        yield f"command_file=$task/{COMMAND_NAME}"
    if plan.facts.benchmark is not None:
        yield "began=$(date +%s)"
    yield '$shell "$command_file" >&2'
    yield 'status=$?; [ "$status" -eq 0 ] || leave "$status"'


def _choose_shell(shell: Shell) -> Iterator[str]:
    name = posixpath.basename(shell.executable)
    if _is_strict(shell):
        yield "if command -v bash >/dev/null 2>&1; then shell='bash -euo pipefail'"
        yield "elif (set -o pipefail) 2>/dev/null; then shell='sh -eu -o pipefail'"
        yield "else shell='sh -eu'; fi"
    elif name in {"bash", "sh"}:
        yield f"if command -v {name} >/dev/null 2>&1; then shell={name}; else shell=sh; fi"
    else:
        yield (
            f"shell=$(command -v {quote(name)}) || "
            f'die "the image has no {name}, which shell.executable() asks for"'
        )


def _finish_output(output: PlannedOutput) -> str:
    """What Snakemake does for touch() outputs and for logs that nobody wrote."""
    path = _path(output.path)
    if output.touch and output.folder:
        return f"mkdir -p {path} && : > {quote(output.path + '/.snakemake_timestamp')}"
    if output.touch or output.role == "log":
        return f"[ -e {path} ] || : > {path}"
    return ":"


def _benchmark_file(plan: JobPlan) -> Iterator[str]:
    """Wall time only; the other columns take a process that watches the command."""
    if plan.mode is not Mode.DIRECT or plan.facts.benchmark is None:
        return
    yield "took=$(($(date +%s) - began))"
    target = next(output.path for output in plan.outputs if output.role == "benchmark")
    yield (
        f"printf '{_BENCHMARK_FORMAT}' \"$took\" "
        f"$((took / 3600)) $((took / 60 % 60)) $((took % 60)) > {_path(target)}"
    )


def _check(index: int, output: PlannedOutput) -> Iterator[str]:
    path = _path(output.path)
    yield f"check_{'folder' if output.folder else 'file'} {index} {path}"
    if output.ensure and output.ensure.non_empty:
        yield f"check_filled {index} {path}"
    if output.ensure and output.ensure.checksum:
        algorithm, digest = output.ensure.checksum
        yield f'[ -n "$failed" ] || check_sum {index} {path} {algorithm}sum {quote(digest)}'


def _deepest_first(
    outputs: list[tuple[int, PlannedOutput]],
) -> list[tuple[int, PlannedOutput]]:
    """A log inside a directory output has to leave before the directory does."""
    return sorted(outputs, key=lambda item: -item[1].path.count("/"))


def _keep(index: int, output: PlannedOutput) -> str:
    return f"keep {index} {_path(output.path)} {quote(stored_name(output))}"


def stored_name(output: PlannedOutput) -> str:
    """The name that an output gets on the platform: that of its place, encoded for folders."""
    name = posixpath.basename(output.place.path)
    return encode_folder(name) if output.folder else name


def output_glob(index: int, output: PlannedOutput) -> str:
    """The glob that finds output number `index`, whatever its name holds."""
    # A glob's `*` passes over names with a leading dot.
    return f"out/{index}/{'.*' if stored_name(output).startswith('.') else '*'}"


# --------------------------------------------------------------------------- reading it back


@dataclass
class JobReport:
    """What the script wrote to stderr. Indices are those of `JobPlan.outputs`."""

    exit_status: int | None = None
    error: str | None = None
    missing: list[int] = field(default_factory=list)
    folders: list[int] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    wrong_checksum: list[int] = field(default_factory=list)
    logs: dict[int, str] = field(default_factory=dict)
    stderr: str = ""
    """Everything else, in order."""


_LINE = re.compile(re.escape(MARK) + r" (\S+) ?(.*)")


def read_report(stderr: str) -> JobReport:
    """Take a task's stderr apart; text that the script did not write stays as it is."""
    report = JobReport()
    rest: list[str] = []
    log: list[str] | None = None
    lists = {
        "missing-output": report.missing,
        "is-folder": report.folders,
        "empty-output": report.empty,
        "wrong-checksum": report.wrong_checksum,
    }
    for line in stderr.split("\n"):
        match = _LINE.fullmatch(line.rstrip("\r"))
        word, value = (match[1], match[2]) if match else ("", "")
        if word == "end-log" and log is not None and value.isdigit():
            report.logs[int(value)] = "\n".join(log).removesuffix("\n")
            log = None
        elif log is not None:
            log.append(line)
        elif word == "log":
            log = []
        elif word in lists and value.isdigit():
            lists[word].append(int(value))
        elif word == "exit-status" and value.isdigit():
            report.exit_status = int(value)
        elif word == "error":
            report.error = value
        else:
            rest.append(line)
    if log:
        rest.extend(log)
    report.stderr = "\n".join(rest)
    return report
