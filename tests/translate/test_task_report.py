"""What the script writes to stderr is read back; what others write there is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from translated_jobs import read_report

from snakemake_executor_cavatica.in_task.names import TAG
from snakemake_executor_cavatica.translate.task_report import JobReport, stretches

WORDS = ["exit-status", "error", "missing-output", "is-folder", "is-file", "empty-output"]
WORDS += ["wrong-checksum"]
VALUES = ["0", "1", "7", "²", "٣", "-1", "", "1 2", "x", "9" * 5000, "0x1"]
marked = st.builds(
    "{} {} {}".format,
    st.just(TAG),
    st.sampled_from([*WORDS, "log", "end-log", "?"]),
    st.sampled_from(VALUES),
)
line = st.one_of(st.text(max_size=20), marked, st.just(TAG), st.just("\r"))
anything = st.one_of(st.text(), st.lists(line).map("\n".join))


@given(anything)
def test_no_text_makes_the_reader_fail(text: str) -> None:
    read_report(text)


@given(anything)
def test_text_without_marks_is_kept_as_it_is(text: str) -> None:
    plain = text.replace(TAG, "")
    report = read_report(plain)
    assert report.stderr == plain
    assert report.exit_status is report.error is None


@given(st.lists(st.text(st.characters(exclude_characters="\n"), max_size=10)))
def test_lines_around_those_of_the_script_are_kept_in_order(lines: list[str]) -> None:
    text = f"\n{TAG} missing-output 1\n".join(lines)
    report = read_report(f"{text}\n{TAG} exit-status 1\n")
    assert report.stderr.split("\n")[: len(lines)] == (lines or [""])[: len(lines)]
    assert report.missing == [1] * max(0, len(lines) - 1)


@given(st.text().filter(lambda text: TAG not in text))
def test_logs_come_back_whole(log: str) -> None:
    report = read_report(f"before\n{TAG} log 3\n{log}\n{TAG} end-log 3\n{TAG} exit-status 2\n")
    assert report.logs == {3: log.removesuffix("\n")}
    assert report.stderr == "before\n"
    assert report.exit_status == 2


def test_a_log_may_hold_the_lines_of_another_job() -> None:
    inner = f"{TAG} log 1\nx\n{TAG} end-log 1\n{TAG} exit-status 77\n{TAG} error inner"
    report = read_report(f"{TAG} log 0\n{inner}\n{TAG} end-log 0\n{TAG} exit-status 2\n")
    assert report.logs == {0: inner}
    assert (report.exit_status, report.error) == (2, None)


def test_a_log_that_was_cut_off_is_kept_as_text() -> None:
    report = read_report(f"a\n{TAG} log 0\nhalf\n{TAG} exit-status 2\n")
    assert report.logs == {}
    assert report.exit_status == 2
    assert report.stderr.split() == ["a", "half"]


@pytest.mark.parametrize("line", [f"{TAG} {word} x1" for word in WORDS if word != "error"])
def test_marked_lines_that_the_script_cannot_have_written_are_kept(line: str) -> None:
    assert read_report(line).stderr == line


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_windows_line_ends_do_no_harm(ending: str) -> None:
    text = f"x{ending}{TAG} log 0{ending}y{ending}{TAG} end-log 0{ending}{TAG} exit-status 4"
    report = read_report(text)
    assert (report.exit_status, list(report.logs)) == (4, [0])


def test_a_script_that_ran_is_told_from_one_that_did_not() -> None:
    assert read_report(f"{TAG} started\noops\n").started
    assert read_report(f"{TAG} started\noops\n").stderr == "oops\n"
    assert not read_report(f"{TAG} started x\noops\n").started
    assert not read_report("oops\n").started


def test_a_mark_that_means_nothing_hides_none_after_it() -> None:
    report = read_report(f"said {TAG} {TAG} ? {TAG} exit-status 3\n")
    assert report.exit_status == 3
    assert report.stderr == f"said {TAG} {TAG} ? \n"


@given(anything)
def test_no_byte_is_told_twice_or_out_of_order(text: str) -> None:
    position = 0
    data = text.encode()
    for stretch in stretches(data, JobReport()):
        assert position <= stretch.start <= stretch.end <= len(data)
        position = stretch.end


HOSTILE = {
    "logs that are never closed": f"{TAG} log 0\n" * 100_000,
    "logs of many numbers": "".join(f"{TAG} log {number}\n" for number in range(100_000)),
    "one line of marks": TAG * 100_000,
    "one line of notes": f"{TAG} log 0 " * 100_000,
    "one line of text": "x" * 20_000_000 + f"{TAG} exit-status 1",
    "closings without a log": f"{TAG} end-log 0\n" * 100_000,
    "logs in logs": f"{TAG} log 0\n" * 100_000 + f"{TAG} end-log 0\n" * 100_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.timeout(20)
def test_no_text_takes_the_reader_long(kind: str) -> None:
    read_report(HOSTILE[kind])


def test_a_prefix_before_a_mark_is_kept() -> None:
    report = read_report(f"no newline{TAG} exit-status 3\n2026-01-01T00:00:00Z {TAG} error gone")
    assert (report.exit_status, report.error) == (3, "gone")
    assert report.stderr == "no newline\n2026-01-01T00:00:00Z "
