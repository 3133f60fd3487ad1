"""What the plugin costs those who only have it installed, and whether it can stand in their way."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from workflow_runs import Workflow

import snakemake_executor_cavatica
from snakemake_executor_cavatica.plugins import SNAKEMAKE
from snakemake_executor_cavatica.read.internals import deployment_methods

PACKAGE = Path(snakemake_executor_cavatica.__file__).parent
NEXT_SNAKEMAKE = Path(__file__).parent / "next_snakemake"
ONLY_FOR_RUNS = {
    *("requests", "urllib3", "pydantic", "tenacity", "sqlite3", "ssl", "http.client"),
    *("starlette", "uvicorn", "cwltool", "snakemake"),
}
OURS_AT_EACH_START = {
    *("plugins", "settings", "reporter"),
    *("project", "project.alias", "project.paths"),
    *("read", "read.patterns", "read.values"),
}
IN_STORAGE = (
    "--default-storage-provider",
    "cavatica",
    "--default-storage-prefix",
    "cavatica://a/b",
)
LOCALLY = """
rule local:
    output: "out.txt"
    shell: "echo done > {output}"
"""


def imported(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def without_what_comes(difference: str) -> dict[str, str]:
    """An environment where Snakemake is different for the plugin: `moved` or `gone`."""
    return {"PYTHONPATH": str(NEXT_SNAKEMAKE), "NEXT_SNAKEMAKE": difference}


def snakemake(
    directory: Path, *arguments: str, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *arguments],
        cwd=directory,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("source", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name)
def test_only_one_module_imports_what_is_no_interface_of_snakemake(source: Path) -> None:
    internal = {name for name in imported(source) if name.split(".")[0] == "snakemake"}
    # The stand-ins are part of Snakemake inside a task, whichever that is there.
    stand_ins = {"as_parsed.py", "fetched_parts.py", "own_jobs.py", "scheduler_stand_in.py"}
    assert bool(internal) == (source.name in {"internals.py", *stand_ins})


def test_snakemake_s_start_imports_nothing_that_only_a_run_needs() -> None:
    # Snakemake has loaded its interfaces by then, and what these need.
    program = """if True:
        import json, sys
        import snakemake_interface_executor_plugins.executors.remote
        import snakemake_interface_report_plugins.reporter
        import snakemake_interface_storage_plugins.storage_object
        import snakemake_interface_storage_plugins.storage_provider
        before = set(sys.modules)
        import snakemake_executor_plugin_cavatica, snakemake_storage_plugin_cavatica
        import snakemake_report_plugin_cavatica
        print(json.dumps(sorted(set(sys.modules) - before)))
    """
    loaded = set(json.loads(subprocess.check_output([sys.executable, "-c", program])))
    assert not loaded & ONLY_FOR_RUNS
    ours = {name for name in loaded if name.startswith("snakemake_executor_cavatica.")}
    assert {name.partition(".")[2] for name in ours} == OURS_AT_EACH_START


def test_files_that_others_read_are_not_watched(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(
        "import sys\nwatched = 'snakemake_executor_cavatica.read.files_read' in sys.modules\n"
        "print('watched', watched)\n" + LOCALLY
    )
    result = snakemake(tmp_path, "--cores", "1", environment={})
    assert "watched False" in result.stdout, result.stderr
    assert (tmp_path / "out.txt").read_text() == "done\n"


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_a_snakemake_that_we_do_not_know_starts_as_ever(tmp_path: Path, argument: str) -> None:
    same = {"PYTHONHASHSEED": "0"}  # Snakemake prints sets
    known = snakemake(tmp_path, argument, environment=same)
    unknown = snakemake(tmp_path, argument, environment=same | without_what_comes("gone"))
    assert (unknown.returncode, unknown.stdout, unknown.stderr) == (0, known.stdout, known.stderr)


def test_a_snakemake_that_we_do_not_know_runs_without_us_as_ever(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(LOCALLY)
    result = snakemake(tmp_path, "--cores", "1", environment=without_what_comes("gone"))
    assert result.returncode == 0, result.stderr
    assert "cavatica" not in (result.stdout + result.stderr).lower()
    assert (tmp_path / "out.txt").read_text() == "done\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--executor", "cavatica", "--jobs", "1"),
        ("--cores", "1", *IN_STORAGE),
    ],
    ids=["executor", "storage"],
)
def test_a_snakemake_that_we_do_not_know_is_told_to_who_asks_for_us(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "Snakefile").write_text(LOCALLY)
    result = snakemake(tmp_path, *arguments, environment=without_what_comes("gone"))
    assert result.returncode == 1
    [told] = result.stderr.splitlines()
    assert told.startswith(f"Error: The CAVATICA plugin needs snakemake{SNAKEMAKE}, and this is")
    assert not (tmp_path / "out.txt").exists()


def test_names_that_only_moved_are_found(transfer_workflow: Workflow) -> None:
    transfer_workflow.write(
        {
            "Snakefile": """
            rule script:
                output: "out.txt"
                script: "scripts/write.py"
            """,
            "scripts/write.py": "open(snakemake.output[0], 'w').write('written')",
        }
    )
    result = transfer_workflow.run(environment=without_what_comes("moved"))
    assert result.status == 0, result.output
    assert transfer_workflow.read("out.txt") == "written"


@pytest.mark.parametrize("name", ["deployment_method", "deployment_methods"])
def test_means_of_deployment_are_known_by_their_names(name: str) -> None:
    class Method:
        def __str__(self) -> str:
            return "conda"

    class Holder:
        pass

    workflow, settings = Holder(), Holder()
    setattr(settings, name, {Method()} if name == "deployment_method" else {"conda"})
    workflow.deployment_settings = settings  # type: ignore[attr-defined]
    assert deployment_methods(workflow) == {"conda"}
