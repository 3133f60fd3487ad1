"""Conda environments: what makes two of them the same, and how a job gets its own."""

from __future__ import annotations

import shlex
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from translated_jobs import Task, local, plan

from snakemake_executor_cavatica.launch.environments import (
    COMPLETE,
    PREFIX,
    environment_plan,
    with_environment,
)
from snakemake_executor_cavatica.plan.plan import JobPlan, Mode, StagedInput
from snakemake_executor_cavatica.project.paths import ProjectPath
from snakemake_executor_cavatica.read.facts import CondaFile, Defaults

HOME = ProjectPath("me/p", "snakemake")


def job(*definitions: str, name: str = "env.yaml", image: str = "snakemake") -> JobPlan:
    files = tuple(CondaFile(name, {".yaml": text}) for text in definitions)
    planned = plan(None, directive="run", conda=files, snakemake_command="python -m snakemake")
    return with_environment(replace(planned, image=image), HOME)


def staged(planned: JobPlan) -> StagedInput:
    return next(one for one in planned.inputs if one.method == "environment")


def test_an_environment_is_known_by_what_it_is_made_from() -> None:
    one = staged(job("a"))
    assert staged(job("a", name="elsewhere/other.yaml")) == one
    others = [job("b"), job("a", "b"), job("a", image="other")]
    assert len({one.path, *(staged(other).path for other in others)}) == 4
    assert str(one.place).startswith("cavatica://me/p/snakemake/environments/")


def test_snakemake_in_the_task_is_told_where_it_lies() -> None:
    planned = job("a")
    assert planned.command == f"python -m snakemake --conda-prefix {staged(planned).path}"
    assert staged(planned).path.startswith(f"{PREFIX}/")


def test_what_lacks_conda_is_named() -> None:
    planned = job("a", image="some/image:1")
    for one, words in (
        (planned, "The image some/image:1 has no conda. Name one that has conda and Snakemake"),
        (replace(planned, in_container=False), "This machine has no conda. Tasks of this platform"),
    ):
        assert words in environment_plan(one, staged(one), Defaults()).command


def test_jobs_without_one_stay_as_they_are() -> None:
    for planned in (plan("true"), plan(None, directive="run")):
        assert with_environment(planned, HOME) is planned


def test_its_task_runs_on_demand_in_the_job_s_image_whatever_the_defaults() -> None:
    planned = job("it's $(odd)\n", image="some/image:1")
    defaults = Defaults(mode="snakemake", interruptible=True, shell_image="x", snakemake_image="x")
    making = environment_plan(planned, staged(planned), defaults)
    assert making.mode is Mode.DIRECT
    assert making.image == "some/image:1"
    assert making.settings.interruptible is False
    assert [output.place for output in making.outputs] == [staged(planned).place]
    assert shlex.quote("it's $(odd)\n") in making.command


def packed(task: Task, *names: str) -> Path:
    folder = task.store("env", dict.fromkeys(names, "packed\n"))
    archive = folder.parent / "env.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, arcname=".")
    return archive


def user(path: Path) -> JobPlan:
    planned = plan(f"cat {shlex.quote(f'{path}/file')} > out", outputs=[local("out")])
    place = HOME / "environments/x.tar"
    return replace(
        planned,
        inputs=(StagedInput("snakemake_conda", place, str(path), "file", "environment"),),
    )


def test_it_is_unpacked_at_its_own_path(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "pre fix/key"
    ran = task.run(user(path), {str(path): packed(task, "file", COMPLETE)})
    assert ran.text() == "packed\n"
    assert [one.name for one in path.parent.iterdir()] == ["key"]


def test_one_that_is_there_already_is_used(task: Task, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.mkdir()
    (path / "file").write_text("there\n")
    (path / COMPLETE).touch()
    assert task.run(user(path), {str(path): packed(task, "file", COMPLETE)}).text() == "there\n"


@pytest.mark.parametrize("archive", [("file",), ("file", COMPLETE)])
def test_one_that_is_not_complete_is_told(
    task: Task, tmp_path: Path, archive: tuple[str, ...]
) -> None:
    path = tmp_path / "key"
    if COMPLETE in archive:
        path.mkdir()
    ran = task.run(user(path), {str(path): packed(task, *archive)})
    assert ran.status == 1
    assert f"the conda environment in {path} is not complete" in ran.stderr
