"""Stands in for the storage plugin `cavatica` inside a task; shipped with the workflow's sources.

A Snakefile that says `storage.cavatica(...)` has to be parsed there, but the task has no token and
needs none: the files are staged at their local paths before Snakemake starts, and collected from
there afterwards. Nothing here may be imported from this package: the image does not have it.
"""

import os
import shutil
from dataclasses import dataclass, field
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

SCHEME = "cavatica://"


@dataclass
class StorageProviderSettings(StorageProviderSettingsBase):
    """What a Snakefile may set; unused here."""

    api_endpoint: Optional[str] = field(default=None, metadata={"help": "Unused in a task."})
    credentials_profile: Optional[str] = field(default=None, metadata={"help": "Unused in a task."})


class StorageProvider(StorageProviderBase):
    """Knows no platform, only the staged files."""

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
        """Whether the query is ours; the main process has validated it in full."""
        return StorageQueryValidationResult(
            query, query.startswith(SCHEME), f"it has to start with {SCHEME}"
        )


class StorageObject(StorageObjectRead, StorageObjectWrite, StorageObjectGlob):
    """A file that is staged at its local path, or will be collected from there."""

    def local_suffix(self) -> str:
        """As in the main process."""
        return self.query[len(SCHEME) :]

    async def inventory(self, cache: IOCacheStorageInterface) -> None:
        """Looking at the file itself is cheap enough."""

    def get_inventory_parent(self) -> Optional[str]:
        """There is no inventory."""
        return None

    def cleanup(self) -> None:
        """The task's directory goes away as a whole."""

    def exists(self) -> bool:
        """Whether the file was staged or has been made."""
        return self.local_path().exists()

    def mtime(self) -> float:
        """Of the staged file."""
        return self.local_path().stat().st_mtime

    def size(self) -> int:
        """In bytes; 0 for directories."""
        path = self.local_path()
        return 0 if path.is_dir() else path.stat().st_size

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
        root = self.provider.local_prefix
        prefix = get_constant_prefix(self.query, strip_incomplete_parts=True)
        start = root / prefix[len(SCHEME) :]
        return [
            SCHEME + os.path.relpath(os.path.join(folder, name), root)
            for folder, _, names in os.walk(start)
            for name in names
        ]
