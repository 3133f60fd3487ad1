"""How a person is asked: before what cannot be undone or costs, and for what only they know."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Sequence

from ..api import CavaticaError, Token

TERMINAL = "the terminal"
"""Where a token comes from that was typed."""
_MOST_SHOWN = 40


def agreed(question: str, nobody: str) -> bool:
    """Ask. Without a terminal there is nobody to ask, and silence is no consent.

    Raises:
        CavaticaError: there is none; with the sentence `nobody`.
    """
    if not is_somebody_there():
        raise CavaticaError(nobody)
    return answer(f"{question} [y/N]").lower() in {"y", "yes"}


def is_somebody_there() -> bool:
    """Whether a person can answer."""
    return sys.stdin.isatty()


def answer(question: str, default: str = "") -> str:
    """What a person types, or the default for an empty line.

    Raises:
        CavaticaError: the terminal was closed instead.
    """
    sys.stdout.write(f"{question}{f' [{default}]' if default else ''} ")
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        raise CavaticaError("The input has ended before all was answered; nothing was written.")
    return line.strip() or default


def chosen(what: str, choices: Sequence[str], *, other: str = "") -> str:
    """One of the choices, by its number or its own text; asked again until it is one.

    Args:
        other: what else may be typed, an address: of that anything with `://` in it will do.
    """
    for number, choice in enumerate(choices[:_MOST_SHOWN], start=1):
        sys.stdout.write(f"{number:4}  {choice}\n")
    if len(choices) > _MOST_SHOWN:
        sys.stdout.write(f"      and {len(choices) - _MOST_SHOWN} more\n")
    while True:
        typed = answer(f"{what}, by number or name{other and f', or {other}'}:", "1")
        if typed in choices or (other and "://" in typed):
            return typed
        if typed.isdecimal() and 1 <= int(typed) <= len(choices):
            return choices[int(typed) - 1]
        sys.stdout.write(f"{typed!r} is none of them.\n")


def secret(question: str) -> Token:
    """A token, which is not shown while it is typed.

    Raises:
        ConfigurationError: what was typed is no token.
        CavaticaError: the terminal was closed instead.
    """
    try:
        return Token(getpass.getpass(f"{question} "), TERMINAL)
    except EOFError:
        raise CavaticaError("The input has ended before a token was typed.") from None
