"""Who gets which connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_cavatica.api import ConfigurationError, Token
from snakemake_executor_cavatica.commands.main import main
from snakemake_executor_cavatica.project import upload_plan
from snakemake_executor_cavatica.project.connection import Connections, Offer
from snakemake_executor_cavatica.read.workdir import workflow_folders

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


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As in a container that runs as some number."""
    for name in ("HOME", "XDG_STATE_HOME", "SB_AUTH_TOKEN", "SNAKEMAKE_CAVATICA_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 5)
    return monkeypatch


def test_who_has_no_home_and_no_token_is_told(
    no_home: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError, match="set HOME"):
        Connections(print).connect(ENDPOINT)
    no_home.chdir(tmp_path)
    assert main(["init", "--api-endpoint", "cavatica", "--project", "o/p"]) == 1
    assert "set HOME to a folder" in capsys.readouterr().err


def test_who_has_no_home_may_have_a_token_and_a_workflow(
    no_home: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_home.setenv("SB_AUTH_TOKEN", "token")
    connections = Connections(print)
    assert connections.connect(ENDPOINT).token == Token("token")
    connections.close()
    assert upload_plan._journals() is None
    (tmp_path / "Snakefile").touch()
    assert workflow_folders([tmp_path / "Snakefile"]) == {tmp_path}
