"""What a job is told that runs without Snakemake: as Snakemake would tell it, once it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.api import SnakemakeApi
from snakemake.jobs import Job
from snakemake.settings.types import ResourceSettings

from snakemake_executor_cavatica.read.command import CommandReader
from snakemake_executor_cavatica.read.facts import WORKDIR_PLACEHOLDER

Parse = Callable[[dict[str, str]], Any]


@pytest.fixture
def parse(tmp_path: Path) -> Iterator[Parse]:
    """Parses a workflow of these files."""
    with pytest.MonkeyPatch.context() as patch, SnakemakeApi() as snakemake:
        patch.chdir(tmp_path)

        def parse(files: dict[str, str]) -> Any:
            for name, text in files.items():
                (tmp_path / name).write_text(text)
            settings = ResourceSettings(cores=4)
            snakefile = tmp_path / "Snakefile"
            return snakemake.workflow(resource_settings=settings, snakefile=snakefile)._workflow

        yield parse


def _job(workflow: Any, rule: str) -> Any:
    """A job of a rule, as a remote executor gets it."""
    heard = SimpleNamespace(attempt=1, local_exec=False, is_local=lambda _: False)
    heard.storage_settings = SimpleNamespace(shared_fs_usage=[])
    dag = SimpleNamespace(workflow=heard, jobid=lambda _: 1)
    return Job(workflow.get_rule(rule), dag, wildcards_dict={}, targetfile=None)


NAMES = """
name = rulename = "{name}"
conda_env = basedir = "hidden"
rule {rule}:
    output: "{rule}"
    shell: "{{basedir}} {{name}} {{rulename}} {{conda_env}} {{rule}} {{bench_iteration}}"
use rule {rule} as {rule}_measured with:
    benchmark: "{rule}.tsv"
"""


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        ("a", "main main None a None"),
        ("a_measured", "main main None a_measured 0"),
        ("b", "other other None b None"),
        ("b_measured", "other other None b_measured 0"),
    ],
)
def test_commands_see_variables_of_the_workflow_as_they_do_here(
    parse: Parse, rule: str, seen: str
) -> None:
    """Snakemake hides some by what a rule has, and others only where it prints a command."""
    module = 'module other:\n    snakefile: "other.smk"\nuse rule * from other\n'
    main = module + NAMES.format(name="main", rule="a")
    workflow = parse({"Snakefile": main, "other.smk": NAMES.format(name="other", rule="b")})
    reader = CommandReader(workflow, ".")
    command = reader.here.told(reader.command(_job(workflow, rule)))
    assert command == f"{WORKDIR_PLACEHOLDER} {seen}"
