"""Which jobs may share a batch task, and how a child finds out which of them it is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from translated_jobs import Task as Place
from translated_jobs import local, plan, read_report

from snakemake_executor_cavatica.api import FileRef, Task, TaskDraft
from snakemake_executor_cavatica.in_task.names import COMMAND_NAME, SCRIPT_NAME
from snakemake_executor_cavatica.project.paths import LocalPath, ProjectPath
from snakemake_executor_cavatica.read.facts import GB
from snakemake_executor_cavatica.translate.app import COMMAND
from snakemake_executor_cavatica.translate.batch import Batch, group
from snakemake_executor_cavatica.translate.candidate import Candidate
from snakemake_executor_cavatica.translate.draft import PASSING, task_draft
from snakemake_executor_cavatica.translate.job_key import (
    JobKey,
    Listed,
    TaskMark,
    job_list_line,
    read_job_list,
)


def candidate(
    number: int,
    inputs: Mapping[str, str],
    command: str = "true",
    names: Mapping[str, str] | None = None,
    **changes: Any,
) -> Candidate:
    """Job `number`; inputs are file ids by path, stored under the path's last part."""
    values: dict[str, Any] = {
        "jobid": str(number),
        "inputs": [
            local(path, name=changes.pop("port", None), size=changes.pop("size", 0))
            for path in inputs
        ],
        "outputs": [local(f"out/{number}.txt")],
    }
    planned = plan(command, **(values | changes))
    return Candidate(
        planned,
        TaskMark("run", str(number), 1, JobKey(f"{number:016x}", f"{number:032x}")),
        {LocalPath(path): FileRef(file) for path, file in inputs.items()},
        names or {file: path.rsplit("/", 1)[-1] for path, file in inputs.items()},
    )


def jobs_of(batch: Batch) -> list[str]:
    return [member.plan.facts.jobid for member in batch.members]


def grouped(*candidates: Candidate) -> tuple[list[list[str]], dict[str, str]]:
    grouping = group(candidates)
    return [jobs_of(batch) for batch in grouping.batches], grouping.alone


def test_jobs_with_an_input_of_their_own_and_a_shared_one_are_a_batch() -> None:
    jobs = [candidate(n, {f"in/{n}.txt": f"file{n}", "ref.fa": "ref"}) for n in range(3)]
    grouping = group(jobs)
    assert [jobs_of(batch) for batch in grouping.batches] == [["0", "1", "2"]]
    assert not grouping.batches[0].by_criteria
    assert [ref.path for ref in grouping.batches[0].files] == ["file0", "file1", "file2"]


@given(st.lists(st.sets(st.sampled_from("abcde"), min_size=1, max_size=3), min_size=1, max_size=40))
def test_in_a_batch_no_name_is_there_twice_and_no_batch_is_made_without_need(
    wanted: list[set[str]],
) -> None:
    """A child knows its job by the names of its files."""
    jobs = [
        candidate(n, {f"in/{n}/{name}": f"{name}{n}" for name in sorted(names)})
        for n, names in enumerate(wanted)
    ]
    batches = [[wanted[int(job)] for job in batch] for batch in grouped(*jobs)[0]]
    assert [len(set().union(*batch)) for batch in batches] == [
        sum(len(names) for names in batch) for batch in batches
    ]
    for number, batch in enumerate(batches):
        for names in batch:
            assert all(not names.isdisjoint(set().union(*one)) for one in batches[:number])


def test_jobs_that_share_different_files_are_different_batches() -> None:
    jobs = [
        candidate(n, {f"in/{n}.txt": f"file{n}", f"ref{n % 2}.fa": f"ref{n % 2}"}) for n in range(4)
    ]
    assert grouped(*jobs) == ([["0", "2"], ["1", "3"]], {})


@pytest.mark.parametrize(
    "change",
    [
        {"threads": 2},
        {"resources": {"mem_mb": 500}},
        {"resources": {"cavatica_interruptible": True}},
        {"container": "docker://other"},
        {"rule": "other"},
        {"command": None, "directive": "script"},
        {"outputs": [local("out", form="folder")]},
    ],
)
def test_jobs_that_differ_in_more_than_their_files_are_no_batch(change: dict[str, Any]) -> None:
    one = candidate(1, {"in/1.txt": "file1"})
    other = candidate(2, {"in/2.txt": "file2"}, **change)
    batches, alone = grouped(one, other)
    assert batches == []
    assert all("no other job is ready" in reason for reason in alone.values())


def test_jobs_with_copies_of_other_sizes_are_a_batch_all_the_same() -> None:
    """But not with those that have links."""
    jobs = [
        candidate(
            number,
            {f"in{number}": f"file{number}"},
            size=size,
            resources={"disk_mb": 1000},
        )
        for number, size in enumerate((1, GB // 2, GB, 11 * GB, 12 * GB))
    ]
    copying, linking = group(jobs).batches
    assert [jobs_of(copying), jobs_of(linking)] == [["0", "1", "2"], ["3", "4"]]
    assert "stage_link" not in copying.work.command
    assert "stage_copy" not in linking.work.command


def test_why_a_job_is_in_no_batch_is_told() -> None:
    ordinary = [candidate(n, {f"in/{n}": f"file{n}"}) for n in (1, 2)]
    without = [candidate(n, {}) for n in (3, 4)]
    assert "no input that no other job uses" in group(without).alone["3"]
    folders = [
        replace(one, plan=plan(jobid=str(n), inputs=[local(f"in/{n}", form="folder")]))
        for n, one in enumerate(ordinary, 1)
    ]
    assert "is a folder" in group(folders).alone["1"]
    twice = [candidate(n, {f"a{n}/in": f"a{n}", f"b{n}/in": f"b{n}"}) for n in (1, 2)]
    assert "two of its own inputs have the same name" in group(twice).alone["1"]
    same = [candidate(n, {f"{n}/in": f"file{n}"}) for n in (1, 2)]
    assert "the same names as those of the others" in group(same).alone["2"]


def test_files_of_equal_content_are_one_file_that_belongs_to_nobody() -> None:
    same = [candidate(n, {f"in/{n}.txt": "file"}) for n in (1, 2)]
    others = [candidate(n, {f"in/{n}.txt": f"file{n}"}) for n in (3, 4)]
    batches, alone = grouped(*same, *others)
    assert batches == [["3", "4"]]
    assert set(alone) == {"1", "2"}


def test_equal_names_go_to_different_batches() -> None:
    paths = ["a/1.txt", "a/2.txt", "b/1.txt", "b/2.txt", "c/2.txt"]
    jobs = [candidate(n, {path: f"file{n}"}) for n, path in enumerate(paths)]
    assert grouped(*jobs) == ([["0", "1"], ["2", "3"], ["4"]], {})


def test_a_batch_is_of_bounded_size() -> None:
    many = [candidate(n, {f"in/{n}": f"file{n}"}) for n in range(230)]
    assert [len(batch.members) for batch in group(many).batches] == [100, 100, 30]
    large = [candidate(n, {f"in/{n}": f"file{n}"}, "x" * 300_000) for n in range(4)]
    assert [len(batch.members) for batch in group(large).batches] == [2, 2]


def draft_of(batch: Batch, home: ProjectPath) -> TaskDraft:
    return task_draft(
        batch.work,
        name="n",
        description="d",
        app="o/p/a/0",
        run_folder=home,
        sources=FileRef("tar"),
    )


def test_the_draft_of_a_batch() -> None:
    jobs = [candidate(n, {f"in/{n}": f"file{n}", "ref": "ref"}) for n in range(2)]
    batch = group(jobs).batches[0]
    home = ProjectPath("o/p", "snakemake/runs/run")
    draft = draft_of(batch, home)
    body = draft.to_body()
    assert body["batch"] is True
    assert body["batch_by"] == {"type": "ITEM"}
    assert [file["path"] for file in body["inputs"][body["batch_input"]]] == ["file0", "file1"]
    assert [file["path"] for file in body["inputs"]["inputs"]] == ["ref"]
    location = body["output_location"]["nodes_location"]["output_0"]["output_location"]
    assert location == "/snakemake/runs/run/out", "both write to one folder: no move is needed"


def parallel(jobs: Sequence[Candidate]) -> list[tuple[list[str], int]]:
    """The jobs of each batch, and how many instances its draft asks for."""
    home = ProjectPath("o/p", "home")
    found = []
    for batch in group(jobs).batches:
        draft = draft_of(batch, home)
        settings = draft.to_body()["execution_settings"]
        found.append((jobs_of(batch), settings["max_parallel_instances"]))
    return found


def test_the_instances_that_a_batch_may_use_reach_its_draft() -> None:
    """Protects the limit, of the run or of the rule; jobs with another one are another batch."""
    by_run = [
        candidate(n, {f"in/{n}": f"file{n}"}, defaults={"max_parallel_instances": 4})
        for n in range(2)
    ]
    assert parallel(by_run) == [(["0", "1"], 4)]
    by_job = [
        candidate(
            n,
            {f"in/{n}": f"file{n}"},
            defaults={"max_parallel_instances": 4},
            resources={"cavatica_max_parallel_instances": 2 + n % 2},
        )
        for n in range(4)
    ]
    assert parallel(by_job) == [(["0", "2"], 2), (["1", "3"], 3)]


def test_outputs_for_different_folders_pass_through_one_under_names_of_their_own() -> None:
    jobs = [
        candidate(n, {f"in/{n}": f"file{n}"}, outputs=[local(f"{n}/out.txt")]) for n in range(2)
    ]
    batch = group(jobs).batches[0]
    home = ProjectPath("o/p", "home")
    draft = draft_of(batch, home)
    location = draft.to_body()["output_location"]["nodes_location"]["output_0"]
    assert location["output_location"] == f"/home/{PASSING}"
    assert "0-out.txt" in batch.work.command
    assert "1-out.txt" in batch.work.command


def child(number: int, *files: str) -> Task:
    value = [{"class": "File", "path": file} for file in files]
    return Task.model_validate({"id": f"child{number}", "inputs": {"inputs": value}})


def test_children_are_matched_by_the_ids_of_their_files() -> None:
    jobs = [candidate(n, {f"in/a{n}": f"a{n}", f"in/b{n}": f"b{n}"}) for n in range(2)]
    batch = group(jobs).batches[0]
    assert batch.by_criteria
    found = batch.match([child(1, "b1", "a1", "more"), child(0, "a0", "b0")])
    assert found is not None
    assert {job: task.id for job, task in found.items()} == {"0": "child0", "1": "child1"}
    assert batch.match([child(0, "a0", "b0")]) == {"0": child(0, "a0", "b0")}, "one was lost"
    assert batch.match([]) == {}
    assert batch.match([child(0, "a0", "b1"), child(1, "a1", "b0")]) is None
    assert batch.match([child(0, "a0", "b0"), child(1, "a0", "b0")]) is None


def test_the_manifest_says_to_other_processes_which_jobs_there_are() -> None:
    jobs = [candidate(n, {f"in/{n}": f"file{n}"}) for n in range(2)]
    task = Task.model_validate(
        {"id": "t", "inputs": {COMMAND: group(jobs).batches[0].work.command}}
    )
    assert read_job_list(task) == [
        Listed(one.mark, frozenset({f"file{n}"})) for n, one in enumerate(jobs)
    ]
    first = json.loads(job_list_line(read_job_list(task)).removeprefix("# Jobs: "))[0]
    wrong = [[[*first[:n], value, *first[n + 1 :]]] for n in range(7) for value in ([["x"]], 5.5)]
    texts = ["", "true\n", "# Jobs: [", "# Jobs: [[1, 2]]", "# Jobs: 7", '# Jobs: {"a": 1}']
    for text in [*texts, f"# Jobs: {'[' * 100_000}", *(f"# Jobs: {json.dumps(w)}" for w in wrong)]:
        damaged = Task.model_validate({"id": "t", "inputs": {COMMAND: text}})
        assert read_job_list(damaged) == []


ODD = "it's $(a) b*.txt"


def test_a_child_runs_its_own_job_in_any_shell(task: Place) -> None:
    """Whatever the names are, and in whatever order its files come."""
    jobs = [
        candidate(
            number,
            {"ref": "ref", f"{name}.1": f"a{number}", f"{name}.2": f"b{number}"},
            f"cat 'ref' *.1 *.2 > out/{number}.txt; echo END-0 '<tmpdir-0>' >> out/{number}.txt",
        )
        for number, name in enumerate(["plain", ODD])
    ]
    batch = group(jobs).batches[0]
    root = task.root / "task"
    root.mkdir(parents=True)
    (root / SCRIPT_NAME).write_text(batch.work.script)
    (root / COMMAND_NAME).write_text(batch.work.command)
    archive = task.root / "sources.tar"
    subprocess.run(["tar", "-cf", str(archive), "-T", "/dev/null"], check=True)
    stored = {name: task.store(name, f"{name}\n") for name in ("ref", f"{ODD}.1", f"{ODD}.2")}
    order = [stored["ref"], stored[f"{ODD}.2"], stored[f"{ODD}.1"]]
    done = subprocess.run(
        [*task.sh, SCRIPT_NAME, str(archive), *map(str, order)],
        cwd=root,
        env={"PATH": task.path or "", "TMPDIR": str(task.root)},
        stderr=subprocess.PIPE,
        check=False,
    )
    report = read_report(done.stderr.decode())
    assert report.exit_status == done.returncode == 0, done.stderr.decode()
    text = (Path(root) / "out/0/1.txt").read_text()
    assert text == f"ref\n{ODD}.1\n{ODD}.2\nEND-0 <tmpdir-0>\n"
