"""A stand-in for conda, see `fake_conda`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from snakemake_executor_cavatica.launch.environments import PREFIX


@pytest.fixture
def conda(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The stand-in on the PATH of everything that is started from now on; what it made goes."""
    home = tmp_path / "conda"
    shutil.copytree(Path(__file__).with_name("fake_conda"), home)
    monkeypatch.setenv("PATH", f"{home / 'bin'}:/usr/local/bin:/usr/bin:/bin")
    yield home
    for prefix in made(home):
        if prefix.startswith(f"{PREFIX}/"):
            shutil.rmtree(Path(prefix).parent, ignore_errors=True)


def made(home: Path) -> list[str]:
    """Where it has made environments."""
    log = home / "made.log"
    return log.read_text().splitlines() if log.exists() else []
