"""Whatever the platform answers: a valid model or one documented error, and no token elsewhere.

The transport is real down to `requests`; only the wire is replaced, so that thousands of answers
fit into seconds.
"""

from __future__ import annotations

import io
import itertools
import json
import math
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from snakemake_executor_cavatica.api import calls
from snakemake_executor_cavatica.api.account import Account
from snakemake_executor_cavatica.api.background import run_async
from snakemake_executor_cavatica.api.budget import RateBudget
from snakemake_executor_cavatica.api.client import Client
from snakemake_executor_cavatica.api.credentials import Token
from snakemake_executor_cavatica.api.drafts import TaskDraft
from snakemake_executor_cavatica.api.errors import (
    ApiError,
    CavaticaError,
    NoAnswer,
    UnexpectedAnswer,
)
from snakemake_executor_cavatica.api.models import (
    Document,
    ExecutionDetails,
    File,
    Project,
    Task,
    TaskStatus,
    iter_files,
)
from snakemake_executor_cavatica.api.retry import Patience

SECRET = "5f3a9c0d71e24b86a0c9e8d7f6b5a493"
HOST = "platform.example"
ENDPOINT = f"https://{HOST}/v2"
ELSEWHERE = "https://elsewhere.example/v2/tasks?offset=100"
IDS = ["1", "2"]
MOST_REQUESTS = 100

fuzz = settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


# --------------------------------------------------------------------------- the wire


@dataclass(frozen=True)
class Reply:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Wire:
    """Answers everything that is sent, and notes what was sent."""

    answer: Callable[[requests.PreparedRequest], Reply]
    sent: list[requests.PreparedRequest] = field(default_factory=list)

    def send(
        self, adapter: HTTPAdapter, request: requests.PreparedRequest, **_: Any
    ) -> requests.Response:
        self.sent.append(request)
        assert len(self.sent) <= MOST_REQUESTS, "it would go on for ever"
        reply = self.answer(request)
        raw = HTTPResponse(
            io.BytesIO(reply.body),
            headers=reply.headers,
            status=reply.status,
            preload_content=False,
        )
        return adapter.build_response(request, raw)

    def check(self) -> None:
        """The token went to the platform, in its header, and nowhere else."""
        for request in self.sent:
            url, headers = str(request.url), dict(request.headers)
            assert SECRET not in url
            assert SECRET not in str(request.body)
            bearing = [name for name, value in headers.items() if SECRET in str(value)]
            assert bearing in ([], ["X-SBG-Auth-Token"])
            assert not bearing or urlsplit(url)[:2] == ("https", HOST), url


def _method(send: Callable[..., requests.Response]) -> Callable[..., requests.Response]:
    """A function becomes a method of the class that it is set on; a bound method does not."""

    def method(*args: Any, **options: Any) -> requests.Response:
        return send(*args, **options)

    return method


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@contextmanager
def connected(
    *replies: Reply, answer: Callable[[requests.PreparedRequest], Reply] | None = None
) -> Iterator[tuple[Client, Wire]]:
    """A client whose requests get these replies in turn and for ever, or what `answer` says."""
    turns = itertools.cycle(replies)
    wire, clock = Wire(answer or (lambda _: next(turns))), Clock()
    budget = RateBudget(clock=clock, wall=clock, sleep=clock.sleep)
    with (
        pytest.MonkeyPatch.context() as patch,
        Client(ENDPOINT, Token(SECRET), budget=budget, patience=Patience(total=0.0)) as client,
    ):
        patch.setattr(HTTPAdapter, "send", _method(wire.send))
        yield client, wire
        wire.check()


# --------------------------------------------------------------------------- what is asked

DRAFT = TaskDraft(project="o/p", app="o/p/a")
CALLS: dict[str, Callable[[Client], object]] = {
    "rate_limit": lambda c: c.rate_limit(),
    "user": lambda c: c.user(),
    "projects": lambda c: list(c.projects()),
    "project": lambda c: c.project("o/p"),
    "analysis_breakdown": lambda c: list(
        Account(c).analysis_breakdown("1", date_from=date(2026, 1, 1), date_to=date(2026, 1, 2))
    ),
    "billing_group": lambda c: Account(c).billing_group("1"),
    "apps": lambda c: list(Account(c).apps("o/p")),
    "create_task": lambda c: c.create_task(DRAFT),
    "run_task": lambda c: c.run_task("1"),
    "abort_task": lambda c: c.abort_task("1"),
    "get_task": lambda c: c.get_task("1"),
    "get_tasks": lambda c: c.get_tasks(IDS),
    "list_tasks": lambda c: list(c.list_tasks(project="o/p")),
    "delete_task": lambda c: c.delete_task("1"),
    "execution_details": lambda c: c.execution_details("1"),
    "get_file": lambda c: c.get_file("1"),
    "get_files": lambda c: c.get_files(IDS),
    "list_files": lambda c: list(c.list_files(project="o/p")),
    "list_if_few": lambda c: list(c.list_if_few(1, project="o/p")),
    "create_folder": lambda c: c.create_folder("f", project="o/p"),
    "copy_file": lambda c: c.copy_file("1", project="o/p"),
    "delete_file": lambda c: c.delete_file("1"),
    "delete_files": lambda c: c.delete_files(IDS),
    "edit_files": lambda c: c.edit_files([{"id": one} for one in IDS]),
    "update_metadata": lambda c: c.update_metadata("1", {}),
    "download_url": lambda c: c.download_url("1"),
    "start_async": lambda c: c.start_async("copy", [{"file": "1"}]),
    "async_job": lambda c: c.async_job("copy", "1"),
    "run_async": lambda c: run_async(c, "copy", [{"file": "1"}], timeout=0.0),
    "start_upload": lambda c: c.start_upload("n", 1, project="o/p"),
    "upload_part_url": lambda c: c.upload_part_url("u", 1),
    "report_parts": lambda c: c.report_parts("u", {1: {}}),
    "complete_upload": lambda c: c.complete_upload("u", {}),
    "abort_upload": lambda c: c.abort_upload("u"),
    "get_app_raw": lambda c: c.get_app_raw("o/p/a"),
    "install_app": lambda c: c.install_app("o/p/a", {}),
    "revise_app": lambda c: c.revise_app("o/p/a", 1, {}),
}
EVERY_CALL = pytest.mark.parametrize("call", CALLS)


def test_every_method_of_the_client_is_fuzzed() -> None:
    """A call that is added later does not escape these tests."""
    no_calls = {"budget", "endpoint", "stop", "close", "one"}
    names = [*vars(Client), *vars(Account)]
    methods = {name for name in names if not name.startswith("_")} - no_calls
    assert methods | {"run_async"} == set(CALLS)


# --------------------------------------------------------------------------- what is answered

ODD_NUMBERS = st.sampled_from([0, -1, 2**31, 2**63, -(2**70), 10**400, 1e308, -0.0, 0.5])
ODD_TEXTS = st.sampled_from(
    [
        "",
        ".",
        "..",
        "/",
        "a/b",
        "\x00",
        "\x1b[2J",
        "\ud800",
        "null",
        "true",
        "1",
        "-1",
        "9" * 400,
        "COMPLETED",
        "finished",
        "NaN",
        "1e999",
        "%2e%2e",
        "\u0130",
        "x" * 5000,
        "\u202e",
    ]
)
ODD_TIMES = st.sampled_from(
    [
        "2024-02-30T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "24:00",
        "2024-01-01T00:00:60Z",
        "2024-01-01",
        "99999999999999999999",
        "-1",
        "1e400",
        "now",
        "",
    ]
)
ODD_URLS = st.sampled_from(
    [
        "https://s.example/x?sig=1",
        ELSEWHERE,
        "http://s.example/x",
        "file:///etc/passwd",
        "https://[",
        "//elsewhere.example/",
        "https://h:99999/",
        f"{ENDPOINT}/files/../download_info",
        "ftp://h",
    ]
)
SCALARS = st.one_of(
    st.none(), st.booleans(), ODD_NUMBERS, ODD_TEXTS, ODD_TIMES, ODD_URLS, st.text(max_size=5)
)
KEYS = st.sampled_from(["id", "class", "path", "items", "error", "model_dump", "__class__", "x"])
GARBAGE: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def damaged(sample: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """`sample`, in which each value may be missing, damaged or something else altogether."""
    values = {key: _value(sample[key]) for key in sample}
    return st.deferred(lambda: st.fixed_dictionaries({}, optional=values))


def _value(sample: Any) -> st.SearchStrategy[Any]:
    choices: list[st.SearchStrategy[Any]] = [st.just(sample), st.just(sample), GARBAGE]
    if isinstance(sample, dict):
        choices.append(damaged(sample))
    if isinstance(sample, list) and sample:
        choices.append(st.lists(_value(sample[0]), max_size=3))
    return st.one_of(choices)


FILE_VALUE = {"class": "File", "path": "3", "name": "n", "secondaryFiles": [{"class": "File"}]}
ANYTHING = {
    # Tasks, files, jobs, apps and projects in one: what a model does not know, it has to bear.
    "id": "1",
    "username": "u",
    "name": "n",
    "status": "RUNNING",
    "type": "file",
    "size": 5,
    "batch": False,
    "href": f"{ENDPOINT}/x",
    "created_time": "2024-01-01T00:00:00Z",
    "created_on": "2024-01-01T00:00:00Z",
    "start_time": "2024-01-01T00:00:00Z",
    "execution_status": {"message": "m", "steps_total": 1, "running_duration": 5},
    "price": {"amount": 1.0, "currency": "USD", "breakdown": {"storage": 1}},
    "errors": ["e", {"message": "m"}],
    "inputs": {"in": [FILE_VALUE]},
    "outputs": {"out": FILE_VALUE},
    "metadata": {"k": "v"},
    "origin": {"task": "1"},
    "permissions": {"copy": True, "write": "true"},
    "jobs": [{"logs": {"stderr": f"{ENDPOINT}/files/9/download_info"}, "instance": {"disk": {}}}],
    "state": "FINISHED",
    "result": [{"resource": {"id": "1"}}, {"error": {"status": 404}}],
    "upload_id": "u",
    "part_size": 5,
    "url": "https://storage.example/x?signature=1",
    "headers": {"Content-Type": "x"},
    "report": {"headers": ["ETag"], "success_codes": [200]},
    "rate": {"limit": 1000, "remaining": 5, "reset": 1},
    "items": [{"resource": {"id": "1"}}, {"error": {"status": 404, "code": 1, "message": "m"}}],
    "links": [{"rel": "next", "href": ELSEWHERE}],
    "code": 7024,
    "message": "m",
}
DOCUMENTS = damaged(ANYTHING) | GARBAGE


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


ODD_BODIES = st.sampled_from(
    [
        b"",
        b"  \n",
        b"null",
        b"<html><body>502 Bad Gateway</body></html>",
        b'{"id": "1"',
        b"[]",
        b"\xff\xfe\x00",
        b"\x1f\x8b\x08\x00",
        b"[" * 5000,
        b'{"id":' * 200 + b"1" + b"}" * 200,
        '{"id": "1"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"id": "1"}',
        b"NaN",
        b"1" * 5000,
    ]
)
BODIES = st.one_of(DOCUMENTS.map(encoded), DOCUMENTS.map(encoded), ODD_BODIES)
STATUSES = st.sampled_from([200] * 8 + [201, 204, 206, 299, 304, 400, 401, 403, 404, 409, 418])
FAILURES = st.sampled_from([429, 500, 502, 503, 504, 599])
ODD_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(["text/html", "", "application/json; charset=x", "\xe9"]),
        "Content-Encoding": st.sampled_from(["gzip", "identity", "x"]),
        "X-RateLimit-Limit": st.sampled_from(["1000", "-1", "x", "9" * 400]),
        "X-RateLimit-Remaining": st.sampled_from(["5", "0", "-5", "", "9" * 400]),
        "X-RateLimit-Reset": st.sampled_from(["0", "-1", "9" * 20, "9" * 400, "1.5"]),
        "Date": st.sampled_from(["", "now", "Mon, 01 Jan 2024 00:00:00 GMT"]),
        "X-Request-Id": st.sampled_from(["", "r"]),
        "Retry-After": st.sampled_from(["-1", "9" * 400, "x"]),
    },
)
REPLIES = st.builds(Reply, STATUSES | FAILURES, BODIES, ODD_HEADERS)


# --------------------------------------------------------------------------- what must hold


def ask(client: Client, call: str) -> object:
    """What the call gives, or its error; any other error fails the test."""
    try:
        answer = CALLS[call](client)
    except CavaticaError as error:
        check_error(error)
        return error
    for part in parts_of(answer):
        check_usable(part)
    return answer


def check_error(error: CavaticaError) -> None:
    """It names the call, can be printed, and holds no secret."""
    text = str(error)
    assert text.encode()
    assert SECRET not in text
    assert SECRET not in repr(error)
    if isinstance(error, ApiError):
        assert text.startswith(f"{error.method} /"), text


def parts_of(answer: object) -> Iterable[object]:
    if isinstance(answer, list):
        return answer
    if isinstance(answer, dict):
        return answer.values()
    return [answer]


def check_usable(part: object) -> None:
    """What the plugin does with a model does not fail: it was checked at the edge."""
    assert repr(part).encode()
    if isinstance(part, CavaticaError):
        check_error(part)
    if isinstance(part, Task):
        assert part.is_terminal is (part.status in ("COMPLETED", "FAILED", "ABORTED"))
        assert "\n".join(part.error_texts).encode() or not part.errors
        for ref in iter_files([part.inputs, part.outputs]):
            check_id(ref.path)
        check_id(part.id)
    if isinstance(part, File):
        check_id(part.id)
        assert abs(part.size or 0) <= 2**63, "arithmetic with floats fails beyond"
        for moment in filter(None, (part.created_on, part.modified_on)):
            assert moment.utcoffset() == timedelta(0), "or it cannot be compared with others"
            assert math.isfinite(moment.timestamp())
    if isinstance(part, ExecutionDetails):
        for job in part.jobs:
            for name in job.logs:
                file_id = job.log_file_id(name)
                if file_id is not None:
                    check_id(file_id)


def check_id(identifier: str) -> None:
    """It is one segment of a path, and so makes no other call of a call."""
    path = calls.download_info(identifier).path
    assert path.count("/") == calls.download_info("plain").path.count("/")
    assert unquote(path.split("/")[-2]) == identifier
    assert identifier not in ("", ".", "..")


@EVERY_CALL
@fuzz
@given(reply=REPLIES)
def test_any_answer_is_a_model_or_a_documented_error(call: str, reply: Reply) -> None:
    """No answer, however odd, ends in a bare ValidationError, KeyError, TypeError and the like."""
    with connected(reply) as (client, _):
        ask(client, call)


@EVERY_CALL
def test_the_undamaged_document_is_accepted(call: str) -> None:
    """The fuzzing starts from a document that works, or it would test refusals only."""
    plain = [{"id": "1", "analysis_id": "1"}, {"id": "2", "analysis_id": "2"}]
    document = {**ANYTHING, "links": []}
    is_bulk = not call.startswith("list_") and call not in {
        "analysis_breakdown",
        "apps",
        "projects",
    }
    document["items"] = [{"resource": one} for one in plain] if is_bulk else plain
    with connected(Reply(body=encoded(document))) as (client, _):
        for part in parts_of(CALLS[call](client)):
            assert not isinstance(part, CavaticaError)
            check_usable(part)


@pytest.mark.parametrize(
    ("call", "fields"),
    [
        *(("get_file", {"size": size}) for size in (10**30, -(10**30), "9" * 30, 1e300)),
        *(
            ("get_file", {key: moment})
            for key in ("created_on", "modified_on")
            for moment in (
                "2026-01-01T00:00:00",
                "2026-01-01T00:00:00+05:00",
                "0001-01-01T00:00:00",
            )
        ),
        *(("get_task", {"status": str(status)}) for status in (*TaskStatus, "", "UNHEARD_OF")),
    ],
)
def test_odd_sizes_times_and_statuses_are_usable(call: str, fields: dict[str, object]) -> None:
    with connected(Reply(body=encoded({"id": "1", **fields}))) as (client, _):
        assert not isinstance(ask(client, call), CavaticaError)


LISTS = pytest.mark.parametrize("call", ["list_tasks", "list_files", "list_if_few"])


def page(items: Iterable[object], href: object) -> Reply:
    return Reply(body=encoded({"items": list(items), "links": [{"rel": "next", "href": href}]}))


@LISTS
@fuzz
@given(
    items=st.lists(st.sampled_from([{"id": "1"}, {"id": "2"}]), min_size=1, max_size=3),
    hrefs=st.lists(
        st.one_of(
            st.sampled_from([ELSEWHERE, "/v2/tasks?offset=5", "?offset=5", f"{ENDPOINT}/user"]),
            st.sampled_from([f"https://{HOST}:444/v2/x", f"https://{HOST}@elsewhere.example/v2/x"]),
            st.sampled_from(["", ".", "..", "/v2/../x", "https://[", "/v2/tasks?a=\ud800"]),
            GARBAGE,
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_pages_that_go_in_circles_or_lead_elsewhere(
    call: str, items: list[object], hrefs: list[object]
) -> None:
    """A listing always ends, and never takes the token to another host."""
    with connected(*(page(items * 40, href) for href in hrefs)) as (client, wire):
        ask(client, call)
        assert all(urlsplit(str(one.url)).netloc == HOST for one in wire.sent)


@LISTS
def test_pages_with_ever_new_links_to_the_same_items(call: str) -> None:
    """No link comes twice here, so only the items can tell that this does not end."""
    replies = [page([{"id": str(n)} for n in range(50)], f"?page={n}") for n in range(40)]
    with connected(*replies) as (client, wire):
        error = ask(client, call)
        assert isinstance(error, UnexpectedAnswer)
        assert "repeat themselves" in str(error)
        assert len(wire.sent) < 10


LOCATIONS = st.sampled_from(
    [
        ELSEWHERE,
        "//elsewhere.example/v2",
        f"http://{HOST}/v2/user",
        f"https://{HOST}:444/v2/user",
        f"https://{HOST}@elsewhere.example/",
        f"{ENDPOINT}/elsewhere",
        "/",
        "",
        "?a",
        "../../x",
        f"https://{HOST}.elsewhere.example/",
        "https:elsewhere.example",
        "javascript:1",
        "\\\\e\\x",
    ]
)


@EVERY_CALL
@fuzz
@given(status=st.sampled_from([301, 302, 303, 307, 308]), location=LOCATIONS, final=REPLIES)
def test_a_redirect_never_takes_the_token_to_another_host(
    call: str, status: int, location: str, final: Reply
) -> None:
    """`requests` itself would send the header of the token wherever a redirect leads."""
    with connected(Reply(status, b"", {"Location": location}), final) as (client, _):
        ask(client, call)


@fuzz
@given(status=st.sampled_from([200, 206, 302, 307, 403]), url=ODD_URLS | GARBAGE, to=LOCATIONS)
def test_signed_urls_never_see_the_token(status: int, url: Any, to: str) -> None:
    """Neither does a storage URL on the platform's own host, nor where a storage redirects to."""
    given_url = Reply(body=encoded({"url": url, "headers": {"x-a": "b"}}))
    stored = Reply(status, b"x", {"Location": to} if status in (302, 307) else {})
    calls_of_the_api = (
        f"{ENDPOINT}/upload/multipart/u/part/1",
        f"{ENDPOINT}/files/1/download_info",
    )

    def answer(request: requests.PreparedRequest) -> Reply:
        return given_url if request.url in calls_of_the_api else stored

    with connected(answer=answer) as (client, wire):
        for use in (_put_part, _get_range):
            try:
                use(client)
            except CavaticaError as error:
                check_error(error)
        for request in wire.sent:
            is_call = request.url in calls_of_the_api
            assert ("X-SBG-Auth-Token" in request.headers) == is_call, request.url


def _put_part(client: Client) -> None:
    target = client.upload_part_url("u", 1)
    client.transport.storage.put(target.url, b"data", target.headers)


def _get_range(client: Client) -> None:
    with client.transport.storage.get(client.download_url("1"), 0, 5) as response:
        list(response.iter_content())


@EVERY_CALL
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500])
def test_a_gateway_that_quotes_the_token(call: str, status: int) -> None:
    """Some proxies show the whole request in their error pages."""
    quoting = f"refused: X-SBG-Auth-Token: {SECRET}"
    bodies = [quoting.encode(), encoded({"message": quoting, "code": 1, "more_info": quoting})]
    for body in bodies:
        with connected(Reply(status, body)) as (client, _):
            ask(client, call)


def shown_with_locals(error: BaseException) -> str:
    """A traceback as crash reporters show it, without what the tests themselves hold."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    frames.stack = traceback.StackSummary.from_list(
        [frame for frame in frames.stack if "snakemake_executor_cavatica" in frame.filename]
    )
    return "".join(frames.format())


def test_a_crash_shows_no_token_among_its_local_variables() -> None:
    """Crash reporters print the local variables of all frames."""

    def fail(_: requests.PreparedRequest) -> Reply:
        raise requests.ConnectionError("lost")

    with connected(answer=fail) as (client, _), pytest.raises(NoAnswer) as caught:
        client.get_task("1")
    assert "get_task" in shown_with_locals(caught.value)
    assert SECRET not in shown_with_locals(caught.value)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=encoded({"items": [{"error": {"status": 403, "message": SECRET}}] * 2})),
        Reply(302, b"", {"Location": f"https://elsewhere.example/{SECRET}/login"}),
        Reply(404, b"{}", {"X-Request-Id": SECRET}),
    ],
)
def test_an_answer_that_quotes_the_token_elsewhere(reply: Reply) -> None:
    """In an item of a bulk answer, in a redirect to a login page, in a header."""
    with connected(reply) as (client, _):
        ask(client, "get_tasks")
        ask(client, "get_task")


@pytest.mark.parametrize("location", ["https://[", "https://h:99999/", "https://h:x/"])
def test_a_redirect_to_what_is_no_url(location: str) -> None:
    """It is an answer that makes no sense, and neither a bare ValueError nor a wrong setting."""
    with connected(Reply(302, b"", {"Location": location})) as (client, _):
        assert isinstance(ask(client, "get_task"), UnexpectedAnswer)


def test_models_are_what_the_client_gives() -> None:
    """The checks above look at models, not at bare dicts that would pass them all."""
    with connected(Reply(body=encoded(ANYTHING))) as (client, _):
        assert isinstance(client.project("o/p"), Project)
        assert isinstance(client.rate_limit(), Document)
