"""The file with a job's command, which runs in the shell that the workflow asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..plan.plan import JobPlan, Mode
from ..read.facts import PLACEHOLDERS
from .group_program import group_program
from .shells import SCRIPTS_FOLDER, absent_word, text_for_shell


def command_file(plan: JobPlan, words: Mapping[str, str] | None = None) -> str:
    """The job's command; with `words` for what the script fills in, unless it has its own."""
    command = _full_command(plan)
    for placeholder, word in (words or words_for_placeholders([plan])).items():
        command = command.replace(placeholder, word)
    return command


def text_of_job(plan: JobPlan, code: str) -> str:
    """What the job runs, as far as one can tell before.

    Args:
        code: what Snakemake runs for the job where the command does not tell.
    """
    return command_file(plan) if plan.mode is Mode.DIRECT else code


def _full_command(plan: JobPlan) -> str:
    if plan.members:
        return group_program(plan)
    return text_for_shell(plan.command, plan.script, plan.shell, SCRIPTS_FOLDER)


def words_for_placeholders(plans: Sequence[JobPlan]) -> dict[str, str]:
    """What stands for each placeholder in the files: no text can hold NUL, and not all `sed` can.

    Nothing else in the commands reads like it, nor overlaps with it: it ends as it does not start.
    """
    commands = [_full_command(plan) for plan in plans]
    return {one: absent_word(f"<{one[1:-1]}-{{}}>", commands) for one in PLACEHOLDERS}
