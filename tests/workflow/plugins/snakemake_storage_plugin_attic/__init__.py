"""Like `shelf`, but it changes the addresses that the Snakefile gives."""

import snakemake_storage_plugin_shelf as shelf
from snakemake_interface_storage_plugins.storage_provider import StorageQueryValidationResult
from snakemake_storage_plugin_shelf import StorageObject, StorageProviderSettings

__all__ = ["StorageObject", "StorageProvider", "StorageProviderSettings"]


class StorageProvider(shelf.StorageProvider):
    @classmethod
    def is_valid_query(cls, query: str) -> StorageQueryValidationResult:
        return StorageQueryValidationResult(query, query.startswith("attic://"), "no attic://")

    def postprocess_query(self, query: str) -> str:
        return query.removesuffix("?") + "?"
