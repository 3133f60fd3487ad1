"""The client over real HTTP, with all that can go wrong on the way."""

from __future__ import annotations

import logging
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from loopback import IMPATIENT, NEVER, SECRET, Reply, Request, Server

from snakemake_executor_cavatica.api import session
from snakemake_executor_cavatica.api.background import run_async
from snakemake_executor_cavatica.api.budget import RateBudget
from snakemake_executor_cavatica.api.call import get
from snakemake_executor_cavatica.api.client import Client
from snakemake_executor_cavatica.api.credentials import Token
from snakemake_executor_cavatica.api.drafts import TaskDraft
from snakemake_executor_cavatica.api.errors import (
    ApiError,
    CavaticaError,
    ConfigurationError,
    Conflict,
    Forbidden,
    Maintenance,
    NoAnswer,
    NotFound,
    ServerError,
    Stopped,
    TransferError,
    Unauthorized,
    UnexpectedAnswer,
)
from snakemake_executor_cavatica.api.models import Task
from snakemake_executor_cavatica.api.retry import Patience
from snakemake_executor_cavatica.api.stop import Stop

FILE = Reply(200, {"id": "f", "name": "me"})
DRAFT = TaskDraft(project="o/p", app="o/p/a", name="n")
TASK = Reply(200, {"id": "t", "status": "DRAFT"})


def error(status: int, code: int | None = None, **headers: str) -> Reply:
    return Reply(status, {"status": status, "code": code, "message": "told you"}, dict(headers))


def test_headers_and_body(server: Server, client: Client) -> None:
    server.on("GET", "/v2/files/f", FILE)
    server.on("POST", "/v2/tasks", TASK)
    assert client.get_file("f").name == "me"
    assert client.create_task(DRAFT, fields="id,status").status == "DRAFT"
    get, post = server.requests
    assert get.headers["x-sbg-auth-token"] == SECRET
    assert get.headers["user-agent"].startswith("snakemake-executor-plugin-cavatica/")
    assert get.body == b""
    assert post.json == {"project": "o/p", "app": "o/p/a", "name": "n", "inputs": {}}
    assert post.query == {"fields": ["id,status"]}
    assert post.headers["content-type"] == "application/json"


def test_actions_send_json_null(server: Server, client: Client) -> None:
    server.on("POST", "/v2/tasks/t/actions/run", TASK)
    client.run_task("t", batch=False)
    assert server.requests[0].body == b"null"
    assert server.requests[0].query == {"batch": ["false"]}


@pytest.mark.parametrize(
    "failure",
    [
        Reply(drop=True),
        error(500),
        error(503, 7000),
        error(503, 0),
        error(429, 1000),
        Reply(200, {"id": "f", "name": "cut"}, cut=5),
        Reply(200, {"id": "f", "name": "late"}, held=NEVER),
    ],
    ids=["drop", "500", "503", "maintenance", "429", "truncated", "timeout"],
)
def test_a_safe_call_is_repeated(server: Server, client: Client, failure: Reply) -> None:
    server.on("GET", "/v2/files/f", failure, FILE)
    assert client.get_file("f").name == "me"
    assert client.transport.requests_sent == 2


@pytest.mark.parametrize("failure", [error(429, 1000), error(503, 0)], ids=["429", "maintenance"])
def test_a_draft_is_repeated_when_nothing_can_have_happened(
    server: Server, client: Client, failure: Reply
) -> None:
    server.on("POST", "/v2/tasks", failure, TASK)
    assert client.create_task(DRAFT).id == "t"


@pytest.mark.parametrize(
    "failure",
    [Reply(drop=True), Reply(200, {"id": "t"}, cut=3), Reply(200, {"id": "t"}, held=NEVER)],
    ids=["drop", "truncated", "timeout"],
)
def test_a_draft_is_not_repeated_when_the_answer_is_lost(
    server: Server, client: Client, failure: Reply
) -> None:
    server.on("POST", "/v2/tasks", failure)
    with pytest.raises(NoAnswer, match="POST /tasks: the connection was lost") as caught:
        client.create_task(DRAFT)
    assert caught.value.sent
    assert len(server.requests) == 1
    # `requests` quotes whole URLs in its errors, so they are not shown along with ours.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_draft_is_not_repeated_after_a_server_error(server: Server, client: Client) -> None:
    server.on("POST", "/v2/tasks", error(503, 7000))
    with pytest.raises(ServerError):
        client.create_task(DRAFT)
    assert len(server.requests) == 1


def test_nobody_listens() -> None:
    server = Server()
    endpoint = server.endpoint
    server.close()
    impatient = Patience(total=0.1, first_wait=0.001, longest_wait=0.01)
    with (
        Client(endpoint, Token(SECRET), budget=RateBudget(), patience=impatient) as client,
        pytest.raises(NoAnswer, match="cannot be reached") as caught,
    ):
        client.create_task(DRAFT)
    assert not caught.value.sent
    assert client.transport.requests_sent > 1


PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("variable", PROXIES)
def test_a_proxy_never_sees_what_is_for_this_machine(
    server: Server, monkeypatch: pytest.MonkeyPatch, variable: str, host: str
) -> None:
    server.on("GET", "/v2/files/f", FILE)
    server.on("GET", "/file", Reply(200, b"content"))
    proxy = Server()
    monkeypatch.setenv(variable, proxy.root)
    root = server.root.replace("127.0.0.1", host)
    with Client(f"{root}/v2", Token(SECRET), budget=RateBudget(), patience=IMPATIENT) as client:
        assert client.get_file("f").name == "me"
        with client.transport.storage.get(f"{root}/file", 0, None) as response:
            assert response.content == b"content"
    proxy.close()
    assert proxy.requests == []


def test_other_platforms_are_reached_by_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Server()
    monkeypatch.setenv("https_proxy", proxy.root)
    monkeypatch.delenv("no_proxy", raising=False)
    impatient = Patience(total=0.1, first_wait=0.001, longest_wait=0.01)
    endpoint = "https://cavatica.invalid/v2"
    with (
        Client(endpoint, Token(SECRET), budget=RateBudget(), patience=impatient) as client,
        pytest.raises(NoAnswer),
    ):
        client.get_file("f")
    proxy.close()
    assert {request.method for request in proxy.requests} == {"CONNECT"}
    assert not any(SECRET in str(request) for request in proxy.requests)


def test_other_platforms_are_reached_by_a_socks_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that speaks SOCKS 5, looks the name up itself, and is not let through."""
    asked: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(64)  # the greeting
            connection.sendall(b"\5\0")
            asked.append(connection.recv(300))
            connection.sendall(b"\5\2\0\1" + bytes(6))  # not allowed

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        monkeypatch.setenv("https_proxy", f"socks5h://127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        once = Patience(total=0.0, first_wait=0.001, longest_wait=0.01)
        endpoint = "https://cavatica.invalid/v2"
        with (
            Client(endpoint, Token(SECRET), budget=RateBudget(), patience=once) as client,
            pytest.raises(NoAnswer, match="cannot be reached"),
        ):
            client.get_file("f")
        thread.join(30)
    assert b"cavatica.invalid" in asked[0]


def test_the_last_error_is_raised_when_time_is_over(server: Server) -> None:
    server.on("GET", "/v2/files/f", error(503, 0))
    impatient = Patience(total=0.2, first_wait=0.01, longest_wait=0.02)
    with (
        Client(server.endpoint, Token(SECRET), budget=RateBudget(), patience=impatient) as client,
        pytest.raises(Maintenance, match="try again later"),
    ):
        client.get_file("f")
    assert len(server.requests) > 1


@pytest.mark.parametrize(
    ("passed", "pause", "is_over"), [(0, 9.9, False), (9, 0.9, False), (9, 1, True), (11, 0, True)]
)
def test_no_try_starts_after_all_patience_is_used_up(
    passed: float, pause: float, is_over: bool
) -> None:
    """Neither after it, nor after a pause that would end after it."""
    state = SimpleNamespace(seconds_since_start=passed, upcoming_sleep=pause)
    retrying = Patience(total=10).retrying(lambda _: True, Stop())
    assert bool(retrying.stop(cast(Any, state))) is is_over


def test_429_waits_for_the_reset(server: Server, client: Client) -> None:
    reset = int(time.time()) + 1
    # Another limit of the platform may be the one that is used up: 429 counts, not what remains.
    limits = {"X-RateLimit-Limit": "1000", "X-RateLimit-Remaining": "500"}
    server.on(
        "GET", "/v2/files/f", error(429, 1000, **limits, **{"X-RateLimit-Reset": str(reset)}), FILE
    )
    client.get_file("f")
    assert time.time() >= reset


@pytest.mark.parametrize(
    ("status", "kind"), [(401, Unauthorized), (403, Forbidden), (404, NotFound), (409, Conflict)]
)
def test_refusals_are_not_repeated(
    server: Server, client: Client, status: int, kind: type[ApiError]
) -> None:
    refusal = error(status, 5, **{"X-Request-Id": "r9"})
    server.on("GET", "/v2/files/f", refusal)
    with pytest.raises(kind, match="GET /files/f: told you") as caught:
        client.get_file("f")
    assert (caught.value.code, caught.value.request_id) == (5, "r9")
    assert len(server.requests) == 1


def test_answers_that_make_no_sense(server: Server, client: Client) -> None:
    server.on("GET", "/v2/files/f", Reply(200, b"<html>"), Reply(200, {}), Reply(200, [1]))
    for _ in range(3):
        with pytest.raises(UnexpectedAnswer, match="GET /files/f: "):
            client.get_file("f")


# ------------------------------------------------------------------ where the token goes


def test_redirect_within_the_host(server: Server, client: Client) -> None:
    server.on("GET", "/v2/files/f", Reply(301, headers={"Location": "/v2/me"}))
    server.on("GET", "/v2/me", FILE)
    assert client.get_file("f").name == "me"
    assert server.requests[1].headers["x-sbg-auth-token"] == SECRET


def test_redirect_to_another_host_is_refused(
    server: Server, other_server: Server, client: Client
) -> None:
    target = f"{other_server.endpoint}/user?signature=1"
    server.on("GET", "/v2/files/f", Reply(302, headers={"Location": target}))
    with pytest.raises(UnexpectedAnswer, match="redirect to another host") as caught:
        client.get_file("f")
    assert "signature" not in str(caught.value)
    assert other_server.requests == []


def test_a_post_is_not_redirected_and_circles_end(server: Server, client: Client) -> None:
    server.on("POST", "/v2/tasks", Reply(307, headers={"Location": "/v2/tasks"}))
    server.on("GET", "/v2/files/f", Reply(302, headers={"Location": "/v2/files/f"}))
    with pytest.raises(UnexpectedAnswer, match="only a GET"):
        client.create_task(DRAFT)
    with pytest.raises(UnexpectedAnswer, match="too many redirects"):
        client.get_file("f")


def test_pages_never_lead_to_another_host(
    server: Server, other_server: Server, client: Client
) -> None:
    def answer(request: Request) -> Reply:
        first = "offset" not in request.query
        links = (
            [{"rel": "next", "href": f"{other_server.endpoint}/tasks?offset=2"}] if first else []
        )
        items = [{"id": "a"}, {"id": "b"}] if first else [{"id": "c"}]
        return Reply(200, {"items": items, "links": links})

    server.on("GET", "/v2/tasks", answer)
    assert [task.id for task in client.list_tasks(project="o/p")] == ["a", "b", "c"]
    assert server.requests[1].query["offset"] == ["2"]
    assert other_server.requests == []


def test_pages_in_a_circle(server: Server, client: Client) -> None:
    def answer(request: Request) -> Reply:
        other = "1" if request.query.get("p") == ["2"] else "2"
        links = [{"rel": "next", "href": f"/v2/tasks?p={other}"}]
        return Reply(200, {"items": [{"id": "a"}], "links": links})

    server.on("GET", "/v2/tasks", answer)
    with pytest.raises(UnexpectedAnswer, match="circle"):
        list(client.list_tasks(project="o/p"))


def test_netrc_and_cookies_are_left_alone(
    server: Server, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    server.on("GET", "/v2/files/f", Reply(200, {"id": "f"}, {"Set-Cookie": "a=b; Path=/"}))
    client.get_file("f")
    client.get_file("f")
    assert all("authorization" not in request.headers for request in server.requests)
    assert all("cookie" not in request.headers for request in server.requests)


def test_the_token_is_nowhere_to_be_seen(
    server: Server, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    echo = Reply(400, {"code": 1, "message": f"bad header {SECRET}"})
    server.on("GET", "/v2/files/f", Reply(drop=True), echo)
    with caplog.at_level(logging.DEBUG), pytest.raises(ApiError) as caught:
        client.get_file("f")
    assert SECRET not in caplog.text
    assert "GET /files/f" in caplog.text
    assert SECRET not in f"{caught.value} {caught.value!r} {client!r} {client.transport!r}"
    assert caught.value.__cause__ is None
    with pytest.raises(TypeError):
        pickle.dumps(client)


def test_plain_http_is_for_loopback_only() -> None:
    with pytest.raises(ConfigurationError, match="use https"):
        Client("http://platform.example/v2", Token(SECRET))


# ------------------------------------------------------------------ what the methods make of it


def test_bulk_in_hundreds(server: Server, client: Client) -> None:
    def answer(request: Request) -> Reply:
        ids = request.json["task_ids"]
        assert len(ids) <= 100
        lost = {"status": 404, "code": 7002, "message": "gone"}
        items = [{"error": lost} if n == "7" else {"resource": {"id": n}} for n in ids]
        return Reply(200, {"items": items})

    server.on("POST", "/v2/bulk/tasks/get", answer)
    found = client.get_tasks(str(n) for n in range(230))
    assert len(server.requests) == 3
    assert list(found) == [str(n) for n in range(230)]
    assert isinstance(found["7"], NotFound)
    assert isinstance(found["8"], Task)
    assert client.get_tasks([]) == {}


def test_bulk_files(server: Server, client: Client) -> None:
    server.on("POST", "/v2/bulk/files/get", Reply(200, {"items": [{"resource": {"id": "f"}}]}))
    server.on("POST", "/v2/bulk/files/edit", Reply(200, {"items": [{"resource": {"id": "f"}}]}))
    gone = {"items": [{"resource": {}}, {"error": {"status": 404}}]}
    server.on("POST", "/v2/bulk/files/delete", Reply(200, gone))
    assert set(client.get_files(["f", "f"])) == {"f"}
    assert set(client.edit_files([{"id": "f", "name": "n"}])) == {"f"}
    outcome = client.delete_files(["f", "g"])
    assert outcome["f"] is None
    assert isinstance(outcome["g"], NotFound)
    with pytest.raises(ValueError, match="twice"):
        client.edit_files([{"id": "f"}, {"id": "f"}])


def test_listing_files(server: Server, client: Client) -> None:
    def answer(request: Request) -> Reply:
        names = request.query.get("name", ["all"])
        items = [{"id": n, "name": n, "type": "FILE"} for n in names]
        return Reply(200, {"items": items, "links": []})

    server.on("GET", "/v2/files", answer)
    assert [file.name for file in client.list_files(parent="d")] == ["all"]
    assert [file.name for file in client.list_files(parent="d", names=["a", "b c"])] == ["a", "b c"]
    assert list(client.list_files(parent="d", names=[])) == []
    assert len(server.requests) == 2


def test_deleting_twice(server: Server, client: Client) -> None:
    server.on("DELETE", "/v2/files/f", Reply(204), error(404, 5002))
    client.delete_file("f")
    client.delete_file("f", missing_ok=True)
    with pytest.raises(NotFound):
        client.delete_file("f")


def test_abort_with_an_answer_of_any_kind(server: Server, client: Client) -> None:
    path = "/v2/tasks/t/actions/abort"
    server.on("POST", path, Reply(drop=True), TASK, Reply(204), Reply(200, {"status": "Active"}))
    task = client.abort_task("t")
    assert task is not None
    assert task.id == "t"
    assert client.abort_task("t") is None
    assert client.abort_task("t") is None


def test_apps(server: Server, client: Client) -> None:
    document = {"class": "CommandLineTool", "sbg:id": "o/p/a/0"}
    server.on("POST", "/v2/apps/o/p/a/raw", Reply(200, document))
    server.on("POST", "/v2/apps/o/p/a/1/raw", error(409, 6003))
    server.on("GET", "/v2/apps/o/p/a/raw", Reply(200, document), Reply(200, b"[]"))
    assert client.install_app("o/p/a", {"class": "CommandLineTool"})["sbg:id"] == "o/p/a/0"
    with pytest.raises(Conflict):
        client.revise_app("o/p/a", 1, {})
    assert client.get_app_raw("o/p/a") == document
    with pytest.raises(UnexpectedAnswer, match="not a JSON object"):
        client.get_app_raw("o/p/a")


def test_waiting_for_a_background_job(server: Server, client: Client) -> None:
    running = Reply(200, {"id": "j", "state": "RUNNING"})
    server.on("POST", "/v2/async/files/move", Reply(200, {"id": "j", "state": "SUBMITTED"}))
    server.on(
        "GET",
        "/v2/async/files/move/j",
        running,
        Reply(200, {"id": "j", "state": "FINISHED"}),
        running,
    )
    items = [{"file": "f", "parent": "d"}]
    assert run_async(client, "move", items, first_wait=0.001).is_finished
    with pytest.raises(TransferError, match="has not finished"):
        run_async(client, "move", items, timeout=0.05, first_wait=0.01)


def test_the_small_calls(server: Server, client: Client) -> None:
    server.on("GET", "/v2/rate_limit", Reply(200, {"rate": {"limit": 1000}}))
    server.on("GET", "/v2/projects/o/p", Reply(200, {"id": "o/p", "permissions": {"write": True}}))
    server.on("GET", "/v2/tasks/t", TASK)
    server.on("GET", "/v2/files/f", Reply(200, {"id": "f"}))
    server.on("GET", "/v2/tasks/t/execution_details", Reply(200, {"jobs": [{"logs": {"x": "j"}}]}))
    server.on("DELETE", "/v2/tasks/t", Reply(200))
    server.on("POST", "/v2/files", Reply(200, {"id": "d", "type": "FOLDER"}))
    server.on("POST", "/v2/files/f/actions/copy", Reply(200, {"id": "g", "name": "_1_f"}))
    server.on("PATCH", "/v2/files/f/metadata", Reply(200, {"k": "v"}))
    server.on(
        "GET", "/v2/files/f/download_info", Reply(200, {"url": "https://s/x"}), Reply(200, {})
    )
    rate = client.rate_limit().rate
    assert rate is not None
    assert rate.limit == 1000
    permissions = client.project("o/p").permissions
    assert permissions is not None
    assert permissions.write
    assert client.get_task("t").id == "t"
    assert client.get_file("f").id == "f"
    assert client.execution_details("t").jobs[0].logs == {"x": "j"}
    client.delete_task("t")
    assert client.create_folder("d", project="o/p").is_folder
    assert client.copy_file("f", parent="d").name == "_1_f"
    assert client.update_metadata("f", {"k": "v"}) == {"k": "v"}
    assert client.download_url("f") == "https://s/x"
    with pytest.raises(UnexpectedAnswer, match="no URL"):
        client.download_url("f")


def test_many_threads_share_one_client(server: Server, client: Client) -> None:
    lock = threading.Lock()
    left = iter(range(10_000, 0, -1))

    def answer(request: Request) -> Reply:
        with lock:
            remaining = next(left)
        headers = {
            "X-RateLimit-Limit": "10000",
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(int(time.time()) + 300),
        }
        return Reply(200, {"id": request.path.rpartition("/")[2]}, headers)

    for n in range(300):
        server.on("GET", f"/v2/files/{n}", answer)
    with ThreadPoolExecutor(16) as pool:
        names = list(pool.map(lambda n: client.get_file(str(n)).id, range(300)))
    assert names == [str(n) for n in range(300)]
    assert client.budget.remaining is not None


@pytest.fixture
def clients(server: Server) -> Iterator[tuple[Client, Client]]:
    first = Client(server.endpoint, Token(SECRET), patience=IMPATIENT)
    second = Client(f"{server.endpoint}/", Token(SECRET), patience=IMPATIENT)
    yield first, second
    first.close()
    second.close()


def test_clients_of_one_token_share_the_budget(clients: tuple[Client, Client]) -> None:
    assert clients[0].budget is clients[1].budget


# ------------------------------------------------------------------ stopping


@dataclass
class Stopping:
    """Does something, and stops the transport meanwhile; what is held goes on only after that."""

    client: Client
    held: threading.Event = field(default_factory=threading.Event)

    def __call__(self, work: Callable[[], object], under_way: Callable[[], object]) -> object:
        """What came of it although nothing was answered; `under_way` returns once it can be."""
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            try:
                under_way()
                assert not future.done()
                self.client.stop.set()
                return future.exception(timeout=30)
            finally:
                self.held.set()


@pytest.fixture
def stopping(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stopping]:
    monkeypatch.setattr(session, "_GRACE", 1000.0)
    patience = Patience(first_wait=600, longest_wait=600)
    with Client(server.endpoint, Token(SECRET), budget=RateBudget(), patience=patience) as client:
        yield Stopping(client)


def test_stop_while_the_platform_is_silent(server: Server, stopping: Stopping) -> None:
    server.on("GET", "/v2/files/f", Reply(200, {"id": "f", "name": "late"}, held=stopping.held))
    assert isinstance(stopping(partial(stopping.client.get_file, "f"), server.wait_for), Stopped)


def test_stop_between_two_tries_of_a_call(server: Server, stopping: Stopping) -> None:
    server.on("GET", "/v2/files/f", error(503, 0))
    assert isinstance(
        stopping(partial(stopping.client.get_file, "f"), server.wait_for), CavaticaError
    )


def test_stop_while_waiting_for_the_rate_limit(server: Server, stopping: Stopping) -> None:
    budget = stopping.client.budget
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(int(time.time()) + 200)}
    budget.acquire()
    budget.release(headers)
    waiting = threading.Event()
    acquire = budget.acquire

    def announced(*arguments: Any, **options: Any) -> Any:
        waiting.set()
        return acquire(*arguments, **options)

    budget.acquire = announced  # type: ignore[method-assign]
    assert isinstance(stopping(partial(stopping.client.get_file, "f"), waiting.wait), Stopped)
    assert server.requests == []


def test_a_call_that_must_not_be_cut_gets_its_answer(server: Server, stopping: Stopping) -> None:
    client, held = stopping.client, stopping.held
    server.on("POST", "/v2/tasks", Reply(200, {"id": "t"}, held=held))
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(client.create_task, DRAFT)
        server.wait_for()
        client.stop.set()
        held.set()
        assert future.result(timeout=30).id == "t"
        with pytest.raises(Stopped):
            client.get_file("f")


def test_but_not_for_ever(
    server: Server, stopping: Stopping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_GRACE", 0.1)
    server.on("POST", "/v2/tasks", Reply(200, {"id": "t"}, held=stopping.held))
    ended = stopping(lambda: stopping.client.create_task(DRAFT), server.wait_for)
    assert isinstance(ended, NoAnswer)


def test_events_that_stop_sets(server: Server, client: Client) -> None:
    early = client.stop.child()
    assert not early.is_set()
    client.stop.set()
    assert early.is_set()
    assert client.stop.child().is_set()


# ------------------------------------------------------------------ a token that is renewed


REFUSED_TOKEN = Reply(401, {"status": 401, "code": 90001, "message": "Unauthorized"})


def test_a_run_goes_on_with_a_token_that_was_renewed(server: Server, tmp_path: Path) -> None:
    """Also a draft is made then: what was refused has had no effect."""
    file = tmp_path / "token"
    file.write_text("old-token")
    read = lambda: Token(file.read_text())  # noqa: E731
    token = Token("old-token", str(file), read)
    with Client(server.endpoint, token, budget=RateBudget(), patience=IMPATIENT) as client:
        server.on("GET", "/v2/files/f", FILE)
        client.get_file("f")
        file.write_text("new-token")
        server.on("POST", "/v2/tasks", REFUSED_TOKEN, TASK)
        client.create_task(DRAFT)
        sent = [request.headers["x-sbg-auth-token"] for request in server.requests]
    assert sent == ["old-token", "old-token", "new-token"]


def test_a_token_that_is_refused_later_is_asked_for_without_a_time(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Protects from a wrong one: a run looks for it longer than what only watches."""
    token = Token("old-token", "a place", lambda: Token("old-token"))
    with Client(server.endpoint, token, budget=RateBudget(), patience=IMPATIENT) as client:
        server.on("GET", "/v2/files/f", FILE, REFUSED_TOKEN, FILE)
        client.get_file("f")
        client.get_file("f")
    assert [one.getMessage() for one in caplog.records if one.levelname == "WARNING"] == [
        "The platform does not take the token any more. If it was renewed, write the new one to "
        "where the old one was found: a place. It is read again before each further try."
    ]


def test_answers_to_the_old_token_that_come_later_are_no_refusal_of_the_new_one(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Protects from the advice to write down a new token, when it is the new one that is used."""
    file = tmp_path / "token"
    file.write_text("old-token")
    token = Token("old-token", str(file), lambda: Token(file.read_text()))
    late = threading.Event()

    def answer(request: Request) -> Reply:
        if request.headers["x-sbg-auth-token"] == "new-token":
            late.set()
            return FILE
        if request.query:  # it was sent with the old one, as the other, and is answered after it
            return replace(REFUSED_TOKEN, held=late)
        return REFUSED_TOKEN

    with Client(server.endpoint, token, budget=RateBudget(), patience=IMPATIENT) as client:
        server.on("GET", "/v2/files/f", FILE)
        client.get_file("f")
        server.on("GET", "/v2/files/f", answer)
        file.write_text("new-token")
        with ThreadPoolExecutor(2) as threads:
            slow = threads.submit(client.transport.send, get("/files/f", {"slow": "1"}))
            server.wait_for(2)
            client.get_file("f")
            slow.result()
    assert [one.getMessage() for one in caplog.records if one.levelname == "WARNING"] == [
        "The token was renewed; the new one is used from now on."
    ]


def test_a_token_that_never_was_good_is_refused_at_once(server: Server) -> None:
    token = Token("wrong", "a place", lambda: Token("wrong"))
    server.on("GET", "/v2/files/f", REFUSED_TOKEN)
    client = Client(server.endpoint, token, budget=RateBudget(), patience=IMPATIENT)
    with client, pytest.raises(Unauthorized):
        client.get_file("f")
    assert len(server.requests) == 1


# ------------------------------------------------------------------ answers of somebody else


def test_a_page_of_a_captive_portal_is_not_the_last_word(server: Server, client: Client) -> None:
    page = Reply(200, b"<html>Please log in")
    server.on("GET", "/v2/files/f", page, page, FILE)
    assert client.get_file("f").name == "me"
    server.on("GET", "/v2/files/f", page)
    with pytest.raises(UnexpectedAnswer):
        client.get_file("f")
    assert len(server.requests) == 9
    server.on("POST", "/v2/tasks", page)
    with pytest.raises(UnexpectedAnswer):
        client.create_task(DRAFT)
    assert len(server.requests) == 10


def test_a_page_that_says_that_there_is_no_such_file_is_not_the_last_word(
    server: Server, client: Client
) -> None:
    """Nor is the platform's own word, if it is cut short."""
    server.on("GET", "/v2/files/f", Reply(404, b'{"status": 404, "co'), FILE)
    assert client.get_file("f").name == "me"
