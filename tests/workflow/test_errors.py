"""A user's mistakes and the platform's troubles: one clear error each, nothing half-written."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from workflow_runs import Platform, Result, Workflow

from snakemake_executor_cavatica.api.call import Call
from snakemake_executor_cavatica.project.local_record import LOCAL_RECORD

COPY = """
rule copy:
    input: "in.txt"
    output: "out.txt"
    shell: "cp {input} {output}"
"""


@pytest.fixture
def copy(workflow: Workflow) -> Workflow:
    workflow.write({"Snakefile": COPY})
    workflow.put({"in.txt": "input"})
    return workflow


def clear(result: Result, *expected: str) -> None:
    """One sentence that says what happened and what to do; no noise."""
    for text in expected:
        assert text in result.output, result.output
    assert "Traceback" not in result.output
    assert "Exception Group" not in result.output


def test_a_wrong_token(copy: Workflow) -> None:
    result = copy.fail(environment={"SB_AUTH_TOKEN": "0123456789abcdef0123456789abcdef"})
    clear(result, "401", "SB_AUTH_TOKEN")
    assert "0123456789abcdef" not in result.output


def test_no_token_at_all(copy: Workflow, tmp_path: Path) -> None:
    result = copy.fail(environment={"SB_AUTH_TOKEN": "", "HOME": str(tmp_path)})
    clear(result, "no API token was found", "SNAKEMAKE_CAVATICA_TOKEN")


@pytest.mark.parametrize("project", ["nobody/project", "local/nothing"])
def test_a_wrong_project_or_owner(copy: Workflow, project: str) -> None:
    result = copy.fail("--cavatica-project", project)
    clear(result, project, "404")


def test_a_project_that_is_no_project(copy: Workflow) -> None:
    clear(copy.fail("--cavatica-project", "project"), "owner/project")


def test_a_storage_prefix_in_a_wrong_project(storage_workflow: Workflow) -> None:
    storage_workflow.write({"Snakefile": COPY})
    result = storage_workflow.fail("--default-storage-prefix", "cavatica://local/nothing/x")
    clear(result, "cavatica://local/nothing cannot be used")


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_record_of_uploaded_files_that_is_broken(
    storage_workflow: Workflow, dry: list[str]
) -> None:
    """It tells what of earlier runs is to be seen: without, a dry run would plan something else."""
    storage_workflow.write({"Snakefile": COPY, str(LOCAL_RECORD): "broken" * 100})
    clear(storage_workflow.fail(*dry), "files.sqlite, cannot be used", "Remove it")


@pytest.mark.parametrize("prefix", ["cavatica://local", "s3://bucket", "cavatica://a/b/../c"])
def test_a_storage_prefix_that_is_none(storage_workflow: Workflow, prefix: str) -> None:
    storage_workflow.write({"Snakefile": COPY})
    clear(storage_workflow.fail("--default-storage-prefix", prefix), prefix)


def test_no_write_permission(copy: Workflow) -> None:
    name = f"reader-{uuid.uuid4().hex[:6]}"
    reader = copy.platform.control("users", {"username": name})["auth_token"]
    member = {"username": name, "permissions": {"read": True, "copy": True}}
    with copy.platform.client() as client:
        client.transport.send(
            Call("POST", f"/projects/{copy.platform.project}/members", body=member)
        )
    result = copy.fail(environment={"SB_AUTH_TOKEN": reader})
    clear(result, "no write", "no execute", copy.platform.project)


def test_a_missing_input(workflow: Workflow) -> None:
    workflow.write({"Snakefile": COPY})
    clear(workflow.fail(), "MissingInputException", "in.txt")


@pytest.mark.both_places
def test_an_input_that_vanishes_before_its_job_runs(workflow: Workflow) -> None:
    workflow.write(
        {
            "Snakefile": """
            rule second:
                input: "first.txt", "in.txt"
                output: "out.txt"
                shell: "cat {input} > {output}"
            rule first:
                output: "first.txt"
                shell: "sleep 4; touch {output}"
            """
        }
    )
    workflow.put({"in.txt": "input"})
    if workflow.place == "storage":
        with workflow.platform.client() as client:
            folder = next(
                f
                for f in client.list_files(project=workflow.platform.project)
                if f.name == workflow.folder
            )
            victim = next(f for f in client.list_files(parent=folder.id) if f.name == "in.txt")
            timer = threading.Timer(3, lambda: _delete(workflow.platform, victim.id))
    else:
        timer = threading.Timer(3, (workflow.directory / "in.txt").unlink)
    timer.start()
    result = workflow.fail()
    timer.join()
    clear(result, "in.txt")
    assert workflow.read("out.txt") is None


def _delete(platform: Platform, file_id: str) -> None:
    with platform.client() as client:
        client.delete_file(file_id)


def test_a_folder_name_that_the_platform_refuses_in_a_directory_output(
    workflow: Workflow,
) -> None:
    workflow.write(
        {
            "Snakefile": """
            rule a:
                output: directory("out dir")
                shell: "mkdir -p {output:q}/'bad name'; touch {output:q}/'bad name'/file"
            """
        }
    )
    clear(workflow.fail(), "bad name")
    assert workflow.read("out dir") is None


def test_folder_names_that_the_platform_refuses_are_encoded(workflow: Workflow) -> None:
    workflow.write(
        {
            "Snakefile": """
            rule a:
                output: "__in a (folder)/ü/b c.txt", directory("out dir/ü")
                shell: "echo 1 > {output[0]:q}; mkdir -p {output[1]:q}; touch {output[1]:q}/x"
            """
        }
    )
    workflow.succeed()
    assert workflow.read("__in a (folder)/ü/b c.txt") == "1\n"
    assert workflow.succeed().nothing_to_do


def test_a_full_disk_while_an_output_is_downloaded(transfer_workflow: Workflow) -> None:
    """A limit on the size of files stands for the full disk: writing fails half-way as well."""
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": """
            rule large:
                output: "large.bin", directory("folder")
                shell: "head -c 30000000 /dev/zero > large.bin; mkdir folder; cp large.bin folder"
            """
        }
    )
    limit = 8_000_000
    process = subprocess.run(
        [sys.executable, "-m", "snakemake", *workflow.arguments()],
        cwd=workflow.directory,
        env=workflow.environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    result = Result(process.returncode, process.stdout + process.stderr)
    assert result.status != 0
    clear(result, "large", "File too large")
    left = [path.name for path in workflow.directory.iterdir()]
    assert sorted(left) == [".snakemake", "Snakefile"], "nothing half-written"


def test_a_platform_that_is_killed(tmp_path: Path, serve: Callable[..., Platform]) -> None:
    directory = tmp_path / "workflow"
    directory.mkdir()
    workflow = Workflow(directory, serve())
    workflow.write({"Snakefile": 'rule a:\n    output: "a"\n    shell: "sleep 99; touch a"\n'})
    process = workflow.start()
    deadline = time.monotonic() + 30
    while not workflow.platform.executions():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.kill(workflow.platform.process.pid, signal.SIGKILL)
    output, _ = process.communicate(timeout=110)
    assert process.returncode != 0
    clear(Result(process.returncode, output), "has told nothing about its task", "/tasks/")
    assert not (directory / "a").exists()


def test_the_embedded_platform_on_a_root_in_use(transfer_workflow: Workflow) -> None:
    workflow = transfer_workflow
    workflow.write({"Snakefile": COPY})
    workflow.put({"in.txt": "input"})
    root = workflow.directory / ".cavatica-local"
    other = Platform.start(root)
    try:
        result = workflow.fail("--cavatica-api-endpoint", "local")
    finally:
        other.stop()
    clear(result, "The embedded platform did not start")


CLEAN = """
rule clean:
    localrule: {local}
    shell: "rm -rf kept"
"""


def test_a_rule_that_declares_nothing_is_said_to_change_nothing_here(
    transfer_workflow: Workflow,
) -> None:
    """People have a rule that cleans up; as a task it removes nothing."""
    transfer_workflow.write({"Snakefile": CLEAN.format(local=False), "kept/file": "x"})
    told = transfer_workflow.succeed("clean").output
    clear(Result(0, told), "Rule clean declares no output", "localrule: True")
    assert transfer_workflow.read("kept/file") == "x"
    transfer_workflow.write({"Snakefile": CLEAN.format(local=True)})
    assert "declares no output" not in transfer_workflow.succeed("clean").output
    assert transfer_workflow.read("kept/file") is None
