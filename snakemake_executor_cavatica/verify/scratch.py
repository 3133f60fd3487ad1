"""What `verify-live` works with on a platform: a client, and a folder and tasks of its own.

Files and tasks are tiny. Whatever a probe makes is noted, so that it is removed even if the probe
fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api import ApiError, Client
from ..api.answers import Answer, decipher
from ..api.call import Call
from ..project.connection import Connection, is_on_this_machine
from .scratch_files import ScratchFiles
from .scratch_tasks import SERVER_ERROR, ScratchTasks

REFUSED = 400
"""The first HTTP status that is no success."""


class Scratch:
    """Everything that a probe needs."""

    def __init__(self, connection: Connection, project: str, assumed: Mapping[str, str]) -> None:
        self.project = project
        self.assumed = assumed
        """What the embedded platform assumes, by the name of the switch."""
        self.client = Client(connection.client.endpoint, connection.token)
        self.is_local = is_on_this_machine(self.client.endpoint)
        self.tick = 0.05 if self.is_local else 1.1
        """Seconds after which two times of the platform surely differ."""
        self.files = ScratchFiles(self.client, project)
        self.tasks = ScratchTasks(self.client, project, poll=0.3 if self.is_local else 10.0)

    def ask(self, call: Call) -> tuple[int, Any]:
        """Status and document of an answer; refusals (4xx) are answers too."""
        try:
            told: tuple[int, Any] = self.client.transport.send(call, _with_status)
        except ApiError as error:
            if error.status is None or error.status >= SERVER_ERROR:
                raise
            return error.status, None
        return told

    def close(self) -> list[str]:
        """Remove everything; sentences about what stays."""
        self.files.abort_uploads()
        left = [*self.tasks.remove(), *self.files.remove(), *self.tasks.app_left()]
        self.client.close()
        return left


def _with_status(call: Call, answer: Answer) -> tuple[int, Any]:
    return answer.status, decipher(call, answer)
