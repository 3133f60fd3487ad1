"""The only place that speaks HTTP.

To the API: the token, JSON, retries and the rate budget. To the storage behind signed URLs: no
token, no JSON. Redirects are followed only within the API's own host, because `requests` would
carry the token's header along to any other. One transport may be used by many threads, and be
stopped while they wait: for an answer, for the next try, or for the rate limit.
"""

from __future__ import annotations

import json
import logging
import platform
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urljoin, urlsplit
from weakref import WeakKeyDictionary

import requests
import tenacity
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    URLSchemeUnknown,
)

from .answers import Answer, decipher, parse_page, unexpected
from .budget import Rank, RateBudget, shared_budget
from .calls import Call
from .contact import FirstContact
from .credentials import Token, check_endpoint, is_confidential, is_on_loopback, origin
from .errors import (
    ApiError,
    ConfigurationError,
    Conflict,
    Maintenance,
    NoAnswer,
    RateLimited,
    ServerError,
    Stopped,
    TransferError,
    UnexpectedAnswer,
)
from .workers import Stop

logger = logging.getLogger(__name__)

TOKEN_HEADER = "X-SBG-Auth-Token"  # noqa: S105 - the name of a header

# More than the worker threads that call at once, or connections would be thrown away.
_POOL = 64

# Seconds that a call which must not be cut blindly gets for its answer after `stop`.
_GRACE = 10.0

# Tries of a safe call whose answer is a success and yet no JSON, as from a captive portal.
_SENSELESS_TRIES = 3

Body = bytes | Iterable[bytes | memoryview]

_WRONG_PROXY = (
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    URLSchemeUnknown,
)

_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

_OK = 200
_REQUEST_TIMEOUT = 408
_TOO_MANY_REQUESTS = 429
_NOT_IMPLEMENTED = 501
# Documented as "part reservation failed, try again".
_PART_RESERVATION_FAILED = 8008


@dataclass(frozen=True)
class Patience:
    """How long to wait and to go on trying, in seconds.

    `total` bounds one call with all its repetitions: no new try starts after it. It spans three
    windows of the rate limit, since a call may have to sit one out.
    """

    total: float = 900.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    connect: float = 10.0
    read: float = 120.0

    def retrying(
        self,
        retry: Callable[[tenacity.RetryCallState], bool],
        stopped: threading.Event,
        *,
        hopeless: Callable[[tenacity.RetryCallState], bool] = lambda _: False,
    ) -> tenacity.Retrying:
        """Tenacity's policy: exponential back-off with full jitter until `total` is over.

        Or until `stopped` is set, which also ends a wait, or a failure is `hopeless`.
        """
        over = tenacity.stop_any(
            tenacity.stop_before_delay(self.total), tenacity.stop_when_event_set(stopped)
        )
        return tenacity.Retrying(
            retry=retry,
            sleep=tenacity.sleep_using_event(stopped),
            wait=tenacity.wait_random_exponential(
                multiplier=self.first_wait, max=self.longest_wait
            ),
            stop=lambda state: over(state) or hopeless(state),
            before_sleep=_log_retry,
            reraise=True,
        )


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
    passing = (_REQUEST_TIMEOUT, _TOO_MANY_REQUESTS)
    return status is not None and 400 <= status < 500 and status not in passing  # noqa: PLR2004


class _Lines:
    """The connections of one transport, so that they can be cut while a thread waits on one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spared: WeakKeyDictionary[socket.socket, bool] = WeakKeyDictionary()
        self._over = False

    def note(self, line: socket.socket | None, *, spared: bool) -> None:
        """From now on this connection is used for something that may be cut, or not (`spared`)."""
        if line is None:
            return
        with self._lock:
            self._spared[line] = spared
            late = self._over and not spared
        if late:  # it was being opened when all others were cut
            _shut_down(line)

    def cut(self, *, spared: bool) -> None:
        """End all connections, also those that are `spared`, or only the others."""
        with self._lock:
            self._over = True
            lines = [line for line, keep in self._spared.items() if spared or not keep]
        for line in lines:
            _shut_down(line)


def _shut_down(line: socket.socket) -> None:
    """Wake the thread that waits on a connection, which closing would not."""
    with suppress(OSError):
        # Not the method of a TLS connection: it would take away what that thread is using.
        socket.socket.shutdown(line, socket.SHUT_RDWR)


class _Use(threading.local):
    """What this thread is sending at the moment."""

    lines: _Lines | None = None
    spared = False

    def note(self, connection: HTTPConnection) -> None:
        """Enter the connection that is used for it."""
        if self.lines is not None:
            self.lines.note(connection.sock, spared=self.spared)


_use = _Use()


class _Line(HTTPConnection):
    """A connection that can be cut by another thread."""

    def connect(self) -> None:
        super().connect()
        _use.note(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _use.note(self)
        super().request(*args, **kwargs)


class _TlsLine(_Line, HTTPSConnection):
    """The same with TLS."""


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Line


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsLine


class _Adapter(HTTPAdapter):
    """Makes connections that can be cut, directly or by way of a proxy."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _make_cuttable(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        _make_cuttable(manager)
        return manager


def _make_cuttable(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


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
        self._rank = rank
        self.patience = patience or Patience()
        # Whether the storage's ETags of parts are their MD5s, as far as uploads have shown.
        self.etags_are_md5 = True
        self._token = token
        self._session = _session()
        self._contact = FirstContact(self.endpoint)
        self._lines = _Lines()
        self._stopped = Stop()
        self._count_lock = threading.Lock()
        self._requests_sent = 0

    def __repr__(self) -> str:
        return f"Transport({self.endpoint!r})"

    @property
    def requests_sent(self) -> int:
        """Requests to the API so far, repetitions included: what the rate limit counts."""
        return self._requests_sent

    def stop(self) -> None:
        """Send nothing any more: calls and transfers under way end with an error at once.

        For threads that are busy with something that nobody waits for any longer. Calls whose
        effect would then be unknown may still get their answer, within some seconds.
        """
        self._stopped.set()
        self._lines.cut(spared=False)
        last = threading.Timer(_GRACE, self._lines.cut, kwargs={"spared": True})
        last.daemon = True
        last.start()

    def stop_event(self) -> Stop:
        """An event that `stop` sets, and that whoever asked for it may set as well."""
        return self._stopped.child()

    def _refuse_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise _stopped()

    @contextmanager
    def _sending(self, *, spared: bool) -> Iterator[None]:
        """What this thread sends now can be cut by `stop`; `spared` calls not at once."""
        before = _use.lines, _use.spared
        _use.lines, _use.spared = self._lines, spared
        try:
            yield
        finally:
            _use.lines, _use.spared = before

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    # ------------------------------------------------------------------ the API

    def send(self, call: Call) -> Any:
        """The JSON that answers `call`; raises ApiError.

        A safe call is repeated after a lost connection, 429, 408 and 5xx, and a few times after an
        answer that is no JSON. Any other is repeated only when it surely had no effect: never
        sent, 429, or maintenance. For the rest NoAnswer, ServerError or UnexpectedAnswer tells the
        caller to look up what became of it.
        """
        self._refuse_to_give_the_token_away(call)
        retry = tenacity.retry_if_exception(lambda error: may_repeat(call, error))
        senseless, lost = after_senseless_answers(), self._contact.is_hopeless
        retrying = self.patience.retrying(
            retry, self._stopped, hopeless=lambda state: senseless(state) or lost(state)
        )
        with self._contact.sought(self.patience.total):
            return retrying(self._attempt, call)

    def pages(self, call: Call) -> Iterator[Any]:
        """Every item of a listing, fetching page after page."""
        seen: set[Call] = set()
        following: Call | None = call
        while following is not None:
            if following in seen:
                raise UnexpectedAnswer(
                    "the pages of the listing go in a circle", method=call.method, path=call.path
                )
            seen.add(following)
            page = parse_page(following, self.endpoint, self.send(following))
            yield from page.items
            following = page.next

    def _attempt(self, call: Call) -> Any:
        url, params = f"{self.endpoint}{call.path}", call.params
        for _ in range(_MAX_REDIRECTS):
            answer = self._exchange(call, url, params)
            if answer.status not in _REDIRECTS:
                return decipher(call, answer)
            url, params = self._redirect(call, url, answer), ()
        raise unexpected(call, answer, "too many redirects")

    def _redirect(self, call: Call, url: str, answer: Answer) -> str:
        location = answer.headers.get("location", "")
        try:
            target = urljoin(url, location)
            is_elsewhere = origin(target) != origin(self.endpoint)
        except (ValueError, ConfigurationError):
            raise unexpected(call, answer, "a redirect to what is no URL") from None
        if call.method != "GET":
            raise unexpected(call, answer, f"a redirect to {target}, which only a GET may follow")
        if is_elsewhere:
            raise unexpected(
                call, answer, f"a redirect to another host, {target}, where the token may not go"
            )
        return target

    def _exchange(self, call: Call, url: str, params: tuple[tuple[str, str], ...]) -> Answer:
        """One request and its answer, within the rate budget."""
        self._refuse_if_stopped()
        rank = Rank.URGENT if call.urgent else self._rank
        if not self.budget.acquire(rank, stopped=self._stopped):
            raise _stopped()
        answer: Answer | None = None
        started = time.monotonic()
        try:
            answer = self._request(call, url, params)
        finally:
            self.budget.release(answer.headers if answer else None)
            seconds = time.monotonic() - started
            status = answer.status if answer else "no answer"
            logger.debug("%s %s: %s in %.3f s", call.method, call.path, status, seconds)
        if answer.status == _TOO_MANY_REQUESTS:
            self.budget.exhausted(answer.headers)
        return answer

    def _request(self, call: Call, url: str, params: tuple[tuple[str, str], ...]) -> Answer:
        headers = {"Accept": "application/json"}
        data = None
        if call.body is not None or call.method in ("POST", "PUT", "PATCH"):
            headers["Content-Type"] = "application/json"
            # Without a body the provider's client sends a JSON null.
            data = json.dumps(call.body).encode()
        with self._count_lock:
            self._requests_sent += 1
        try:
            with self._sending(spared=not call.safe):
                response = self._session.exchange(
                    call.method,
                    url,
                    params=params,
                    data=data,
                    headers=headers,
                    auth=self._sign,
                    timeout=(self.patience.connect, self.patience.read),
                )
        except _WRONG_PROXY as error:
            raise ConfigurationError(
                f"{self.endpoint}, or the proxy that https_proxy or all_proxy names for it, cannot "
                f"be used ({type(error).__name__}). Correct the address or the variable, or name "
                "the host in no_proxy; a SOCKS proxy takes pip install 'requests[socks]'."
            ) from None
        except requests.RequestException as error:
            if call.safe and self._stopped.is_set():
                raise _stopped() from None
            # The cause is not chained: its text holds the whole URL and its request the token.
            failure = no_answer(call, error, self.endpoint)
            self._contact.fail(failure)
            raise failure from None
        except ValueError:  # `requests` reads the target of a redirect, followed or not
            raise UnexpectedAnswer(
                "a redirect to what is no URL", method=call.method, path=call.path
            ) from None
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
        sent = json.dumps([call.path, call.params, call.body], ensure_ascii=False)
        if self._token.is_in(sent.encode("utf-8", "surrogatepass")):
            raise ConfigurationError(
                f"{call.method} {self._token.cut_from(call.path)} would hold the API token, and "
                "every member of the project could read it. Take the token out of the workflow: "
                "its commands, config, precommand, container, resources and names."
            )

    # ------------------------------------------------------------------ the storage

    def put_part(self, url: str, data: Body, headers: Mapping[str, str]) -> Answer:
        """PUT one part of an upload to a signed URL; one try. The status is the caller's matter."""
        with self._storage("PUT", url, data=data, headers=headers) as response:
            found = {key.lower(): value for key, value in response.headers.items()}
            return Answer(response.status_code, found, response.content)

    @contextmanager
    def get_range(self, url: str, start: int, end: int | None) -> Iterator[requests.Response]:
        """The bytes from `start` up to and without `end` of a signed URL, as a stream; one try."""
        last = "" if end is None else str(end - 1)
        headers = {"Range": f"bytes={start}-{last}", "Accept-Encoding": "identity"}
        with self._storage("GET", url, headers=headers) as response:
            yield response

    @contextmanager
    def _storage(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        data: Body | None = None,
    ) -> Iterator[requests.Response]:
        """A request to a signed URL. No token: the signature is all that the storage needs.

        TransferError if the connection fails, also while the caller reads the body.
        """
        _refuse_plain_http(url)
        self._refuse_if_stopped()
        started = time.monotonic()
        try:
            with (
                self._sending(spared=False),
                self._session.exchange(
                    method,
                    url,
                    data=data,
                    headers=dict(headers),
                    stream=True,
                    timeout=(self.patience.connect, self.patience.read),
                ) as response,
            ):
                yield response
        except (requests.RequestException, HTTPError) as error:
            if self._stopped.is_set():
                raise _stopped() from None
            raise StorageError(
                f"{method} {_bare(url)}: the connection failed ({type(error).__name__})"
            ) from None
        except ValueError:  # from `requests`, as it is
            raise StorageError(f"{method} {_bare(url)}: a redirect to what is no URL") from None
        finally:
            logger.debug("%s %s in %.3f s", method, _bare(url), time.monotonic() - started)


def _stopped() -> Stopped:
    return Stopped("the run is being cancelled")


def may_repeat(call: Call, error: BaseException) -> bool:
    """Whether sending `call` again after `error` can help and cannot do a thing twice."""
    if isinstance(error, RateLimited | Maintenance):
        return True
    if isinstance(error, NoAnswer):
        return call.safe or not error.sent
    if isinstance(error, Conflict):
        return error.code == _PART_RESERVATION_FAILED
    if isinstance(error, ServerError):
        return call.safe and error.status != _NOT_IMPLEMENTED
    if isinstance(error, UnexpectedAnswer):
        return call.safe and error.status == _OK
    return call.safe and isinstance(error, ApiError) and error.status == _REQUEST_TIMEOUT


def after_failures(
    number: int, is_one: Callable[[BaseException], bool]
) -> Callable[[tenacity.RetryCallState], bool]:
    """For tenacity's stop, good for one call: so many failures of a kind are enough.

    Others in between do not count: they have a patience of their own.
    """
    failures = 0

    def stop(state: tenacity.RetryCallState) -> bool:
        nonlocal failures
        error = state.outcome.exception() if state.outcome else None
        failures += error is not None and is_one(error)
        return failures >= number

    return stop


def after_senseless_answers() -> Callable[[tenacity.RetryCallState], bool]:
    """For tenacity's stop: there is no use in more answers that are no JSON."""
    return after_failures(_SENSELESS_TRIES, lambda error: isinstance(error, UnexpectedAnswer))


def no_answer(call: Call, error: requests.RequestException, endpoint: str) -> NoAnswer:
    """What a failure of `requests` means for `call`.

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
        why, sent = "its proxy does not let us through", False
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


def _of_the_system(error: BaseException | None) -> str | None:
    cause = error.__cause__ if error else None
    return cause.strerror if isinstance(cause, OSError) else None


class _Session(requests.Session):
    """Sends with half of the work that `requests` does otherwise, which many small files feel.

    It neither looks for proxies and certificates in the environment for every request, but once
    for each host, nor merges settings and cookies that nobody has made.
    """

    def __init__(self) -> None:
        super().__init__()
        self._environment: dict[tuple[str, str], Any] = {}

    def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        params: tuple[tuple[str, str], ...] = (),
        data: Body | None = None,
        auth: Callable[[requests.PreparedRequest], requests.PreparedRequest] | None = None,
        stream: bool = False,
        timeout: tuple[float, float],
    ) -> requests.Response:
        """One request. No authentication but `auth`: no password from ~/.netrc spoils URLs."""
        request = requests.PreparedRequest()
        request.prepare_method(method)
        request.prepare_url(url, params)
        request.prepare_headers({**self.headers, **headers})
        request.prepare_body(data, None)
        request._cookies = self.cookies  # type: ignore[attr-defined]  # the adapter wants some
        if auth is not None:
            auth(request)
        # Not by `send`, which looks for cookies, hooks and redirects that nobody wants.
        adapter = self.get_adapter(str(request.url))
        settings = self._from_environment(request.url)
        response = adapter.send(request, stream=stream, timeout=timeout, **settings)
        if not stream:
            response.content  # noqa: B018 - reads it, while the connection's errors are expected
        return response

    def _from_environment(self, url: str | None) -> Any:
        target = urlsplit(url or "")
        key = target.scheme, target.netloc
        if key not in self._environment:
            found = self.merge_environment_settings(url, {}, False, None, None)
            if is_on_loopback(url or ""):  # another machine would look for it on itself
                found["proxies"] = {}
            self._environment[key] = {name: found[name] for name in ("proxies", "verify", "cert")}
        return self._environment[key]


def _session() -> _Session:
    session = _Session()
    session.headers["User-Agent"] = _user_agent()
    # Cookies are the one thing that makes a session unfit for many threads.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = _Adapter(pool_connections=8, pool_maxsize=_POOL, max_retries=0)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _user_agent() -> str:
    try:
        own = version("snakemake-executor-plugin-cavatica")
    except PackageNotFoundError:
        own = "unknown"
    return f"snakemake-executor-plugin-cavatica/{own} (Python/{platform.python_version()})"


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    said = error.message if isinstance(error, NoAnswer) else error
    logger.info("trying again in %.1f s: %s", state.upcoming_sleep, said)


def _bare(url: str) -> str:
    """Scheme, host and path of a signed URL."""
    return url.partition("?")[0]


def _refuse_plain_http(url: str) -> None:
    if not is_confidential(url):
        raise TransferError(
            f"the platform gave an unencrypted storage URL, {_bare(url)}, which is not used"
        )
