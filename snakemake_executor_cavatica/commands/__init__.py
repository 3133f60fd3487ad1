"""The command `snakemake-cavatica`, and `cavatica-local verify-live`."""
