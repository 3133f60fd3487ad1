"""What Ctrl-C, a closed terminal and SIGTERM mean while the plugin waits for something."""

from __future__ import annotations

import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from weakref import WeakMethod

from ..api import Stopped

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ECHO = 2.0
"""Seconds within which a second signal means no more than the first one did."""
_HANDED_ON = 0.3
"""The same where it may mean more: a shell, or another parent, hands on what it gets itself."""


def interrupt_at_hangup() -> None:
    """A closed terminal is to abort the tasks like Ctrl-C, not to leave them running."""
    if _may_be_set() and signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # not under nohup
        signal.signal(signal.SIGHUP, signal.default_int_handler)


def signal_to_interrupt(process: int) -> signal.Signals | None:
    """What ends the run in a process of this machine as Ctrl-C does; None if it would not listen.

    Started in the background by a script, it ignores Ctrl-C itself; under nohup, the end of its
    terminal.
    """
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:  # no Linux
        return signal.SIGINT
    caught = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    numbers = int(caught[1], 16) if caught else 0
    wanted = (signal.SIGINT, signal.SIGHUP)
    return next((one for one in wanted if numbers >> (one - 1) & 1), None)


@contextmanager
def ended_by_signals(what: str) -> Iterator[None]:
    """While a run begins: a signal ends it by an error that Snakemake shows as one sentence.

    Snakemake then takes its lock away, which it does not if SIGTERM ends the process.

    Raises:
        Stopped: there was a signal; `what` says what was under way.
    """
    try:
        with _handled(dict.fromkeys(_ENDING, _interrupt)):
            yield
    except KeyboardInterrupt:
        raise Stopped(f"Interrupted while {what}.") from None


@contextmanager
def second_signal(then: Callable[[], None]) -> Iterator[None]:
    """While an interrupted run ends: one more Ctrl-C must not keep its tasks from being aborted.

    Another one, after a while, means what it meant before.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGHUP)}
    began = time.monotonic()

    def hurry(*_: object) -> None:
        if time.monotonic() < began + _HANDED_ON:
            return
        for number, handler in before.items():
            if signal.getsignal(number) is hurry:
                signal.signal(number, _bearing_echoes(handler))
        then()

    with _handled(dict.fromkeys(before, hurry)):
        yield


def at_uncaught(act: Callable[[], None]) -> None:
    """Have something done if this process is about to end by an exception that nobody catches, such
    as a second Ctrl-C in the moment when the first one is being seen to; `act` is a method.
    """
    show, method = sys.excepthook, WeakMethod(act)

    def hook(*uncaught: Any) -> None:
        try:
            if (alive := method()) is not None:
                alive()
        finally:
            show(*uncaught)

    sys.excepthook = hook


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - Python's signature
    # A second one (a terminal and its shell may both send it) would hit what the first one ends.
    for other in _ENDING:
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _bearing_echoes(then: Any) -> Callable[[int, FrameType | None], None]:
    """A handler for a second signal that comes late: it must not hit the end that the first one
    brings about. After a while it means what it meant before, which is `then`.
    """
    end = time.monotonic() + _ECHO

    def bear(number: int, frame: FrameType | None) -> None:
        if time.monotonic() < end:
            return
        signal.signal(number, then)
        if callable(then):
            then(number, frame)
        else:
            signal.raise_signal(number)

    return bear


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
    except (KeyboardInterrupt, Stopped):
        changed = {number: _bearing_echoes(handler) for number, handler in changed.items()}
        raise
    finally:
        for number, handler in changed.items():
            signal.signal(number, handler)


def _may_be_set() -> bool:
    return threading.current_thread() is threading.main_thread()
