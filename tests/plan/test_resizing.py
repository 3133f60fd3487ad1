"""How much more a job gets that has run out of memory or disk."""

from __future__ import annotations

from dataclasses import replace

import pytest
from translated_jobs import local, plan

from snakemake_executor_cavatica.plan.resizing import (
    UsedBefore,
    less_memory,
    more_disk,
    more_memory,
)
from snakemake_executor_cavatica.read.facts import Defaults, JobFacts


def facts(threads: int = 1, **resources: object) -> JobFacts:
    return JobFacts("a", "1", 1, "shell", "", threads=threads, resources=resources)


def test_twice_as_much_in_all_of_snakemakes_units() -> None:
    assert more_memory(facts(mem_mb=1000), Defaults()) == {
        "mem": "2000 MB",
        "mem_mb": 2000,
        "mem_mib": 1908,
    }
    assert more_disk(facts(disk_mb=1_100_000), Defaults()) == {
        "disk": "2200000 MB",
        "disk_mb": 2_200_000,
        "disk_mib": 2_098_084,
    }


@pytest.mark.parametrize("asked", [{}, {"disk_mb": 1000}], ids=["nothing", "Snakemake's default"])
def test_a_job_that_asks_for_little_disk_had_that_of_the_instance(asked: dict[str, int]) -> None:
    """Twice of what it asks for would be the same disk once more."""
    more = more_disk(facts(**asked), Defaults())
    assert more is not None
    assert more["disk_mb"] == 2_048_000


def test_where_no_type_with_a_larger_disk_is_known_there_is_no_more() -> None:
    """To ask for it would be refused, and the job be told that instead of its full disk."""
    assert more_disk(facts(), Defaults(location="google:us-west1")) is None


@pytest.mark.parametrize(("asked", "gets"), [(500_000, 824_633), (824_633, None), (10**7, None)])
def test_no_more_memory_than_the_largest_instance_has(asked: int, gets: int | None) -> None:
    """768 GiB, of an r5.24xlarge."""
    more = more_memory(facts(mem_mb=asked), Defaults())
    assert (more and more["mem_mb"]) == gets


def test_a_gpu_limits_the_choice_of_instances() -> None:
    """488 GiB, of a p3.16xlarge."""
    more = more_memory(facts(mem_mb=400_000, gpu=1), Defaults())
    assert more is not None
    assert more["mem_mb"] == 523_986


@pytest.mark.parametrize(
    ("job", "defaults"),
    [
        (facts(), Defaults()),
        (facts(mem_mb=1000, cavatica_instance_type="c5.large"), Defaults()),
        (facts(mem_mb=1000), Defaults(instance_type="c5.large")),
        (facts(threads=500, mem_mb=1000), Defaults()),
    ],
    ids=["unknown amount", "named by the rule", "named by the setting", "no instance at all"],
)
def test_none_where_more_cannot_be_had(job: JobFacts, defaults: Defaults) -> None:
    assert more_memory(job, defaults) is None


def test_a_job_with_larger_inputs_than_were_measured_keeps_its_memory() -> None:
    """Earlier runs tell what was enough for theirs: those may have been to try the workflow."""
    before = UsedBefore({"rule": 500}, {"rule": 10})

    def gets(size: int, **resources: object) -> object:
        inputs = [replace(local("in.txt"), size=size)]
        less = less_memory(plan(rule="rule", inputs=inputs, resources=resources), before)
        return less and less["mem_mb"]

    assert (gets(10, mem_mb=1000), gets(11, mem_mb=1000)) == (500, None)
    assert (gets(10, mem_mb=500), gets(10)) == (None, None)
