"""The inputs and outputs of a task as a page lists them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cavatica_local.pages.visit import Visit, address
from cavatica_local.services.files import get_file

_MOST = 100
"""Values of one port that are shown."""
_LONGEST = 20_000
"""Characters of one value that are shown."""
_ONE_LINE = 200


@dataclass(frozen=True)
class Value:
    """A file with its page, or a text."""

    text: str
    href: str = ""
    size: int | None = None
    is_gone: bool = False
    """A file that is not there any more, or not for this user."""

    @property
    def is_long(self) -> bool:
        """Whether it is shown only when somebody wants to see it."""
        return "\n" in self.text.rstrip("\n") or len(self.text) > _ONE_LINE

    @property
    def beginning(self) -> str:
        """What stands for a long one."""
        return self.text.lstrip().partition("\n")[0][:_ONE_LINE]


@dataclass(frozen=True)
class PortValues:
    """What a task got or gave at one port."""

    name: str
    values: list[Value] = field(default_factory=list)
    more: int = 0
    """Values that are not shown."""


def port_values(visit: Visit, values: Mapping[str, Any]) -> list[PortValues]:
    """Inputs or outputs, by port."""
    return [_port(visit, name, value) for name, value in sorted(values.items())]


def _port(visit: Visit, name: str, value: Any) -> PortValues:
    items = value if isinstance(value, list) else [] if value is None else [value]
    shown = [one for item in items[:_MOST] for one in _shown(visit, item)]
    return PortValues(name, shown, max(0, len(items) - _MOST))


def _shown(visit: Visit, item: Any) -> Iterator[Value]:
    """One value; a file with the files that belong to it."""
    if not isinstance(item, dict) or item.get("class") not in ("File", "Directory"):
        yield Value(_text(item))
        return
    yield _file(visit, item)
    for other in item.get("secondaryFiles") or []:
        yield from _shown(visit, other)


def _text(item: Any) -> str:
    text = item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]}\n… and {len(text) - _LONGEST} characters more"


def _file(visit: Visit, item: dict[str, Any]) -> Value:
    """A file or folder by the name that it has now; its project may be another one."""
    key = str(item.get("path"))
    document = visit.ask_or_none(get_file, {"file_id": key})
    if document is None:
        return Value(str(item.get("name") or key), is_gone=True)
    is_folder = document["type"] == "FOLDER"
    return Value(
        document["name"] + "/" * is_folder,
        address(document["project"], "files", key),
        None if is_folder else document["size"],
    )
