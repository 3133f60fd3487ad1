"""The key by which results are reused: the same for equal jobs anywhere, another for others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from translated_jobs import local, plan

from snakemake_executor_cavatica.plan.plan import JobPlan
from snakemake_executor_cavatica.project.paths import LocalPath, ProjectPath
from snakemake_executor_cavatica.read.facts import Ensure, Language, PreparedScript, WorkflowFile
from snakemake_executor_cavatica.translate.reuse_key import (
    SourcesContent,
    named_in,
    obstacle_to_reuse,
    reuse_key,
)

IN = LocalPath("in.txt")
USUAL: dict[str, Any] = {
    "command": "sort in.txt > out.txt",
    "inputs": [local("in.txt")],
    "outputs": [local("out.txt")],
    "resources": {"mem_mb": 100},
    "container": "docker://debian:12",
}
SOURCES = SourcesContent("s", {"Snakefile": "1", "config/config.yaml": "2"})


def planned(**changes: Any) -> JobPlan:
    return plan(**(USUAL | changes))


def key(job: JobPlan, **changes: Any) -> str:
    values: dict[str, Any] = {"code": "", "sources": SOURCES, "contents": {IN: "content"}}
    return reuse_key(job, **(values | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"jobid": "12", "attempt": 3},
        {"rule": "other", "docstring": "Says more."},
        {"resources": {"mem_mb": 900, "runtime": 5, "disk_mb": 9}},
        {"resources": {"mem_mb": 100, "cavatica_interruptible": True}},
        {"defaults": {"measured": False, "pack": 9, "memory_retries": 2, "copy_up_to": 1}},
    ],
    ids=str,
)
def test_what_the_command_does_not_see_makes_no_other_result(changes: dict[str, Any]) -> None:
    assert key(planned(**changes)) == key(planned())


@pytest.mark.parametrize(
    "changes",
    [
        {"command": "sort -r in.txt > out.txt"},
        {"container": "docker://debian:13"},
        {"threads": 2},
        {"outputs": [local("out.txt"), local("other.txt")]},
        {"outputs": [local("out.txt", ensure=Ensure(non_empty=True))]},
        {"inputs": [local("in.txt", executable=True)]},
        {"defaults": {"inputs": "link"}},
        {"defaults": {"environment": {"A": "1"}}},
        {"defaults": {"precommand": "module load x"}},
    ],
    ids=str,
)
def test_whatever_the_result_may_depend_on_counts(changes: dict[str, Any]) -> None:
    assert key(planned(**changes)) != key(planned())


def test_content_counts_and_not_the_name_of_a_file() -> None:
    """Of the name of an input only what the command sees: it may write it into its result."""
    assert key(planned(), contents={IN: "changed"}) != key(planned())
    there = WorkflowFile("in.txt", "in.txt", ProjectPath("me/p", "somewhere/else.txt"))
    moved = planned(inputs=[there])
    assert key(moved, contents={there.place: "content"}) == key(planned())
    renamed = planned(inputs=[local("b.txt")])
    assert key(renamed, contents={LocalPath("b.txt"): "content"}) != key(planned())


def test_outputs_that_change_places_are_other_results() -> None:
    """They are taken from the earlier task by their ports."""
    one, other = local("a.txt", name="a"), local("b.txt", name="b")
    swapped = [replace(one, name="b"), replace(other, name="a")]
    assert key(planned(outputs=[one, other])) != key(planned(outputs=swapped))


def test_a_storage_prefix_is_nobodys_business() -> None:
    """Colleagues work below different ones, and their commands name the files there."""

    def below(prefix: str) -> tuple[JobPlan, ProjectPath]:
        folder = f".snakemake/storage/cavatica/me/p/{prefix}"
        place = ProjectPath("me/p", f"{prefix}/in.txt")
        file = WorkflowFile(f"{folder}/in.txt", "in.txt", place)
        out = WorkflowFile(f"{folder}/out.txt", "out.txt", ProjectPath("me/p", f"{prefix}/out.txt"))
        job = planned(command=f"sort {file.path} > {out.path}", inputs=[file], outputs=[out])
        return job, place

    keys = {
        key(job, contents={place: "content"}) for job, place in map(below, ("alice", "bob/deep"))
    }
    assert len(keys) == 1
    job, place = below("alice")
    other = replace(job, command=job.command.replace("/alice/in.txt", "/alice2/in.txt"))
    assert key(other, contents={place: "content"}) not in keys


def test_sources_count_but_definitions_only_where_a_command_names_them() -> None:
    """Of the configuration a command has all that it needs, unless it reads it itself."""
    config = SourcesContent("s", {**SOURCES.defining, "config/config.yaml": "changed"})
    assert key(planned(), sources=SourcesContent("t", SOURCES.defining)) != key(planned())
    assert key(planned(), sources=config) == key(planned())
    reads = planned(command="tool --config config/config.yaml in.txt > out.txt")
    assert key(reads, sources=config) != key(reads)
    script = PreparedScript(Language.R, "s.R", "read_yaml('config/config.yaml')")
    reads = planned(command=None, directive="script", script=script)
    assert key(reads, sources=config) != key(reads)


def test_jobs_in_snakemake_mode_are_known_by_their_code_and_all_resources() -> None:
    job = planned(resources={"mem_mb": 100, "cavatica_mode": "snakemake"})
    more = planned(resources={"mem_mb": 200, "cavatica_mode": "snakemake"})
    assert key(job, code="x") != key(job)
    assert key(more) != key(job)


@pytest.mark.parametrize(
    ("image", "is_fixed"),
    [
        ("debian:12", True),
        ("quay.io:443/a/b:1.2--0", True),
        ("debian@sha256:00", True),
        ("debian", False),
        ("quay.io:443/a/b", False),
        ("a/b:latest", False),
    ],
)
def test_an_image_that_may_be_another_one_tomorrow_is_no_ground(image: str, is_fixed: bool) -> None:
    job = planned(container=f"docker://{image}")
    assert (obstacle_to_reuse(job, {IN: "content"}) is None) == is_fixed


def test_an_input_of_unknown_content_is_no_ground_either() -> None:
    assert "in.txt" in (obstacle_to_reuse(planned(), {IN: ""}) or "")


def test_what_is_named_by_what_a_job_names_counts_as_well() -> None:
    """Scripts call and import one another, and read the configuration; so do programs."""
    defining = {"Snakefile": "1", "config.yaml": "2", "a.py": "3", "b.py": "4", "c.R": "5"}
    sources = SourcesContent("s", defining, {"a.py": {"b.py"}, "b.py": {"config.yaml"}})
    assert sources.read_by("python scripts/a.py").keys() == {"a.py", "b.py", "config.yaml"}
    assert sources.read_by("sort in.txt").keys() == set()
    everywhere = replace(sources, naming={"": {"c.R"}})
    assert everywhere.read_by("sort in.txt").keys() == {"c.R"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("from b import f", {"scripts/b.py"}),
        ("from . import (a,\n  b)", {"scripts/b.py"}),
        ("from scripts.b import f", {"scripts/b.py"}),
        ("import os, b", {"scripts/b.py"}),
        ("importlib.import_module('scripts.b')", {"scripts/b.py"}),
        ("python -m scripts.b > out.txt", {"scripts/b.py"}),
        ("box::use(./plots)", {"scripts/plots.R"}),
        ("source('plots.R')", {"scripts/plots.R"}),
        ("b = 1; plots(b)", set()),
    ],
)
def test_modules_are_named_without_the_ends_of_their_names(text: str, named: set[str]) -> None:
    assert named_in(text, ["scripts/b.py", "scripts/plots.R", "config.yaml"]) == named
