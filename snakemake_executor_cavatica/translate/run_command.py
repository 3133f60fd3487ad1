"""The part of a job's script that starts its command: in which environment, by which shell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from shlex import quote

from ..in_task.names import PLUGINS_FOLDER
from ..plan.plan import JobPlan, Mode
from ..read.facts import (
    OWN_FOLDERS,
    TMPDIR_PLACEHOLDER,
    WORKDIR_PLACEHOLDER,
    has_placeholders,
)
from .shells import start

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def run_job(plan: JobPlan, words: Mapping[str, str]) -> Iterator[str]:
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
        found = f"{quote(words[TMPDIR_PLACEHOLDER])} {quote(words[WORKDIR_PLACEHOLDER])}"
        yield f'fill_in "$2" "$2.filled" {found} || refuse "cannot write the command"'
        yield 'set -- "$1" "$2.filled"'
    yield from start(plan.shell)
    yield ") >&2 < /dev/null; }"


def _environment(plan: JobPlan) -> Iterator[str]:
    # An image may have neither, or keep them to another user, or may be read-only.
    yield 'TMPDIR=$(writable "${TMPDIR:-/tmp}" "$task/tmp") || refuse "there is no room for files"'
    yield 'HOME=$(writable "${HOME:-}" "$task/home") || refuse "there is no room for files"'
    # Some programs end without it, and a task has no terminal to name.
    yield "export TMPDIR HOME TERM=${TERM:-dumb}"
    for name, value in plan.environment.items():
        yield f"export {name}={_value(name, value)}"
    # As Python does for all that it starts, and so Snakemake. R cuts off what it reads as UTF-8 at
    # the first letter that is none of ASCII.
    yield "case ${LC_ALL:+set}${LC_CTYPE:-${LANG:-C}} in C | POSIX)"
    yield 'set -- "$@" "$(utf8_locale)"; [ -z "$4" ] || export LC_CTYPE="$4" ;; esac'
    yield 'export TMP="$TMPDIR" TEMP="$TMPDIR" TEMPDIR="$TMPDIR"'
    assignments = " ".join(f"{name}={plan.resources.cores}" for name in THREAD_VARIABLES)
    yield f"export {assignments}"


def _value(name: str, value: str) -> str:
    """A value, quoted; `$1` is the working directory where the environment is made."""
    own = f"${name}:" if value.startswith(OWN_FOLDERS) else f":${name}"
    quoted = quote(value).replace(OWN_FOLDERS, f"'\"${{{name}:+{own}}}\"'")
    return quoted.replace(WORKDIR_PLACEHOLDER, "'\"$1\"'")
