"""Texts of others in our messages: as they are, but harmless. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from ..in_task.names import COMMAND_NAME

LONGEST_TEXT = 1000
_MOST_NAMES = 10


def is_named(path: str, text: str) -> bool:
    """Whether a text speaks of a file, by its path or its name."""
    name = re.escape(posixpath.basename(path))
    return re.search(rf"(?<![\w.+-]){name}(?!\.?[\w+-])", text) is not None


_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What could move the cursor of a terminal or change its colours."""


def one_line(text: str) -> str:
    """A text of others, as a part of a sentence."""
    return _cut(" ".join(_CONTROL.sub("", text[: 4 * LONGEST_TEXT]).split()), LONGEST_TEXT)


_OWN_PATH = re.compile(rf"^(/\S*/)?{re.escape(COMMAND_NAME)}(\.filled)?: ")
"""A shell begins each of its messages with the file that it runs, which lies deep in a task."""


def shown(line: str, length: int) -> str:
    """A line of others, as it is but harmless; a long one loses its middle: the end tells more."""
    room = 4 * length
    text = line if len(line) <= room else line[: room // 2] + line[-room // 2 :]
    text = _OWN_PATH.sub("command: ", _CONTROL.sub("", text))
    if len(text) <= length:
        return text
    return f"{text[: (length - 1) // 2]}…{text[-(length // 2) :]}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def plain(path: str) -> str:
    """What people call a file: those of a storage have a path in the task that nobody has given."""
    return posixpath.basename(path) if path.startswith(".snakemake/") else path


def some(names: Sequence[str]) -> str:
    """The first of many names."""
    more = len(names) - _MOST_NAMES
    first = ", ".join(one_line(name) for name in names[:_MOST_NAMES])
    return f"{first} and {more} more" if more > 0 else first
