"""Decides how a job runs as a task, from plain values alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from ..api.errors import ConfigurationError
from ..project.paths import check_output, check_path, check_text
from ..read import values
from ..read.facts import TBD, VARIABLE, Defaults, JobFacts, Refusal, Shell, without_placeholders
from .files import disk_for_copies, planned_outputs, staged_inputs, wanted_method, written_files
from .given import given_as, given_number, given_truth
from .machine import may_be_batched, most_in_one_task, resources_of, task_settings
from .mode import choose_mode, image_of, is_benchmarked, refuse_what_snakemake_cannot_find
from .plan import JobPlan, Mode, PlannedMember

_DECIMALS = "; decimals have to be in quotes, or Snakemake cuts them off"


def plan_job(facts: JobFacts, defaults: Defaults) -> JobPlan:
    """Decide how a job runs.

    Raises:
        Refusal: the job cannot run as the workflow asks.
    """
    mode, reason = choose_mode(facts, defaults)
    direct = mode is Mode.DIRECT
    if not direct:
        refuse_what_snakemake_cannot_find(facts, reason)
    command = _command(facts) if direct else facts.snakemake_command
    script = facts.script if direct else None
    try:
        _check_texts(facts, defaults, script.text if script else command)
        inputs = staged_inputs(facts, defaults, direct)
        resources = resources_of(facts, copies_mb := disk_for_copies(inputs))
        settings = task_settings(facts, defaults, resources, copies_mb)
    except ConfigurationError as error:
        raise Refusal(facts.rule, str(error)) from error
    return JobPlan(
        # Some 1,500 characters for each of thousands of jobs that do without.
        facts=replace(facts, snakemake_command="") if direct else facts,
        mode=mode,
        reason=reason,
        image=image_of(facts, defaults, mode),
        command=command,
        script=script,
        shell=facts.shell if direct and not facts.members else Shell("sh", "", ""),
        inputs=tuple(inputs),
        outputs=tuple(planned_outputs(facts, direct, taken={staged.port for staged in inputs})),
        resources=resources,
        settings=settings,
        environment=_environment(defaults, direct),
        variables_missed=() if direct else tuple(defaults.variables_missed),
        programs_started=() if direct else tuple(defaults.programs_started),
        precommand=defaults.precommand,
        metadata=_metadata(facts, defaults),
        inherits_metadata=_inherits(facts, defaults),
        in_container=defaults.in_containers,
        batched=may_be_batched(facts, defaults),
        packed=most_in_one_task(facts, defaults),
        measured=defaults.measured,
        lacks_columns=direct and defaults.benchmarks_extended and is_benchmarked(facts),
        max_cost=_max_cost(facts),
        memory_retries=_memory_retries(facts, defaults),
        reuse=_reuse(facts, defaults),
        wanted_inputs=wanted_method(facts, defaults),
        parcel_up_to=defaults.parcel_up_to,
        members=_members(facts) if direct else (),
    )


def _command(facts: JobFacts) -> str:
    """What runs without Snakemake, unless it is a script; of a group all that its jobs run."""
    if not facts.members:
        return facts.command or ""
    jobs = [member.facts for member in facts.members]
    return "\n".join(job.script.text if job.script else job.command or "" for job in jobs)


def _metadata(facts: JobFacts, defaults: Defaults) -> dict[str, str]:
    wanted = given_as(facts, "cavatica_output_metadata", values.metadata)
    return wanted or values.metadata(defaults.output_metadata or "")


def _members(facts: JobFacts) -> tuple[PlannedMember, ...]:
    return tuple(
        PlannedMember(member, tuple(planned_outputs(member.facts, direct=True, taken=set())))
        for member in facts.members
    )


def _max_cost(facts: JobFacts) -> float | None:
    """Nobody who gives an empty text, as from a variable that is not set, wants no limit at all."""
    reader = partial(values.amount, remark=_DECIMALS)
    return given_as(facts, "cavatica_max_cost", reader, nothing=(None, TBD))


def _memory_retries(facts: JobFacts, defaults: Defaults) -> int:
    wanted = given_number(facts, "cavatica_memory_retries")
    return defaults.memory_retries if wanted is None else wanted


def _reuse(facts: JobFacts, defaults: Defaults) -> bool | None:
    wanted = given_truth(facts, "cavatica_reuse")
    return defaults.reuse if wanted is None else wanted


def _inherits(facts: JobFacts, defaults: Defaults) -> bool:
    wanted = given_truth(facts, "cavatica_inherit_metadata")
    return defaults.inherit_metadata if wanted is None else wanted


def _check_texts(facts: JobFacts, defaults: Defaults, command: str) -> None:
    """Refuse what cannot be written into a task."""
    check_text(without_placeholders(command), "The command")
    for file in written_files(facts):
        check_output(file.place, folder=file.form == "folder")
    for file in (*facts.inputs, *facts.staged):
        check_path(file.path)
    for name, value in _environment(defaults, direct=True).items():
        if not VARIABLE.fullmatch(name):
            raise ConfigurationError(
                f"The environment variable {name!r} has a name that a shell does not take; leave "
                "it out of envvars."
            )
        check_text(without_placeholders(value), f"The value of the environment variable {name}")


def _environment(defaults: Defaults, direct: bool) -> Mapping[str, str]:
    given = defaults.workflow_environment if direct else {}
    return {**given, **defaults.environment}
