"""What a coordinator says of an image that cannot run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from snakemake_executor_cavatica.in_task import texts


def test_an_image_without_snakemake_is_told_in_one_sentence(tmp_path: Path) -> None:
    script = tmp_path / "start.py"
    script.write_bytes(texts.content("coordinator_start.py"))
    # Without the packages that are installed here.
    command = [sys.executable, "-I", "-S", str(script), "bundle", "token"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "lacks snakemake, requests, pydantic, tenacity" in done.stderr
    assert "--image" in done.stderr
    assert "Traceback" not in done.stderr
