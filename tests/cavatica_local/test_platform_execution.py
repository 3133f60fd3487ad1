"""Tasks that really run: where outputs go, what is verified, limits, faults of tools."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from platform_serving import Serve, Server, file_input, file_output, tool

HELLO = tool("echo hello > o.txt", {}, {"o": file_output("o.txt")})
TREE: dict[str, Any] = {"type": "Directory", "outputBinding": {"glob": "tree"}}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server.start(tmp_path_factory.mktemp("running"), "--rate-limit", "off")
    yield server
    assert server.stop() == 0


@pytest.fixture
def server(running: Server, request: pytest.FixtureRequest) -> Server:
    running.project = running.ok("POST", "/projects", {"name": request.node.name})["id"]
    return running


def names(server: Server, *path: str) -> list[str]:
    """The names in a folder of the project."""
    query = f"project={server.project}"
    for part in path:
        (folder,) = server.get(f"/files?{query}&name={part}")["items"]
        query = f"parent={folder['id']}"
    return sorted(item["name"] for item in server.get(f"/files?{query}&limit=100")["items"])


def test_outputs_land_in_the_root(server: Server) -> None:
    app = server.install("hello", HELLO)
    first, second = server.run(app, {}), server.run(app, {})
    assert names(server) == ["_1_o.txt", "o.txt"]
    assert second["outputs"]["o"]["name"] == "_1_o.txt"
    file = server.get(f"/files/{first['outputs']['o']['path']}")
    assert file["origin"] == {"task": first["id"]}
    found = server.get(f"/files?project={server.project}&origin.task={first['id']}")["items"]
    assert [item["id"] for item in found] == [file["id"]]


def test_output_location(server: Server) -> None:
    app = server.install(
        "two", tool("echo a > a; echo b > b", {}, {"a": file_output("a"), "b": file_output("b")})
    )
    location = {
        "main_location": "/runs/<app_name>/<task_id>",
        "nodes_override": True,
        "nodes_location": {"b": {"output_location": "deeper"}},
    }
    task = server.run(app, {}, output_location=location)
    assert task["status"] == "COMPLETED"
    assert task["output_location"] == location
    assert names(server, "runs", "two", task["id"]) == ["a", "deeper"]
    assert names(server, "runs", "two", task["id"], "deeper") == ["b"]
    location["nodes_location"] = {"b": {"output_location": "/elsewhere"}}
    server.run(app, {}, output_location=location)
    assert names(server, "elsewhere") == ["b"]
    location["nodes_override"] = False
    last = server.run(app, {}, output_location=location)
    assert names(server, "runs", "two", last["id"]) == ["a", "b"]


@pytest.mark.parametrize("location", ["/a b", "/__a", "/<task_name>", "/<no_token>", "/x/../y"])
def test_impossible_output_locations(server: Server, location: str) -> None:
    app = server.install("hello", HELLO)
    task = server.run(app, {}, output_location={"main_location": location})
    assert task["status"] == "FAILED"
    assert "output location" in task["execution_status"]["message"]
    assert task["outputs"] == {"o": None}


def test_volumes_are_refused(server: Server) -> None:
    app = server.install("hello", HELLO)
    task = server.draft(app, {}, output_location={"main_location": "volumes://me/v"})
    assert task["errors"]


def test_folders_in_and_out(server: Server) -> None:
    make = tool("mkdir -p tree/sub; echo 1 > tree/a; echo 2 > tree/sub/b", {}, {"tree": TREE})
    task = server.run(server.install("make", make), {})
    assert task["status"] == "COMPLETED", task["execution_status"]
    assert task["outputs"]["tree"]["class"] == "Directory"
    assert names(server, "tree", "sub") == ["b"]
    sums = {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "baseCommand": ["sh", "-c", 'cd "$0" && find . -type f | sort | xargs cat'],
        "inputs": {"tree": {"type": "Directory", "inputBinding": {"position": 1}}},
        "outputs": {"o": {"type": "stdout"}},
        "stdout": "o.txt",
    }
    folder = {"class": "Directory", "path": task["outputs"]["tree"]["path"]}
    task = server.run(server.install("sums", sums), {"tree": folder})
    assert server.content(task["outputs"]["o"]["path"]) == b"1\n2\n"


def test_folder_names_in_outputs(server: Server) -> None:
    make = tool("mkdir -p 'tree/b c'; echo 1 > 'tree/b c/d'", {}, {"tree": TREE})
    task = server.run(server.install("make", make), {})
    assert task["status"] == "FAILED"
    assert "b c" in task["execution_status"]["message"]
    assert names(server) == []


def test_file_names_may_be_strange(server: Server) -> None:
    outputs = {"o": {"type": "File[]", "outputBinding": {"glob": "*.txt"}}}
    task = server.run(
        server.install("strange", tool("echo > 'a b.txt'; echo > 'ü.txt'", {}, outputs)), {}
    )
    assert task["status"] == "COMPLETED"
    assert names(server) == ["a b.txt", "ü.txt"]


def test_inputs_keep_their_names(server: Server) -> None:
    app = server.install(
        "name", tool('basename "$f" > o.txt', {"f": "File"}, {"o": file_output("o.txt")})
    )
    task = server.run(app, {"f": file_input(server.upload("some name.fq.gz", b"x"))})
    assert server.content(task["outputs"]["o"]["path"]) == b"some name.fq.gz\n"


def test_secondary_files_come_along(server: Server) -> None:
    document = tool('cat "$f.bai" > o.txt', {"f": "File"}, {"o": file_output("o.txt")})
    document["inputs"] = {"f": {"type": "File", "secondaryFiles": [".bai"]}}
    app = server.install("index", document)
    bam = server.upload("a.bam", b"bam")
    server.upload("a.bam.bai", b"index")
    task = server.run(app, {"f": file_input(bam)})
    assert server.content(task["outputs"]["o"]["path"]) == b"index"


def test_inputs_are_read_only_also_for_root(server: Server) -> None:
    """Protects what is stored: a task that writes to its input is told, and nothing changes."""
    write = tool('chmod u+w "$f"; echo more >> "$f"', {"f": "File"}, {})
    file = server.upload("f", b"precious")
    task = server.run(server.install("write", write), {"f": file_input(file)})
    assert task["status"] == "FAILED"
    assert server.content(file) == b"precious"
    assert server.run(server.install("read", tool("true", {"f": "File"}, {})), task["inputs"])


def test_a_damaged_content_is_told_once_and_for_good(server: Server) -> None:
    """Protects against results from other bytes, and a client from asking for ever."""
    file = server.upload("f", b"irreplaceable")
    blob = next(server.root.glob(f"blobs/*/{hashlib.sha256(b'irreplaceable').hexdigest()}"))
    # Without isolation a task can reach everything, if it knows where it is.
    damage = tool(f"chmod u+w '{blob}'; echo more >> '{blob}'", {"f": "File"}, {})
    app = server.install("damage", damage)
    task = server.run(app, {"f": file_input(file)})
    assert task["status"] == "FAILED"
    assert "changed its input files" in task["execution_status"]["message"]
    assert server.error("GET", f"/files/{file}/download_info") == (404, 5002)
    again = server.run(app, {"f": file_input(file)})
    assert "a task has changed the content" in again["execution_status"]["message"]
    # The same content can be uploaded once more.
    assert server.content(server.upload("again", b"irreplaceable")) == b"irreplaceable"


def test_an_input_as_output(server: Server) -> None:
    same = tool('ln "$f" o.txt || cp "$f" o.txt', {"f": "File"}, {"o": file_output("o.txt")})
    file = server.upload("f", b"content")
    task = server.run(server.install("same", same), {"f": file_input(file)})
    assert task["status"] == "COMPLETED", task["execution_status"]
    server.ok("DELETE", f"/files/{file}")
    assert server.content(task["outputs"]["o"]["path"]) == b"content"


def test_a_failing_tool(server: Server) -> None:
    app = server.install("fail", tool("echo out > o.txt; exit 7", {}, {"o": file_output("o.txt")}))
    task = server.run(app, {})
    assert (task["status"], task["outputs"]) == ("FAILED", {"o": None})
    assert names(server) == []
    execution = server.control("executions")[-1]
    assert (execution["task"], execution["exit_status"]) == (task["id"], 7)
    assert execution["end"] >= execution["start"]


def test_a_missing_output(server: Server) -> None:
    task = server.run(server.install("none", tool("true", {}, {"o": file_output("o.txt")})), {})
    assert task["status"] == "FAILED"
    optional = {"o": {"type": "File?", "outputBinding": {"glob": "o.txt"}}}
    task = server.run(server.install("optional", tool("true", {}, optional)), {})
    assert (task["status"], task["outputs"]) == ("COMPLETED", {"o": None})


def test_an_instance_that_is_too_small(server: Server) -> None:
    document = {**HELLO, "requirements": {"ResourceRequirement": {"coresMin": 8}}}
    app = server.install("big", document)
    small = {"instance_type": "c4.large;ebs-gp2;100"}
    task = server.run(app, {}, execution_settings=small)
    assert task["status"] == "FAILED"
    assert "too small" in task["execution_status"]["message"]


def test_cores_from_an_input(server: Server) -> None:
    document = tool("true", {"cores": "int"}, {})
    document["requirements"]["ResourceRequirement"] = {"coresMin": "$(inputs.cores)"}
    task = server.run(server.install("cores", document), {"cores": 16})
    assert task["status"] == "COMPLETED"
    (job,) = server.get(f"/tasks/{task['id']}/execution_details")["jobs"]
    assert job["instance"]["type"] == "c5.4xlarge"


def test_the_host_has_so_many_cores(serve: Serve) -> None:
    server = serve("--host-cores", "2", "--switch", "status_flap=0")
    document = tool("sleep 0.5", {"cores": "int"}, {})
    document["requirements"]["ResourceRequirement"] = {"coresMin": "$(inputs.cores)"}
    app = server.install("sleep", document)
    tasks = []
    for cores in (1, 1, 2, 8):
        task = server.draft(app, {"cores": cores})
        server.ok("POST", f"/tasks/{task['id']}/actions/run")
        tasks.append(task["id"])
    for task_id in tasks:
        assert server.wait(task_id)["status"] == "COMPLETED"
    first, second, third, fourth = server.control("executions")
    assert second["start"] < first["end"]
    assert third["start"] >= max(first["end"], second["end"])
    # More than the host has: it still runs, alone.
    assert fourth["start"] >= third["end"]


def test_what_waits_for_other_tasks_takes_none_of_the_cores(serve: Serve) -> None:
    """On a host of two cores, it and a job of two threads, or of more, would never end."""
    server = serve("--host-cores", "2", "--switch", "status_flap=0")
    waiting = tool("sleep 60", {}, {})
    waiting["hints"] = [{"class": "cavatica:MostlyWaits"}]
    first = server.draft(server.install("waits", waiting), {})
    server.ok("POST", f"/tasks/{first['id']}/actions/run")
    document = tool("true", {"cores": "int"}, {})
    document["requirements"]["ResourceRequirement"] = {"coresMin": "$(inputs.cores)"}
    app = server.install("works", document)
    for cores in (2, 8):
        assert server.run(app, {"cores": cores})["status"] == "COMPLETED"
    assert server.get(f"/tasks/{first['id']}")["status"] == "RUNNING"
    server.ok("POST", f"/tasks/{first['id']}/actions/abort")


def test_instances_and_start_delay(serve: Serve, tmp_path: Path) -> None:
    simulation = tmp_path / "simulation.json"
    simulation.write_text('[{"task": "long", "seconds": 600}, {"task": "short", "seconds": 1}]')
    options = ("--engine", "simulate", "--simulation", str(simulation), "--instances", "2")
    switches = ("--switch", "status_flap=0", "--switch", "run_answer_status=QUEUED")
    server = serve(*options, "--start-delay", "2", *switches)
    app = server.install("hello", HELLO)
    tasks = [server.draft(app, {}, name=name)["id"] for name in ("long", "long", "short")]

    def shown(task: dict[str, Any]) -> dict[str, Any]:
        return {"status": task["status"], **task["execution_status"]}

    for task_id in tasks:
        answer = server.ok("POST", f"/tasks/{task_id}/actions/run")
        assert shown(answer) == {"status": "QUEUED", "message": "Initializing..."}
    assert server.get("/rate_limit")["instance_limit"]["limit"] == 2
    server.until(
        lambda: [server.get(f"/tasks/{task_id}")["status"] for task_id in tasks[:2]],
        lambda statuses: set(statuses) == {"RUNNING"},
    )
    # For the first second a task says nothing but that it is initializing.
    waiting = server.until(
        lambda: shown(server.get(f"/tasks/{tasks[2]}")), lambda task: len(task) > 2
    )
    assert (waiting["status"], waiting["account_limit"]) == ("QUEUED", True)
    assert server.get("/rate_limit")["instance_limit"]["remaining"] == 0
    server.ok("POST", f"/tasks/{tasks[0]}/actions/abort")
    done = server.wait(tasks[2])
    assert done["execution_status"]["queued_duration"] > 2500
    started = [execution["start"] for execution in server.control("executions")]
    assert started[2] - started[0] > 1.5


def test_status_flaps(serve: Serve) -> None:
    server = serve("--engine", "simulate", "--task-seconds", "2", "--switch", "status_flap=1")
    task = server.draft(server.install("hello", HELLO), {})
    server.ok("POST", f"/tasks/{task['id']}/actions/run")
    seen: list[str] = []
    while not seen or seen[-1] != "COMPLETED":
        status = server.get(f"/tasks/{task['id']}")["status"]
        if not seen or seen[-1] != status:
            seen.append(status)
        time.sleep(0.02)
    assert seen[-4:] == ["RUNNING", "QUEUED", "RUNNING", "COMPLETED"]


@pytest.mark.parametrize(("retries", "status"), [(0, "FAILED"), (1, "COMPLETED")])
def test_spot_loss(serve: Serve, retries: int, status: str) -> None:
    switches = ("--switch", f"spot_retries={retries}", "--switch", "status_flap=0")
    server = serve("--engine", "simulate", "--task-seconds", "1", *switches)
    task = server.draft(server.install("hello", HELLO), {}, use_interruptible_instances=True)
    server.ok("POST", f"/tasks/{task['id']}/actions/run")
    server.until(lambda: server.control("executions"), bool)
    assert server.control("interrupt", {"task": task["id"]})["interrupted"]
    assert server.wait(task["id"])["status"] == status
    assert len(server.control("executions")) == retries + 1
    (job,) = server.get(f"/tasks/{task['id']}/execution_details")["jobs"]
    assert job["retried"] is (retries > 0)


def change(server: Server, statement: str) -> None:
    """Change the server's state behind its back."""
    with closing(sqlite3.connect(server.root / "platform.sqlite", timeout=10)) as database:
        database.execute(statement)
        database.commit()


def test_a_project_without_a_setting_of_today_has_its_default(tmp_path: Path) -> None:
    server = Server.start(tmp_path)
    change(server, "UPDATE projects SET settings = '{}'")
    task = server.run(server.install("hello", HELLO), {})
    assert task["status"] == "COMPLETED"
    settings = server.get(f"/projects/{server.project}")["settings"]
    assert settings["allow_network_access"] is False
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("status", "damage"),
    [
        ("QUEUED", "UPDATE tasks SET inputs = '[[], {}]'"),
        ("RUNNING", "ALTER TABLE executions RENAME TO gone"),
    ],
    ids=["at its start", "at its end"],
)
def test_a_fault_of_the_platform_itself_fails_its_task(
    tmp_path: Path, status: str, damage: str
) -> None:
    server = Server.start(tmp_path, "--start-delay", "1")
    slow = tool("sleep 2; echo hello > o.txt", {}, {"o": file_output("o.txt")})
    task = f"/tasks/{server.draft(server.install('slow', slow), {})['id']}"
    server.ok("POST", f"{task}/actions/run")
    server.until(lambda: server.get(task), lambda shown: shown["status"] == status)
    change(server, damage)
    ended = server.wait(task.removeprefix("/tasks/"))
    assert ended["status"] == "FAILED"
    assert "The embedded platform has a fault" in ended["execution_status"]["message"]
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("size", "status"),
    [(999_999_993, "COMPLETED"), (999_999_998, "FAILED"), (1_000_000_001, "FAILED")],
    ids=["room for both", "none for the output", "none for the input"],
)
def test_inputs_and_outputs_have_to_find_room_on_the_disk(
    tmp_path: Path, size: int, status: str
) -> None:
    """Of 1 GB; the server is told that the input is that large."""
    server = Server.start(tmp_path)
    document = tool("echo hello > o.txt", {"file": "File"}, {"o": file_output("o.txt")})
    app = server.install("full", document)
    file = server.upload("in.txt", b"small")
    change(server, f"UPDATE files SET size = {size} WHERE id = '{file}'")
    inputs = {"file": file_input(file)}
    settings = {"instance_type": "c5.large;ebs-gp2;1"}
    task = server.run(app, inputs, execution_settings=settings)
    assert task["status"] == status
    assert ("no space left" in task["execution_status"]["message"]) is (status == "FAILED")
    assert server.run(app, inputs)["status"] == "COMPLETED"
    assert server.stop() == 0


def test_a_task_without_a_place_to_work_in_fails_and_says_so(tmp_path: Path) -> None:
    server = Server.start(tmp_path)
    (server.root / "executions").write_text("in the way")
    task = server.run(server.install("hello", HELLO), {})
    assert task["status"] == "FAILED"
    assert "The instance has no disk for the task" in task["execution_status"]["message"]
    assert server.stop() == 0
