"""A storage plugin that only the main process has: `shelf://name` is a file in a folder."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from snakemake_interface_storage_plugins.io import IOCacheStorageInterface
from snakemake_interface_storage_plugins.settings import StorageProviderSettingsBase
from snakemake_interface_storage_plugins.storage_object import (
    StorageObjectGlob,
    StorageObjectRead,
    StorageObjectWrite,
)
from snakemake_interface_storage_plugins.storage_provider import (
    ExampleQuery,
    QueryType,
    StorageProviderBase,
    StorageQueryValidationResult,
)


@dataclass
class StorageProviderSettings(StorageProviderSettingsBase):
    root: Optional[str] = field(  # noqa: UP045 - read at run time
        default=None, metadata={"help": "The folder.", "env_var": True, "required": True}
    )


class StorageProvider(StorageProviderBase):
    @classmethod
    def example_queries(cls) -> list[ExampleQuery]:
        return [ExampleQuery("shelf://a.txt", "A file.", QueryType.ANY)]

    def rate_limiter_key(self, query: str, operation: Any) -> Any:
        return None

    def default_max_requests_per_second(self) -> float:
        return 100.0

    def use_rate_limiter(self) -> bool:
        return False

    @classmethod
    def is_valid_query(cls, query: str) -> StorageQueryValidationResult:
        return StorageQueryValidationResult(query, query.startswith("shelf://"), "no shelf://")


class StorageObject(StorageObjectRead, StorageObjectWrite, StorageObjectGlob):
    @property
    def _path(self) -> Path:
        return Path(self.provider.settings.root, self.query.partition("://")[2])

    def local_suffix(self) -> str:
        return f"on-the-shelf/{self.query.partition('://')[2]}"

    async def inventory(self, cache: IOCacheStorageInterface) -> None:
        pass

    def get_inventory_parent(self) -> None:
        return None

    def cleanup(self) -> None:
        pass

    def exists(self) -> bool:
        return self._path.exists()

    def mtime(self) -> float:
        return self._path.stat().st_mtime

    def size(self) -> int:
        return 0 if self._path.is_dir() else self._path.stat().st_size

    def retrieve_object(self) -> None:
        with Path(self.provider.settings.root, "retrieved.log").open("a") as log:
            log.write(f"{self.query}\n")
        if self._path.is_dir():
            shutil.copytree(self._path, self.local_path())
        else:
            shutil.copyfile(self._path, self.local_path())

    def store_object(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.is_dir():
            shutil.rmtree(self._path)
        if self.local_path().is_dir():
            shutil.copytree(self.local_path(), self._path)
        else:
            shutil.copyfile(self.local_path(), self._path)

    def remove(self) -> None:
        if self._path.is_dir():
            shutil.rmtree(self._path)
        else:
            self._path.unlink()

    def list_candidate_matches(self) -> Iterable[str]:
        root = Path(self.provider.settings.root)
        return [
            f"shelf://{os.path.relpath(Path(folder, name), root)}"
            for folder, _, names in os.walk(root)
            for name in names
        ]
