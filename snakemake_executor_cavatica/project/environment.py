"""The environment of this process, which a workflow can change while it is parsed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

BEFORE_PARSING: Mapping[str, str] = MappingProxyType(dict(os.environ))
"""As it was when Snakemake loaded this plugin. What workflows set here, no other machine has."""


def home_folder() -> Path | None:
    """The user's home directory; None if nobody knows it, as in a container that runs as some
    number.
    """
    try:
        return Path.home()
    except RuntimeError:
        return None
