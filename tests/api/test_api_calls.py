"""Requests and answers, without any network."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from snakemake_executor_cavatica.api import calls
from snakemake_executor_cavatica.api.answers import (
    Answer,
    decipher,
    parse,
    parse_bulk,
    parse_bulk_outcome,
    parse_page,
    rate_headers,
)
from snakemake_executor_cavatica.api.call import Call, chunks, chunks_for_url, with_id
from snakemake_executor_cavatica.api.drafts import TaskDraft
from snakemake_executor_cavatica.api.errors import (
    BadRequest,
    ConfigurationError,
    Conflict,
    NoAnswer,
    NotFound,
    ServerError,
    UnexpectedAnswer,
    api_error,
)
from snakemake_executor_cavatica.api.models import PartUrl, Task
from snakemake_executor_cavatica.api.retry import may_repeat

ENDPOINT = "https://host.example/v2"
DRAFT = TaskDraft(project="o/p", app="o/p/a")


@pytest.mark.parametrize(
    ("call", "method", "path", "params", "body"),
    [
        (calls.user(), "GET", "/user", {}, None),
        (calls.projects(), "GET", "/projects", {"limit": "100", "fields": "id,name"}, None),
        (calls.project("o/p"), "GET", "/projects/o/p", {}, None),
        (calls.create_task(DRAFT), "POST", "/tasks", {}, DRAFT.to_body()),
        (
            calls.run_task("t", batch=False, fields="status"),
            "POST",
            "/tasks/t/actions/run",
            {"batch": "false", "fields": "id,status"},
            None,
        ),
        (calls.abort_task("t"), "POST", "/tasks/t/actions/abort", {}, None),
        (
            calls.get_tasks(["a", "b"], fields="_all"),
            "POST",
            "/bulk/tasks/get",
            {"fields": "_all"},
            {"task_ids": ["a", "b"]},
        ),
        (calls.get_file("a/b"), "GET", "/files/a%2Fb", {}, None),
        (calls.delete_task("t"), "DELETE", "/tasks/t", {}, None),
        (calls.execution_details("t"), "GET", "/tasks/t/execution_details", {}, None),
        (
            calls.create_folder("d", parent="f"),
            "POST",
            "/files",
            {},
            {"name": "d", "type": "folder", "parent": "f"},
        ),
        (
            calls.copy_file("f", project="o/p", name="n"),
            "POST",
            "/files/f/actions/copy",
            {},
            {"project": "o/p", "name": "n"},
        ),
        (calls.update_metadata("f", {"k": 1}), "PATCH", "/files/f/metadata", {}, {"k": 1}),
        (calls.delete_files(["f"]), "POST", "/bulk/files/delete", {}, {"file_ids": ["f"]}),
        (
            calls.edit_files([{"id": "f", "name": "n"}]),
            "POST",
            "/bulk/files/edit",
            {},
            {"items": [{"id": "f", "name": "n"}]},
        ),
        (
            calls.start_async("delete", [{"file": "f"}]),
            "POST",
            "/async/files/delete",
            {},
            {"items": [{"file": "f"}]},
        ),
        (calls.async_job("move", "j"), "GET", "/async/files/move/j", {}, None),
        (
            calls.start_upload("n", 5, project="o/p", part_size=3, md5="m", overwrite=True),
            "POST",
            "/upload/multipart",
            {"overwrite": "true"},
            {"name": "n", "size": 5, "project": "o/p", "part_size": 3, "md5": "m"},
        ),
        (
            calls.report_parts("u", {2: {"ETag": "e"}}),
            "POST",
            "/upload/multipart/u",
            {},
            {"parts": [{"part_number": 2, "response": {"headers": {"ETag": "e"}}}]},
        ),
        (
            calls.complete_upload("u", {2: {"ETag": "f"}, 1: {"ETag": "e"}}),
            "POST",
            "/upload/multipart/u/complete",
            {},
            {
                "parts": [
                    {"part_number": 1, "response": {"headers": {"ETag": "e"}}},
                    {"part_number": 2, "response": {"headers": {"ETag": "f"}}},
                ]
            },
        ),
        (calls.get_app_raw("o/p/a"), "GET", "/apps/o/p/a/raw", {}, None),
        (calls.install_app("o/p/a", {"x": 1}), "POST", "/apps/o/p/a/raw", {}, {"x": 1}),
        (calls.revise_app("o/p/a", 1, {"x": 1}), "POST", "/apps/o/p/a/1/raw", {}, {"x": 1}),
    ],
)
def test_request(call: Call, method: str, path: str, params: dict[str, str], body: Any) -> None:
    assert (call.method, call.path, dict(call.params), call.body) == (method, path, params, body)


def test_listing_files_asks_for_what_a_file_needs() -> None:
    call = calls.list_files(parent="d", names=["a b", "c"])
    assert call.params == (
        ("parent", "d"),
        ("name", "a b"),
        ("name", "c"),
        ("fields", "id,name,size,type,parent,project,created_on,modified_on,origin,metadata"),
        ("limit", "100"),
    )


def test_listing_tasks() -> None:
    moment = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
    call = calls.list_tasks(project="o/p", status="DRAFT", created_from=moment)
    assert dict(call.params) == {
        "project": "o/p",
        "status": "DRAFT",
        "created_from": "2024-01-02T03:04:05Z",
        # Without an order, pages may repeat or miss tasks.
        "order_by": "created_time",
        "order": "asc",
        "fields": "_all",
        "limit": "100",
    }


@pytest.mark.parametrize("bad", ["", ".", ".."])
def test_an_id_never_turns_into_another_path(bad: str) -> None:
    """Nor into a traceback: ids come from command lines, too."""
    with pytest.raises(ConfigurationError, match="is not an id"):
        calls.get_file(bad)
    with pytest.raises(ConfigurationError, match="is not an id"):
        calls.project(f"o/{bad}")


@pytest.mark.parametrize("place", [{}, {"project": "o/p", "parent": "d"}])
def test_exactly_one_place(place: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="either a project or a parent"):
        calls.list_files(**place)  # type: ignore[arg-type]


def test_chunks() -> None:
    ids = [str(n) for n in range(250)]
    assert [len(chunk) for chunk in chunks([*ids, "0"])] == [100, 100, 50]
    assert chunks([]) == []
    names = [f"{'x' * 200}{n}" for n in range(100)]
    lists = chunks_for_url(names)
    assert [name for chunk in lists for name in chunk] == names
    assert all(sum(len(name) + 6 for name in chunk) <= 4000 for chunk in lists)
    assert chunks_for_url(["é" * 2000]) == [["é" * 2000]]


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        (None, None),
        ("_all", "_all"),
        ("!raw", "!raw"),
        ("status", "id,status"),
        ("id,x", "id,x"),
        ("status,!inputs", "id,status,!inputs"),
    ],
)
def test_fields_include_the_id(fields: str | None, sent: str | None) -> None:
    assert with_id(fields) == sent


# ------------------------------------------------------------------ when to repeat

ONCE = calls.create_task(DRAFT)
SAFE = calls.project("o/p")


@pytest.mark.parametrize(
    ("error", "once", "safe"),
    [
        (api_error({"code": 1000}, status=429), True, True),
        (api_error({"code": 0}, status=503), True, True),
        (api_error({"code": 7000}, status=503), False, True),
        (api_error({}, status=500), False, True),
        (api_error({}, status=501), False, False),
        (api_error({}, status=408), False, True),
        (api_error({"code": 8008}, status=409), True, True),
        (api_error({"code": 5003}, status=409), False, False),
        (api_error({}, status=400), False, False),
        (api_error({}, status=401), False, False),
        (NoAnswer("x", sent=False), True, True),
        (NoAnswer("x", sent=True), False, True),
        (UnexpectedAnswer("x"), False, False),
        (UnexpectedAnswer("x", status=200), False, True),
        (UnexpectedAnswer("x", status=404), False, True),
        (UnexpectedAnswer("x", status=302), False, False),
        (KeyboardInterrupt(), False, False),
    ],
)
def test_when_to_repeat(error: BaseException, once: bool, safe: bool) -> None:
    assert (may_repeat(ONCE, error), may_repeat(SAFE, error)) == (once, safe)


# ------------------------------------------------------------------ answers


def test_deciphering() -> None:
    assert decipher(SAFE, Answer(200, {}, b'{"a": 1}')) == {"a": 1}
    assert decipher(SAFE, Answer(204)) is None
    with pytest.raises(UnexpectedAnswer, match="not JSON"):
        decipher(SAFE, Answer(200, {}, b"<html>"))
    with pytest.raises(ServerError, match="no reason") as caught:
        decipher(SAFE, Answer(502, {"x-request-id": "r"}, b"<html>"))
    assert caught.value.request_id == "r"
    with pytest.raises(NotFound):
        decipher(SAFE, Answer(404, {}, b'["odd"]'))


def test_wrong_shape_does_not_show_values() -> None:
    with pytest.raises(UnexpectedAnswer, match="not a PartUrl: url") as caught:
        parse(SAFE, PartUrl, {"url": ["https://s/x?signature=1"]})
    assert "signature" not in str(caught.value)
    with pytest.raises(UnexpectedAnswer, match="not a Task"):
        parse(SAFE, Task, None)


def test_bulk_items_by_position() -> None:
    document = {
        "items": [
            {"resource": {"id": "a", "status": "RUNNING"}},
            {"error": {"status": 404, "code": 7002, "message": "gone"}},
        ]
    }
    found = parse_bulk(SAFE, Task, ["a", "b"], document)
    assert isinstance(found["a"], Task)
    assert isinstance(found["b"], NotFound)
    outcome = parse_bulk_outcome(
        SAFE, ["a", "b"], {"items": [{"resource": None}, {"error": {"status": 409}}]}
    )
    assert outcome["a"] is None
    assert isinstance(outcome["b"], Conflict)


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"items": []},
        {"items": [{"resource": {"id": "b"}}, {"resource": {"id": "a"}}]},
    ],
)
def test_bulk_answers_that_cannot_be_matched(document: Any) -> None:
    with pytest.raises(UnexpectedAnswer):
        parse_bulk(SAFE, Task, ["a", "b"], document)


@pytest.mark.parametrize("odd", [{"resource": None}, {"resource": {"id": ""}}, {"error": "no"}, 7])
def test_an_odd_item_of_a_bulk_answer_costs_only_itself(odd: Any) -> None:
    """One damaged document must not hide what has become of all other tasks."""
    found = parse_bulk(SAFE, Task, ["a", "b"], {"items": [odd, {"resource": {"id": "b"}}]})
    assert isinstance(found["a"], UnexpectedAnswer)
    assert isinstance(found["b"], Task)


@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize("body", [b"[" * 100_000, b"[" * 500 + b"]" * 500, b'{"a":' * 9999])
def test_an_answer_that_is_nested_too_deeply(status: int, body: bytes) -> None:
    """Whatever walks through an answer must not run out of stack."""
    with pytest.raises((UnexpectedAnswer, ServerError)):
        decipher(SAFE, Answer(status, {}, body))


def test_half_a_character_is_replaced() -> None:
    """It could not be printed, stored or sent: each would end in a bare UnicodeEncodeError."""
    assert decipher(SAFE, Answer(200, {}, b'{"a\\uD800": ["x\\udfff", 1]}')) == {
        "a\ufffd": ["x\ufffd", 1]
    }
    assert decipher(SAFE, Answer(200, {}, b'["\\ud83d\\ude00"]')) == ["\U0001f600"]
    with pytest.raises(BadRequest) as caught:
        decipher(SAFE, Answer(400, {}, b'{"message": "\\ud800"}'))
    assert str(caught.value).encode()


@pytest.mark.parametrize("reset", ["9" * 400, "-" + "9" * 400])
def test_rate_headers_beyond_all_reason_are_ignored(reset: str) -> None:
    """Arithmetic of such a time with a clock's would raise OverflowError."""
    assert rate_headers({"x-ratelimit-remaining": "1", "x-ratelimit-reset": reset}) is None


LIST = calls.list_tasks(project="o/p")


def page(href: str | None, *, count: int = 100) -> Call | None:
    links = [{"rel": "prev", "href": "x"}, {"rel": "next", "href": href}] if href else []
    return parse_page(LIST, ENDPOINT, {"items": [{}] * count, "links": links}).next


def test_next_link_is_followed() -> None:
    following = page(f"{ENDPOINT}/tasks?offset=100&limit=100&name=a%20b")
    assert following is not None
    assert following.path == "/tasks"
    assert dict(following.params) == {"offset": "100", "limit": "100", "name": "a b"}
    assert following.safe
    relative = page("/v2/tasks?offset=7")
    assert relative is not None
    assert dict(relative.params) == {"offset": "7"}


@pytest.mark.parametrize(
    "href",
    [
        "https://evil.example/v2/tasks?offset=5",
        "http://host.example/v2/tasks?offset=5",
        "https://host.example:8443/v2/tasks?offset=5",
        "https://host.example/elsewhere?offset=5",
        "https://host.example@evil.example/v2/tasks",
        "https://[/v2",
        "/v2/tasks?offset=\ud800",
    ],
)
def test_a_link_to_elsewhere_is_replaced_by_an_offset(href: str) -> None:
    following = page(href, count=100)
    assert following is not None
    assert following.path == "/tasks"
    assert following.params == (*LIST.params, ("offset", "100"))


def test_the_last_page() -> None:
    assert page(None) is None
    assert page(f"{ENDPOINT}/tasks?offset=100", count=0) is None
    with pytest.raises(UnexpectedAnswer, match="no list of items"):
        parse_page(LIST, ENDPOINT, {"items": None})


def test_bad_request_keeps_its_code() -> None:
    with pytest.raises(BadRequest, match="open the draft") as caught:
        decipher(ONCE, Answer(400, {}, b'{"code": 7024, "message": "invalid"}'))
    assert caught.value.code == 7024
