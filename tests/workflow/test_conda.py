"""Rules with conda environments. The `conda` here is a stand-in, see `fake_conda`: no real one."""

from __future__ import annotations

import shutil
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from conda_stand_in import made
from workflow_runs import DataPlace, Platform, Workflow

from snakemake_executor_cavatica.launch.environments import PREFIX

USE = ("--software-deployment-method", "conda")


@pytest.fixture
def conda_workflow(
    tmp_path: Path, conda: Path, serve: Callable[..., Platform], place: DataPlace
) -> Workflow:
    directory = tmp_path / "workflow"
    directory.mkdir()
    return Workflow(directory, serve(), place)


@pytest.fixture
def plain_workflow(tmp_path: Path, conda: Path, serve: Callable[..., Platform]) -> Workflow:
    directory = tmp_path / "workflow"
    directory.mkdir()
    return Workflow(directory, serve(), "transfer")


def definition(*dependencies: str) -> str:
    """An environment file that no other test has, since all share the folder of environments."""
    lines = "".join(f"  - {one}\n" for one in dependencies)
    return f"# {uuid.uuid4()}\nchannels: [test]\ndependencies:\n{lines}"


def environment_tasks(workflow: Workflow) -> list[str]:
    with workflow.platform.client() as client:
        tasks = client.list_tasks(project=workflow.platform.project)
        return [task.status for task in tasks if task.name.startswith("conda-environment")]


MANY = """
rule all:
    input: expand("{x}.txt", x=["a", "b", "c"]), "script.txt", "other.txt"

rule shell:
    output: "{x}.txt"
    wildcard_constraints: x="[abc]"
    conda: "envs/one.yaml"
    shell: "says > {output}"

rule script:
    output: "script.txt"
    conda: "envs/one.yaml"
    run: shell("says > {output}")

rule other:
    output: "other.txt"
    params: env="two"
    conda: "envs/two.yaml"
    shell: "says > {output}; cat $CONDA_PREFIX/deployed >> {output}"
"""


def test_an_environment_is_made_once_for_all_jobs_and_runs(
    conda_workflow: Workflow, conda: Path
) -> None:
    workflow = conda_workflow
    workflow.write(
        {
            "Snakefile": MANY,
            "envs/one.yaml": definition("says=one"),
            "envs/two.yaml": definition("says=wrong"),
            "envs/two.linux-64.pin.txt": f"# {uuid.uuid4()}\nhttps://test/says=pinned\n",
            "envs/two.post-deploy.sh": "echo deployed > $CONDA_PREFIX/deployed\n",
        }
    )
    workflow.succeed(*USE)
    assert [workflow.read(f"{x}.txt") for x in "abc"] == ["one\n"] * 3
    assert workflow.read("script.txt") == "one\n"
    assert workflow.read("other.txt") == "pinned\ndeployed\n"
    assert len(made(conda)) == 2
    assert environment_tasks(workflow) == ["COMPLETED"] * 2
    for prefix in made(conda):  # as on another machine: the tasks have to unpack them
        shutil.rmtree(Path(prefix).parent)
    workflow.remove("a.txt")
    workflow.remove("b.txt")
    workflow.succeed(*USE)
    assert workflow.read("a.txt") == "one\n"
    assert len(made(conda)) == 2
    assert workflow.run(*USE).nothing_to_do


SHARED = """
rule all:
    input: expand("out/{x}.txt", x=range(4))

rule seed:
    output: "in/{x}.txt"
    shell: "echo {wildcards.x} > {output}"

rule one:
    input: "in/{x}.txt"
    output: "out/{x}.txt"
    conda: "envs/one.yaml"
    shell: "cat {input} > {output}; says >> {output}"
"""


@pytest.mark.parametrize("option", [("--cavatica-batch", "auto"), ("--cavatica-pack", "4")])
def test_jobs_with_environments_share_tasks_like_others(
    conda_workflow: Workflow, conda: Path, option: tuple[str, str]
) -> None:
    """Also where several of them unpack the same environment on one machine, at the same time."""
    workflow = conda_workflow
    workflow.write({"Snakefile": SHARED, "envs/one.yaml": definition("says=one")})
    workflow.succeed("in/0.txt", "in/1.txt", "in/2.txt", "in/3.txt")
    result = workflow.succeed(*USE, *option)
    assert [workflow.read(f"out/{x}.txt") for x in range(4)] == [f"{x}\none\n" for x in range(4)]
    assert len(made(conda)) == 1
    kind = "batch task" if "--cavatica-batch" in option else "[4 jobs]"
    assert kind in result.output + tasks_of(workflow), result.output
    for prefix in made(conda):
        shutil.rmtree(Path(prefix).parent)
    workflow.remove("out/1.txt")
    workflow.remove("out/2.txt")
    workflow.succeed(*USE, *option)
    assert workflow.read("out/1.txt") == "1\none\n"
    assert [path.name for path in Path(prefix).parent.glob("*.??????")] == []


def tasks_of(workflow: Workflow) -> str:
    with workflow.platform.client() as client:
        tasks = client.list_tasks(project=workflow.platform.project)
        return "\n".join(task.name for task in tasks)


def test_each_task_makes_its_own_if_asked_to(plain_workflow: Workflow, conda: Path) -> None:
    plain_workflow.write({"Snakefile": ONE, "envs/one.yaml": definition("says=mine")})
    plain_workflow.succeed(*USE, "--cavatica-conda", "per-task")
    assert plain_workflow.read("out.txt") == "mine\n"
    assert not made(conda)[0].startswith(PREFIX)
    assert environment_tasks(plain_workflow) == []


ONE = """
rule one:
    output: "out.txt"
    conda: "envs/one.yaml"
    shell: "says > {output}"
"""


def test_a_failure_to_make_an_environment_is_that_of_the_jobs(
    plain_workflow: Workflow, conda: Path
) -> None:
    plain_workflow.write({"Snakefile": ONE, "envs/one.yaml": definition("impossible")})
    result = plain_workflow.fail(*USE)
    assert "one: its conda environment could not be made" in result.output
    assert "envs/one.yaml" in result.output
    assert "nothing provides impossible" in result.output
    assert len(made(conda)) == 1


def test_a_machine_without_conda_is_named_where_no_image_is_used(
    plain_workflow: Workflow, conda: Path, serve: Callable[..., Platform]
) -> None:
    (conda / "bin/conda").unlink()
    plain_workflow.platform = serve()
    plain_workflow.write({"Snakefile": ONE, "envs/one.yaml": definition("says=x")})
    result = plain_workflow.fail(*USE, "--container-image", "some/image:1")
    assert "This machine has no conda. Tasks of this platform run without" in result.output
    assert "image some/image:1 has" not in result.output


def test_a_start_that_takes_long_is_no_failure(plain_workflow: Workflow, conda: Path) -> None:
    plain_workflow.write({"Snakefile": ONE, "envs/one.yaml": definition("says=x")})
    late = {"method": "POST", "path": "/actions/run$", "do": "delay", "seconds": 4, "times": 1}
    plain_workflow.platform.inject(late)
    plain_workflow.succeed(*USE)
    assert environment_tasks(plain_workflow) == ["COMPLETED"]


def test_an_environment_of_the_image_is_used_by_its_name(
    plain_workflow: Workflow, conda: Path
) -> None:
    (conda / "envs/in_the_image/bin").mkdir(parents=True)
    program = conda / "envs/in_the_image/bin/says"
    program.write_text("#!/bin/sh\necho image\n")
    program.chmod(0o755)
    plain_workflow.write({"Snakefile": ONE.replace("envs/one.yaml", "in_the_image")})
    plain_workflow.succeed(*USE)
    assert plain_workflow.read("out.txt") == "image\n"
    assert made(conda) == []


GROUP = """
rule two:
    input: "one.txt"
    output: "two.txt"
    group: "both"
    conda: "envs/{0}.yaml"
    shell: "cat {{input}} > {{output}}; says >> {{output}}"

rule one:
    output: temp("one.txt")
    group: "both"
    conda: "envs/one.yaml"
    shell: "says > {{output}}"
"""


def test_a_group_gets_all_of_its_environments(plain_workflow: Workflow, conda: Path) -> None:
    plain_workflow.write(
        {
            "Snakefile": GROUP.format("two"),
            "envs/one.yaml": definition("says=first"),
            "envs/two.yaml": definition("says=second"),
        }
    )
    plain_workflow.succeed(*USE)
    assert plain_workflow.read("two.txt") == "first\nsecond\n"
    assert len(made(conda)) == 2
    assert environment_tasks(plain_workflow) == ["COMPLETED"]


def test_a_folder_of_this_machine_is_refused(plain_workflow: Workflow) -> None:
    plain_workflow.write(
        {"Snakefile": ONE.replace("envs/one.yaml", "envs/here"), "envs/here/x": ""}
    )
    result = plain_workflow.fail(*USE)
    assert "is a folder of this machine, which no task can see" in result.output


def test_ctrl_c_stops_the_making(plain_workflow: Workflow, conda: Path) -> None:
    plain_workflow.write({"Snakefile": ONE, "envs/one.yaml": definition("slow=100")})
    process = plain_workflow.start(*USE)
    _until(lambda: made(conda))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "Traceback" not in output
    assert environment_tasks(plain_workflow) == ["ABORTED"]


def test_a_killed_run_s_environment_is_not_made_again(
    plain_workflow: Workflow, conda: Path
) -> None:
    plain_workflow.write({"Snakefile": ONE, "envs/one.yaml": definition("slow=15", "says=late")})
    process = plain_workflow.start(*USE)
    _until(lambda: made(conda))
    process.kill()
    process.communicate()
    plain_workflow.succeed(*USE)
    assert plain_workflow.read("out.txt") == "late\n"
    assert environment_tasks(plain_workflow) == ["COMPLETED"]
    assert len(made(conda)) == 1


def _until(happens: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.1)
