"""Everything that can go wrong between this machine and the platform, as one tree.

CavaticaError
├── ConfigurationError        the settings or credentials cannot work; nothing was sent
├── TransferError             the bytes of a file did not arrive whole
│   └── StorageError          the storage behind a signed URL failed
├── Stopped                   nothing is sent any more, because the run is being cancelled
└── ApiError                  a call to the API did not give what was asked for
    ├── BadRequest            400 and the 4xx that have no class of their own
    ├── Unauthorized          401
    ├── Forbidden             403
    ├── NotFound              404
    │   └── UnknownAddress    404 without a code: it may be no API at all
    ├── Conflict              409
    ├── RateLimited           429
    ├── ServerError           5xx
    │   └── Maintenance       503 with platform code 0
    ├── NoAnswer              connection lost or timed out; `sent` tells whether it may have worked
    └── UnexpectedAnswer      an answer that is not JSON or has the wrong shape

No error holds the token, the query of a URL, or a signed URL as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

_QUERY_OF_A_URL = re.compile(r"(https?://[^\s?\"'<>]+)\?[^\s\"'<>]*")
_MAX_MESSAGE = 600

# Platform codes (documented by the provider) whose cure is not obvious from the message.
_ADVICE_BY_CODE = {
    5002: "the file was deleted, or the token's owner cannot see its project",
    5021: "empty the folder first or use an asynchronous delete job",
    6002: "check the app's id and revision, and that the project is visible to the token's owner",
    7024: "open the draft on the platform to see which input is missing or wrong",
}
_ADVICE_BY_STATUS = {
    401: (
        "check that SNAKEMAKE_CAVATICA_TOKEN (or the file of SNAKEMAKE_CAVATICA_TOKEN_FILE, or "
        "SB_AUTH_TOKEN, or auth_token in ~/.sevenbridges/credentials) holds a current token of "
        "this very platform"
    ),
    403: "ask an administrator of the project for write, copy and execute permission",
    404: "check the id for a typo, and that the token's owner is a member of the project",
    429: "other tools use the same token: wait five minutes or start fewer of them at once",
    503: "the platform is not available at the moment: try again later",
}


CHECK_ADDRESS = (
    "check the address (--cavatica-api-endpoint, --api-endpoint, SB_API_ENDPOINT), the network and "
    "the proxy (https_proxy)"
)


class CavaticaError(Exception):
    """Base of all errors that this package raises on purpose."""


class ConfigurationError(CavaticaError):
    """The settings or credentials cannot work; the message says what to do next."""


class Stopped(CavaticaError):
    """Nothing is sent any more, because the run is being cancelled."""


class TransferError(CavaticaError):
    """A file's content did not arrive whole, or a job that moves files did not end well."""


class StorageError(TransferError):
    """The storage behind a signed URL failed, or gave something else than was asked for.

    Some failures can pass by themselves. Others are `lasting`: a fresh URL may be the cure (403
    often means that it has expired), but if it is not, then waiting is neither.
    """

    def __init__(
        self, message: str, *, status: int | None = None, lasting: bool | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.lasting = _is_refusal(status) if lasting is None else lasting


def _is_refusal(status: int | None) -> bool:
    passing = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
    return status is not None and 400 <= status < 500 and status not in passing  # noqa: PLR2004


class ApiError(CavaticaError):
    """A call to the API failed.

    `status` is the HTTP status, `code` the platform's own code, `request_id` the answer's
    X-Request-Id; each is None where the platform gave none. `path` has no query.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: int | None = None,
        request_id: str | None = None,
        method: str = "",
        path: str = "",
    ) -> None:
        self.message = without_queries(message)
        # Only the message goes to `args`: that keeps the errors copyable.
        super().__init__(self.message)
        self.status = status
        self.code = code
        self.request_id = request_id
        self.method = method
        self.path = path.partition("?")[0]

    def __str__(self) -> str:
        where = f"{self.method} {self.path}: " if self.path else ""
        facts = [
            f"{label} {value}"
            for label, value in (
                ("HTTP", self.status),
                ("code", self.code),
                ("request id", self.request_id),
            )
            if value is not None
        ]
        bracket = f" [{', '.join(facts)}]" if facts else ""
        advice = self.advice
        return f"{where}{self.message.rstrip('. ')}{bracket}" + (f"; {advice}" if advice else "")

    @property
    def advice(self) -> str | None:
        """What to do next, for the failures that users meet most."""
        by_code = _ADVICE_BY_CODE.get(self.code) if self.code is not None else None
        by_status = _ADVICE_BY_STATUS.get(self.status) if self.status is not None else None
        return by_code or by_status


class BadRequest(ApiError):
    """400, or another 4xx without a class of its own."""


class Unauthorized(ApiError):
    """401: the token is missing, wrong or expired.

    `place` is where the token was found; it is empty if nobody knows.
    """

    place = ""

    @property
    def advice(self) -> str | None:
        """Which token to look at."""
        if not self.place:
            return super().advice
        return f"check that the token from {self.place} is a current one of this very platform"


class Forbidden(ApiError):
    """403: the token's owner may not do this, or the object's state forbids it."""


class NotFound(ApiError):
    """404."""


class UnknownAddress(NotFound):
    """404 without a code, as all other servers give it, and the platform for what is no API.

    `endpoint` is where the call went; it is empty for an item of an answer, which an API gave.
    """

    endpoint = ""

    @property
    def advice(self) -> str | None:
        """That the address may be wrong, rather than an id or a membership."""
        if not self.endpoint:
            return super().advice
        form = "" if self.endpoint.endswith("/v2") else ", which ends with /v2"
        return (
            f"{self.endpoint} is probably not the address of a platform's API{form}, as this "
            "answer has no code of a platform; check --cavatica-api-endpoint, --api-endpoint, "
            "SB_API_ENDPOINT, or api_endpoint in ~/.sevenbridges/credentials"
        )


class Conflict(ApiError):
    """409: the name or revision exists already."""


class RateLimited(ApiError):
    """429: the token's requests of the current five minutes are used up."""


class ServerError(ApiError):
    """5xx."""


class Maintenance(ServerError):
    """503 with platform code 0: nothing was done, and nothing will be until it is over."""


class NoAnswer(ApiError):
    """No answer came. For a call that is not idempotent the outcome is then unknown.

    `sent` is False only if the request surely never reached the server; `lasting` is what seldom
    passes by itself, such as a name that does not resolve.
    """

    def __init__(
        self,
        message: str,
        *,
        sent: bool = True,
        lasting: bool = False,
        method: str = "",
        path: str = "",
    ) -> None:
        super().__init__(message, method=method, path=path)
        self.sent = sent
        self.lasting = lasting

    @property
    def advice(self) -> str | None:
        """What to check, if the platform was not there at all."""
        return None if self.sent else CHECK_ADDRESS


class UnexpectedAnswer(ApiError):
    """The answer is not JSON, or not of the shape that the call is documented to give."""


_CLASS_BY_STATUS: dict[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    429: RateLimited,
}


def api_error(
    envelope: Mapping[str, Any],
    *,
    status: int,
    request_id: str | None = None,
    method: str = "",
    path: str = "",
) -> ApiError:
    """The error for a failed call, from the HTTP status and the platform's error envelope.

    Documented envelope: `status`, `code`, `message`, `more_info`. A gateway was seen to answer with
    a textual `status` and no code, so the HTTP status decides and the envelope only refines.
    """
    code = as_int(envelope.get("code"))
    message = str(envelope.get("message") or "the platform gave no reason")
    return _class_for(status, code)(
        message, status=status, code=code, request_id=request_id, method=method, path=path
    )


def item_error(envelope: Mapping[str, Any], *, method: str, path: str) -> ApiError:
    """The error of one item in a bulk answer, whose HTTP status stands in the envelope."""
    status = as_int(envelope.get("status")) or 500
    return api_error(envelope, status=status, method=method, path=path)


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What could move the cursor of a terminal, or change its colours."""


def without_queries(text: str) -> str:
    """`text` with the query of every URL cut off (there sit the signatures), and not too long.

    Without control characters, too: it comes from elsewhere and goes to a terminal.
    """
    clean = _CONTROL.sub("?", _QUERY_OF_A_URL.sub(r"\1?…", text))
    return clean if len(clean) <= _MAX_MESSAGE else clean[: _MAX_MESSAGE - 1] + "…"


def as_int(value: object) -> int | None:
    """`value` as an int if it is one, quoted or not."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def _class_for(status: int, code: int | None) -> type[ApiError]:
    if status == 503 and code == 0:  # noqa: PLR2004 - HTTP's own number
        return Maintenance
    if status == 404 and code is None:  # noqa: PLR2004
        return UnknownAddress
    if status >= 500:  # noqa: PLR2004
        return ServerError
    return _CLASS_BY_STATUS.get(status, BadRequest)
