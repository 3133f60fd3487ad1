"""Transfers that go wrong: wrappers around a request's two streams, one for each kind of fault."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from starlette.types import Message, Receive, Send

from cavatica_local.faults.faults import Fault

START, BODY = "http.response.start", "http.response.body"
_TENTH = 10
_CONTENT_RANGE = re.compile(rb"bytes (\d+)-\d+/\d+")


def disturbed(
    fault: Fault, method: str, receive: Receive, send: Send, close: Callable[[], None]
) -> tuple[Receive, Send]:
    """The streams of a request that met one of the faults in TRANSFERS.

    `close` ends the connection after what was sent by then.
    """
    if fault.do == "truncate":
        return receive, _Truncated(fault.share, receive, send, close)
    if fault.do == "shorten":
        return receive, _Shortened(fault.share, send)
    if fault.do == "slow":
        rate = fault.bytes_per_second
        return _slow_receive(receive, rate), _slow_send(send, rate)
    return (_corrupted(receive), send) if method == "PUT" else (receive, _corrupting(send))


async def until_disconnected(receive: Receive) -> None:
    """Wait until the connection is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


class _Truncated:
    """Announces everything, sends a share of it, and closes the connection."""

    def __init__(
        self, share: float, receive: Receive, send: Send, close: Callable[[], None]
    ) -> None:
        self._share = share
        self._receive = receive
        self._send = send
        self._close = close
        self._left = 0
        self._closed = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == START:
            self._left = int(_content_length(message) * self._share)
            await self._send(message)
        elif not self._closed:
            body = message.get("body", b"")[: self._left]
            self._left -= len(body)
            await self._send({"type": BODY, "body": body, "more_body": True})
            if not self._left:
                self._closed = True
                self._close()
                await until_disconnected(self._receive)


class _Shortened:
    """Announces and sends a share, as if that were everything: no one can see it in the answer."""

    def __init__(self, share: float, send: Send) -> None:
        self._share = share
        self._send = send
        self._left = 0
        self._ended = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == START:
            self._left = int(_content_length(message) * self._share)
            headers = [_shorter(name, value, self._left) for name, value in message["headers"]]
            await self._send({**message, "headers": headers})
        elif not self._ended:
            body = message.get("body", b"")[: self._left]
            self._left -= len(body)
            self._ended = not self._left
            await self._send({"type": BODY, "body": body, "more_body": not self._ended})


def _content_length(start: Message) -> int:
    """All answers of this server have one, except those without a body."""
    return int(dict(start["headers"]).get(b"content-length", 0))


def _shorter(name: bytes, value: bytes, length: int) -> tuple[bytes, bytes]:
    """A header as it would be if the content ended after so many bytes of this answer."""
    if name == b"content-length":
        return name, b"%d" % length
    if name == b"content-range" and length and (match := _CONTENT_RANGE.fullmatch(value)):
        end = int(match[1]) + length
        return name, b"bytes %s-%d/%d" % (match[1], end - 1, end)
    return name, value


def _damaged(body: bytes) -> bytes:
    """As many bytes, one of them another one."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :]


def _corrupted(receive: Receive) -> Receive:
    intact = True

    async def corrupted() -> Message:
        nonlocal intact
        message = await receive()
        if intact and message.get("body"):
            intact = False
            return {**message, "body": _damaged(message["body"])}
        return message

    return corrupted


def _corrupting(send: Send) -> Send:
    intact = True

    async def corrupting(message: Message) -> None:
        nonlocal intact
        if intact and message.get("body"):
            intact = False
            message = {**message, "body": _damaged(message["body"])}
        await send(message)

    return corrupting


def _slow_receive(receive: Receive, rate: int) -> Receive:
    async def slow() -> Message:
        message = await receive()
        await asyncio.sleep(len(message.get("body", b"")) / rate)
        return message

    return slow


def _slow_send(send: Send, rate: int) -> Send:
    step = max(1, rate // _TENTH)

    async def slow(message: Message) -> None:
        body = message.get("body", b"")
        for start in range(0, len(body), step):
            piece = body[start : start + step]
            await send({"type": BODY, "body": piece, "more_body": True})
            await asyncio.sleep(len(piece) / rate)
        await send({**message, "body": b""} if body else message)

    return slow
