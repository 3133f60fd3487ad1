"""Batch tasks: the groups of a batch, and its children."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cavatica_local.cwl import documents
from cavatica_local.cwl.documents import Port
from cavatica_local.errors import ApiError
from cavatica_local.execution.inputs import InputReader
from cavatica_local.execution.scheduler import Scheduler
from cavatica_local.state.database import Database
from cavatica_local.state.ids import new_uuid
from cavatica_local.state.platform import Platform
from cavatica_local.state.task_inputs import with_input
from cavatica_local.state.times import now
from cavatica_local.switches import Switches

BURST = 50
"""Children made in one go; then other requests have their turn."""


@dataclass(frozen=True)
class Batching:
    """What a batch is made by."""

    input: str
    by: dict[str, Any]
    """`{"type": "ITEM"}`, or `{"type": "CRITERIA", "criteria": ["metadata.x", …]}`."""


@dataclass(frozen=True)
class Group:
    """What one child gets of the batch input."""

    value: str
    fields: dict[str, Any]
    items: list[Any]


def requested(
    body: Mapping[str, Any], ports: Mapping[str, Port], default: Batching | None
) -> Batching | None:
    """The batching that a request body asks for.

    The provider's client sends `batch_input` and `batch_by` without `batch`. Apps can carry a
    default batching, which applies when the body names none (documented).
    """
    name, by, batch = body.get("batch_input"), body.get("batch_by"), body.get("batch")
    if batch is False:
        if name is not None or by is not None:
            raise ApiError(7021)
        return None
    if name is None and by is None:
        if batch and default is None:
            raise ApiError(7018, "The app has no default batching: a batch_input is required.")
        return default
    if name is None or by is None:
        raise ApiError(7023)
    if name not in ports:
        raise ApiError(7018, f"The app has no input {name}.")
    return Batching(str(name), _checked_by(by))


def _checked_by(by: Any) -> dict[str, Any]:
    kind = str(by.get("type", "")).upper() if isinstance(by, dict) else ""
    if kind == "ITEM":
        return {"type": "ITEM"}
    if kind != "CRITERIA":
        raise ApiError(7020)
    criteria = by.get("criteria")
    if not isinstance(criteria, list) or not criteria:
        raise ApiError(7019)
    if not all(isinstance(c, str) and c.startswith("metadata.") and c[9:] for c in criteria):
        raise ApiError(7019, "Criteria have the form metadata.<field>.")
    return {"type": "CRITERIA", "criteria": criteria}


def app_default(document: Mapping[str, Any], ports: Mapping[str, Port]) -> Batching | None:
    """The default batching that an app carries in its `sbg:batchInput` and `sbg:batchBy`."""
    name, by = document.get("sbg:batchInput"), document.get("sbg:batchBy")
    if not isinstance(name, str) or name.lstrip("#") not in ports or by is None:
        return None
    return Batching(name.lstrip("#"), _checked_by(by))


class Grouping:
    """The children that a batch would have, and what stands against it."""

    def __init__(
        self, switches: Switches, reader: InputReader, batching: Batching, port: Port, value: Any
    ) -> None:
        self._switches = switches
        self._reader = reader
        self._batching = batching
        self._port = port
        self.groups: list[Group] = []
        self.errors: list[str] = []
        if not isinstance(value, list) or not value:
            self._refuse("a batch needs a list with at least one item")
        elif self._items_are_good(value):
            by_item = batching.by["type"] == "ITEM"
            self.groups = self._by_item(value) if by_item else self._by_criteria(value)
            self._check_groups()

    def _refuse(self, reason: str) -> None:
        self.errors.append(f"Input {self._batching.input}: {reason}.")

    def _items_are_good(self, items: list[Any]) -> bool:
        by_item = self._batching.by["type"] == "ITEM"
        for item in items:
            if isinstance(item, dict) and item.get("class") in ("File", "Directory"):
                if reason := self._reader.check_file(item, item["class"]):
                    self._refuse(reason)
            elif not (by_item and self._switches.batch_non_file_items):
                self._refuse("only files can be batched")
                break
        return not self.errors

    def _by_item(self, items: list[Any]) -> list[Group]:
        return [Group(self._label(item), {}, [item]) for item in items]

    def _label(self, item: Any) -> str:
        row = self._reader.file(item.get("path")) if isinstance(item, dict) else None
        return str(row["name"]) if row is not None else json.dumps(item)

    def _by_criteria(self, items: list[Any]) -> list[Group]:
        groups: dict[tuple[Any, ...], list[Any]] = {}
        criteria: list[str] = self._batching.by["criteria"]
        for item in items:
            row = self._reader.file(item["path"])
            metadata = {} if row is None else json.loads(row["metadata"])
            key = tuple(metadata.get(c.removeprefix("metadata.")) for c in criteria)
            if None in key and self._switches.batch_missing_metadata == "error":
                self._refuse(f"file {item['path']} lacks metadata of {', '.join(criteria)}")
            groups.setdefault(key, []).append(item)
        return [
            Group(", ".join(map(str, key)), dict(zip(criteria, key, strict=True)), members)
            for key, members in groups.items()
        ]

    def _check_groups(self) -> None:
        if len(self.groups) > self._switches.batch_max_children:
            self._refuse(f"a batch has at most {self._switches.batch_max_children} children")
        for group in self.groups:
            value = self.child_value(group)
            if reason := documents.mismatch(value, self._port.type, self._reader.check_file):
                self._refuse(f"the group {group.value} {reason}")

    def child_value(self, group: Group) -> Any:
        """What the child of a group gets: a list where the port takes one, else the only item."""
        takes_list = any(
            isinstance(kind, dict) and kind.get("type") == "array"
            for kind in self._port.alternatives
        )
        return group.items[0] if not takes_list and len(group.items) == 1 else group.items


async def create_children(
    platform: Platform, scheduler: Scheduler, parent: sqlite3.Row, grouping: Grouping
) -> None:
    """Make the children of a batch that is CREATING, then queue them all."""
    identifiers: list[str] = []
    for first in range(0, len(grouping.groups), BURST):
        with platform.database.transaction():
            for group in grouping.groups[first : first + BURST]:
                identifiers.append(_create_child(platform, parent, group, grouping))
        await asyncio.sleep(platform.switches.batch_creating_delay)
    row = platform.database.one("SELECT status FROM tasks WHERE id = ?", parent["id"])
    if row is None or row["status"] != "CREATING":
        _abort_children(platform.database, scheduler, parent["id"])
        return
    queued = now()
    with platform.database.transaction():
        platform.database.run(
            "UPDATE tasks SET status = 'QUEUED', queued = ?, started = ? WHERE parent = ?",
            queued,
            queued,
            parent["id"],
        )
        changes = {"status": "RUNNING", "message": "Running", "running": queued}
        platform.database.update("tasks", parent["id"], changes)
    for identifier in identifiers:
        scheduler.queue.submit(identifier)


def _abort_children(database: Database, scheduler: Scheduler, parent: str) -> None:
    """The batch was aborted while its children were made."""
    with database.transaction():
        database.run(
            "UPDATE tasks SET status = 'ABORTED', ended = ? WHERE parent = ?", now(), parent
        )
        scheduler.records.finish_parent(parent)


def _create_child(platform: Platform, parent: sqlite3.Row, group: Group, grouping: Grouping) -> str:
    identifier = new_uuid()
    child = {
        **dict(parent),
        "id": identifier,
        "name": f"{parent['name']} - {group.value}",
        "status": "DRAFT",
        "created": now(),
        "parent": parent["id"],
        "batch": False,
        "batch_input": None,
        "batch_by": None,
        "batch_group": json.dumps({"value": group.value, "fields": group.fields}),
        "inputs": with_input(parent["inputs"], parent["batch_input"], grouping.child_value(group)),
        "message": "Initializing...",
        "started": None,
        "queued": None,
    }
    platform.database.insert("tasks", child)
    return identifier
