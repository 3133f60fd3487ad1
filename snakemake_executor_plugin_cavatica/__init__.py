"""Where Snakemake looks for the executor plugin `cavatica`: names only, no code."""

from snakemake_executor_cavatica.plugins import Executor, ExecutorSettings
from snakemake_executor_cavatica.settings import common_settings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]
