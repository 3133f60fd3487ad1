"""What would be sent along with a workflow: `snakemake-cavatica sources`.

Only the workflow itself says what it reads, so Snakemake parses it, with the arguments that the run
would have, up to the point where it makes the executor. There the same function is called as in a
run. No token and no network is needed, unless files of the workflow are in a storage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from ..api import CavaticaError, ConfigurationError
from ..read.facts import MB
from ..read.internals import Quietness, snakemake_cli
from ..read.sources import Sources
from ..read.workflow import workflow_sources
from ..settings import ExecutorSettings

_EXECUTOR = "cavatica"
_DEEDS = (
    *("touch", "unlock", "delete_all_output", "delete_temp_output", "cleanup_metadata"),
    *("cleanup_shadow", "conda_cleanup_envs", "conda_create_envs_only", "deploy_sources"),
    *("container_cleanup_images", "containerize", "archive", "generate_unit_tests", "report"),
)
"""Arguments that make Snakemake change something instead of running; it must not get that far."""


@dataclass(eq=False)
class _Collected(BaseException):
    """Leaves Snakemake, which catches every Exception, where a run would begin."""

    sources: Sources
    limit: int
    """Bytes that a run would allow."""


def run(options: argparse.Namespace) -> int:
    """Print what a run with these arguments of Snakemake would send along; the exit status.

    Raises:
        ConfigurationError: a run would refuse to send so much.
    """
    collected = _collect(options.arguments)
    if collected is None:
        return 1
    lines = _document(collected) if options.json else _table(collected.sources)
    sys.stdout.writelines(f"{line}\n" for line in lines)
    collected.sources.check_size(collected.limit)
    return 0


def _collect(arguments: Sequence[str]) -> _Collected | None:
    """None if Snakemake has failed, and has said why."""
    cli = snakemake_cli()
    registry = ExecutorPluginRegistry()
    registry.plugins[_EXECUTOR] = replace(registry.plugins[_EXECUTOR], executor=_Lister)
    try:
        # What the workflow prints is no part of the list.
        with redirect_stdout(sys.stderr):
            parser, options = cli.parse_args(["--executor", _EXECUTOR, *arguments])
            if any(getattr(options, deed, None) for deed in _DEEDS):
                raise _no_run(arguments)
            options.jobs = options.jobs or 1
            options.dryrun = False
            options.nolock = True  # nothing is written, so it does not matter who else is there
            options.quiet = set(Quietness) - {Quietness.ALL}
            is_done = cli.args_to_api(options, parser)
    except _Collected as collected:
        return collected
    if is_done:
        raise _no_run(arguments)
    return None


def _no_run(arguments: Sequence[str]) -> ConfigurationError:
    return ConfigurationError(
        f"{' '.join(arguments)} asks Snakemake for something else than a run. Give the arguments "
        "that the run would have."
    )


class _Lister:
    """Takes the place of the executor."""

    def __init__(self, workflow: Any, _logger: Any) -> None:
        settings = workflow.executor_settings or ExecutorSettings()
        try:
            sources = workflow_sources(workflow, settings.patterns)
        except CavaticaError as error:
            raise WorkflowError(str(error)) from error
        raise _Collected(sources, settings.sources_max_mb * MB)


def _table(sources: Sources) -> Iterator[str]:
    """For people: the largest last, where they look first."""
    width = max(map(len, sources.reasons.values()), default=0)
    for path, size in sorted(sources.sizes.items(), key=lambda item: item[1]):
        yield f"{_amount(size)}  {sources.reasons[path]:<{width}}  {sources.name(path)}"
    yield f"{_amount(sources.size)}  in {len(sources.files)} files"
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
    document = {"files": files, "size": sources.size, "limit": collected.limit}
    yield json.dumps(document | {"left_out": left_out}, indent=2)
