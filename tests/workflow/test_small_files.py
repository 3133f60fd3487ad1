"""Small inputs travel together: fewer requests, and nothing else is different."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import Path, PurePath

from workflow_runs import Workflow, until

from snakemake_executor_cavatica.project.index import ProjectIndex
from snakemake_executor_cavatica.project.local_record import LOCAL_RECORD, checksum_of
from snakemake_executor_cavatica.translate.app import IN_PARCELS, PARCELS

SNAKEFILE = """
rule all:
    input: expand("{{x}}.txt", x=config["names"].split(","))
rule own:
    input: "in/{{x}}.txt", big="big.txt", shared="shared file.txt"
    output: "{{x}}.txt"
    resources: {resources}
    shell: "{wait}ls -A > ls.txt; tail -c 2 {{input.big}} | cat {{input[0]}} {{input.shared:q}} - "
           "> {{output}}"
"""
NAMES = ["a", "b", "c", "same"]


def prepare(workflow: Workflow, resources: str = 'cavatica_inputs="copy"', wait: str = "") -> None:
    workflow.write({"Snakefile": SNAKEFILE.format(resources=resources, wait=wait)})
    own = f"{workflow.folder}\n"  # no other test has uploaded that
    workflow.put({f"in/{name}.txt": f"{name} {own}" for name in NAMES})
    workflow.put({"in/same.txt": f"a {own}", "shared file.txt": f"shared {own}"})
    workflow.put({"big.txt": "." * 1_000_001 + "!\n"})


def names(*some: str) -> list[str]:
    return ["--config", f"names={','.join(some)}"]


def expected(workflow: Workflow, name: str) -> str:
    first = "a" if name == "same" else name
    return f"{first} {workflow.folder}\nshared {workflow.folder}\n!\n"


def stored(workflow: Workflow) -> list[str]:
    """Names of uploaded inputs, without the checksums before them."""
    with workflow.platform.client() as client:
        index = ProjectIndex(client, workflow.platform.project)
        names = [PurePath(one.path).name for one in index.children("snakemake/inputs")]
    return sorted(name[17:] for name in names if not name.endswith("-sources.tar"))


def started(workflow: Workflow, number: int) -> bool:
    """Whether there are so many tasks, and no drafts."""
    with workflow.platform.client() as client:
        tasks = client.list_tasks(project=workflow.platform.project)
        return [task.status in {"QUEUED", "RUNNING"} for task in tasks] == [True] * number


def forget_contents(workflow: Workflow) -> None:
    """As if the directory had never uploaded anything."""
    with sqlite3.connect(workflow.directory / LOCAL_RECORD) as record:
        record.execute("DELETE FROM files")
    record.close()


def test_small_inputs_are_uploaded_in_one_file_once(own_transfer: Workflow) -> None:
    """By later runs too; what is large stays alone."""
    workflow = own_transfer
    prepare(workflow)
    workflow.succeed(*names(*NAMES))
    assert {name: workflow.read(f"{name}.txt") for name in NAMES} == {
        name: expected(workflow, name) for name in NAMES
    }
    assert stored(workflow) == ["4-small-files.tar", "big.txt"]
    with workflow.platform.client() as client:
        tasks = list(client.list_tasks(project=workflow.platform.project))
    assert len({str(task.inputs[PARCELS]) for task in tasks}) == 1
    parts = next(task.inputs[IN_PARCELS] for task in tasks if "x=same" in task.name)
    named = {"inputs: in/same.txt": "in/same.txt", "shared: shared file.txt": "shared file.txt"}
    checksums = {text: checksum_of(str(workflow.directory / path)) for text, path in named.items()}
    assert parts == [f"{text} = {checksum[:32]}" for text, checksum in checksums.items()]

    Path(workflow.directory, "in/a.txt").touch()
    workflow.succeed(*names(*NAMES), "--forceall", "--cavatica-pack", "3")
    assert workflow.read("c.txt") == expected(workflow, "c")
    assert stored(workflow) == ["4-small-files.tar", "big.txt"]
    workflow.succeed(*names(*NAMES), "--forceall", "--cavatica-batch", "auto")
    assert workflow.read("b.txt") == expected(workflow, "b")
    alone = {"a.txt", "b.txt", "c.txt", "same.txt", "shared file.txt"}
    more = alone.intersection(stored(workflow))
    assert len(more) == 4, "children of a batch are known by files of their own, each content once"


def test_a_task_is_known_again_whatever_its_inputs_travel_in(
    own_transfer: Workflow, gate: Path
) -> None:
    """A run that was killed is taken up by one that has other parcels, or none."""
    workflow, go_on = own_transfer, gate
    prepare(workflow, wait=f"until [ -e {go_on} ]; do sleep 0.1; done; ")
    for some in (("a", "same"), ("a", "b", "c", "same")):
        process = workflow.start(*names(*some))
        until(partial(started, workflow, len(some)))
        process.kill()
        process.communicate(timeout=30)
        forget_contents(workflow)
    go_on.touch()
    workflow.succeed(*names("a", "b", "c", "same"), "--cavatica-parcel-up-to", "0")
    assert {name: workflow.read(f"{name}.txt") for name in NAMES} == {
        name: expected(workflow, name) for name in NAMES
    }
    assert len(workflow.platform.executions()) == 4, "each job ran once"


def test_a_parcel_that_somebody_deletes_is_made_again(own_transfer: Workflow) -> None:
    workflow = own_transfer
    prepare(workflow)
    workflow.succeed(*names("a", "b"))
    with workflow.platform.client() as client:
        task = next(client.list_tasks(project=workflow.platform.project))
        client.delete_files([one["path"] for one in task.inputs[PARCELS]])
    workflow.succeed(*names("a", "b", "c"), "--forceall")
    assert workflow.read("b.txt") == expected(workflow, "b")
    assert workflow.read("c.txt") == expected(workflow, "c")


def downloads(workflow: Workflow) -> int:
    paths = [request["path"].split("?")[0] for request in workflow.platform.requests()]
    return sum(path.endswith("/download_info") for path in paths)


def test_small_outputs_of_a_task_come_in_one_file(own_transfer: Workflow, tmp_path: Path) -> None:
    """Those of a pack in one for all; what is large comes by itself, and all is passed on by id."""
    workflow, b_works = own_transfer, tmp_path / "b-works"
    workflow.write(
        {
            "Snakefile": f"""
            rule joined:
                input: expand("res/{{x}}.txt", x=["a", "b", "c"])
                output: "joined.txt"
                shell: "cat {{input}} > {{output}}"
            rule make:
                output: "res/{{x}}.txt", "res/{{x}}.bin"
                log: "logs/.{{x}} log"
                shell: "echo {{wildcards.x}} | tee {{output[0]}} > {{log:q}}; "
                       "head -c 1000001 /dev/zero > {{output[1]}}; "
                       "[ {{wildcards.x}} != b ] || [ -e {b_works} ]"
            """
        }
    )
    for options, status, expected in (
        # b fails: the pack gathers what the other two leave, and b goes alone next time.
        (("--keep-going", "--cavatica-pack", "3"), 1, 1 + 2 + 1),
        ((), 0, 2 + 1),
        (("--forceall",), 0, 3 * 2 + 1),
        (("--forceall", "--cavatica-parcel-up-to", "0"), 0, 3 * 3 + 1),
    ):
        before = downloads(workflow)
        result = workflow.run(*options)
        b_works.touch()
        assert result.status == status, result.output
        assert downloads(workflow) - before == expected
        for name in "ac" if status else "abc":
            assert workflow.read(f"res/{name}.txt") == f"{name}\n"
            assert workflow.read(f"logs/.{name} log") == f"{name}\n"
            assert (workflow.directory / f"res/{name}.bin").stat().st_size == 1_000_001
    assert workflow.read("joined.txt") == "a\nb\nc\n"
    assert not list(workflow.directory.glob(".snakemake/cavatica/incoming/*"))
