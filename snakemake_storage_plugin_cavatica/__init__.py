"""Where Snakemake looks for the storage plugin `cavatica`: names only, no code."""

from snakemake_executor_cavatica.settings import StorageProviderSettings
from snakemake_executor_cavatica.storage import StorageObject, StorageProvider

__all__ = ["StorageObject", "StorageProvider", "StorageProviderSettings"]
