"""Servers on loopback and a client that talks to them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from loopback import IMPATIENT, SECRET, Server

from snakemake_executor_cavatica.api.budget import RateBudget
from snakemake_executor_cavatica.api.client import Client
from snakemake_executor_cavatica.api.credentials import Token


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def other_server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.endpoint, Token(SECRET), budget=RateBudget(), patience=IMPATIENT) as client:
        yield client
