"""The environment of this process, which a workflow can change while it is parsed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType

BEFORE_PARSING: Mapping[str, str] = MappingProxyType(dict(os.environ))
"""As it was when Snakemake loaded this plugin. What workflows set here, no other machine has."""
