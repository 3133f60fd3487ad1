"""Faults that the control endpoints inject into requests, transfers and tasks."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from platform_serving import Serve, Server, file_output, tool

from cavatica_local.faults.faults import ENDINGS, REQUESTS, TASKS, Fault, Faults

HELLO = tool("echo hello > o.txt", {}, {"o": file_output("o.txt")})
SLEEP = tool("echo started >&2; sleep 60", {}, {})
CONTENT = bytes(range(256)) * 400
DOWNLOADS = {"method": "GET", "path": "^/storage/files/"}


@pytest.fixture
def server(simulated: Server) -> Server:
    simulated.control("faults", [])
    return simulated


def inject(server: Server, do: str, **values: object) -> None:
    server.control("faults", [{"do": do, **values}])


def link(server: Server, name: str) -> str:
    """A link to a file with CONTENT."""
    return str(server.get(f"/files/{server.upload(name, CONTENT)}/download_info")["url"])


def refused_by_control(server: Server, name: str, body: Any) -> str:
    url = server.api.removesuffix("/v2") + f"/_control/{name}"
    response = requests.post(url, json=body, timeout=10)
    assert response.status_code == 400
    return str(response.json()["error"])


# --- transfers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_download(server: Server, share: float) -> None:
    url = link(server, f"truncated {share}")
    inject(server, "truncate", **DOWNLOADS, share=share, times=1)
    arrived: list[bytes] = []
    with requests.get(url, stream=True, timeout=10) as response:
        assert response.headers["Content-Length"] == str(len(CONTENT))
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            arrived.extend(response.iter_content(100))
    kept = int(len(CONTENT) * share)
    assert CONTENT[:kept].startswith(b"".join(arrived))
    assert sum(map(len, arrived)) > kept - 100
    assert requests.get(url, timeout=10).content == CONTENT
    assert [entry["fault"] for entry in server.control("log")[-2:]] == ["truncate", None]


def test_a_truncated_answer_of_the_api(server: Server) -> None:
    inject(server, "truncate", path="/user$", times=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        server.get("/user")
    assert server.get("/user")


def test_a_download_that_ends_early_and_looks_complete(server: Server) -> None:
    url, half = link(server, "shortened"), len(CONTENT) // 2
    inject(server, "shorten", **DOWNLOADS)
    assert requests.get(url, timeout=10).content == CONTENT[:half]
    part = requests.get(url, headers={"Range": "bytes=100-299"}, timeout=10)
    assert (part.status_code, part.content) == (206, CONTENT[100:200])
    assert part.headers["Content-Range"] == "bytes 100-199/200"
    inject(server, "shorten", **DOWNLOADS, share=0)
    assert requests.get(url, timeout=10).content == b""


def test_a_corrupted_download(server: Server) -> None:
    url = link(server, "corrupted")
    inject(server, "corrupt", **DOWNLOADS, times=1)
    arrived = requests.get(url, timeout=10).content
    assert len(arrived) == len(CONTENT)
    assert sum(a != b for a, b in zip(arrived, CONTENT, strict=True)) == 1


def test_a_corrupted_upload(server: Server) -> None:
    body = {"name": "damaged", "project": server.project, "md5": hashlib.md5(b"abc").hexdigest()}
    upload = server.ok("POST", "/upload/multipart", body)["upload_id"]
    url = server.get(f"/upload/multipart/{upload}/part/1")["url"]
    inject(server, "corrupt", method="PUT", path="^/storage/uploads/", times=1)
    etag = requests.put(url, data=b"abc", timeout=10).headers["ETag"].strip('"')
    assert etag == hashlib.md5(b"a\x9dc").hexdigest()
    report = {"part_number": 1, "response": {"headers": {"ETag": etag}}}
    server.ok("POST", f"/upload/multipart/{upload}/part", report)
    assert server.error("POST", f"/upload/multipart/{upload}/complete") == (409, 8007)


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_slow_transfers(server: Server, method: str) -> None:
    url = link(server, f"slow {method}")
    upload = server.ok("POST", "/upload/multipart", {"name": method, "project": server.project})
    if method == "PUT":
        url = server.get(f"/upload/multipart/{upload['upload_id']}/part/1")["url"]
    inject(server, "slow", path="^/storage/", bytes_per_second=200_000)
    started = time.monotonic()
    data = CONTENT if method == "PUT" else None
    response = requests.request(method, url, data=data, timeout=10)
    assert response.ok
    assert method == "PUT" or response.content == CONTENT
    assert time.monotonic() - started > 0.4


def test_links_that_expire_early(server: Server) -> None:
    url = link(server, "expiring")
    inject(server, "expire", times=1)
    assert server.get("/user")  # not the storage's matter
    refusal = requests.get(url, timeout=10)
    assert refusal.status_code == 403
    assert "Request has expired" in refusal.text
    assert requests.get(url, timeout=10).ok


# --- calls ---------------------------------------------------------------------------------------


def test_maintenance(server: Server) -> None:
    url = link(server, "maintained")
    inject(server, "maintenance", path="/user$", seconds=1, times=1)
    assert server.get("/billing/groups")  # begins with the first call that matches
    assert server.error("GET", "/user") == (503, 0)
    assert server.error("POST", "/projects", {"name": "x"}) == (503, 0)
    assert requests.get(url, timeout=10).ok
    server.until(lambda: server.call("GET", "/user").status_code, lambda status: status == 200, 10)
    assert server.get("/billing/groups")


def test_a_storm_of_429(server: Server) -> None:
    inject(server, "rate-limit", seconds=1, times=1)
    began = time.time()
    refusals = [server.call("GET", path) for path in ("/user", "/rate_limit")]
    for refusal in refusals:
        assert (refusal.status_code, refusal.json()["code"]) == (429, 1000)
        assert refusal.headers["X-RateLimit-Remaining"] == "0"
    reset = int(refusals[-1].headers["X-RateLimit-Reset"])
    assert began + 1 <= reset <= time.time() + 2
    server.until(lambda: server.call("GET", "/user").status_code, lambda status: status == 200, 10)


def test_an_error_after_the_effect(server: Server) -> None:
    inject(server, "status-after", method="POST", path="/projects$", status=504, code=1, times=1)
    assert server.error("POST", "/projects", {"name": "made anyway"}) == (504, 1)
    names = [project["name"] for project in server.get("/projects")["items"]]
    assert names.count("made anyway") == 1


def test_a_page_instead_of_an_answer(server: Server) -> None:
    inject(server, "page", path="/user$", status=200, times=1)
    response = server.call("GET", "/user")
    assert (response.status_code, response.text[:6]) == (200, "<html>")


def test_several_faults_at_once(server: Server) -> None:
    url = link(server, "several")
    faults = [{"do": "slow"}, {"do": "corrupt"}, {"do": "shorten"}]
    server.control("faults", [{**fault, **DOWNLOADS, "times": 1} for fault in faults])
    arrived = requests.get(url, timeout=10).content
    assert len(arrived) == len(CONTENT) // 2
    assert server.control("log")[-1]["fault"] == "slow+corrupt+shorten"
    struck = server.control("faults")["struck"]
    assert all(struck[fault["do"]] for fault in faults)


def test_a_revoked_token(serve: Serve) -> None:
    server = serve("--engine", "simulate")
    file = server.upload("f", b"x")
    token = server.control("revoke", {"username": "local"})["auth_token"]
    assert server.error("GET", "/user") == (401, 90001)
    assert server.error("GET", f"/files/{file}") == (401, 90001)
    assert server.get(f"/files/{file}", token=token)["name"] == "f"
    assert "no user" in refused_by_control(server, "revoke", {"username": "nobody"})


# --- permissions ---------------------------------------------------------------------------------


def member(server: Server, name: str, **granted: bool) -> str:
    """A member of the project with all permissions but admin; the token."""
    token = str(server.control("users", {"username": name})["auth_token"])
    permissions = {"write": True, "copy": True, "execute": True, "admin": False}
    body = {"username": name, "permissions": permissions}
    server.ok("POST", f"/projects/{server.project}/members", body)
    return token


def restrict(server: Server, name: str, **changes: bool) -> None:
    server.ok("PATCH", f"/projects/{server.project}/members/{name}/permissions", changes)


@pytest.mark.parametrize("survives", [False, True])
def test_permissions_change_at_once(serve: Serve, survives: bool) -> None:
    needs = f"signed_url_needs_permission={str(not survives).lower()}"
    server = serve("--engine", "simulate", "--switch", needs, "--task-seconds", "30")
    token, file = member(server, "eve"), server.upload("f", b"x")
    app = server.install("hello", HELLO, token=token)
    body = {"project": server.project, "app": app, "name": "t", "inputs": {}}
    task = server.ok("POST", "/tasks", body, token=token)["id"]
    running = server.ok("POST", "/tasks?action=run", body, token=token)["id"]
    url = server.get(f"/files/{file}/download_info", token=token)["url"]
    opened = {"name": "g", "project": server.project}
    upload = server.ok("POST", "/upload/multipart", opened, token=token)["upload_id"]
    part = server.get(f"/upload/multipart/{upload}/part/1", token=token)["url"]

    restrict(server, "eve", write=False, copy=False, execute=False)
    for method, path, code in (
        ("POST", f"/tasks/{task}/actions/run", 7001),
        ("POST", f"/tasks/{running}/actions/abort", 7001),
        ("GET", f"/files/{file}/download_info", 5014),
        ("GET", f"/upload/multipart/{upload}/part/1", 8001),
        ("POST", f"/upload/multipart/{upload}/complete", 8001),
        ("DELETE", f"/files/{file}", 5001),
    ):
        assert server.error(method, path, token=token) == (403, code), path
    assert server.error("POST", "/tasks", body, token=token) == (403, 7001)
    assert server.get(f"/tasks/{running}", token=token)["status"]
    assert requests.get(url, timeout=10).ok is survives
    assert requests.put(part, data=b"y", timeout=10).ok is survives

    server.ok("DELETE", f"/projects/{server.project}/members/eve")
    assert server.error("GET", f"/tasks/{running}", token=token) == (404, 7002)
    [item] = server.ok("POST", "/bulk/tasks/get", {"task_ids": [running]}, token=token)["items"]
    assert item["error"]["code"] == 7002
    assert server.error("GET", f"/files/{file}", token=token) == (404, 5002)


# --- tasks ---------------------------------------------------------------------------------------


def start(server: Server, document: dict[str, Any], name: str = "a task", **more: Any) -> str:
    """Run a task; its id."""
    app = server.install(f"app-{time.monotonic_ns()}", document)
    task = server.draft(app, {}, name=name, **more)
    server.ok("POST", f"/tasks/{task['id']}/actions/run")
    return str(task["id"])


def until_running(server: Server, task: str) -> None:
    server.until(
        lambda: [one["task"] for one in server.control("executions")], lambda ids: task in ids
    )


@pytest.mark.parametrize("reason", ENDINGS)
def test_a_task_that_the_platform_fails(serve: Serve, reason: str) -> None:
    server = serve()
    task = start(server, SLEEP)
    until_running(server, task)
    assert server.control("fail", {"task": task, "reason": reason}) == {"failed": True}
    failed = server.wait(task)
    assert failed["status"] == "FAILED"
    assert failed["execution_status"]["message"] == ENDINGS[reason]
    [job] = server.get(f"/tasks/{task}/execution_details")["jobs"]
    log = server.content(job["logs"]["job.err.log"].split("/")[-2]).decode()
    assert log.endswith(f"{ENDINGS[reason]}\n")
    assert server.control("fail", {"task": task}) == {"failed": False}


def test_a_reason_that_is_none(server: Server) -> None:
    assert "no reason" in refused_by_control(server, "fail", {"task": "t", "reason": "weather"})


def test_a_waiting_task_that_the_platform_fails(serve: Serve) -> None:
    server = serve("--engine", "simulate", "--instances", "1", "--task-seconds", "30")
    running, waiting = start(server, HELLO), start(server, HELLO)
    assert server.control("fail", {"task": waiting, "message": "No luck."}) == {"failed": True}
    failed = server.wait(waiting)
    assert (failed["status"], failed["execution_status"]["message"]) == ("FAILED", "No luck.")
    until_running(server, running)
    assert [one["task"] for one in server.control("executions")] == [running]


def test_a_task_that_vanishes(serve: Serve) -> None:
    server = serve()
    task = start(server, SLEEP)
    until_running(server, task)
    assert server.control("lose", {"task": task}) == {"lost": True}
    assert server.error("GET", f"/tasks/{task}") == (404, 7002)
    [item] = server.ok("POST", "/bulk/tasks/get", {"task_ids": [task]})["items"]
    assert item["error"]["status"] == 404
    assert server.get(f"/tasks?project={server.project}")["items"] == []
    assert server.control("lose", {"task": task}) == {"lost": False}
    [execution] = server.until(lambda: server.control("executions"), lambda found: found[0]["end"])
    assert execution["task"] == task


def test_a_batch_whose_child_vanishes(serve: Serve) -> None:
    server = serve("--engine", "simulate", "--task-seconds", "0", "--switch", "status_flap=0")
    document = tool("true", {"f": "File"}, {})
    document["inputs"]["f"] = {"type": "File"}
    app = server.install("each", document)
    files = [{"class": "File", "path": server.upload(name, b"x")} for name in "ab"]
    inject(server, "lose-task", times=1, seconds=0)
    batch = {"batch": True, "batch_input": "f", "batch_by": {"type": "ITEM"}}
    task = server.draft(app, {"f": files}, **batch)
    server.ok("POST", f"/tasks/{task['id']}/actions/run")
    assert server.wait(task["id"])["status"] == "COMPLETED"
    children = server.get(f"/tasks?parent={task['id']}&fields=status")["items"]
    assert children == [{"status": "COMPLETED"}]
    assert server.control("lose", {"task": task["id"]}) == {"lost": True}
    assert server.error("GET", f"/tasks?parent={task['id']}") == (404, 7002)


def test_a_task_that_never_gets_an_instance(serve: Serve) -> None:
    server = serve("--engine", "simulate", "--task-seconds", "0")
    app = server.install("hello", HELLO)
    draft = server.draft(app, {})["id"]
    assert server.control("hold", {"task": draft}) == {"held": True}
    server.ok("POST", f"/tasks/{draft}/actions/run")
    inject(server, "hold-task", task="held")
    held = start(server, HELLO, name="is held")
    assert server.run(app, {})["status"] == "COMPLETED"
    time.sleep(1.1)
    for task in (draft, held):
        waiting = server.get(f"/tasks/{task}")
        assert waiting["status"] == "QUEUED"
        assert waiting["execution_status"]["instance_init"]
        server.ok("POST", f"/tasks/{task}/actions/abort")
        assert server.wait(task)["status"] == "ABORTED"
        assert server.control("hold", {"task": task}) == {"held": False}


@pytest.mark.parametrize("seconds", [0, 0.3, 100])
def test_tasks_that_meet_a_fault(serve: Serve, seconds: float) -> None:
    """Before they start, while they run, and when their command has succeeded."""
    server = serve("--engine", "simulate", "--task-seconds", "0.8", "--switch", "status_flap=0")
    faults = [
        {"do": "fail-task", "task": "failing", "seconds": seconds, "reason": "disk"},
        {"do": "lose-task", "task": "vanishing", "seconds": seconds},
        {"do": "interrupt-task", "task": "interrupted", "seconds": seconds},
    ]
    server.control("faults", faults)
    spot, not_spot = {"use_interruptible_instances": True}, {"use_interruptible_instances": False}
    failing, vanishing = start(server, HELLO, "failing"), start(server, HELLO, "vanishing")
    interrupted = start(server, HELLO, "interrupted", **spot)
    untouched = start(server, HELLO, "interrupted", **not_spot)
    assert server.wait(failing)["execution_status"]["message"] == ENDINGS["disk"]
    assert server.wait(failing)["status"] == "FAILED"
    server.until(
        lambda: server.call("GET", f"/tasks/{vanishing}").status_code, lambda code: code == 404
    )
    lost = server.wait(interrupted)
    assert (lost["status"], lost["outputs"]) == ("FAILED", {"o": None})
    assert lost["execution_status"]["message"] == "The task's spot instance was lost."
    assert server.wait(untouched)["status"] == "COMPLETED"
    executed = {one["task"]: one["exit_status"] for one in server.control("executions")}
    expected = {0: {}, 0.3: {failing: None, vanishing: None}, 100: {failing: 0, vanishing: 0}}
    assert {task: executed[task] for task in (failing, vanishing) if task in executed} == (
        expected[seconds]
    )
    struck = server.control("faults")["struck"]
    assert struck == {"fail-task": 1, "lose-task": 1, "interrupt-task": 1}


# --- dice ----------------------------------------------------------------------------------------


def strikes(server: Server, seed: int) -> list[int]:
    """The statuses of some calls that may meet a fault."""
    fault = {"do": "status", "path": "/user$", "status": 500, "probability": 0.5}
    server.control("faults", {"seed": seed, "faults": [fault]})
    return [server.call("GET", "/user").status_code for _ in range(20)]


def test_faults_are_repeatable(server: Server) -> None:
    first = strikes(server, 1)
    assert set(first) == {200, 500}
    assert strikes(server, 1) == first
    assert strikes(server, 2) != first
    assert server.control("faults", [])["seed"] == 2  # stays


def test_the_seed_of_the_command_line(serve: Serve) -> None:
    server = serve("--engine", "simulate", "--fault-seed", "7")
    assert server.control("faults")["seed"] == 7
    assert server.control("faults", []) == {"faults": 0, "seed": 7}


def test_the_fate_of_a_task_depends_on_its_name_only() -> None:
    def fates(names: list[str]) -> dict[str, bool]:
        faults = Faults(3)
        faults.replace([Fault("fail-task", probability=0.5)])
        return {name: faults.for_task(name, spot=False) is not None for name in names}

    names = [f"task {number}" for number in range(50)]
    assert fates(names) == fates(names[::-1])
    assert set(fates(names).values()) == {True, False}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"seed": 1},
        {"seed": "1", "faults": []},
        {"faults": 3},
        [3],
        [{"do": "status", "path": "("}],
        [{"do": "truncate", "share": 1}],
        [{"do": "slow", "bytes_per_second": 0}],
        [{"do": "fail-task", "reason": "weather"}],
        [{"do": "status", "colour": "red"}],
    ],
)
def test_faults_that_are_none(server: Server, body: Any) -> None:
    assert refused_by_control(server, "faults", body)


def test_every_kind_of_fault_is_documented() -> None:
    manual = Path(__file__).parents[2] / "docs" / "platform.md"
    documented = re.findall(r"^\| `([a-z-]+)` \| ", manual.read_text(), re.MULTILINE)
    assert {*REQUESTS, *TASKS} <= set(documented)


# --- requests ------------------------------------------------------------------------------------


def test_a_delayed_request_takes_effect_although_its_sender_is_gone(server: Server) -> None:
    """Protects the faults that kill a client while its request is on the way."""
    task = server.draft(server.install("delayed", SLEEP), {})
    inject(server, "delay", path="/actions/run$", seconds=0.5, times=1)
    url = f"{server.api}/tasks/{task['id']}/actions/run"
    with pytest.raises(requests.exceptions.ReadTimeout):
        requests.post(url, headers={"X-SBG-Auth-Token": server.token}, timeout=0.2)
    deadline = time.monotonic() + 10
    while server.get(f"/tasks/{task['id']}")["status"] == "DRAFT":
        assert time.monotonic() < deadline, "it was never started"
        time.sleep(0.1)
    server.ok("POST", f"/tasks/{task['id']}/actions/abort")
