"""What identifies a run: when it began, and some digits. Pure."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime

_BEGAN = "%Y%m%d-%H%M%S"
_RUN = re.compile(r"(\d{8}-\d{6})-[0-9a-f]{6}")


def new_run_id() -> str:
    """For a run that begins now."""
    return f"{datetime.now(UTC):{_BEGAN}}-{uuid.uuid4().hex[:6]}"


def began_at(run: str) -> datetime | None:
    """When a run began, which its id tells; None if it is no run's id."""
    match = _RUN.fullmatch(run)
    try:
        return datetime.strptime(match[1], _BEGAN).replace(tzinfo=UTC) if match else None
    except ValueError:
        return None
