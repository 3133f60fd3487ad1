"""The body of POST /tasks, as the platform documents it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from translated_jobs import local, plan

from snakemake_executor_cavatica.api import FileRef
from snakemake_executor_cavatica.plan.plan import JobPlan
from snakemake_executor_cavatica.project.paths import LocalPath, ProjectPath
from snakemake_executor_cavatica.read.facts import Refusal, WorkflowFile
from snakemake_executor_cavatica.translate.command import command_file
from snakemake_executor_cavatica.translate.draft import task_draft, work_of_job
from snakemake_executor_cavatica.translate.script import job_script

RUN_FOLDER = ProjectPath("me/p", "snake make/runs/1")


def body(job: JobPlan, name: str = "align [A]") -> dict[str, Any]:
    files = {staged.place: FileRef(f"id-{staged.path}") for staged in job.inputs}
    draft = task_draft(
        work_of_job(job, files),
        name=name,
        description="job 7",
        app="me/p/snakemake-align/0",
        run_folder=RUN_FOLDER,
        sources=FileRef("id-sources"),
    )
    return json.loads(json.dumps(draft.to_body()))  # type: ignore[no-any-return]


def nulls(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(nulls, value.values()))
    if isinstance(value, list):
        return any(map(nulls, value))
    return value is None


def test_a_full_draft_has_the_documented_keys() -> None:
    job = plan(
        inputs=[local("a", name="reads"), local("b", name="reads")],
        outputs=[local("out/x"), local("y", name="bam")],
        resources={"mem_mb": 1000, "disk_mb": 2000, "runtime": 5},
        threads=4,
        defaults={
            "instance_type": "c5.xlarge",
            "max_parallel_instances": 2,
            "use_memoization": False,
            "use_elastic_disk": True,
            "interruptible": False,
        },
    )
    assert body(job) == {
        "name": "align [A]",
        "description": "job 7",
        "project": "me/p",
        "app": "me/p/snakemake-align/0",
        "inputs": {
            "snakemake_job": job_script(job),
            "snakemake_command": command_file(job),
            "snakemake_sources": {"class": "File", "path": "id-sources"},
            "snakemake_cores": 4,
            "snakemake_memory_mib": 954,
            "snakemake_disk_mib": 1908,
            "snakemake_time_limit_seconds": 300,
            "reads": [{"class": "File", "path": "id-a"}, {"class": "File", "path": "id-b"}],
        },
        "execution_settings": {
            "instance_type": "c5.xlarge",
            "max_parallel_instances": 2,
            "use_memoization": False,
            "use_elastic_disk": True,
        },
        "use_interruptible_instances": False,
        "output_location": {
            "main_location": "/snake_.20make/runs/1",
            "nodes_override": True,
            "nodes_location": {
                "output_0": {"output_location": "/snake_.20make/runs/1/out"},
                "bam": {"output_location": "/snake_.20make/runs/1"},
                "snakemake_small_outputs": {
                    "output_location": "/snake_.20make/runs/1/small_outputs"
                },
            },
        },
    }


def test_what_is_left_to_the_platform_is_not_sent() -> None:
    sent = body(plan())
    assert not nulls(sent)
    assert set(sent) == {"name", "description", "project", "app", "inputs", "output_location"}


@pytest.mark.parametrize(
    ("setting", "value", "where"),
    [
        ("instance_type", "a;b;1", ("execution_settings", "instance_type")),
        ("max_parallel_instances", 3, ("execution_settings", "max_parallel_instances")),
        ("use_memoization", False, ("execution_settings", "use_memoization")),
        ("use_memoization", True, ("execution_settings", "use_memoization")),
        ("use_elastic_disk", False, ("execution_settings", "use_elastic_disk")),
        ("interruptible", False, ("use_interruptible_instances",)),
        ("interruptible", True, ("use_interruptible_instances",)),
    ],
)
@pytest.mark.parametrize("given", ["defaults", "resources"])
def test_every_setting_reaches_the_draft(
    setting: str, value: Any, where: tuple[str, ...], given: str
) -> None:
    name = setting if given == "defaults" else f"cavatica_{setting}"
    sent: Any = body(plan(**{given: {name: value}}))
    for key in where:
        sent = sent[key]
    assert sent is value or sent == value
    assert isinstance(sent, type(value))


def test_outputs_on_the_platform_go_to_their_own_folder() -> None:
    place = ProjectPath("me/p", "results/a b/x.txt")
    locations = body(plan(outputs=[WorkflowFile("x", "x", place)]))["output_location"]
    assert locations["nodes_location"] == {"output_0": {"output_location": "/results/a_.20b"}}


def test_an_output_at_the_root_of_the_project_has_a_place() -> None:
    place = ProjectPath("me/p", "x.txt")
    locations = body(plan(outputs=[WorkflowFile("x", "x", place)]))["output_location"]
    assert locations["nodes_location"]["output_0"] == {"output_location": "/"}


def test_an_output_in_another_project_is_refused_by_rule_and_file() -> None:
    place = ProjectPath("me/other", "x.txt")
    with pytest.raises(Refusal, match=r"^Rule align .*cavatica://me/other/x\.txt .*me/p"):
        body(plan(outputs=[WorkflowFile("x", "x", place)]))


def test_outputs_outside_of_the_working_directory_have_a_folder() -> None:
    alone = {"parcel_up_to": 0}
    locations = body(plan(outputs=[local("/abs/x"), local("../x")], defaults=alone))[
        "output_location"
    ]
    folders = [node["output_location"] for node in locations["nodes_location"].values()]
    assert len(set(folders)) == 2
    assert all(folder.startswith("/snake_.20make/runs/1/.cavatica/outside/") for folder in folders)


def test_a_long_name_is_shortened() -> None:
    sent = body(plan(), "x" * 300)["name"]
    assert len(sent) <= 203
    assert sent.endswith("...")


def test_inputs_are_bound_in_the_order_of_the_scripts_arguments() -> None:
    names = ["b", "a", "b", None, "a"]
    job = plan(inputs=[local(f"f{n}", name=name) for n, name in enumerate(names)])
    sent = body(job)["inputs"]
    order = [
        value["path"]
        for port in dict.fromkeys(staged.port for staged in job.inputs)
        for value in sent[port]
    ]
    script = sent["snakemake_job"]
    positions = [script.index(f'"$at"{identity.removeprefix("id-")} ') for identity in order]
    assert positions == sorted(positions)
    assert len(order) == 5


def test_local_places_are_found_by_the_path_of_the_workflow() -> None:
    job = plan(inputs=[local("./a")])
    assert job.inputs[0].place == LocalPath("./a")
    assert body(job)["inputs"]["inputs"] == [{"class": "File", "path": "id-a"}]
