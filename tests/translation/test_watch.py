"""Which children of batches are looked at, and how often."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from snakemake_executor_cavatica.api import ApiError, Client, NoAnswer, Task
from snakemake_executor_cavatica.watch import Batches


class Platform:
    """Answers about one batch."""

    def __init__(self) -> None:
        self.answer: Task | ApiError = NoAnswer("silence", method="POST", path="/")
        self.asked = 0

    def get_tasks(self, ids: Iterable[str], **_: Any) -> dict[str, Task | ApiError]:
        ids = list(ids)
        self.asked += bool(ids)
        return dict.fromkeys(ids, self.answer)

    def tells(self, status: str = "RUNNING", **counts: int) -> None:
        document = {"id": "batch", "status": status, "execution_status": counts}
        self.answer = Task.model_validate(document)


CHILDREN = {f"child{number}": "batch" for number in range(50)}


def watched() -> tuple[Platform, Batches]:
    platform = Platform()
    return platform, Batches(cast("Client", platform))


def looks(batches: Batches, times: int) -> int:
    """How often the children are looked at in so many polls."""
    return sum(not batches.resting(CHILDREN) for _ in range(times))


def test_children_rest_while_their_batch_tells_nothing_new() -> None:
    platform, batches = watched()
    platform.tells(completed=0, failed=0, aborted=0)
    assert looks(batches, 20) == 0
    assert looks(batches, 1) == 1, "counts may be wrong"


def test_a_fifth_that_has_ended_is_looked_at_once_and_a_few_are_soon() -> None:
    platform, batches = watched()
    platform.tells(completed=9, failed=1, aborted=0)
    assert looks(batches, 10) == 1
    platform.tells(completed=10, failed=1, aborted=0)
    assert looks(batches, 5) == 1


def test_what_the_batch_does_not_tell_is_looked_up() -> None:
    platform, batches = watched()
    assert looks(batches, 2) == 2
    platform.tells(completed=0)
    assert looks(batches, 2) == 2
    platform.tells("COMPLETED", completed=0, failed=0, aborted=0)
    assert looks(batches, 2) == 2


def test_small_batches_are_not_asked() -> None:
    platform, batches = watched()
    few = {f"child{number}": "batch" for number in range(10)}
    assert batches.resting(few) == set()
    assert platform.asked == 0
