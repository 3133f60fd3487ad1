"""The script of a task that may run any of several jobs, and the manifest that it chooses from.

The script is the same for all jobs. The manifest, which takes the place of the command beside it,
holds the command and the steps of each job, and first of all a line that says for other processes
which jobs there are: `identity.read_job_list` reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote

from ..in_task.names import COMMAND_NAME, JOBS_FOLDER
from ..plan.plan import JobPlan
from .job_key import Listed, job_list_line
from .script import (
    absent_word,
    as_script,
    command_file,
    own_part,
    shared_part,
    words_for_placeholders,
)


@dataclass(frozen=True)
class Entry:
    """One job of a manifest."""

    plan: JobPlan
    listed: Listed
    words: Sequence[str]
    """What the job is chosen by."""
    staged: Sequence[str]
    """Lines that bring its inputs to their paths."""
    names: Mapping[str, str] = field(default_factory=dict)
    """What outputs are to be stored as, by port, where not under their own names."""


def script_for_one(plans: Sequence[JobPlan]) -> str:
    """The script of a task that is one of these jobs: which one, its last argument tells."""
    return as_script(
        [
            *shared_part(plans[0], words_for_placeholders(plans)),
            f'. "$task/{COMMAND_NAME}"',
            "command=$task/command.sh",
            "for last; do :; done",
            'use_job "${last##*/}"',
            'run_task "$@"',
        ]
    )


_PACK = f"""\
note started
pack=$task
mkdir "$pack/claims" "$pack/{JOBS_FOLDER}" || die "cannot create the folders of the jobs"
. "$pack/{COMMAND_NAME}"
# A job, in a subshell: nothing of it reaches the others.
run_piece() {{
  task=$pack/{JOBS_FOLDER}/$1
  root=$task/work
  command=$task/command.sh
  mkdir "$task" && cd "$task" || die "cannot create the folder of the job"
  use_job "$1"
  shift
  run_task "$@"
}}
piece() {{ (run_piece "$@") 2> "$pack/claims/$1/stderr"; }}
# Several of them run at a time; each takes what no other has taken.
lane() {{
  for job in $jobs; do
    mkdir "$pack/claims/$job" 2> /dev/null && start "$job" "$@"
  done
}}
show_pieces() {{
  for job in $jobs; do
    [ -f "$pack/claims/$job/stderr" ] || continue
    note "job $job"
    cat "$pack/claims/$job/stderr" >&2
    printf '\\n' >&2
    note "end-job $job"
  done
}}
"""


def script_for_all(
    plans: Sequence[JobPlan], arguments: Mapping[str, Sequence[int]], *, lanes: int
) -> str:
    """The script of a task that is all of these jobs, and succeeds whether they do or not.

    Args:
        arguments: by job, which of the script's arguments are its inputs; the first one is for all.
        lanes: how many run at a time.
    """
    return as_script(
        [
            *shared_part(plans[0], words_for_placeholders(plans)),
            _PACK,
            f"jobs={quote(' '.join(arguments))}",
            "start() { started=$1; shift; case $started in",
            *(
                f'{quote(job)}) piece {quote(job)} "$1"'
                + "".join(f' "${{{number}}}"' for number in numbers)
                + " ;;"
                for job, numbers in arguments.items()
            ),
            "esac; }",
            *['lane "$@" &'] * lanes,
            "wait",
            "show_pieces",
            "note 'exit-status 0'",
            "exit 0",
        ]
    )


def manifest(entries: Sequence[Entry]) -> str:
    """The manifest, as a shell script that defines `use_job`."""
    plans = [entry.plan for entry in entries]
    marks = words_for_placeholders(plans)
    commands = [command_file(plan, marks) for plan in plans]
    end = absent_word("END-{}", commands)
    return as_script(
        [
            job_list_line([entry.listed for entry in entries]),
            "use_job() { case $1 in",
            *(
                line
                for entry, command in zip(entries, commands, strict=True)
                for line in _case(entry, command, end)
            ),
            '*) die "$1 is in no job of this task" ;;',
            "esac; }",
        ]
    )


def _case(entry: Entry, command: str, end: str) -> Iterator[str]:
    yield f"{'|'.join(quote(word) for word in entry.words)})"
    yield from own_part(entry.plan, entry.staged, entry.names)
    yield f'cat > "$command" <<\'{end}\' || die "cannot write the command"'
    yield f"{command}{end}"
    yield ";;"
