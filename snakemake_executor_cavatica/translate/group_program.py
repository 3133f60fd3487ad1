"""The program of a group: runs its jobs, each with its own command, without Snakemake.

It is the command of the group's task, so everything around it is as for a single job. The shell
functions of `group.sh` say when what starts; what is written here says what each job is.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from shlex import quote

from ..in_task.texts import functions_for_groups, functions_for_shadow
from ..plan.plan import JobPlan, PlannedMember, PlannedOutput
from ..project.paths import in_task
from .own_part import BENCHMARK_FORMAT, checks_of, finish_output
from .run_command import THREAD_VARIABLES
from .shells import SCRIPTS_FOLDER, absent_word, start, text_for_shell
from .staging import quoted_path

_BY_LINK = {"shallow": "link_all_into_shadow", "full": "link_tree_into_shadow"}


def group_program(plan: JobPlan) -> str:
    """The program, for a POSIX `sh` that starts in the working directory."""
    members = plan.members
    commands = [_text(number, member) for number, member in enumerate(members)]
    end = absent_word("END-OF-JOB-{}", commands)
    units = _units(members)
    lines = [
        functions_for_groups(),
        *([functions_for_shadow()] if any(one.member.shadow for one in members) else []),
        f"cavatica_thread_variables={quote(' '.join(THREAD_VARIABLES))}",
        f"cavatica_apart={'' if _is_chain(units, members) else 1}",
        f"cavatica_free={_words(plan.facts.room)}",
        f"cavatica_waiting={_words(range(len(units)))}",
        *(line for number, unit in enumerate(units) for line in _unit(number, unit, plan)),
        *(
            line
            for number, (member, command) in enumerate(zip(members, commands, strict=True))
            for line in _job(number, member, command, end)
        ),
        "run_group",
    ]
    return "\n".join(lines) + "\n"


def _text(number: int, planned: PlannedMember) -> str:
    facts = planned.member.facts
    # Each in its own folder: jobs side by side may have the same script.
    return text_for_shell(
        facts.command or "", facts.script, facts.shell, f"{SCRIPTS_FOLDER}/{number}"
    )


def _units(members: Sequence[PlannedMember]) -> list[list[int]]:
    units: dict[int, list[int]] = {}
    for number, one in enumerate(members):
        units.setdefault(one.member.unit, []).append(number)
    return list(units.values())


def _is_chain(units: Sequence[Sequence[int]], members: Sequence[PlannedMember]) -> bool:
    """Whether never more than one of the jobs can run."""
    return all(len(unit) == 1 for unit in units) and all(
        number - 1 in members[number].member.after for number in range(1, len(members))
    )


def _unit(number: int, unit: Sequence[int], plan: JobPlan) -> Iterator[str]:
    jobs = [plan.members[one].member for one in unit]
    after = sorted({plan.members[need].member.unit for job in jobs for need in job.after})
    takes = [
        min(room, sum(job.takes[place] for job in jobs))
        for place, room in enumerate(plan.facts.room)
    ]
    yield f"use_unit_{number}() {{"
    yield f"cavatica_after={_words(after)} cavatica_takes={_words(takes)}"
    yield f"cavatica_jobs={_words(unit)}"
    yield "}"
    yield f"with_pipes_{number}() {{ :"
    readers = {path: one for one in unit for path in plan.members[one].member.reads}
    for one in unit:
        for path in plan.members[one].member.pipes:
            yield f'"$1" {quoted_path(path)} {one} {readers.get(path, "none")}'
    yield "}"


def _job(number: int, planned: PlannedMember, command: str, end: str) -> Iterator[str]:
    member = planned.member
    yield f"use_job_{number}() {{"
    yield f"cavatica_threads={member.facts.threads}"
    yield "prepare_job() {"
    yield f"cat > \"$cavatica_folder/{number}.command\" << '{end}' || die 'cannot write a command'"
    yield f"{command}{end}"
    folders = {posixpath.dirname(output.path) for output in planned.outputs}
    for folder in sorted(folders - {""}):
        yield f"mkdir -p {quoted_path(folder)} || die 'cannot create the folders of the outputs'"
    yield from _enter_shadow(number, planned)
    if member.facts.benchmark is not None:
        yield "cavatica_began=$(date +%s)"
    yield ":; }"
    yield "become_command() {"
    yield from start(member.facts.shell)
    yield "}"
    yield "leave_job() {"
    yield from _leave(planned)
    yield ":; }; }"


def _enter_shadow(number: int, planned: PlannedMember) -> Iterator[str]:
    shadow = planned.member.shadow
    if shadow is None:
        return
    yield f"enter_shadow {number}"
    if shadow in _BY_LINK:
        yield _BY_LINK[shadow]
    bring = "copy_into_shadow" if shadow == "copy-minimal" else "link_into_shadow"
    for file in planned.member.facts.inputs:
        yield f"{bring} {quoted_path(in_task(file.path))}"
    for output in planned.outputs:
        yield f"place_in_shadow {quoted_path(output.path)}"


def _leave(planned: PlannedMember) -> Iterator[str]:
    """Look at what the job has left; `$1` is how it ended."""
    outputs = list(enumerate(planned.outputs))
    logs = [output for _, output in outputs if output.role == "log"]
    if planned.member.shadow:
        yield from (_take_out(output) for output in logs)
    yield 'if [ "$1" -eq 0 ]; then'
    if planned.member.shadow:
        yield from (_take_out(output) for _, output in outputs if output.role == "output")
    yield from (line for _, output in outputs for line in finish_output(output))
    yield from (
        line for _, output in outputs if output.role == "benchmark" for line in _benchmark(output)
    )
    yield from (line for index, output in outputs for line in checks_of(index, output))
    yield ":; fi"
    if planned.member.shadow:
        yield "leave_shadow"


def _take_out(output: PlannedOutput) -> str:
    return f"take_out_of_shadow {quoted_path(output.path)}"


def _benchmark(output: PlannedOutput) -> Iterator[str]:
    yield "cavatica_took=$(($(date +%s) - cavatica_began))"
    yield (
        f"printf '{BENCHMARK_FORMAT}' \"$cavatica_took\" $((cavatica_took / 3600)) "
        f"$((cavatica_took / 60 % 60)) $((cavatica_took % 60)) > {quoted_path(output.path)}"
    )


def _words(numbers: Sequence[int]) -> str:
    """Numbers as the value of a variable, with a space around each."""
    return quote("".join(f" {number}" for number in numbers) + " ")
