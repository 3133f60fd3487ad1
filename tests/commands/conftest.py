"""Fixtures: real servers on fresh roots, and a workflow whose files are on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_runs import Serve, Server


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers with options, by default without rate limit; they are stopped at the end."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server.start(tmp_path / f"server{len(started)}", *options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server for all tests that need no special one."""
    server = Server.start(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture
def server(shared: Server) -> Iterator[Server]:
    """A project of the test's own, and records that hold nothing else."""
    own = shared.fresh()
    yield own
    own.leave()
