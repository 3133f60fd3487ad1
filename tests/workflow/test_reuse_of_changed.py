"""No results of earlier runs are taken where something has changed that hardly shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from test_reuse import REUSE, remove_outputs, run, share
from workflow_runs import DataPlace, Platform, Workflow, new_workflow, until


@pytest.fixture
def person(tmp_path: Path, fresh: Platform) -> Callable[..., Workflow]:
    """Somebody with a workflow of these files."""

    def somebody(name: str, place: DataPlace = "transfer", **files: str) -> Workflow:
        (tmp_path / name).mkdir()
        workflow = new_workflow(tmp_path / name, fresh, place)
        workflow.write({one.replace("_", "."): text for one, text in files.items()})
        return workflow

    return somebody


FOLDER = """
rule tree:
    output: directory("tree")
    shell: "mkdir -p {output}/below; echo 2 > {output}/below/a.txt; echo 1 > {output}/b.txt"
"""


def test_a_folder_of_which_something_is_gone_is_made_anew(
    fresh: Platform, person: Callable[..., Workflow], place: DataPlace
) -> None:
    """What is still there is as the task has left it, and says nothing of what is not."""
    alice = person("alice", place, Snakefile=FOLDER)
    assert run(alice, REUSE)[0] == {"tree": 1}
    assert run(person("bob", place, Snakefile=FOLDER), REUSE)[0] == {}
    remove_outputs(fresh, alice, place, "below/a.txt")
    carol = person("carol", place, Snakefile=FOLDER)
    assert run(carol, REUSE)[0] == {"tree": 1}
    if place == "transfer":
        assert carol.read("tree/below/a.txt") == "2\n"


EDITED = """
def word():
    return "{word}"
rule all:
    input: "before.txt", "after.txt"
rule slow:
    output: "slow.txt"
    localrule: True
    shell: "touch {gate}; until [ -e {gate}.local ]; do sleep 0.1; done; echo 1 > {{output}}"
rule before:
    input: "slow.txt"
    output: "before.txt"
    shell: "until [ -e {gate}.task ]; do sleep 0.1; done; sh helper.sh > {{output}}"
rule after:
    input: "before.txt"
    output: "after.txt"
    run:
        with open(output[0], "w") as out:
            print(word(), file=out)
"""


def test_what_is_edited_while_a_run_goes_on_is_for_the_next_one(
    gate: Path, person: Callable[..., Workflow]
) -> None:
    """A helper before the first task, and the Snakefile while that runs: results are known by what
    they were made from.
    """

    def files(word: str) -> dict[str, str]:
        return {"Snakefile": EDITED.format(gate=gate, word=word), "helper_sh": f"echo {word}"}

    alice = person("alice", **files("old"))
    process = alice.start(REUSE)
    until(gate.exists)
    alice.write({"helper.sh": "echo new"})
    gate.with_suffix(".local").touch()
    until(lambda: len(alice.platform.executions()) == 1)
    alice.write({"Snakefile": files("new")["Snakefile"]})
    gate.with_suffix(".task").touch()
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    for name, word, executed in (("bob", "old", 0), ("carol", "new", 2)):
        workflow = person(name, **files(word))
        assert run(workflow, REUSE)[0].total() == executed
        assert workflow.read("before.txt") == workflow.read("after.txt") == f"{word}\n"


MODULE = """
module words:
    snakefile: "words.smk"
    config: {{"word": "{word}"}}
use rule * from words
"""
WORDS = """
rule one:
    output: "one.txt"
    resources: cavatica_mode="snakemake"
    script: "one.py"
"""
SCRIPT = "open(snakemake.output[0], 'w').write(snakemake.config['word'])"


def test_the_configuration_of_a_module_counts(person: Callable[..., Workflow]) -> None:
    """Where the workflow itself has another one, or none."""
    for word in ("old", "new"):
        workflow = person(word, Snakefile=MODULE.format(word=word), words_smk=WORDS, one_py=SCRIPT)
        assert run(workflow, REUSE, "one")[0] == {"one": 1}
        assert workflow.read("one.txt") == word


ADDRESS = """
rule one:
    input: storage.cavatica("cavatica://PROJECT/shared/x.txt", retrieve=False)
    output: "one.txt"
    shell: "echo {input} > {output}"
"""


def test_what_a_job_reads_by_itself_may_be_anything_by_now(
    tmp_path: Path, fresh: Platform, person: Callable[..., Workflow]
) -> None:
    share(fresh, tmp_path, "x.txt", "content")
    text = ADDRESS.replace("PROJECT", fresh.project)
    assert run(person("alice", Snakefile=text), REUSE)[0] == {"one": 1}
    workflow = person("bob", Snakefile=text)
    result = workflow.succeed(REUSE)
    assert "shared/x.txt by themselves, whatever it holds by now" in result.output
    assert len(fresh.executions()) == 2


def test_what_snakemake_prints_into_the_folder_is_none_of_the_workflow(
    person: Callable[..., Workflow],
) -> None:
    """`snakemake ... > run.log`: else no run would ever find results of the one before."""
    workflow = person(
        "alice", Snakefile='rule one:\n    output: "one.txt"\n    shell: "ls > {output}"'
    )
    for executed in (1, 0):
        workflow.write({"run.log": f"another text, {executed}", "nohup.out": f"{executed}"})
        (workflow.directory / "one.txt").unlink(missing_ok=True)
        assert run(workflow, REUSE, "--cavatica-trace", "trace.tsv")[0].total() == executed
    assert workflow.read("trace.tsv")
