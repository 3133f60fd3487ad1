"""The rules that the server enforces: codes, names, limits, permissions, fields."""

from __future__ import annotations

import itertools
import time
from typing import Any

import pytest
import requests
from platform_serving import Server, file_input, file_output, tool

UNKNOWN_FILE = "0" * 24
UNKNOWN_TASK = "00000000-0000-4000-8000-000000000000"
_numbers = itertools.count()

APP = tool(
    "true",
    {
        "f": "File",
        "n": "int?",
        "many": "File[]?",
        "choice": {"type": "enum", "symbols": ["a", "b"]},
    },
    {"o": file_output("o.txt")},
)
APP["inputs"]["choice"] = {"type": ["null", {"type": "enum", "symbols": ["a", "b"]}]}


@pytest.fixture
def server(simulated: Server) -> Server:
    """The shared server, with a project of its own for each test."""
    name = f"rules {next(_numbers)}"
    simulated.project = simulated.ok("POST", "/projects", {"name": name})["id"]
    return simulated


def folder(server: Server, name: str, **place: str) -> str:
    body = {"name": name, "type": "folder", **(place or {"project": server.project})}
    return str(server.ok("POST", "/files", body)["id"])


def user(server: Server, **permissions: bool) -> str:
    """A further user with these permissions in the project; the token."""
    created = server.control("users", {"username": f"user{next(_numbers)}"})
    server.ok(
        "POST",
        f"/projects/{server.project}/members",
        {"username": created["username"], "permissions": permissions},
    )
    return str(created["auth_token"])


# --- transport -----------------------------------------------------------------------------------


def test_errors_of_the_transport(server: Server) -> None:
    assert server.error("GET", "/user", token="wrong") == (401, 90001)
    assert server.call("GET", "/").ok
    unknown = server.call("GET", "/nonsense", token="wrong")
    assert unknown.json() == {"status": "NOT_FOUND", "message": "HTTP 404 Not Found"}
    assert server.error("PUT", "/user") == (405, 90006)
    url = server.api + "/tasks"
    headers = {"X-SBG-Auth-Token": server.token}
    assert requests.post(url, data="a=b", headers=headers, timeout=10).status_code == 415
    headers["Content-Type"] = "application/json"
    broken = requests.post(url, data="{", headers=headers, timeout=10)
    assert (broken.status_code, broken.json()["code"]) == (500, 90009)


def test_headers_of_every_answer(server: Server) -> None:
    for path in ("/user", "/nonsense", f"/tasks/{UNKNOWN_TASK}"):
        headers = server.call("GET", path).headers
        for name in ("Limit", "Remaining", "Reset"):
            assert int(headers[f"X-RateLimit-{name}"]) > 0
        assert headers["X-Request-Id"]
        assert headers["Content-Type"] == "application/json"


def test_bearer_tokens(server: Server) -> None:
    headers = {"Authorization": f"Bearer {server.token}"}
    assert requests.get(f"{server.api}/user", headers=headers, timeout=10).ok


def test_fields(server: Server) -> None:
    server.upload("a", b"x")
    listing = f"/files?project={server.project}"
    assert set(server.get(listing)["items"][0]) == {"href", "id", "name", "project"}
    assert server.get(f"{listing}&fields=name,size")["items"] == [{"name": "a", "size": 1}]
    everything = server.get(f"{listing}&fields=_all")["items"][0]
    assert {"metadata", "origin", "storage", "tags", "parent"} <= set(everything)
    without = server.get(f"{listing}&fields=_all,!metadata,!storage.type")["items"][0]
    assert "metadata" not in without
    assert set(without["storage"]) == {"hosted_on_locations"}
    details = server.get(f"/files/{everything['id']}?fields=storage.type,id")
    assert details == {"storage": {"type": "PLATFORM"}, "id": everything["id"]}
    root = everything["parent"]
    assert "type" in server.get(f"/files/{root}/list")["items"][0]


def test_paging(server: Server) -> None:
    for name in "abc":
        folder(server, name)
    path = f"/files?project={server.project}"
    assert server.error("GET", f"{path}&limit=0") == (400, 90000)
    assert server.error("GET", f"{path}&limit=x") == (400, 90000)
    page = server.get(f"{path}&limit=2")
    assert [link["rel"] for link in page["links"]] == ["next"]
    last = server.get(page["links"][0]["href"])
    assert len(last["items"]) == 1
    assert [link["rel"] for link in last["links"]] == ["prev"]
    assert server.call("GET", f"{path}&limit=2").headers["X-Total-Matching-Query"] == "3"
    assert "limit=100" in server.get(f"{path}&limit=1000")["href"]


# --- names and folders ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a b", "__a", "a/b", "ä", "", "a" * 256, None, "a\n"])
def test_bad_folder_names(server: Server, name: Any) -> None:
    body = {"name": name, "type": "folder", "project": server.project}
    assert server.error("POST", "/files", body) == (400, 5024)


def test_folders(server: Server) -> None:
    outer = folder(server, "outer")
    inner = folder(server, "inner", parent=outer)
    body = {"name": "outer", "type": "folder", "project": server.project}
    assert server.error("POST", "/files", body) == (409, 5030)
    assert server.error("POST", "/files", {**body, "parent": outer}) == (400, 5031)
    assert server.error("POST", "/files", {"name": "x", "type": "folder"}) == (400, 5029)
    assert server.error("POST", "/files", {**body, "type": "file"}) == (400, 5012)
    missing = {"name": "x", "type": "folder", "parent": UNKNOWN_FILE}
    assert server.error("POST", "/files", missing) == (404, 5026)
    assert server.error("DELETE", f"/files/{outer}") == (400, 5021)
    assert server.error("PATCH", f"/files/{outer}", {"name": "other"}) == (400, 5023)
    assert server.error("PATCH", f"/files/{outer}/metadata", {"a": "b"}) == (400, 5025)
    assert server.error("PUT", f"/files/{outer}/tags", ["a"]) == (400, 5027)
    assert server.error("GET", f"/files/{outer}/download_info") == (400, 5017)
    assert server.error("POST", f"/files/{inner}/actions/copy", {"parent": outer}) == (400, 5018)
    assert server.error("GET", "/files") == (400, 5029)
    assert server.error("GET", f"/files?project={server.project}&parent={outer}") == (400, 5031)
    file = server.upload("f", b"", parent=inner)
    assert server.error("GET", f"/files?parent={file}") == (400, 5022)
    # One level only: the project's listing does not show what is in its folders.
    assert [f["name"] for f in server.get(f"/files?project={server.project}")["items"]] == ["outer"]


def test_renaming_and_moving_into_a_taken_name(server: Server) -> None:
    first, second = server.upload("a", b"1"), server.upload("b", b"2")
    assert server.error("PATCH", f"/files/{second}", {"name": "a"}) == (409, 5003)
    assert server.error("PATCH", f"/files/{second}", {"name": "a/b"}) == (400, 5024)
    place = folder(server, "place")
    server.ok("POST", f"/files/{first}/actions/move", {"parent": place})
    again = {"parent": place, "name": "a"}
    assert server.error("POST", f"/files/{second}/actions/move", again) == (409, 5003)
    copies = [
        server.ok("POST", f"/files/{first}/actions/copy", {"parent": place})["name"]
        for _ in range(5)
    ]
    assert copies == [f"_{n}_a" for n in range(1, 6)]


def test_metadata_limits(server: Server) -> None:
    file = server.upload("a", b"1")
    path = f"/files/{file}/metadata"
    for bad in ({"a.b": "x"}, {"$a": "x"}, {"k" * 101: "x"}, {"k": "v" * 301}, {"k": 1}, []):
        assert server.error("PATCH", path, bad)[0] == 400
    too_many = {str(number): "x" for number in range(1001)}
    assert server.error("PUT", path, too_many) == (400, 5006)
    assert server.ok("PATCH", path, {"a": "1", "b": "2"}) == {"a": "1", "b": "2"}
    assert server.ok("PATCH", path, {"a": None}) == {"b": "2"}
    assert server.ok("PUT", path, {"c": "3"}) == {"c": "3"}
    half = {f"ä{number}": "ö" * 150 for number in range(600)}
    assert server.ok("PUT", path, half) == half
    other_half = {f"b{number}": "x" for number in range(401)}
    assert server.error("PATCH", path, other_half) == (400, 5006)
    assert server.error("PATCH", f"/files/{file}", {"metadata": other_half}) == (400, 5006)
    assert server.get(path) == half
    assert server.ok("PUT", path, other_half) == other_half
    assert server.error("PATCH", path, {"ä" * 51: "x"}) == (400, 5006)
    assert server.error("PATCH", path, {"k": "ä" * 151}) == (400, 5006)


def test_async_jobs_refuse(server: Server) -> None:
    outer = folder(server, "outer")
    inner = folder(server, "inner", parent=outer)
    file = server.upload("f", b"x")
    into_itself = server.job("move", [{"file": outer, "parent": inner}])
    assert into_itself["result"][0]["error"]["code"] == 57011
    server.upload("f", b"y", parent=inner)
    taken = server.job(
        "move", [{"file": file, "parent": inner}, {"file": UNKNOWN_FILE, "parent": inner}]
    )
    assert [item["error"]["code"] for item in taken["result"]] == [57434, 57433]
    assert (taken["failed_files"], taken["completed_files"]) == (2, 0)
    bad_name = server.job("copy", [{"file": outer, "project": server.project, "name": "a b"}])
    assert bad_name["result"][0]["error"]["code"] == 57019
    twice = {"items": [{"file": file}] * 2}
    assert server.error("POST", "/async/files/delete", twice) == (400, 57005)
    many = {"items": [{"file": f"{number:024}"} for number in range(101)]}
    assert server.error("POST", "/async/files/delete", many) == (400, 57430)
    assert server.error("GET", f"/async/files/delete/{UNKNOWN_TASK}") == (404, 57039)


def test_bulk_limit(server: Server) -> None:
    ids = [f"{number:024}" for number in range(101)]
    assert server.error("POST", "/bulk/files/get", {"file_ids": ids}) == (400, 5033)
    items = server.ok("POST", "/bulk/files/get", {"file_ids": ids[:100]})["items"]
    assert {item["error"]["code"] for item in items} == {5002}
    assert server.error("POST", "/bulk/tasks/get", {"task_ids": [UNKNOWN_TASK] * 101})[0] == 400


# --- uploads and downloads -----------------------------------------------------------------------


def begin(server: Server, **body: Any) -> str:
    body = {"project": server.project, **body}
    return str(server.ok("POST", "/upload/multipart", body)["upload_id"])


def put(server: Server, upload: str, number: int, data: bytes) -> dict[str, Any]:
    url = server.get(f"/upload/multipart/{upload}/part/{number}")["url"]
    etag = requests.put(url, data=data, timeout=30).headers["ETag"]
    return {"part_number": number, "response": {"headers": {"ETag": etag}}}


def test_upload_refusals(server: Server) -> None:
    server.upload("a", b"1")
    path = "/upload/multipart"
    body = {"project": server.project, "name": "a"}
    assert server.error("POST", path, body) == (409, 8005)
    assert server.error("POST", path, {**body, "name": "a/b"}) == (400, 5024)
    assert server.error("POST", path, {**body, "name": "x" * 256}) == (400, 5024)
    assert server.error("POST", path, {"name": "b"}) == (400, 5029)
    upload = begin(server, name="b")
    assert server.error("POST", path, {**body, "name": "b"}) == (409, 8006)
    assert server.error("GET", f"{path}/{upload}/part/0") == (400, 8012)
    assert server.error("POST", f"{path}/{upload}/complete") == (409, 8007)
    report = put(server, upload, 1, b"data")
    report["response"]["headers"]["ETag"] = "wrong"
    assert server.error("POST", f"{path}/{upload}/part", report) == (400, 8014)
    server.ok("DELETE", f"{path}/{upload}")
    assert server.error("GET", f"{path}/{upload}") == (404, 8003)
    assert begin(server, name="b")


def test_parts_in_any_order_and_reported_at_once(server: Server) -> None:
    part_size = 5 << 20
    data = bytes(range(256)) * (part_size // 256) + b"rest"
    upload = begin(server, name="big", size=len(data), part_size=part_size)
    reports = [
        put(server, upload, 2, data[part_size:]),
        put(server, upload, 1, data[:part_size]),
    ]
    path = f"/upload/multipart/{upload}"
    server.ok("POST", path, {"parts": reports})
    shown = server.get(f"{path}?list_parts=true")
    assert [part["part_number"] for part in shown["parts"]] == [1, 2]
    file = server.ok("POST", f"{path}/complete")
    assert file["size"] == len(data)
    assert server.content(file["id"]) == data


def test_what_complete_checks(server: Server) -> None:
    small = begin(server, name="small-part")
    reports = [put(server, small, 1, b"too small"), put(server, small, 2, b"x")]
    assert server.error("POST", f"/upload/multipart/{small}/complete", reports) == (409, 8007)
    wrong_size = begin(server, name="wrong-size", size=5)
    reports = [put(server, wrong_size, 1, b"1234")]
    assert server.error("POST", f"/upload/multipart/{wrong_size}/complete", reports) == (409, 8007)
    wrong_md5 = begin(server, name="wrong-md5", md5="0" * 32)
    reports = [put(server, wrong_md5, 1, b"1234")]
    assert server.error("POST", f"/upload/multipart/{wrong_md5}/complete", reports) == (409, 8007)


def test_downloads(server: Server) -> None:
    file = server.upload("name with ä.txt", b"0123456789")
    url = server.get(f"/files/{file}/download_info")["url"]

    def ranged(value: str) -> requests.Response:
        return requests.get(url, headers={"Range": value}, timeout=10)

    assert requests.get(url, timeout=10).headers["Content-Length"] == "10"
    middle = ranged("bytes=2-4")
    assert (middle.status_code, middle.content) == (206, b"234")
    assert middle.headers["Content-Range"] == "bytes 2-4/10"
    assert ranged("bytes=8-100").content == b"89"
    assert ranged("bytes=-3").content == b"789"
    assert ranged("bytes=10-12").status_code == 416
    assert requests.head(url, timeout=10).status_code == 403
    forged = requests.get(url[:-1] + ("0" if url[-1] != "0" else "1"), timeout=10)
    assert forged.status_code == 403
    assert forged.headers["Content-Type"] == "application/xml"
    server.ok("DELETE", f"/files/{file}")
    assert requests.get(url, timeout=10).status_code == 404


# --- apps ----------------------------------------------------------------------------------------


def test_revisions(server: Server) -> None:
    app = server.install("tool", APP)
    path = f"/apps/{app}"
    assert server.error("POST", f"{path}/raw", APP) == (409, 6003)
    assert server.error("POST", f"{path}/2/raw", APP) == (409, 6003)
    assert server.ok("POST", f"{path}/1/raw", APP)["sbg:id"] == f"{app}/1"
    assert server.error("POST", f"/apps/{server.project}/new/1/raw", APP) == (404, 6002)
    assert server.ok("POST", f"/apps/{server.project}/new/0/raw", APP)["sbg:revision"] == 0
    assert server.error("POST", f"/apps/{server.project}/a.b/raw", APP) == (400, 6011)
    assert server.error("GET", f"{path}/7") == (404, 6002)
    raw = server.get(f"{path}/0/raw")
    assert raw["id"] == f"{server.api}/apps/{app}/0/raw/"
    assert raw["sbg:latestRevision"] == 1
    assert server.get(f"{path}?fields=!raw")["id"] == f"{app}/1"
    # A fetched document can be sent back; the platform's keys are made anew.
    assert server.ok("POST", f"{path}/2/raw", raw)["sbg:revision"] == 2


def test_yaml(server: Server) -> None:
    text = (
        "cwlVersion: v1.2\nclass: CommandLineTool\nbaseCommand: 'true'\ninputs: {}\noutputs: {}\n"
    )
    response = requests.post(
        f"{server.api}/apps/{server.project}/yaml/raw",
        data=text,
        headers={"X-SBG-Auth-Token": server.token, "Content-Type": "application/yaml"},
        timeout=30,
    )
    assert response.json()["sbg:validationErrors"] == []


@pytest.mark.parametrize("name", ["bwa", "#main", "owner/project/app/0", "/etc/passwd", "../x"])
def test_an_app_is_valid_whatever_id_its_document_has(server: Server, name: str) -> None:
    """CWL files name themselves; cwltool would look for a file of that name on this machine."""
    raw = server.ok(
        "POST", f"/apps/{server.project}/named/raw", {**tool("true", {}, {}), "id": name}
    )
    assert raw["sbg:validationErrors"] == []
    task = server.draft(f"{server.project}/named", {})
    server.ok("POST", f"/tasks/{task['id']}/actions/run")
    assert server.wait(task["id"])["status"] == "COMPLETED"


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": {"f": "Nonsense"}},
        {"unknownKey": 1},
        {"cwlVersion": "v9"},
        {"$import": "other.cwl"},
        {"class": "Workflow", "steps": {"a": {"run": "/etc/passwd", "in": {}, "out": []}}},
    ],
)
def test_invalid_apps_are_stored_and_do_not_run(server: Server, change: dict[str, Any]) -> None:
    document = {**tool("true", {}, {}), **change}
    app = f"{server.project}/broken"
    raw = server.ok("POST", f"/apps/{app}/raw", document)
    assert raw["sbg:validationErrors"]
    task = server.draft(app, {})
    assert task["errors"]
    assert server.error("POST", f"/tasks/{task['id']}/actions/run") == (400, 7024)


# --- drafts --------------------------------------------------------------------------------------


def test_input_validation(server: Server) -> None:
    app = server.install("tool", APP)
    good = file_input(server.upload("f", b"x"))
    place = folder(server, "place")
    home = server.project
    other = server.ok("POST", "/projects", {"name": "elsewhere"})["id"]
    foreign = server.upload("g", b"x", project=other)
    server.project = home
    wrong: list[dict[str, Any]] = [
        {},
        {"f": None},
        {"f": good, "unknown": 1},
        {"f": good, "n": "1"},
        {"f": good, "n": True},
        {"f": good, "n": 1.5},
        {"f": good, "choice": "c"},
        {"f": good, "many": good},
        {"f": [good]},
        {"f": good["path"]},
        {"f": {"path": good["path"]}},
        {"f": file_input(UNKNOWN_FILE)},
        {"f": file_input(place)},
        {"f": {"class": "Directory", "path": place}},
        {"f": file_input(foreign)},
    ]
    for inputs in wrong:
        task = server.draft(app, inputs)
        assert task["status"] == "DRAFT"
        assert task["errors"], inputs
        assert server.error("POST", f"/tasks/{task['id']}/actions/run") == (400, 7024)
        body = {"project": home, "app": app, "name": "t", "inputs": inputs}
        assert server.ok("POST", "/tasks?action=run", body)["status"] == "DRAFT"
    task = server.draft(app, {"f": good, "n": 1, "choice": "a", "many": [good, good]})
    assert task["errors"] == []
    assert task["outputs"] == {"o": None}
    assert task["inputs"]["f"] == {**good, "name": "f"}


def test_creating_tasks_is_refused(server: Server) -> None:
    app = server.install("tool", APP)
    body = {"project": server.project, "app": app, "name": "t", "inputs": {}}
    assert server.error("POST", "/tasks", {**body, "app": f"{app}x"}) == (404, 6002)
    assert server.error("POST", "/tasks", {**body, "app": "x"}) == (400, 7016)
    assert server.error("POST", "/tasks", {**body, "app": None}) == (400, 7015)
    assert server.error("POST", "/tasks", {**body, "project": "no/body"}) == (404, 3002)
    assert server.error("POST", "/tasks", {**body, "inputs": []}) == (400, 7012)
    assert server.error("POST", "/tasks?action=fly", body) == (400, 7013)
    large = {**body, "inputs": {"f": "x" * (1 << 20)}}
    assert server.error("POST", "/tasks", large) == (400, 90000)
    assert server.error("GET", "/tasks/not-a-uuid") == (400, 7005)
    assert server.error("GET", f"/tasks/{UNKNOWN_TASK}") == (404, 7002)


@pytest.mark.parametrize(
    ("settings", "fine"),
    [
        ({"instance_type": "c4.2xlarge;ebs-gp2;2000"}, True),
        ({"instance_type": "n1-standard-4;pd-ssd;100"}, True),
        ({"instance_type": "AUTO"}, True),
        ({"instance_type": "c4.2xlarge"}, False),
        ({"instance_type": "c4.2xlarge;floppy;1"}, False),
        ({"instance_type": "huge"}, False),
    ],
)
def test_instance_types(server: Server, settings: dict[str, Any], fine: bool) -> None:
    app = server.install("tool", APP)
    inputs = {"f": file_input(server.upload("f", b"x"))}
    task = server.draft(app, inputs, execution_settings=settings)
    assert (task["errors"] == []) is fine


def test_editing(server: Server) -> None:
    app = server.install("tool", APP)
    task = server.draft(app, {})
    path = f"/tasks/{task['id']}"
    file = file_input(server.upload("f", b"x"))
    assert server.ok("PATCH", path, {"inputs": {"f": file}})["errors"] == []
    assert server.ok("PATCH", f"{path}/inputs", {"n": 3})["n"] == 3
    assert server.get(f"{path}/inputs")["f"]["path"] == file["path"]
    assert server.ok("POST", f"{path}/actions/run")["status"] == "RUNNING"
    server.wait(task["id"])
    assert server.error("PATCH", path, {"inputs": {}}) == (403, 7026)
    assert server.error("PATCH", path, {"name": "x", "description": "y"}) == (403, 7026)
    assert server.ok("PATCH", path, {"name": "renamed"})["name"] == "renamed"
    assert server.error("POST", f"{path}/actions/run") == (400, 7010)
    assert server.error("POST", f"{path}/actions/abort") == (400, 7011)
    assert server.error("DELETE", path) == (400, 7010)
    clone = server.ok("POST", f"{path}/actions/clone")
    assert (clone["status"], clone["name"], clone["inputs"]["n"]) == ("DRAFT", "renamed", 3)
    server.ok("DELETE", f"/tasks/{clone['id']}")


def test_deleted_inputs_are_noticed(server: Server) -> None:
    app = server.install("tool", APP)
    file = server.upload("f", b"x")
    task = server.draft(app, {"f": file_input(file)})
    assert task["errors"] == []
    server.ok("DELETE", f"/files/{file}")
    assert server.error("POST", f"/tasks/{task['id']}/actions/run") == (400, 7024)
    assert server.get(f"/tasks/{task['id']}")["errors"]


def test_task_listings(server: Server) -> None:
    app = server.install("tool", APP)
    file = file_input(server.upload("f", b"x"))
    drafts = [server.draft(app, {"f": file}, name=f"t{n}") for n in range(3)]
    done = server.run(app, {"f": file}, name="done")
    base = f"/tasks?project={server.project}"

    def names(query: str) -> list[str]:
        return [task["name"] for task in server.get(base + query)["items"]]

    assert sorted(names("")) == ["done", "t0", "t1", "t2"]
    # Without an order there is none: pages may repeat or miss tasks.
    assert len({tuple(names("")) for _ in range(30)}) > 1
    assert names("&status=COMPLETED") == ["done"]
    assert names("&order_by=name&order=asc") == ["done", "t0", "t1", "t2"]
    assert names("&order_by=name&order=desc") == ["t2", "t1", "t0", "done"]
    assert names("&batch=True") == []
    assert names(f"&ended_from={done['end_time']}") == ["done"]
    assert names("&created_from=2100-01-01T00:00:00Z") == []
    assert names("&created_to=2100-01-01T00:00:00Z&status=COMPLETED") == ["done"]
    assert names("&created_to=2020-01-01T00:00:00Z") == []
    assert len(names(f"&created_from={drafts[0]['created_time']}")) == 4
    assert names("&order_by=created_time&order=asc") == ["t0", "t1", "t2", "done"]
    assert names("&order_by=created_time&limit=1") == ["t0"]
    for wrong in ("created_from=yesterday", "order_by=status", "order_by=name&order=up"):
        assert server.error("GET", f"{base}&{wrong}") == (400, 90000)
    assert set(server.get(base)["items"][0]) == {"href", "id", "name", "project"}
    assert server.error("GET", f"{base}&status=NONSENSE") == (400, 7006)
    assert len(server.get(f"/projects/{server.project}/tasks")["items"]) == 4
    ids = [task["id"] for task in drafts]
    bulk = server.ok("POST", "/bulk/tasks/get?fields=id,status", {"task_ids": ids})
    assert bulk["items"][0] == {"resource": {"id": ids[0], "status": "DRAFT"}}


def test_fields_without_a_value_are_left_out(server: Server) -> None:
    """Protects against clients that count on nulls, which the platform does not write."""
    app = server.install("tool", APP)
    draft = server.draft(app, {"f": None})
    assert not {"parent", "start_time", "end_time", "batch_by", "price"} & set(draft)
    # What users name stays, with or without a value.
    assert (draft["inputs"]["f"], draft["outputs"]) == (None, {"o": None})


# --- batches -------------------------------------------------------------------------------------


def test_batch_refusals(server: Server) -> None:
    app = server.install("tool", APP)
    files = [file_input(server.upload(name, b"x")) for name in "ab"]
    body = {"project": server.project, "app": app, "name": "t", "inputs": {"f": files}}
    item = {"type": "ITEM"}
    cases: list[tuple[dict[str, Any], int]] = [
        ({"batch_input": "f"}, 7023),
        ({"batch_by": item}, 7023),
        ({"batch": True}, 7018),
        ({"batch_input": "nothing", "batch_by": item}, 7018),
        ({"batch_input": "f", "batch_by": {"type": "CRITERIA"}}, 7019),
        ({"batch_input": "f", "batch_by": {"type": "CRITERIA", "criteria": ["name"]}}, 7019),
        ({"batch_input": "f", "batch_by": {"type": "MAGIC"}}, 7020),
        ({"batch_input": "f", "batch_by": item, "batch": False}, 7021),
    ]
    for change, code in cases:
        assert server.error("POST", "/tasks", {**body, **change}) == (400, code)
    single = server.draft(app, {"f": files[0]})
    assert server.error("POST", f"/tasks/{single['id']}/actions/run?batch=False") == (400, 7022)
    criteria = {"type": "CRITERIA", "criteria": ["metadata.sample"]}
    for inputs, by in (
        ({"f": files[0]}, item),
        ({"f": []}, item),
        ({"f": ["text"]}, item),
        ({"f": [file_input(UNKNOWN_FILE)]}, item),
        ({"f": files}, criteria),
    ):
        task = server.draft(app, inputs, batch_input="f", batch_by=by)
        assert task["errors"], inputs


def test_a_batch_and_its_children(server: Server) -> None:
    app = server.install("tool", APP)
    files = [file_input(server.upload(name, b"x")) for name in "abc"]
    draft = server.draft(app, {"f": files}, batch_input="f", batch_by={"type": "item"})
    assert (draft["errors"], draft["batch"], draft["batch_by"]) == ([], True, {"type": "ITEM"})
    started = server.ok("POST", f"/tasks/{draft['id']}/actions/run")
    assert started["status"] == "CREATING"
    parent = server.wait(draft["id"])
    assert parent["status"] == "COMPLETED"
    assert parent["execution_status"]["completed"] == 3
    assert server.error("GET", f"/tasks/{draft['id']}/execution_details")[0] == 400
    children = server.get(f"/tasks?parent={draft['id']}&fields=_all")["items"]
    assert sorted(child["batch_group"]["value"] for child in children) == ["a", "b", "c"]
    names = [file["name"] for file in server.get(f"/files?project={server.project}")["items"]]
    assert sorted(names) == ["_1_o.txt", "_2_o.txt", "a", "b", "c", "o.txt"]
    listed = server.get(f"/tasks?project={server.project}")["items"]
    assert [task["id"] for task in listed] == [draft["id"]]


def test_a_batch_without_batching(server: Server) -> None:
    app = server.install("tool", APP)
    file = file_input(server.upload("a", b"x"))
    draft = server.draft(app, {"f": [file]}, batch_input="f", batch_by={"type": "ITEM"})
    path = f"/tasks/{draft['id']}"
    # Without batching the port takes one file, not a list.
    assert server.error("POST", f"{path}/actions/run?batch=False") == (400, 7024)
    server.ok("PATCH", path, {"inputs": {"f": file}})
    server.ok("POST", f"{path}/actions/run")
    assert server.wait(draft["id"])["status"] == "COMPLETED"


def test_default_batching_of_an_app(server: Server) -> None:
    namespaces = {"$namespaces": {"sbg": "https://sevenbridges.com"}}
    document = {**APP, **namespaces, "sbg:batchInput": "#f", "sbg:batchBy": {"type": "item"}}
    app = server.install("tool", document)
    files = [file_input(server.upload(name, b"x")) for name in "ab"]
    assert server.draft(app, {"f": files})["batch"] is True
    assert server.draft(app, {"f": files[0]}, batch=False)["batch"] is False


def test_aborting_a_batch(server: Server) -> None:
    app = server.install("tool", APP)
    files = [file_input(server.upload(f"f{n}", b"x")) for n in range(5)]
    draft = server.draft(app, {"f": files}, batch_input="f", batch_by={"type": "ITEM"})
    server.ok("POST", f"/tasks/{draft['id']}/actions/run")
    assert server.ok("POST", f"/tasks/{draft['id']}/actions/abort")["status"] == "ABORTING"
    assert server.wait(draft["id"])["status"] == "ABORTED"
    children = server.get(f"/tasks?parent={draft['id']}&fields=_all")["items"]
    assert [child["status"] for child in children] == ["ABORTED"] * 5
    durations = [child["execution_status"]["queued_duration"] for child in children]
    assert durations == [0] * 5, "they were never queued"


# --- permissions ---------------------------------------------------------------------------------


def test_strangers_see_nothing(server: Server) -> None:
    app = server.install("tool", APP)
    file = server.upload("f", b"x")
    task = server.draft(app, {})
    token = server.control("users", {"username": f"stranger{time.time_ns()}"})["auth_token"]
    assert server.error("GET", f"/projects/{server.project}", token=token) == (404, 3002)
    assert server.error("GET", f"/files/{file}", token=token) == (404, 5002)
    assert server.error("GET", f"/apps/{app}", token=token) == (404, 6002)
    assert server.error("GET", f"/tasks/{task['id']}", token=token) == (404, 7002)
    assert server.get("/tasks", token=token)["items"] == []
    assert server.get("/projects", token=token)["items"] == []


def test_a_reader(server: Server) -> None:
    app = server.install("tool", APP)
    file = server.upload("f", b"x")
    task = server.draft(app, {"f": file_input(file)})
    token = user(server)
    assert server.get(f"/files/{file}", token=token)["name"] == "f"
    assert server.get(f"/tasks/{task['id']}", token=token)["name"] == "a task"
    refused: list[tuple[str, str, Any, int]] = [
        ("GET", f"/files/{file}/download_info", None, 5014),
        ("POST", f"/files/{file}/actions/copy", {"project": server.project}, 5014),
        ("PATCH", f"/files/{file}", {"name": "g"}, 5001),
        ("DELETE", f"/files/{file}", None, 5001),
        ("POST", "/files", {"name": "x", "type": "folder", "project": server.project}, 5001),
        ("POST", "/upload/multipart", {"name": "x", "project": server.project}, 8001),
        ("POST", f"/apps/{app}/1/raw", APP, 6001),
        ("POST", f"/tasks/{task['id']}/actions/run", None, 7001),
        ("POST", "/tasks", {"name": "x", "project": server.project, "app": app}, 7001),
        ("PATCH", f"/projects/{server.project}", {"name": "x"}, 3001),
        ("DELETE", f"/projects/{server.project}", None, 3001),
    ]
    for method, path, body, code in refused:
        assert server.error(method, path, body, token=token) == (403, code), path


def test_permissions_one_by_one(server: Server) -> None:
    app = server.install("tool", APP)
    file = server.upload("f", b"x")
    copier, writer, runner = (user(server, **{name: True}) for name in ("copy", "write", "execute"))
    assert server.get(f"/files/{file}/download_info", token=copier)["url"]
    assert server.ok("PATCH", f"/files/{file}", {"name": "g"}, token=writer)["name"] == "g"
    body = {"name": "x", "project": server.project, "app": app, "inputs": {"f": file_input(file)}}
    assert server.ok("POST", "/tasks?action=run", body, token=runner)["status"] == "RUNNING"
    assert server.get(f"/projects/{server.project}", token=runner)["permissions"] == {
        "read": True,
        "write": False,
        "copy": False,
        "execute": True,
        "admin": False,
    }


def test_a_public_project(server: Server) -> None:
    file = server.upload("f", b"x")
    app = server.install("tool", APP)
    server.control("projects", {"project": server.project, "category": "PUBLIC"})
    created = server.control("users", {"username": f"visitor{time.time_ns()}"})
    token = created["auth_token"]
    assert server.get(f"/files/{file}/download_info", token=token)["url"]
    assert server.get("/apps?visibility=public", token=token)["items"][0]["id"] == app
    assert server.error("DELETE", f"/files/{file}", token=token) == (403, 5001)
    own = server.ok("POST", "/projects", {"name": "own"}, token=token)["id"]
    copy = server.ok("POST", f"/files/{file}/actions/copy", {"project": own}, token=token)
    assert copy["project"] == own
    # An input has to be in the task's own project, so the copy is what a task can use.
    body = {"name": "x", "project": own, "app": app, "inputs": {"f": file_input(file)}}
    assert server.ok("POST", "/tasks", body, token=token)["errors"]
    body["inputs"] = {"f": file_input(copy["id"])}
    assert server.ok("POST", "/tasks", body, token=token)["errors"] == []


def test_project_names(server: Server) -> None:
    assert server.error("POST", "/projects", {"name": ""}) == (400, 3007)
    first = server.ok("POST", "/projects", {"name": "My  Nice_Project!"})
    assert first["id"] == "local/my-nice-project"
    second = server.ok("POST", "/projects", {"name": "my nice project"})
    assert second["id"] == "local/my-nice-project_1"
    renamed = server.ok("PATCH", f"/projects/{second['id']}", {"name": "Other"})
    assert (renamed["id"], renamed["name"]) == (second["id"], "Other")
    assert server.get(f"/files?project={second['id']}")["items"] == []
    assert server.get(f"/files/{second['root_folder']}/list")["items"] == []
    foreign = {"name": "x", "billing_group": UNKNOWN_TASK}
    assert server.error("POST", "/projects", foreign) == (400, 3008)
