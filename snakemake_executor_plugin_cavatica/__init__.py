"""Where Snakemake looks for the executor plugin `cavatica`: names only, no code."""

from snakemake_executor_cavatica.plugins import Executor
from snakemake_executor_cavatica.settings import ExecutorSettings, common_settings

__all__ = ["Executor", "ExecutorSettings", "common_settings"]
