"""Fixtures: one real server for all workflows, and a workflow in either place for the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conda_stand_in import conda
from container_images import Images
from workflow_runs import DataPlace, Platform, Workflow, new_workflow

__all__ = ["conda"]

PLACES: tuple[DataPlace, ...] = ("transfer", "storage")

MISSED = "these faults struck nothing, so the test shows nothing"


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A server that really executes tasks, without rate limit."""
    server = Platform.start(tmp_path_factory.mktemp("platform"))
    yield server
    server.stop()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Platform]]:
    """Start servers of one's own; they are stopped at the end, and faults have struck by then."""
    started: list[Platform] = []

    def start(*options: str) -> Platform:
        started.append(Platform.start(tmp_path / f"server{len(started)}", *options))
        return started[-1]

    yield start
    missed = []
    for server in started:
        if server.process.poll() is None:
            missed += server.missed_faults()
            server.stop()
    assert not missed, MISSED


@pytest.fixture
def fresh(platform: Platform) -> Iterator[Platform]:
    """A project of one's own, and records that hold nothing else; faults have struck in the end."""
    own = platform.fresh()
    yield own
    missed = own.missed_faults()
    own.leave()
    assert not missed, MISSED


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> DataPlace:
    """Where the data live: on this machine, or on the platform."""
    chosen: DataPlace = request.param
    return chosen


@pytest.fixture
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What commands may wait for: no file yet, and none that would be the workflow's."""
    return tmp_path_factory.mktemp("gate") / "go-on"


@pytest.fixture
def workflow(tmp_path: Path, platform: Platform, place: DataPlace) -> Workflow:
    """A workflow, once for each place."""
    return new_workflow(tmp_path, platform, place)


@pytest.fixture
def transfer_workflow(tmp_path: Path, platform: Platform) -> Workflow:
    """A workflow whose files are on this machine."""
    return new_workflow(tmp_path, platform)


@pytest.fixture
def storage_workflow(tmp_path: Path, platform: Platform) -> Workflow:
    """A workflow whose files are on the platform."""
    return new_workflow(tmp_path, platform, "storage")


@pytest.fixture
def own_transfer(tmp_path: Path, fresh: Platform) -> Workflow:
    """The same in a project of its own, whose records hold nothing else."""
    return new_workflow(tmp_path, fresh)


@pytest.fixture(scope="session")
def containers(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A server that runs containers in the way that is hardest on them."""
    server = Platform.start(tmp_path_factory.mktemp("containers"), "--containers", "podman")
    yield server
    server.stop()


@pytest.fixture
def contained(tmp_path: Path, containers: Platform, place: DataPlace) -> Workflow:
    """A workflow in containers, once for each place of its data."""
    return new_workflow(tmp_path, containers, place)


@pytest.fixture
def contained_transfer(tmp_path: Path, containers: Platform) -> Workflow:
    """A workflow in containers whose files are on this machine."""
    return new_workflow(tmp_path, containers)
