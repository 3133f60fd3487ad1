"""The files of this folder that travel into tasks, as they lie here; read when first wanted."""

from __future__ import annotations

from functools import cache
from importlib import resources

from .names import TAG


def content(name: str) -> bytes:
    """A file of this folder."""
    return resources.files(__package__).joinpath(name).read_bytes()


@cache
def functions() -> str:
    """The shell functions that a job's script is made of."""
    return content("functions.sh").decode().replace("@TAG@", TAG)


@cache
def functions_for_packed_jobs() -> str:
    """Those that run several jobs in one task."""
    return content("packed_jobs.sh").decode()
