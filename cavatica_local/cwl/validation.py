"""Validation of CWL documents by cwltool, in a process of its own.

Loading cwltool takes seconds of CPU time and each document some hundredths: in the server's process
that would delay every other request. The process reads one document a line from its standard input
and answers one list of errors a line; it ends when its input closes, so it cannot outlive the
server.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any


class Validator:
    """Starts the process when it is first needed, and remembers what it said."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._known: dict[str, list[str]] = {}

    async def errors(self, document: dict[str, Any]) -> list[str]:
        """What is wrong with a document; nothing, if it is valid."""
        line = json.dumps(document, sort_keys=True)
        async with self._turn:
            if line not in self._known:
                self._known[line] = await self._ask(line)
            return self._known[line]

    async def _ask(self, line: str) -> list[str]:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # the working directory is that of a workflow
                "-m",
                __name__,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=1 << 26,
                start_new_session=True,
            )
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the validator's pipes are missing")
        process.stdin.write(line.encode() + b"\n")
        await process.stdin.drain()
        answer = await process.stdout.readline()
        if not answer:
            # Its traceback is in the server's standard error; the next document gets a new process.
            await process.wait()
            return ["cwltool cannot read the document."]
        errors: list[str] = json.loads(answer)
        return errors

    async def close(self) -> None:
        """End the process."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


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
    document = {"id": "file:///app.cwl", **document}
    try:
        context, loaded, uri = fetch_document(document, context)
        context, uri = resolve(context, loaded, uri)
        make_tool(uri, context)
    except (SchemaSaladException, ValueError, KeyError, TypeError) as error:
        return [line for line in str(error).splitlines() if line.strip()] or [repr(error)]
    return []


def main() -> None:
    """Answer documents from standard input until it closes."""
    logging.disable(logging.CRITICAL)
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        answers.write(json.dumps(validate(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
