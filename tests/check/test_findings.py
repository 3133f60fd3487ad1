"""What is said of images, requests, disk and instance types, without a workflow."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from translated_jobs import local, plan

from snakemake_executor_cavatica.check import rules
from snakemake_executor_cavatica.check.at_start import _parted
from snakemake_executor_cavatica.check.effort import advice, disk, effort
from snakemake_executor_cavatica.check.finding import (
    Finding,
    Grade,
    as_one_message,
    in_order,
    remark,
    without_repetition,
)
from snakemake_executor_cavatica.check.history import Sample
from snakemake_executor_cavatica.check.images import Image, about_images, look_up
from snakemake_executor_cavatica.check.jobs import RuleJobs
from snakemake_executor_cavatica.check.subject import Subject
from snakemake_executor_cavatica.plan.plan import JobPlan
from snakemake_executor_cavatica.project.connection import Connection
from snakemake_executor_cavatica.read.facts import GB
from tests.api.loopback import Reply, Request, Server


def jobs(number: int, *plans: JobPlan) -> RuleJobs:
    return RuleJobs("align", jobs=[None] * number, plans=list(plans or [plan()]))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("debian", "https://registry-1.docker.io/v2/library/debian/manifests/latest"),
        ("me/tool:1.2", "https://registry-1.docker.io/v2/me/tool/manifests/1.2"),
        ("docker.io/debian:12", "https://registry-1.docker.io/v2/library/debian/manifests/12"),
        ("quay.io/bio/x:1--p", "https://quay.io/v2/bio/x/manifests/1--p"),
        ("localhost:5000/x", "http://localhost:5000/v2/x/manifests/latest"),
        ("ghcr.io/a/b@sha256:12", "https://ghcr.io/v2/a/b/manifests/sha256:12"),
        ("quay.io/a/b:1@sha256:12", "https://quay.io/v2/a/b/manifests/sha256:12"),
    ],
)
def test_an_image_is_sought_where_docker_would(name: str, wanted: str) -> None:
    assert Image.parse(name).manifest == wanted


def connection(limit: int | None) -> Connection:
    client = SimpleNamespace(budget=SimpleNamespace(limit=limit))
    return cast(Connection, SimpleNamespace(client=client, has_no_rate_limit=limit is None))


def test_the_rate_limit_is_told_where_it_takes_longer_than_the_work() -> None:
    many = [jobs(3000, plan(outputs=[local("o")]))]
    found = effort(connection(1000), many)
    assert found.tasks == {"align": 3000}
    assert 9_000 < found.requests < 11_000
    assert found.seconds == pytest.approx(found.requests * 0.3)
    [said] = advice(found, many, instance_seconds=0)
    assert not said.is_problem
    assert "at least 48 minutes" in said.text
    assert "--cavatica-batch auto" in said.text
    assert not list(advice(found, many, instance_seconds=80 * 4000)), "the work takes longer"
    assert effort(connection(None), many).seconds == 0
    packed = [jobs(3000, plan(defaults={"pack": 50}))]
    assert effort(connection(1000), packed).tasks == {"align": 60}
    with_outputs = [jobs(3000, plan(defaults={"pack": 50}, outputs=[local("o")]))]
    more = (
        effort(connection(1000), with_outputs).requests - effort(connection(1000), packed).requests
    )
    assert more == 60, "small outputs of a pack come in one file"
    batched = [jobs(3000, plan(defaults={"batch": "auto"}, outputs=[local(f"{n}") for n in "ab"]))]
    found = effort(connection(1000), batched)
    assert found.tasks == {"align": 30}
    [said] = advice(found, batched, 0)
    assert "directory()" in said.text


def test_outputs_that_do_not_fit_here_are_told_by_the_size_of_earlier_ones() -> None:
    known = {"snakemake-align": [Sample("snakemake-align", 1, 1, bytes_out=2 * GB)]}
    here = [jobs(10, plan(outputs=[local("o")]))]
    [said] = disk(here, known, free=15 * GB)
    assert said.is_problem
    assert "about 20.0 GB" in said.text
    assert "15.0 GB are free" in said.text
    assert not list(disk(here, known, free=25 * GB))
    assert not list(disk(here, {}, free=0)), "nothing is known of their size"


def test_a_type_of_which_nothing_is_known_is_a_remark() -> None:
    named = [jobs(1, plan(resources={"cavatica_instance_type": kind})) for kind in ("z9.big", "-")]
    named[1] = jobs(1, plan(resources={"cavatica_instance_type": "c5.large;ebs-gp2;100"}))
    found = list(rules.instance_types(named))
    assert [one.grade for one in found] == [Grade.REMARK] * 2
    assert "without a disk" in found[0].text
    assert "does not know the instance type 'z9.big'" in found[1].text


def test_links_for_size_are_told_once_for_a_rule() -> None:
    inputs = [local(f"i{n}", size=6 * GB) for n in range(2)]
    large = plan(inputs=inputs, outputs=[local("o")])
    [said] = rules.of_plans([jobs(2, large, large), jobs(1, plan(outputs=[local("o")]))])
    assert said.text.startswith("Rule align: large inputs of align, 12.0 GB, are links")
    assert not said.is_problem


def test_a_rule_of_which_nothing_comes_back_is_told_once() -> None:
    nothing = plan()
    [said] = rules.of_plans([jobs(2, nothing, nothing)])
    assert said.text.startswith("Rule align declares no output, log or benchmark")
    assert "localrule: True" in said.text
    assert not said.is_problem
    leaving = [{"outputs": [local("o")]}, {"logs": [local("l")]}, {"benchmark": local("b")}]
    assert not list(rules.of_plans([jobs(1, plan(**one)) for one in leaving]))


def test_variables_that_tasks_lack_are_told_once_for_all_rules() -> None:
    """The workflow would take its default there, and nobody would notice."""
    run = plan(directive="run", outputs=[local("o")], defaults={"variables_missed": ["MODE"]})
    shell = plan(outputs=[local("o")], defaults={"variables_missed": ["MODE"]})
    [said] = rules.of_plans([jobs(1, shell), jobs(2, run, run), jobs(1, run)])
    assert "asks for environment variables (MODE)" in said.text
    assert not said.is_problem


def test_programs_that_answer_otherwise_in_tasks_are_told_once_for_all_rules() -> None:
    run = plan(directive="run", outputs=[local("o")], defaults={"programs_started": ["git", "ls"]})
    shell = plan(outputs=[local("o")], defaults={"programs_started": ["git", "ls"]})
    [said] = rules.of_plans([jobs(1, shell), jobs(2, run, run), jobs(1, run)])
    assert said.text.startswith("The workflow starts programs (git, ls) while it is parsed.")
    assert not said.is_problem


def test_an_input_that_may_not_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept.txt").write_text("x")
    (tmp_path / "open.txt").write_text("x")
    # The user of these tests may be one that may read everything.
    monkeypatch.setattr(os, "access", lambda path, _: not path.endswith("kept.txt"))
    names = ("kept.txt", "open.txt", "not-made-yet.txt")
    job = jobs(1, plan(inputs=[local(str(tmp_path / name)) for name in names]))
    [said] = rules.unreadable(cast(Subject, SimpleNamespace(project="o/p")), [job, job])
    assert said.is_problem
    assert f"The input {tmp_path}/kept.txt of rule align is there, but you may not" in said.text


def test_an_image_that_cannot_be_asked_for_is_a_remark() -> None:
    found = {name: look_up(name) for name in ("127.0.0.1:9/x", "a.b:c:d/x", "bad host.x/y")}
    assert all(one.trouble and not one.is_missing for one in found.values())
    said = list(about_images({name: [*"ab"] for name in found}, found))
    [many] = list(about_images({"127.0.0.1:9/x": [*"abcdef"]}, found))[:1]
    assert "of rules a, b, c, d and 2 others could" in many.text
    assert not any(one.is_problem for one in said)
    assert said[0].text.startswith("The image 127.0.0.1:9/x of rules a, b could not be looked up")


@pytest.mark.parametrize(
    ("given", "trouble"),
    [
        (Reply(200, ["no", "object"]), "shows it to nobody without a login"),
        (Reply(200, b"<html>"), "shows it to nobody without a login"),
        (Reply(403, {"errors": []}), "shows it to nobody without a login"),
        (Reply(503, b""), "cannot be reached from here"),
        (Reply(200, {"token": "for all"}), ""),
    ],
)
def test_a_registry_that_gives_no_token_is_a_remark(given: Reply, trouble: str) -> None:
    """Protects from a traceback, and from taking a registry that is down for a private image."""
    registry = Server()

    def manifest(request: Request) -> Reply:
        realm = f'Bearer realm="{registry.root}/token",service="x"'
        is_known = "authorization" in request.headers
        return Reply(200) if is_known else Reply(401, headers={"WWW-Authenticate": realm})

    registry.on("HEAD", "/v2/x/manifests/1", manifest)
    registry.on("GET", "/token", given)
    found = look_up(f"{registry.root.removeprefix('http://')}/x:1")
    registry.close()
    assert found.trouble.startswith(trouble)
    assert bool(found.trouble) == bool(trouble)


# --- how findings are told ------------------------------------------------------------------------

WHOLE, OF_RULE = Finding("The project is wrong."), Finding("Rule a is wrong.", "a", jobs=3)
KNOWN = Finding("Something to know.", grade=Grade.REMARK)


def test_problems_come_first_and_each_once() -> None:
    assert in_order([KNOWN, OF_RULE, WHOLE, OF_RULE]) == [WHOLE, OF_RULE, KNOWN]


def test_one_problem_is_a_sentence_and_several_are_a_list() -> None:
    assert as_one_message([WHOLE]).startswith("The project is wrong. Nothing was started.")
    several = as_one_message([WHOLE, OF_RULE])
    assert several.startswith("2 problems were found before the run began:\n  * The project")
    assert "\n  * Rule a is wrong. (3 jobs.)\n" in several


@pytest.mark.parametrize(("keeps_going", "refused"), [(False, [WHOLE, OF_RULE]), (True, [WHOLE])])
def test_with_keep_going_only_what_is_wrong_with_the_whole_ends_a_run(
    keeps_going: bool, refused: Sequence[Any]
) -> None:
    told, found = _parted([WHOLE, OF_RULE, KNOWN], keeps_going=keeps_going)
    assert found == refused
    assert sorted([*told, *found], key=str) == sorted([WHOLE, OF_RULE, KNOWN], key=str)


def test_what_holds_for_several_rules_is_said_once() -> None:
    findings = [
        Finding("Rule a cannot run: its image is odd.", "a", jobs=2),
        Finding("Rule b cannot run: its image is odd.", "b"),
        Finding("Rule b cannot run: its image is gone.", "b"),
        Finding("Rule ab cannot run: its image is odd.", "ab"),
        remark("Nothing of rule x comes back.", "x"),
        remark("Nothing of rule y comes back.", "y"),
        Finding("The token is not valid."),
    ]
    assert without_repetition(findings) == [
        "Rule a cannot run: its image is odd. (2 jobs.) The same holds for b, ab.",
        "Rule b cannot run: its image is gone.",
        "Nothing of rule x comes back. The same holds for y.",
        "The token is not valid.",
    ]
    assert as_one_message(findings[:3]).startswith("3 problems were found")
    assert as_one_message(findings[:3]).count("its image is odd") == 1
