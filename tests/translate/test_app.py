"""A rule as a CWL document: valid, plain, and one for all jobs of the rule."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from translated_jobs import facts, local, plan

from cavatica_local.cwl.validation import validate
from snakemake_executor_cavatica.in_task.names import MEASURED_NAME
from snakemake_executor_cavatica.project.paths import LocalPath, ProjectPath
from snakemake_executor_cavatica.read.facts import WorkflowFile
from snakemake_executor_cavatica.translate.app import app_document, app_name, document_hash
from snakemake_executor_cavatica.translate.small_outputs import GATHERED_GLOB

PLACE = ProjectPath("me/p", "d")
FOLDER = WorkflowFile("d", "d", PLACE, name="db", form="folder")
RULES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "files": {"inputs": [local("a"), local("b", name="bam"), local("c", name="bam")]},
    "folders": {"inputs": [FOLDER, local("e", name="db")], "outputs": [local("o", form="folder")]},
    "same names": {"inputs": [local("a", name="bam")], "outputs": [local("b", name="bam")]},
    "odd names": {
        "inputs": [local("a", name="é"), local("b", name="class")],
        "outputs": [local("c", name="_x"), local("d", name="id")],
    },
    "many outputs": {"outputs": [local(f"o/{n}") for n in range(500)]},
    "everything": {
        "outputs": [local("a"), local(".hidden", name="h")],
        "logs": [local("l")],
        "benchmark": local("b"),
        "resources": {"mem_mb": 1000, "disk_mb": 1000, "runtime": 60},
        "docstring": "Says $(inputs.x) and ${ return 1; }\nin two lines.",
        "container": "docker://quay.io/x:1",
    },
    "group": {"directive": "group", "command": None},
}


@pytest.mark.parametrize("rule", RULES)
def test_documents_are_valid_cwl(rule: str) -> None:
    document = app_document(plan(**RULES[rule]))
    assert document["cwlVersion"] == "v1.2"
    assert validate(json.loads(json.dumps(document))) == []


def expressions(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, member in value.items():
            if key not in {"doc", "label"}:
                yield from expressions(member)
    elif isinstance(value, list):
        for member in value:
            yield from expressions(member)
    elif isinstance(value, str) and "$" in value:
        yield value


@pytest.mark.parametrize("rule", RULES)
def test_documents_need_no_javascript(rule: str) -> None:
    document = app_document(plan(**RULES[rule]))
    ports = {port["id"] for port in document["inputs"]}
    assert "Javascript" not in json.dumps(document)
    for expression in expressions(document):
        if expression == "$(self[0].contents)":  # CWL's own, of an output
            continue
        match = re.fullmatch(r"\$\(inputs\.([A-Za-z0-9_]+)\)", expression)
        assert match, expression
        assert match[1] in ports


@pytest.mark.parametrize("rule", RULES)
def test_every_port_has_an_id_of_its_own_that_the_platform_takes(rule: str) -> None:
    document = app_document(plan(**RULES[rule]))
    ids = [port["id"] for key in ("inputs", "outputs") for port in document[key]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_]+", port) for port in ids)


def test_ports_are_arrays_of_files_or_of_folders() -> None:
    ports = {port["id"]: port["type"] for port in app_document(plan(**RULES["folders"]))["inputs"]}
    assert ports["db"] == {"type": "array", "items": "File"}
    assert ports["db_folder"] == {"type": "array", "items": "Directory"}


def test_what_is_not_asked_for_has_no_input() -> None:
    document = app_document(plan())
    assert [port["id"] for port in document["inputs"]] == [
        "snakemake_job",
        "snakemake_command",
        "snakemake_cores",
        "snakemake_sources",
    ]
    assert "ramMin" not in json.dumps(document)
    assert "ToolTimeLimit" not in json.dumps(document)


def test_jobs_of_one_rule_share_one_document() -> None:
    def job(sample: str) -> dict[str, Any]:
        return app_document(
            plan(
                f"cat in/{sample} > out/{sample}",
                jobid=sample,
                attempt=len(sample),
                wildcards={"sample": sample},
                inputs=[local(f"in/{sample}", name="reads")],
                outputs=[local(f"out/{sample}")],
                logs=[local(f"{sample}.log")],
                resources={"mem_mb": 1000 * len(sample), "runtime": len(sample)},
                threads=len(sample),
            )
        )

    assert document_hash(job("A")) == document_hash(job("a longer [sample]*"))


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": [local("a")]},
        {"outputs": [local("a", form="folder")]},
        {"container": "other"},
        {"docstring": "other"},
        {"resources": {"mem_mb": 1}},
    ],
)
def test_a_changed_rule_has_another_document(changes: dict[str, Any]) -> None:
    assert document_hash(app_document(plan(**changes))) != document_hash(app_document(plan()))


SIMILAR = [
    "a_b",
    "a-b",
    "A_b",
    "a__b",
    "_a_b",
    "a_b_",
    "ab",
    "a b",
    "a.b",
    "é",
    "è",
    "日",
    "_",
    "__",
]
SIMILAR += ["x" * 60, "x" * 61, "x" * 62, "\ud800"]


@pytest.mark.parametrize("rule", SIMILAR)
def test_similar_rules_have_apps_of_their_own(rule: str) -> None:
    mine = app_name(rule)
    assert re.fullmatch(r"snakemake(-[a-z0-9]+)+", mine)
    assert [other for other in SIMILAR if app_name(other) == mine] == [rule]


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_two_rules_share_an_app(one: str, other: str) -> None:
    same = app_name(one) == app_name(other)
    assert same == (one == other)
    assert len(app_name(one)) <= 80


def test_common_rules_have_plain_names() -> None:
    assert app_name("bwa_mem2") == "snakemake-bwa-mem2"


def test_globs_find_hidden_outputs() -> None:
    outputs = [WorkflowFile(p, p, LocalPath(p)) for p in ("a", ".b", "x/.c")]
    globs = [
        port["outputBinding"]["glob"] for port in app_document(plan(outputs=outputs))["outputs"]
    ]
    assert globs == ["out/0/*", "out/1/.*", "out/2/.*", GATHERED_GLOB, MEASURED_NAME]


def test_a_document_does_not_depend_on_what_the_command_is() -> None:
    assert facts("x").command == "x"
    assert app_document(plan("x")) == app_document(plan("y"))
