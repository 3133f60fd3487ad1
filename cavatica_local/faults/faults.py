"""Faults to inject, and the dice that decide what they strike. No HTTP and no tasks in here.

A fault strikes requests or tasks, by its kind. The dice are seeded: for each task name, the first,
second, ... start of a task of that name always meet the same. For requests the same holds for the
first, second, ... request that a fault matches, so there it also matters in which order they come.
"""

from __future__ import annotations

import random
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

API = "/v2"
STORAGE = "/storage/"

WINDOWS = ("maintenance", "rate-limit")
"""From the first call that is struck, every call to the API, for so many seconds."""
TRANSFERS = ("truncate", "shorten", "corrupt", "slow")
"""The request is served, but the bytes of its body or of the answer suffer."""
REQUESTS = (
    *("status", "status-after", "page", "drop-before", "drop-after", "delay", "expire"),
    *WINDOWS,
    *TRANSFERS,
)
TASKS = ("fail-task", "lose-task", "interrupt-task", "hold-task")

NO_SPACE = "Insufficient disk space: no space left on device."
ENDINGS = {
    "memory": "The job was terminated because it exceeded the memory of the instance.",
    "disk": NO_SPACE,
    "image": "The Docker image could not be pulled: manifest unknown.",
    "time": "The task exceeded the maximum execution time and was terminated.",
    "platform": "Internal error: the task failed because of a problem on the platform.",
}
"""How the platform ends tasks, by reason. The real wording is not documented: these are guesses."""


def ending(reason: str, message: str | None) -> str:
    """A failed task's message: the one that is given, or the one for a reason."""
    if message is not None:
        return message
    if reason not in ENDINGS:
        raise ValueError(f"there is no reason '{reason}', only {', '.join(ENDINGS)}")
    return ENDINGS[reason]


@dataclass
class Fault:
    """A failure to inject into the requests or tasks that match."""

    do: str
    """One of REQUESTS or TASKS."""
    method: str = ".*"
    """Regular expression for the whole method of a request."""
    path: str = ".*"
    """Regular expression, searched in the path of a request with its query."""
    task: str = ".*"
    """Regular expression, searched in the name of a task."""
    status: int = 503
    code: int = 90004
    seconds: float = 1.0
    """A delay, the length of a window, or how long after its start a task is struck."""
    share: float = 0.5
    """How much of an answer is kept by `truncate` and `shorten`."""
    bytes_per_second: int = 65536
    reason: str = "platform"
    """Key of ENDINGS."""
    message: str | None = None
    """A message of one's own instead of that for the reason."""
    times: int | None = None
    """How often at most; None: always."""
    probability: float = 1.0
    _until: float = field(default=0.0, init=False, repr=False)
    """When the open window ends, Unix seconds."""

    def __post_init__(self) -> None:
        if self.do not in (*REQUESTS, *TASKS):
            raise ValueError(f"there is no fault '{self.do}'")
        if not 0 <= self.share < 1 or self.bytes_per_second < 1:
            raise ValueError("share is at least 0 and below 1, bytes_per_second at least 1")
        self.message = ending(self.reason, self.message)
        self._method = re.compile(self.method, re.IGNORECASE)
        self._path = re.compile(self.path)
        self._task = re.compile(self.task)

    @property
    def window_end(self) -> float:
        """When the window of `maintenance` or `rate-limit` ends, Unix seconds."""
        return self._until

    def in_window(self, path: str) -> bool:
        """Whether this is a call to the API while a window is open."""
        return self._until > time.time() and path.startswith(API)

    def open_window(self) -> None:
        """From now on every call to the API is struck, for a while."""
        self._until = time.time() + self.seconds

    def matches_request(self, method: str, path: str) -> bool:
        """Whether this request may meet the fault."""
        if self.do not in REQUESTS or self.times == 0:
            return False
        if self.do in WINDOWS and not path.startswith(API):
            return False
        if self.do == "expire" and not path.startswith(STORAGE):
            return False
        return bool(self._method.fullmatch(method) and self._path.search(path))

    def matches_task(self, name: str, *, spot: bool) -> bool:
        """Whether this task may meet the fault: only spot instances are taken away."""
        if self.do not in TASKS or self.times == 0 or (self.do == "interrupt-task" and not spot):
            return False
        return bool(self._task.search(name))

    def as_json(self) -> dict[str, Any]:
        """The fault as it was given, with what is left of `times`."""
        return {name: value for name, value in asdict(self).items() if name[0] != "_"}


class Faults:
    """All faults of a server, its seed, and how often each kind struck."""

    seed: int

    def __init__(self, seed: int | None = None) -> None:
        self.struck: Counter[str] = Counter()
        self.replace([], secrets.randbits(32) if seed is None else seed)

    def replace(self, faults: list[Fault], seed: int | None = None) -> None:
        """Inject these faults from now on, and start the dice anew, with this seed or the last."""
        if seed is not None:
            self.seed = seed
        self._faults = faults
        self._rolls: Counter[str] = Counter()

    def as_json(self) -> dict[str, Any]:
        """Seed, faults, and how often each kind struck since the start of the server."""
        faults = [fault.as_json() for fault in self._faults]
        return {"seed": self.seed, "faults": faults, "struck": dict(self.struck)}

    def roll(self, *key: object) -> float:
        """The next number in [0, 1) for a key, by the seed and the earlier rolls for that key."""
        text = "/".join(map(str, (self.seed, *key)))
        self._rolls[text] += 1
        return random.Random(f"{text}/{self._rolls[text]}").random()  # noqa: S311 - no secret

    def for_request(self, method: str, path: str) -> Iterator[Fault]:
        """The faults that a request meets, in order."""
        for index, fault in enumerate(self._faults):
            if fault.in_window(path):
                self.struck[fault.do] += 1
                yield fault
            elif fault.matches_request(method, path) and self._hits(fault, index):
                if fault.do in WINDOWS:
                    fault.open_window()
                yield fault

    def for_task(self, name: str, *, spot: bool) -> Fault | None:
        """The fault that a task meets, which is about to start."""
        for index, fault in enumerate(self._faults):
            if fault.matches_task(name, spot=spot) and self._hits(fault, index, name):
                return fault
        return None

    def _hits(self, fault: Fault, *key: object) -> bool:
        """Throw the dice for a fault that matches; counts if it strikes."""
        if self.roll(*key) >= fault.probability:
            return False
        if fault.times is not None:
            fault.times -= 1
        self.struck[fault.do] += 1
        return True
