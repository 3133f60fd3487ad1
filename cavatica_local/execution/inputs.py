"""A task's inputs: checked against the app's ports, and turned into a CWL job order."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from cavatica_local.cwl import documents
from cavatica_local.cwl.documents import Port
from cavatica_local.state import names, tree
from cavatica_local.state.database import Database
from cavatica_local.state.platform import Platform

TYPES = {"file": "File", "folder": "Directory"}


class InputReader:
    """Checks values and looks up each file once."""

    def __init__(self, database: Database, project: str) -> None:
        self._database = database
        self._project = project
        self._rows: dict[str, sqlite3.Row | None] = {}

    def file(self, key: Any) -> sqlite3.Row | None:
        """A file or folder by id."""
        if not isinstance(key, str):
            return None
        if key not in self._rows:
            self._rows[key] = tree.find(self._database, key)
        return self._rows[key]

    def check_file(self, value: dict[str, Any], kind: str) -> str | None:
        """Inputs have to be files of the task's own project: others have to be copied first."""
        row = self.file(value.get("path"))
        if row is None:
            return f"file {value.get('path')} does not exist"
        if row["project"] != self._project:
            return f"file {row['id']} is not in the task's project"
        if TYPES[row["type"]] != kind:
            return f"file {row['id']} is a {row['type']}"
        return None

    def errors(self, ports: Mapping[str, Port], inputs: Mapping[str, Any]) -> list[str]:
        """What is wrong with inputs, one sentence each."""
        errors = [
            f"Input {name}: the app has no such input." for name in inputs if name not in ports
        ]
        for name, port in ports.items():
            value = inputs.get(name)
            if value is None:
                if not port.optional and port.default is None:
                    errors.append(f"Input {name}: a value is required.")
            elif reason := documents.mismatch(value, port.type, self.check_file):
                errors.append(f"Input {name}: {reason}.")
        return errors

    def stored(self, ports: Mapping[str, Port], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs as a task shows them: every port by id, files with their names."""
        names = [*ports, *(name for name in inputs if name not in ports)]
        return {name: self._shown(inputs.get(name)) for name in names}

    def _shown(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._shown(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("class") not in ("File", "Directory"):
            return {name: self._shown(item) for name, item in value.items()}
        shown = {"class": value["class"], "path": value.get("path")}
        row = self.file(value.get("path"))
        if row is not None:
            shown["name"] = row["name"]
        return shown


class MissingInput(Exception):
    """An input that was there when the task was started is gone."""


class JobOrder:
    """Builds the job order of one execution and notes which contents it uses."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self.blobs: dict[str, int] = {}
        """Each content with its time of modification in nanoseconds."""
        self.sizes: dict[str, int] = {}
        """Bytes of each file."""

    def build(self, ports: Mapping[str, Port], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The CWL job order; inputs without a value are left out, so that defaults apply."""
        order = {}
        for name, value in inputs.items():
            if value is not None:
                patterns = ports[name].secondary_files if name in ports else ()
                order[name] = self._value(value, patterns)
        return order

    def _value(self, value: Any, patterns: tuple[str, ...]) -> Any:
        if isinstance(value, list):
            return [self._value(item, patterns) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("class") not in ("File", "Directory"):
            return {name: self._value(item, patterns) for name, item in value.items()}
        row = tree.find(self._platform.database, value["path"])
        if row is None:
            raise MissingInput(f"The input file {value['path']} does not exist any more.")
        entry = self._entry(row)
        if patterns and row["type"] == "file" and self._platform.switches.secondary_files_picked_up:
            entry["secondaryFiles"] = self._secondary(row, patterns)
        return entry

    def _entry(self, row: sqlite3.Row) -> dict[str, Any]:
        if row["type"] == "folder":
            items = tree.children(self._platform.database, row["id"])
            listing = [self._entry(item) for item in items]
            return {"class": "Directory", "basename": row["name"], "listing": listing}
        path = self._platform.blobs.path(row["blob"])
        try:
            self.blobs[row["blob"]] = path.stat().st_mtime_ns
        except FileNotFoundError:
            raise MissingInput(
                f"The input file {row['name']} ({row['id']}) is lost, because a task has changed "
                "the content. Upload it again."
            ) from None
        self.sizes[row["id"]] = row["size"]
        return {
            "class": "File",
            "location": path.as_uri(),
            "basename": row["name"],
            "size": row["size"],
        }

    def _secondary(self, row: sqlite3.Row, patterns: tuple[str, ...]) -> list[dict[str, Any]]:
        """Files beside a primary file that match the port's patterns (third-party practice)."""
        wanted = [documents.secondary_name(row["name"], pattern) for pattern in patterns]
        found = [names.taken_by(self._platform.database, row["parent"], name) for name in wanted]
        return [self._entry(item) for item in found if item is not None]
