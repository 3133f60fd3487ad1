"""Snakemake's objects become plain facts: the job, its files, its scripts, the sources."""
