"""Where Snakemake looks for the storage plugin `cavatica`: names only, no code."""

from snakemake_executor_cavatica.plugins import StorageObject, StorageProvider
from snakemake_executor_cavatica.settings import StorageProviderSettings

__all__ = ["StorageObject", "StorageProvider", "StorageProviderSettings"]
