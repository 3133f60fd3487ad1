"""A run that was killed is taken up by the same command: nothing is lost, nothing is paid twice."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from workflow_runs import DataPlace, Platform, Workflow, new_workflow, until

from snakemake_executor_cavatica.api import File
from snakemake_executor_cavatica.run.journal import JOURNAL, Journal, Record, State

FAN = """
rule all:
    input: "all.txt"
rule one:
    input: "in.txt"
    output: temp("{x}.txt")
    shell: "sleep {wildcards.x}; cat {input} > {output}; echo {wildcards.x} >> {output}"
rule join:
    input: expand("{x}.txt", x=[0, 2, 4])
    output: "all.txt"
    shell: "cat {input} > {output}"
"""
JOINED = "in\n0\nin\n2\nin\n4\n"
CHAIN = """
rule b:
    input: "a.txt"
    output: "b.txt"
    shell: "sleep 3; cat {input} > {output}; echo b >> {output}"
rule a:
    input: "in.txt"
    output: "a.txt"
    shell: "cat {input} > {output}; echo a >> {output}"
"""


@pytest.fixture
def own(tmp_path: Path, fresh: Platform, place: DataPlace) -> Workflow:
    """A workflow in a project of its own, whose records hold nothing else."""
    directory = tmp_path / "workflow"
    directory.mkdir()
    workflow = Workflow(directory, fresh, place)
    workflow.put({"in.txt": "in\n"})
    return workflow


@pytest.fixture
def own_storage(tmp_path: Path, fresh: Platform) -> Workflow:
    directory = tmp_path / "workflow"
    directory.mkdir()
    workflow = Workflow(directory, fresh, "storage")
    workflow.put({"in.txt": "in\n"})
    return workflow


def statuses(workflow: Workflow) -> dict[str, str]:
    """Of each task by its name; the youngest if there are several."""
    with workflow.platform.client() as client:
        tasks = client.list_tasks(
            project=workflow.platform.project, order_by="created_time", order="asc"
        )
        return {task.name: task.status for task in tasks}


def kill(process: subprocess.Popen[str]) -> str:
    process.kill()
    output, _ = process.communicate(timeout=30)
    return output


def executed(workflow: Workflow) -> Counter[str]:
    """How often the commands of each job were started, by the platform's own record."""
    with workflow.platform.client() as client:
        names = {
            task.id: task.name for task in client.list_tasks(project=workflow.platform.project)
        }
    return Counter(names[execution["task"]] for execution in workflow.platform.executions())


def journals(workflow: Workflow) -> list[str]:
    with workflow.platform.client() as client:
        roots = client.list_files(project=workflow.platform.project, names=["snakemake"])
        return [
            file.name
            for root in list(roots)
            for file in client.list_files(parent=root.id)
            if file.name.startswith(JOURNAL)
        ]


def recorded(workflow: Workflow) -> list[Record]:
    """What the journals of the project tell."""
    with workflow.platform.client() as client:
        roots = client.list_files(project=workflow.platform.project, names=["snakemake"])
        ids = [file.id for root in list(roots) for file in client.list_files(parent=root.id)]
        files = client.get_files(ids).values()
        return list(Record.read(file for file in files if isinstance(file, File)))


def is_taken_up(workflow: Workflow) -> bool:
    """Whether the journal of a run names another one."""
    return any(one.successor for one in recorded(workflow))


def elsewhere(workflow: Workflow) -> Workflow:
    """The same workflow on another machine, where nothing is known of the first one."""
    directory = workflow.directory.parent / "elsewhere"
    directory.mkdir()
    shutil.copy(workflow.directory / "Snakefile", directory)
    return Workflow(directory, workflow.platform, workflow.place, workflow.folder)


def assert_done(workflow: Workflow, expected: dict[str, str]) -> None:
    for name, content in expected.items():
        assert workflow.read(name) == content
    assert journals(workflow) == []
    assert workflow.run().nothing_to_do


@pytest.mark.parametrize("arguments", [(), ("--rerun-incomplete",)])
def test_a_killed_run_is_taken_up_by_the_same_command(
    own: Workflow, arguments: tuple[str, ...]
) -> None:
    """Jobs that had ended, that ended unseen, that were running and that were not yet started."""
    own.write({"Snakefile": FAN})
    process = own.start()
    until(lambda: statuses(own).get("one [x=4]") == "RUNNING")
    until(lambda: statuses(own).get("one [x=0]") == "COMPLETED")
    time.sleep(1)
    process.send_signal(signal.SIGSTOP)
    until(lambda: statuses(own).get("one [x=2]") == "COMPLETED")
    kill(process)
    result = own.succeed(*arguments)
    assert "of the earlier run" in result.output
    assert executed(own) == {"one [x=0]": 1, "one [x=2]": 1, "one [x=4]": 1, "join": 1}
    assert_done(own, {"all.txt": JOINED})


def test_another_machine_takes_a_run_up(own_storage: Workflow) -> None:
    """With an empty .snakemake, what the platform holds has to be enough."""
    own = own_storage
    own.write({"Snakefile": FAN})
    process = own.start()
    until(lambda: statuses(own).get("one [x=4]") == "RUNNING")
    until(lambda: statuses(own).get("one [x=2]") == "COMPLETED")
    kill(process)
    other = elsewhere(own)
    other.succeed()
    assert executed(own) == {"one [x=0]": 1, "one [x=2]": 1, "one [x=4]": 1, "join": 1}
    assert_done(other, {"all.txt": JOINED})


def killed_in_b(workflow: Workflow) -> None:
    """Kill a run of the chain while b runs; a was reported."""
    process = workflow.start()
    until(lambda: statuses(workflow).get("b") == "RUNNING")
    kill(process)


def test_what_was_reported_and_is_forced_runs_again(own: Workflow) -> None:
    own.write({"Snakefile": CHAIN})
    killed_in_b(own)
    own.succeed("--forceall")
    assert executed(own)["a"] == 2
    assert_done(own, {"a.txt": "in\na\n", "b.txt": "in\na\nb\n"})


def test_what_was_reported_and_is_deleted_runs_again(own: Workflow) -> None:
    own.write({"Snakefile": CHAIN})
    killed_in_b(own)
    own.remove("a.txt")
    own.succeed()
    assert executed(own)["a"] == 2
    assert_done(own, {"a.txt": "in\na\n", "b.txt": "in\na\nb\n"})


def test_a_consumed_temp_file_is_made_again_when_it_is_needed(own: Workflow) -> None:
    own.write(
        {
            "Snakefile": """
            rule c:
                input: "b.txt"
                output: "c.txt"
                shell: "sleep 3; cat {input} > {output}"
            rule b:
                input: "a.txt"
                output: "b.txt"
                shell: "cat {input} > {output}"
            rule a:
                input: "in.txt"
                output: temp("a.txt")
                shell: "cat {input} > {output}"
            """
        }
    )
    process = own.start()
    until(lambda: statuses(own).get("c") == "RUNNING")
    kill(process)
    own.remove("b.txt")
    own.succeed()
    assert executed(own)["b"] == 2
    assert_done(own, {"c.txt": "in\n"})


@pytest.mark.parametrize("change", ["command", "params", "input", "resources"])
def test_a_job_that_has_changed_runs_again_and_its_task_is_stopped(
    own_transfer: Workflow, tmp_path: Path, change: str
) -> None:
    own, first = own_transfer, tmp_path / "first"
    wait = f"mkdir {first} 2> /dev/null && sleep 600"
    own.put({"in.txt": "in\n"})
    text = f"""
    rule a:
        input: "in.txt"
        output: "a.txt"
        params: "one"
        resources: mem_mb=100
        shell: "{wait}; cat {{input}} > {{output}}; echo {{params}} >> {{output}}"
    """
    own.write({"Snakefile": text})
    process = own.start()
    until(first.exists)
    kill(process)
    if change == "command":
        text = text.replace("sleep 600;", "sleep 500;")
    elif change == "params":
        text = text.replace('"one"', '"two"')
    elif change == "resources":
        text = text.replace("mem_mb=100", "mem_mb=200")
    else:
        own.put({"in.txt": "other\n"})
    own.write({"Snakefile": text})
    own.succeed()
    with own.platform.client() as client:
        ended = [task.status for task in client.list_tasks(project=own.platform.project)]
    assert sorted(ended) == ["ABORTED", "COMPLETED"]
    first = "other" if change == "input" else "in"
    assert_done(own, {"a.txt": f"{first}\n{'two' if change == 'params' else 'one'}\n"})


@pytest.mark.parametrize("user", ["library", "uses"])
def test_a_script_that_has_changed_runs_again_and_no_other(
    own_transfer: Workflow, user: str
) -> None:
    """One as well that has a part of the script of another rule."""
    own = own_transfer
    own.write(
        {
            "Snakefile": f"""
            rule all:
                input: "a.txt", "b.txt"
            rule a:
                output: "a.txt"
                script: "a.py"
            rule b:
                output: "b.txt"
                script: "{user}.py"
            rule nobody_wants_this:
                output: "library.txt"
                script: "library.py"
            """,
            "a.py": "import time; time.sleep(8); open(snakemake.output[0], 'w').write('a')",
            "library.py": """
            import time
            def write(path): time.sleep(8), open(path, 'w').write('b')
            if "snakemake" in globals(): write(snakemake.output[0])
            """,
        }
    )
    if user == "uses":
        own.write({"uses.py": "from library import write; write(snakemake.output[0])"})
    process = own.start()
    until(lambda: list(statuses(own).values()).count("RUNNING") == 2)
    kill(process)
    text = (own.directory / "library.py").read_text()
    own.write({"library.py": text.replace("time.sleep(8), ", "").replace("'b'", "'B'")})
    own.succeed()
    assert executed(own) == {"a": 1, "b": 2}
    assert_done(own, {"a.txt": "a", "b.txt": "B"})


def test_what_only_snakemake_in_a_task_reads_has_changed(own_transfer: Workflow) -> None:
    """Protects a sample sheet that is mended after the run was killed."""
    own = own_transfer
    own.write(
        {
            "Snakefile": """
            samples = dict(line.split() for line in open("samples.txt"))
            rule all:
                input: "a.txt", "b.txt"
            rule a:
                output: "a.txt"
                run:
                    import time
                    time.sleep(8)
                    with open(output[0], "w") as file:
                        file.write(samples["a"])
            rule b:
                output: "b.txt"
                shell: "sleep 8; echo b > {output}"
            """,
            "samples.txt": "a first",
        }
    )
    process = own.start()
    until(lambda: list(statuses(own).values()).count("RUNNING") == 2)
    kill(process)
    own.write({"samples.txt": "a second"})
    own.succeed()
    assert executed(own) == {"a": 2, "b": 1}
    assert_done(own, {"a.txt": "second", "b.txt": "b\n"})


def test_a_later_attempt_is_taken_up_with_its_resources(own_transfer: Workflow) -> None:
    own = own_transfer
    own.write(
        {
            "Snakefile": """
            rule a:
                output: "a.txt"
                retries: 2
                resources: mem_mb=lambda wildcards, attempt: 100 * attempt
                shell:
                    "[ {resources.mem_mb} -gt 100 ] || exit 1; "
                    "sleep 3; echo {resources.mem_mb} > {output}"
            """
        }
    )
    process = own.start()
    until(lambda: len(own.platform.executions()) == 2 and statuses(own).get("a") == "RUNNING")
    kill(process)
    own.succeed()
    assert executed(own) == {"a": 2}
    assert_done(own, {"a.txt": "200\n"})


def test_a_draft_that_was_never_started_is_started(own_transfer: Workflow) -> None:
    own = own_transfer
    own.write({"Snakefile": CHAIN})
    own.put({"in.txt": "in\n"})
    drop = {"method": "POST", "path": ".*/actions/run$", "do": "delay", "seconds": 20, "times": 1}
    own.platform.inject(drop)
    process = own.start()
    until(lambda: statuses(own).get("a") == "DRAFT")
    time.sleep(0.5)
    kill(process)
    own.platform.inject()
    own.succeed()
    assert executed(own) == {"a": 1, "b": 1}
    with own.platform.client() as client:
        assert len(list(client.list_tasks(project=own.platform.project))) == 2
    assert_done(own, {"b.txt": "in\na\nb\n"})


def test_a_run_is_taken_up_with_a_new_token(tmp_path: Path, serve: Callable[..., Platform]) -> None:
    """Protects what was downloaded from being another input than what is on the platform."""
    own = new_workflow(tmp_path, serve())
    own.write({"Snakefile": CHAIN, "in.txt": "in\n"})
    process = own.start()
    until(lambda: statuses(own) == {"a": "COMPLETED", "b": "RUNNING"})
    kill(process)
    user = {"username": own.platform.project.partition("/")[0]}
    own.platform.token = own.platform.control("revoke", user)["auth_token"]
    own.succeed()
    assert executed(own) == {"a": 1, "b": 1}


def test_a_run_that_is_killed_again_and_again_is_taken_up(own_storage: Workflow) -> None:
    own = own_storage
    # Long enough that the third run is killed before all is done.
    own.write({"Snakefile": FAN.replace("sleep {wildcards.x}", "sleep $((2 * {wildcards.x}))")})
    for _ in range(3):
        process = own.start()
        until(lambda: statuses(own).get("one [x=4]") in {"RUNNING", "QUEUED", "COMPLETED"})
        time.sleep(1.5)
        kill(process)
    own.succeed()
    assert executed(own) == {"one [x=0]": 1, "one [x=2]": 1, "one [x=4]": 1, "join": 1}
    assert_done(own, {"all.txt": JOINED})


def test_detached_tasks_go_on_and_are_taken_up(own_storage: Workflow, gate: Path) -> None:
    own, go_on = own_storage, gate
    wait = f"[ {{wildcards.x}} != 4 ] || until [ -e {go_on} ]; do sleep 0.2; done"
    own.write({"Snakefile": FAN.replace("sleep", f"{wait}; sleep")})
    process = own.start("--cavatica-detach")
    until(lambda: statuses(own).get("one [x=4]") == "RUNNING")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "go on on CAVATICA. The same command" in output  # it costs nothing on this machine
    # What runs may show QUEUED for a moment, and the others may still wait for a core.
    until(lambda: statuses(own)["one [x=4]"] == "RUNNING")
    go_on.touch()
    assert "of the earlier run" in own.succeed().output
    assert executed(own) == {"one [x=0]": 1, "one [x=2]": 1, "one [x=4]": 1, "join": 1}
    assert_done(own, {"all.txt": JOINED})


def test_ctrl_c_leaves_nothing_behind(own_transfer: Workflow) -> None:
    own = own_transfer
    own.put({"in.txt": "in\n"})
    own.write({"Snakefile": FAN.replace("sleep {wildcards.x}", "sleep 30")})
    process = own.start()
    until(lambda: list(statuses(own).values()).count("RUNNING") == 2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert set(statuses(own).values()) == {"ABORTED"}
    assert journals(own) == []


def test_a_result_that_ctrl_c_cut_off_is_fetched_by_the_next_run(own: Workflow) -> None:
    own.write({"Snakefile": CHAIN})
    process = own.start()
    until(lambda: statuses(own).get("b") == "RUNNING")
    process.send_signal(signal.SIGSTOP)
    until(lambda: statuses(own).get("b") == "COMPLETED")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=60)
    own.succeed()
    assert executed(own) == {"a": 1, "b": 1}
    assert_done(own, {"b.txt": "in\na\nb\n"})


def test_two_runs_on_the_same_files_are_refused(own_storage: Workflow) -> None:
    own = own_storage
    own.write({"Snakefile": CHAIN.replace("sleep 3", "sleep 25")})
    process = own.start()
    until(lambda: statuses(own).get("b") == "RUNNING")
    result = elsewhere(own).fail()
    assert "works on the same files" in result.output
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


@pytest.mark.parametrize("wakes_late", [False, True], ids=["meanwhile", "afterwards"])
def test_a_run_that_seemed_dead_gives_way_to_its_heir(
    own_storage: Workflow, gate: Path, wakes_late: bool
) -> None:
    """A laptop that was closed: its run wakes up when another machine has taken it up, or has even
    done all of it. Then nothing on the platform tells of either run any more.
    """
    own, go_on = own_storage, gate
    wait = f"until [ -e {go_on} ]; do sleep 0.2; done"
    own.write({"Snakefile": CHAIN.replace("sleep 3", wait)})
    sleeper = own.start()
    until(lambda: statuses(own).get("b") == "RUNNING")
    sleeper.send_signal(signal.SIGSTOP)
    other = elsewhere(own)
    successor = other.start()
    until(lambda: is_taken_up(own), 40)
    if wakes_late:
        go_on.touch()
        successor.wait(60)
    sleeper.send_signal(signal.SIGCONT)
    output, _ = sleeper.communicate(timeout=60)
    assert "taken up the tasks of this one" in output, output
    if not wakes_late:
        assert statuses(own)["b"] == "RUNNING"
        go_on.touch()
    output, _ = successor.communicate(timeout=60)
    assert successor.returncode == 0, output
    assert executed(own) == {"a": 1, "b": 1}, output
    assert_done(other, {"b.txt": "in\na\nb\n"})


LATE = {"method": "POST", "path": "/upload/multipart$", "do": "delay", "seconds": 12, "times": 1}
"""Longer than a run may be on its way to its first task without being looked at closely."""


APART = """
rule apart:
    output: "apart.txt"
    priority: -1
    shell: "echo apart > {output}"
"""
READ = {"method": "GET", "path": "/billing/groups/"}
"""The last request before it is looked for other runs."""


@contextmanager
def asleep(workflow: Workflow, *targets: str) -> Iterator[subprocess.Popen[str]]:
    """A run whose machine sleeps from the first request that a fault delays."""
    sleeper = workflow.start(*targets)
    until(lambda: any(one["fault"] for one in workflow.platform.requests()))
    sleeper.send_signal(signal.SIGSTOP)
    try:
        yield sleeper
    finally:
        sleeper.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("late", [LATE, LATE | READ], ids=["begun", "read"])
def test_a_run_that_was_planned_before_another_one_did_all_does_nothing(
    own_storage: Workflow, late: dict[str, object]
) -> None:
    """A laptop that was closed before its first task, when nothing told of its run yet, or when
    its workflow was read.
    """
    own = own_storage
    own.write({"Snakefile": CHAIN.replace("sleep 3", "true")})
    own.platform.inject(late)
    with asleep(own) as sleeper:
        elsewhere(own).succeed()
    output, _ = sleeper.communicate(timeout=60)
    assert sleeper.returncode == 1
    assert "worked on the same files since this run was planned" in output
    assert "Traceback" not in output
    assert executed(own) == {"a": 1, "b": 1}, output
    assert_done(own, {"b.txt": "in\na\nb\n"})


def test_a_run_that_was_planned_before_another_one_did_a_later_job_does_nothing(
    own_storage: Workflow,
) -> None:
    """Protects the jobs that follow the one that is the first to be started."""
    own = own_storage
    own.write({"Snakefile": CHAIN.replace("sleep 3", "true") + APART})
    own.platform.inject(LATE)
    with asleep(own, "b.txt", "apart.txt") as sleeper:
        elsewhere(own).succeed("apart.txt")
    output, _ = sleeper.communicate(timeout=60)
    assert "worked on the same files since this run was planned" in output
    assert executed(own) == {"apart": 1}, output


def test_a_run_that_was_planned_before_a_killed_one_did_jobs_does_nothing(
    own_storage: Workflow, gate: Path
) -> None:
    """The tasks of a killed run are taken up, but not those whose jobs it has finished since."""
    own, second = own_storage, Path(f"{gate}-b")
    wait = "until [ -e {} ]; do sleep 0.2; done"
    text = CHAIN.replace("sleep 3", wait.format(second))
    own.write({"Snakefile": text.replace("echo a", f"{wait.format(gate)}; echo a")})
    other = elsewhere(own).start()
    until(lambda: statuses(own).get("a") == "RUNNING")
    own.platform.inject(LATE | READ)
    with asleep(own) as sleeper:
        gate.touch()
        until(lambda: any(one.reported for one in recorded(own)))
        until(lambda: statuses(own).get("b") == "RUNNING")
        kill(other)
    second.touch()
    output, _ = sleeper.communicate(timeout=90)
    assert "worked on the same files since this run was planned" in output, output
    own.succeed()
    assert executed(own) == {"a": 1, "b": 1}, output


def test_a_run_that_was_planned_before_another_one_ended_does_nothing(
    own_storage: Workflow, gate: Path
) -> None:
    """Its tasks were made before that plan, and its journal is gone."""
    own = own_storage
    own.write({"Snakefile": CHAIN.replace("sleep 3", f"until [ -e {gate} ]; do sleep 0.2; done")})
    other = elsewhere(own).start()
    until(lambda: statuses(own).get("b") == "RUNNING")
    time.sleep(6)  # more than the clocks of two machines are apart
    own.platform.inject(LATE | READ)
    with asleep(own) as sleeper:
        gate.touch()
        assert other.wait(60) == 0
    output, _ = sleeper.communicate(timeout=90)
    assert "Run the same command again" in output, output
    assert executed(own) == {"a": 1, "b": 1}, output


def test_a_run_that_is_refused_deletes_nothing(own_storage: Workflow) -> None:
    """Protects the results that the other run needs: Snakemake has them deleted before jobs start,
    and here the other one is there by then.
    """
    own = own_storage
    own.write({"Snakefile": CHAIN.replace("sleep 3", "sleep 15")})
    own.succeed()
    own.platform.inject(LATE | READ | {"seconds": 6})
    first = elsewhere(own).start("--forcerun", "b")
    until(lambda: any(one["fault"] for one in own.platform.requests()))
    own.platform.inject(LATE | {"seconds": 9})
    refused, _ = own.start("--forceall").communicate(timeout=120)
    assert "works on the same files" in refused, refused
    output, _ = first.communicate(timeout=120)
    assert first.returncode == 0, output
    assert executed(own) == {"a": 1, "b": 2}
    assert_done(own, {"a.txt": "in\na\n", "b.txt": "in\na\nb\n"})


def test_the_same_workflow_of_a_colleague_is_no_reason_to_stop(
    own: Workflow, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Long uploads are no sleep, and the same jobs on other files no results of this run."""
    text = CHAIN.replace("sleep 3", "true")
    own.write({"Snakefile": text})
    own.platform.inject(LATE)
    process = own.start()
    until(lambda: any(one["fault"] for one in own.platform.requests()))
    colleague = new_workflow(tmp_path_factory.mktemp("desk"), own.platform, own.place)
    colleague.write({"Snakefile": text})
    colleague.put({"in.txt": "in\n"})
    colleague.succeed()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert executed(own) == {"a": 2, "b": 2}, output


def test_what_was_aborted_just_before_is_no_reason_to_stop(own_storage: Workflow) -> None:
    own = own_storage
    own.write({"Snakefile": CHAIN.replace("sleep 3", "true").replace("echo a", "sleep 9; echo a")})
    process = own.start()
    until(lambda: bool(own.platform.executions()))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    own.write({"Snakefile": CHAIN.replace("sleep 3", "true")})
    own.platform.inject(LATE)
    own.succeed()


@pytest.mark.parametrize("place", ["transfer"])
def test_the_journal_of_a_killed_run_goes_where_nothing_is_left_to_do(own: Workflow) -> None:
    """All was reported, and only what follows from it on this machine was not: nobody else ends."""
    here = own.directory / "here"
    last = (
        f"localrules: last\nrule last:\n    input: 'b.txt'\n    shell: 'touch {here}; sleep 20'\n"
    )
    own.write({"Snakefile": CHAIN + last})
    process = own.start("last")
    until(here.exists)
    kill(process)
    assert journals(own)
    assert own.run("b.txt").nothing_to_do
    assert journals(own) == []


@pytest.mark.parametrize("left", ["a whole job", "a group"])
def test_a_run_that_is_killed_when_its_results_have_appeared_leaves_nothing(
    own_transfer: Workflow, tmp_path: Path, left: str
) -> None:
    """Protects the journals of a project from a task that no run takes up and none forgets."""
    options = ["--groups", "a=g", "b=g"] if left == "a group" else []
    own_transfer.write({"Snakefile": CHAIN.replace("sleep 3", "true"), "in.txt": "in\n"})
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal\n"
        "from snakemake_executor_cavatica.run.takeover import Takeover\n"
        "Takeover.reported = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = own_transfer.start(*options, environment={"PYTHONPATH": str(tmp_path)})
    assert killed.wait(timeout=60) == -signal.SIGKILL
    assert (own_transfer.directory / ("b.txt" if options else "a.txt")).exists()
    own_transfer.succeed(*options)
    assert own_transfer.read("b.txt") == "in\na\nb\n"
    assert sum(executed(own_transfer).values()) == (1 if options else 2)
    assert journals(own_transfer) == []


def test_a_journal_that_does_not_say_yet_what_it_is_about_goes_with_its_process(
    own_storage: Workflow,
) -> None:
    """Protects against journals that nobody ever takes for dead: killed right after the upload."""
    own = own_storage
    own.write({"Snakefile": CHAIN.replace("sleep 3", "true")})
    own.succeed("a.txt")  # makes the plugin's folder
    program = """
import os, sys
from snakemake_executor_cavatica.api import Client, Token
from snakemake_executor_cavatica.run.journal import Journal

endpoint, parent = sys.argv[1:]
client = Client(endpoint, Token(os.environ["SB_AUTH_TOKEN"]))
Journal(client, parent, f"20260101-000000-{os.getpid():06x}", on_successor=print)._add_page(client)
print("stored", flush=True)
sys.stdin.read()
"""
    with own.platform.client() as client:
        (home,) = client.list_files(project=own.platform.project, names=["snakemake"])
    command = [sys.executable, "-c", program, own.platform.endpoint, home.id]
    environment = {**os.environ, "SB_AUTH_TOKEN": own.platform.token}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stored\n"
        own.succeed()
        (left,) = journals(own)  # that of a run which may be about to say more
        assert left.endswith(f"{process.pid:06x}")
        process.kill()
    assert own.run().nothing_to_do
    assert journals(own) == []


def test_a_journal_holds_any_number_of_results(platform: Platform) -> None:
    """The platform takes 1,000 entries of 300 bytes for one file, and refuses more."""
    tasks = [str(uuid.uuid4()) for _ in range(9000)]
    with platform.client() as client:
        parent = client.create_folder(f"j{uuid.uuid4().hex}", project=platform.project).id
        journal = Journal(client, parent, "run", on_successor=print)
        journal.open(client, "cavatica://a/b/c", 3600)
        for number, task in enumerate(tasks):
            journal.report(task)
            if number % 100 == 0:
                journal.write()
        journal.close(State.ENDED)
        ids = [file.id for file in client.list_files(parent=parent)]
        files = [one for one in client.get_files(ids).values() if isinstance(one, File)]
        (record,) = Record.read(files)
    assert len(files) == 2
    assert record.reported == set(tasks)
    assert (record.run, record.scope, record.state) == ("run", "cavatica://a/b/c", State.ENDED)
    assert record.is_over


def test_back_on_the_first_machine_there_is_nothing_left_to_do(own_storage: Workflow) -> None:
    """What another machine has finished is not incomplete here."""
    own = own_storage
    own.write({"Snakefile": CHAIN})
    killed_in_b(own)
    elsewhere(own).succeed()
    assert executed(own) == {"a": 1, "b": 1}
    assert own.run().nothing_to_do


def test_tasks_of_another_configuration_are_left_alone(own_transfer: Workflow, gate: Path) -> None:
    """They make other files by the same rule; the next run with that configuration wants them."""
    own, go_on = own_transfer, gate
    wait = f"until [ -e {go_on} ]; do sleep 0.2; done"
    own.write(
        {
            "Snakefile": f"""
            rule a:
                output: config["out"] + "/a.txt"
                shell: "case {{output}} in one*) {wait};; esac; echo {{output}} > {{output}}"
            """
        }
    )
    process = own.start("--cavatica-detach", "--config", "out=one")
    until(lambda: statuses(own).get("a") == "RUNNING")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    result = own.succeed("--config", "out=two")
    assert "no job of this run needed them" in result.output
    go_on.touch()
    assert "of the earlier run" in own.succeed("--config", "out=one").output
    assert executed(own) == {"a": 2}
    assert own.read("one/a.txt") == "one/a.txt\n"


def test_a_stale_result_stays_hidden_until_there_is_a_new_one(own_storage: Workflow) -> None:
    """The command has changed, and the new one fails: the old result must not count."""
    own = own_storage
    own.write({"Snakefile": CHAIN})
    process = own.start()
    until(lambda: statuses(own).get("b") == "RUNNING")
    process.send_signal(signal.SIGSTOP)
    until(lambda: statuses(own).get("b") == "COMPLETED")
    kill(process)
    own.write({"Snakefile": CHAIN.replace("sleep 3; cat {input} > {output}", "exit 1")})
    own.fail()
    own.write({"Snakefile": CHAIN.replace("echo b", "echo new")})
    own.succeed()
    assert_done(own, {"b.txt": "in\na\nnew\n"})


MAKING = """
import os
import tempfile
from glob import glob
from pathlib import Path

FOUND = [sorted(os.listdir(".")), sorted(glob("**", recursive=True)), os.path.exists("out/b.txt")]
os.makedirs("logs/more", exist_ok=True)
if not os.path.exists("made.txt"):
    Path("made.txt").write_text("made while it is parsed")
with tempfile.TemporaryDirectory(dir=".") as folder:
    FOUND.append(Path(folder).is_dir())
if Path("stale.txt").exists():
    Path("stale.txt").unlink()

rule b:
    input: "out/a.txt"
    output: "out/b.txt"
    log: "logs/b.log"
    run:
        shell("sleep 3; cat {input} > {output}; echo b >> {output}; touch {log}")
rule a:
    input: "in.txt"
    output: "out/a.txt"
    run:
        shell("cat {input} > {output}; echo a >> {output}")
"""


def test_what_a_workflow_makes_while_it_is_parsed_starts_nothing_twice(own: Workflow) -> None:
    own.write({"Snakefile": MAKING, "stale.txt": "left by somebody"})
    process = own.start("out/b.txt")
    until(lambda: statuses(own).get("b") == "RUNNING")
    kill(process)
    own.succeed("out/b.txt")
    assert executed(own) == {"a": 1, "b": 1}
    assert own.read("out/b.txt") == "in\na\nb\n"
