"""What a run says where nobody listens any more: `less` was left, or Ctrl-C has ended `tee`, too.

Whatever says something then meets an error. Snakemake lets it through its log, in the middle of
what was to be done, such as to abort the tasks of a run that is interrupted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any


class LogOutput:
    """What a log is written to, apart from files, which keep their words."""

    def __init__(self, logger: logging.Logger) -> None:
        """From now on the log says nothing where nobody listens."""
        self._closed = threading.Event()
        self._is_told = False
        for handler in logger.handlers:
            is_file = isinstance(handler, logging.FileHandler)
            if isinstance(handler, logging.StreamHandler) and not is_file:
                handler.setStream(_Stream(handler.stream, self._closed))

    def was_closed(self) -> bool:
        """Whether somebody has stopped listening; True only once."""
        news = self._closed.is_set() and not self._is_told
        self._is_told = self._is_told or news
        return news


class _Stream:
    """A stream that may be closed at its other end."""

    def __init__(self, stream: Any, closed: threading.Event) -> None:
        self._stream = stream
        self._closed = closed

    def write(self, text: str) -> None:
        """Say it, if somebody listens."""
        self._bear(lambda: self._stream.write(text))

    def flush(self) -> None:
        """Say what is left to say."""
        self._bear(self._stream.flush)

    def _bear(self, act: Callable[[], object]) -> None:
        try:
            act()
        except BrokenPipeError:
            self._closed.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
