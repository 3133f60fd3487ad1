"""Inputs in parcels reach a task's command as those do that are files of their own."""

from __future__ import annotations

import os

from translated_jobs import Task, local, plan

from snakemake_executor_cavatica.api import FileRef
from snakemake_executor_cavatica.plan.plan import JobPlan
from snakemake_executor_cavatica.project.paths import LocalPath
from snakemake_executor_cavatica.read.facts import WorkflowFile
from snakemake_executor_cavatica.translate.app import app_document
from snakemake_executor_cavatica.translate.draft import work_of_job
from snakemake_executor_cavatica.translate.parcel import with_parcels

OLD = 10**9


def split(planned: JobPlan, **parcels: str) -> JobPlan:
    """With the input `x` in the parcel that `x` says, where its checksum begins with `x`."""
    found = {LocalPath(path): (parcel, path * 64) for path, parcel in parcels.items()}
    return with_parcels(planned, found)


def test_what_is_in_parcels_reaches_its_path(task: Task) -> None:
    """From several parcels, beside other inputs, below a folder and as a program."""
    first = task.parcel("1.tar", {"a" * 32: "#!/bin/sh\necho ran\n", "z" * 32: "of other jobs\n"})
    second = task.parcel("2.tar", {"b" * 32: "B\n", "c" * 32: "C\n"})
    folder = task.store("folder", {"c": "old\n", "d": "D\n"})
    large = task.store("large", "L\n")
    os.utime(large, (OLD, OLD))
    inputs = [
        local("a", executable=True),
        local("large"),
        WorkflowFile("sub dir/b", "sub dir/b", LocalPath("b")),
        WorkflowFile("f/c", "f/c", LocalPath("c")),
        local("f", form="folder"),
    ]
    job = plan(
        "{ ./a; cat large 'sub dir/b' f/c f/d; } > out && [ a -nt large ] && [ ! -L a ] && "
        "echo more >> f/c",
        inputs=inputs,
        outputs=[local("out")],
    )
    sent = split(job, a=first, b=second, c=second)
    ran = task.run(sent, {"large": large, "f": folder})
    assert ran.status == 0, ran.stderr
    assert ran.text() == "ran\nL\nB\nC\nD\n"
    assert (folder / "c").read_text() == "old\n", "the platform's files are left alone"


def test_a_parcel_that_cannot_be_unpacked_fails_the_job(task: Task) -> None:
    broken = task.store("broken.tar", "no tar file")
    ran = task.run(split(plan(inputs=[local("a")]), a=str(broken)))
    assert ran.status == 1
    assert ran.report.error == "cannot unpack the small inputs"


def test_a_task_names_what_it_takes_from_parcels() -> None:
    """For people who look at its page, and the platform has a port for each input that is left."""
    inputs = [local("a", name="reads"), local("b", name="reads"), local("c")]
    job = split(plan(inputs=inputs), a="P", c="P")
    files = {staged.place: FileRef(f"id-{staged.path}") for staged in job.inputs}
    assert work_of_job(job, files).inputs == {"reads": [FileRef("id-b")]}
    ports = {port["id"]: port for port in app_document(job)["inputs"]}
    assert list(ports)[-3:] == ["snakemake_parcels", "snakemake_small_inputs", "reads"]
    assert ports["snakemake_parcels"]["inputBinding"]["position"] == 1
    assert "inputBinding" not in ports["snakemake_small_inputs"]
