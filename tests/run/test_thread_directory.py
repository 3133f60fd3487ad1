"""Threads that change the working directory, beside others that do not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from snakemake_interface_common.exceptions import WorkflowError

from snakemake_executor_cavatica.run import thread_directory

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can do it")


def in_a_thread(directory: Path) -> tuple[list[str], list[BaseException]]:
    """Where a thread and its programs are, and where it comes back to."""
    seen: list[str] = []
    errors: list[BaseException] = []

    def change() -> None:
        before = Path.cwd()
        try:
            os.chdir(directory)
        except WorkflowError as error:
            errors.append(error)
            return
        seen.extend((str(Path.cwd()), subprocess.check_output(["pwd"], text=True).strip()))
        os.chdir(before)
        seen.append(str(Path.cwd()))

    thread = threading.Thread(target=change)
    thread_directory.keep_directories_apart()
    thread.start()
    thread.join()
    return seen, errors


@LINUX
def test_a_thread_changes_the_directory_for_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects uploads and downloads from the shadow directory of a job beside them."""
    here = str(Path.cwd())
    os.chdir(tmp_path)
    try:
        inside = tmp_path / "inside"
        inside.mkdir()
        seen, _ = in_a_thread(inside)
        assert seen == [str(inside), str(inside), str(tmp_path)]
        assert Path.cwd() == tmp_path
    finally:
        os.chdir(here)
    assert str(Path.cwd()) == here, "the first thread changes it for all"


def test_where_the_system_cannot_do_that_the_rule_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protects results from being lost in silence."""
    monkeypatch.setattr(thread_directory, "_part", lambda: False)
    before = Path.cwd()
    _, (error,) = in_a_thread(tmp_path)
    assert "take it off localrules:, or write localrule: False into it" in str(error)
    assert Path.cwd() == before
