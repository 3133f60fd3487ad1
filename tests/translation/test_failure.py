"""What a user is told of a failed job."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from translated_jobs import local, plan

from snakemake_executor_cavatica.failure import STDERR_LINES, describe
from snakemake_executor_cavatica.outcome import Failed, Lost
from snakemake_executor_cavatica.script import MARK, JobReport, read_report

PLAN = plan(outputs=[local("a"), local("b")], wildcards={"sample": "A"})
LINK = "https://cavatica/tasks/1"
FAILED = Failed("Tool failed.")

CAUSES: dict[str, tuple[Failed | Lost, JobReport]] = {
    "the task does not exist on the platform any more (was it deleted?).": (
        Lost("the task does not exist on the platform any more (was it deleted?)"),
        JobReport(),
    ),
    "the command succeeded, but did not make its output a, b. Check that it writes to the paths "
    "that the rule declares.": (FAILED, JobReport(1, missing=[0, 1])),
    "the output b is a folder; declare it with directory().": (FAILED, JobReport(1, folders=[1])),
    "the output a is empty (ensure()).": (FAILED, JobReport(1, empty=[0])),
    "the output a has another checksum than the rule ensures.": (
        FAILED,
        JobReport(1, wrong_checksum=[0]),
    ),
    "the job could not be run as it should: the precommand failed.": (
        FAILED,
        JobReport(1, "the precommand failed"),
    ),
    "the task completed without its output bam.": (Failed("x", ("bam",)), JobReport(0)),
    "the command was killed (exit status 137), most likely for want of memory. Give the rule more "
    "mem_mb; with retries and attempt it can grow by itself.": (FAILED, JobReport(137)),
    "the command failed with exit status 3.": (FAILED, JobReport(3)),
    "the command succeeded, but the platform failed the task afterwards.": (FAILED, JobReport(0)),
    "the platform ended the task before the command did.": (FAILED, JobReport()),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_is_told_in_its_own_words(cause: str) -> None:
    result, report = CAUSES[cause]
    lines = describe(PLAN, LINK, result, report).splitlines()
    assert lines == [
        f"align [sample=A]: {cause}",
        f"Task: {LINK} (platform: {result.reason})",
    ]


def test_the_end_of_stderr_is_shown() -> None:
    report = JobReport(1, stderr="\n".join(f"line {n}" for n in range(100)) + "\n\n")
    shown = describe(PLAN, LINK, FAILED, report).splitlines()[3:]
    assert shown == [f"    line {n}" for n in range(100 - STDERR_LINES, 100)]


def test_nothing_of_the_scripts_own_lines_is_left() -> None:
    stderr = (
        f"said{MARK} missing-output 0\n{MARK} log 1\nthe log\n{MARK} end-log 1\n"
        f"{MARK} log 0\ncut off\n{MARK} error x\n{MARK} exit-status 1\n"
    )
    message = describe(PLAN, LINK, FAILED, read_report(stderr))
    assert MARK not in message
    assert "    said" in message
    assert "the log" not in message


@given(
    st.builds(
        JobReport,
        st.none() | st.integers(0, 255),
        st.none() | st.text(max_size=5),
        *[st.lists(st.integers(0, 5), max_size=3)] * 4,
    )
)
def test_numbers_of_outputs_that_do_not_exist_are_passed_over(report: JobReport) -> None:
    message = describe(PLAN, LINK, FAILED, report)
    assert "output ." not in message
    assert "output  " not in message


def test_an_output_is_named_once() -> None:
    report: Any = JobReport(1, missing=[0, 0])
    assert "its output a. " in describe(PLAN, LINK, FAILED, report)
