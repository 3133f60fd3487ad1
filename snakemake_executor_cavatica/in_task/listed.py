"""Names in folders that are not here, as `os.scandir` tells of them.

Goes along with `as_parsed.py`, and may import as little as that.
"""

import os
from collections.abc import Iterator
from typing import Any

FOLDER, _LINK_TO_FOLDER, _FILE, _LINK_TO_FILE, _DANGLING = "d", "l", "f", "s", "x"
"""What a name in a folder stands for."""
MADE = "m"
"""The workflow has made it while it was parsed: it is there once it is made anew."""


def kind_of(entry: Any) -> str:
    """What an entry of `os.scandir` stands for."""
    if not entry.is_symlink():
        return FOLDER if entry.is_dir() else _FILE
    if entry.is_dir():
        return _LINK_TO_FOLDER
    return _LINK_TO_FILE if entry.is_file() else _DANGLING


class Entry:
    """A name in a folder that is not here, as `os.scandir` tells it."""

    def __init__(self, folder: str, name: str, kind: str) -> None:
        self.name = name
        self.path = os.path.join(folder, name)
        self._kind = kind

    def __fspath__(self) -> str:
        return self.path

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._kind == FOLDER or (self._kind == _LINK_TO_FOLDER and follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self._kind == _FILE or (self._kind == _LINK_TO_FILE and follow_symlinks)

    def is_symlink(self) -> bool:
        return self._kind in {_LINK_TO_FOLDER, _LINK_TO_FILE, _DANGLING}

    def inode(self) -> int:
        return self.stat(follow_symlinks=False).st_ino

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(self.path, follow_symlinks=follow_symlinks)


class Entries:
    """What `os.scandir` returns."""

    def __init__(self, entries: list[Any]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[Any]:
        return self._entries

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> "Entries":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """There is nothing to close."""
