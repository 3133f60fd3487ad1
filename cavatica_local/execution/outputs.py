"""A task's outputs: moved into the store, then placed in the project's tree."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cavatica_local.state import names, tree
from cavatica_local.state.blobs import BlobStore, Content
from cavatica_local.state.platform import Platform

_TOKEN = re.compile(r"<([a-z_]+)>")


class OutputError(Exception):
    """Outputs that the platform cannot store; the message goes into the task's status."""


@dataclass(frozen=True)
class StoredFile:
    """An output file whose content is in the store."""

    name: str
    content: Content
    secondary: tuple[StoredFile | StoredFolder, ...] = ()


@dataclass(frozen=True)
class StoredFolder:
    """An output folder with its contents."""

    name: str
    entries: tuple[StoredFile | StoredFolder, ...] = field(default=())


# --- in a thread: files into the store ------------------------------------------------------------


class Collector:
    """Moves the outputs and logs of one task into the store."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.contents: list[Content] = []
        """Everything that was stored, also if something else could not be."""

    def store(self, value: Any) -> Any:
        """Replace the File and Directory objects of an output value by stored ones."""
        if isinstance(value, list):
            return [self.store(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("class") == "File":
            path = Path(value["path"])
            secondary = tuple(self.store(value.get("secondaryFiles") or []))
            return StoredFile(_name(value, path), self._adopt(path), secondary)
        if value.get("class") == "Directory":
            path = Path(value["path"])
            return StoredFolder(_name(value, path), self._entries(path))
        return {name: self.store(item) for name, item in value.items()}

    def file(self, name: str, path: Path) -> StoredFile:
        """Store one file."""
        return StoredFile(name, self._adopt(path))

    def _adopt(self, path: Path) -> Content:
        content = self._blobs.adopt(path)
        self.contents.append(content)
        return content

    def _entries(self, folder: Path) -> tuple[StoredFile | StoredFolder, ...]:
        entries: list[StoredFile | StoredFolder] = []
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                entries.append(StoredFolder(_name({}, path), self._entries(path)))
            elif path.is_file():
                entries.append(StoredFile(_name({}, path), self._adopt(path)))
            else:
                raise OutputError(f"The output {path.name} is neither a file nor a folder.")
        return tuple(entries)


def _name(value: dict[str, Any], path: Path) -> str:
    name = value.get("basename") or path.name
    try:
        name.encode()
    except UnicodeEncodeError:
        raise OutputError(f"The output's name {name!r} is not valid Unicode.") from None
    return str(name)


# --- on the event loop: stored files into the tree ------------------------------------------------


class Placement:
    """Puts the outputs of one task where its `output_location` says."""

    def __init__(self, platform: Platform, task: sqlite3.Row) -> None:
        self._database = platform.database
        self._conflict = platform.switches.output_conflict
        self._keeps_text = platform.switches.string_outputs == "stored"
        self._task = task
        project = self._database.one("SELECT * FROM projects WHERE id = ?", task["project"])
        root = None if project is None else tree.find(self._database, project["root_folder"])
        if project is None or root is None:
            raise OutputError("The task's project does not exist any more.")
        self._root = root
        self._tokens = {
            "task_id": task["id"],
            "task_name": task["name"],
            "app_name": task["app"].rpartition("/")[2],
            "project_id": task["project"].rpartition("/")[2],
        }
        self._location: dict[str, Any] = json.loads(task["location"] or "{}")

    def place(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Add everything to the tree; the outputs as the task shows them."""
        return {port: self._place(value, port) for port, value in outputs.items()}

    def _place(self, value: Any, port: str) -> Any:
        if isinstance(value, list):
            return [self._place(item, port) for item in value]
        if isinstance(value, (StoredFile, StoredFolder)):
            return self._add(value, self._folder(port))
        if isinstance(value, dict):
            return {name: self._place(item, port) for name, item in value.items()}
        return value if self._keeps_text or not isinstance(value, str) else None

    def _folder(self, port: str) -> str:
        """Documented: folders are created as needed; without a location, the project's root."""
        main = self._location.get("main_location") or "/"
        nodes = self._location.get("nodes_location") or {}
        if self._location.get("nodes_override") and port in nodes:
            own = nodes[port].get("output_location") or ""
            main = own if own.startswith("/") else f"{main}/{own}"
        expanded = _TOKEN.sub(lambda match: self._tokens.get(match[1], match[0]), main)
        try:
            path = [name for name in expanded.split("/") if name]
            return tree.ensure_folders(self._database, self._root, path)
        except ValueError as error:
            raise OutputError(
                f"The output location {expanded} is not possible: {error}."
            ) from error

    def _add(self, stored: StoredFile | StoredFolder, parent: str) -> dict[str, Any]:
        name = names.free_name(self._database, parent, stored.name)
        if name != stored.name and self._conflict == "fail":
            raise OutputError(f"The output {stored.name} exists already.")
        if isinstance(stored, StoredFolder):
            if not names.is_folder_name(name):
                raise OutputError(f"The output folder '{stored.name}' has no valid name.")
            key = self._new(parent, name, None)
            for entry in stored.entries:
                self._add(entry, key)
            return {"class": "Directory", "path": key, "name": name}
        if not names.is_file_name(name):
            raise OutputError(f"The output file '{stored.name}' has no valid name.")
        shown: dict[str, Any] = {
            "class": "File",
            "path": self._new(parent, name, stored.content),
            "name": name,
        }
        if stored.secondary:
            shown["secondaryFiles"] = [self._add(item, parent) for item in stored.secondary]
        return shown

    def _new(self, parent: str, name: str, content: Content | None) -> str:
        return tree.add(
            self._database,
            project=self._task["project"],
            parent=parent,
            name=name,
            content=content,
            origin_task=self._task["id"],
        )


def check_location(location: Any) -> list[str]:
    """What is wrong with an `output_location`, one sentence each."""
    if location is None:
        return []
    if not isinstance(location, dict):
        return ["output_location has to be an object."]
    errors = []
    main = location.get("main_location")
    nodes = location.get("nodes_location") or {}
    if main is not None and not (isinstance(main, str) and main.startswith("/")):
        errors.append("main_location has to be a path in the project: no volume is attached.")
    if not isinstance(nodes, dict) or not all(isinstance(node, dict) for node in nodes.values()):
        return [*errors, "nodes_location has to be an object of objects."]
    for port, node in nodes.items():
        own = node.get("output_location") or ""
        if not isinstance(own, str) or own.startswith("volume"):
            errors.append(f"The location of {port} has to be a path: no volume is attached.")
    return errors
