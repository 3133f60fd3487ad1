"""The server as a process: start, stop, crash, faults, limits."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
from platform_serving import Serve, Server, file_output, tool

HELLO = tool("echo hello > o.txt", {}, {"o": file_output("o.txt")})
SLEEP = tool("sleep 60", {}, {})
COMMAND = (sys.executable, "-m", "cavatica_local")


def test_state_survives_a_restart(serve: Serve, tmp_path: Path) -> None:
    first = serve("--engine", "simulate", "--task-seconds", "0", root=tmp_path / "root")
    file = first.upload("f", b"content")
    task = first.run(first.install("hello", HELLO), {})
    token_file = first.root / "token"
    assert token_file.read_text() == first.token
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    assert first.stop() == 0
    second = serve("--engine", "simulate", root=tmp_path / "root")
    assert (second.token, second.project) == (first.token, first.project)
    assert second.content(file) == b"content"
    assert second.get(f"/tasks/{task['id']}")["status"] == "COMPLETED"
    assert second.get(f"/tasks/{task['id']}")["href"].startswith(second.api)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_tasks_when_the_server_ends(serve: Serve, tmp_path: Path, number: signal.Signals) -> None:
    first = serve("--instances", "1", root=tmp_path / "root")
    app = first.install("sleep", SLEEP)
    quick = first.install("hello", HELLO)
    running, waiting = first.draft(app, {}), first.draft(quick, {})
    for task in (running, waiting):
        first.ok("POST", f"/tasks/{task['id']}/actions/run")
    first.until(lambda: first.control("executions"), bool)
    ended = first.stop(number)
    assert ended == (-number if number == signal.SIGKILL else 0)
    second = serve("--instances", "1", root=tmp_path / "root")
    failed = second.get(f"/tasks/{running['id']}")
    assert failed["status"] == "FAILED"
    assert "platform was stopped" in failed["execution_status"]["message"]
    assert second.wait(waiting["id"])["status"] == "COMPLETED"
    executions = second.control("executions")
    assert [execution["task"] for execution in executions] == [running["id"], waiting["id"]]
    assert all(execution["end"] for execution in executions)


def test_one_server_for_a_root(serve: Serve, tmp_path: Path) -> None:
    server = serve("--engine", "simulate")
    second = subprocess.run(
        [*COMMAND, "serve", "--root", str(server.root)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 2
    assert second.stderr == f"cavatica-local: another server is already running on {server.root}\n"
    assert second.stdout == ""


def test_a_wrong_switch(tmp_path: Path) -> None:
    wrong = subprocess.run(
        [*COMMAND, "serve", "--root", str(tmp_path), "--switch", "no_such=1"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert wrong.returncode == 2
    assert "unknown switch 'no_such=1'" in wrong.stderr


def test_the_table_of_switches() -> None:
    table = subprocess.run(
        [*COMMAND, "switches"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    assert table.startswith("| switch | default |")
    assert "| `status_flap` | `0.25` |" in table


def test_it_ends_with_its_parent(serve: Serve) -> None:
    server = serve("--engine", "simulate", "--until-stdin-closes")
    assert server.process.stdin is not None
    server.process.stdin.close()
    assert server.process.wait(timeout=20) == 0


def test_it_listens_on_loopback_only(serve: Serve) -> None:
    server = serve("--engine", "simulate")
    assert server.api.startswith("http://127.0.0.1:")


def test_control_is_off_by_default(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "serve", "--root", str(tmp_path / "root"), "--engine", "simulate"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    base = process.stdout.readline().partition('"api_endpoint": "')[2].partition("/v2")[0]
    assert requests.get(f"{base}/_control/log", timeout=10).status_code == 404
    process.terminate()
    assert process.wait(timeout=20) == 0


def test_the_log(serve: Serve) -> None:
    server = serve("--engine", "simulate")
    server.get("/user?fields=username")
    server.call("GET", "/nothing")
    log = server.control("log")
    assert [(entry["method"], entry["path"], entry["status"]) for entry in log] == [
        ("GET", "/v2/user?fields=username", 200),
        ("GET", "/v2/nothing", 404),
    ]
    assert log[0]["time"] <= log[1]["time"]


def test_the_rate_limit(serve: Serve) -> None:
    server = serve("--engine", "simulate", "--rate-limit", "3/2")
    assert server.get("/rate_limit")["rate"] | {"reset": 0} == {
        "limit": 3,
        "remaining": 2,
        "reset": 0,
    }
    server.get("/user")
    server.call("GET", "/nothing")
    assert server.error("GET", "/user") == (429, 1000)
    assert server.error("GET", "/rate_limit") == (429, 1000)
    server.control("log")
    other = server.control("users", {"username": "other"})["auth_token"]
    assert server.call("GET", "/user", token=other).headers["X-RateLimit-Remaining"] == "2"
    reset = int(server.call("GET", "/user").headers["X-RateLimit-Reset"])
    time.sleep(max(0, reset - time.time()))
    assert server.get("/user")


def test_storage_is_not_rate_limited(serve: Serve) -> None:
    server = serve("--engine", "simulate", "--rate-limit", "5/60")
    file = server.upload("f", b"x")
    url = server.get(f"/files/{file}/download_info")["url"]
    for _ in range(3):
        assert requests.get(url, timeout=10).content == b"x"
    assert server.error("GET", "/user") == (429, 1000)


def test_signed_urls_expire(serve: Serve) -> None:
    server = serve("--engine", "simulate", "--switch", "signed_url_lifetime=1")
    url = server.get(f"/files/{server.upload('f', b'x')}/download_info")["url"]
    assert requests.get(url, timeout=10).ok
    time.sleep(2.1)
    assert requests.get(url, timeout=10).status_code == 403


def fault(server: Server, **values: object) -> None:
    server.control("faults", [values])


def test_faults(serve: Serve) -> None:
    server = serve("--engine", "simulate")
    fault(server, method="GET", path="/user", do="status", status=503, code=0, times=1)
    assert server.error("GET", "/user") == (503, 0)
    assert server.get("/user")
    fault(server, path="/user", do="delay", seconds=0.5, times=1)
    started = time.monotonic()
    server.get("/user")
    assert time.monotonic() - started > 0.5
    fault(server, path="/user", do="status", status=500, code=90004, probability=0.5)
    statuses = {server.call("GET", "/user").status_code for _ in range(50)}
    assert statuses == {200, 500}
    server.control("faults", [])
    assert server.get("/user")
    url = server.api.removesuffix("/v2") + "/_control/faults"
    assert requests.post(url, json=[{"do": "explode"}], timeout=10).status_code == 400


@pytest.mark.parametrize(("do", "made"), [("drop-before", 0), ("drop-after", 1)])
def test_dropped_connections(serve: Serve, do: str, made: int) -> None:
    server = serve("--engine", "simulate")
    fault(server, method="POST", path="/projects", do=do, times=1)
    with pytest.raises(requests.ConnectionError):
        server.call("POST", "/projects", {"name": "dropped"})
    projects = server.get("/projects")["items"]
    assert len([project for project in projects if project["name"] == "dropped"]) == made
    assert server.control("log")[0]["fault"] == do


def test_faults_of_the_storage(serve: Serve) -> None:
    server = serve("--engine", "simulate")
    url = server.get(f"/files/{server.upload('f', b'x')}/download_info")["url"]
    fault(server, method="GET", path="^/storage/files/", do="drop-before", times=1)
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=10)
    assert requests.get(url, timeout=10).content == b"x"
    fault(server, method="PUT", path="^/storage/uploads/", do="drop-after", times=1)
    with pytest.raises(requests.ConnectionError):
        server.upload("g", b"x")


def test_latency(serve: Serve) -> None:
    server = serve("--engine", "simulate", "--latency", "0.2")
    started = time.monotonic()
    server.get("/user")
    assert time.monotonic() - started > 0.2


def test_contents_are_stored_once_and_removed(serve: Serve) -> None:
    server = serve("--engine", "simulate")

    def contents() -> int:
        return sum(1 for path in (server.root / "blobs").rglob("*") if path.is_file())

    first = server.upload("a", b"same")
    second = server.ok("POST", f"/files/{first}/actions/copy", {"project": server.project})["id"]
    third = server.upload("c", b"same")
    assert contents() == 1
    for key in (first, second):
        server.ok("DELETE", f"/files/{key}")
    assert server.content(third) == b"same"
    server.ok("DELETE", f"/files/{third}")
    server.until(contents, lambda number: number == 0)


def test_an_interrupted_async_job(serve: Serve, tmp_path: Path) -> None:
    options = ("--engine", "simulate", "--switch", "async_delay=30")
    first = serve(*options, root=tmp_path / "root")
    file = first.upload("a", b"x")
    job = first.ok("POST", "/async/files/delete", {"items": [{"file": file}]})
    assert job["state"] == "SUBMITTED"
    first.stop()
    second = serve(*options, root=tmp_path / "root")
    after = second.get(f"/async/files/delete/{job['id']}")
    assert after["state"] == "FINISHED"
    assert after["result"][0]["error"]["status"] == 503
    assert second.get(f"/files/{file}")["name"] == "a"


def test_many_tasks_in_flight(serve: Serve) -> None:
    options = ("--engine", "simulate", "--task-seconds", "1-3", "--instances", "5000")
    server = serve(*options)
    app = server.install("hello", HELLO)
    body = {"project": server.project, "app": app, "name": "t", "inputs": {}}
    session = requests.Session()
    session.headers["X-SBG-Auth-Token"] = server.token
    ids = [
        session.post(f"{server.api}/tasks?action=run", json=body, timeout=30).json()["id"]
        for _ in range(2000)
    ]

    def finished() -> int:
        path = f"/tasks?project={server.project}&status=COMPLETED&limit=1"
        return int(server.call("GET", path).headers["X-Total-Matching-Query"])

    slowest = 0.0
    limit = time.monotonic() + 60
    while finished() < len(ids):
        started = time.monotonic()
        bulk = {"task_ids": ids[:100]}
        session.post(f"{server.api}/bulk/tasks/get?fields=id,status", json=bulk, timeout=30)
        slowest = max(slowest, time.monotonic() - started)
        assert time.monotonic() < limit
        time.sleep(0.05)
    assert slowest < 2
    listing = f"/files?project={server.project}&limit=1"
    assert server.call("GET", listing).headers["X-Total-Matching-Query"] == "2000"
