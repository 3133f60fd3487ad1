"""Results that cannot be had here at once: their tasks are paid, and not started again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_storages import ShelfWorkflow
from workflow_runs import DataPlace, Platform, Workflow, new_workflow, until

from tests.faults.around import Disk

FULL_FOR_SNAKEMAKE = """
import errno, os
from snakemake.persistence.file import FilePersistence

def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

if os.path.exists("full"):
    FilePersistence._write_record = full

rule all:
    input: "a", "b"

rule a:
    output: "a"
    GROUP
    shell: "until test -e GATE; do sleep .1; done; touch {output}"

rule b:
    output: "b"
    shell: "until test -e GATE-b; do sleep .1; done; touch {output}"
"""

ON_THE_SHELF = """
import pathlib
obstacle = pathlib.Path("../shelf/made")

def by_attempt(wildcards, attempt):
    if attempt > 1:
        obstacle.unlink(missing_ok=True)
    return attempt

rule all:
    input: "folder", storage.shelf("shelf://made/a")

rule a:
    output: directory("folder"), storage.shelf("shelf://made/a")
    resources: number=by_attempt
    retries: 1
    shell: "mkdir {output[0]}; echo {resources.number} | tee {output[0]}/x > {output[1]}"
"""


@pytest.fixture
def small(tmp_path: Path, fresh: Platform, place: DataPlace) -> Iterator[tuple[Workflow, Disk]]:
    """A workflow in a file system of its own, which can be filled."""
    directory = tmp_path / "workflow"
    directory.mkdir()
    try:
        disk = Disk(directory)
    except subprocess.CalledProcessError:
        pytest.skip("this machine lets nobody mount a file system")
    yield Workflow(directory, fresh, place), disk
    disk.close()


def test_a_disk_that_is_full_for_a_while_fails_no_job(
    small: tuple[Workflow, Disk], gate: Path
) -> None:
    """Snakemake would delete the results of a failed job, and start it again if it has retries."""
    workflow, disk = small
    workflow.write(
        {
            "Snakefile": f"""
            rule all:
                input: lambda wildcards: checkpoints.a.get().output[0]

            checkpoint a:
                output: directory("folder")
                retries: 1
                shell: "until test -e {gate}; do sleep 1; done; mkdir {{output}}"
            """
        }
    )
    process = workflow.start("--seconds-between-status-checks", "1")
    until(lambda: bool(workflow.platform.executions()))
    disk.fill()
    gate.touch()
    assert process.stdout is not None
    seen = next((line for line in process.stdout if "no room" in line), "")
    disk.free()
    output, _ = process.communicate(timeout=100)
    assert "Make room" in seen, output
    assert process.returncode == 0, output
    assert "Error in rule" not in output
    assert len(workflow.platform.executions()) == 1
    assert workflow.succeed().nothing_to_do


def test_the_next_attempt_takes_the_results_that_are_there(
    tmp_path: Path, fresh: Platform, place: DataPlace
) -> None:
    """Also if its command is another one, and although Snakemake deletes what a failed job made."""
    directory = tmp_path / "workflow"
    directory.mkdir()
    workflow = ShelfWorkflow(directory, fresh, place)
    (workflow.shelf / "made").write_text("in the way of a folder\n")
    workflow.write({"Snakefile": ON_THE_SHELF})
    result = workflow.succeed()
    assert "could not be stored" in result.output
    assert len(workflow.platform.executions()) == 1
    assert (workflow.shelf / "made/a").read_text() == "1\n"
    assert workflow.read("folder/x") == "1\n"
    assert workflow.succeed().nothing_to_do


@pytest.mark.parametrize("group", ["", "group: 'g'"])
def test_tasks_go_on_where_snakemake_ends_because_it_cannot_write(
    tmp_path: Path, fresh: Platform, gate: Path, group: str
) -> None:
    """Snakemake notes itself what has finished, and ends at once where it cannot; of a group, it
    deletes first what was made.
    """
    workflow = new_workflow(tmp_path, fresh, "storage")
    text = FULL_FOR_SNAKEMAKE.replace("GATE", str(gate)).replace("GROUP", group)
    workflow.write({"Snakefile": text, "full": ""})
    process = workflow.start("--seconds-between-status-checks", "1")
    until(lambda: len(workflow.platform.executions()) == 2)
    gate.touch()
    output, _ = process.communicate(timeout=100)
    assert "1 tasks go on on CAVATICA" in output, output
    Path(f"{gate}-b").touch()
    (workflow.directory / "full").unlink()
    workflow.succeed()
    assert len(workflow.platform.executions()) == 2


FULL_FOR_A_MOMENT = """
import errno, os
from snakemake.persistence.file import FilePersistence

original = FilePersistence._write_record
times = []

def full_once(*arguments):
    times.append(1)
    if len(times) == NUMBER:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return original(*arguments)

FilePersistence._write_record = full_once

rule a:
    output: OUTPUT
    retries: 1
    resources: number=lambda wildcards, attempt: attempt
    shell: COMMAND
"""
MANY = ", ".join(f"'more/{number}'" for number in range(100))


@pytest.mark.parametrize(
    ("output", "command"),
    [
        ("'a'", "'echo {resources.number} > {output}'"),
        ("directory('d')", "'mkdir {output}; echo {resources.number} > {output}/a'"),
        (f"'a', {MANY}", "'touch {output}; echo {resources.number} > {output[0]}'"),
    ],
    ids=["file", "directory", "many"],
)
def test_what_snakemake_fails_because_it_cannot_write_is_not_paid_again(
    tmp_path: Path, fresh: Platform, output: str, command: str
) -> None:
    """It deletes what the job has made, and starts it again, when there is room once more."""
    workflow = new_workflow(tmp_path, fresh, "storage")
    text = FULL_FOR_A_MOMENT.replace("OUTPUT", output).replace("COMMAND", command)
    workflow.write({"Snakefile": text.replace("NUMBER", "1")})
    result = workflow.succeed()
    assert "Trying to restart job" in result.output
    assert len(workflow.platform.executions()) == 1, result.output
    assert workflow.read("d/a" if "directory" in output else "a") == "1\n"


@pytest.mark.parametrize("place", ["transfer", "storage"])
@pytest.mark.both_places
def test_what_snakemake_cannot_write_down_is_not_paid_again_by_the_next_run(
    tmp_path: Path, fresh: Platform, place: DataPlace
) -> None:
    """In transfer mode all is here, and noted by the plugin, when Snakemake notes it once more."""
    workflow = new_workflow(tmp_path, fresh, place)
    text = FULL_FOR_A_MOMENT.replace("OUTPUT", "'a'").replace("COMMAND", "'echo 1 > {output}'")
    text = text.replace("retries: 1", "retries: 0")
    number = "2" if place == "transfer" else "1"
    workflow.write({"Snakefile": text.replace("NUMBER", number)})
    workflow.fail()
    workflow.write({"Snakefile": text.replace("NUMBER", "0")})
    workflow.succeed()
    assert len(workflow.platform.executions()) == 1
    assert workflow.read("a") == "1\n"


def test_a_result_of_others_that_snakemake_cannot_write_down_is_tried_again(
    tmp_path: Path, fresh: Platform
) -> None:
    """Protects from a traceback: there is no task of this run whose results could be kept."""
    text = FULL_FOR_A_MOMENT.replace("OUTPUT", "'a'").replace("COMMAND", "'echo 1 > {output}'")
    for name, number in (("first", "0"), ("second", "1")):
        (tmp_path / name).mkdir()
        workflow = new_workflow(tmp_path / name, fresh, "storage")
        workflow.write({"Snakefile": text.replace("NUMBER", number)})
        result = workflow.succeed("--cavatica-reuse")
    assert "Traceback" not in result.output
    assert "Trying to restart job" in result.output
    assert len(fresh.executions()) == 1
    assert workflow.read("a") == "1\n"
