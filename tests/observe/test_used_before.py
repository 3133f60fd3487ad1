"""How much memory is enough, by earlier runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from snakemake_executor_cavatica.observe.entries import Attempt, Run, Status
from snakemake_executor_cavatica.observe.lines import attempt_line, run_line
from snakemake_executor_cavatica.observe.needed_memory import needed_memory
from snakemake_executor_cavatica.observe.record import RECORD, RUNS
from snakemake_executor_cavatica.observe.used_before import (
    enough_memory,
    largest_inputs,
    used_by_earlier_runs,
    used_disk,
)
from snakemake_executor_cavatica.plan.resizing import DiskBefore
from snakemake_executor_cavatica.translate.measured import Measured


def done(rule: str, mib: float | None, **values: object) -> Attempt:
    measured = Measured(exit_status=0, peak_memory_mib=mib)
    return Attempt("1", "r", "1", rule, status=Status.DONE, measured=measured, **values)  # type: ignore[arg-type]


def out_of_memory(rule: str, mib: int) -> Attempt:
    return Attempt(
        "2", "r", "1", rule, status=Status.FAILED, reason="out_of_memory", memory_mib=mib
    )


def test_a_quarter_more_than_the_most() -> None:
    """1,000 MiB are 1,049 MB, and 1,311 with a quarter more."""
    assert enough_memory([done("a", 500), done("a", 1000), done("a", 3)]) == {"a": 1400}


def test_three_measured_jobs_are_needed() -> None:
    assert enough_memory([done("a", 500), done("a", None), done("a", 400)]) == {}
    groups = [done("g", 100, kind="group")] * 3
    assert enough_memory(groups) == {}


def test_what_a_job_ran_out_of_is_not_enough() -> None:
    jobs = [done("a", 1000)] * 3
    assert enough_memory([*jobs, out_of_memory("a", 1335)]) == {"a": 1400}
    assert enough_memory([*jobs, out_of_memory("a", 1336)]) == {}
    assert enough_memory([*jobs, out_of_memory("b", 9999)]) == {"a": 1400}


def test_little_is_rounded_up_to_what_a_tool_needs_to_start() -> None:
    assert enough_memory([done("a", 1)] * 3) == {"a": 200}


def test_of_the_jobs_that_were_measured_the_largest_inputs_count() -> None:
    """Nobody knows what others have used, which were larger."""
    jobs = [done("a", 1, bytes_in=5), done("a", 1, bytes_in=7), done("b", 1, bytes_in=None)]
    others = [done("a", None, bytes_in=9), replace(out_of_memory("a", 9), bytes_in=9)]
    assert largest_inputs([*jobs, *others]) == {"a": 7, "b": 0}


def test_a_job_is_known_by_its_wildcards_and_a_rule_by_most_of_its_jobs() -> None:
    """Else one hungry job of a hundred would make all of them dear."""

    def had(sample: str, mib: int, of_rule: int | None) -> Attempt:
        return done("a", 1, wildcards={"x": sample}, memory_mib=mib, memory_of_rule_mib=of_rule)

    large, usual = had("1", 2000, 1000), [had(x, 1000, None) for x in "234"]
    [needed] = needed_memory([large, *usual])
    assert needed.by_job == {("a", (("x", "1"),)): 2097}
    assert not needed.is_usual
    [needed] = needed_memory([large, usual[0]])
    assert (needed.is_usual, needed.most) == (True, 2097)
    assert needed_memory([large, had("1", 3000, None)]) == []
    assert needed_memory([had("1", 500, 1000)]) == []


def on_disk(mib: float | None, **values: object) -> Attempt:
    measured = Measured(exit_status=0, peak_disk_mib=mib, output_bytes=10**9)
    known = {"status": Status.DONE, "measured": measured, "bytes_in": 5, **values}
    return Attempt("1", "r", "1", "a", **known)  # type: ignore[arg-type]


def disk_full(**values: object) -> Attempt:
    return on_disk(None, status=Status.FAILED, reason="disk_full", **values)


def test_of_disks_the_most_counts_and_the_largest_inputs() -> None:
    """Also of jobs that shared a task: each saw at least what it took itself."""
    jobs = [on_disk(10_000), on_disk(40_000, shared="pack", bytes_in=70), on_disk(3, bytes_in=None)]
    assert used_disk(jobs) == {"a": DiskBefore(41_943, 70)}
    assert used_disk(jobs[:2]) == used_disk([*jobs[:2], on_disk(None)]) == {}
    assert used_disk([on_disk(9, kind="group")] * 3) == {}


def test_less_than_the_files_of_a_job_was_another_file_system() -> None:
    assert used_disk([on_disk(1, bytes_in=8 * 10**9)] * 3) == {"a": DiskBefore(9000, 8 * 10**9)}


def test_a_disk_that_was_full_is_remembered_also_the_usual_one() -> None:
    jobs = [on_disk(1000)] * 3
    for failed, too_little in (
        (disk_full(disk_gb=60), 60),
        (disk_full(instance="c5.large;ebs-gp2;2000"), 2000),
        (disk_full(), 1024),
    ):
        assert used_disk([*jobs, failed])["a"].too_little_gb == too_little


def recorded(directory: Path, name: str, endpoint: str | None) -> None:
    """Three jobs of a run there; without an address the line that tells of the run is cut short."""
    folder = directory / RUNS / name
    folder.mkdir(parents=True)
    run = Run(name, "", "", "", "", endpoint or "", "a/b", "transfer", 0.0)
    told = [json.dumps(run_line(run)) if endpoint else '{"run": {"id":']
    told += [
        json.dumps(attempt_line(replace(on_disk(1000), id=f"{name}.{number}")))
        for number in range(3)
    ]
    (folder / RECORD).write_text("\n".join(told))


@pytest.mark.parametrize(
    ("endpoint", "counts"),
    [
        ("https://cavatica-api.sbgenomics.com/v2", True),
        ("https://api.sbgenomics.com/v2", True),
        ("http://127.0.0.1:1/v2", False),
        (None, False),
    ],
)
def test_the_disk_of_this_machine_tells_nothing_of_those_of_instances(
    tmp_path: Path, endpoint: str | None, counts: bool
) -> None:
    recorded(tmp_path, "20260101-120000-aaaaaa", endpoint)
    found = used_by_earlier_runs(
        tmp_path,
        "https://cavatica-api.sbgenomics.com/v2",
        right_size=True,
        memory_retries=False,
    )
    assert (found.disk == {"a": DiskBefore(1049, 5)}) is counts
    assert counts or not found.disk
    assert not used_by_earlier_runs(
        tmp_path, endpoint or "", right_size=False, memory_retries=True
    ).disk
