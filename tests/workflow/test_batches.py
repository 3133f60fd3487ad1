"""Jobs as the children of one batch task."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from workflow_runs import DataPlace, Platform, Workflow, new_workflow, until

from snakemake_executor_cavatica.api import Task
from snakemake_executor_cavatica.observe.entries import Status
from snakemake_executor_cavatica.observe.record import find_record, read_record

BATCH = ("--cavatica-batch", "auto")


def calls(workflow: Workflow, since: int, method: str, ending: str) -> int:
    """How often the platform was asked for something."""
    return sum(
        request["method"] == method and request["path"].split("?")[0].endswith(ending)
        for request in workflow.platform.requests()[since:]
    )


def starts(workflow: Workflow, since: int) -> Counter[str]:
    """Drafts and starts that were sent."""
    return Counter(
        drafts=calls(workflow, since, "POST", "/tasks"),
        runs=calls(workflow, since, "POST", "/actions/run"),
    )


ITEM = """
rule all:
    input: expand("out/{x}.txt", x=range(6))
rule one:
    input: own="in/{x}.txt", shared="shared.txt"
    output: "out/{x}.txt"
    log: "logs/{x}.log"
    shell: "cat {input.own} {input.shared} > {output}; echo {wildcards.x} > {log}"
"""


def test_jobs_with_an_input_of_their_own_are_one_draft_and_one_start(workflow: Workflow) -> None:
    workflow.write({"Snakefile": ITEM})
    workflow.put({f"in/{x}.txt": f"{x}\n" for x in range(6)} | {"shared.txt": "shared\n"})
    before = len(workflow.platform.requests())
    result = workflow.succeed(*BATCH)
    assert starts(workflow, before) == {"drafts": 1, "runs": 1}
    assert result.output.count(") is task ") == 6
    for x in range(6):
        assert workflow.read(f"out/{x}.txt") == f"{x}\nshared\n"
        assert workflow.read(f"logs/{x}.log") == f"{x}\n"
    assert workflow.run(*BATCH).nothing_to_do


SHARED = """
rule all:
    input: expand("out/{x}.txt", x=list("ab"))
rule one:
    input: "first.txt", other="second.txt", inputs="third.txt", own="in/{x}.txt"
    output: "out/{x}.txt"
    shell: "cat {input} > {output}"
"""


def test_shared_inputs_get_to_their_paths_whatever_their_order_in_the_rule(
    transfer_workflow: Workflow,
) -> None:
    """The first and the third are handed over together, because both belong to one port."""
    workflow = transfer_workflow
    workflow.write({"Snakefile": SHARED})
    numbers = ("first", "second", "third")
    workflow.put({f"in/{x}.txt": f"{x}\n" for x in "ab"} | {f"{n}.txt": f"{n}\n" for n in numbers})
    before = len(workflow.platform.requests())
    workflow.succeed(*BATCH)
    assert starts(workflow, before) == {"drafts": 1, "runs": 1}
    assert [workflow.read(f"out/{x}.txt") for x in "ab"] == [
        f"first\nsecond\nthird\n{x}\n" for x in "ab"
    ]


PAIRS = """
rule all:
    input: expand("{x}/out/pair.txt", x=list("abc"))
rule pair:
    input: left="in/{x}_1.txt", right="in/{x}_2.txt", shared="shared.txt"
    output: "{x}/out/pair.txt", folder=directory("{x}/folder")
    shell:
        "cat {input.left} {input.right} {input.shared} > {output[0]}; "
        "mkdir -p {output.folder}; cp {input.right} {output.folder}/right"
"""


@pytest.mark.both_places
def test_jobs_with_several_inputs_of_their_own_are_told_apart_by_metadata(
    workflow: Workflow,
) -> None:
    """Their outputs go to folders of their own."""
    workflow.write({"Snakefile": PAIRS})
    workflow.put({f"in/{x}_{n}.txt": f"{x}{n}\n" for x in "abc" for n in "12"} | {"shared.txt": ""})
    before = len(workflow.platform.requests())
    workflow.succeed(*BATCH)
    assert starts(workflow, before) == {"drafts": 1, "runs": 1}
    for x in "abc":
        assert workflow.read(f"{x}/out/pair.txt") == f"{x}1\n{x}2\n"
        assert workflow.read(f"{x}/folder/right") == f"{x}2\n"
    if workflow.place == "storage":
        assert calls(workflow, before, "POST", "/async/files/move") in {1, 2, 3}
    assert workflow.run(*BATCH).nothing_to_do


NAMES = """
rule all:
    input: expand("out/{x}.txt", x=range(3)), "out/other.txt"
rule one:
    input: "{x}/in.txt"
    output: "out/{x}.txt"
    shell: "cat {input} > {output}"
rule other:
    input: "other.txt"
    output: "out/other.txt"
    shell: "cat {input} > {output}"
"""


def test_jobs_whose_inputs_have_one_name_run_alone_and_the_log_says_why(
    storage_workflow: Workflow,
) -> None:
    workflow = storage_workflow
    workflow.write({"Snakefile": NAMES})
    workflow.put({f"{x}/in.txt": f"{x}\n" for x in range(3)} | {"other.txt": "other\n"})
    before = len(workflow.platform.requests())
    result = workflow.succeed(*BATCH, "--verbose")
    assert starts(workflow, before) == {"drafts": 4, "runs": 4}
    assert "one [x=1]: no batch, because its own inputs have the same names" in result.output
    assert "other: no batch, because no other job is ready" in result.output
    assert [workflow.read(f"out/{x}.txt") for x in range(3)] == ["0\n", "1\n", "2\n"]


def test_a_batch_that_is_down_to_one_job_runs_without_children(storage_workflow: Workflow) -> None:
    workflow = storage_workflow
    text = NAMES.replace("range(3)", '["a/1", "a/2", "b/2"]').replace("{x}/in.txt", "{x}.in")
    workflow.write({"Snakefile": text})
    workflow.put({f"{x}.in": f"{x}\n" for x in ("a/1", "a/2", "b/2")} | {"other.txt": "other\n"})
    before = len(workflow.platform.requests())
    workflow.succeed(*BATCH, "--jobname", "mine.{jobid}")
    requests = [request["path"] for request in workflow.platform.requests()[before:]]
    assert sum(path.endswith("/actions/run?batch=false") for path in requests) == 1
    with workflow.platform.client() as client:
        tasks = client.list_tasks(project=workflow.platform.project)
        alone = [task.name for task in tasks if task.name.startswith("mine.")]
    assert len(alone) == 2  # the job of `other`, and the one that is left of `one`
    assert [workflow.read(f"out/{x}.txt") for x in ("a/1", "a/2", "b/2")] == [
        "a/1\n",
        "a/2\n",
        "b/2\n",
    ]
    assert workflow.run(*BATCH).nothing_to_do


def test_a_left_over_job_with_several_inputs_of_its_own_needs_no_metadata(
    storage_workflow: Workflow,
) -> None:
    workflow = storage_workflow
    samples = ("a/1", "a/2", "b/2")
    text = PAIRS.replace('list("abc")', f"{samples}").replace("in/{x}_", "{x}_")
    workflow.write({"Snakefile": text})
    workflow.put({f"{x}_{n}.txt": f"{x} {n}\n" for x in samples for n in "12"})
    workflow.put({"shared.txt": ""})
    before = len(workflow.platform.requests())
    workflow.succeed(*BATCH)
    assert starts(workflow, before) == {"drafts": 2, "runs": 2}
    assert [workflow.read(f"{x}/out/pair.txt") for x in samples] == [
        f"{x} 1\n{x} 2\n" for x in samples
    ]


FLAKY = """
rule all:
    input: expand("out/{x}.txt", x=range(4))
rule one:
    input: "in/{x}.txt"
    output: "out/{x}.txt"
    log: "logs/{x}.log"
    resources: mem_mb=lambda wildcards, attempt: 100 * attempt
    shell:
        "echo said {wildcards.x} > {log}; echo hello from {wildcards.x} >&2; "
        "[ {wildcards.x} != 2 ] || [ {resources.mem_mb} -gt 100 ]; cat {input} > {output}"
"""


def test_a_child_that_fails_is_told_by_itself_and_tried_again_alone(workflow: Workflow) -> None:
    workflow.write({"Snakefile": FLAKY})
    workflow.put({f"in/{x}.txt": f"{x}\n" for x in range(4)})
    before = len(workflow.platform.requests())
    result = workflow.succeed(*BATCH, "--retries", "1")
    assert starts(workflow, before) == {"drafts": 2, "runs": 2}
    assert "one [x=2]: the command failed with exit status 1" in result.output
    assert "hello from 2" in result.output
    assert "one [x=1]: the command failed" not in result.output
    assert [workflow.read(f"out/{x}.txt") for x in range(4)] == ["0\n", "1\n", "2\n", "3\n"]
    assert workflow.run(*BATCH).nothing_to_do


def test_children_that_succeed_stay_when_another_fails_for_good(workflow: Workflow) -> None:
    workflow.write({"Snakefile": FLAKY})
    workflow.put({f"in/{x}.txt": f"{x}\n" for x in range(4)})
    workflow.fail(*BATCH, "--keep-going")
    assert [workflow.read(f"out/{x}.txt") for x in range(4)] == ["0\n", "1\n", None, "3\n"]


def test_a_rule_decides_for_itself(storage_workflow: Workflow) -> None:
    workflow = storage_workflow
    workflow.write({"Snakefile": ITEM})
    workflow.put({f"in/{x}.txt": f"{x}\n" for x in range(6)} | {"shared.txt": "shared\n"})
    before = len(workflow.platform.requests())
    workflow.succeed("--set-resources", "one:cavatica_batch=auto", "--forcerun", "one")
    assert starts(workflow, before) == {"drafts": 1, "runs": 1}


SLOW = """
rule all:
    input: expand("{x}/out.txt", x=[0, 1, 9])
rule one:
    input: "in/{x}.txt"
    output: "{x}/out.txt"
    shell: "sleep {wildcards.x}; cat {input} > {output}"
"""


@pytest.fixture
def own(tmp_path: Path, fresh: Platform, place: DataPlace) -> Workflow:
    """A workflow in a project of its own, whose records hold nothing else."""
    directory = tmp_path / "workflow"
    directory.mkdir()
    workflow = Workflow(directory, fresh, place)
    workflow.write({"Snakefile": SLOW})
    workflow.put({f"in/{x}.txt": f"{x}\n" for x in (0, 1, 9)})
    return workflow


def children(workflow: Workflow) -> list[Task]:
    with workflow.platform.client() as client:
        parents = [
            task for task in client.list_tasks(project=workflow.platform.project) if task.batch
        ]
        return [child for parent in parents for child in client.list_tasks(parent=parent.id)]


def statuses(workflow: Workflow) -> list[str]:
    return sorted(child.status for child in children(workflow))


def test_the_children_of_a_killed_run_are_taken_up(own: Workflow) -> None:
    """One had been reported, one had ended unseen, and one is still running."""
    process = own.start(*BATCH)
    until(lambda: statuses(own).count("COMPLETED") >= 1)
    time.sleep(1.5)
    process.send_signal(signal.SIGSTOP)
    until(lambda: statuses(own).count("COMPLETED") == 2)
    process.kill()
    process.communicate(timeout=30)
    assert "RUNNING" in statuses(own)
    result = own.succeed(*BATCH)
    assert "of the earlier run" in result.output
    assert len(own.platform.executions()) == 3, "nothing was started twice"
    assert [own.read(f"{x}/out.txt") for x in (0, 1, 9)] == ["0\n", "1\n", "9\n"]
    assert own.run(*BATCH).nothing_to_do


def test_children_go_on_where_another_one_was_lost_at_once(own: Workflow) -> None:
    """Protects against doing all of a batch again for want of one child."""
    own.write({"Snakefile": ITEM})
    own.put({f"in/{x}.txt": f"{x}\n" for x in range(6)} | {"shared.txt": "shared\n"})
    lost = {"do": "lose-task", "task": "3.txt$", "seconds": 0, "times": 1}
    own.platform.inject(lost)
    own.succeed(*BATCH, "--retries", "1")
    ended = [one for one in own.platform.executions() if one["exit_status"] == 0]
    assert len(ended) == 6
    assert [own.read(f"out/{x}.txt") for x in range(6)] == [f"{x}\nshared\n" for x in range(6)]


@pytest.mark.parametrize("place", ["storage"])
def test_children_that_have_completed_count_also_if_their_batch_is_given_up(
    own: Workflow, tmp_path: Path
) -> None:
    """The platform does not list the children, until the batch is aborted for that."""
    again = tmp_path / "again"
    wait = f"[ {{wildcards.x}} != 9 ] || [ -e {again} ] || {{{{ touch {again}; sleep 60; }}}}"
    own.write({"Snakefile": SLOW.replace("sleep {wildcards.x}", wait)})
    own.platform.inject({"do": "status", "status": 500, "path": "/tasks.*parent="})
    process = own.start(*BATCH)
    until(lambda: any("/actions/abort" in one["path"] for one in own.platform.requests()))
    own.platform.control("faults", [])
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "was given up" in output
    ended = [one["exit_status"] for one in own.platform.executions()]
    assert ended.count(0) == 3, "of the three jobs, only the one that was aborted ran once more"
    assert [own.read(f"{x}/out.txt") for x in (0, 1, 9)] == ["0\n", "1\n", "9\n"]
    assert own.run(*BATCH).nothing_to_do


def test_a_batch_whose_start_was_on_its_way_at_a_kill_does_not_start_any_more(
    own: Workflow,
) -> None:
    """Its jobs start anew: if it started as well, they would run twice."""
    late = {"method": "POST", "path": "/actions/run$", "do": "delay", "seconds": 8, "times": 1}
    own.platform.inject(late)
    process = own.start(*BATCH)
    until(lambda: any("/actions/run" in one["path"] for one in own.platform.requests()))
    process.kill()
    process.communicate(timeout=30)
    own.succeed(*BATCH)
    until(lambda: all(one["status"] or one["fault"] is None for one in own.platform.requests()))
    assert statuses(own) == ["COMPLETED"] * 3
    assert len(own.platform.executions()) == 3


def test_ctrl_c_while_a_batch_makes_its_children_aborts_all(
    tmp_path: Path, serve: Callable[..., Platform], place: DataPlace
) -> None:
    """Protects against children that nobody has heard of."""
    workflow = new_workflow(tmp_path, serve("--switch", "batch_creating_delay=3"), place)
    workflow.write({"Snakefile": ITEM})
    workflow.put({f"in/{x}.txt": f"{x}\n" for x in range(6)} | {"shared.txt": "shared\n"})
    process = workflow.start(*BATCH)
    until(lambda: statuses(workflow) == ["DRAFT"] * 6)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "Traceback" not in output, output
    assert "not known whether" not in output, output
    assert statuses(workflow) == ["ABORTED"] * 6
    assert not workflow.platform.executions()
    attempts = read_record(find_record(workflow.directory)).attempts
    assert [(one.kind, one.status) for one in attempts] == [("shared", Status.CANCELLED)]
    workflow.succeed(*BATCH)


def test_ctrl_c_aborts_a_batch_by_one_request_and_keeps_what_was_done(own: Workflow) -> None:
    process = own.start(*BATCH)
    until(lambda: statuses(own) == ["COMPLETED", "COMPLETED", "RUNNING"])
    before = len(own.platform.requests())
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "Traceback" not in output, output
    assert "not known whether" not in output
    assert statuses(own) == ["ABORTED", "COMPLETED", "COMPLETED"]
    assert calls(own, before, "POST", "/actions/abort") == 1
    own.succeed(*BATCH)
    assert len(own.platform.executions()) == 4
    assert own.run(*BATCH).nothing_to_do


def test_an_unforeseen_error_while_outputs_are_moved_fails_the_jobs_and_hangs_nothing(
    storage_workflow: Workflow, tmp_path: Path
) -> None:
    workflow = storage_workflow
    workflow.write({"Snakefile": PAIRS})
    workflow.put({f"in/{x}_{n}.txt": f"{x}{n}\n" for x in "abc" for n in "12"} | {"shared.txt": ""})
    (tmp_path / "sitecustomize.py").write_text(
        "from snakemake_executor_cavatica.finish import collect\n"
        "def bring_home(*arguments):\n"
        "    raise RuntimeError('planted')\n"
        "collect.Collector.bring_home = bring_home\n"
    )
    result = workflow.fail(*BATCH, environment={"PYTHONPATH": str(tmp_path)})
    assert "pair [x=a]: unexpected RuntimeError: planted" in result.output
