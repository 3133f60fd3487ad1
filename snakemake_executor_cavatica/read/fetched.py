"""Parts of a workflow that Snakemake has fetched from elsewhere: an address, a repository of git.

A task would have to fetch them once more, if its project lets it reach the network at all, and if
its image has git. So copies go along, see `in_task/fetched_parts.py`.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..in_task.fetched_parts import FOLDER, REPOSITORIES, name_of, use_fetched_parts
from ..project.local_record import checksum_of
from .digest import digest


class Part(NamedTuple):
    """One of them."""

    address: str
    copy: Path


_fetched: dict[str, Part] = {}
"""By what they are called in a task."""
_repositories: set[str] = set()
"""Folders of repositories on this machine that parts were taken from."""
_elsewhere: dict[str, str] = {}
"""Those on the machine that has submitted this process, seen from the working directory."""


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


def repositories() -> dict[str, str]:
    """Repositories that parts were taken from, and where they are, seen from the working directory.

    Also if they lie elsewhere: the workflow names them from there.
    """
    return {
        path: _elsewhere.get(path) or os.path.relpath(path)
        for path in sorted(_repositories | _elsewhere.keys())
    }


def use_parts_of_submitter(workdir: str, place: Path) -> None:
    """Use what the process has fetched that has submitted this one, and send it on to tasks."""
    if (place / REPOSITORIES).is_file():
        _elsewhere.update(use_fetched_parts(workdir, place))


def files_of_parts() -> Iterator[tuple[str, bytes, Path | None]]:
    """What lets another process use all that was fetched: names, contents, and the copies."""
    yield REPOSITORIES, json.dumps(repositories()).encode(), None
    for name, part in parts_fetched().items():
        yield f"{FOLDER}/{name}", part.copy.read_bytes(), part.copy


def fetch_scripts(workflow: Any) -> None:
    """Have the scripts and notebooks that lie elsewhere of the rules that are to run."""
    for rule in {job.rule for job in workflow.dag.jobs}:
        copy_of_script(workflow, rule)


def copy_of_script(workflow: Any, rule: Any) -> Path | None:
    """Where the script or notebook of a rule is on this machine, if it lies elsewhere; None if it
    does not, if there is none, or if its name depends on wildcards.
    """
    script = _script(rule)
    return None if script is None else copy_of(workflow, script)


def copy_of(workflow: Any, source: Any) -> Path:
    """Where a part of the workflow is on this machine; one from elsewhere is fetched if need be."""
    if isinstance(source, _local_file()):
        return Path(source.get_path_or_uri(secret_free=True))
    return Path(workflow.sourcecache.get_path(source))


def _script(rule: Any) -> Any:
    script = str(rule.script or rule.notebook or "")
    if not script or "{" in script or isinstance(rule.basedir, _local_file()):
        return None
    return rule.basedir.join(script)


def with_parts(workflow: Any, told: str) -> str:
    """A digest, and in it what else was fetched that any job may read. Of Snakefiles and scripts of
    rules the code of each job tells.
    """
    scripts = filter(None, map(_script, workflow.rules))
    others = [one for one in workflow.included if not isinstance(one, _local_file())]
    known = {name_of(one) for one in (*scripts, *others)}
    read = {
        name: checksum_of(str(part.copy))
        for name, part in parts_fetched().items()
        if name not in known
    }
    return digest([told, read]) if read else told
