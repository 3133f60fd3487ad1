"""Sends calls to the API: with the token, JSON, retries and the rate budget.

Redirects are followed only within the API's own host, because `requests` would carry the token's
header along to any other. One transport may be used by many threads, and be stopped while they
wait: for an answer, for the next try, or for the rate limit.
"""

from __future__ import annotations

import logging
import math
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin

import requests
import tenacity
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    URLSchemeUnknown,
)

from .answers import Answer, decipher, unexpected
from .budget import Rank, RateBudget, shared_budget
from .call import Call
from .clock import PlatformClock
from .contact import FirstContact
from .credentials import Token
from .endpoint import check_endpoint, origin
from .errors import ConfigurationError, NoAnswer, Unauthorized, UnknownAddress
from .retry import Patience, after_senseless_answers, may_repeat, tried
from .session import Session
from .signed_urls import SignedUrls
from .stop import Stop

logger = logging.getLogger(__name__)

TOKEN_HEADER = "X-SBG-Auth-Token"  # noqa: S105 - the name of a header

_WRONG_PROXY = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    URLSchemeUnknown,
)

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class Transport:
    """Sends calls to one endpoint with one token."""

    def __init__(
        self,
        endpoint: str,
        token: Token,
        *,
        budget: RateBudget | None = None,
        patience: Patience | None = None,
        rank: Rank = Rank.WORK,
    ) -> None:
        """`rank` is that of all calls that are not urgent by themselves."""
        self.endpoint = check_endpoint(endpoint)
        self.budget = budget or shared_budget(self.endpoint, token)
        self.stop = Stop()
        """Once it is set nothing is sent any more: calls and transfers under way end with an error.

        Calls whose effect would then be unknown may still get their answer, within some seconds.
        """
        self.session = Session(patience or Patience(), self.stop)
        self.storage = SignedUrls(self.session)
        self._rank = rank
        self._token = token
        self._contact = FirstContact(self.endpoint)
        self._is_known = False
        """Whether the platform has taken the token before."""
        self._is_refusal_told = False
        self._renewed = -math.inf
        """When the token was another one for the last time; monotonic seconds."""
        self.clock = PlatformClock()
        self._count_lock = threading.Lock()
        self._requests_sent = 0

    def __repr__(self) -> str:
        return f"Transport({self.endpoint!r})"

    @property
    def requests_sent(self) -> int:
        """Requests to the API so far, repetitions included: what the rate limit counts."""
        return self._requests_sent

    @property
    def patience(self) -> Patience:
        """How long to wait and to go on trying."""
        return self.session.patience

    def close(self) -> None:
        """Close all connections."""
        self.session.close()

    def send(self, call: Call, read: Callable[[Call, Answer], Any] = decipher) -> Any:
        """The JSON that answers `call`, or what `read` makes of the answer; raises ApiError.

        A safe call is repeated after a lost connection, 429, 408 and 5xx, and a few times after an
        answer that is no JSON. Any other is repeated only when it surely had no effect: never
        sent, 429, or maintenance. For the rest NoAnswer, ServerError or UnexpectedAnswer tells the
        caller to look up what became of it. A token that was good before may have been renewed.
        """
        self._refuse_to_give_the_token_away(call)
        act, policy = partial(self._attempt, call, read), partial(self._policy, call)
        if self._is_known:
            return tried(act, policy)
        with self._contact.sought(self.patience.total):
            return policy()(act)

    def _policy(self, call: Call) -> tenacity.Retrying:
        senseless, lost = after_senseless_answers(), self._contact.is_hopeless
        retry = tenacity.retry_if_exception(
            lambda error: may_repeat(call, error) or self._may_be_renewed(error)
        )
        return self.patience.retrying(
            retry, self.stop, hopeless=lambda state: senseless(state) or lost(state)
        )

    def _may_be_renewed(self, error: BaseException) -> bool:
        """Whether a new token may follow a refused one; it is used if it is there by now."""
        if not (isinstance(error, Unauthorized) and self._is_known and self._token.is_renewable):
            return False
        if self._token.renew():
            self._renewed = time.monotonic()
            logger.warning("The token was renewed; the new one is used from now on.")
        # Answers to the old one may still come, when it was renewed by another thread.
        elif not self._is_refusal_told and time.monotonic() - self._renewed > self.patience.read:
            self._is_refusal_told = True
            logger.warning(
                "The platform does not take the token any more. If it was renewed, write the new "
                "one to where the old one was found: %s. It is read again before each further try.",
                self._token.place,
            )
        return True

    def _attempt(self, call: Call, read: Callable[[Call, Answer], Any]) -> Any:
        url, params = f"{self.endpoint}{call.path}", call.params
        for _ in range(_MAX_REDIRECTS):
            answer = self._exchange(call, url, params)
            if answer.status not in _REDIRECTS:
                document = self._read(call, answer, read)
                self._is_known = True
                return document
            url, params = self._redirect(call, url, answer), ()
        raise unexpected(call, "too many redirects", answer)

    def _read(self, call: Call, answer: Answer, read: Callable[[Call, Answer], Any]) -> Any:
        """What `read` makes of the answer; its errors also tell what only we know."""
        try:
            return read(call, answer)
        except UnknownAddress as error:
            error.endpoint = self.endpoint
            raise
        except Unauthorized as error:
            error.place = self._token.place
            raise

    def _redirect(self, call: Call, url: str, answer: Answer) -> str:
        location = answer.headers.get("location", "")
        try:
            target = urljoin(url, location)
            is_elsewhere = origin(target) != origin(self.endpoint)
        except (ValueError, ConfigurationError):
            raise unexpected(call, "a redirect to what is no URL", answer) from None
        if call.method != "GET":
            raise unexpected(call, f"a redirect to {target}, which only a GET may follow", answer)
        if is_elsewhere:
            raise unexpected(
                call, f"a redirect to another host, {target}, where the token may not go", answer
            )
        return target

    def _exchange(self, call: Call, url: str, params: tuple[tuple[str, str], ...]) -> Answer:
        """One request and its answer, within the rate budget."""
        self.session.check()
        rank = Rank.URGENT if call.urgent else self._rank
        if not self.budget.acquire(rank, stop=self.stop):
            self.session.check()
        answer: Answer | None = None
        asked, started = datetime.now(UTC), time.monotonic()
        try:
            answer = self._request(call, url, params)
        finally:
            self.budget.release(answer.headers if answer else None)
            seconds = time.monotonic() - started
            status = answer.status if answer else "no answer"
            logger.debug("%s %s: %s in %.3f s", call.method, call.path, status, seconds)
        self.clock.note(answer.headers.get("date"), asked)
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            self.budget.exhausted(answer.headers)
        return answer

    def _request(self, call: Call, url: str, params: tuple[tuple[str, str], ...]) -> Answer:
        headers = {"Accept": "application/json"}
        data = None
        if call.body is not None or call.method in ("POST", "PUT", "PATCH"):
            headers["Content-Type"] = "application/json"
            data = call.content
        with self._count_lock:
            self._requests_sent += 1
        try:
            response = self.session.exchange(
                call.method,
                url,
                params=params,
                data=data,
                headers=headers,
                auth=self._sign,
                spared=not call.safe,
            )
        except _WRONG_PROXY as error:
            raise ConfigurationError(
                f"{self.endpoint}, or the proxy that https_proxy or all_proxy names for it, cannot "
                f"be used ({type(error).__name__}). Correct the address or the variable, or name "
                "the host in no_proxy; a SOCKS proxy takes pip install 'requests[socks]'."
            ) from None
        except requests.RequestException as error:
            if call.safe:
                self.session.check()
            # The cause is not chained: its text holds the whole URL and its request the token.
            failure = no_answer(call, error, self.endpoint, self.session.proxy_for(self.endpoint))
            self._contact.fail(failure)
            raise failure from None
        except ValueError:  # `requests` reads the target of a redirect, followed or not
            raise unexpected(call, "a redirect to what is no URL") from None
        self._contact.make()
        return self._answer(response)

    def _sign(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Add the token: only here, so that no local variable of ours holds it.

        Crash reporters print the local variables of all frames.
        """
        request.headers[TOKEN_HEADER] = self._token.reveal()
        return request

    def _answer(self, response: requests.Response) -> Answer:
        """The answer without the token: a gateway may quote the request, in headers as well."""
        cut = self._token.cut_from
        headers = {key.lower(): cut(value) for key, value in response.headers.items()}
        return Answer(response.status_code, headers, cut(response.content))

    def _refuse_to_give_the_token_away(self, call: Call) -> None:
        """Members of the project read what is sent: tasks, apps, names, metadata."""
        address = " ".join([call.path, *(word for pair in call.params for word in pair)])
        if self._token.is_in(address.encode("utf-8", "surrogatepass") + b" " + call.content):
            raise ConfigurationError(
                f"{call.method} {self._token.cut_from(call.path)} would hold the API token, and "
                "every member of the project could read it. Take the token out of the workflow: "
                "its commands, config, precommand, container, resources and names."
            )


def no_answer(
    call: Call, error: requests.RequestException, endpoint: str, proxy: str | None
) -> NoAnswer:
    """What a failure of `requests` means for `call`; `proxy` is its address, to be shown.

    Of its text only what the system says: the rest has whole URLs, and maybe passwords of proxies.
    """
    cause = error.args[0] if error.args else None
    cause = cause.reason if isinstance(cause, MaxRetryError) else error
    why, sent, lasting = f"({type(error).__name__})", True, False
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        # Lasting, but not final: captive portals and VPNs come and go during a run.
        why, sent, lasting = _UNVERIFIED, False, True
    elif _NO_TLS.search(str(error)):
        why, sent, lasting = (
            "there is no TLS, or none that is known here, at that port",
            False,
            True,
        )
    elif isinstance(error, requests.exceptions.ProxyError):
        why, sent = _of_the_proxy(cause, f"its proxy {proxy}"), False
    elif isinstance(cause, NameResolutionError):
        why, sent, lasting = "its name does not resolve", False, True
    elif isinstance(error, requests.ConnectTimeout) or isinstance(cause, NewConnectionError):
        why, sent = _of_the_system(cause) or "there is no connection in time", False
    message = f"the connection was lost or timed out {why}"
    return NoAnswer(
        message if sent else f"{endpoint} cannot be reached: {why}",
        sent=sent,
        lasting=lasting,
        method=call.method,
        path=call.path,
    )


_UNVERIFIED = (
    "its certificate cannot be verified (let REQUESTS_CA_BUNDLE point at your organisation's own, "
    "if it has some)"
)
_NO_TLS = re.compile(
    r"WRONG_VERSION_NUMBER|UNKNOWN_PROTOCOL|HANDSHAKE_FAILURE|RECORD_LAYER_FAILURE"
)


def _of_the_proxy(failure: BaseException | None, proxy: str) -> str:
    """Whether it is not there, or refuses to connect us."""
    cause = failure.original_error if isinstance(failure, ProxyError) else None
    if isinstance(cause, NameResolutionError):
        return f"the name of {proxy} does not resolve"
    if isinstance(cause, ConnectTimeoutError):  # NewConnectionError is one, too
        return f"{proxy} cannot be reached ({_of_the_system(cause) or 'no connection in time'})"
    return f"{proxy} does not let us through"


def _of_the_system(error: BaseException | None) -> str | None:
    cause = error.__cause__ if error else None
    return cause.strerror if isinstance(cause, OSError) else None
