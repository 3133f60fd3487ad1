"""What right-sizing will make of rules, as a check tells it."""

from __future__ import annotations

from translated_jobs import plan

from snakemake_executor_cavatica.check.jobs import RuleJobs
from snakemake_executor_cavatica.check.right_sizing import smaller
from snakemake_executor_cavatica.plan.resizing import DiskBefore, UsedBefore
from snakemake_executor_cavatica.read.facts import Defaults


def rule(name: str, mem_mb: int, cores: int = 1, jobs: int = 3) -> RuleJobs:
    found = RuleJobs(name, jobs=[object()] * jobs)
    found.plans += [plan(rule=name, threads=cores, resources={"mem_mb": mem_mb})] * jobs
    return found


def told(
    *rules: RuleJobs,
    enough: dict[str, int],
    disk: dict[str, DiskBefore] | None = None,
    by_instance: bool = True,
) -> list[str]:
    before = UsedBefore(enough, disk=disk or {})
    found = smaller(rules, before, Defaults(), is_priced_by_instance=by_instance)
    return [str(one) for one in found]


def test_rules_that_will_have_less_are_told_with_what_a_second_costs_then() -> None:
    large, small = rule("large", 64000), rule("small", 1000)
    [text] = told(large, small, rule("new", 9000), enough={"large": 2000, "small": 1400})
    assert text.startswith(
        "rule large gets 2000 MB instead of 64000, by earlier runs; a second costs about "
    )
    assert "by AWS's list prices of" in text


def test_without_known_prices_no_saving_is_made_up() -> None:
    [text] = told(rule("large", 64000), enough={"large": 2000}, by_instance=False)
    assert text.endswith("by earlier runs; what that saves is not known")


def test_a_smaller_disk_is_told_with_its_price() -> None:
    disk = {"small": DiskBefore(10_000, 0), "unasked": DiskBefore(10_000, 0)}
    [text] = told(rule("small", 4000), enough={}, disk=disk)
    assert text == (
        "rule small gets a disk of 50 GB instead of 1024, by earlier runs; a second costs about "
        "41 % of what it would cost, by AWS's list prices of c5.large and c5.large, the cheapest "
        "that fit, with their disks"
    )
    [text] = told(rule("small", 4000), enough={"small": 1000}, disk=disk)
    assert text.startswith(
        "rule small gets 1000 MB instead of 4000 and a disk of 50 GB instead of 1024, by earlier"
    )
    unasked = RuleJobs("unasked", jobs=[object()], plans=[plan(rule="unasked")])
    assert told(unasked, enough={}, disk=disk) == []
    [text] = told(unasked, enough={"unasked": 1000}, disk=disk)
    assert text.endswith("by earlier runs; what that saves is not known")
