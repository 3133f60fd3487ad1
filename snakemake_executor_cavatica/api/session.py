"""Connections, which another thread can cut while one waits for an answer.

Used for the API and for the storage behind signed URLs, by many threads at once.
"""

from __future__ import annotations

import platform
import socket
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from http.cookiejar import DefaultCookiePolicy
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from urllib.parse import urlencode, urlsplit
from weakref import WeakKeyDictionary

import requests
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy
from urllib3 import HTTPConnectionPool, PoolManager
from urllib3.connection import HTTPConnection

from .endpoint import is_on_loopback, shown_url
from .retry import Patience
from .stop import Stop

# More than the worker threads that call at once, or connections would be thrown away.
_POOL = 64

# Seconds that a call which must not be cut blindly gets for its answer after a stop.
_GRACE = 10.0

Body = bytes | Iterable[bytes | memoryview]


class _Connections:
    """The connections of one session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spared: WeakKeyDictionary[socket.socket, bool] = WeakKeyDictionary()
        self._over = False

    def note(self, connection: socket.socket | None, *, spared: bool) -> None:
        """From now on this connection is used for something that may be cut, or not (`spared`)."""
        if connection is None:
            return
        with self._lock:
            self._spared[connection] = spared
            late = self._over and not spared
        if late:  # it was being opened when all others were cut
            _shut_down(connection)

    def cut(self, *, spared: bool) -> None:
        """End all connections, also those that are `spared`, or only the others."""
        with self._lock:
            self._over = True
            cut = [one for one, keep in self._spared.items() if spared or not keep]
        for connection in cut:
            _shut_down(connection)


def _shut_down(connection: socket.socket) -> None:
    """Wake the thread that waits on a connection, which closing would not."""
    with suppress(OSError):
        # Not the method of a TLS connection: it would take away what that thread is using.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


class _Use(threading.local):
    """What this thread is sending at the moment."""

    connections: _Connections | None = None
    spared = False

    def note(self, connection: HTTPConnection) -> None:
        """Enter the connection that is used for it."""
        if self.connections is not None:
            self.connections.note(connection.sock, spared=self.spared)


_use = _Use()


class _Connection(HTTPConnection):
    """A connection that can be cut by another thread."""

    def connect(self) -> None:
        super().connect()
        _use.note(self)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _use.note(self)
        super().request(*args, **kwargs)


@cache
def _cuttable(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    """The same kind of pool (plain, with TLS, by way of a SOCKS proxy) with such connections."""
    if issubclass(pool.ConnectionCls, _Connection):  # of a proxy that was used before
        return pool
    connection = type("Connection", (_Connection, pool.ConnectionCls), {})
    return type("Pool", (pool,), {"ConnectionCls": connection})


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
    classes = manager.pool_classes_by_scheme.items()
    manager.pool_classes_by_scheme = {scheme: _cuttable(pool) for scheme, pool in classes}


class Session(requests.Session):
    """Sends with half of the work that `requests` does otherwise, which many small files feel.

    It neither looks for proxies and certificates in the environment for every request, but once
    for each host, nor merges settings and cookies that nobody has made. Once `stop` is set, nothing
    is sent any more and requests under way end with an error at once.
    """

    def __init__(self, patience: Patience, stop: Stop) -> None:
        super().__init__()
        self.patience = patience
        self.stop = stop
        self._environment: dict[tuple[str, str], Any] = {}
        self._connections = _Connections()
        self.headers["User-Agent"] = _user_agent()
        # Cookies are the one thing that makes a session unfit for many threads.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _Adapter(pool_connections=8, pool_maxsize=_POOL, max_retries=0)
        self.mount("https://", adapter)
        self.mount("http://", adapter)
        stop.then(self._cut)

    def _cut(self) -> None:
        """For threads that are busy with something that nobody waits for any longer."""
        self._connections.cut(spared=False)
        last = threading.Timer(_GRACE, self._connections.cut, kwargs={"spared": True})
        last.daemon = True
        last.start()

    def check(self) -> None:
        """Raises Stopped if nothing is to be sent any more."""
        self.stop.check("the run is being cancelled")

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
        spared: bool = False,
    ) -> requests.Response:
        """One request. No authentication but `auth`: no password from ~/.netrc spoils URLs.

        If it is `spared`, its effect would be unknown if it were cut: it gets some seconds more.
        """
        request = requests.PreparedRequest()
        request.prepare_method(method)
        # As text: for anything else, also for nothing, `requests` asks what kind of thing it is.
        request.prepare_url(url, urlencode(params))
        request.prepare_headers({**self.headers, **headers})
        request.prepare_body(data, None)
        request._cookies = self.cookies  # type: ignore[attr-defined]  # the adapter wants some
        if auth is not None:
            auth(request)
        # Not by `send`, which looks for cookies, hooks and redirects that nobody wants.
        adapter = self.get_adapter(str(request.url))
        settings = self._from_environment(request.url)
        timeout = (self.patience.connect, self.patience.read)
        _use.connections, _use.spared = self._connections, spared
        response = adapter.send(request, stream=stream, timeout=timeout, **settings)
        if not stream:
            response.content  # noqa: B018 - reads it, while the connection's errors are expected
        return response

    def proxy_for(self, url: str) -> str | None:
        """The address of the proxy that requests to `url` go by, without user and password."""
        proxy = select_proxy(url, self._from_environment(url)["proxies"])
        return shown_url(proxy) if proxy else None

    def _from_environment(self, url: str | None) -> Any:
        target = urlsplit(url or "")
        key = target.scheme, target.netloc
        if key not in self._environment:
            found = self.merge_environment_settings(url, {}, False, None, None)
            if is_on_loopback(url or ""):  # another machine would look for it on itself
                found["proxies"] = {}
            self._environment[key] = {name: found[name] for name in ("proxies", "verify", "cert")}
        return self._environment[key]


def _user_agent() -> str:
    try:
        own = version("snakemake-executor-plugin-cavatica")
    except PackageNotFoundError:
        own = "unknown"
    return f"snakemake-executor-plugin-cavatica/{own} (Python/{platform.python_version()})"
