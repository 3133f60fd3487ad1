"""What an answer of the platform means, deciphered without any network."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urljoin, urlsplit

from pydantic import BaseModel, ValidationError

from .call import Call
from .endpoint import origin
from .errors import ApiError, ConfigurationError, UnexpectedAnswer, api_error, as_int, item_error
from .models import BulkItem

Model = TypeVar("Model", bound=BaseModel)

_NO_JSON = (
    "the answer is not JSON of a sane form: it may be that of web pages, a proxy or another server"
)

# CWL documents nest some ten levels deep; what walks through an answer must not run out of stack.
_DEEPEST = 100

_HALF_A_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")

# Far beyond every time and count of a real platform; arithmetic with floats fails beyond 10^308.
_LARGEST_RATE = 2**63


@dataclass(frozen=True)
class Answer:
    """One answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True)
class RateHeaders:
    """What the X-RateLimit headers say; `reset` is Unix seconds by the server's clock."""

    limit: int | None
    remaining: int
    reset: int


def rate_headers(headers: Mapping[str, str]) -> RateHeaders | None:
    """The documented rate limit headers, or None if the answer has none of use."""
    remaining = as_int(headers.get("x-ratelimit-remaining"))
    reset = as_int(headers.get("x-ratelimit-reset"))
    limit = as_int(headers.get("x-ratelimit-limit"))
    if remaining is None or reset is None or (limit is not None and limit < 0):
        return None  # the platform writes -1 for "no limit" elsewhere
    if max(abs(remaining), abs(reset), limit or 0) > _LARGEST_RATE:
        return None
    return RateHeaders(limit, remaining, reset)


def decipher(call: Call, answer: Answer) -> Any:
    """The JSON of a good answer (None for an empty one), or an ApiError.

    200 to 204 are successes (seen in the provider's client); redirects are the transport's matter.
    """
    try:
        document = read_json(answer.body) if answer.body.strip() else None
    except ValueError:
        document = None
        if answer.status < 300:  # noqa: PLR2004 - HTTP's own number
            raise unexpected(call, _NO_JSON, answer) from None
    if 200 <= answer.status < 300:  # noqa: PLR2004
        return document
    if answer.status == 404 and answer.body and document is None:  # noqa: PLR2004
        raise unexpected(call, _NO_JSON, answer)  # whoever says so does not know our files
    envelope = document if isinstance(document, dict) else {}
    raise api_error(
        envelope,
        status=answer.status,
        request_id=answer.headers.get("x-request-id"),
        method=call.method,
        path=call.path,
    )


def read_json(body: bytes) -> Any:
    """The JSON in `body`, with nothing in it that would end who walks through it or tells of it.

    Raises:
        ValueError: it is something else.
    """
    try:
        document = json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not _is_shallow(document):
        raise ValueError("nested too deeply")
    if _HALF_A_CHARACTER.search(body):
        # A lone half of a surrogate pair can neither be printed nor sent nor be a file's name.
        text = json.dumps(document, ensure_ascii=False)
        document = json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    return document


def _is_shallow(document: object) -> bool:
    """Whether the document is at most `_DEEPEST` levels deep."""
    level = [document]
    for _ in range(_DEEPEST):
        level = [
            member
            for value in level
            if isinstance(value, dict | list)
            for member in (value.values() if isinstance(value, dict) else value)
        ]
        if not level:
            return True
    return False


def unexpected(call: Call, reason: str, answer: Answer | None = None) -> UnexpectedAnswer:
    """The error for an answer that makes no sense."""
    return UnexpectedAnswer(
        reason,
        status=answer.status if answer else None,
        request_id=answer.headers.get("x-request-id") if answer else None,
        method=call.method,
        path=call.path,
    )


def parse(call: Call, model: type[Model], document: object) -> Model:
    """`document` as a `model`; UnexpectedAnswer if it lacks what the model cannot do without."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _bad_shape(call, model.__name__, error) from None


def parse_bulk(
    call: Call, model: type[Model], ids: Sequence[str], document: object
) -> dict[str, Model | ApiError]:
    """The items of a bulk answer by the ids that were asked for.

    An error item carries no id, so items are matched by position (seen in the provider's client);
    a resource that names another id shows that the positions cannot be trusted. An item of the
    wrong shape is an error of that item: it must not cost the others their answers.
    """
    results: dict[str, Model | ApiError] = {}
    for wanted, item in _bulk_pairs(call, ids, document):
        if isinstance(item, ApiError):
            results[wanted] = item
            continue
        try:
            results[wanted] = resource = parse(call, model, item.resource)
        except UnexpectedAnswer as error:
            results[wanted] = error
            continue
        if getattr(resource, "id", wanted) != wanted:
            raise unexpected(
                call, "the items of the bulk answer are not in the order of the request"
            )
    return results


def parse_bulk_outcome(
    call: Call, ids: Sequence[str], document: object
) -> dict[str, ApiError | None]:
    """Like `parse_bulk` for calls whose items only succeed or fail."""
    return {
        wanted: item if isinstance(item, ApiError) else None
        for wanted, item in _bulk_pairs(call, ids, document)
    }


@dataclass(frozen=True)
class Page:
    """One page of a listing, and the call for the page after it."""

    items: list[Any]
    next: Call | None
    total: int | None = None
    """Items of the whole listing, if that is known."""


def parse_page(call: Call, endpoint: str, document: object) -> Page:
    """A page of a listing (documented shape: `items` and `links`)."""
    if not isinstance(document, dict) or not isinstance(document.get("items"), list):
        raise unexpected(call, "the listing has no list of items")
    items = document["items"]
    href = _next_href(document.get("links"))
    if href is None or not items:
        return Page(items, None)
    return Page(items, _follow(call, endpoint, href, len(items)))


def _next_href(links: object) -> str | None:
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("rel") == "next":
            href = link.get("href")
            return href if isinstance(href, str) and href else None
    return None


def _follow(call: Call, endpoint: str, href: str, seen: int) -> Call:
    """The call for the next page: the link's if it stays at this endpoint, else by offset.

    A link to elsewhere is never followed, since the token would go along. It can be harmless (a
    proxy, or another name of the same host), so the listing goes on where we are.
    """
    target = _within(endpoint, call, href)
    if target is not None and target != call:
        return target
    offset = next((as_int(value) or 0 for key, value in call.params if key == "offset"), 0)
    return call.at(offset + seen)


def _within(endpoint: str, call: Call, href: str) -> Call | None:
    """`href` as a call to this endpoint, or None if it leads elsewhere or nowhere."""
    try:
        url = urljoin(f"{endpoint}{call.path}", href)
        url.encode()  # half a character could not be sent
        here = origin(url) == origin(endpoint)
    except (ValueError, ConfigurationError):
        return None
    prefix = urlsplit(endpoint).path
    parts = urlsplit(url)
    if not here or not parts.path.startswith(f"{prefix}/"):
        return None
    query = tuple(parse_qsl(parts.query, keep_blank_values=True))
    return Call(call.method, parts.path.removeprefix(prefix), query, safe=True)


def _bulk_pairs(
    call: Call, ids: Sequence[str], document: object
) -> list[tuple[str, BulkItem | ApiError]]:
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, list) or len(items) != len(ids):
        raise unexpected(
            call, f"the bulk answer does not have one item for each of the {len(ids)} ids"
        )
    return [(wanted, _bulk_item(call, item)) for wanted, item in zip(ids, items, strict=True)]


def _bulk_item(call: Call, document: object) -> BulkItem | ApiError:
    """One item, or the error that it tells or is."""
    try:
        item = parse(call, BulkItem, document)
    except UnexpectedAnswer as error:
        return error
    if item.error is not None:
        return item_error(item.error, method=call.method, path=call.path)
    return item


def _bad_shape(call: Call, name: str, error: ValidationError) -> UnexpectedAnswer:
    # Only where and what kind: the values themselves may be signed URLs.
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the document"
    return unexpected(call, f"the answer is not a {name}: {where}: {first['msg']}")
