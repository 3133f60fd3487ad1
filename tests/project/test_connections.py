"""Who gets which connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_cavatica.api import ConfigurationError
from snakemake_executor_cavatica.project.connection import Connections, Offer

ENDPOINT = "https://cgc-api.sbgenomics.com/v2"


def test_one_platform_has_one_connection_however_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Else an index would not know what tasks have made."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SB_AUTH_TOKEN", "token")
    monkeypatch.setenv("SB_API_ENDPOINT", ENDPOINT)
    connections = Connections(print)
    connections.offer(Offer(folder="snakemake"))
    first = connections.connect()
    assert connections.connect(ENDPOINT) is connections.connect(f"{ENDPOINT}/") is first
    monkeypatch.setenv("SB_AUTH_TOKEN", "another")
    assert connections.connect("https://api.sbgenomics.com/v2") is not first
    connections.close()


def test_who_has_no_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs as some number."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 5)
    with pytest.raises(ConfigurationError, match="set HOME"):
        Connections(print).connect(ENDPOINT)
