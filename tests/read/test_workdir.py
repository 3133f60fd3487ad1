"""The working directory by all its names, here and in a task."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snakemake_executor_cavatica.in_task.scheduler_stand_in import (
    Scheduler,
    SchedulerSettings,
    _Paths,
)
from snakemake_executor_cavatica.read.facts import WORKDIR_PLACEHOLDER
from snakemake_executor_cavatica.read.workdir import Workdir

HERE = WORKDIR_PLACEHOLDER


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory, with a link to it beside it and one to elsewhere in it."""
    folder = tmp_path.resolve() / "my project"
    (folder / "data").mkdir(parents=True)
    folder.with_name("link").symlink_to(folder)
    (folder / "far").symlink_to("/usr")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data/x", "data/x"),
        ("../x", "../x"),
        ("{here}/x", "x"),
        ("{here}//data/./x y", "data/x y"),
        ("{here}/data/../x", "data/../x"),
        ("{here}/../my project/x", "x"),
        ("{parent}/link/data/x", "data/x"),
        ("{parent}/link/../my project/data/x", "data/x"),
        ("{here}/far/x", "far/x"),
        ("{here}", "{here}"),
        ("{here}2/x", "{here}2/x"),
        ("{here}/../other/x", "{here}/../other/x"),
        ("/usr/x", "/usr/x"),
    ],
)
def test_what_leads_below_the_working_directory_is_told_from_there(
    here: Path, path: str, expected: str
) -> None:
    names = {"here": here, "parent": here.parent}
    found = Workdir().inside(path.format(**names))
    assert Path(found) == Path(expected.format(**names))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat {here}/x --to={here}", f"cat {HERE}/x --to={HERE}"),
        ("{here}:{here}/y", f"{HERE}:{HERE}/y"),
        ("{parent}/scripts/x.py", f"{HERE}/../scripts/x.py"),
        ("{here}2 {here}.bak /mnt{here} {here}-x", "{here}2 {here}.bak /mnt{here} {here}-x"),
    ],
)
def test_a_text_is_told_without_paths_of_this_machine(here: Path, text: str, expected: str) -> None:
    names = {"here": here, "parent": here.parent}
    workdir = Workdir({f"{here.parent}/scripts": "../scripts"})
    assert workdir.told(text.format(**names)) == expected.format(**names)


def test_values_are_told_wherever_they_are(here: Path) -> None:
    value = {"a": [f"{here}/x", (1, {f"{here}"})], "b": here / "y", f"{here}": None, "c": 2.5}
    told = Workdir().told_value(value)
    assert told == {"a": [f"{HERE}/x", (1, {HERE})], "b": Path(f"{HERE}/y"), HERE: None, "c": 2.5}


def test_a_link_is_known_as_a_name_once_a_file_was_named_by_it(here: Path) -> None:
    workdir = Workdir()
    workdir.inside(f"{here.parent}/link/x")
    assert workdir.told(f"ls {here.parent}/link") == f"ls {HERE}"
    assert list(workdir.names) == [str(here), f"{here.parent}/link"]


# ------------------------------------------------------------------------------- inside of a task

PATHS = _Paths("/task/work/run", {"/p/run": ".", "/p": "..", "/p/link": "..", "/p/run/old": "new"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/p/run/x", "/task/work/run/x"),
        ("--in=/p/lib/x,/p/run", "--in=/task/work/lib/x,/task/work/run"),
        ("/p/run/old/x", "/task/work/run/new/x"),
        ("/p2/x", "/p2/x"),
        ("/task/work/run/x", "/task/work/run/x"),
    ],
)
def test_paths_of_the_main_process_are_read_as_paths_in_the_task(text: str, expected: str) -> None:
    assert PATHS.here(text) == expected
    assert PATHS.value_here({"a": [text]}) == {"a": [expected]}


def test_a_task_below_the_folder_that_it_stands_for_is_told_from_it() -> None:
    """The embedded platform's own folder is in the working directory."""
    paths = _Paths("/p/.cavatica-local/task/work", {"/p": "."})
    inside = "/p/.cavatica-local/task/work/x"
    assert paths.here(f"/p/x {inside} /p/.cavatica-local/task/tmp") == (
        f"{inside} {inside} /p/.cavatica-local/task/tmp"
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("/p/run", "/task/work/run"),
        ("/p/link", "/task/work"),
        ("/p/elsewhere", "/task/work/elsewhere"),
        ("/task/work/run", "/task/work/run"),
    ],
)
def test_a_workdir_directive_leads_to_the_same_place(given: str, expected: str) -> None:
    assert PATHS.workdir(given) == expected


def _job(name: str, **resources: int) -> Any:
    return SimpleNamespace(
        name=name,
        scheduler_resources={"_nodes": 1, "_job_count": 1, **resources},
        priority=0,
        input=[],
        is_group=lambda: False,
    )


def _select(limits: str, jobs: list[Any]) -> list[list[str]]:
    """Which jobs are started together, if all that were started end before the next are."""
    done: set[str] = set()
    dag = SimpleNamespace(finished=lambda job: job.name in done)
    scheduler = Scheduler(dag, SchedulerSettings(limits), None)
    rounds = []
    while jobs:
        free = {"_cores": 99, "_nodes": 1, "_job_count": 99}
        chosen = [job.name for job in scheduler.select_jobs(jobs, jobs, free, {})]
        assert chosen
        assert not scheduler.select_jobs([_job("more", _cores=4)], jobs, free, {})
        rounds.append(sorted(chosen))
        done.update(chosen)
        jobs = [job for job in jobs if job.name not in done]
    return rounds


def test_jobs_of_a_group_share_what_their_task_has() -> None:
    jobs = [_job(name, _cores=1, mem_mb=400) for name in "abc"]
    assert _select("_cores=4,mem_mb=1000", jobs) == [["a", "b"], ["c"]]
    assert _select("_cores=4", jobs) == [["a", "b", "c"]]
    assert _select("_cores=1,mem_mb=1000", jobs) == [["a"], ["b"], ["c"]]


def test_a_job_that_takes_more_than_was_known_runs_alone() -> None:
    jobs = [_job("large", _cores=1, mem_mb=5000), _job("small", _cores=1, mem_mb=10)]
    assert _select("_cores=4,mem_mb=1000", jobs) == [["small"], ["large"]]
