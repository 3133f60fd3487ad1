"""What identifies a run: when it began, and some digits. Pure."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime

_BEGAN = "%Y%m%d-%H%M%S"
_SUBMITTED = "s"
"""No hexadecimal digit. So it costs no request to know of which runs there is more to find out."""
_RUN = re.compile(rf"(\d{{8}}-\d{{6}})-[0-9a-f]{{6}}{_SUBMITTED}?")
_OF_SUBMITTED = re.compile(rf"(\d{{8}}-\d{{6}}-)?[0-9a-f]{{6}}{_SUBMITTED}")


def new_run_id(*, submitted: bool = False) -> str:
    """For a run that begins now; `submitted` if its main process is to run on the platform."""
    last = _SUBMITTED if submitted else ""
    return f"{datetime.now(UTC):{_BEGAN}}-{uuid.uuid4().hex[:6]}{last}"


def is_submitted(run: str) -> bool:
    """Whether the main process of a run is a task on the platform: its id, or the end of it."""
    return _OF_SUBMITTED.fullmatch(run) is not None


def began_at(run: str) -> datetime | None:
    """When a run began, which its id tells; None if it is no run's id."""
    match = _RUN.fullmatch(run)
    try:
        return datetime.strptime(match[1], _BEGAN).replace(tzinfo=UTC) if match else None
    except ValueError:
        return None


def is_called(run: str, wanted: str) -> bool:
    """Whether a run is meant, by its id or the end of it."""
    return f"-{run}".endswith(f"-{wanted}")
