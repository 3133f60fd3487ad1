"""Fixtures: a real server on which main processes run as tasks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workflow.workflow_runs import Platform


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A server that really executes tasks, without rate limit, where they cost something."""
    server = Platform.start(tmp_path_factory.mktemp("platform"), "--price-hour", "10")
    yield server
    server.stop()


@pytest.fixture
def fresh(platform: Platform) -> Platform:
    """A project of one's own for jobs, and records that hold nothing else."""
    return platform.fresh()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder for workflows."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder
