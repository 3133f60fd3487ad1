"""What becomes of each job, as it is written down."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attempts import BEGAN, run

from snakemake_executor_cavatica.api import NotFound, Task
from snakemake_executor_cavatica.observe.between_runs import inherit, leave
from snakemake_executor_cavatica.observe.costs import Costs
from snakemake_executor_cavatica.observe.entries import Attempt, Status
from snakemake_executor_cavatica.observe.events import KEY
from snakemake_executor_cavatica.observe.live_record import LiveRecord
from snakemake_executor_cavatica.observe.record import read_record
from snakemake_executor_cavatica.observe.recorder import Recorder
from snakemake_executor_cavatica.run.leftovers import Leftover
from snakemake_executor_cavatica.run.register import Submission
from snakemake_executor_cavatica.translate.job_key import JobKey, TaskMark
from snakemake_executor_cavatica.translate.measured import Measured

OWN = run().id
OTHER = "20251231-120000-ffffff"
KEY_OF_JOB = JobKey("a" * 16, "b" * 32)


class Job:
    """Snakemake's, of rule align."""

    def __init__(self, jobid: int = 7, attempt: int = 1) -> None:
        self.jobid = jobid
        self.attempt = attempt
        self.name = "align"
        self.rule = SimpleNamespace(name="align")
        self.wildcards_dict = {"sample": "A"}

    def is_group(self) -> bool:
        return False


def plan(jobid: int, attempt: int) -> Any:
    facts = SimpleNamespace(
        rule="align",
        jobid=str(jobid),
        wildcards={"sample": "A"},
        attempt=attempt,
        directive="shell",
    )
    return SimpleNamespace(
        facts=facts,
        resources=SimpleNamespace(cores=2, memory_mib=1000, disk_mib=None),
        input_bytes=7,
        mode="direct",
        image="debian:12",
        in_container=True,
        settings=SimpleNamespace(instance_type=None, instance_by_use=None, interruptible=True),
        title="align [sample=A]",
    )


def task(name: str = "t1", status: str = "DRAFT", **given: Any) -> Task:
    known = {
        "id": name,
        "name": "align [sample=A]",
        "status": status,
        "app": "a/b/align/0",
        "created_time": "1970-01-12T13:46:40Z",
    }
    if status in ("COMPLETED", "FAILED", "ABORTED"):
        known |= {
            "end_time": "1970-01-12T13:48:20Z",
            "execution_status": {"running_duration": 60_000, "queued_duration": 10_000},
            "price": {"amount": "0.25", "currency": "USD"},
        }
    return Task.model_validate({**known, **given})


def job(jobid: int = 7, *, attempt: int = 1, task: Task | None = None, by: str = OWN) -> Submission:
    submission = Submission(SimpleNamespace(job=Job(jobid, attempt)), planned=plan(jobid, attempt))
    submission.name, submission.task, submission.run = "align [sample=A]", task, by
    submission.mark = TaskMark(by, str(jobid), attempt, KEY_OF_JOB)
    submission.since = BEGAN
    return submission


class Kept:
    """A recorder, and what it has written."""

    def __init__(self, directory: Path) -> None:
        self.costs = Costs()
        known = run(directory=str(directory), ended=None, outcome="")
        self.live = LiveRecord(known, pytest.fail, self.costs.note)
        logger = logging.getLogger("recorder")
        logger.setLevel(logging.INFO)
        self.recorder = Recorder(
            self.live, lambda name: f"https://page/{name}", logger, lambda: BEGAN + 500
        )

    def inherit(self, leftover: Leftover, *, is_reported: bool) -> None:
        inherit(
            self.live, self.recorder, leftover, "https://page/{}".format, is_reported=is_reported
        )

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """By the file, which says the same as what is in memory."""
        written = read_record(self.live.path.parent).attempts
        assert list(written) == self.live.attempts
        return written


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def begin(kept: Kept, submission: Submission) -> None:
    kept.recorder.entered(submission)
    kept.recorder.under_way(submission)


def test_a_job_from_its_task_to_its_outputs(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    one = job(task=task())
    begin(kept, one)
    assert [attempt.status for attempt in kept.attempts] == [Status.QUEUED]
    one.task, one.status = task(status="RUNNING"), "RUNNING"
    kept.recorder.changed(one, "")
    one.task = task(status="COMPLETED")
    one.measured = Measured(wall_seconds=59.0, exit_status=0)
    kept.recorder.arriving(one)
    kept.recorder.finished(one, 12)
    [attempt] = kept.attempts
    assert (attempt.jobid, attempt.rule, attempt.wildcards) == ("7", "align", {"sample": "A"})
    assert (attempt.task, attempt.page, attempt.app) == ("t1", "https://page/t1", "a/b/align/0")
    assert (attempt.status, attempt.price, attempt.bytes_in, attempt.bytes_out) == (
        Status.DONE,
        0.25,
        7,
        12,
    )
    assert (attempt.queue_seconds, attempt.run_seconds) == (10.0, 60.0)
    assert attempt.measured == one.measured
    states = [getattr(record, KEY) for record in caplog.records]
    assert [state["phase"] for state in states] == ["queued", "running", "succeeded"]
    assert caplog.messages == [
        "Job 7 (align [sample=A]) is task https://page/t1",
        "Task align [sample=A]: RUNNING",
        "Task align [sample=A]: COMPLETED, ran 60 s, waited 10 s, 0.25 USD",
    ]


def test_a_job_that_never_had_a_task(kept: Kept) -> None:
    refused = Submission(SimpleNamespace(job=Job()))
    kept.recorder.failed(refused, "Rule align cannot run.\n")
    again = Submission(SimpleNamespace(job=Job(attempt=2)))
    kept.recorder.failed(again, "Rule align cannot run.\n")
    assert [(one.number, one.status, one.reason, one.message) for one in kept.attempts] == [
        (1, Status.FAILED, "not_submitted", "Rule align cannot run."),
        (2, Status.FAILED, "not_submitted", "Rule align cannot run."),
    ]


def test_a_failure_is_told_with_its_reason(kept: Kept) -> None:
    one = job(task=task())
    begin(kept, one)
    one.task = task(status="FAILED")
    kept.recorder.explained(one, "command", exit_status=3, stderr="no\n")
    kept.recorder.failed(one, "It failed.")
    [attempt] = kept.attempts
    assert (attempt.status, attempt.reason, attempt.stderr_end) == (
        Status.FAILED,
        "command",
        "no\n",
    )
    assert attempt.measured.exit_status == 3
    assert attempt.price == 0.25


def test_a_task_that_somebody_has_aborted_was_cancelled(kept: Kept) -> None:
    one = job(task=task())
    begin(kept, one)
    one.task = task(status="ABORTED")
    kept.recorder.explained(one, "aborted", exit_status=None, stderr="")
    kept.recorder.failed(one, "It was aborted.")
    assert kept.attempts[0].status is Status.CANCELLED


def test_a_spot_loss_is_an_attempt_of_its_own(kept: Kept) -> None:
    one = job(task=task())
    begin(kept, one)
    one.task = task(status="FAILED")
    kept.recorder.explained(one, "spot_loss", exit_status=None, stderr="")
    kept.recorder.failed(one, "The instance is gone.")
    one.task = task("t2")
    begin(kept, one)
    one.task = task("t2", "COMPLETED")
    kept.recorder.finished(one, None)
    assert [(each.task, each.number, each.reason, each.price) for each in kept.attempts] == [
        ("t1", 1, "spot_loss", 0.25),
        ("t2", 1, "", 0.25),
    ]


def test_results_that_a_later_attempt_fetches_are_paid_once(kept: Kept) -> None:
    one = job(task=task())
    begin(kept, one)
    one.task = task(status="COMPLETED")
    kept.recorder.failed(one, "The disk is full.")
    assert kept.attempts[0].reason == "not_collected"
    again = job(attempt=2, task=task(status="COMPLETED"))
    again.mark = one.mark
    begin(kept, again)
    kept.recorder.finished(again, 3)
    assert [(each.number, each.status, each.price) for each in kept.attempts] == [
        (1, Status.FAILED, None),
        (2, Status.DONE, 0.25),
    ]
    assert kept.costs.spent(BEGAN + 500).total == pytest.approx(0.25)


def test_a_task_of_an_earlier_run_is_the_same_attempt(kept: Kept) -> None:
    mark = TaskMark(OTHER, "3", 2, KEY_OF_JOB)
    kept.inherit(Leftover(task(status="RUNNING"), mark), is_reported=False)
    taken = job(task=task(status="RUNNING"), by=OTHER)
    taken.mark = mark
    begin(kept, taken)
    taken.task = task(status="COMPLETED")
    kept.recorder.finished(taken, 3)
    [attempt] = kept.attempts
    assert (attempt.run, attempt.taken_up_by) == (OTHER, OWN)
    assert (attempt.jobid, attempt.number, attempt.rule) == ("3", 2, "align")
    assert (attempt.wildcards, attempt.status) == ({"sample": "A"}, Status.DONE)


@pytest.mark.parametrize(
    ("status", "is_reported", "told"),
    [
        ("COMPLETED", True, Status.DONE),
        ("COMPLETED", False, Status.LEFT),
        ("FAILED", False, Status.FAILED),
        ("ABORTED", False, Status.CANCELLED),
    ],
)
def test_what_became_of_other_tasks_of_an_earlier_run(
    kept: Kept, status: str, is_reported: bool, told: Status
) -> None:
    mark = TaskMark(OTHER, "3", 1, KEY_OF_JOB)
    kept.inherit(Leftover(task(status=status), mark), is_reported=is_reported)
    [attempt] = kept.attempts
    assert (attempt.status, attempt.price) == (told, 0.25)


def test_a_draft_of_an_earlier_run_was_no_attempt(kept: Kept) -> None:
    mark = TaskMark(OTHER, "3", 1, KEY_OF_JOB)
    kept.inherit(Leftover(task(), mark), is_reported=False)
    assert kept.live.attempts == []


def test_what_is_left_at_the_end(kept: Kept) -> None:
    running, draft, gone, aborted = (job(number, task=task(f"t{number}")) for number in range(4))
    for one in (running, gone, aborted):
        begin(kept, one)
    kept.recorder.entered(draft)
    kept.recorder.seen("t2", NotFound("it is gone", method="GET", path="/tasks/t2"))
    kept.recorder.seen("t3", task("t3", "ABORTED"))
    leave(kept.live)
    assert {one.task: one.status for one in kept.attempts} == {
        "t0": Status.LEFT,
        "t1": Status.CANCELLED,
        "t2": Status.CANCELLED,
        "t3": Status.CANCELLED,
    }


def test_a_batch_that_was_given_up_is_paid_all_the_same(kept: Kept) -> None:
    parent = Submission(None, name="align [2 jobs]", task=task("batch"))
    kept.recorder.entered(parent)
    assert kept.live.attempts == []
    kept.recorder.given_up(parent, task("batch", "ABORTED"), [job(1), job(2)])
    [attempt] = kept.attempts
    assert (attempt.kind, attempt.status, attempt.price) == ("shared", Status.CANCELLED, 0.25)


def test_a_task_whose_jobs_are_on_record_is_not_told_besides(kept: Kept) -> None:
    """Protects against counting its price twice at Ctrl-C, while jobs still enter their task."""
    kept.recorder.entered(job(1, task=task("pack#1", parent="pack")))
    kept.recorder.given_up(Submission(None, task=task("pack")), task("pack", "ABORTED"), ())
    assert [one.task for one in kept.attempts] == ["pack#1"]


def test_jobs_of_a_pack_that_was_given_up_share_its_price_and_start_anew(kept: Kept) -> None:
    text = f"Snakemake run {OWN}, jobs 1, 2: pack 1 of align [2 jobs]"
    pack = task("pack", "ABORTED", description=text)
    jobs = [job(number, task=task(f"pack#{number}", parent="pack")) for number in (1, 2)]
    for one in jobs:
        kept.recorder.entered(one)
    kept.recorder.given_up(Submission(None, task=task("pack")), pack, jobs)
    jobs[0].task = task("alone")
    begin(kept, jobs[0])
    assert [(one.task, one.shared, one.price) for one in kept.attempts] == [
        ("pack#1", "pack", 0.125),
        ("pack#2", "pack", 0.125),
        ("alone", "", None),
    ]


def test_an_environment_is_no_job_of_snakemake(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    making = job(task=task())
    making.info, making.own = None, Future()
    kept.recorder.entered(making)
    making.task = task(status="COMPLETED")
    kept.recorder.finished(making, 5)
    [attempt] = kept.attempts
    assert (attempt.kind, attempt.status) == ("environment", Status.DONE)
    assert not [record for record in caplog.records if hasattr(record, KEY)]


def test_results_from_the_cache(kept: Kept) -> None:
    kept.recorder.reused(job())
    [attempt] = kept.attempts
    assert (attempt.status, attempt.task, attempt.price) == (Status.REUSED, None, None)


def test_results_of_an_earlier_run_cost_nothing_and_name_their_task(kept: Kept) -> None:
    """That task is none of this run's: its price must not be paid twice, nor looked up."""
    done = task("earlier", status="COMPLETED")
    earlier = Leftover(done, TaskMark(OTHER, "3", 1, KEY_OF_JOB, "c" * 32))
    kept.recorder.arriving(submission := job())
    kept.recorder.reused(submission, earlier)
    [attempt] = kept.attempts
    assert (attempt.status, attempt.task, attempt.price) == (Status.REUSED, None, 0)
    assert (attempt.reused_task, attempt.spared, attempt.currency) == ("earlier", 0.25, "USD")
    assert attempt.page == "https://page/earlier"
