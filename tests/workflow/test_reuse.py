"""Results of earlier runs, taken by jobs that are the very same, and by no others."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from workflow_runs import DataPlace, Platform, Workflow, new_workflow, until

from snakemake_executor_cavatica.observe.entries import Attempt, Status
from snakemake_executor_cavatica.observe.record import read_record, records_here
from snakemake_executor_cavatica.project.fetch_store import store
from snakemake_executor_cavatica.project.index import ProjectIndex

REUSE = "--cavatica-reuse"
SNAKEFILE = """
rule all:
    input: expand("out/{{x}}.txt", x=["a", "b"]), "drawn.txt", "tree.txt"

rule first:
    input: {raw}
    output: "mid/{{x}}.txt", other="mid/{{x}}.dat"
    log: "logs/{{x}}.txt"
    shell: "cat {{input}} > {{output[0]}}; echo {param} | tee {{output.other}} > {{log}}"

rule second:
    input: "mid/{{x}}.txt", "mid/{{x}}.dat"
    output: "out/{{x}}.txt"
    script: "second.py"

rule drawn:
    output: "drawn.txt"
    resources: cavatica_reuse=False
    shell: "od -An -N8 -tx8 /dev/urandom > {{output}}"

rule tree:
    output: directory("tree")
    shell: "mkdir -p {{output}}/below; echo 2 > {{output}}/below/a.txt; echo 1 > {{output}}/b.txt"

rule leaf:
    input: "tree"
    output: "tree.txt"
    shell: "cat {{input}}/b.txt {{input}}/below/a.txt > {{output}}"
"""
SCRIPT = """
with open(snakemake.output[0], "w") as out:
    for path in snakemake.input:
        out.write(open(path).read())
    out.write("{word}\\n")
"""


def colleague(
    tmp_path: Path, platform: Platform, place: DataPlace, name: str, **changes: str
) -> Workflow:
    """Somebody with the same workflow in a directory and, in storage mode, under a prefix.

    In storage mode the inputs are shared; else everybody has copies of them.
    """
    (tmp_path / name).mkdir()
    workflow = new_workflow(tmp_path / name, platform, place)
    shared = f"cavatica://{platform.project}/shared/{{x}}.txt"
    raw = '"in/{x}.txt"' if place == "transfer" else f"storage({shared!r})"
    workflow.write(
        {
            "Snakefile": SNAKEFILE.format(param=changes.get("param", "1"), raw=raw),
            "second.py": SCRIPT.format(word=changes.get("word", "end")),
        }
    )
    if place == "transfer":
        workflow.put({f"in/{x}.txt": changes.get(x, f"content {x}\n") for x in "ab"})
    return workflow


@pytest.fixture
def own(tmp_path: Path, fresh: Platform) -> Workflow:
    """One person's, with files here."""
    (tmp_path / "workflow").mkdir()
    return Workflow(tmp_path / "workflow", fresh, "transfer")


def share(platform: Platform, scratch: Path, name: str, text: str) -> None:
    """Have an input that all colleagues read."""
    (scratch / name).write_text(text)
    with platform.client() as client:
        store(ProjectIndex(client, platform.project), scratch / name, f"shared/{name}")


def run(workflow: Workflow, *arguments: str) -> tuple[Counter[str], list[Attempt]]:
    """How many jobs of each rule were executed, and what the record says."""
    before = len(workflow.platform.executions())
    workflow.succeed(*arguments)
    executed = workflow.platform.executions()[before:]
    attempts = read_record(records_here(workflow.directory)[0]).attempts
    ran = Counter(one.rule for one in attempts if one.status is Status.DONE)
    assert len(executed) == ran.total(), (executed, ran)
    return ran, list(attempts)


@pytest.mark.both_places
def test_a_colleague_gets_the_results_of_equal_jobs_and_runs_all_others(
    tmp_path: Path, fresh: Platform, place: DataPlace
) -> None:
    for x in "ab":
        share(fresh, tmp_path, f"{x}.txt", f"content {x}\n")
    alice = colleague(tmp_path, fresh, place, "alice")
    begin = len(fresh.requests())
    ran, _ = run(alice, REUSE)
    assert ran.total() == 7
    without = len(fresh.requests()) - begin
    tasks = {one.task for one in read_record(records_here(alice.directory)[0]).attempts}

    bob = colleague(tmp_path, fresh, place, "bob")
    ran, attempts = run(bob, REUSE)
    assert ran == {"drawn": 1}
    looks = 10  # more or fewer, by how long tasks take
    assert len(fresh.requests()) - begin <= 2 * without + looks
    reused = [one for one in attempts if one.status is Status.REUSED]
    assert len(reused) == 6
    assert all(one.price == 0 and one.task is None and one.reused_task in tasks for one in reused)
    for name in ("out/a.txt", "out/b.txt", "tree.txt", "logs/a.txt"):
        assert bob.read(name) == alice.read(name) is not None
    assert bob.read("drawn.txt") != alice.read("drawn.txt")
    assert bob.run(REUSE).nothing_to_do


HOW: dict[DataPlace, tuple[str, str]] = {
    "transfer": ("--cavatica-pack", "10"),
    "storage": ("--cavatica-batch", "auto"),
}


def test_jobs_that_shared_a_task_are_found_as_well(
    tmp_path: Path, fresh: Platform, place: DataPlace
) -> None:
    """Their outputs have been moved and labelled since; who takes them asks once for all."""
    for x in "ab":
        share(fresh, tmp_path, f"{x}.txt", f"content {x}\n")
    alice = colleague(tmp_path, fresh, place, "alice")
    alice.succeed(*HOW[place])
    bob = colleague(tmp_path, fresh, place, "bob")
    before = len(fresh.requests())
    assert run(bob, REUSE, *HOW[place])[0] == {"drawn": 1}
    listings = [one for one in fresh.requests()[before:] if "status=COMPLETED" in one["path"]]
    assert len(listings) == 1
    assert bob.read("out/b.txt") == alice.read("out/b.txt") is not None


PAIRS = """
rule all:
    input: expand("{{x}}.txt", x=["a", "b"])
rule both:
    input: "{shared}/{{x}}1.txt", "{shared}/{{x}}2.txt"
    output: "{{x}}.txt"
    shell: "cat {{input}} > {{output}}"
"""


def test_files_that_were_labelled_for_a_batch_are_the_same_as_before(
    tmp_path: Path, fresh: Platform
) -> None:
    """A batch labels all of them, also those that no task has made."""
    for name in ("a1.txt", "a2.txt", "b1.txt", "b2.txt"):
        share(fresh, tmp_path, name, name)
    text = PAIRS.replace("{shared}", f"cavatica://{fresh.project}/shared").replace("{{", "{")
    text = text.replace("}}", "}").replace('"cavatica:', 'storage("cavatica:')
    text = text.replace('1.txt"', '1.txt")').replace('2.txt"', '2.txt")')
    for person, ran in (("alice", {"both": 2}), ("bob", {}), ("carol", {})):
        (tmp_path / person).mkdir()
        workflow = new_workflow(tmp_path / person, fresh, "storage")
        workflow.write({"Snakefile": text})
        assert run(workflow, REUSE, "--cavatica-batch", "auto")[0] == ran
        assert workflow.read("b.txt") == "b1.txtb2.txt"


def test_what_differs_in_anything_runs(
    tmp_path: Path, serve: Callable[..., Platform], place: DataPlace
) -> None:
    """On a platform that keeps the id of a file that is overwritten, in the same size as well."""
    platform = serve("--switch", "overwrite_keeps_id=true")
    for x in "ab":
        share(platform, tmp_path, f"{x}.txt", f"content {x}\n")
    alice = colleague(tmp_path, platform, place, "alice")
    alice.succeed()

    def ran(name: str, *arguments: str, **changes: str) -> Counter[str]:
        return run(colleague(tmp_path, platform, place, name, **changes), REUSE, *arguments)[0]

    assert ran("param", param="2") == {"drawn": 1, "first": 2, "second": 2}
    assert ran("script", word="stop") == {"drawn": 1, "second": 2}
    forced = ran("forced", "--forcerun", "leaf")
    assert forced == {"drawn": 1, "leaf": 1}
    wait_for_another_second()
    share(platform, tmp_path, "a.txt", "CONTENT a\n")
    assert ran("input", a="CONTENT a\n") == {"drawn": 1, "first": 1, "second": 1}
    remove_outputs(platform, alice, place, "mid/b.dat")
    assert ran("deleted", a="CONTENT a\n") == {"drawn": 1, "first": 1, "second": 1}


GROUPS = """
rule all:
    input: "c.txt", "d.txt"
rule a:
    output: temp("a.txt")
    group: "plain"
    shell: "echo 1 > {output}"
rule c:
    input: "a.txt"
    output: "c.txt"
    group: "plain"
    shell: "cat {input} > {output}"
rule b:
    output: temp("b.txt")
    group: "drawn"
    resources: cavatica_reuse=False
    shell: "od -An -N8 -tx8 /dev/urandom > {output}"
rule d:
    input: "b.txt"
    output: "d.txt"
    group: "drawn"
    resources: cavatica_reuse=True
    shell: "cat {input} > {output}"
"""


def test_a_group_is_taken_as_a_whole_unless_one_of_its_jobs_keeps_its_results(
    tmp_path: Path, fresh: Platform
) -> None:
    """Snakemake adds up what jobs of a group say: yes and no would be yes."""
    for name in ("alice", "bob"):
        (tmp_path / name).mkdir()
        workflow = new_workflow(tmp_path / name, fresh, "storage")
        workflow.write({"Snakefile": GROUPS})
        workflow.succeed(REUSE)
    attempts = read_record(records_here(workflow.directory)[0]).attempts
    assert {one.rule: str(one.status) for one in attempts} == {"plain": "reused", "drawn": "done"}
    assert workflow.run(REUSE).nothing_to_do


GIVEN = """
import glob
shell.prefix("set -eu; P={prefix};")
FOUND = sorted(glob.glob("reads/*.fastq"))
rule all:
    input: expand("{{n}}.txt", n=["command", "order", "names", "params", "told", "found", "module"])
rule command:
    output: "command.txt"
    resources: cavatica_mode="snakemake"
    shell: "echo $P > {{output}}"
rule order:
    input: {a}, {b}
    output: "order.txt"
    resources: cavatica_mode="snakemake"
    script: "order.py"
rule names:
    input: x={a}, y={b}
    output: "names.txt"
    resources: cavatica_mode="snakemake"
    shell: "cat {{input.x}} {{input.y}} > {{output}}"
rule params:
    output: "params.txt"
    params: x={one}, y={two}
    resources: cavatica_mode="snakemake"
    shell: "echo {{params.x}} {{params.y}} > {{output}}"
rule told:
    input: "a.in"
    output: "told.txt"
    params: lambda wc, input: input[0] + "{one}"
    resources: cavatica_mode="snakemake"
    shell: "echo {{params}} > {{output}}"
rule found:
    output: "found.txt"
    run:
        with open(output[0], "w") as out:
            out.write(" ".join(FOUND))
rule module:
    output: "module.txt"
    script: "uses.py"
rule nobody_wants_this:
    output: "library.txt"
    script: "library.py"
"""
ORDER = "open(snakemake.output[0], 'w').write(''.join(open(i).read() for i in snakemake.input))"


@pytest.mark.both_places
def test_what_a_job_is_given_by_name_order_or_function_counts(
    tmp_path: Path, fresh: Platform, place: DataPlace
) -> None:
    """Where Snakemake runs it in the task, too; and what a script has of the script of another."""

    def run_of(name: str, reads: str, word: str, **changes: str) -> Workflow:
        (tmp_path / name).mkdir()
        workflow = new_workflow(tmp_path / name, fresh, place)
        usual = {"prefix": "1", "a": '"a.in"', "b": '"b.in"', "one": "1", "two": "2"}
        library = f"def word(): return '{word}'"
        workflow.write(
            {
                "Snakefile": GIVEN.format(**usual | changes),
                "order.py": ORDER,
                "library.py": library,
                "uses.py": "from library import word; open(snakemake.output[0], 'w').write(word())",
                f"reads/{reads}.fastq": "",
            }
        )
        workflow.put({"a.in": "a\n", "b.in": "b\n"})
        workflow.succeed(REUSE)
        return workflow

    run_of("alice", "s1", "old")
    swapped = {"a": '"b.in"', "b": '"a.in"', "one": "2", "two": "1"}
    bob = run_of("bob", "s2", "new", prefix="2", **swapped)
    assert {path: bob.read(f"{path}.txt") for path in ("command", "order", "names", "params")} == {
        "command": "2\n",
        "order": "b\na\n",
        "names": "b\na\n",
        "params": "2 1\n",
    }
    assert str(bob.read("told.txt")).endswith("a.in2\n")
    assert bob.read("found.txt") == "reads/s2.fastq"
    assert bob.read("module.txt") == "new"


def wait_for_another_second() -> None:
    """The platform tells times in whole seconds."""
    second = int(time.time())
    until(lambda: time.time() > second + 1)


def remove_outputs(platform: Platform, owner: Workflow, place: DataPlace, name: str) -> None:
    """Delete the files of that name that runs have made."""
    folder = owner.folder if place == "storage" else "snakemake/runs"
    with platform.client() as client:
        index = ProjectIndex(client, platform.project)
        found = [one.path for one in index.walk(folder) if one.path.endswith(name)]
        assert found
        for path in found:
            index.remove(path)


LOOKING = """
import os
from pathlib import Path

SIZE = os.path.getsize("panel.txt")
FOUND = sorted(os.listdir("out")) if os.path.isdir("out") else []
os.listdir(".")
os.makedirs("logs", exist_ok=True)
Path("made.txt").write_text("made while it is parsed")

rule one:
    output: "out/one.txt"
    run:
        with open(output[0], "w") as out:
            out.write(str(SIZE))
"""


def test_what_a_workflow_is_told_of_a_file_while_it_is_parsed_counts(own: Workflow) -> None:
    """Its size, since the command may depend on it, but not what the workflow makes by itself."""
    own.write({"Snakefile": LOOKING, ".gitignore": "panel.txt\nmade.txt\n", "panel.txt": "1"})
    subprocess.run(["git", "init", "-q"], cwd=own.directory, check=True)
    assert run(own, REUSE)[0] == {"one": 1}
    for written, executed in (("1", 0), ("two", 1)):
        own.write({"panel.txt": written})
        (own.directory / "out/one.txt").unlink()
        assert run(own, REUSE)[0].total() == executed
        assert own.read("out/one.txt") == str(len(written))


def test_a_copy_of_a_source_is_the_same_input_in_each_run(own: Workflow) -> None:
    """Snakemake has it elsewhere each time; and a rule that gets it needs no Snakemake."""
    own.write(
        {
            "Snakefile": """
            rule all:
                input: "command.txt", "script.txt", "both.txt"
            rule command:
                input: helper=workflow.source_path("helper.sh")
                output: "command.txt"
                container: "docker://tools:1"
                shell: "sh {input.helper} > {output}"
            rule by_script:
                input: workflow.source_path("helper.sh")
                output: "script.txt"
                script: "script.py"
            rule both:
                input: "helper.sh", workflow.source_path("helper.sh")
                output: "both.txt"
                shell: "for one in {input}; do sh $one; done > {output}"
            """,
            "helper.sh": "echo helped\n",
            "script.py": "open(snakemake.output[0], 'w').write(open(snakemake.input[0]).read())\n",
        }
    )
    results = {"command.txt": "helped\n", "script.txt": "echo helped\n", "both.txt": "helped\n" * 2}
    for executed in (3, 0):
        for name in results:
            (own.directory / name).unlink(missing_ok=True)
        ran, _ = run(own, REUSE)
        assert ran.total() == executed
        assert {name: own.read(name) for name in results} == results
