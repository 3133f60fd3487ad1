"""Where Snakemake looks for the report plugin `cavatica`: names only, no code."""

from snakemake_executor_cavatica.reporter import Reporter, ReportSettings

__all__ = ["ReportSettings", "Reporter"]
