"""What the Snakefile puts into the environment, as its direct jobs find it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snakemake_executor_cavatica.api import Token
from snakemake_executor_cavatica.read import defaults
from snakemake_executor_cavatica.read.defaults import folders_added, read_defaults
from snakemake_executor_cavatica.read.facts import OWN_FOLDERS, WORKDIR_PLACEHOLDER, Defaults
from snakemake_executor_cavatica.read.internals import LocalSourceFile

SNAKEFILE = "repo/workflow/Snakefile"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory; the workflow lies beside it."""
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    monkeypatch.setattr(defaults, "BEFORE_PARSING", {"PATH": "/usr/bin:/bin"})
    monkeypatch.setattr(os, "environ", {"PATH": "/usr/bin:/bin"})
    return tmp_path


def _set(here: Path) -> dict[str, str]:
    """The environment of direct jobs."""
    workflow: Any = SimpleNamespace(
        included=[LocalSourceFile(str(here / SNAKEFILE))],
        remote_execution_settings=SimpleNamespace(container_image="", precommand=None),
        output_settings=SimpleNamespace(benchmark_extended=False),
    )
    connection: Any = SimpleNamespace(token=Token("0123456789abcdef"))
    found = read_defaults(workflow, Defaults(), connection, {}, environment={}, workdir="run")
    told = dict(found.workflow_environment)
    told.pop("PYTEST_CURRENT_TEST", None)
    return told


def test_folders_of_the_workflow_are_told_wherever_it_lies(here: Path) -> None:
    os.environ["PLACES"] = f"{here}/run/a:{here}/repo/workflow/b:{here}/repo/c:{here}/far"
    mark = WORKDIR_PLACEHOLDER
    told = f"{mark}/a:{mark}/../repo/workflow/b:{mark}/../repo/c:{here}/far"
    assert _set(here) == {"PLACES": told}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("HERE/bin:/usr/bin:/bin", f"MARK/bin{OWN_FOLDERS}"),
        ("/usr/bin:/bin:HERE/bin:bin", f"{OWN_FOLDERS}MARK/bin:bin"),
        ("HERE/a:/usr/bin:/bin:HERE/b", f"MARK/a:MARK/b{OWN_FOLDERS}"),
        ("HERE/bin::/bin", f"MARK/bin{OWN_FOLDERS}"),
        ("/opt/of/this/machine:/usr/bin:/bin", None),
        ("/bin", None),
    ],
)
def test_of_lists_of_folders_those_of_the_workflow_are_told(
    here: Path, value: str, told: str | None
) -> None:
    os.environ["PATH"] = value.replace("HERE", f"{here}/run")
    expected = {} if told is None else {"PATH": told.replace("MARK", WORKDIR_PLACEHOLDER)}
    assert _set(here) == expected


def test_what_python_is_told_reaches_jobs_but_no_places_of_this_machine(here: Path) -> None:
    os.environ |= {"PYTHONHASHSEED": "0", "PYTHONHOME": "/usr", "PYTHONPATH": f"{here}/repo/lib"}
    os.environ |= {"HOME": "/root", "LD_PRELOAD": "/lib/x.so", "MY_TOKEN": "x", "CONDA_X": "y"}
    folder = f"{WORKDIR_PLACEHOLDER}/../repo/lib{OWN_FOLDERS}"
    assert _set(here) == {"PYTHONHASHSEED": "0", "PYTHONPATH": folder}
    assert folders_added() == {here / "repo/lib"}
