"""What is told of uploads and downloads."""

from __future__ import annotations

from contextlib import suppress

import pytest

from snakemake_executor_cavatica.api import traffic
from snakemake_executor_cavatica.api.traffic import Moving, Traffic
from snakemake_executor_cavatica.observe.transfers import Transfers, told

MIB = 1024**2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    times = [100.0]
    monkeypatch.setattr(traffic.time, "monotonic", lambda: times[0])
    return times


def test_files_under_way_are_told_together(clock: list[float]) -> None:
    moved = Traffic()
    assert moved.up.moving is None
    with moved.up.file(100) as first, moved.up.file(0) as second:
        first.add(30)
        second.has_size(50)
        second.add(50)
        clock[0] = 104.0
        assert moved.up.moving == Moving(2, 150, 80, 4.0)
    assert moved.up.moving is None
    assert moved.down.moving is None


def test_what_is_sent_twice_counts_once_and_what_failed_is_not_waited_for(
    clock: list[float],
) -> None:
    moved = Traffic()
    with moved.up.file(100):
        with suppress(OSError), moved.up.file(40) as second:
            second.add(30)
            second.add(30)
            assert moved.up.moving == Moving(2, 140, 40, 0.0)
            raise OSError("broken")
        with moved.up.file(40) as third:
            third.add(10)
        assert moved.up.moving == Moving(1, 150, 50, 0.0)
    with moved.up.file(7):
        assert moved.up.moving == Moving(1, 7, 0, 0.0), "begins anew once nothing is under way"


def test_a_line_comes_when_it_takes_long_and_then_seldom(clock: list[float]) -> None:
    moved = Traffic()
    transfers = Transfers(moved)
    assert list(transfers.lines(0)) == []
    with moved.down.file(400 * MIB) as file:
        file.add(100 * MIB)
        clock[0] = 109.0
        assert list(transfers.lines(9)) == []
        clock[0] = 110.0
        line = "Downloading 1 file: 100 MiB of 400 MiB at 10 MiB/s, about 30 s left"
        assert list(transfers.lines(10)) == [line]
        assert list(transfers.lines(39)) == []
        assert list(transfers.lines(40)) == [line]


def test_without_a_rate_there_is_no_end() -> None:
    assert told(Moving(3, MIB, 0, 20.0)) == "3 files: 0 bytes of 1.0 MiB"
