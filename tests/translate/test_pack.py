"""Which jobs share a task, and how it runs them."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from translated_jobs import Task as Place
from translated_jobs import local, plan, read_report

from snakemake_executor_cavatica.api import FileRef, Task
from snakemake_executor_cavatica.in_task.names import COMMAND_NAME, SCRIPT_NAME
from snakemake_executor_cavatica.plan.instance_types import cheapest_type
from snakemake_executor_cavatica.project.paths import LocalPath
from snakemake_executor_cavatica.translate.app import app_document
from snakemake_executor_cavatica.translate.candidate import Candidate
from snakemake_executor_cavatica.translate.job_key import JobKey, TaskMark
from snakemake_executor_cavatica.translate.pack import Pack, pack_jobs
from snakemake_executor_cavatica.translate.parcel import contents_of_parcels, with_parcels
from snakemake_executor_cavatica.translate.shared_task import (
    jobid_of,
    packed_job_id,
    packed_job_of,
    task_id_of,
)
from snakemake_executor_cavatica.translate.staging import input_order
from snakemake_executor_cavatica.translate.task_report import section_of


def candidate(number: int, command: str = "true", size: int = 3, **changes: Any) -> Candidate:
    """Job `number`, which may be in a pack of `size`."""
    values: dict[str, Any] = {
        "jobid": str(number),
        "outputs": [local(f"out/{number}.txt")],
    }
    planned = replace(plan(command, **(values | changes)), packed=size)
    return Candidate(
        planned,
        TaskMark("run", str(number), 1, JobKey(f"{number:016x}", f"{number:032x}")),
        {staged.place: FileRef(f"id of {staged.path}") for staged in planned.inputs},
        {},
    )


def packed(*candidates: Candidate) -> list[list[str]]:
    return [[one.mark.jobid for one in pack.members] for pack in pack_jobs(candidates)[0]]


def test_jobs_are_packed_in_portions_and_what_is_left_over_is_alone() -> None:
    jobs = [candidate(number) for number in range(7)]
    packs, alone = pack_jobs(jobs)
    assert [len(pack.members) for pack in packs] == [3, 3]
    assert alone == {"6": "no other job of its kind is ready"}


def test_jobs_may_have_any_inputs_but_of_one_kind_for_each_port() -> None:
    with_some = candidate(1, inputs=[local("a"), local("b")])
    with_other = candidate(2, inputs=[local("a")])
    without = candidate(3), candidate(4)
    folder = candidate(5, inputs=[local("d", form="folder")])
    assert packed(with_some, with_other, *without, folder) == [["1", "2"], ["3", "4"]]


def test_jobs_with_inputs_in_parcels_share_tasks_and_parcels() -> None:
    """But not with jobs that have none: their app has other ports."""

    def job(number: int, *parcels: str) -> Candidate:
        one = candidate(number, inputs=[local(f"in/{number}"), local("all")])
        places = [staged.place for staged in one.plan.inputs]
        found = {place: (parcel, "c" * 64) for place, parcel in zip(places, parcels, strict=False)}
        return replace(one, plan=with_parcels(one.plan, found))

    jobs = [job(1, "A", "A"), job(2, "A", "B"), job(3), job(4)]
    assert packed(*jobs) == [["1", "2"], ["3", "4"]]
    inputs = pack_jobs(jobs)[0][0].work
    assert inputs.plan.parcels == ["A", "B"]
    names = [f"inputs: {path} = {'c' * 32}" for path in ("in/1", "all", "in/2")]
    assert contents_of_parcels(inputs.plan) == names
    assert app_document(inputs.plan, packed=True) == app_document(jobs[0].plan, packed=True)


def test_a_job_without_outputs_is_in_no_pack() -> None:
    jobs = [candidate(number, outputs=[]) for number in range(2)]
    assert packed(*jobs) == []
    assert "has no output" in pack_jobs(jobs)[1]["0"]


def test_a_job_whose_output_has_no_room_for_the_number_of_the_job_is_in_no_pack() -> None:
    jobs = [candidate(n, outputs=[local(f"{n}/{'o' * 254}")]) for n in range(2)]
    assert packed(*jobs) == []
    assert "one of its outputs is too long" in pack_jobs(jobs)[1]["0"]


def test_a_pack_asks_for_what_the_jobs_that_run_side_by_side_need() -> None:
    asked = {"mem_mb": 1000, "runtime": 5, "disk_mb": 100}
    jobs = [candidate(n, size=20, threads=3, resources=asked) for n in range(10)]
    pack = Pack(tuple(jobs))
    assert pack.side_by_side == 2
    one, all_of_them = jobs[0].plan.resources, pack.plan.resources
    assert (all_of_them.cores, all_of_them.runtime_minutes) == (6, 25)
    assert all_of_them.memory_mib == 2 * (one.memory_mib or 0)
    assert all_of_them.disk_mib == 10 * (one.disk_mib or 0)
    fixed = [candidate(n, resources={"cavatica_instance_type": "c5.large;x;1"}) for n in range(3)]
    assert Pack(tuple(fixed)).side_by_side == 1


def test_jobs_run_side_by_side_where_an_instance_is_large_enough() -> None:
    large = [candidate(n, size=8, resources={"mem_mb": 300_000}) for n in range(8)]
    resources = Pack(tuple(large)).plan.resources
    assert cheapest_type(cores=resources.cores, memory_mib=resources.memory_mib or 0)


def test_the_disk_of_a_pack_holds_what_all_of_its_jobs_ask_for() -> None:
    """All that they make stays until the last one has ended."""
    for disk_mb, sizes in ((300_000, [3, 3]), (2_000_000, [])):
        jobs = [candidate(n, size=8, resources={"disk_mb": disk_mb}) for n in range(7)]
        assert [len(members) for members in packed(*jobs)] == sizes
    elastic = {"disk_mb": 300_000, "cavatica_use_elastic_disk": True}
    assert len(packed(*[candidate(n, size=8, resources=elastic) for n in range(7)])[0]) == 7


def test_a_pack_has_the_time_for_its_last_round_too() -> None:
    """Also where that one is not full."""
    for number, rounds in ((1, 1), (2, 1), (3, 2), (9, 5), (10, 5)):
        jobs = [candidate(n, size=20, threads=3, resources={"runtime": 5}) for n in range(number)]
        assert Pack(tuple(jobs)).plan.resources.runtime_minutes == 5 * rounds


def test_the_app_of_a_pack_has_lists_of_outputs_that_may_be_empty() -> None:
    pack = Pack((candidate(1), candidate(2)))
    port, small, _ = app_document(pack.plan, packed=True)["outputs"]
    assert small["type"] == ["null", "File"]
    assert port["type"] == ["null", {"type": "array", "items": "File"}]
    assert port["outputBinding"] == {"glob": "jobs/*/out/0/*"}


def test_a_piece_has_its_own_outputs_also_under_a_changed_name() -> None:
    def value(*names: str) -> list[dict[str, str]]:
        return [{"class": "File", "path": f"id-{name}", "name": name} for name in names]

    task = Task.model_validate(
        {"id": "t", "status": "COMPLETED", "outputs": {"a": value("1.txt", "_1_2.txt"), "b": None}}
    )
    identifier = packed_job_id("t", "7")
    assert (task_id_of(identifier), jobid_of(identifier), task_id_of("t")) == ("t", "7", "t")
    packed = packed_job_of(task, identifier, {"a": "2.txt", "b": "2.log"})
    assert packed.id == identifier
    assert packed.parent == "t"
    assert packed.outputs == {"a": {"class": "File", "path": "id-_1_2.txt", "name": "_1_2.txt"}}
    assert packed_job_of(task, identifier, {"a": "3.txt"}).outputs == {}


def test_a_number_within_a_name_is_part_of_it() -> None:
    """Or a job that failed would have what another made: s2.txt is not s_1_2.txt."""
    made = {"class": "File", "path": "id", "name": "s_1_2.txt"}
    task = Task.model_validate({"id": "t", "status": "COMPLETED", "outputs": {"a": [made]}})
    assert packed_job_of(task, packed_job_id("t", "7"), {"a": "s2.txt"}).outputs == {}


@pytest.mark.parametrize("in_parcels", [False, True])
def test_each_job_of_a_pack_runs_by_itself_in_any_shell(task: Place, in_parcels: bool) -> None:
    """One that fails fails alone; each has its inputs, and says what it says in its own section."""
    jobs = [
        candidate(1, "cat a.txt 'b c' > out/1.txt; pwd >&2", inputs=[local("a.txt"), local("b c")]),
        candidate(2, "cat a.txt; echo >> a.txt; exit 3", inputs=[local("a.txt")]),
        candidate(4, "ls -A; mv 'b c' out/4.txt", inputs=[local("b c")]),
    ]
    parcels = {
        LocalPath(name): (task.parcel(f"{name}.tar", {"p" * 32: f"content of {name}\n"}), "p" * 64)
        for name in (["b c"] if in_parcels else [])
    }
    jobs = [replace(one, plan=with_parcels(one.plan, parcels)) for one in jobs]
    pack = Pack(tuple(jobs))
    root = task.root / "task"
    root.mkdir(parents=True)
    (root / SCRIPT_NAME).write_text(pack.work.script)
    (root / COMMAND_NAME).write_text(pack.work.command)
    archive = task.root / "sources.tar"
    subprocess.run(["tar", "-cf", str(archive), "-T", "/dev/null"], check=True)
    stored = {
        LocalPath(name): str(task.store(f"{number}/{name}", f"content of {name}\n"))
        for number, name in enumerate(["a.txt", "b c"])
    }
    done = subprocess.run(
        [
            *task.sh,
            SCRIPT_NAME,
            str(archive),
            *pack.plan.parcels,
            *(stored[one.place] for one in input_order(pack.plan)),
        ],
        cwd=root,
        env={"PATH": task.path or "", "TMPDIR": str(task.root)},
        stderr=subprocess.PIPE,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert (root / "jobs/1/out/0/1.txt").read_text() == "content of a.txt\ncontent of b c\n"
    assert (root / "jobs/4/out/0/4.txt").read_text() == "content of b c\n"
    assert not (root / "jobs/2/out").exists()
    # Each has inputs of its own, and may do with them what it likes.
    assert not (root / "jobs/4/out/0/4.txt").is_symlink()
    assert [Path(path).read_text() for path in stored.values()] == [
        "content of a.txt\n",
        "content of b c\n",
    ]
    reports = {}
    for job in ("1", "2", "4"):
        section = section_of(done.stderr, job)
        assert section is not None, done.stderr.decode()
        reports[job] = read_report(done.stderr[slice(*section)].decode())
    assert {job: report.exit_status for job, report in reports.items()} == {"1": 0, "2": 3, "4": 0}
    assert reports["2"].stderr.strip() == "content of a.txt"
    assert "a.txt" not in reports["4"].stderr, "it does not see the inputs of others"
    assert section_of(done.stderr, "3") is None
