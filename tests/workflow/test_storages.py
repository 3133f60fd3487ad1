"""Files in storages other than CAVATICA, by a plugin that only the main process has.

The server is started without the plugin's folder on its path, so no task can import it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from workflow_runs import DataPlace, Platform, Result, Workflow

PLUGINS = Path(__file__).with_name("plugins")


class ShelfWorkflow(Workflow):
    """A workflow whose main process has the storage plugin `shelf`, with a folder as its shelf."""

    @property
    def shelf(self) -> Path:
        folder = self.directory.parent / "shelf"
        folder.mkdir(exist_ok=True)
        return folder

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(PLUGINS), os.getenv("PYTHONPATH")])),
            "SNAKEMAKE_STORAGE_SHELF_ROOT": str(self.shelf),
        }

    def tasks(self) -> list[str]:
        """The tasks of the project that are about this workflow's jobs."""
        with self.platform.client() as client:
            return [task.name for task in client.list_tasks(project=self.platform.project)]


@pytest.fixture
def shelf_workflow(tmp_path: Path, platform: Platform, place: DataPlace) -> ShelfWorkflow:
    directory = tmp_path / "workflow"
    directory.mkdir()
    return ShelfWorkflow(directory, platform, place)


EVERY_USE = """
storage:
    provider="shelf"

storage second:
    provider="shelf", keep_local=False

rule all:
    input:
        "direct.txt", "run.txt", storage.shelf("shelf://made/run.txt"), "parts.txt", "mention.txt"

rule direct:
    input: storage.shelf("shelf://in.txt"), there=storage.second("shelf://second/in.txt")
    output: "direct.txt", storage("shelf://made/direct.txt")
    shell: "cat {input} > {output[0]}; echo direct > {output[1]}"

rule run:
    input: storage("shelf://in.txt"), made=storage.shelf("shelf://made/direct.txt")
    output: "run.txt", there=storage.shelf("shelf://made/run.txt")
    run:
        text = "".join(open(file).read() for file in input)
        open(output[0], "w").write(text)
        open(output.there, "w").write("run\\n")

checkpoint split:
    input: storage.shelf("shelf://in.txt")
    output: storage.shelf("shelf://parts.txt")
    shell: "echo one two > {output}"

def parts(wildcards):
    with checkpoints.split.get().output[0].open() as made:
        return [f"{name}.part" for name in made.read().split()]

rule part:
    output: "{name}.part"
    shell: "echo {wildcards.name} > {output}"

rule join:
    input: parts
    output: "parts.txt"
    run: shell("cat {input} > {output}")

rule mention:
    "Has nothing in a storage, but runs by Snakemake in a task that parses the whole Snakefile."
    output: "mention.txt"
    run: open(output[0], "w").write("no storage")
"""


def test_files_of_other_storages_are_read_and_written(shelf_workflow: ShelfWorkflow) -> None:
    workflow = shelf_workflow
    (workflow.shelf / "second").mkdir()
    (workflow.shelf / "in.txt").write_text("shelf\n")
    (workflow.shelf / "second/in.txt").write_text("second\n")
    workflow.write({"Snakefile": EVERY_USE})
    workflow.succeed()
    assert workflow.read("direct.txt") == "shelf\nsecond\n"
    assert workflow.read("run.txt") == "shelf\ndirect\n"
    assert workflow.read("parts.txt") == "one\ntwo\n"
    assert (workflow.shelf / "made/run.txt").read_text() == "run\n"
    fetched = (workflow.shelf / "retrieved.log").read_text().splitlines()
    assert fetched.count("shelf://in.txt") == 1
    assert "shelf://made/direct.txt" not in fetched, "outputs are passed on by id"
    assert not list((workflow.directory / ".snakemake/storage/shelf").rglob("*.txt"))
    again = workflow.run()
    assert again.nothing_to_do, again.output


def test_a_changed_file_is_fetched_again(shelf_workflow: ShelfWorkflow) -> None:
    workflow = shelf_workflow
    (workflow.shelf / "in.txt").write_text("old\n")
    workflow.write({"Snakefile": COPY})
    workflow.succeed()
    (workflow.shelf / "in.txt").write_text("newer\n")
    workflow.succeed()
    assert workflow.read("out.txt") == "newer\n"


COPY = """
rule copy:
    input: storage.shelf("shelf://in.txt")
    output: "out.txt"
    shell: "cat {input} > {output}"
"""


def test_a_job_may_read_a_file_by_its_address(shelf_workflow: ShelfWorkflow) -> None:
    workflow = shelf_workflow
    (workflow.shelf / "in.txt").write_text("x")
    workflow.write(
        {
            "Snakefile": """
            rule all:
                input: "shell.txt", "run.txt"
            rule shell:
                input: storage.shelf("shelf://in.txt", retrieve=False)
                output: "shell.txt"
                shell: "echo {input} > {output}"
            rule run:
                input: storage.shelf("shelf://in.txt", retrieve=False)
                output: "run.txt"
                run: open(output[0], "w").write(input[0])
            """
        }
    )
    workflow.succeed()
    assert workflow.read("shell.txt") == "shelf://in.txt\n"
    assert workflow.read("run.txt") == "shelf://in.txt"
    assert not (workflow.shelf / "retrieved.log").exists()


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ('storage.shelf("shelf://out.txt", retrieve=False)', "to be written by the job itself"),
        ('update(storage.shelf("shelf://out.txt"))', "is an update() output in another storage"),
    ],
)
def test_outputs_that_cannot_be_stored_are_refused_before_anything_runs(
    shelf_workflow: ShelfWorkflow, output: str, said: str
) -> None:
    shelf_workflow.write(
        {"Snakefile": f"rule refused_output:\n    output: {output}\n    shell: 'echo > {{output}}'"}
    )
    _refused(shelf_workflow, "refused_output", said)


def test_a_folder_of_another_storage_is_refused_before_anything_runs(
    shelf_workflow: ShelfWorkflow,
) -> None:
    (shelf_workflow.shelf / "in.txt").mkdir()
    (shelf_workflow.shelf / "in.txt/a").write_text("a")
    shelf_workflow.write({"Snakefile": COPY.replace("rule copy", "rule refused_folder")})
    _refused(shelf_workflow, "refused_folder", "is a folder in another storage. Make a tar file")


def test_a_file_that_its_storage_does_not_give_fails_its_job_only(
    shelf_workflow: ShelfWorkflow,
) -> None:
    (shelf_workflow.shelf / "in.txt").write_text("x")
    (shelf_workflow.shelf / "retrieved.log").mkdir()  # what the plugin stumbles over
    shelf_workflow.write({"Snakefile": COPY.replace("rule copy", "rule no_input")})
    result = _refused(shelf_workflow, "no_input", "could not be fetched from its storage")
    assert "credentials of its storage plugin" in result.output


def _refused(workflow: ShelfWorkflow, rule: str, said: str) -> Result:
    result = workflow.fail()
    assert said in result.output
    assert rule not in workflow.tasks()
    return result


def test_another_storage_as_the_default_one(tmp_path: Path, platform: Platform) -> None:
    directory = tmp_path / "workflow"
    directory.mkdir()
    workflow = ShelfWorkflow(directory, platform, "transfer")
    (workflow.shelf / "wf").mkdir()
    (workflow.shelf / "wf/in.txt").write_text("default\n")
    workflow.write(
        {
            "Snakefile": """
            rule all:
                input: "out/b.txt"
            rule a:
                input: "in.txt"
                output: temp("a.txt")
                log: "logs/a.log"
                shell: "cat {input} > {output}; echo logged > {log}"
            rule b:
                input: "a.txt"
                output: "out/b.txt"
                run: shell("cat {input} > {output}")
            """
        }
    )
    default = ["--default-storage-provider", "shelf", "--default-storage-prefix", "shelf://wf"]
    workflow.succeed(*default)
    assert (workflow.shelf / "wf/out/b.txt").read_text() == "default\n"
    assert (workflow.shelf / "wf/logs/a.log").read_text() == "logged\n"
    assert not (workflow.shelf / "wf/a.txt").exists(), "it was temporary"
    assert workflow.run(*default).nothing_to_do


def test_addresses_that_nobody_can_know_in_a_task_are_refused_in_snakemake_mode(
    shelf_workflow: ShelfWorkflow,
) -> None:
    workflow = shelf_workflow
    (workflow.shelf / "in.txt?").write_text("attic\n")
    workflow.environment = lambda: {  # type: ignore[method-assign]
        **ShelfWorkflow.environment(workflow),
        "SNAKEMAKE_STORAGE_ATTIC_ROOT": str(workflow.shelf),
    }
    rule = "rule {0}:\n    input: storage.attic('attic://in.txt')\n    output: '{0}.txt'\n    {1}\n"
    workflow.write({"Snakefile": rule.format("refused_address", "run: pass")})
    _refused(workflow, "refused_address", "changes the addresses of files")
    workflow.write({"Snakefile": rule.format("direct", "shell: 'cat {input:q} > {output}'")})
    workflow.succeed()
    assert workflow.read("direct.txt") == "attic\n"
