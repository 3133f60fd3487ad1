"""Stands in for storage plugins inside a task; shipped with the workflow's sources.

A Snakefile that says `storage.cavatica(...)`, or `storage.s3(...)`, has to be parsed there, but the
task has no credentials and needs none, nor the plugin: the files are staged at their local paths
before Snakemake starts, and collected from there afterwards. So this stands also where the image
has the real plugin, which would ask its storage. Nothing here may be imported from this package:
the image does not have it.
"""

import os
import re
import shutil
from dataclasses import dataclass
from typing import Any, Optional

from snakemake_interface_storage_plugins.io import (
    IOCacheStorageInterface,
    get_constant_prefix,
)
from snakemake_interface_storage_plugins.settings import StorageProviderSettingsBase
from snakemake_interface_storage_plugins.storage_object import (
    StorageObjectGlob,
    StorageObjectRead,
    StorageObjectWrite,
)
from snakemake_interface_storage_plugins.storage_provider import (
    ExampleQuery,
    Operation,
    StorageProviderBase,
    StorageQueryValidationResult,
)


def scheme_of(query: str) -> str:
    """The part before `://`; empty for queries that are plain paths."""
    scheme, separator, _ = query.partition("://")
    return scheme if separator else ""


def local_suffix(query: str) -> str:
    """Where the file of a query lies in a task, below the folder of its provider."""
    path = query.partition("://")[2] if scheme_of(query) else query.lstrip("/")
    if scheme_of(query) in {"http", "https"}:
        # As the plugin `http` does it: scripts look at extensions.
        path = re.split("[?#]", path, maxsplit=1)[0]
    if scheme_of(query) == "drs":
        path = path.replace("#", "/", 1)  # a name that the workflow gives to the object
    return "/".join("__up__" if part == ".." else part for part in path.split("/"))


@dataclass
class StorageProviderSettings(StorageProviderSettingsBase):
    """Takes whatever a Snakefile sets: Snakemake does not look at the names."""


class StorageProvider(StorageProviderBase):
    """Knows no storage, only the staged files."""

    schemes: tuple[str, ...] = ()
    """Of the queries that belong to the plugin."""

    @classmethod
    def example_queries(cls) -> list[ExampleQuery]:
        """None: this is not for people."""
        return []

    def rate_limiter_key(self, query: str, operation: Operation) -> Any:
        """Nothing is limited."""
        return None

    def default_max_requests_per_second(self) -> float:
        """Nothing is limited."""
        return 1000.0

    def use_rate_limiter(self) -> bool:
        """Nothing is limited."""
        return False

    @classmethod
    def is_valid_query(cls, query: str) -> StorageQueryValidationResult:
        """Whether the query is for this plugin; the main process has validated it in full."""
        return StorageQueryValidationResult(
            query, scheme_of(query) in cls.schemes, f"it has none of the schemes {cls.schemes}"
        )


class StorageObject(StorageObjectRead, StorageObjectWrite, StorageObjectGlob):
    """A file that is staged at its local path, or will be collected from there."""

    def __post_init__(self) -> None:
        """The local path is the only one: Snakemake must not tidy it up."""
        self.keep_local = True

    def local_suffix(self) -> str:
        """As the main process has it."""
        return local_suffix(self.query)

    async def inventory(self, cache: IOCacheStorageInterface) -> None:
        """Looking at the file itself is cheap enough."""

    def get_inventory_parent(self) -> Optional[str]:
        """There is no inventory."""
        return None

    def cleanup(self) -> None:
        """The task's directory goes away as a whole."""

    def exists(self) -> bool:
        """Whether the file was staged or has been made, or is one that the job reads by itself."""
        return not self.retrieve or self.local_path().exists()

    def mtime(self) -> float:
        """Of the staged file; of one that the job reads by itself nothing is known."""
        path = self.local_path()
        return path.stat().st_mtime if self.retrieve or path.exists() else 0.0

    def size(self) -> int:
        """In bytes; 0 for directories, and for what is not here."""
        path = self.local_path()
        return path.stat().st_size if path.is_file() else 0

    def retrieve_object(self) -> None:
        """The file is here already."""

    def store_object(self) -> None:
        """The platform collects the file."""

    def remove(self) -> None:
        """Remove the task's own copy."""
        path = self.local_path()
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)

    def list_candidate_matches(self) -> list[str]:
        """The staged files below the constant part of the query."""
        scheme = scheme_of(self.query)
        root = self.provider.local_prefix
        prefix = get_constant_prefix(self.query, strip_incomplete_parts=True)
        start = "/" if not scheme and self.query.startswith("/") else scheme and f"{scheme}://"
        return [
            start + os.path.relpath(os.path.join(folder, name), root)
            for folder, _, names in os.walk(root / local_suffix(prefix))
            for name in names
        ]
