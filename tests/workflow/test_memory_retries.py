"""A job that lacks memory or disk goes again with more, and only then."""

from __future__ import annotations

import json
import re
import signal
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from test_right_sized_disk import disks
from workflow_runs import Platform, Workflow, new_workflow, until

from snakemake_executor_cavatica.translate.app import MEMORY

JOBS = 12
SIMULATED = f"""
rule all:
    input: expand("out/{{x}}.txt", x=range({JOBS}))
rule align:
    output: "out/{{x}}.txt"
    resources: mem_mb=1000
    shell: "touch {{output}}"
"""
TOLD = """
rule all:
    input: "shell.txt", "script.txt", "plain.txt"
rule shell:
    output: "shell.txt"
    params: heap=lambda wildcards, resources: resources.mem_mb - 100
    resources: mem_mb=1000
    shell: "test {resources.mem_mb} -ge 3000 || kill -9 $$; echo {params.heap} > {output}"
rule script:
    output: "script.txt"
    resources: mem_mb=1000, cavatica_memory_retries=1
    script: "a.py"
rule plain:
    output: "plain.txt"
    resources: mem_mb=1000
    shell: "echo {resources.mem_mb} > {output}"
"""
SCRIPT = """
import os
if snakemake.resources.mem_mb < 2000:
    os.kill(os.getpid(), 9)
with open(snakemake.output[0], "w") as file:
    print(snakemake.resources.mem_mb, file=file)
"""


def memory_by_task(platform: Platform) -> dict[str, list[int]]:
    """MB that the tasks of each name asked for, in the order of their starts."""
    with platform.client() as client:
        tasks = sorted(
            client.list_tasks(project=platform.project), key=lambda task: str(task.created_time)
        )
        asked = defaultdict(list)
        for task in tasks:
            if MEMORY in task.inputs:
                asked[task.name].append(round(task.inputs[MEMORY] * 1024**2 / 1_000_000, -1))
    return dict(asked)


def simulated(serve: Callable[..., Platform], folder: Path, **behaviour: object) -> Workflow:
    path = folder / "behaviours.json"
    path.write_text(json.dumps([{"task": "^align", **behaviour}]))
    options = ("--engine", "simulate", "--simulation", str(path), "--fault-seed", "3")
    workflow = new_workflow(folder, serve(*options))
    workflow.write({"Snakefile": SIMULATED})
    return workflow


def test_memory_doubles_until_it_is_enough(serve: Callable[..., Platform], tmp_path: Path) -> None:
    """Twelve jobs that need 500 to 3500 MB: each gets as much as it takes, and no more."""
    workflow = simulated(serve, tmp_path, seconds=1, memory_mb="500-3500")
    result = workflow.succeed("--cavatica-memory-retries", "2", "--jobs", "50")
    again = [int(mb) for mb in re.findall(r"Trying again with (\d+) MB of memory", result.output)]
    assert set(again) == {2000, 4000}
    asked = memory_by_task(workflow.platform)
    assert len(asked) == JOBS
    assert all(mb == [1000, 2000, 4000][: len(mb)] for mb in asked.values())
    assert sum(len(mb) - 1 for mb in asked.values()) == len(again)
    most, hungry = max(map(max, asked.values())), sum(len(mb) > 1 for mb in asked.values())
    told = f"Memory: rule align needed up to {most:.0f} MB in {hungry} jobs of {JOBS}; ask for"
    assert told in result.output
    workflow.succeed("--cavatica-memory-retries", "2", "--jobs", "50", "--forceall")
    for name, mb in memory_by_task(workflow.platform).items():
        assert mb == [*asked[name], asked[name][-1]], "each begins with what it needed"


def test_a_command_is_told_what_it_has(transfer_workflow: Workflow) -> None:
    """Java's heap is set by such a number; without it, more memory would be of no use."""
    workflow = transfer_workflow
    workflow.write({"Snakefile": TOLD, "a.py": SCRIPT})
    workflow.succeed("--cavatica-memory-retries", "2")
    assert workflow.read("shell.txt") == "3900\n"
    assert workflow.read("script.txt") == "2000\n"
    assert workflow.read("plain.txt") == "1000\n"
    assert workflow.run("--cavatica-memory-retries", "2").nothing_to_do


def test_of_jobs_that_share_a_task_the_one_that_lacks_memory_goes_again_alone(
    transfer_workflow: Workflow,
) -> None:
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": """
rule all:
    input: expand("{x}.out", x=range(3))
rule part:
    output: "{x}.out"
    resources: mem_mb=1000
    shell: "test {wildcards.x} != 1 || test {resources.mem_mb} -ge 1999 || kill -9 $$; "
        "echo {resources.mem_mb} > {output}"
"""
        }
    )
    workflow.succeed("--cavatica-memory-retries", "1", "--cavatica-pack", "3")
    assert [workflow.read(f"{x}.out") for x in range(3)] == ["1000\n", "2000\n", "1000\n"]


AGAIN = """
rule all:
    input: "memory.txt", "full.txt", "grouped.txt"
rule memory:
    output: "memory.txt"
    retries: 1
    resources: mem_mb=1000, number=lambda wildcards, attempt: attempt
    shell: "test {resources.mem_mb} -ge 1999 || kill -9 $$; test {resources.number} -gt 1; "
        "echo {resources.mem_mb} > {output}"
rule full:
    output: "full.txt"
    retries: 1
    resources: number=lambda wildcards, attempt: attempt
    shell: "test {resources.number} -gt 1 || cat /dev/zero > /dev/full; touch {output}"
rule grouped:
    output: "grouped.txt"
    group: "together"
    retries: 1
    resources: mem_mb=1000, number=lambda wildcards, attempt: attempt
    shell: "test {resources.number} -gt 1 || kill -9 $$; touch {output}"
"""


def test_the_next_attempt_begins_with_what_the_one_before_lacked(own_transfer: Workflow) -> None:
    """Else each attempt of `retries:` pays once more for what is known to be too little."""
    workflow = own_transfer
    workflow.write({"Snakefile": AGAIN})
    workflow.succeed("--cavatica-memory-retries", "1")
    assert workflow.read("memory.txt") == "2000\n"
    asked = memory_by_task(workflow.platform)
    assert asked["memory"] == [1000, 2000, 2000]
    assert [mb for name, mb in asked.items() if "together" in name] == [[1000, 2000, 4000]]
    assert disks(workflow.platform, of="full") == {"full": [0, 2048, 4096]}


def test_what_has_other_reasons_or_no_more_to_get_fails_at_once(own_transfer: Workflow) -> None:
    """A command that fails by itself costs one task; a rule's 0 holds against the option."""
    workflow = own_transfer
    workflow.write(
        {
            "Snakefile": """
rule all:
    input: "a", "b", "c"
rule own:
    output: "a"
    shell: "exit 1"
rule off:
    output: "b"
    resources: mem_mb=1000, cavatica_memory_retries=0
    shell: "kill -9 $$"
rule disk:
    output: "c"
    shell: "cat /dev/zero > /dev/full"
"""
        }
    )
    result = workflow.fail("--keep-going", "--cavatica-memory-retries", "1")
    assert re.findall(r"(\w+): .* Trying again with (.*)\.", result.output) == [
        ("disk", "2048000 MB of disk")
    ]
    with workflow.platform.client() as client:
        names = [task.name for task in client.list_tasks(project=workflow.platform.project)]
    assert [names.count(name) for name in ("own", "off", "disk")] == [1, 1, 2]


def test_a_larger_task_is_taken_up_after_a_kill(
    serve: Callable[..., Platform], tmp_path: Path
) -> None:
    """The rule asks for less, but the task that runs is the one for its job all the same."""
    workflow = simulated(serve, tmp_path, seconds=6, memory_mb=1500)
    options = ("--cavatica-memory-retries", "1", "--jobs", "50")
    process = workflow.start(*options)

    def all_go_again() -> bool:
        asked = memory_by_task(workflow.platform)
        return len(asked) == JOBS and all(mb == [1000, 2000] for mb in asked.values())

    until(all_go_again)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    workflow.succeed(*options)
    assert all(mb == [1000, 2000] for mb in memory_by_task(workflow.platform).values())


def test_right_size_asks_for_what_earlier_runs_used_and_gives_the_rest_where_needed(
    serve: Callable[..., Platform], tmp_path: Path
) -> None:
    """Four times too much, then about enough; of which one job cannot do with, and says so."""
    behaviours = tmp_path / "behaviours.json"
    small, large = {"seconds": 1, "memory_mb": "500-900"}, {"seconds": 1, "memory_mb": 3000}
    behaviours.write_text(json.dumps([{"task": r"x=12\]", **large}, {"task": "^align", **small}]))
    options = ("--engine", "simulate", "--simulation", str(behaviours), "--fault-seed", "3")
    workflow = new_workflow(tmp_path, serve(*options, "--price-hour", "1"))
    text = SIMULATED.replace("mem_mb=1000", "mem_mb=4000")
    workflow.write({"Snakefile": text})
    workflow.succeed("--jobs", "50", "--cavatica-right-size")
    first = memory_by_task(workflow.platform)
    assert all(mb == [4000] for mb in first.values())
    workflow.write({"Snakefile": text.replace(f"range({JOBS})", f"range({JOBS + 1})")})
    result = workflow.succeed("--jobs", "50", "--cavatica-right-size", "--forceall")
    enough = re.findall(r"Rule align: (\d+) MB of memory instead of 4000", result.output)
    assert len(enough) == 1
    assert 900 < int(enough[0]) <= 1200
    second = memory_by_task(workflow.platform)
    assert second.pop("align [x=12]") == [round(int(enough[0]), -1), 4000]
    assert all(mb == [4000, round(int(enough[0]), -1)] for mb in second.values())
    assert result.output.count("Trying again with the 4000 MB that its rule asks for") == 1


def test_where_a_job_had_too_little_those_after_it_get_what_their_rule_asks_for(
    serve: Callable[..., Platform], tmp_path: Path
) -> None:
    """The data of a run may be other ones than those before: not each job has to be paid twice."""
    behaviours = tmp_path / "behaviours.json"
    small, large = {"seconds": 1, "memory_mb": 500}, {"seconds": 1, "memory_mb": 3000}
    behaviours.write_text(
        json.dumps([{"task": r"x=[0-2]\]", **small}, {"task": "^align", **large}])
    )
    workflow = new_workflow(
        tmp_path, serve("--engine", "simulate", "--simulation", str(behaviours))
    )
    text = SIMULATED.replace("mem_mb=1000", "mem_mb=4000")
    workflow.write({"Snakefile": text.replace(f"range({JOBS})", "range(3)")})
    workflow.succeed("--jobs", "3")
    workflow.write({"Snakefile": text})
    result = workflow.succeed("--jobs", "2", "--cavatica-right-size")
    assert "MB of memory instead of 4000, by what its jobs have used" in result.output
    again = result.output.count("Trying again with the 4000 MB that its rule asks for")
    assert 1 <= again <= 2, "no more than ran at a time"
    asked = memory_by_task(workflow.platform)
    assert sorted(map(len, asked.values())) == [1] * (JOBS - again) + [2] * again
