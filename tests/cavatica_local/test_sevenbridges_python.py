"""The judge: the provider's own clients, unmodified, drive the server through a project's life.

They insist on https, so that is what the server speaks.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from platform_serving import Server, file_output, tool
from sevenbridges import Api
from sevenbridges.errors import (
    BadRequest,
    Conflict,
    NotFound,
    SbgError,
    TaskValidationError,
    TooManyRequests,
    Unauthorized,
)
from sevenbridges.http.error_handlers import rate_limit_sleeper

from tests.drs_server import drs_server

COUNT = tool(
    'cat "$text" | tr a-z A-Z > upper.txt; echo counted >&2; wc -c < "$text" > count.txt',
    {"text": "File", "label": "string?"},
    {"upper": file_output("upper.txt"), "count": file_output("count.txt")},
)
JOIN = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": ["cat"],
    "inputs": {"parts": {"type": "File[]", "inputBinding": {"position": 1}}},
    "outputs": {"joined": {"type": "stdout"}},
    "stdout": "joined.txt",
}


def connect(server: Server, **options: Any) -> Api:
    return Api(url=server.api, token=server.token, **options)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server.start(tmp_path_factory.mktemp("judge"), "--rate-limit", "off", "--tls")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REQUESTS_CA_BUNDLE", str(server.certificate))
        yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def api(server: Server) -> Api:
    return connect(server)


@pytest.fixture
def project(api: Api, request: pytest.FixtureRequest) -> Any:
    return api.projects.create(name=f"Project of {request.node.name}")


def upload(api: Api, path: Path, **place: Any) -> Any:
    handle = api.files.upload(str(path), **place)
    assert handle.status == "COMPLETED"
    return handle.result()


def uploaded(api: Api, tmp_path: Path, project: Any, name: str, text: str) -> Any:
    path = tmp_path / name
    path.write_text(text)
    return upload(api, path, project=project.id)


def finish(task: Any) -> Any:
    task.wait(period=0.1)
    return task.reload()


def test_the_account(api: Api, server: Server) -> None:
    assert api.users.me().username == server.project.partition("/")[0]
    assert api.users.get(api.users.me().username).email
    groups = api.billing_groups.query()
    assert groups.total == 1
    assert api.billing_groups.get(groups[0].id).owner == api.users.me().username
    assert server.project in [project.id for project in api.projects.query().all()]


def test_a_project_and_its_folders(api: Api, project: Any) -> None:
    assert project.id.endswith("/project-of-test-a-project-and-its-folders")
    project.description = "changed"
    project.save()
    assert api.projects.get(project.id).description == "changed"
    folder = api.files.create_folder("results", project=project)
    assert folder.is_folder()
    inner = api.files.create_folder("inner", parent=folder)
    assert [item.id for item in folder.list_files()] == [inner.id]
    assert inner.parent == folder.id
    with pytest.raises(Conflict) as conflict:
        api.files.create_folder("results", project=project)
    assert conflict.value.code == 5030
    with pytest.raises(BadRequest) as refusal:
        folder.delete()
    assert refusal.value.code == 5021
    inner.delete()
    folder.delete()
    assert api.files.query(project=project).total == 0


def test_members(api: Api, project: Any, server: Server) -> None:
    server.control("users", {"username": "rosalind"})
    member = project.add_member("rosalind", permissions={"write": True, "copy": False})
    assert member.username == "rosalind"
    assert {m.username for m in project.get_members()} == {"local", "rosalind"}
    member.permissions["execute"] = True
    member.save()
    assert dict(project.get_member("rosalind").permissions)["execute"] is True
    project.remove_member("rosalind")
    assert len(project.get_members()) == 1
    project.delete()
    with pytest.raises(NotFound) as absent:
        api.projects.get(project.id)
    assert absent.value.code == 3002


@pytest.mark.parametrize("size", [0, 5, 100 * 1024 * 1024 + 3], ids=["empty", "small", "100MB"])
def test_upload_and_download(api: Api, project: Any, tmp_path: Path, size: int) -> None:
    path = tmp_path / "data.bin"
    block = os.urandom(1 << 20)
    with path.open("wb") as stream:
        for start in range(0, size, len(block)):
            stream.write(block[: size - start])
    file = upload(api, path, project=project.id)
    assert file.size == size
    assert file.name == "data.bin"
    copy = tmp_path / "copy.bin"
    file.download(str(copy))
    checksums = [hashlib.sha256(p.read_bytes()).digest() for p in (path, copy)]
    assert checksums[0] == checksums[1]
    assert b"".join(file.stream()) == path.read_bytes()


def test_file_details(api: Api, project: Any, tmp_path: Path) -> None:
    file = uploaded(api, tmp_path, project, "a.txt", "content")
    file.name = "b.txt"
    file.tags = ["one", "two"]
    file.metadata["sample_id"] = "s1"
    file.save()
    again = api.files.get(file.id)
    assert (again.name, again.tags, dict(again.metadata)) == (
        "b.txt",
        ["one", "two"],
        {"sample_id": "s1"},
    )
    again.metadata = {"library_id": "l1"}
    again.save()
    assert dict(api.files.get(file.id).metadata) == {"library_id": "l1"}
    assert api.files.query(project=project, metadata={"library_id": "l1"}).total == 1
    assert api.files.query(project=project, names=["b.txt", "c.txt"]).total == 1
    assert api.files.query(project=project, tags=["two"]).total == 1
    assert api.files.query(project=project, tags=["three"]).total == 0


def test_copy_and_move(api: Api, project: Any, server: Server, tmp_path: Path) -> None:
    file = uploaded(api, tmp_path, project, "a.txt", "content")
    copied = file.copy(project=project)
    assert copied.name == "_1_a.txt"
    elsewhere = file.copy(project=server.project, name="from-elsewhere.txt")
    assert elsewhere.project == server.project
    assert elsewhere.content() == "content"
    folder = api.files.create_folder("folder", project=project)
    assert copied.move_to_folder(folder, name="moved.txt").parent == folder.id
    assert file.copy_to_folder(folder).name == "a.txt"
    assert {item.name for item in folder.list_files()} == {"moved.txt", "a.txt"}


def test_an_app_and_its_revisions(api: Api, project: Any) -> None:
    name = f"{project.id}/count"
    app = api.apps.install_app(name, COUNT)
    assert (app.id, app.revision) == (name, 0)
    document = {**COUNT, "sbg:revisionNotes": "second"}
    assert api.apps.create_revision(name, 1, document).revision == 1
    assert api.apps.get(name).revision == 1
    first = api.apps.get_revision(name, 0)
    assert first.revision == 0
    notes = [info["sbg:revisionNotes"] for info in first.raw["sbg:revisionsInfo"]]
    assert notes == [None, "second"]
    with pytest.raises(Conflict) as conflict:
        api.apps.create_revision(name, 1, document)
    assert conflict.value.code == 6003
    assert [app.id for app in api.apps.query(project=project)] == [name]
    assert app.copy(project=project, name="copied").id == f"{project.id}/copied"


def test_a_task_from_draft_to_logs(api: Api, project: Any, tmp_path: Path) -> None:
    text = uploaded(api, tmp_path, project, "hello.txt", "hello")
    app = api.apps.install_app(f"{project.id}/count", COUNT)
    task = api.tasks.create(
        name="count",
        project=project,
        app=app,
        inputs={"text": text, "label": "x"},
        execution_settings={"instance_type": "c4.2xlarge;ebs-gp2;100", "max_parallel_instances": 1},
        output_location={"main_location": "/runs/<task_id>"},
    )
    assert task.status == "DRAFT"
    assert task.errors == []
    task.name = "renamed"
    task.save()
    task.run()
    finish(task)
    assert task.status == "COMPLETED", task.execution_status.message
    assert task.name == "renamed"
    assert task.app == f"{project.id}/count/0"
    upper = task.outputs["upper"].reload()
    assert upper.content() == "HELLO"
    assert upper.origin.task == task.id
    assert [f.name for f in api.files.query(project=project, names=["runs"])] == ["runs"]
    assert float(task.price.amount) >= 0
    status = task.execution_status
    assert (status.steps_completed, status.steps_total) == (1, 1)
    details = task.get_execution_details()
    assert details.status == "COMPLETED"
    (job,) = details.jobs
    assert job.instance.type == "c4.2xlarge"
    assert job.instance.disk.size == 100
    assert "counted" in job.logs["stderr"].content() + job.logs["job.err.log"].content()
    with pytest.raises(BadRequest) as refusal:
        task.run()
    assert refusal.value.code == 7010


def test_a_task_that_fails(api: Api, project: Any) -> None:
    broken = tool("echo broken >&2; exit 3", {}, {"o": file_output("o")})
    app = api.apps.install_app(f"{project.id}/broken", broken)
    task = finish(api.tasks.create(name="t", project=project, app=app, run=True))
    assert task.status == "FAILED"
    assert task.outputs["o"] is None
    (job,) = task.get_execution_details().jobs
    assert "broken" in job.logs["stderr"].content() + job.logs["job.err.log"].content()


def test_invalid_drafts(api: Api, project: Any) -> None:
    app = api.apps.install_app(f"{project.id}/count", COUNT)
    task = api.tasks.create(name="t", project=project, app=app, inputs={})
    assert task.status == "DRAFT"
    assert task.errors
    with pytest.raises(BadRequest) as refusal:
        task.run()
    assert refusal.value.code == 7024
    with pytest.raises(TaskValidationError) as invalid:
        api.tasks.create(name="t", project=project, app=app, inputs={}, run=True)
    assert invalid.value.task.status == "DRAFT"


def test_batch_by_item(api: Api, project: Any, tmp_path: Path) -> None:
    texts = [uploaded(api, tmp_path, project, f"{n}.txt", "x" * n) for n in (1, 2, 3)]
    app = api.apps.install_app(f"{project.id}/count", COUNT)
    task = api.tasks.create(
        name="batch",
        project=project,
        app=app,
        inputs={"text": texts},
        batch_input="text",
        batch_by={"type": "item"},
        run=True,
    )
    assert task.batch
    finish(task)
    assert task.status == "COMPLETED"
    assert task.execution_status.completed == 3
    children = list(task.get_batch_children())
    assert {child.batch_group.value for child in children} == {"1.txt", "2.txt", "3.txt"}
    for child in children:
        assert child.parent == task.id
        assert not child.batch
        length = child.batch_group.value.partition(".")[0]
        assert child.outputs["count"].content().strip() == length


def test_batch_by_criteria(api: Api, project: Any, tmp_path: Path) -> None:
    parts = []
    for name, sample in (("a1", "a"), ("b1", "b"), ("a2", "a")):
        part = uploaded(api, tmp_path, project, name, name)
        part.metadata["sample_id"] = sample
        parts.append(part.save())
    app = api.apps.install_app(f"{project.id}/join", JOIN)
    task = api.tasks.create(
        name="batch",
        project=project,
        app=app,
        inputs={"parts": parts},
        batch_input="parts",
        batch_by={"type": "CRITERIA", "criteria": ["metadata.sample_id"]},
    )
    task.run()
    finish(task)
    joined = {
        child.batch_group.fields["metadata.sample_id"]: child.outputs["joined"].content()
        for child in task.get_batch_children()
    }
    assert joined == {"a": "a1a2", "b": "b1"}


def test_abort_and_clone(api: Api, project: Any, server: Server) -> None:
    sleep = tool("sleep 60", {}, {})
    app = api.apps.install_app(f"{project.id}/sleep", sleep)
    task = api.tasks.create(name="long", project=project, app=app, run=True)
    server.until(lambda: server.control("executions"), lambda e: e[-1]["task"] == task.id)
    task.abort()
    assert task.status == "ABORTING"
    started = time.monotonic()
    assert finish(task).status == "ABORTED"
    assert time.monotonic() - started < 10
    clone = task.clone(run=False)
    assert clone.id != task.id
    assert (clone.status, clone.name) == ("DRAFT", "long")
    clone.delete()
    with pytest.raises(NotFound):
        api.tasks.get(clone.id)


def test_bulk_calls(api: Api, project: Any, tmp_path: Path) -> None:
    app = api.apps.install_app(f"{project.id}/count", COUNT)
    tasks = [api.tasks.create(name=str(n), project=project, app=app) for n in range(3)]
    unknown = "00000000-0000-4000-8000-000000000000"
    records = api.tasks.bulk_get([*tasks, unknown])
    assert [record.valid for record in records] == [True, True, True, False]
    assert records[0].resource.name == "0"
    assert records[3].error.code == 7002
    files = [uploaded(api, tmp_path, project, f"{n}.txt", "x") for n in range(3)]
    assert [r.resource.name for r in api.files.bulk_get(files)] == ["0.txt", "1.txt", "2.txt"]
    for file in files:
        file.metadata["k"] = "v"
    assert all(r.valid for r in api.files.bulk_edit(files))
    assert api.files.query(project=project, metadata={"k": "v"}).total == 3
    assert all(r.valid for r in api.files.bulk_delete(files))
    assert api.files.query(project=project).total == 0


def wait_for_job(job: Any) -> Any:
    while job.state != "FINISHED":
        time.sleep(0.05)
        job.reload()
    return job


def test_async_jobs(api: Api, project: Any, tmp_path: Path) -> None:
    files = [uploaded(api, tmp_path, project, f"{n}.txt", "x") for n in range(3)]
    folder = api.files.create_folder("folder", project=project)
    items = [{"file": file.id, "parent": folder.id, "name": f"moved-{file.name}"} for file in files]
    moved = wait_for_job(api.async_jobs.file_bulk_move(items))
    assert (moved.total_files, moved.failed_files, moved.completed_files) == (3, 0, 3)
    names = [record.resource.name for record in moved.get_result()]
    assert names == ["moved-0.txt", "moved-1.txt", "moved-2.txt"]
    copied = wait_for_job(
        api.async_jobs.file_bulk_copy(
            [{"file": folder.id, "project": project.id, "name": "folder-2"}]
        )
    )
    copy = copied.get_result()[0].resource
    assert {item.name for item in api.files.get(copy.id).list_files()} == set(names)
    deleted = wait_for_job(api.async_jobs.file_bulk_delete([{"file": folder.id}]))
    assert deleted.get_result()[0].valid
    assert [item.name for item in api.files.query(project=project)] == ["folder-2"]
    assert api.async_jobs.list_file_jobs().total >= 3


def test_paging(api: Api, server: Server, project: Any) -> None:
    first = server.upload("file-0", b"x", project=project.id)
    for number in range(1, 251):
        body = {"project": project.id, "name": f"file-{number}"}
        server.ok("POST", f"/files/{first}/actions/copy", body)
    page = api.files.query(project=project, limit=100)
    assert (len(page), page.total) == (100, 251)
    expected = {f"file-{number}" for number in range(251)}
    assert {file.name for file in page.all()} == expected
    last = page.next_page().next_page()
    assert len(last) == 51
    assert len(last.previous_page()) == 100
    scrolled = api.files.query(project=project, limit=100, cont_token="init")
    assert {file.name for file in scrolled.all()} == expected


def test_authentication(server: Server, api: Api) -> None:
    stranger = Api(url=server.api, token="wrong", debug=True)
    with pytest.raises(Unauthorized) as refusal:
        stranger.users.me()
    assert refusal.value.code == 90001
    with pytest.raises(NotFound) as absent:
        api.files.get("0" * 24)
    assert absent.value.code == 5002
    with pytest.raises(NotFound):
        api.projects.get("nobody/nothing")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_upload_to_a_taken_name(api: Api, project: Any, tmp_path: Path) -> None:
    old = uploaded(api, tmp_path, project, "a.txt", "old")
    (tmp_path / "a.txt").write_text("new")
    # The client's upload runs in a thread of its own, where its error goes unseen.
    assert api.files.upload(str(tmp_path / "a.txt"), project=project.id).status == "FAILED"
    new = upload(api, tmp_path / "a.txt", project=project.id, overwrite=True)
    assert new.content() == "new"
    with pytest.raises(SbgError):
        api.files.get(old.id)


def test_rate_limit(tmp_path: Path) -> None:
    # Its handler for the limit repeats a request without what the environment says of certificates.
    server = Server.start(tmp_path / "limited", "--rate-limit", "5/2", "--engine", "simulate")
    try:
        began = time.time()
        api = connect(server, debug=True)
        for _ in range(5):
            api.users.me()
        with pytest.raises(TooManyRequests) as refusal:
            api.users.me()
        assert refusal.value.code == 1000
        response = requests.get(
            f"{server.api}/user", headers={"X-SBG-Auth-Token": server.token}, timeout=10
        )
        assert response.status_code == 429
        assert response.headers["X-RateLimit-Limit"] == "5"
        assert response.headers["X-RateLimit-Remaining"] == "0"
        assert began + 2 <= int(response.headers["X-RateLimit-Reset"]) <= time.time() + 3
        patient = connect(server, error_handlers=[rate_limit_sleeper], debug=True)
        assert patient.users.me().username == "local"
        assert patient.remaining == 3
    finally:
        server.stop()


def test_drs_objects(api: Api, project: Any) -> None:
    with drs_server() as drs:
        one = drs.add("one", b"first\n")
        items = [
            {
                "drs_uri": one,
                "project": project.id,
                "name": "1.txt",
                "metadata": {"sample_id": "A"},
            },
            {"drs_uri": drs.add("two", b"second\n", by_access_id=True), "project": project.id},
            {"drs_uri": drs.uri("lost"), "project": project.id},
            {"drs_uri": drs.add("secret", b"x", secret=True), "project": project.id},
            {"drs_uri": drs.add("bundle", b"", contents=[{"name": "x"}]), "project": project.id},
            {"drs_uri": drs.add("cut", b"x", size=2), "project": project.id},
            {"drs_uri": drs.add("odd", b"x", checksums=[WRONG]), "project": project.id},
        ]
        job = finished(api, api.drs_imports.bulk_submit(items, tags=["drs"]))
        assert [bool(result.error) for result in job.result] == [False] * 2 + [True] * 5
        statuses = [result.error.status for result in job.result[2:]]
        assert statuses == [404, 403, 400, 502, 502]
        files = {record.resource.id: record.resource for record in job.result_files}
        first = files[job.result[0].resource.id]
        assert (first.name, first.metadata["sample_id"], first.tags) == ("1.txt", "A", ["drs"])
        assert {file.name for file in files.values()} == {"1.txt", "two.txt"}
        assert first.content() == "first\n"
        taken = [{"drs_uri": one, "project": project.id, "name": "1.txt"}]
        again = finished(api, api.drs_imports.bulk_submit(taken))
        assert again.result[0].error.code == 57434
        again = finished(api, api.drs_imports.bulk_submit(taken, conflict_resolution="RENAME"))
        assert again.result[0].resource.id != first.id
        with pytest.raises(BadRequest):
            api.drs_imports.bulk_submit(taken, conflict_resolution="MERGE")
        with pytest.raises(BadRequest):
            api.drs_imports.bulk_submit([{"drs_uri": "https://x/y", "project": project.id}])


WRONG = {"type": "md5", "checksum": "0" * 32}


def finished(api: Api, job: Any) -> Any:
    """A job of imports that has ended."""
    for _ in range(100):
        if job.state == "FINISHED":
            return job
        time.sleep(0.1)
        job = api.drs_imports.bulk_get(job.id)
    raise AssertionError(job.state)
