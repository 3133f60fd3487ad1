"""Which files of a workflow reach its tasks, and which do not."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest
from workflow_runs import Workflow

from snakemake_executor_cavatica import sources
from snakemake_executor_cavatica.sources import collect_sources, write_archive


@pytest.fixture(autouse=True)
def _nothing_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_read", set())


def names(workdir: Path, **given: list[str]) -> set[str]:
    arguments = {"declared": [], "commands": [], "inputs": [], "outputs": [], **given}
    collected = collect_sources(workdir=workdir, **arguments)
    return {str(path.relative_to(workdir)) for path in collected.files}


def write(folder: Path, *paths: str, size: int = 1) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x" * size)


def test_small_files_are_shipped_without_git_but_no_data(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "helper.py", "lib/module.py", ".hidden/x", "in.txt", "out.txt")
    write(tmp_path, "large.bam", size=sources.MAX_UNDECLARED + 1)
    shipped = names(tmp_path, declared=["Snakefile"], inputs=["in.txt"], outputs=["out.txt"])
    assert shipped == {"Snakefile", "helper.py", "lib/module.py"}


def test_with_git_what_is_ignored_stays(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    write(tmp_path, "Snakefile", "new.py", "results/old.txt", ".env", "my_credentials.csv")
    (tmp_path / ".gitignore").write_text("results/\n")
    assert names(tmp_path) == {"Snakefile", "new.py"}


def test_a_folder_of_many_files_is_data_but_what_commands_name_goes(tmp_path: Path) -> None:
    for number in range(sources.MAX_UNDECLARED_FILES + 1):
        write(tmp_path, f"data/{number}")
    write(tmp_path, "scripts/run.py", "scripts/helper.py", "scripts/notes.doc")
    shipped = names(tmp_path, commands=["python scripts/run.py --x {input} > {output}"])
    assert shipped == {"scripts/run.py", "scripts/helper.py"}


def test_what_was_read_is_shipped_but_nothing_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A home directory may be the working directory, and credentials are read by us too."""
    write(tmp_path, "workflow/Snakefile", "config/samples.tsv", ".sevenbridges/credentials")
    write(tmp_path, "run/site-packages/x.py", "elsewhere/x.py", "run/results/x")
    read = {str(path) for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(sources, "_read", read)
    collected = collect_sources(
        declared=["../workflow/Snakefile"],
        commands=[],
        workdir=tmp_path / "run",
        inputs=[],
        outputs=["results/x"],
    )
    shipped = {str(path.relative_to(tmp_path)) for path in collected.files}
    assert {"workflow/Snakefile", "config/samples.tsv"} <= shipped
    assert not {".sevenbridges/credentials", "run/results/x"} & shipped


def test_a_source_that_holds_the_token_is_refused(transfer_workflow: Workflow) -> None:
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": 'rule a:\n    output: "a"\n    shell: "touch a"\n',
            "notes.txt": f"my token is {workflow.platform.token}\n",
        }
    )
    result = workflow.fail()
    assert "notes.txt holds your API token" in result.output
    assert workflow.platform.token not in result.output


def test_the_archive_is_the_same_for_the_same_sources(tmp_path: Path) -> None:
    write(tmp_path / "a", "Snakefile", "scripts/x.py")
    archives = []
    for number in range(2):
        (tmp_path / "a/Snakefile").touch()
        collected = collect_sources(
            declared=["Snakefile"], commands=[], workdir=tmp_path / "a", inputs=[], outputs=[]
        )
        archives.append(tmp_path / f"{number}.tar")
        write_archive(collected, archives[-1])
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with tarfile.open(archives[0]) as archive:
        assert "Snakefile" in archive.getnames()


def test_files_read_while_parsing_reach_the_tasks_from_a_subdirectory(
    transfer_workflow: Workflow,
) -> None:
    """Also when the workflow runs in another directory than its Snakefile's."""
    workflow = transfer_workflow
    workflow.write(
        {
            "workflow/Snakefile": """
            import json, sys, os
            sys.path.insert(0, workflow.basedir)
            import names
            SAMPLES = json.load(open(os.path.join(workflow.basedir, "../config/samples.json")))
            rule all:
                input: expand("{s}.txt", s=SAMPLES)
            rule one:
                output: "{s}.txt"
                run:
                    open(output[0], "w").write(names.greet(wildcards.s))
            """,
            "workflow/names.py": "def greet(name):\n    return f'hello {name}'\n",
            "config/samples.json": '["a", "b"]',
            "run/.keep": "",
        }
    )
    workflow.succeed("--directory", "run", "--snakefile", "workflow/Snakefile")
    assert (workflow.directory / "run/b.txt").read_text() == "hello b"
