"""Which jobs are started together: those that are ready at about the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from translated_jobs import local, plan

from snakemake_executor_cavatica.launch import gather
from snakemake_executor_cavatica.launch.gather import Gatherer
from snakemake_executor_cavatica.launch.small_inputs import SmallInputs
from snakemake_executor_cavatica.run.register import Submission
from snakemake_executor_cavatica.translate.candidate import Candidate
from snakemake_executor_cavatica.translate.job_key import JobKey, TaskMark
from snakemake_executor_cavatica.translate.pack import Pack, pack_jobs


class Launcher:
    """Packs jobs, and notes what was started with what; a job's inputs take as long as is said."""

    def __init__(self) -> None:
        self.started: list[list[str]] = []
        self.inputs: dict[str, threading.Event] = {}
        self.unavailable: set[str] = set()

    def prepare(self, submission: Submission) -> Candidate:
        if submission.name in self.inputs:
            assert self.inputs[submission.name].wait(10)
        if submission.name in self.unavailable:
            raise OSError("no such input")
        mark = TaskMark("run", submission.name, 1, JobKey("0" * 16, "0" * 32))
        return Candidate(submission.plan, mark, {}, {})

    def plan_batches(self, candidates: Sequence[Candidate]) -> list[Any]:
        return []

    def plan_packs(self, candidates: Sequence[Candidate]) -> list[Pack]:
        return pack_jobs(candidates)[0]

    def start_pack(self, submissions: Sequence[Submission], pack: Pack) -> bool:
        self.started.append(sorted(one.name for one in submissions))
        return True

    def start_alone(self, submission: Submission, candidate: Candidate) -> None:
        self.started.append([submission.name])

    def wait_for(self, number: int) -> None:
        """Until so many tasks are started."""
        until(lambda: len(self.started) >= number)


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def launcher() -> Launcher:
    return Launcher()


@pytest.fixture
def failed() -> list[str]:
    return []


@pytest.fixture
def wave(launcher: Launcher, failed: list[str]) -> Iterator[Gatherer]:
    def boundary(submissions: list[Submission], step: Callable[[], None]) -> None:
        try:
            step()
        except OSError:
            failed.extend(one.name for one in submissions)

    with ThreadPoolExecutor(4) as preparers:
        known = SmallInputs(lambda _: False, lambda *_: None, preparers, boundary, None)
        made = Gatherer(launcher, launcher, known, boundary)  # type: ignore[arg-type]
        yield made
        made.close()


def job(name: str) -> Submission:
    planned = plan("true", jobid=name, outputs=[local(f"out/{name}")])
    return Submission(None, planned=replace(planned, packed=100), name=name)


class Waits:
    """How long a wave waits, as the test says: for ever, until it says something else."""

    def __init__(self, wave: Gatherer, monkeypatch: pytest.MonkeyPatch) -> None:
        self._wave = wave
        self._monkeypatch = monkeypatch
        for name in ("_QUIET", "_LONGEST", "_PATIENCE"):
            monkeypatch.setattr(gather, name, 1000.0)

    def end(self, name: str) -> None:
        """This time is over."""
        self._monkeypatch.setattr(gather, name, 0.0)
        with self._wave._news:
            self._wave._news.notify_all()

    def until_ready(self, number: int) -> None:
        """Until the inputs of so many jobs are there."""
        until(lambda: len(self._wave._ready) == number)


@pytest.fixture
def waits(wave: Gatherer, monkeypatch: pytest.MonkeyPatch) -> Waits:
    return Waits(wave, monkeypatch)


def test_jobs_that_come_in_dribbles_are_started_together(
    launcher: Launcher, wave: Gatherer, waits: Waits
) -> None:
    for number, name in enumerate("abc", start=1):
        wave.add(job(name))
        waits.until_ready(number)
    assert launcher.started == []
    waits.end("_QUIET")
    launcher.wait_for(1)
    assert launcher.started == [["a", "b", "c"]]


def test_jobs_that_come_without_end_do_not_keep_others_waiting(
    launcher: Launcher, wave: Gatherer, waits: Waits
) -> None:
    for name in "ab":
        wave.add(job(name))
    waits.until_ready(2)
    waits.end("_LONGEST")
    launcher.wait_for(1)
    assert launcher.started == [["a", "b"]]


def test_jobs_that_take_long_to_plan_are_started_together(
    launcher: Launcher, wave: Gatherer, waits: Waits
) -> None:
    with wave.planning():
        wave.add(job("a"))
        waits.until_ready(1)
        waits.end("_QUIET")
        waits.end("_LONGEST")
        time.sleep(0.1)
        assert launcher.started == []
        wave.add(job("b"))
        waits.until_ready(2)
    launcher.wait_for(1)
    assert launcher.started == [["a", "b"]]


def test_a_lone_job_waits_for_no_longer_than_others_may_take_to_come(
    launcher: Launcher, wave: Gatherer, waits: Waits
) -> None:
    waits.end("_QUIET")
    wave.add(job("a"))
    launcher.wait_for(1)
    assert launcher.started == [["a"]]


def test_jobs_wait_for_the_inputs_of_others_but_not_for_ever(
    launcher: Launcher, wave: Gatherer, waits: Waits
) -> None:
    """One upload that takes hours must not hold up a thousand jobs, nor make many small batches."""
    launcher.inputs |= {"soon": threading.Event(), "late": threading.Event()}
    for name in ("a", "b", "soon", "late"):
        wave.add(job(name))
    waits.until_ready(2)
    waits.end("_QUIET")
    launcher.inputs["soon"].set()
    waits.until_ready(3)
    assert launcher.started == []
    waits.end("_PATIENCE")
    launcher.wait_for(1)
    assert launcher.started == [["a", "b", "soon"]]
    launcher.inputs["late"].set()
    launcher.wait_for(2)
    assert launcher.started[1] == ["late"]


def test_a_job_whose_input_cannot_be_had_fails_alone(
    launcher: Launcher, wave: Gatherer, failed: list[str]
) -> None:
    launcher.unavailable.add("b")
    for name in "abc":
        wave.add(job(name))
    launcher.wait_for(1)
    assert (launcher.started, failed) == ([["a", "c"]], ["b"])


def test_nothing_is_started_once_it_is_closed(
    launcher: Launcher, wave: Gatherer, waits: Waits
) -> None:
    wave.add(job("a"))
    waits.until_ready(1)
    wave.close()
    waits.end("_QUIET")
    wave.add(job("b"))
    assert launcher.started == []
