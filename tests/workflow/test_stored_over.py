"""What is stored where something else waits for its deletion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from workflow_runs import Platform

from snakemake_executor_cavatica.api import CavaticaError
from snakemake_executor_cavatica.project.fetch_store import store
from snakemake_executor_cavatica.project.index import ProjectIndex


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("a")
    return tmp_path / "d"


def test_nothing_goes_into_a_folder_whose_deletion_has_to_wait(
    fresh: Platform, folder: Path
) -> None:
    """It would be deleted with it."""
    with fresh.client() as client:
        index = ProjectIndex(client, fresh.project)
        store(index, folder, "d")
        index.deletions.may_delete = lambda: False
        for source, path in ((folder, "d"), (folder / "a", "d/b"), (folder, "d/e")):
            with pytest.raises(CavaticaError, match="not on record"):
                store(index, source, path)
        index.deletions.may_delete = lambda: True
        store(index, folder, "d")
        index.deletions.flush()
        assert ProjectIndex(client, fresh.project).find("d/a") is not None


def test_a_file_that_keeps_its_id_is_not_deleted_for_what_it_was(
    serve: Callable[..., Platform], folder: Path
) -> None:
    platform = serve("--switch", "overwrite_keeps_id=true")
    with platform.client() as client:
        index = ProjectIndex(client, platform.project)
        store(index, folder / "a", "a")
        index.deletions.may_delete = lambda: False
        index.remove("a")
        store(index, folder / "a", "a")
        index.deletions.may_delete = lambda: True
        index.deletions.flush()
        assert ProjectIndex(client, platform.project).find("a") is not None
