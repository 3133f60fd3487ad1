"""How simulated tasks behave: for how long, with how much memory and disk, and how they fail.

By the task's name, and seeded: the same task meets the same in every run of one seed. What it needs
of memory and disk stays the same however often it starts; all else is thrown anew for each start.
"""

from __future__ import annotations

import json
import math
import random
import re
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

Range = tuple[float, float]


@dataclass(frozen=True)
class Behaviour:
    """Of the tasks whose name matches."""

    task: str = ".*"
    """Regular expression, searched in the name."""
    seconds: Range = (60.0, 60.0)
    memory_mb: Range = (0.0, 0.0)
    """A task that asks for less than it needs is killed."""
    disk_mb: Range = (0.0, 0.0)
    """With inputs and outputs. A task whose instance has less finds no space left."""
    fails: float = 0.0
    """Share of the starts that end with exit status 1."""
    spot_loss: float = 0.0
    """Share of the starts on spot instances that lose them."""


@dataclass(frozen=True)
class Fate:
    """What becomes of one start of a task."""

    seconds: float
    """Until it ends, in whatever way."""
    memory_mb: float
    disk_mb: float
    fails: bool
    is_lost: bool
    """If it runs on a spot instance."""


class Simulation:
    """Throws the dice."""

    def __init__(
        self, seconds: Range, behaviours: list[Behaviour], seed: int | None = None
    ) -> None:
        self._behaviours = [*behaviours, Behaviour(seconds=seconds)]
        self._seed = secrets.randbits(32) if seed is None else seed
        self._starts: Counter[str] = Counter()

    def fate(
        self, name: str, *, interruptible: bool, memory_mb: float, disk_mb: float = math.inf
    ) -> Fate:
        """What becomes of the next start of a task that asks for so much memory, and whose instance
        has so much disk.
        """
        behaviour = next(one for one in self._behaviours if re.search(one.task, name))
        self._starts[name] += 1
        dice = random.Random(f"{self._seed}/{name}/{self._starts[name]}")  # noqa: S311 - no secret
        needed = random.Random(f"{self._seed}/{name}")  # noqa: S311 - no secret
        seconds, early = dice.uniform(*behaviour.seconds), dice.random()
        fails, is_lost = dice.random() < behaviour.fails, dice.random() < behaviour.spot_loss
        memory, disk = needed.uniform(*behaviour.memory_mb), needed.uniform(*behaviour.disk_mb)
        is_lost = is_lost and interruptible
        is_short = fails or is_lost or memory > memory_mb or disk > disk_mb
        return Fate(seconds * early if is_short else seconds, memory, disk, fails, is_lost)


def read_behaviours(path: Path) -> list[Behaviour]:
    """Read a list of behaviours, as JSON; the first whose `task` is found in a name counts.

    Raises:
        ValueError: the file does not hold that; the message names the entry.
    """
    try:
        entries = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(entries, list):
        raise ValueError(f"{path} holds no list of behaviours")
    return [_behaviour(path, number, entry) for number, entry in enumerate(entries, 1)]


def _behaviour(path: Path, number: int, entry: Any) -> Behaviour:
    known = {item.name for item in fields(Behaviour)}
    if not isinstance(entry, dict) or not set(entry) <= known:
        raise ValueError(f"entry {number} of {path} is no object of {', '.join(sorted(known))}")
    try:
        values = {name: _CONVERTERS[name](value) for name, value in entry.items()}
        re.compile(values.get("task", ""))
    except (ValueError, TypeError, re.error) as error:
        raise ValueError(f"entry {number} of {path} is wrong: {error}") from error
    return Behaviour(**values)


def read_range(value: Any) -> Range:
    """A number, or two with a dash between them, none below 0, the smaller first."""
    first, _, last = str(value).partition("-")
    try:
        low, high = float(first), float(last or first)
    except ValueError:
        low = high = float("nan")
    if not 0 <= low <= high < float("inf"):
        raise ValueError(f"{value!r} is neither a number nor a range such as 5-60")
    return low, high


def _share(value: Any) -> float:
    if not 0 <= float(value) <= 1:
        raise ValueError(f"{value!r} is no share between 0 and 1")
    return float(value)


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "task": str,
    "seconds": read_range,
    "memory_mb": read_range,
    "disk_mb": read_range,
    "fails": _share,
    "spot_loss": _share,
}
