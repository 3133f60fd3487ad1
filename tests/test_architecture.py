"""The page that follows one job says what happens."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests import architecture


def test_the_page_that_follows_a_job_is_what_happens(tmp_path: Path) -> None:
    made = tmp_path / "page.md"
    done = subprocess.run(
        [sys.executable, "-m", "tests.architecture", str(made)],
        cwd=architecture.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    ours, now = (
        architecture.normalised(path.read_text("utf-8")) for path in (architecture.PAGE, made)
    )
    assert now == ours, "`python -m tests.architecture` writes it anew"


def test_the_job_passes_the_folders_in_order() -> None:
    passed = list(dict.fromkeys(step.folder for step in architecture.STEPS))
    assert passed == ["read", "plan", "translate", "launch", "watch", "finish"]
    page = architecture.PAGE.read_text("utf-8")
    assert list(dict.fromkeys(re.findall(r"^## (\w+)/: ", page, re.MULTILINE))) == passed
