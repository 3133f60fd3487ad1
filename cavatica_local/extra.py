"""What the embedded platform needs besides the plugin: the extra `local`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import requires

NEEDED = ("starlette", "uvicorn", "cwltool", "jinja2")


def how_to_install(missing: Sequence[str]) -> str:
    """A sentence for whoever wants the embedded platform and lacks these packages.

    It names the packages and not the extra, which pip finds only where it finds the plugin.
    """
    wanted = " ".join(f"'{requirement}'" for requirement in _requirements())
    return (
        f"the embedded platform needs packages that are not installed here ({', '.join(missing)}): "
        f"pip install {wanted}"
    )


def _requirements() -> list[str]:
    """Those of the extra, as its metadata has them."""
    entries = [
        entry.partition(";")
        for entry in requires("snakemake-executor-plugin-cavatica") or ()
        if re.search(r"""extra == ["']local["']""", entry)
    ]
    return [requirement.strip() for requirement, _, _ in entries]
