"""Times, sizes and amounts as people read them. Pure."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_KIB = 1024


def money(amount: float, currency: str = "") -> str:
    """An amount with two decimals, as on the platform."""
    return f"{amount:.2f} {currency}".rstrip()


def duration(seconds: float) -> str:
    """`12 s`, `3 min 20 s`, `2 h 5 min`, `3 days 4 h`."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, (_MINUTE, "min"), (1, "s"))
    if whole < _DAY:
        return _two(whole, (_HOUR, "h"), (_MINUTE, "min"))
    return _two(whole, (_DAY, "days" if whole >= 2 * _DAY else "day"), (_HOUR, "h"))


def _two(seconds: int, large: tuple[int, str], small: tuple[int, str]) -> str:
    count, rest = divmod(seconds, large[0])
    few = rest // small[0]
    return f"{count} {large[1]}" + (f" {few} {small[1]}" if few else "")


def size(number: float) -> str:
    """Bytes as `314 MiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if number < _KIB or unit == "TiB":
            break
        number /= _KIB
    decimals = 0 if unit == "bytes" or number >= 10 else 1  # noqa: PLR2004 - three digits at most
    return f"{number:.{decimals}f} {unit}"


def several(number: int, what: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
