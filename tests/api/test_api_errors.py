from __future__ import annotations

import copy
import pickle

import pytest

from snakemake_executor_cavatica.api import errors
from snakemake_executor_cavatica.api.errors import (
    ApiError,
    BadRequest,
    CavaticaError,
    Conflict,
    Forbidden,
    Maintenance,
    NoAnswer,
    NotFound,
    RateLimited,
    ServerError,
    Unauthorized,
    UnexpectedAnswer,
    api_error,
    item_error,
)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, 7024, BadRequest),
        (401, 90001, Unauthorized),
        (403, 7007, Forbidden),
        (404, 5002, NotFound),
        (405, 90006, BadRequest),
        (409, 5003, Conflict),
        (429, 1000, RateLimited),
        (500, 90009, ServerError),
        (503, 0, Maintenance),
        (503, 7000, ServerError),
        (503, None, ServerError),
    ],
)
def test_class_by_status(status: int, code: int | None, kind: type[ApiError]) -> None:
    error = api_error({"code": code, "message": "m"}, status=status)
    assert type(error) is kind
    assert (error.status, error.code, error.message) == (status, code, "m")


def test_one_sentence_with_the_facts_in_brackets() -> None:
    error = api_error(
        {"status": 409, "code": 5003, "message": "File exists."},
        status=409,
        request_id="r1",
        method="POST",
        path="/files?x=1",
    )
    assert str(error) == "POST /files: File exists [HTTP 409, code 5003, request id r1]"


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
def test_common_failures_say_what_to_do(status: int) -> None:
    assert "; " in str(api_error({"message": "m"}, status=status))
    assert "SNAKEMAKE_CAVATICA_TOKEN" in str(api_error({}, status=401))


def test_gateway_envelope_without_code_and_with_textual_status() -> None:
    error = api_error({"status": "NOT_FOUND", "message": "HTTP 404 Not Found"}, status=404)
    assert isinstance(error, NotFound)
    assert error.code is None


def test_an_item_that_is_not_there_says_nothing_of_the_address() -> None:
    """Protects from the search for another address: an API has given the answer around it."""
    error = item_error({"status": 404, "message": "m"}, method="POST", path="/b")
    assert "check the id" in str(error)


def test_item_errors_take_their_status_from_the_envelope() -> None:
    error = item_error({"status": "404", "code": 5002, "message": "m"}, method="POST", path="/b")
    assert isinstance(error, NotFound)
    assert isinstance(item_error({}, method="POST", path="/b"), ServerError)


def test_signed_urls_are_cut() -> None:
    error = ApiError("failed at https://store/key?X-Amz-Signature=abc and more")
    assert str(error) == "failed at https://store/key?… and more"
    assert len(ApiError("x" * 10_000).message) <= 600


def test_no_form_of_an_error_holds_a_signature() -> None:
    """Protects those who log `repr(error)`, and what crash reporters keep of `args`."""
    text = "no such host: https://s3.example/x?X-Amz-Signature=secret"
    for error in (ApiError(text), NoAnswer(text), api_error({"message": text}, status=400)):
        assert "secret" not in f"{error!r} {error.args} {error}"
        assert str(copy.copy(error)) == str(error)


def test_errors_can_be_copied_and_pickled() -> None:
    for error in (NoAnswer("lost", sent=False, method="GET", path="/x"), UnexpectedAnswer("odd")):
        for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
            assert type(twin) is type(error)
            assert str(twin) == str(error)
    assert pickle.loads(pickle.dumps(NoAnswer("lost", sent=False))).sent is False


def test_the_docstring_draws_every_class() -> None:
    tree = errors.__doc__ or ""
    for name, member in vars(errors).items():
        if isinstance(member, type) and issubclass(member, CavaticaError):
            assert name in tree
