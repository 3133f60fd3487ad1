"""Engines and stored inputs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_runs import Runner

from cavatica_local.engine.cwl import CwltoolEngine


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[CwltoolEngine]:
    engine = CwltoolEngine("none")
    yield engine
    engine.close()


@pytest.fixture
def run(shared_engine: CwltoolEngine, tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(shared_engine, tmp_path)
    yield runner
    runner.end_all()


@pytest.fixture
def own_run(tmp_path: Path) -> Iterator[Runner]:
    """With an engine of its own, which the test may harm."""
    engine = CwltoolEngine("none")
    yield Runner(engine, tmp_path)
    engine.close()


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Store bytes the way the platform does: read-only, under a name that says nothing."""
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    numbers = itertools.count(1)

    def stored(name: str, content: str = "content\n") -> dict[str, Any]:
        blob = blobs / f"{next(numbers):08x}"
        blob.write_text(content)
        blob.chmod(0o444)
        size = len(content.encode())
        return {"class": "File", "location": blob.as_uri(), "basename": name, "size": size}

    return stored
