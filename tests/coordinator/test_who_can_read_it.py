"""The token waits in a project that nobody else can see: tried by every call of the platform."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import requests
from starlette.routing import Route
from submitted_runs import HOME, Submitted, command, new_workflow, secrets_in, submit, texts_of

from cavatica_local.services import (
    apps,
    billing,
    bulk,
    files,
    members,
    projects,
    signed_urls,
    tasks,
    uploads,
    users,
)
from snakemake_executor_cavatica.api import BadRequest, Client, ConfigurationError, Token
from snakemake_executor_cavatica.api.call import get, post
from snakemake_executor_cavatica.api.projects import make_project
from snakemake_executor_cavatica.coordinator.home import home_of
from tests.workflow.workflow_runs import Platform

SERVICES = (apps, billing, bulk, files, members, projects, signed_urls, tasks, uploads, users)
ROUTES: list[Route] = [one for service in SERVICES for one in service.ROUTES]
OWN = {
    *("GET /v2/apps", "GET /v2/async/files", "GET /v2/billing/groups", "GET /v2/projects"),
    *("GET /v2/projects/{owner}", "GET /v2/upload/multipart", "GET /v2/user"),
    *("GET /v2/users/{username}", "POST /v2/projects"),
}
"""Calls that answer with what is the caller's own, or everybody's."""
ITEM_BY_ITEM = {
    *("POST /v2/action/files/copy", "POST /v2/bulk/files/get", "POST /v2/bulk/files/edit"),
    *("POST /v2/bulk/files/update", "POST /v2/bulk/files/delete", "POST /v2/bulk/tasks/get"),
    *("POST /v2/async/files/copy", "POST /v2/async/files/move", "POST /v2/async/files/delete"),
}
"""Calls that are answered, with an error for each item."""
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SHOW = {
    "cwlVersion": "v1.2",
    "class": "CommandLineTool",
    "baseCommand": ["cat"],
    "inputs": [{"id": "file", "type": "File", "inputBinding": {"position": 1}}],
    "outputs": [],
    "stdout": "shown",
}


@pytest.fixture
def waiting(fresh: Platform, place: Path) -> Iterator[Submitted]:
    """A coordinator that gets no instance, so that its token stays where it was put."""
    fresh.inject({"do": "hold-task", "task": "^Snakemake coordinator", "times": 1})
    submitted = submit(new_workflow(place, fresh))
    yield submitted
    with fresh.client() as client, suppress(BadRequest):  # it has ended
        client.abort_task(submitted.task)
    with fresh.client() as client:
        client.delete_files(all_tokens(client))


def colleague(platform: Platform, project: str) -> Client:
    """Somebody who may do everything in the project of the jobs."""
    name = f"colleague-{project.rpartition('-')[2]}"
    token: str = platform.control("users", {"username": name})["auth_token"]
    granted = dict.fromkeys(("write", "copy", "execute", "admin"), True)
    with platform.client() as client:
        body = {"username": name, "permissions": granted}
        client.transport.send(post(f"/projects/{project}/members", body))
    return Client(platform.endpoint, Token(token))


def all_ids(client: Client) -> dict[str, list[str]]:
    """What there is in the coordinators' project, as the parameters of paths call it."""
    found: dict[str, list[str]] = {"file": [], "task": [], "app": []}
    waiting: list[dict[str, str]] = [{"project": HOME}]
    while waiting:
        for file in client.list_files(**waiting.pop()):
            found["file"].append(file.id)
            waiting += [{"parent": file.id}] if file.is_folder else []
    found["group"] = [str(client.project(HOME).billing_group)]
    found["task"] = [task.id for task in client.list_tasks(project=HOME)]
    found["app"] = [one["id"] for one in client.listing.items(get("/apps", {"project": HOME}))]
    return found


def paths(route: Route, ids: dict[str, list[str]]) -> Iterator[str]:
    """A route's path with everything of the coordinators' project in it."""
    names = re.findall(r"\{(\w+)(?::\w+)?\}", route.path)
    owner, project = HOME.split("/")
    known = {"owner": [owner], "project": [project], "username": [owner], "revision": ["0"]}
    known["group"] = ids["group"]
    known |= {"name": ["snakemake-coordinator"], "app": ["snakemake-coordinator"], "number": ["1"]}
    choices = [known.get(name) or ids["task" if "task" in name else "file"] for name in names]
    for values in product(*choices):
        path = route.path
        for name, value in zip(names, values, strict=True):
            path = re.sub(rf"\{{{name}(:\w+)?\}}", value, path)
        yield path


def queries(ids: dict[str, list[str]]) -> list[str]:
    """What narrows a listing to something of the coordinators' project."""
    return [f"?project={HOME}", *(f"?parent={one}" for one in (*ids["file"], *ids["task"]))]


def body(ids: dict[str, list[str]], own: str, user: str) -> dict[str, Any]:
    """One body with all that any call takes: what it does not know, the platform ignores."""
    files, [task, *_] = ids["file"], ids["task"]
    return {
        "file_ids": files,
        "task_ids": [task],
        "items": [{"id": one, "file": one, "project": own, "name": "x"} for one in files],
        "project": own,
        "parent": files[0],
        "name": "x",
        "username": user,
        "permissions": {"copy": True, "read": True},
        "settings": {},
        "size": 1,
        "app": f"{HOME}/snakemake-coordinator/0",
        "inputs": {"file": {"class": "File", "path": files[-1]}},
        "metadata": {"seen": "yes"},
    }


def answer(
    session: requests.Session, url: str, method: str, token: str, content: object
) -> tuple[int, str]:
    """What the server says, whatever it is."""
    found = session.request(
        method,
        url,
        json=None if method == "GET" else content,
        headers={"X-SBG-Auth-Token": token},
        timeout=30,
    )
    return found.status_code, found.content.decode(errors="replace")


@pytest.mark.timeout(1200)  # thousands of requests
def test_a_member_of_the_jobs_project_cannot_read_it_by_any_call(waiting: Submitted) -> None:
    platform = waiting.platform
    with (
        platform.client() as owner,
        colleague(platform, platform.project) as other,
        requests.Session() as session,
    ):
        before = texts_of(owner, HOME)
        assert any(name.endswith("/token") for name in secrets_in(before, platform.token))
        ids, user = all_ids(owner), other.user().username
        own = make_project(other, "mine", billing_group=None, settings={}).id
        base, secret = platform.endpoint.removesuffix("/v2"), other.transport._token.reveal()
        content, tried, told = body(ids, own, user), 0, set()
        for route in ROUTES:
            for path, method in product(paths(route, ids), METHODS):
                for query in queries(ids) if method == "GET" else [""]:
                    status, said = answer(session, f"{base}{path}{query}", method, secret, content)
                    assert platform.token not in said, f"{method} {path}"
                    assert status != 500, f"{method} {path}: {said}"
                    tried += 1
                    told |= {f"{method} {route.path}"} if status < 300 else set()
        assert tried > 300
        assert told <= OWN | ITEM_BY_ITEM
        time.sleep(1)  # for what goes on in the background
        assert list(other.list_files(project=own)) == []
        assert secrets_in(texts_of(other, own), platform.token) == []
        assert secrets_in(texts_of(other, platform.project), platform.token) == []
        after = texts_of(owner, HOME)
        assert after.keys() == before.keys()
        # Tasks tell how long they have waited.
        changed = [name for name in after if "task" not in name and after[name] != before[name]]
        assert changed == [], "what others have tried has changed something"
        assert waiting.status == "QUEUED"


def test_a_task_of_somebody_else_cannot_take_it_as_an_input(waiting: Submitted) -> None:
    platform = waiting.platform
    with platform.client() as owner, colleague(platform, platform.project) as other:
        token = next(iter(all_tokens(owner)))
        own = make_project(other, "mine", billing_group=None, settings={}).id
        other.install_app(f"{own}/show", SHOW)
        draft = {
            "project": own,
            "app": f"{own}/show/0",
            "name": "show",
            "inputs": {"file": {"class": "File", "path": token}},
        }
        url = f"{platform.endpoint}/tasks?action=run"
        with requests.Session() as session:
            status, said = answer(session, url, "POST", other.transport._token.reveal(), draft)
        assert status >= 400 or json.loads(said)["errors"], said


def all_tokens(client: Client) -> list[str]:
    return [file for file in all_ids(client)["file"] if client.get_file(file).name == "token"]


@pytest.mark.parametrize("way", ["cancel", "clean"])
def test_one_that_never_started_leaves_no_token(waiting: Submitted, way: str) -> None:
    platform = waiting.platform
    with platform.client() as client:
        assert all_tokens(client)
        if way == "cancel":
            told = waiting.command("cancel", "--yes")
        else:
            client.abort_task(waiting.task)
            waiting.wait()
            options = ["--project", HOME, "--yes", "--runs"]
            told = waiting.command("clean", *options)
        assert told.status == 0, told.output
        kept = [one for one in all_tokens(client) if client.get_file(one)]
        texts = texts_of(client, HOME)
    assert [name for name in secrets_in(texts, platform.token) if waiting.run in name] == [], kept


def test_a_member_who_came_meanwhile_keeps_it_from_running(place: Path, tmp_path: Path) -> None:
    """Between `submit` and the start of its task there may be hours."""
    server = Platform.start(tmp_path / "server", "--start-delay", "2")
    run = submit(new_workflow(place, server))
    with colleague(server, HOME), server.client() as client:
        assert run.wait() == "FAILED"
        assert list(client.list_tasks(project=server.project)) == []
        assert secrets_in(texts_of(client, HOME), server.token) == []
        said = texts_of(client, HOME)
    told = [run.command("status").output, run.command("logs", "--follow").output]
    server.stop()
    cause = "has other members (colleague-coordinator)"
    assert any(cause in text for text in said.values())
    assert all(cause in text for text in told), told


# ------------------------------------------------------------------------ which project will do


def test_a_project_with_other_members_is_refused(fresh: Platform) -> None:
    with colleague(fresh, fresh.project), fresh.client() as client:
        target = client.project(fresh.project)
        with pytest.raises(ConfigurationError, match="other members"):
            home_of(client, target, fresh.project)


def test_a_project_that_is_not_private_is_refused(fresh: Platform) -> None:
    fresh.control("projects", {"project": fresh.project, "category": "PUBLIC"})
    with fresh.client() as client:
        target = client.project(fresh.project)
        with pytest.raises(ConfigurationError, match="is not private"):
            home_of(client, target, fresh.project)


def test_a_project_without_network_is_refused_with_the_name_of_the_setting(fresh: Platform) -> None:
    with fresh.client() as client:
        target = client.project(fresh.project)
        with pytest.raises(ConfigurationError, match="allow_network_access"):
            home_of(client, target, fresh.project)


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing", "a/b/c"])
def test_a_project_that_is_not_there_is_named(fresh: Platform, name: str) -> None:
    with fresh.client() as client:
        target = client.project(fresh.project)
        with pytest.raises(ConfigurationError, match=r"--coordinator-project"):
            home_of(client, target, name)


def test_the_project_is_made_once(fresh: Platform) -> None:
    with fresh.client() as client:
        target = client.project(fresh.project)
        first = home_of(client, target, None)
        assert home_of(client, target, None) == first
        made = client.project(first.project)
        assert (made.category, made.billing_group) == ("PRIVATE", target.billing_group)
        assert made.settings["allow_network_access"] is True
        assert made.settings["use_interruptible_instances"] is False


def test_a_workflow_that_holds_the_token_is_not_sent(fresh: Platform, place: Path) -> None:
    workflow = new_workflow(place, fresh)
    workflow.write({"notes.txt": fresh.token})
    done = command(fresh, "submit", "--", *workflow.arguments(), cwd=workflow.directory)
    assert done.status == 1, done.output
    assert "notes.txt holds your API token" in done.output
    with fresh.client() as client:
        assert not all_tokens(client)
