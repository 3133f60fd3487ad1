"""What Snakemake imports of the plugin at each start, and what of Snakemake the plugin imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import snakemake_executor_cavatica

PACKAGE = Path(snakemake_executor_cavatica.__file__).parent


def imported(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


@pytest.mark.parametrize("source", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_only_one_module_imports_what_is_no_interface_of_snakemake(source: Path) -> None:
    internal = {name for name in imported(source) if name.split(".")[0] == "snakemake"}
    assert bool(internal) == (source == PACKAGE / "internals.py")
