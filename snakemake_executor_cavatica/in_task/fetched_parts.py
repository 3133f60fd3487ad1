"""Lets Snakemake in a task use parts of the workflow that have been fetched before.

In the task of a job, those of the main process, which lie beside this module; in a main process on
the platform, those of the process that has submitted it. Nothing is fetched again. Nothing here may
be imported from this package, which the image of a job does not have.
"""

import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FOLDER = "fetched"
REPOSITORIES = "repositories.json"


def name_of(source: Any) -> str:
    """What a part is called here: parts of one folder are together, as scripts expect.

    An address may hold what is nobody else's business, so it is not the name.
    """
    folder, name = os.path.split(source.get_cache_path())
    name, _, query = name.partition("%3F")
    return f"{hashlib.sha256(os.fsencode(f'{folder}?{query}')).hexdigest()[:32]}/{name}"


def use_fetched_parts(workdir: str, place: Path = Path(__file__).parent) -> dict[str, str]:
    """Use those that are here from now on.

    Args:
        workdir: the working directory here.
        place: the folder that holds them.

    Returns:
        The repositories that parts were taken from, and where they were, seen from the working
        directory.
    """
    from snakemake import sourcecache  # noqa: PLC0415 - only in a task

    parts = place / FOLDER
    cache: Any = sourcecache.SourceCache
    found: Callable[..., Any] = cache._cache_entry
    split: Callable[..., Any] = sourcecache.split_git_path
    repositories = json.loads((place / REPOSITORIES).read_text(encoding="utf-8"))

    @functools.wraps(found)
    def cache_entry(self: Any, source: Any) -> Any:
        local = isinstance(source, sourcecache.LocalSourceFile)
        part = None if local else parts / name_of(source)
        return part if part and part.exists() else found(self, source)

    @functools.wraps(split)
    def split_git_path(path: str) -> Any:
        return _split(path, repositories, workdir) or split(path)

    for owner, new in ((cache, cache_entry), (sourcecache, split_git_path)):
        setattr(owner, new.__name__, new)
    return dict(repositories)


def _split(address: str, repositories: Mapping[str, str], workdir: str) -> Any:
    """Repository, path and version of a part, by the names that the main process has for them."""
    path, _, version = address.partition("@")
    path = os.path.normpath(f"/{path.removeprefix('git+file:').lstrip('/')}")
    for repository, seen_from_workdir in repositories.items():
        here = os.path.normpath(os.path.join(workdir, seen_from_workdir))
        for folder in (repository, here):
            if path.startswith(f"{folder}/"):
                return repository, path[len(folder) + 1 :], version
    return None
