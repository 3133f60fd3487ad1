"""Fixtures: servers on fresh roots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from platform_serving import Serve, Server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers with options, by default without rate limit; they are stopped at the end."""
    started: list[Server] = []

    def start(*options: str, root: Path | None = None) -> Server:
        defaults = () if "--rate-limit" in options else ("--rate-limit", "off")
        server = Server.start(root or tmp_path / "root", *defaults, *options)
        started.append(server)
        return server

    yield start
    for server in started:
        if server.process.poll() is None:
            assert server.stop() == 0


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server without rate limit that simulates tasks, for a whole module."""
    root = tmp_path_factory.mktemp("simulated")
    options = ("--engine", "simulate", "--task-seconds", "0.2", "--rate-limit", "off")
    server = Server.start(root, *options, "--switch", "status_flap=0")
    yield server
    assert server.stop() == 0
