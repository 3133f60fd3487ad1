"""What a run costs in requests and bytes, counted by the platform's own log."""

from __future__ import annotations

import collections
import re
from pathlib import Path

import pytest
from workflow_runs import Workflow, until

from snakemake_executor_cavatica.project.index import ProjectIndex

JOBS = 100


def test_a_hundred_jobs_in_storage_mode_take_four_requests_each_and_no_bytes(
    storage_workflow: Workflow,
) -> None:
    workflow = storage_workflow
    workflow.write(
        {
            "Snakefile": f"""
            rule all:
                input:
                    expand("res/{{x}}/left/out.txt", x=range({JOBS})),
                    expand("res/{{x}}/right/out.txt", x=range({JOBS}))
            rule job:
                output:
                    left="res/{{x}}/left/out.txt",
                    right="res/{{x}}/right/out.txt",
                    scrap=temp("res/{{x}}/scrap.txt")
                log: "logs/{{x}}.log"
                shell: "echo l > {{output.left}}; echo r > {{output.right}}; "
                       "echo s > {{output.scrap}}; echo {{wildcards.x}} > {{log}}"
            """
        }
    )
    before = len(workflow.platform.requests())
    workflow.succeed("--jobs", "100")
    requests = workflow.platform.requests()[before:]

    kinds = collections.Counter(
        f"{request['method']} {re.sub('[0-9a-f-]{20,}', 'ID', request['path'].split('?')[0])}"
        for request in requests
    )
    assert len(requests) <= 4 * JOBS, kinds
    assert not [request for request in requests if request["path"].endswith("/download_info")]
    uploads = [r for r in requests if r["path"].split("?")[0].endswith("/upload/multipart")]
    assert len(uploads) == 2, "only the workflow's own sources and the journal are uploaded"
    print(f"{len(requests)} requests for {JOBS} jobs", dict(kinds))

    assert workflow.read("res/7/left/out.txt") == "l\n"
    assert workflow.read("res/7/right/out.txt") == "r\n"
    assert workflow.read("logs/7.log") == "7\n"
    assert workflow.read("res/7/scrap.txt") is None
    with workflow.platform.client() as client:
        index = ProjectIndex(client, workflow.platform.project)
        names = [entry.path for entry in index.walk(workflow.folder) if not entry.folder]
    assert len(names) == 3 * JOBS, "two outputs and a log of each job, and nothing else"


@pytest.mark.parametrize(
    ("arguments", "tasks"), [(("--cavatica-batch", "auto"), 1), (("--cavatica-pack", "50"), 2)]
)
def test_jobs_that_share_tasks_take_no_requests_of_their_own(
    storage_workflow: Workflow, arguments: tuple[str, str], tasks: int
) -> None:
    workflow = storage_workflow
    workflow.write(
        {
            "Snakefile": f"""
            rule all:
                input: expand("out/{{x}}.txt", x=range({JOBS}))
            rule job:
                input: "in/{{x}}.txt"
                output: "out/{{x}}.txt"
                shell: "cat {{input}} > {{output}}"
            """
        }
    )
    workflow.put({f"in/{x}.txt": f"{x}\n" for x in range(JOBS)})
    before = len(workflow.platform.requests())
    workflow.succeed("--jobs", str(JOBS), *arguments)
    paths = [
        f"{request['method']} {request['path'].split('?')[0]}"
        for request in workflow.platform.requests()[before:]
    ]
    assert paths.count("POST /v2/tasks") == tasks
    assert sum(path.endswith("/actions/run") for path in paths) == tasks
    # Looking at the tasks, and writing down which have ended, takes time and not jobs.
    once = [path for path in paths if "/bulk/" not in path and not path.startswith("PATCH")]
    assert len(once) < 40, collections.Counter(once)
    assert workflow.read("out/7.txt") == "7\n"


LARGE = """
# {folder}: makes the sources differ from those of other runs, so that they are uploaded
rule all:
    input: "small.txt"
rule large:
    output: "large.bin"
    shell: "head -c {size} /dev/zero > {{output}}"
rule small:
    input: "large.bin"
    output: "small.txt"
    shell: "wc -c < {{input}} > {{output}}"
"""


def bytes_through_main_process(workflow: Workflow, since: int) -> tuple[int, int]:
    """Files uploaded and downloaded, but for the workflow's own sources and the run's journal."""
    paths = [request["path"].split("?")[0] for request in workflow.platform.requests()[since:]]
    uploads = sum(path.endswith("/upload/multipart") for path in paths) - 2
    downloads = sum(path.endswith("/download_info") for path in paths)
    return uploads, downloads


def test_a_large_intermediate_file_stays_on_the_platform(storage_workflow: Workflow) -> None:
    size = 1_000_000_000
    storage_workflow.write({"Snakefile": LARGE.format(size=size, folder=storage_workflow.folder)})
    before = len(storage_workflow.platform.requests())
    storage_workflow.succeed()
    assert bytes_through_main_process(storage_workflow, before) == (0, 0)
    assert (storage_workflow.read("small.txt") or "").strip() == str(size)


def test_a_large_intermediate_file_is_downloaded_once_and_never_uploaded(
    transfer_workflow: Workflow,
) -> None:
    size = 1_000_000_000
    transfer_workflow.write({"Snakefile": LARGE.format(size=size, folder=transfer_workflow.folder)})
    before = len(transfer_workflow.platform.requests())
    transfer_workflow.succeed()
    # The large file and the small one.
    assert bytes_through_main_process(transfer_workflow, before) == (0, 2)
    assert (transfer_workflow.directory / "large.bin").stat().st_size == size


def test_an_input_is_uploaded_once_also_by_the_next_run(transfer_workflow: Workflow) -> None:
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": """
            rule use:
                input: "in.txt", "folder"
                output: "{x}.txt"
                shell: "cat {input[0]} {input[1]}/a > {output}"
            """
        }
    )
    workflow.put({"in.txt": "input", "folder/a": "inside", "folder/b b/c": ""})
    before = len(workflow.platform.requests())
    workflow.succeed("a.txt", "b.txt")
    assert bytes_through_main_process(workflow, before) == (2, 2)
    (workflow.directory / "in.txt").touch()

    before = len(workflow.platform.requests())
    workflow.succeed("--forceall", "a.txt", "c.txt")
    uploads, _ = bytes_through_main_process(workflow, before)
    assert uploads == -1, "not even the sources"


def test_an_uploaded_input_that_somebody_deletes_during_the_run_is_uploaded_again(
    own_transfer: Workflow, tmp_path: Path
) -> None:
    workflow, copied, go_on = own_transfer, tmp_path / "copied", tmp_path / "go-on"
    wait = f"touch {copied}; until [ -e {go_on} ]; do sleep 0.1; done"
    workflow.write(
        {
            "Snakefile": f"""
            rule second:
                input: "in.txt", "first.txt"
                output: "second.txt"
                shell: "cat {{input}} > {{output}}"
            rule first:
                input: "in.txt"
                output: "first.txt"
                shell: "cp {{input}} {{output}}; {wait}"
            """
        }
    )
    workflow.put({"in.txt": f"{workflow.folder}\n"})
    process = workflow.start("--retries", "1")
    until(copied.exists)
    with workflow.platform.client() as client:
        victims = uploaded_inputs(workflow)
        client.delete_files(victims)
    go_on.touch()
    output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    assert workflow.read("second.txt") == f"{workflow.folder}\n" * 2
    assert len(victims) == len(uploaded_inputs(workflow)) == 1
    assert set(victims).isdisjoint(uploaded_inputs(workflow))
    assert len(workflow.platform.executions()) == 2, "no task ran without its input"


def uploaded_inputs(workflow: Workflow) -> list[str]:
    """Ids of what the platform has of `in.txt`."""
    with workflow.platform.client() as client:
        index = ProjectIndex(client, workflow.platform.project)
        return [one.id for one in index.children("snakemake/inputs") if "in.txt" in one.path]
