"""How values are written for people. Pure.

Whatever others have named or written is shown as it is, but for characters that change how the text
around them looks: those are spelled out.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from markupsafe import Markup

_UNSEEN = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f"  # controls but for tabs and line ends
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # these reorder what follows
    "\u200b\u2028\u2029\u2060\ufeff"
    "\ud800-\udfff]"
)
_LINES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SECOND, _MINUTE, _HOUR, _DAY = 1000, 60_000, 3_600_000, 86_400_000
_TENTHS = 10 * _SECOND
"""Below it, tenths of seconds are told."""
_STEP = 1000


def shown(value: Any) -> Any:
    """What stands in a page for a value: the last step before it is escaped."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _UNSEEN.sub(_spelled, value.replace("\r\n", "\n"))


def _spelled(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number <= 0xFF else f"\\u{number:04x}"  # noqa: PLR2004


def line(text: str) -> str:
    """A name on one line, however it was made."""
    return re.sub("[\n\r\t]", lambda match: _LINES[match[0]], text)


def duration(milliseconds: float | None) -> str:
    """`3 h 05 min`; nothing for None."""
    if milliseconds is None:
        return ""
    if milliseconds < _TENTHS:
        return f"{milliseconds / _SECOND:.1f} s"
    if milliseconds < _MINUTE:
        return f"{milliseconds / _SECOND:.0f} s"
    if milliseconds < _HOUR:
        return f"{milliseconds // _MINUTE:.0f} min {milliseconds % _MINUTE // _SECOND:02.0f} s"
    if milliseconds < _DAY:
        return f"{milliseconds // _HOUR:.0f} h {milliseconds % _HOUR // _MINUTE:02.0f} min"
    return f"{milliseconds // _DAY:.0f} d {milliseconds % _DAY // _HOUR:02.0f} h"


def size(number: int) -> str:
    """`2.1 MB`."""
    if number < _STEP:
        return f"{number} B"
    value = float(number)
    for unit in ("kB", "MB", "GB"):
        value /= _STEP
        if value < _STEP - 0.5:
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"  # noqa: PLR2004
    return f"{value / _STEP:.1f} TB"


def moment(text: str) -> str:
    """A time of the API, as the clock of this machine showed it."""
    return _local(text).strftime("%-d %b %Y, %H:%M:%S")


def short_moment(text: str) -> str:
    """The same for a table: the time of today, else also the day."""
    local, today = _local(text), datetime.now().astimezone().date()
    return local.strftime("%H:%M:%S" if local.date() == today else "%-d %b, %H:%M")


def zone() -> str:
    """The name of this machine's time zone."""
    return datetime.now().astimezone().tzname() or "UTC"


def _local(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()


def app(identifier: str, project: str) -> str:
    """An app of this project by its name, another one by its id; and its revision."""
    name, _, revision = identifier.removeprefix(f"{project}/").rpartition("/")
    return f"{name}, revision {revision}"


def price(price: dict[str, Any] | None) -> str:
    """What a task has cost, as far as two decimals tell."""
    if price is None:
        return ""
    amount, currency = price["amount"], price["currency"]
    return f"< 0.01 {currency}" if amount == "0.00" else f"{amount} {currency}"
