"""Parts of a workflow that Snakemake has fetched from elsewhere: an address, a repository of git.

A task would have to fetch them once more, if its project lets it reach the network at all, and if
its image has git. So copies go along, see `in_task/fetched_parts.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..in_task.fetched_parts import name_of


class Part(NamedTuple):
    """One of them."""

    address: str
    copy: Path


_fetched: dict[str, Part] = {}
"""By what they are called in a task."""
_repositories: set[str] = set()
"""Folders of repositories on this machine that parts were taken from."""


def watch_fetching() -> None:
    """Note from now on, for the life of this process, what is fetched; to be called once."""
    from .internals import SourceCache  # noqa: PLC0415 - most commands do without Snakemake

    owner: Any = SourceCache
    original: Callable[..., Any] = owner._cache

    @functools.wraps(original)
    def noted(self: Any, source: Any) -> Any:
        copy = original(self, source)
        if not isinstance(source, _local_file()):
            address = source.get_path_or_uri(secret_free=True).partition("?")[0]
            _fetched[name_of(source)] = Part(address, Path(copy))
            _repositories.update([source.repo_path] if hasattr(source, "repo_path") else [])
        return copy

    owner._cache = noted


def _local_file() -> Any:
    from .internals import LocalSourceFile  # noqa: PLC0415

    return LocalSourceFile


def parts_fetched() -> dict[str, Part]:
    """All that was fetched so far, by what it is called in a task."""
    return {name: part for name, part in sorted(_fetched.items()) if part.copy.is_file()}


def repositories() -> list[str]:
    """Repositories on this machine that parts were taken from."""
    return sorted(_repositories)


def fetch_scripts(workflow: Any) -> None:
    """Have the scripts and notebooks that lie elsewhere of the rules that are to run."""
    for basedir, script in _scripts(workflow):
        if not isinstance(basedir, _local_file()) and "{" not in script:
            workflow.sourcecache.get_path(basedir.join(script))


def _scripts(workflow: Any) -> Iterator[tuple[Any, str]]:
    for rule in {job.rule for job in workflow.dag.jobs}:
        for script in filter(None, (rule.script, rule.notebook)):
            yield rule.basedir, str(script)
