"""What would be sent along with a workflow: `snakemake-cavatica sources`.

Only the workflow itself says what it reads: where a run would begin, the same function is called as
in one. No token and no network is needed, unless files of the workflow are in a storage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..read.facts import MB
from ..read.fetched import parts_fetched
from ..read.sources import Sources
from ..read.workflow import workflow_sources
from ..settings import ExecutorSettings
from .workflow_here import looked_at


@dataclass(frozen=True)
class _Collected:
    """The sources of the workflow, and how many bytes of them a run would allow."""

    sources: Sources
    limit: int


def run(options: argparse.Namespace) -> int:
    """Print what a run with these arguments of Snakemake would send along; the exit status.

    Raises:
        ConfigurationError: a run would refuse to send so much.
    """
    looked = looked_at(options.arguments, _collected)
    if looked is None:
        return 1
    collected = looked.found
    lines = _document(collected) if options.json else _table(collected.sources)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    collected.sources.check_size(collected.limit)
    return 0


def _collected(workflow: Any) -> _Collected:
    settings = workflow.executor_settings or ExecutorSettings()
    sources = workflow_sources(workflow, settings.patterns)
    return _Collected(sources, settings.sources_max_mb * MB)


def _table(sources: Sources) -> Iterator[str]:
    """For people: the largest last, where they look first."""
    width = max(map(len, sources.reasons.values()), default=0)
    for path, size in sorted(sources.sizes.items(), key=lambda item: item[1]):
        yield f"{_amount(size)}  {sources.reasons[path]:<{width}}  {sources.name(path)}"
    yield f"{_amount(sources.size)}  in {len(sources.files)} files"
    for part in parts_fetched().values():
        yield f"{_amount(part.copy.stat().st_size)}  {'fetched':<{width}}  {part.address}"
    if sources.left_out:
        yield "Not sent along:"
    for path, why in sorted(sources.left_out.items()):
        yield f"{_amount(path.stat().st_size)}  {why:<{width}}  {sources.name(path)}"


def _amount(size: int) -> str:
    return f"{size / 1000:12,.1f} kB"


def _document(collected: _Collected) -> Iterator[str]:
    """For programs; sizes in bytes, paths relative to the working directory."""
    sources = collected.sources
    files = [
        {"path": sources.name(path), "size": size, "reason": sources.reasons[path]}
        for path, size in sources.sizes.items()
    ]
    left_out = [
        {"path": sources.name(path), "reason": why} for path, why in sources.left_out.items()
    ]
    fetched = [
        {"address": part.address, "size": part.copy.stat().st_size}
        for part in parts_fetched().values()
    ]
    document = {"files": files, "size": sources.size, "limit": collected.limit}
    yield json.dumps(document | {"left_out": left_out, "fetched": fetched}, indent=2)
