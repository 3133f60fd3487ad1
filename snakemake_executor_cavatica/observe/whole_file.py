"""Files that people ask for: written as a whole, or not at all."""

from __future__ import annotations

import uuid
from pathlib import Path


def write_whole(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write a file, or leave what was there; of a link, what it leads to.

    Args:
        errors: what becomes of characters that UTF-8 does not have, see `open`.

    Raises:
        OSError: it cannot be written.
    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8", errors=errors)  # nothing may replace a device
        return
    target = path.resolve()
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        part.write_text(text, encoding="utf-8", errors=errors)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
