"""Files that are on the platform are not uploaded again, whatever they are called and wherever."""

from __future__ import annotations

from pathlib import Path

from workflow_runs import Platform, new_workflow

from snakemake_executor_cavatica.project.index import ProjectIndex
from snakemake_executor_cavatica.project.local_record import checksum_of


def test_another_name_in_another_directory_is_not_uploaded_again(
    tmp_path: Path, fresh: Platform
) -> None:
    """A directory without a record knows as much as another machine."""
    checksum = ""
    for name in ("first.txt", "renamed.dat"):
        (tmp_path / name).mkdir()
        workflow = new_workflow(tmp_path / name, fresh)
        workflow.put({name: "the same content\n"})
        checksum = checksum_of(str(workflow.directory / name))
        text = f"""
            rule a:
                input: "{name}"
                output: "out.txt"
                shell: "cat {{input}} > {{output}}; basename {{input}} >> {{output}}"
            """
        workflow.write({"Snakefile": text})
        workflow.succeed()
        assert workflow.read("out.txt") == f"the same content\n{name}\n"
    with fresh.client() as client:
        inputs = ProjectIndex(client, fresh.project).children("snakemake/inputs")
    assert [one.path for one in inputs if checksum[:16] in one.path] == [
        f"snakemake/inputs/{checksum[:16]}-first.txt"
    ]
