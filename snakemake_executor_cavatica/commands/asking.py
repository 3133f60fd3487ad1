"""How a person is asked before something that cannot be undone, or costs."""

from __future__ import annotations

import sys

from ..api import CavaticaError


def agreed(question: str, nobody: str) -> bool:
    """Ask. Without a terminal there is nobody to ask, and silence is no consent.

    Raises:
        CavaticaError: there is none; with the sentence `nobody`.
    """
    if not sys.stdin.isatty():
        raise CavaticaError(nobody)
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}
