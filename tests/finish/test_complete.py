"""How old a job's inputs are."""

from __future__ import annotations

import os
from pathlib import Path

from snakemake_executor_cavatica.finish.complete import _modified


def test_a_folder_is_as_old_as_snakemake_takes_it_for(tmp_path: Path) -> None:
    """By its own time, outputs would look older than it where the clock was set back meanwhile."""
    os.utime(tmp_path, (1000, 1000))
    assert _modified(tmp_path) == 1000
    stamp = tmp_path / ".snakemake_timestamp"
    stamp.touch()
    os.utime(stamp, (5000, 5000))
    assert _modified(tmp_path) == 5000
