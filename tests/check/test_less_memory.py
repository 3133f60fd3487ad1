"""What right-sizing will make of rules, as a check tells it."""

from __future__ import annotations

from translated_jobs import plan

from snakemake_executor_cavatica.check.jobs import RuleJobs
from snakemake_executor_cavatica.check.less_memory import smaller


def rule(name: str, mem_mb: int, cores: int = 1, jobs: int = 3) -> RuleJobs:
    found = RuleJobs(name, jobs=[object()] * jobs)
    found.plans += [plan(rule=name, threads=cores, resources={"mem_mb": mem_mb})] * jobs
    return found


def told(*rules: RuleJobs, enough: dict[str, int], by_instance: bool = True) -> list[str]:
    return [str(one) for one in smaller(rules, enough, is_priced_by_instance=by_instance)]


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
