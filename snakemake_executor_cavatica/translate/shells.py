"""How a job's command gets to its shell: as the file that the workflow's shell runs."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from itertools import count
from shlex import quote

from ..in_task.names import TAG
from ..read.facts import STRICT_PREFIX, Language, PreparedScript, Shell

SCRIPTS_FOLDER = ".snakemake/scripts"
"""Where Snakemake puts the scripts of rules, too."""


def text_for_shell(
    command: str, script: PreparedScript | None, shell: Shell, scripts_folder: str
) -> str:
    """What the shell runs for a command, or for a script in its place."""
    prefix = "" if is_strict(shell) or not shell.prefix else f"{shell.prefix} "
    if script is not None:
        return f"{_script_command(script, scripts_folder, prefix)}{shell.suffix}\n"
    return f"{prefix}{command}{shell.suffix}\n"


def _script_command(script: PreparedScript, folder: str, prefix: str) -> str:
    """Writes a script into a file, and runs it: by one command, where there is a prefix for it."""
    file = quote(f"{folder}/{script.name}")
    text = script.text.removesuffix("\n")
    lines = set(text.split("\n"))
    end = next(end for end in map("END-OF-SCRIPT-{}".format, count()) if end not in lines)
    search, call = _INTERPRETERS[script.language]
    write = f"mkdir -p {folder}\ncat > {file} << '{end}'\n{text}\n{end}"
    if prefix:
        program = f'{search}\n{call} "$0"'
        return f"{write}\n{prefix}sh -c {quote(program)} {file}"
    return f"{write}\n{search}\n{call} {file}"


def _lacking(interpreter: str) -> str:
    """Ends the job for want of an interpreter."""
    return f"{{ echo '{TAG} error the image has no {interpreter}' >&2; exit 127; }}"


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


def start(shell: Shell) -> Iterator[str]:
    """Become the shell that runs the command, which is a file named by `$2`."""
    name = posixpath.basename(shell.executable)
    if is_strict(shell):
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


def is_strict(shell: Shell) -> bool:
    """Whether the prefix is Snakemake's strict mode, which the shell then gets as options."""
    return posixpath.basename(shell.executable) == "bash" and shell.prefix == STRICT_PREFIX


def absent_word(pattern: str, texts: Sequence[str]) -> str:
    """The first of the pattern's words that is in none of the texts."""
    words = (pattern.format(number) for number in count())
    return next(word for word in words if not any(word in text for text in texts))
