"""In which order the jobs of a group run, and which start together."""

from __future__ import annotations

from dataclasses import dataclass, field
from graphlib import CycleError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.io import flag

from snakemake_executor_cavatica.read.group import _scarce, _told_wrongly, _units


@dataclass(eq=False)
class Job:
    name: str
    pipe_or_service_output: set[str] = field(default_factory=set)
    resources: dict[str, Any] = field(default_factory=dict)
    wildcards_dict: dict[str, str] = field(default_factory=dict)
    params: list[Any] = field(default_factory=list)
    input: list[Any] = field(default_factory=list)
    output: list[Any] = field(default_factory=list)
    dag: Any = None

    @property
    def rule(self) -> Any:
        return SimpleNamespace(name=self.name, params=self.params)

    def is_group(self) -> bool:
        return False


def _text_of(_: Any, input: list[str]) -> str:  # noqa: A002
    return Path(input[0]).read_text()


def group(edges: dict[str, list[str]], pipes: str = "") -> Any:
    """Jobs with what each needs; those of `pipes` write to pipes only."""
    jobs = {name: Job(name, {name} if name in pipes else set()) for name in edges}
    outside = Job("outside")
    dag = SimpleNamespace(
        dependencies={
            jobs[name]: {outside: {"x"}} | {jobs[need]: {need} for need in needs}
            for name, needs in edges.items()
        }
    )
    for job in jobs.values():
        job.dag = dag
    return SimpleNamespace(jobs=set(jobs.values()))


def units(edges: dict[str, list[str]], pipes: str = "") -> list[str]:
    return ["".join(job.name for job in unit) for unit in _units(group(edges, pipes))]


def test_no_job_comes_before_one_that_it_needs() -> None:
    assert units({"a": ["c"], "b": ["a"], "c": [], "d": []}) == ["c", "d", "a", "b"]


def test_pipes_make_one_unit_with_its_writers_first() -> None:
    """Also through a job in the middle; what one of them needs, all wait for."""
    edges = {"a": ["c"], "b": ["a"], "c": ["z"], "y": ["b"], "z": []}
    assert units(edges, "ac") == ["z", "cab", "y"]


def test_a_file_that_goes_round_a_pipe_has_no_order() -> None:
    """The reader of the pipe also needs a file made from one of the writer's."""
    with pytest.raises(CycleError):
        units({"w": [], "m": ["n"], "n": ["p"], "p": [], "r": ["p", "m"]}, "p")


def test_params_by_a_function_are_left_to_the_task_where_they_may_be_told_wrongly() -> None:
    """What a function is told of a file that is there and will change is wrong, and no error."""
    writer, reader, outside = Job("writer"), Job("reader"), Job("outside")
    reader.dag = writer.dag = SimpleNamespace(
        dependencies={reader: {writer: {"x"}}, writer: {outside: {"y"}}}
    )
    reader.params, writer.params = [_text_of], ["text"]
    jobs = [writer, reader]
    for output, obstacles in (("x", 0), (flag("x", "update"), 1)):
        writer.output = reader.input = [output]
        assert len(_told_wrongly(reader, jobs)) == obstacles
        assert not _told_wrongly(writer, jobs)
        assert not _told_wrongly(reader, [reader]), "made by another task, it is as it will be"
    reader.params = ["text"]
    assert not _told_wrongly(reader, jobs), "nor does it matter where nothing reads it"


def test_only_what_there_is_too_little_of_keeps_jobs_apart() -> None:
    jobs = [Job(str(n), resources={"_cores": 2, "mem_mb": 100, "odd": "<TBD>"}) for n in range(3)]
    assert _scarce({"_cores": 4, "mem_mb": 300, "odd": 1}, jobs) == {"_cores": 4}
