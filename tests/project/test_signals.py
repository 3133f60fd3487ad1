"""What signals mean: a second one just after the first, and which one a process listens to."""

from __future__ import annotations

import signal
import subprocess
import sys
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


def test_while_a_run_ends_a_signal_hurries_it_and_one_after_that_is_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Protects those who want to leave at once, and tasks from a signal that was handed on."""
    hurries: list[float] = []
    before, now = signal.signal(signal.SIGHUP, signal.default_int_handler), time.monotonic()
    try:
        monkeypatch.setattr(time, "monotonic", lambda: now)
        with signals.second_signal(lambda: hurries.append(now)):
            signal.raise_signal(signal.SIGHUP)  # handed on by a shell
            assert hurries == []
            for seconds in (1, 1):  # the second of these means no more than the first
                now += seconds
                signal.raise_signal(signal.SIGHUP)
            assert len(hurries) == 1
            now += 60
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_without_a_signal_all_is_as_before(heard: list[int]) -> None:
    with signals.ended_by_signals("something was done"):
        pass
    signal.raise_signal(signal.SIGTERM)
    assert heard == [signal.SIGTERM]


@pytest.mark.parametrize(
    ("ignored", "expected"),
    [
        ("", signal.SIGINT),
        ("SIGINT", signal.SIGHUP),
        ("SIGHUP", signal.SIGINT),
        ("SIGINT SIGHUP", None),
    ],
)
def test_what_a_run_listens_to(ignored: str, expected: signal.Signals | None) -> None:
    program = (
        "import signal\n"
        "from snakemake_executor_cavatica.project.signals import interrupt_at_hangup\n"
        "interrupt_at_hangup()\nprint('ready', flush=True)\ninput()"
    )

    def ignore() -> None:
        for name in ("SIGINT", "SIGHUP"):
            action = signal.SIG_IGN if name in ignored.split() else signal.SIG_DFL
            signal.signal(getattr(signal, name), action)

    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        preexec_fn=ignore,  # noqa: PLW1509
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert signals.signal_to_interrupt(process.pid) is expected
        process.kill()
