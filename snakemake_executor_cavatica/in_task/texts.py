"""The files of this folder that travel into tasks, as they lie here; read when first wanted."""

from __future__ import annotations

from functools import cache
from importlib import resources

from .names import MEASURED_NAME, SMALL_OUTPUTS, TAG


def content(name: str) -> bytes:
    """A file of this folder."""
    return resources.files(__package__).joinpath(name).read_bytes()


@cache
def functions() -> str:
    """The shell functions that a job's script is made of."""
    return _shell("functions.sh") + _shell("checks.sh")


@cache
def functions_for_groups() -> str:
    """Those that run the jobs of a group, in a process of their own."""
    return _shell("checks.sh") + _shell("group.sh")


@cache
def functions_for_shadow() -> str:
    """Those that let jobs of a group run in directories of their own."""
    return _shell("shadow.sh")


def _shell(name: str) -> str:
    text = content(name).decode()
    return text.replace("@TAG@", TAG).replace("@SMALL_OUTPUTS@", SMALL_OUTPUTS)


@cache
def functions_for_packed_jobs() -> str:
    """Those that run several jobs in one task."""
    return content("packed_jobs.sh").decode()


@cache
def functions_for_measuring() -> str:
    """Those that measure what a job takes; they come after the others."""
    return content("measuring.sh").decode().replace("@MEASURED@", MEASURED_NAME)
