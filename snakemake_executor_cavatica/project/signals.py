"""What Ctrl-C, a closed terminal and SIGTERM mean while the plugin waits for something."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from ..api import Stopped


def interrupt_at_hangup() -> None:
    """A closed terminal is to abort the tasks like Ctrl-C, not to leave them running."""
    if _may_be_set() and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # not under nohup
        signal.signal(signal.SIGHUP, signal.default_int_handler)


@contextmanager
def ended_by_signals(what: str) -> Iterator[None]:
    """While a run begins: a signal ends it by an error that Snakemake shows as one sentence.

    Snakemake then takes its lock away, which it does not if SIGTERM ends the process.

    Raises:
        Stopped: there was a signal; `what` says what was under way.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        with _handled(dict.fromkeys(numbers, _interrupt)):
            yield
    except KeyboardInterrupt:
        raise Stopped(f"Interrupted while {what}.") from None


@contextmanager
def second_signal(then: Callable[[], None]) -> Iterator[None]:
    """While tasks are being aborted: one more Ctrl-C must not keep the rest from being asked."""
    numbers = (signal.SIGINT, signal.SIGHUP)
    with _handled({number: lambda *_: then() for number in numbers}):
        yield


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - Python's signature
    # A second one (a terminal and its shell may both send it) would hit what the first one ends.
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def _handled(handlers: dict[signal.Signals, Callable[..., object]]) -> Iterator[None]:
    """With these handlers; those that are ignored stay so, as under nohup."""
    if not _may_be_set():
        yield
        return
    before = {number: signal.getsignal(number) for number in handlers}
    changed = {
        number: handler
        for number, handler in before.items()
        if handler not in (None, signal.SIG_IGN)  # None: it is not Python's
    }
    try:
        for number in changed:
            signal.signal(number, handlers[number])
        yield
    finally:
        for number, handler in changed.items():
            signal.signal(number, handler)


def _may_be_set() -> bool:
    return threading.current_thread() is threading.main_thread()
