"""What a second signal means that comes just after the first one has ended a run's beginning."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from snakemake_executor_cavatica.api import Stopped
from snakemake_executor_cavatica.project import signals


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """Signals that came through to the handler from before."""
    numbers: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: numbers.append(number))
    yield numbers
    signal.signal(signal.SIGTERM, before)


def test_an_echo_of_the_signal_that_ended_a_run_is_borne(
    heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects the one sentence that tells the user what was interrupted, and Snakemake's lock:
    a shell and a terminal may both send a signal, and the second one may come late."""
    with (
        pytest.raises(Stopped, match=r"Interrupted while inner was done\."),
        signals.ended_by_signals("outer was done"),
        signals.ended_by_signals("inner was done"),
    ):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert heard == []
    later = time.monotonic() + 60
    monkeypatch.setattr(time, "monotonic", lambda: later)
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM, signal.SIGTERM]


def test_without_a_signal_all_is_as_before(heard: list[int]) -> None:
    with signals.ended_by_signals("something was done"):
        pass
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM]
