"""Run the embedded platform with `python -m snakemake_executor_cavatica.platform`."""

import sys

from snakemake_executor_cavatica.platform.cli import main

if __name__ == "__main__":
    sys.exit(main())
