"""How runs are ended from outside: by signals that come twice, a pipe that nobody reads, and where
the project is taken away.
"""

from __future__ import annotations

import signal
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path

import pytest
from workflow_runs import Workflow, until

from snakemake_executor_cavatica.api.call import Call

TWO = """
rule all:
    input: "long.txt", "short.txt"
rule long:
    output: "long.txt"
    shell: "sleep 60; echo made > {output}"
rule short:
    output: "short.txt"
    shell: "sleep 2; echo made > {output}"
"""
TWICE = """
import os, signal
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake.scheduling import job_scheduler
info, cancel = job_scheduler.logger.info, RemoteExecutor.cancel
def told(text, *arguments, **more):
    if "{where}" == "told" and str(text).startswith("Terminating"):
        os.kill(os.getpid(), signal.{name})
    info(text, *arguments, **more)
def cancelled(self):
    if "{where}" == "cancelled":
        os.kill(os.getpid(), signal.{name})
    cancel(self)
job_scheduler.logger.info, RemoteExecutor.cancel = told, cancelled
"""


def status(workflow: Workflow) -> str:
    """Of the task that takes long; empty as long as it is not there."""
    with workflow.platform.client() as client:
        tasks = client.list_tasks(project=workflow.platform.project)
        return next((task.status or "" for task in tasks if task.name == "long"), "")


def started(workflow: Workflow, *, environment: Mapping[str, str] = {}) -> subprocess.Popen[str]:
    """A run whose tasks run."""
    workflow.write({"Snakefile": TWO})
    process = workflow.start(environment=environment)
    until(lambda: status(workflow) == "RUNNING")
    return process


@pytest.mark.parametrize("is_interrupted", [True, False])
def test_a_run_that_nobody_listens_to_any_more_leaves_no_task(
    own_transfer: Workflow, is_interrupted: bool
) -> None:
    """`snakemake ... 2>&1 | tee run.log`, where Ctrl-C ends tee, too, or `| less`, which is left.

    Tasks went on, and cost money, because it could not be said that they were to be aborted.
    """
    process = started(own_transfer)
    assert process.stdout is not None
    process.stdout.close()
    if is_interrupted:
        process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0
    assert status(own_transfer) == "ABORTED"
    assert not list((own_transfer.directory / ".snakemake").glob("locks/*"))
    (log,) = (own_transfer.directory / ".snakemake/log").glob("*.snakemake.log")
    assert "tasks on CAVATICA" in log.read_text()
    assert ("Nobody reads what this run says" in log.read_text()) is not is_interrupted


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
@pytest.mark.parametrize("where", ["told", "cancelled"])
def test_a_second_signal_just_after_the_first_leaves_no_task(
    own_transfer: Workflow, tmp_path: Path, where: str, name: str
) -> None:
    """A closed terminal sends SIGHUP, and its shell, too; a parent may hand on SIGINT."""
    (tmp_path / "sitecustomize.py").write_text(TWICE.format(where=where, name=name))
    process = started(own_transfer, environment={"PYTHONPATH": str(tmp_path)})
    process.send_signal(getattr(signal, name))
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert status(own_transfer) == "ABORTED", output
    assert "It is not known whether" not in output


@pytest.mark.parametrize("is_interrupted", [True, False])
def test_tasks_of_a_project_that_cannot_be_seen_any_more_are_not_called_missing(
    own_transfer: Workflow, is_interrupted: bool
) -> None:
    """They go on, and cost money, where somebody was taken from the members of a project."""
    platform, name = own_transfer.platform, f"leaver-{uuid.uuid4().hex[:6]}"
    token = platform.control("users", {"username": name})["auth_token"]
    granted = {"read": True, "write": True, "copy": True, "execute": True}
    members = f"/projects/{platform.project}/members"
    with platform.client() as client:
        member = {"username": name, "permissions": granted}
        client.transport.send(Call("POST", members, body=member))
        process = started(own_transfer, environment={"SB_AUTH_TOKEN": token})
        client.transport.send(Call("DELETE", f"{members}/{name}"))
    if is_interrupted:
        process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=100)
    assert process.returncode != 0
    assert "does not exist" not in output
    told = ["It is not known whether these tasks have stopped", "/tasks/"]
    if not is_interrupted:
        told = [
            "cannot be seen any more",
            "is no member of it now",
            "Its task may still be running",
        ]
    for text in told:
        assert text in output
