"""Small outputs leave a task in one more file."""

from __future__ import annotations

import tarfile
from pathlib import Path

from translated_jobs import Task, bin_folder, local, plan

from snakemake_executor_cavatica.in_task.names import SMALL_OUTPUTS
from snakemake_executor_cavatica.plan.plan import JobPlan
from snakemake_executor_cavatica.project.paths import ProjectPath
from snakemake_executor_cavatica.read.facts import WorkflowFile
from snakemake_executor_cavatica.translate.app import app_document
from snakemake_executor_cavatica.translate.small_outputs import gathers

SMALL = {"parcel_up_to": 10}


def contents(task: Path) -> dict[str, str]:
    """What a task has gathered."""
    found = {}
    for file in task.glob(f"{SMALL_OUTPUTS}/*"):
        with tarfile.open(file) as tar:
            for member in tar:
                content = tar.extractfile(member)
                assert content is not None
                found[member.name] = content.read().decode()
    return found


def writing(**sizes: int) -> JobPlan:
    """A job with outputs of these sizes."""
    lines = [f"printf '%0{size}d' 0 > {name}" for name, size in sizes.items()]
    return plan("; ".join(lines), outputs=[local(name) for name in sizes], defaults=SMALL)


def test_a_task_gathers_its_small_outputs_in_any_shell(task: Task) -> None:
    ran = task.run(writing(a=10, b=11, c=1))
    assert ran.status == 0, ran.stderr
    assert contents(ran.task) == {"out/0/a": "0" * 10, "out/2/c": "0"}
    assert len(ran.text(1)) == 11


def test_hidden_outputs_and_folders_are_told_apart(task: Task) -> None:
    outputs = [local(".a b"), local("f", form="folder"), local("-c")]
    job = plan("echo a > '.a b'; mkdir f; echo f > f/x; echo c > ./-c", outputs=outputs)
    ran = task.run(job)
    assert ran.status == 0, ran.stderr
    assert contents(ran.task) == {"out/0/.a b": "a\n", "out/2/-c": "c\n"}


def test_one_output_is_not_gathered_and_neither_is_what_stays_on_the_platform(task: Task) -> None:
    ran = task.run(writing(a=10, b=11))
    assert ran.status == 0, ran.stderr
    assert contents(ran.task) == {}, "one file is as good as the file itself"
    far = [WorkflowFile(n, n, ProjectPath("me/p", n)) for n in "ab"]
    for outputs, alone, packed in (
        ([], False, False),
        ([local("a")], False, True),
        ([*far, local("a")], False, True),
        (far, False, False),
        ([local("a"), local("b")], True, True),
    ):
        job = plan(outputs=outputs)
        assert (gathers(job), gathers(job, packed=True)) == (alone, packed)
        ports = [port["id"] for port in app_document(job)["outputs"]]
        assert ("snakemake_small_outputs" in ports) is alone
    assert not gathers(plan(outputs=[local("a"), local("b")], defaults={"parcel_up_to": 0}))


def test_a_job_does_not_fail_where_nothing_can_be_gathered(dash_task: Task) -> None:
    """`wc` may be missing: it is none of the programs that an image must have."""
    programs = ["cat", "chmod", "cp", "date", "ln", "mkdir", "mv", "rm", "sh", "tar"]
    path = bin_folder(dash_task.root.parent / "few", programs)
    bare = Task(dash_task.root, dash_task.sh, path)
    ran = bare.run(writing(a=1, b=1))
    assert ran.status == 0, ran.stderr
    assert contents(ran.task) == {}
