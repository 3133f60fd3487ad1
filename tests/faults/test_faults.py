"""The campaign in short, and what it runs: its workflows and its scenarios."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.records import endings
from tests.faults.runs import run_scenario
from tests.faults.scenarios import Scenario, random_scenario
from tests.faults.workflows import flat, random_workflow
from tests.faults.worlds import WORLDS

SHORT_SEEDS = (1, 304, 656, 790)


def short_scenario(seed: int) -> Scenario:
    return random_scenario(seed, least=12, most=16)


@pytest.mark.parametrize("seed", SHORT_SEEDS)
def test_no_job_is_lost_or_paid_for_twice(seed: int) -> None:
    """Protects everything that `checks.py` states, on a few seeds of the campaign."""
    report = run_scenario(short_scenario(seed), keep=False)
    assert sum(report.interruptions.values()), "the main process was not interrupted"
    assert bool(report.shared["children"]) == (report.scenario.sharing in ("batch", "both"))
    assert bool(report.shared["pieces"]) or report.scenario.sharing != "pack"
    assert not report.violations, "\n".join(map(str, report.violations))


def test_a_run_goes_on_in_a_world_where_more_is_the_matter() -> None:
    """Protects the worlds and their judge; the token is renewed, and jobs lack memory."""
    scenario = random_scenario(9667, least=8, most=10, worlds=["memory", "token"])
    assert scenario.world.names == {"memory", "token"}
    report = run_scenario(scenario, keep=False)
    assert report.faults["token"] == 1
    assert not report.violations, "\n".join(map(str, report.violations))


def test_a_main_process_on_the_platform_is_lost_and_submitted_again() -> None:
    """Protects that a coordinator which is ended from outside costs no job, and leaves nothing."""
    scenario = random_scenario(80002, least=8, most=10, worlds=["submitted"])
    assert scenario.world.names == {"submitted"}
    report = run_scenario(scenario, keep=False)
    assert report.interruptions["kill running"] == 1
    assert not report.violations, "\n".join(map(str, report.violations))


def test_the_seeds_of_the_short_campaign_cover_what_matters() -> None:
    """Protects the short campaign from losing its kinds when the generator changes."""
    scenarios = [short_scenario(seed) for seed in SHORT_SEEDS]
    assert {scenario.place for scenario in scenarios} == {"transfer", "storage"}
    covered = {(one.ending, one.moment) for each in scenarios for one in each.interruptions}
    assert {("kill", "running"), ("kill", "unseen"), ("ctrl-c", "running")} <= covered
    assert "elsewhere" in {one.resume for each in scenarios for one in each.interruptions}
    rules = [rule for scenario in scenarios for rule in scenario.workflow.rules]
    assert any(rule.parts for rule in rules), "no checkpoint"
    assert any(rule.fails for rule in rules), "no retries"
    assert any(rule.group for rule in rules), "no group"
    assert {scenario.sharing for scenario in scenarios} == {"none", "batch", "pack", "both"}
    sharing = [scenario for scenario in scenarios if scenario.sharing != "none"]
    struck = {one.moment for each in sharing for one in each.interruptions if one.after == 0}
    assert {"drafted", "started"} <= struck, "packs and batches are made when a run begins"
    assert "elsewhere" in {one.resume for each in sharing for one in each.interruptions}
    assert any(rule.failing for each in sharing for rule in each.workflow.rules)


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_always_makes_the_same_run(seed: int) -> None:
    """Protects that a violating run can be repeated from its seed."""
    first, second = random_scenario(seed), random_scenario(seed)
    assert first == second
    assert first.workflow.files("witness") == second.workflow.files("witness")
    assert first.workflow != random_scenario(seed + 1).workflow


def test_each_world_has_its_seeds_and_a_seed_its_world() -> None:
    """Protects that all worlds are played, and that a violating run can be repeated."""
    scenarios = [random_scenario(seed, worlds=WORLDS) for seed in range(60)]
    assert {name for one in scenarios for name in one.world.names} == set(WORLDS)
    assert scenarios[:5] == [random_scenario(seed, worlds=WORLDS) for seed in range(5)]
    plain = [random_scenario(seed) for seed in range(60)]
    assert [one.faults for one in plain] == [one.faults for one in scenarios]
    for one in scenarios:
        overtaken = [each for each in one.interruptions if each.ending == "overtaken"]
        assert bool(overtaken) == one.world.has("overtaken")
        assert not overtaken or one.place == "storage", "a directory belongs to one machine"
        assert one.place == "storage" or not one.world.has("submitted")
        hungry = [job for job in one.workflow.jobs if job.needs]
        assert not hungry or one.world.has("memory")


@pytest.mark.parametrize("seed", range(40))
def test_every_workflow_can_run(seed: int) -> None:
    """Protects that each input exists or is made before, and that sizes are as stated."""
    workflow = random_workflow(random.Random(seed))
    made = set(workflow.given)
    for job in workflow.jobs:
        missing = [path for path in job.inputs if path not in made]
        assert all(path.rpartition("/")[0] in made for path in missing), missing
        made |= {output.path for output in job.outputs}
    assert 20 <= len(workflow.jobs) <= 70
    assert workflow.targets
    assert set(workflow.targets) <= set(workflow.kept()), "no target is temporary"


@pytest.mark.parametrize("seed", [7, 31])
def test_snakemake_alone_makes_the_expected_contents(seed: int, tmp_path: Path) -> None:
    """Protects the expectation itself: Snakemake on this machine, without the plugin, meets it.

    One workflow has jobs that fail at first, the other one checkpoints: with both, Snakemake alone
    may never get to its end (its issue 823).
    """
    workflow = random_scenario(seed).workflow
    witness = tmp_path / "witness"
    directory = tmp_path / "workflow"
    given = {path: content.decode() for path, content in workflow.given.items()}
    for name, text in (workflow.files(str(witness)) | given).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    command = [sys.executable, "-m", "snakemake", "--cores", "8"]
    run = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for path, content in flat(workflow.kept()).items():
        assert (directory / path).read_bytes() == content, path
    assert endings(witness.read_text()) == Counter((job.key, "") for job in workflow.jobs)
