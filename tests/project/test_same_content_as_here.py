"""Which files are the same here and there, where no checksum tells."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from snakemake_executor_cavatica.api import File, Stop
from snakemake_executor_cavatica.api.workers import Workers
from snakemake_executor_cavatica.project import upload_plan
from snakemake_executor_cavatica.project.download_plan import plan_downloads
from snakemake_executor_cavatica.project.found import Found
from snakemake_executor_cavatica.project.paths import ProjectPath
from snakemake_executor_cavatica.project.same_content import Chosen
from snakemake_executor_cavatica.project.times import MTIME_KEY, Times
from snakemake_executor_cavatica.project.upload_plan import plan_uploads

PLACE = ProjectPath("o/p", "a.txt")
CLIENT = cast(Any, SimpleNamespace(files=Workers(1), stop=Stop()))


@pytest.mark.parametrize("made", [None, "2020-01-01T00:00:00Z"])
def test_a_file_of_which_nobody_tells_the_age_is_not_taken_for_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: str | None
) -> None:
    local = tmp_path / "a.txt"
    local.write_text("one")
    found = Found(PLACE, File(id="f", name="a.txt", type="file", size=3, created_on=made))
    monkeypatch.setattr(upload_plan, "find", lambda *_: found)
    fetched = plan_downloads(CLIENT, [(found, local)], Chosen())
    sent = plan_uploads(CLIENT, [(local, PLACE)], Chosen())
    assert (len(fetched.there), len(fetched.different)) == ((0, 1) if made is None else (1, 0))
    assert (len(sent.there), len(sent.different)) == (0, 1)


@pytest.mark.parametrize("touched", ["nan", "inf", "-inf", "1e300", "soon"])
def test_a_time_in_the_metadata_that_is_none_is_passed_over(touched: str) -> None:
    """Nothing is older than `nan`, and what would be made of it is never made."""
    made = {"id": "f", "created_on": "2020-01-01T00:00:00Z"}
    file = File.model_validate({**made, "metadata": {MTIME_KEY: touched}})
    assert Times().of(file) == Times().of(File.model_validate(made))
