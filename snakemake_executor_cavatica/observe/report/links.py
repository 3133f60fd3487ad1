"""Addresses that a report may link to. Pure."""

from __future__ import annotations

import re

_WEB = re.compile(r"https?://[^\s\x00-\x1f]+", re.IGNORECASE)


def safe_link(address: str | None) -> str | None:
    """An address of the web; None of anything else, such as a script."""
    return address if address is not None and _WEB.fullmatch(address) else None
