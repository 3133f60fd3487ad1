"""New ids, as the platform's look."""

from __future__ import annotations

import secrets
import uuid


def file_id() -> str:
    """A new id of a file or folder: 24 hexadecimal digits, as in the documented examples."""
    return secrets.token_hex(12)


def new_uuid() -> str:
    """A new id of a task, project or billing group: the provider's client demands UUIDs."""
    return str(uuid.uuid4())
