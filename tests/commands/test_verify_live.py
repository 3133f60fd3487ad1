"""`cavatica-local verify-live`, put to embedded platforms whose switches stand differently.

That a probe tells what the switch says, whatever it says, is the proof that it measures something.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest
import requests
from command_runs import LOCAL, TIMEOUT, Result, Serve, Server

from cavatica_local.switches import assumed_values
from snakemake_executor_cavatica.commands.verify_live import UNSETTLED
from tests.drs_server import drs_server

ALL = assumed_values().keys()
# The time limits of requests are what `GET /rate_limit` is about.
LIMITED = ("--rate-limit", "1000/300")
OTHERS = {
    "file_listing_order": "name",
    "task_listing_order": "created",
    "task_order_default": "desc",
    "limit_over_maximum": "error",
    "listing_includes_children": "true",
    "rate_limit_call_costs": "false",
    "delete_finished_task": "true",
    "task_json_limit": "300000",
    "task_errors_shape": "message",
    "run_answer_status": "QUEUED",
    "bare_instance_type": "true",
    "batch_parent_with_failures": "FAILED",
    "batch_max_children": "50",
    "batch_non_file_items": "true",
    "batch_missing_metadata": "group",
    "batch_parent_execution_details": "empty",
    "async_max_items": "40",
    "async_delay": "2.5",
    "bulk_max_items": "60",
    "output_conflict": "fail",
    "drs_import_skipped": "existing",
    "string_outputs": "null",
    "upload_md5_checked": "false",
    "upload_size_checked": "false",
    "upload_same_name_conflict": "false",
    "overwrite_keeps_id": "true",
    "signed_url_lifetime": "120",
    "secondary_files_picked_up": "false",
    "unreadable_project_status": "403",
}
# What is only known to lie between two sizes that were tried.
BETWEEN = {
    "task_json_limit": "at least 262144, less than 524288",
    "batch_max_children": "at least 10, less than 100",
    "async_max_items": "at least 10, less than 50",
    "bulk_max_items": "at least 50, less than 100",
}
# In all of them `id` looks like chance, so that no two orders look alike.
THIRD = {
    "file_listing_order": "created",
    "task_listing_order": "-created",
    "task_json_limit": "100000",
    "bulk_max_items": "150",
    "string_outputs": "refused",
}
THIRD_BETWEEN = {
    "task_json_limit": "at least 0, less than 131072",
    "bulk_max_items": "at least 101, less than 200",
}


def verify(server: Server, *arguments: str) -> Result:
    return server.command(LOCAL, "verify-live", "--project", server.project, *arguments)


def verify_all(server: Server) -> Result:
    """With what has to be named for the last probes."""
    with drs_server() as drs:
        named = ("--hidden-project", hidden_project(server), "--drs-object", drs.add("one", b"1"))
        return verify(server, *named)


def rows(result: Result) -> dict[str, tuple[str, str, str]]:
    """Assumed, found and verdict by name."""
    table = [line for line in result.out.splitlines() if line.startswith("| ")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {name: (assumed, found, verdict) for name, assumed, found, verdict in cells}


def switched(chosen: dict[str, str]) -> list[str]:
    return [word for name, value in chosen.items() for word in ("--switch", f"{name}={value}")]


def hidden_project(server: Server) -> str:
    """A project of somebody else."""
    token = server.control("users", {"username": "other"})["auth_token"]
    answer = requests.post(
        f"{server.endpoint}/projects",
        json={"name": "hidden"},
        headers={"X-SBG-Auth-Token": token},
        timeout=30,
    )
    assert answer.ok, answer.text
    return str(answer.json()["id"])


def test_the_platform_as_it_is_agrees_with_itself(serve: Serve) -> None:
    server = serve(*LIMITED)
    result = verify_all(server)
    assert result.status == 0, str(result)
    found = rows(result)
    assert found.keys() >= ALL
    unsettled = {name for name, row in found.items() if row[2] == "not settled"}
    assert unsettled & ALL == set(UNSETTLED) & ALL, str(result)
    assert unsettled <= ALL, str(result)
    assert {row[2] for name, row in found.items() if name not in unsettled} == {"agree"}
    assert len(server.requests()) < 300
    # Announced before it happens, with what stays.
    assert "All files are made in the folder snakemake-verify-live-" in result.out
    assert "the API cannot delete apps" in result.out


@pytest.mark.parametrize(
    ("chosen", "between"), [(OTHERS, BETWEEN), (THIRD, THIRD_BETWEEN)], ids=["others", "third"]
)
def test_each_probe_tells_what_the_switch_says(
    serve: Serve, chosen: dict[str, str], between: dict[str, str]
) -> None:
    server = serve(*LIMITED, *switched(chosen))
    result = verify_all(server)
    assert result.status == 0, str(result)
    found = rows(result)
    for name, value in chosen.items():
        assumed, told, verdict = found[name]
        assert assumed == assumed_values()[name]
        if name == "async_delay":
            assert float(value) - 0.2 < float(told.partition(" ")[0]) < float(value) + 1
        else:
            assert told.partition(" (")[0] == between.get(name, value), (name, told)
        assert verdict == "DIFFER", (name, verdict)
    differing = {name for name, row in found.items() if row[2] == "DIFFER"}
    assert differing == set(chosen), str(result)
    imitation = result.out.splitlines()[-1]
    assert imitation.startswith("To imitate this platform: cavatica-local serve --switch ")
    assert f"--switch file_listing_order={chosen['file_listing_order']}" in imitation
    assert set(OTHERS) | set(UNSETTLED) == ALL


def test_nothing_stays_but_the_app(serve: Serve) -> None:
    server = serve("--switch", "delete_finished_task=true")
    for _ in range(2):
        result = verify(server)
        assert result.status == 0, str(result)
        assert not list(server.client.list_files(project=server.project))
        assert not list(server.client.list_tasks(project=server.project))
        assert "tasks that have run stay" not in result.err
    # One app, with two revisions, however often it is run.
    assert server.client.get_app_raw(f"{server.project}/snakemake-verify-live")["sbg:revision"] == 1


def test_without_tasks_nothing_runs(server: Server) -> None:
    result = verify(server, "--no-tasks")
    assert result.status == 0, str(result)
    found = rows(result)
    assert found["output_conflict"] == ("prefix", "it needs tasks (--no-tasks)", "not settled")
    assert found["status of DELETE"][2] == "agree"
    assert server.executions() == []
    assert not list(server.client.list_tasks(project=server.project))
    assert not list(server.client.list_files(project=server.project))


def test_a_probe_that_fails_does_not_end_the_others(server: Server) -> None:
    path = "actions/copy"
    server.control("faults", [{"do": "status", "path": path, "status": 403, "code": 5014}])
    result = verify(server, "--no-tasks")
    assert result.status == 0, str(result)
    found = rows(result)
    assert found["file_listing_order"][2] == "not settled"
    assert "403" in found["file_listing_order"][1]
    assert found["task_listing_order"][2] == "agree"


def test_interrupted_it_cleans_up(server: Server) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", LOCAL, "verify-live", "--project", server.project],
        env=server.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Jobs in the background of a shell, as CI may be, ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    end = time.monotonic() + 60
    while not server.executions():
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert not list(server.client.list_files(project=server.project))
    left = {task.status for task in server.client.list_tasks(project=server.project)}
    assert left <= {"COMPLETED", "ABORTED", "FAILED"}


def test_the_mistakes_of_users(server: Server) -> None:
    for arguments, environment, text in (
        (["--project", "nobody/nothing"], {}, "There is no project nobody/nothing"),
        ([], {}, "No project is named"),
        (["--project", server.project], {"SB_AUTH_TOKEN": "wrong"}, "401"),
    ):
        result = server.command(LOCAL, "verify-live", *arguments, environment=environment)
        assert result.status == 1, str(result)
        assert text in result.err, str(result)
        assert result.err.count("\n") == 1, str(result)
