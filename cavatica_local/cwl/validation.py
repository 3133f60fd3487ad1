"""Validation of CWL documents by cwltool, in a process of its own.

Loading cwltool takes seconds of CPU time and each document some hundredths: in the server's process
that would delay every other request. The process reads one document a line and answers one list of
errors a line; it ends when its input closes, so it cannot outlive the server. It is forked from one
that has cwltool loaded, if the engine has such a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import sys
from collections.abc import Iterable
from typing import Any, TextIO

_LONGEST_LINE = 1 << 26


class Validator:
    """Starts the process when it is first needed, and remembers what it said."""

    def __init__(self) -> None:
        self._channel: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._turn = asyncio.Lock()
        self._known: dict[str, list[str]] = {}

    def channel(self) -> socket.socket:
        """Where documents come, for a process that has cwltool loaded and is to `answer` them."""
        self._channel, theirs = socket.socketpair()
        return theirs

    async def errors(self, document: dict[str, Any]) -> list[str]:
        """What is wrong with a document; nothing, if it is valid."""
        line = json.dumps(document, sort_keys=True)
        async with self._turn:
            if line not in self._known:
                self._known[line] = await self._ask(line)
            return self._known[line]

    async def _ask(self, line: str) -> list[str]:
        is_lent = self._channel is not None
        answer = b""
        with contextlib.suppress(ConnectionError):
            self._streams = reader, writer = self._streams or await self._connected()
            writer.write(line.encode() + b"\n")
            await writer.drain()
            answer = await reader.readline()
        if answer:
            errors: list[str] = json.loads(answer)
            return errors
        # Its traceback is in the server's standard error; the next document gets a new process.
        await self.close()
        # One that the engine has lent may have ended for reasons of the engine's.
        return await self._ask(line) if is_lent else ["cwltool cannot read the document."]

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._channel is not None:
            return await asyncio.open_connection(sock=self._channel, limit=_LONGEST_LINE)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the working directory is that of a workflow
            "-m",
            __name__,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
            start_new_session=True,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the validator's pipes are missing")
        return self._process.stdout, self._process.stdin

    async def close(self) -> None:
        """End the process."""
        if self._streams is not None:
            self._streams[1].close()
        if self._channel is not None:
            self._channel.close()
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        self._channel = self._process = self._streams = None


def validate(document: dict[str, Any]) -> list[str]:
    """Validate one document (in this process)."""
    from cwltool.context import LoadingContext  # noqa: PLC0415
    from cwltool.load_tool import fetch_document, make_tool  # noqa: PLC0415
    from cwltool.load_tool import resolve_and_validate_document as resolve  # noqa: PLC0415
    from cwltool.workflow import default_make_tool  # noqa: PLC0415
    from schema_salad.exceptions import SchemaSaladException  # noqa: PLC0415

    # Schemas would be fetched from wherever the document says.
    options = {"construct_tool_object": default_make_tool, "skip_schemas": True}
    context = LoadingContext(options)
    # Whatever it is called, or cwltool would look for a file of that name.
    document = {**document, "id": "file:///app.cwl"}
    try:
        context, loaded, uri = fetch_document(document, context)
        context, uri = resolve(context, loaded, uri)
        make_tool(uri, context)
    except (SchemaSaladException, ValueError, KeyError, TypeError) as error:
        return [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
    return []


def serve(channel: socket.socket) -> None:
    """Answer documents from a socket until it closes."""
    with channel, channel.makefile("r") as documents, channel.makefile("w") as answers:
        answer(documents, answers)


def answer(documents: Iterable[str], answers: TextIO) -> None:
    """Answer documents, line by line."""
    logging.disable(logging.CRITICAL)
    for line in documents:
        answers.write(json.dumps(validate(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    own_output, sys.stdout = sys.stdout, sys.stderr
    answer(sys.stdin, own_output)
