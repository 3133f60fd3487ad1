"""The shell script that runs one job inside its task.

Written for any POSIX `sh`, because that is all that a rule's image must have. Nothing that comes
from the workflow is ever interpreted by it: paths are quoted, and the command is a file of its own.
What the platform's API has no field for (exit status, logs of a failed job, which output is
missing) goes to stderr in lines that start with `TAG`; `read_report` is their reader.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from shlex import quote

from ..in_task.names import COMMAND_NAME, PLUGINS_FOLDER, TAG
from ..in_task.texts import functions
from ..plan.plan import JobPlan, Mode, PlannedOutput, StagedInput
from ..project.paths import encode_folder
from ..read.facts import (
    PLACEHOLDERS,
    TMPDIR_PLACEHOLDER,
    WORKDIR_PLACEHOLDER,
    Language,
    PreparedScript,
    Shell,
    has_placeholders,
)

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


def job_script(plan: JobPlan) -> str:
    """The script for a job; it expects the command beside it, in `COMMAND_NAME`."""
    return as_script(
        [
            *shared_part(plan, words_for_placeholders([plan])),
            *own_part(plan, staging(input_order(plan))),
            f'command=$task/{COMMAND_NAME}; run_task "$@"',
        ]
    )


def as_script(lines: Iterable[str]) -> str:
    """Lines as a file."""
    return "\n".join(lines) + "\n"


def shared_part(plan: JobPlan, marks: Mapping[str, str]) -> Iterator[str]:
    """What is the same for all jobs that may run by one script.

    Args:
        marks: what stands for each of `PLACEHOLDERS` in the commands.
    """
    yield functions()
    yield from _run_job(plan, marks)
    yield "run_task() {"
    yield "note started"
    yield f"workdir=$root/{_relative(plan.facts.workdir)}"
    yield f"need {' '.join(_tools(plan))}"
    yield '[ "$#" -eq "$wanted" ] || die "got $# inputs, not $wanted"'
    yield from _sources()
    yield 'stage "$@"'
    yield "note_files"
    yield from ("began=$(date +%s)",) if plan.facts.benchmark is not None else ()
    yield "run_job"
    yield 'status=$?; [ "$status" -eq 0 ] || leave "$status"'
    yield 'cd "$workdir" || die "the working directory is gone"'
    yield "finish"
    yield "leave 0"
    yield "}"


def own_part(
    plan: JobPlan, staged: Iterable[str], names: Mapping[str, str] | None = None
) -> Iterator[str]:
    """What only one job does, as functions for `run_task`.

    Args:
        staged: brings the inputs, which are the arguments, to their paths.
        names: what outputs are to be stored as, by port, where not under their own names.
    """
    outputs = list(enumerate(plan.outputs))
    names = names or {}
    yield f"wanted={len(plan.inputs) + 1}"
    yield "show_logs() {"
    yield 'cd "$workdir" 2>/dev/null || return 0'
    yield from (f"show {i} {_path(one.path)}" for i, one in outputs if one.role == "log")
    yield "}"
    yield "stage() { :"
    yield from staged
    yield from _output_folders(plan)
    yield "}"
    yield "finish() {"
    yield from (line for _, output in outputs for line in _finish_output(output))
    yield from _benchmark_file(plan)
    yield from (line for index, output in outputs for line in _check(index, output))
    yield '[ -z "$failed" ] || leave 1'
    yield from (f"resolve {_path(output.path)}" for _, output in outputs)
    yield from (
        _keep(index, output, names.get(output.port, stored_name(output)))
        for index, output in plan.collected
    )
    yield "}"


def input_order(plan: JobPlan) -> list[StagedInput]:
    """The inputs as the script's arguments: port after port, since a tool binds whole ports."""
    ports = list(dict.fromkeys(staged.port for staged in plan.inputs))
    return sorted(plan.inputs, key=lambda staged: ports.index(staged.port))


def _tools(plan: JobPlan) -> list[str]:
    """What the script itself calls. More can be missing in an image than its author thinks."""
    tools = ["cat", "chmod", "cp", "ln", "mkdir", "mv", "rm", "tar"]
    if any(output.folder for output in plan.outputs):
        tools += ["find", "head", "sed"]
    elif has_placeholders(plan.command):
        tools.append("sed")
    if plan.facts.benchmark is not None:
        tools.append("date")
    if any(staged.method == "environment" for staged in plan.inputs):
        tools.append("mktemp")
    wanted = [one.ensure.checksum for one in plan.outputs if one.ensure and one.ensure.checksum]
    return tools + sorted({f"{algorithm}sum" for algorithm, _ in wanted})


def staging(inputs: Iterable[StagedInput]) -> Iterator[str]:
    """Bring the arguments to their paths, in their order.

    Each folder is named once: thousands of inputs have to fit into a task of bounded size.
    """
    folder = None
    for staged in inputs:
        parent, name = posixpath.split(staged.path)
        if parent != folder:
            folder = parent
            yield f"at={_path(f'{parent}/') if parent else './'}"
        yield f'{_stage(staged)} "$at"{quote(name)} "$1"; shift'


def staging_by_name(inputs: Iterable[tuple[StagedInput, str]]) -> Iterator[str]:
    """Bring the arguments to their paths in whatever order they come, by their stored names."""
    yield 'for stored; do case "${stored##*/}" in'
    for staged, name in inputs:
        yield f'{quote(name)}) {_stage(staged)} {_path(staged.path)} "$stored" ;;'
    yield '*) die "got an input that is not its own: $stored" ;;'
    yield "esac; done"


def _stage(staged: StagedInput) -> str:
    if staged.form == "folder" and staged.method == "link":
        return "stage_tree"
    if staged.executable and staged.method == "copy":
        return "stage_program"
    return f"stage_{staged.method}"


def command_file(plan: JobPlan, marks: Mapping[str, str] | None = None) -> str:
    """The job's command; with `marks` for what the script fills in, unless it has its own."""
    command = _whole_command(plan)
    for mark, word in (marks or words_for_placeholders([plan])).items():
        command = command.replace(mark, word)
    return command


def _whole_command(plan: JobPlan) -> str:
    shell = plan.shell
    prefix = "" if _is_strict(shell) else shell.prefix
    command = plan.command if plan.script is None else _script_command(plan.script)
    return f"{prefix}{command}{shell.suffix}\n"


def _script_command(script: PreparedScript) -> str:
    """Writes a script into a file, where Snakemake does so, and runs it."""
    file = quote(f"{_SCRIPTS_FOLDER}/{script.name}")
    text = script.text.removesuffix("\n")
    lines = set(text.split("\n"))
    end = next(end for end in map("END-OF-SCRIPT-{}".format, count()) if end not in lines)
    search, call = _INTERPRETERS[script.language]
    write = f"mkdir -p {_SCRIPTS_FOLDER}\ncat > {file} << '{end}'\n{text}\n{end}"
    return f"{write}\n{search}\n{call} {file}"


def _lacking(interpreter: str) -> str:
    """Ends the job for want of an interpreter."""
    return f"{{ echo '{TAG} error the image has no {interpreter}' >&2; exit 127; }}"


_SCRIPTS_FOLDER = ".snakemake/scripts"
_FIND_PYTHON = f"""\
python=
for name in python3 python; do
  if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 6))' > /dev/null 2>&1; then
    python=$name
  fi
done
[ -n "$python" ] || {_lacking("Python 3.6 or newer, which the script needs")}"""
_INTERPRETERS = {
    # `python`, as Snakemake calls it, unless that is missing or an old one.
    Language.PYTHON: (_FIND_PYTHON, '"$python"'),
    Language.R: (
        f"command -v Rscript > /dev/null 2>&1 || {_lacking('Rscript, which the script needs')}",
        "Rscript --vanilla",
    ),
    Language.BASH: (
        f"command -v bash > /dev/null 2>&1 || {_lacking('bash, which the script needs')}",
        "bash",
    ),
}
"""For each language what looks for its interpreter, and how that is called."""


def words_for_placeholders(plans: Sequence[JobPlan]) -> dict[str, str]:
    """What stands for each placeholder in the files: no text can hold NUL, and not all `sed` can.

    Nothing else in the commands reads like it, nor overlaps with it: it ends as it does not start.
    """
    commands = [_whole_command(plan) for plan in plans]
    return {mark: absent_word(f"<{mark[1:-1]}-{{}}>", commands) for mark in PLACEHOLDERS}


def absent_word(pattern: str, texts: Sequence[str]) -> str:
    """The first of the pattern's words that is in none of the texts."""
    words = (pattern.format(number) for number in count())
    return next(word for word in words if not any(word in text for text in texts))


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
    yield 'tar -xf "$1" || die "cannot unpack the sources of the workflow"'
    yield "shift"
    yield 'mkdir -p "$workdir" && cd "$workdir" || die "cannot enter the working directory"'
    yield "workdir=$(pwd -P)"


def _output_folders(plan: JobPlan) -> Iterator[str]:
    folders = {posixpath.dirname(output.path) for output in plan.outputs}
    facts = plan.facts
    named = [*facts.inputs, *facts.outputs, *facts.logs, *filter(None, [facts.benchmark])]
    folders.update(folder for file in named for folder in _passed(file.plain_path))
    for folder in sorted(folders - {""}):
        yield f'mkdir -p {_path(folder)} || die "cannot create the folders of the outputs"'


def _passed(path: str) -> Iterator[str]:
    """The folders below the working directory that a path leaves again by `..`."""
    parts = [] if posixpath.isabs(path) else path.split("/")
    for position, part in enumerate(parts):
        folder = posixpath.normpath("/".join(parts[:position]) or ".")
        if part == ".." and folder.split("/")[0] not in {"..", "."}:
            yield folder


def _run_job(plan: JobPlan, marks: Mapping[str, str]) -> Iterator[str]:
    """Run the command in a subshell, with its stdout on stderr: the platform keeps only that.

    The variables of the user may have any name, and the precommand may do anything; so all that is
    needed after them stands in the positional parameters.
    """
    yield "run_job() { ("
    yield "set +u"
    yield 'set -- "$workdir" "$command" "$root"'
    yield from _environment(plan)
    if plan.precommand:
        yield f'prepare {quote(plan.precommand)} || refuse "the precommand failed"'
    yield 'cd "$1" || refuse "the working directory is gone"'
    if plan.mode is Mode.SNAKEMAKE:
        yield f'export PYTHONPATH="$3/{PLUGINS_FOLDER}${{PYTHONPATH:+:$PYTHONPATH}}"'
    if has_placeholders(plan.command):
        words = f"{quote(marks[TMPDIR_PLACEHOLDER])} {quote(marks[WORKDIR_PLACEHOLDER])}"
        yield f'fill_in "$2" "$2.filled" {words} || refuse "cannot write the command"'
        yield 'set -- "$1" "$2.filled"'
    yield from _start(plan.shell)
    yield ") >&2 < /dev/null; }"


def _environment(plan: JobPlan) -> Iterator[str]:
    # An image may have neither, or keep them to another user, or may be read-only.
    yield 'TMPDIR=$(writable "${TMPDIR:-/tmp}" "$task/tmp") || refuse "there is no room for files"'
    yield 'HOME=$(writable "${HOME:-}" "$task/home") || refuse "there is no room for files"'
    # Some programs end without it, and a task has no terminal to name.
    yield "export TMPDIR HOME TERM=${TERM:-dumb}"
    for name, value in plan.environment.items():
        yield f"export {name}={_with_workdir(value)}"
    yield 'export TMP="$TMPDIR" TEMP="$TMPDIR" TEMPDIR="$TMPDIR"'
    assignments = " ".join(f"{name}={plan.resources.cores}" for name in _THREAD_VARIABLES)
    yield f"export {assignments}"


def _with_workdir(value: str) -> str:
    """A value, quoted; `$1` is the working directory where the environment is made."""
    return quote(value).replace(WORKDIR_PLACEHOLDER, "'\"$1\"'")


def _start(shell: Shell) -> Iterator[str]:
    """Become the shell that runs the command, which is a file named by `$2`."""
    name = posixpath.basename(shell.executable)
    if _is_strict(shell):
        yield 'command -v bash > /dev/null 2>&1 && exec bash -euo pipefail "$2"'
        yield '(set -o pipefail) 2> /dev/null && exec sh -eu -o pipefail "$2"'
        yield 'exec sh -eu "$2"'
    elif name in {"bash", "sh"}:
        yield f'command -v {name} > /dev/null 2>&1 && exec {name} "$2"'
        yield 'exec sh "$2"'
    else:
        for candidate in dict.fromkeys((shell.executable, name)):
            found = quote(candidate)
            yield f'command -v {found} > /dev/null 2>&1 && exec {found} "$2"'
        message = f"the image has no {name}, which shell.executable() asks for"
        yield f"refuse {quote(message)}"


def _finish_output(output: PlannedOutput) -> Iterator[str]:
    """What Snakemake does for touch() outputs and for logs that nobody wrote."""
    if output.touch and output.folder:
        yield f"touch_file {_path(posixpath.join(output.path, '.snakemake_timestamp'))}"
    elif output.touch or output.role == "log":
        yield f"touch_file {_path(output.path)}"


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


def _keep(index: int, output: PlannedOutput, name: str) -> str:
    keep = "keep_folder" if output.folder else "keep"
    return f"{keep} {index} {_path(output.path)} {quote(name)}"


def stored_name(output: PlannedOutput) -> str:
    """The name that an output gets on the platform: that of its place, encoded for folders."""
    name = posixpath.basename(output.place.path)
    return encode_folder(name) if output.folder else name


def output_glob(index: int, output: PlannedOutput) -> str:
    """The glob that finds output number `index`, whatever its name holds."""
    # A glob's `*` passes over names with a leading dot.
    return f"out/{index}/{'.*' if stored_name(output).startswith('.') else '*'}"
