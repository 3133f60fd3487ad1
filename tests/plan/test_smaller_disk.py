"""Which disk is enough for a job, by what earlier runs have used of theirs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from translated_jobs import local, plan

from snakemake_executor_cavatica.plan.plan import JobPlan
from snakemake_executor_cavatica.plan.resizing import DiskBefore, UsedBefore, has_less_memory
from snakemake_executor_cavatica.plan.smaller_disk import is_nearly_full, less_disk, on_instance
from snakemake_executor_cavatica.project.paths import ProjectPath
from snakemake_executor_cavatica.read.facts import GB, Defaults, WorkflowFile

SMALL = DiskBefore(20_000, 5 * GB)


def job(**changes: Any) -> JobPlan:
    return plan(**{"resources": {"mem_mb": 3000}, **changes})


def chosen(
    job: JobPlan, known: DiskBefore | None = SMALL, *, enough: int | None = None, **defaults: Any
) -> str | None:
    """The instance, if it is another one than the platform would choose."""
    disk = {} if known is None else {"align": known}
    before = UsedBefore({} if enough is None else {"align": enough}, disk=disk)
    less = less_disk(job, Defaults(**defaults), before)
    return None if less is None else less.instance


def remote(path: str, size: int) -> WorkflowFile:
    return WorkflowFile(path, path, ProjectPath("a/b", path), size=size)


@pytest.mark.parametrize(
    ("used_mb", "gigabytes"),
    [(1, 50), (32_000, 50), (32_001, 60), (100_000, 140), (800_000, 1010)],
)
def test_a_quarter_more_than_the_most_and_ten_gigabytes(used_mb: int, gigabytes: int) -> None:
    assert chosen(job(), DiskBefore(used_mb, 0)) == f"c5.large;ebs-gp2;{gigabytes}"


def test_never_more_than_there_would_be_otherwise() -> None:
    assert chosen(job(), DiskBefore(812_000, 0)) is None
    large = job(resources={"mem_mb": 3000, "disk_mb": 2_000_000})
    assert large.settings.instance_type == "c5.large;ebs-gp2;2000"
    assert chosen(large, DiskBefore(1_000_000, 0)) == "c5.large;ebs-gp2;1260"
    assert chosen(large, DiskBefore(2_000_000, 0)) is None


def test_a_disk_that_was_full_is_not_enough() -> None:
    assert chosen(job(), replace(SMALL, too_little_gb=50)) is None
    assert chosen(job(), DiskBefore(40_000, 0, too_little_gb=50)) == "c5.large;ebs-gp2;60"


@pytest.mark.parametrize(
    ("inputs", "is_known"),
    [
        ([local("a", size=5 * GB)], True),
        ([local("a", size=5 * GB), local("b", size=1)], False),
        ([local("empty")], True),
        ([remote("unknown", 0)], False),
        ([remote("a", 5 * GB)], True),
        ([local("folder", form="archive")], False),
    ],
    ids=["as large", "larger", "empty", "unknown", "on the platform", "archive"],
)
def test_a_job_with_larger_inputs_or_unknown_ones_keeps_its_disk(
    inputs: list[WorkflowFile], is_known: bool
) -> None:
    assert (chosen(job(inputs=inputs)) is not None) is is_known


@pytest.mark.parametrize(
    ("changes", "defaults"),
    [
        ({"resources": {"mem_mb": 1, "cavatica_instance_type": "c5.large;ebs-gp2;999"}}, {}),
        ({}, {"instance_type": "c5.large"}),
        ({}, {"location": "google:us-central1"}),
        ({"defaults": {"pack": 2}}, {}),
        ({"resources": {}}, {}),
        ({"threads": 400}, {}),
    ],
    ids=["named", "named for all", "not AWS", "may share a task", "no memory", "too large"],
)
def test_where_the_instance_is_named_or_not_known_nothing_changes(
    changes: dict[str, Any], defaults: dict[str, Any]
) -> None:
    if "threads" in changes:
        wanted = replace(job(), resources=replace(job().resources, cores=400))
    else:
        wanted = job(**changes)
    assert chosen(wanted, **defaults) is None
    assert chosen(job()) is not None
    assert chosen(job(), None) is None


def test_without_a_wish_for_memory_the_instance_has_what_the_rule_has_used() -> None:
    bare = job(resources={})
    assert chosen(bare, enough=9000) == "r5.large;ebs-gp2;50"
    on_it = on_instance(bare, "r5.large;ebs-gp2;50")
    assert has_less_memory(on_it, bare)
    assert not has_less_memory(bare, bare)


def test_a_dear_instance_does_not_wait_for_a_slow_disk() -> None:
    assert chosen(job(threads=16)) == "c5.4xlarge;ebs-gp2;340"
    assert chosen(job(threads=16), DiskBefore(400_000, 0)) == "c5.4xlarge;ebs-gp2;510"


def test_an_instance_with_gpus_keeps_its_type() -> None:
    wanted = job(resources={"gpu": 1, "mem_mb": 3000})
    assert chosen(wanted) == "g4dn.xlarge;ebs-gp2;340"


def test_a_rule_that_asks_for_more_disk_is_told_how_much_there_is() -> None:
    """With room for the copies of its inputs, which are added to that."""
    wanted = job(resources={"mem_mb": 3000, "disk_mb": 200_000}, inputs=[local("a", size=3 * GB)])
    less = less_disk(wanted, Defaults(), UsedBefore(disk={"align": SMALL}))
    assert less is not None
    assert less.resources["disk_mb"] == 46_000
    told = plan(resources={"mem_mb": 3000, **less.resources}, inputs=[local("a", size=3 * GB)])
    assert told.resources.disk_mib == -(-50_000 * 1_000_000 // 1024**2)
    small = job(resources={"mem_mb": 3000, "disk_mb": 1000})
    less = less_disk(small, Defaults(), UsedBefore(disk={"align": SMALL}))
    assert less is not None
    assert less.resources == {}, "as most rules do by Snakemake's own default"


def test_a_disk_is_nearly_full_from_nine_tenths_on() -> None:
    on_it = on_instance(job(), "c5.large;ebs-gp2;50")
    assert is_nearly_full(on_it, 45_000_000_000 / 1024**2)
    assert not is_nearly_full(on_it, 44_900_000_000 / 1024**2)
    assert not is_nearly_full(on_it, None)
    assert not is_nearly_full(job(), 10**9), "of the usual disk it is not known how large it is"
