"""Fixtures: one real server for all workflows, and a workflow in either place for the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from workflow_runs import DataPlace, Platform, Workflow


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A server that really executes tasks, without rate limit."""
    server = Platform.start(tmp_path_factory.mktemp("platform"))
    yield server
    server.stop()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Start servers of one's own; they are stopped at the end."""
    started: list[Platform] = []

    def start(*options: str) -> Platform:
        started.append(Platform.start(tmp_path / f"server{len(started)}", *options))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(params=["transfer", "storage"])
def place(request: pytest.FixtureRequest) -> DataPlace:
    """Where the data live: on this machine, or on the platform."""
    chosen: DataPlace = request.param
    return chosen


@pytest.fixture
def workflow(tmp_path: Path, platform: Platform, place: DataPlace) -> Workflow:
    """A workflow, once for each place."""
    directory = tmp_path / "workflow"
    directory.mkdir()
    return Workflow(directory, platform, place)


@pytest.fixture
def transfer_workflow(tmp_path: Path, platform: Platform) -> Workflow:
    """A workflow whose files are on this machine."""
    directory = tmp_path / "workflow"
    directory.mkdir()
    return Workflow(directory, platform, "transfer")


@pytest.fixture
def storage_workflow(tmp_path: Path, platform: Platform) -> Workflow:
    """A workflow whose files are on the platform."""
    directory = tmp_path / "workflow"
    directory.mkdir()
    return Workflow(directory, platform, "storage")


@pytest.fixture
def own_transfer(tmp_path: Path, serve: Callable[..., Platform]) -> Workflow:
    """The same on a server of its own, whose records hold nothing else."""
    directory = tmp_path / "workflow"
    directory.mkdir()
    return Workflow(directory, serve(), "transfer")
