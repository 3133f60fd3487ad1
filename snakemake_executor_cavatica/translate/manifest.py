"""The script of a task that may run any of several jobs, and the manifest that it chooses from.

The script is the same for all jobs. The manifest, which takes the place of the command beside it,
holds the command and the steps of each job, and first of all a line that says for other processes
which jobs there are: `job_key.read_job_list` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote

from ..in_task.names import COMMAND_NAME, JOBS_FOLDER
from ..in_task.texts import functions_for_packed_jobs
from ..plan.plan import JobPlan
from .command import command_file, words_for_placeholders
from .job_key import Listed, job_list_line
from .own_part import own_part
from .script import as_script, shared_part
from .shells import absent_word
from .small_outputs import gathering

LARGEST_MANIFEST = 800_000
"""Bytes of a manifest: a task has 1 MiB in all, by the strictest reading."""


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


def script_for_all(
    plans: Sequence[JobPlan], arguments: Mapping[str, Sequence[int]], *, parcels: int, lanes: int
) -> str:
    """The script of a task that is all of these jobs, and succeeds whether they do or not.

    Args:
        arguments: by job, which of the script's arguments are its inputs; the first one is for all.
        parcels: how many of the arguments behind the first one are parcels.
        lanes: how many run at a time.
    """
    return as_script(
        [
            *shared_part(plans[0], words_for_placeholders(plans)),
            functions_for_packed_jobs(),
            "note started",
            f"claims=$task/claims jobs_folder=$task/{JOBS_FOLDER}",
            'mkdir "$claims" "$jobs_folder" || die "cannot create the folders of the jobs"',
            *(f'open_parcel "${{{number}}}"' for number in range(2, 2 + parcels)),
            f'. "$task/{COMMAND_NAME}"',
            f"jobs={quote(' '.join(arguments))}",
            "start() { started=$1; shift; case $started in",
            *(
                f'{quote(job)}) packed_job {quote(job)} "$1"'
                + "".join(f' "${{{number}}}"' for number in numbers)
                + " ;;"
                for job, numbers in arguments.items()
            ),
            "esac; }",
            *['lane "$@" &'] * lanes,
            "wait",
            "show_packed_jobs",
            *gathering(plans[0], plans[0].facts.jobid, packed=True),
            *(["gather_measured"] if plans[0].measured else []),
            "note 'exit-status 0'",
            "exit 0",
        ]
    )


def size_of(entry: Entry, inputs: int) -> int:
    """Bytes of a task that a job takes, with so many inputs of its own."""
    return len(json.dumps(manifest([entry]))) + 300 * inputs


def manifest(entries: Sequence[Entry]) -> str:
    """The manifest, as a shell script that defines `use_job`."""
    plans = [entry.plan for entry in entries]
    words = words_for_placeholders(plans)
    commands = [command_file(plan, words) for plan in plans]
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
