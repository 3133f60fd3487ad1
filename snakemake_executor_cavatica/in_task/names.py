"""Names of files inside a task, and how its script tells what no field of the API does."""

from __future__ import annotations

TAG = "[snakemake-cavatica]"
"""Begins each line that the script itself writes to stderr."""
SCRIPT_NAME = "snakemake_job.sh"
COMMAND_NAME = "snakemake_command.sh"
MEASURED_NAME = "snakemake_measured.txt"
"""What the job took, by the script's own measuring."""
SMALL_OUTPUTS = "small_outputs"
"""A folder with the file that holds small outputs once more."""
JOBS_FOLDER = "jobs"
"""Below a task's own folder: one folder for each job, where there are several."""
PLUGINS_FOLDER = ".cavatica/plugins"
"""Below the root of the sources: stand-ins for plugins, which Snakemake finds by PYTHONPATH."""

SCRIPT_MODULE = "cavatica_script"
"""In the same folder: what the head of a Python script needs."""
