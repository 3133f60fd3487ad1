"""What a workflow may count on where its jobs run beside it, and that holds in tasks as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from workflow_runs import Workflow


def test_what_the_snakefile_puts_into_the_environment_reaches_direct_jobs(
    transfer_workflow: Workflow,
) -> None:
    transfer_workflow.write(
        {
            "Snakefile": """
                import os
                os.environ["GREETING"] = "good morning"
                os.environ["PATH"] = "/nowhere:" + os.environ["PATH"]
                os.environ["SOME_PASSWORD"] = "hunter2"
                rule a:
                    output: "a"
                    shell: 'echo "$GREETING, ${{SOME_PASSWORD-none}}, $PATH" > {output}'
            """
        }
    )
    transfer_workflow.succeed()
    text = transfer_workflow.read("a") or ""
    assert text.startswith("good morning, none, ")
    assert "/nowhere" not in text


@pytest.mark.parametrize("option", ["--default-resources", "--set-resources"])
def test_resources_in_mebibytes_mean_the_same_size_in_the_task(
    transfer_workflow: Workflow, option: str
) -> None:
    transfer_workflow.write(
        {
            "Snakefile": """
                rule a:
                    output: "a"
                    run: open(output[0], "w").write(f"{resources.mem_mb} {resources.mem_mib}")
            """
        }
    )
    value = "mem_mib=953.67" if option == "--default-resources" else "a:mem_mib=953.67"
    transfer_workflow.succeed(option, value)
    assert transfer_workflow.read("a") == "1000 954"


CACHED = """
rule all:
    input: "second"
rule first:
    output: "first"
    cache: True
    shell: "echo $RANDOM$RANDOM$RANDOM > {output}"
rule second:
    input: "first"
    output: "second"
    shell: "cat {input} > {output}"
"""


def test_results_in_the_cache_between_workflows_are_not_made_again(
    transfer_workflow: Workflow, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir()
    environment = {"SNAKEMAKE_OUTPUT_CACHE": str(tmp_path / "cache")}
    made = []
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        workflow = Workflow(directory, transfer_workflow.platform)
        workflow.write({"Snakefile": CACHED})
        result = workflow.run("--cache", environment=environment)
        assert result.status == 0, result.output
        made.append((workflow.read("first"), workflow.read("second"), result.output))
    assert made[0][:2] == made[1][:2]
    assert ") is task" in made[0][2]
    assert made[1][2].count(") is task") == 1, made[1][2]


def test_the_cache_has_no_effect_in_storage_mode_and_says_so(
    storage_workflow: Workflow, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir()
    storage_workflow.write({"Snakefile": CACHED})
    location = {"SNAKEMAKE_OUTPUT_CACHE": f"{storage_workflow.prefix}/cache"}
    result = storage_workflow.run("--cache", environment=location)
    assert result.status == 0, result.output
    assert "--cache has no effect in storage mode" in result.output


def test_words_of_a_command_may_be_longer_than_a_name(transfer_workflow: Workflow) -> None:
    word = "x" * 5000
    transfer_workflow.write(
        {"Snakefile": f'rule a:\n    output: "a"\n    shell: "printf {word} > {{output}}"'}
    )
    transfer_workflow.succeed()
    assert transfer_workflow.read("a") == word


SEVERAL = """
import sys
from pathlib import Path
from snakemake import api
from snakemake.settings import types
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry
from snakemake_executor_cavatica.api import Client, Token
from snakemake_executor_cavatica.project.index import ProjectIndex
from snakemake_executor_cavatica.project.fetch_store import store
import os

project, place = sys.argv[1:3]
plugin = ExecutorPluginRegistry().get_plugin("cavatica")
for name in ("fails", "works", "works-as-well"):
    storage = {"shared_fs_usage": frozenset()}
    if place == "storage":
        prefix = f"{name}-{os.getpid()}"
        storage["default_storage_provider"] = "cavatica"
        storage["default_storage_prefix"] = f"cavatica://{project}/{prefix}"
        with Client(os.environ["SB_API_ENDPOINT"], Token(os.environ["SB_AUTH_TOKEN"])) as client:
            store(ProjectIndex(client, project), Path(name, "in.txt"), f"{prefix}/in.txt")
    with api.SnakemakeApi() as snakemake:
        try:
            snakemake.workflow(
                resource_settings=types.ResourceSettings(nodes=3),
                storage_settings=types.StorageSettings(**storage),
                snakefile=Path(name, "Snakefile").resolve(),
                workdir=Path(name).resolve(),
            ).dag().execute_workflow(
                executor="cavatica", executor_settings=plugin.settings_cls(project=project)
            )
            print(name, "ended well")
        except Exception as error:
            print(name, "ended with", error)
"""


@pytest.mark.both_places
def test_several_workflows_run_in_one_process(workflow: Workflow) -> None:
    """A cancelled run stops its calls, and an index knows files of its own workflow only."""
    rule = 'rule a:\n    input: "in.txt"\n    output: "a"\n    shell: '
    fails = '"sleep 1; false"\nrule all:\n    default_target: True\n    input: "a", "b"\n'
    fails += 'rule b:\n    output: "b"\n    shell: "sleep 20; touch {output}"'
    works = '"cp {input} {output}"'
    for name, command in {"fails": fails, "works": works, "works-as-well": works}.items():
        workflow.write({f"{name}/Snakefile": rule + command, f"{name}/in.txt": "here"})
    workflow.write({"several.py": SEVERAL})
    command = [sys.executable, "several.py", workflow.platform.project, workflow.place]
    process = subprocess.run(
        command,
        cwd=workflow.directory,
        env=workflow.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    ends = [line for line in process.stdout.splitlines() if " ended " in line]
    assert ends[0].startswith("fails ended with At least one job did not complete"), process.stderr
    assert ends[1:] == ["works ended well", "works-as-well ended well"], process.stderr


@pytest.mark.parametrize("option", ["--skip-script-cleanup", ""])
def test_prepared_scripts_are_kept_for_debugging_if_that_is_asked_for(
    transfer_workflow: Workflow, option: str
) -> None:
    transfer_workflow.write(
        {
            "Snakefile": 'rule a:\n    output: "a"\n    script: "make.py"',
            "make.py": 'open(snakemake.output[0], "w").write("made")',
        }
    )
    transfer_workflow.succeed(*filter(None, [option]))
    kept = list((transfer_workflow.directory / ".snakemake" / "scripts").iterdir())
    assert [path.name.partition(".")[2] for path in kept] == (["make.py"] if option else [])
    assert all("snakemake = " in path.read_text() for path in kept)


def test_what_a_checkpoint_made_can_be_made_again(storage_workflow: Workflow) -> None:
    """Its copy here, which input functions read, does not count as a write-protected output."""
    workflow = storage_workflow
    workflow.write(
        {
            "Snakefile": """
checkpoint decide:
    output: "decided.txt"
    shell: "echo 2 > {output}"
def parts(wildcards):
    with checkpoints.decide.get().output[0].open() as file:
        return [f"part{number}.txt" for number in range(int(file.read()))]
rule part:
    output: "part{n}.txt"
    shell: "touch {output}"
rule all:
    default_target: True
    input: parts
    output: "done.txt"
    shell: "touch {output}"
"""
        }
    )
    workflow.succeed()
    assert workflow.run("-n").nothing_to_do
    workflow.succeed("--forceall")
    assert "checkpoint decide" in workflow.succeed("--forceall", "-n").output
    workflow.succeed("--forceall")
    copies = workflow.directory / ".snakemake" / "storage"
    assert not [path for path in copies.rglob("*") if path.is_file()]


CHECKPOINTS = """
rule all:
    input: "counted.txt", "told.txt", "late.txt"
checkpoint decide:
    input: "in.txt"
    output: "decided.txt", directory("decided")
    shell: "cp {input} {output[0]}; mkdir {output[1]}; touch {output[1]}/a {output[1]}/b"
def names():
    return open(checkpoints.decide.get().output[0]).read().split()
rule count:
    input: "decided.txt"
    output: "counted.txt"
    threads: lambda wildcards: len(names())
    run: open(output[0], "w").write(str(threads))
rule tell:
    input: "decided.txt"
    output: "told.txt"
    resources: n=lambda wildcards: len(os.listdir(str(checkpoints.decide.get().output[1])))
    run: open(output[0], "w").write(str(resources.n))
checkpoint pass_by:
    input: "in.txt"
    output: temp("passing.txt")
    shell: "cp {input} {output}"
rule part:
    input: "passing.txt"
    output: "{name}.part"
    shell: "grep {wildcards.name} {input} > {output}"
def parts(wildcards):
    with checkpoints.pass_by.get().output[0].open() as file:
        return [f"{name}.part" for name in file.read().split()]
rule join:
    input: parts
    output: "joined.txt"
    shell: "cat {input} > {output}"
rule late:
    input: lambda wildcards: "joined.txt"
    output: "late.txt"
    run: open(output[0], "w").write(open(input[0]).read())
rule in_vain:
    input: "joined.txt", parts
    output: "in_vain.txt"
    run: open(output[0], "w").write("never")
"""


@pytest.mark.both_places
def test_functions_ask_for_what_checkpoints_have_made(workflow: Workflow) -> None:
    """Also those for threads and resources; what was temporary is missed by nobody else."""
    workflow.write({"Snakefile": CHECKPOINTS})
    workflow.put({"in.txt": "x\ny\nz\n"})
    workflow.succeed()
    assert workflow.read("counted.txt") == "3"
    assert workflow.read("told.txt") == "2"
    assert workflow.read("late.txt") == "x\ny\nz\n"
    assert workflow.read("passing.txt") is None


def test_a_function_that_asks_for_what_is_gone_is_told_as_such(workflow: Workflow) -> None:
    workflow.write({"Snakefile": CHECKPOINTS})
    workflow.put({"in.txt": "x\ny\nz\n"})
    told = workflow.fail("in_vain.txt").output
    assert "passing.txt). Leave out temp() there, or use a shell directive" in told
