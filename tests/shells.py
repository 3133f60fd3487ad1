"""Tasks in each kind of shell that an image may have."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from translated_jobs import Task, bin_folder

_TOOLS = (
    "cat chmod cp date df find head ln ls mkdir mkfifo mktemp mv printf rm sed sleep sort tar "
    "touch wc"
)
_SUMS = "md5sum sha1sum sha256sum"


def _busybox(tmp_path: Path) -> Task:
    if shutil.which("busybox") is None:
        pytest.skip("busybox is not installed")
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("sh", "true", "false", "seq", "uniq", "env", *_TOOLS.split(), *_SUMS.split()):
        (folder / program).symlink_to(str(shutil.which("busybox")))
    return Task(tmp_path / "run", (str(folder / "sh"),), str(folder))


def _with_shell(tmp_path: Path, shell: str, *more: str) -> Task:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    tools = ("true", "false", "seq", "uniq", "env", *_TOOLS.split(), *_SUMS.split(), *more)
    path = bin_folder(tmp_path / "bin", tools)
    (tmp_path / "bin" / "sh").symlink_to(str(shutil.which(shell)))
    return Task(tmp_path / "run", (str(tmp_path / "bin" / "sh"),), path)


_KINDS = {
    "dash-and-bash": lambda tmp_path: _with_shell(tmp_path, "dash", "bash"),
    "dash-only": lambda tmp_path: _with_shell(tmp_path, "dash"),
    "bash-as-sh": lambda tmp_path: _with_shell(tmp_path, "bash", "bash"),
    "busybox-only": _busybox,
}


@pytest.fixture(params=_KINDS)
def task(request: pytest.FixtureRequest, tmp_path: Path) -> Task:
    """A task, once in each kind of image."""
    return _KINDS[request.param](tmp_path)


@pytest.fixture
def bash_task(tmp_path: Path) -> Task:
    """A task in an image with dash as sh, and bash: the common kind."""
    return _KINDS["dash-and-bash"](tmp_path)


@pytest.fixture
def dash_task(tmp_path: Path) -> Task:
    """A task in an image that has no bash."""
    return _KINDS["dash-only"](tmp_path)
