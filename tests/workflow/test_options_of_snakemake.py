"""What Snakemake's own options do where jobs run as tasks: what they say, or one sentence."""

from __future__ import annotations

import time
from pathlib import Path
from textwrap import dedent

import pytest
from workflow_runs import Workflow, new_workflow

CHAIN = """
rule all:
    input: "made.txt", "seen.txt", "unseen.txt"
rule make:
    input: "in.txt"
    output: "made.txt"
    shell: "cat {input} > {output}"
rule make_unseen:
    input: "in.txt"
    output: "unseen.txt"
    shell: "cat {input} > {output}"
rule see:
    localrule: True
    input: "made.txt"
    output: "seen.txt"
    shell: "cat {input} > {output}"
"""


@pytest.fixture
def chain(workflow: Workflow) -> Workflow:
    workflow.write({"Snakefile": CHAIN})
    workflow.put({"in.txt": "in\n"})
    return workflow


@pytest.mark.both_places
def test_local_copies_are_kept_and_none_is_waited_for(chain: Workflow) -> None:
    chain.succeed("--keep-storage-local-copies")
    assert chain.read("seen.txt") == "in\n"
    if chain.place == "storage":
        copies = chain.directory / ".snakemake/storage/cavatica" / chain.platform.project
        kept = {path.name for path in (copies / chain.folder).iterdir()}
        assert kept == {"made.txt", "seen.txt"}, "those that a local rule has read and made"


@pytest.mark.parametrize("executor", ["cavatica", "local"])
def test_a_file_that_has_changed_is_noticed_although_its_copy_is_kept(
    storage_workflow: Workflow, executor: str
) -> None:
    """Protects users of the storage provider with other executors, too."""
    kept = ("--executor", executor, "--cores", "1", "--keep-storage-local-copies")
    rule = """
        rule see:
            localrule: True
            input: "in.txt"
            output: "seen.txt"
            shell: "cat {input} > {output}"
    """
    storage_workflow.write({"Snakefile": dedent(rule)})
    for word in ("one", "two"):
        storage_workflow.put({"in.txt": word})
        storage_workflow.succeed(*kept)
        assert storage_workflow.read("seen.txt") == word
        time.sleep(1.1)  # the platform tells times in whole seconds
    assert storage_workflow.succeed(*kept).nothing_to_do
    copies = {path.name for path in storage_workflow.directory.rglob(".snakemake/storage/**/*.txt")}
    assert copies == {"in.txt", "seen.txt"}


@pytest.mark.parametrize("also", [[], ["--keep-going"]])
def test_immediate_submit_is_refused_before_anything_is_made(
    chain: Workflow, also: list[str]
) -> None:
    result = chain.fail("--immediate-submit", "--notemp", *also)
    assert "--immediate-submit does not work with CAVATICA" in result.output
    assert "BUG" not in result.output
    assert "is task" not in result.output


def test_shadows_are_in_their_task_whatever_folder_of_this_machine_is_theirs(
    transfer_workflow: Workflow, tmp_path: Path
) -> None:
    rule = """
        rule where:
            output: "where.txt"
            shadow: "minimal"
            run:
                import os
                with open(output[0], "w") as told: print(os.getcwd(), file=told)
    """
    transfer_workflow.write({"Snakefile": dedent(rule)})
    transfer_workflow.succeed("--shadow-prefix", str(tmp_path / "scratch"))
    where = transfer_workflow.read("where.txt")
    assert "/shadow/" in where
    assert str(tmp_path / "scratch") not in where


def test_outputs_that_nobody_can_store_are_refused(storage_workflow: Workflow) -> None:
    storage_workflow.write({"Snakefile": CHAIN})
    storage_workflow.put({"in.txt": "in\n"})
    result = storage_workflow.fail("--not-retrieve-storage")
    assert "Leave out retrieve=False, or --not-retrieve-storage" in result.output


def test_copies_of_files_in_storages_may_lie_elsewhere_on_this_machine(
    own_transfer: Workflow, tmp_path: Path
) -> None:
    """A task has them below its working directory all the same, as Snakemake there wants them."""
    workflow = own_transfer
    (tmp_path / "stored").mkdir()
    stored = new_workflow(tmp_path / "stored", workflow.platform, "storage")
    stored.put({"there.txt": "there\n"})
    rules = """
        rule all:
            input: "shell.txt", "run.txt"
        rule shell:
            input: storage.cavatica("{prefix}/there.txt")
            output: "shell.txt"
            shell: "cp {{input}} {{output}}"
        rule run:
            input: storage.cavatica("{prefix}/there.txt")
            output: "run.txt"
            run: shell("cp {{input}} {{output}}")
    """
    workflow.write({"Snakefile": dedent(rules.format(prefix=stored.prefix))})
    for folder in (str(tmp_path / "scratch"), "../beside"):
        workflow.succeed("--forceall", "--local-storage-prefix", folder)
        assert [workflow.read(name) for name in ("shell.txt", "run.txt")] == ["there\n"] * 2
