"""The floor of what Snakemake does for files in a storage: they exist in memory, and are empty.

For benchmarks only, together with the executor of the same name.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from snakemake_interface_storage_plugins.io import IOCacheStorageInterface
from snakemake_interface_storage_plugins.storage_object import (
    StorageObjectRead,
    StorageObjectWrite,
)
from snakemake_interface_storage_plugins.storage_provider import (
    ExampleQuery,
    Operation,
    StorageProviderBase,
    StorageQueryValidationResult,
)

SCHEME = "floor://"
made: dict[str, float] = {}
"""When each file was made, by its query; seconds since the epoch."""


class StorageProvider(StorageProviderBase):
    """Holds nothing."""

    def __post_init__(self) -> None:
        """Nothing to prepare."""

    @classmethod
    def example_queries(cls) -> list[ExampleQuery]:
        """None."""
        return []

    def rate_limiter_key(self, query: str, operation: Operation) -> Any:  # noqa: ARG002
        """Unused."""
        return None

    def default_max_requests_per_second(self) -> float:
        """Unused."""
        return 1.0

    def use_rate_limiter(self) -> bool:
        """There are no requests."""
        return False

    @classmethod
    def is_valid_query(cls, query: str) -> StorageQueryValidationResult:
        """Whether it is one of ours."""
        return StorageQueryValidationResult(query, query.startswith(SCHEME))


class StorageObject(StorageObjectRead, StorageObjectWrite):
    """A file that exists since its job was run."""

    def local_suffix(self) -> str:
        """The path."""
        return str(self.query.removeprefix(SCHEME))

    async def inventory(self, cache: IOCacheStorageInterface) -> None:
        """Nothing to do."""

    def get_inventory_parent(self) -> str | None:
        """None."""
        return None

    def cleanup(self) -> None:
        """Nothing to do."""

    def exists(self) -> bool:
        """Whether its job was run."""
        return self.query in made

    def mtime(self) -> float:
        """Seconds since the epoch."""
        return made[self.query]

    def size(self) -> int:
        """Nothing is in it."""
        return 0

    def retrieve_object(self) -> None:
        """Nothing is ever read."""
        self.local_path().touch()

    def store_object(self) -> None:
        """Have it exist."""
        made[self.query] = time.time()

    def remove(self) -> None:
        """Have it exist no more."""
        made.pop(self.query, None)

    def list_candidate_matches(self) -> Iterable[str]:
        """All files."""
        return list(made)
