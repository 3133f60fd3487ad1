"""The file with a job's command, which runs in the shell that the workflow asks for."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from itertools import count
from shlex import quote

from ..in_task.names import TAG
from ..plan.plan import JobPlan
from ..read.facts import PLACEHOLDERS, STRICT_PREFIX, Language, PreparedScript, Shell


def command_file(plan: JobPlan, words: Mapping[str, str] | None = None) -> str:
    """The job's command; with `words` for what the script fills in, unless it has its own."""
    command = _full_command(plan)
    for placeholder, word in (words or words_for_placeholders([plan])).items():
        command = command.replace(placeholder, word)
    return command


def _full_command(plan: JobPlan) -> str:
    shell = plan.shell
    prefix = "" if is_strict(shell) else shell.prefix
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
    commands = [_full_command(plan) for plan in plans]
    return {one: absent_word(f"<{one[1:-1]}-{{}}>", commands) for one in PLACEHOLDERS}


def absent_word(pattern: str, texts: Sequence[str]) -> str:
    """The first of the pattern's words that is in none of the texts."""
    words = (pattern.format(number) for number in count())
    return next(word for word in words if not any(word in text for text in texts))


def is_strict(shell: Shell) -> bool:
    """Whether the prefix is Snakemake's strict mode, which the shell then gets as options."""
    return posixpath.basename(shell.executable) == "bash" and shell.prefix == STRICT_PREFIX
