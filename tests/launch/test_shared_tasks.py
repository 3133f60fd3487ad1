"""The children of a batch are known by their own inputs, which the platform tells alone or not."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from snakemake_executor_cavatica.api import Stop, Task
from snakemake_executor_cavatica.launch.shared_tasks import SharedTasks

OWN = {"class": "File", "path": "file-1"}
ALL = {"own": OWN, "command": "# the jobs of the whole batch\n"}


class Platform:
    """A client that tells a child's inputs as `answers` say, by what is asked for."""

    def __init__(self, **answers: dict[str, Any]) -> None:
        self._answers = answers
        self.stop = Stop()
        self.asked: list[str] = []

    def list_tasks(self, *, parent: str, fields: str) -> Iterator[Task]:
        wanted = fields.rpartition(",")[2]
        self.asked.append(wanted)
        inputs = self._answers["own" if wanted == "inputs.own" else "all"]
        yield Task(id=f"child of {parent}", status="QUEUED", inputs=inputs)


@pytest.mark.parametrize(
    ("told", "requests"),
    [
        ({"own": OWN}, ["inputs.own"]),
        (ALL, ["inputs.own"]),
        ({}, ["inputs.own", "inputs"]),
    ],
    ids=["alone", "with all others", "not so"],
)
def test_a_child_has_its_own_input(told: dict[str, Any], requests: list[str]) -> None:
    """Protects against jobs whose children are not found where such a path leads nowhere."""
    client = Platform(own=told, all=ALL)
    run = SimpleNamespace(connection=SimpleNamespace(client=client))
    shared = SharedTasks(cast(Any, run), cast(Any, None), cast(Any, None), cast(Any, None))
    batch = SimpleNamespace(members=(None,), port="own")
    [child] = shared._children(cast(Any, batch), Task(id="batch"))
    assert child.inputs["own"] == OWN
    assert client.asked == requests
