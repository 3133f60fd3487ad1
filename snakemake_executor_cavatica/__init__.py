"""Snakemake on CAVATICA: executor, storage provider and a local CAVATICA-compatible platform."""
