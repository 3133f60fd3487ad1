"""Which tests run where time matters: a sample of those that take most of it.

Tests of whole runs take five sixths of the time. With each commit another third of them runs, drawn
by its name, if nobody asks for certain tests. Tests with their data in either place run in one of
both, drawn by their own names, unless they are marked `both_places`.
"""

from __future__ import annotations

import os
import subprocess
import zlib
from functools import cache
from pathlib import Path

import pytest

ALL = "CAVATICA_TESTS_ALL"
"""Set where time does not matter: all tests run then, in both places."""

_HERE = Path(__file__).parent
_OF_WHOLE_RUNS = ("cavatica_local", "commands", "coordinator", "faults", "field", "workflow")
_PART = 3
_PLACES = ("transfer", "storage")


def told(config: pytest.Config) -> str:
    """What is drawn, for the report's head."""
    if os.environ.get(ALL):
        return "sample: all tests"
    part = f"one of {_PART}, drawn by commit {_commit()[:7]}" if _is_whole(config) else "all"
    return f"sample: {part} of the tests of whole runs, one place for the data; {ALL}=1 runs all"


def is_drawn(config: pytest.Config, item: pytest.Item) -> bool:
    """Whether a test runs this time."""
    if os.environ.get(ALL):
        return True
    return _is_in_place(item) and (not _is_whole(config) or _has_its_turn(item))


def _is_whole(config: pytest.Config) -> bool:
    """Whether nobody has asked for certain tests."""
    by_default = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    return by_default and not (config.option.keyword or config.option.markexpr)


def _has_its_turn(item: pytest.Item) -> bool:
    folder = item.path.relative_to(_HERE).parts[0]
    if folder not in _OF_WHOLE_RUNS or item.get_closest_marker("always"):
        return True
    return zlib.crc32(f"{_commit()} {item.nodeid}".encode()) % _PART == 0


@cache
def _commit() -> str:
    command = ("git", "rev-parse", "HEAD")
    done = subprocess.run(command, cwd=_HERE, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "none"


def _is_in_place(item: pytest.Item) -> bool:
    params = item.callspec.params if hasattr(item, "callspec") else {}
    if params.get("place") not in _PLACES or item.get_closest_marker("both_places"):
        return True
    others = sorted(str(value) for name, value in params.items() if name != "place")
    name = f"{item.path.name} {item.originalname} {others}"  # type: ignore[attr-defined]
    return _PLACES[zlib.crc32(name.encode()) % len(_PLACES)] == params["place"]
