"""What a job asks of its machine, and whether it may share it with others."""

from __future__ import annotations

from ..read import values
from ..read.facts import Defaults, JobFacts, Refusal
from .given import T, given_choice, given_number, given_text, given_truth
from .instance_types import check_named, choose_instance, takes_certain_type
from .plan import Resources, TaskSettings


def resources_of(facts: JobFacts, copies_mb: int) -> Resources:
    """Disk only where it is asked for, which a rule does for all its jobs: they share an app."""
    memory_mb = given_number(facts, "mem_mb")
    disk_mb = given_number(facts, "disk_mb")
    return Resources(
        cores=max(1, facts.threads),
        memory_mib=None if memory_mb is None else mebibytes(memory_mb),
        disk_mib=None if disk_mb is None else mebibytes(disk_mb + copies_mb),
        runtime_minutes=given_number(facts, "runtime"),
    )


def task_settings(
    facts: JobFacts, defaults: Defaults, resources: Resources, copies_mb: int
) -> TaskSettings:
    """The execution settings of the task."""
    instance = given_text(facts, "cavatica_instance_type") or defaults.instance_type or None
    parallel = given_number(facts, "cavatica_max_parallel_instances", least=1)
    if instance is None:
        instance = _chosen_instance(facts, defaults, resources, copies_mb)
    else:
        check_named(instance, cores=resources.cores, memory_mib=resources.memory_mib or 0)
    return TaskSettings(
        instance_type=instance,
        max_parallel_instances=_first(parallel, defaults.max_parallel_instances),
        use_memoization=_first(
            given_truth(facts, "cavatica_use_memoization"), defaults.use_memoization
        ),
        use_elastic_disk=_first(
            given_truth(facts, "cavatica_use_elastic_disk"), defaults.use_elastic_disk
        ),
        interruptible=_interruptible(facts, defaults),
    )


def _chosen_instance(
    facts: JobFacts, defaults: Defaults, resources: Resources, copies_mb: int
) -> str | None:
    disk_mb = (given_number(facts, "disk_mb") or 0) + copies_mb
    gpus = given_number(facts, "gpu")
    if lies_on_aws(defaults):
        return choose_instance(
            cores=resources.cores,
            memory_mib=resources.memory_mib or 0,
            disk_mb=disk_mb,
            gpus=gpus,
        )
    if takes_certain_type(disk_mb=disk_mb, gpus=gpus):
        raise Refusal(
            facts.rule,
            f"its gpu or disk_mb takes a certain instance type, and the project lies at "
            f"{defaults.location}, whose types this plugin does not know. Name one with the "
            "resource cavatica_instance_type.",
        )
    return None


def lies_on_aws(defaults: Defaults) -> bool:
    """Whether the plugin knows the instance types of the project's location."""
    return (defaults.location or "aws").startswith("aws")


def may_be_batched(facts: JobFacts, defaults: Defaults) -> bool:
    """Whether the job may share a batch task. What has failed once is repeated alone."""
    wanted = given_choice(facts, "cavatica_batch", values.BATCHES) or defaults.batch
    return wanted == "auto" and facts.attempt == 1


def most_in_one_task(facts: JobFacts, defaults: Defaults) -> int:
    """How many jobs may share a task. What has failed once is repeated alone."""
    wanted = given_number(facts, "cavatica_pack", least=1) or defaults.pack
    return wanted if facts.attempt == 1 else 1


def _interruptible(facts: JobFacts, defaults: Defaults) -> bool | None:
    chosen = given_truth(facts, "cavatica_interruptible")
    if chosen is not None:
        return chosen
    if facts.preemptible:
        # The last attempt must not be lost to the spot market as well, unless it is the only one.
        return not (facts.last_attempt and facts.attempt > 1)
    return defaults.interruptible


def mebibytes(megabytes: int) -> int:
    """So many that they are no less."""
    return -(-megabytes * 1_000_000 // 1_048_576)


def _first(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)
