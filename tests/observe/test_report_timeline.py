"""Where bars go: no two in one row at a time, and none is lost."""

from __future__ import annotations

import itertools

import pytest
from attempts import BEGAN, attempt, run
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_cavatica.observe.entries import Attempt, Status
from snakemake_executor_cavatica.observe.report.timeline import ROWS_OF_THEIR_OWN, timeline

times = st.integers(0, 500)


def at(number: int, begin: float, wait: float, ran: float, rule: str = "align") -> Attempt:
    moments = {"queued": begin, "started": begin + wait, "ended": begin + wait + ran}
    return attempt(number, rule=rule, submitted=begin, **moments)


@given(st.lists(st.tuples(times, times, times, st.sampled_from("ab")), min_size=1, max_size=150))
def test_no_two_bars_cover_each_other(spans: list[tuple[int, int, int, str]]) -> None:
    attempts = [at(number, BEGAN + b, w, r, rule) for number, (b, w, r, rule) in enumerate(spans)]
    drawn = timeline([run()], attempts)
    assert drawn.is_by_rule == (len(attempts) > ROWS_OF_THEIR_OWN)
    rows: dict[int, list[tuple[float, float, str]]] = {}
    for one, bar in zip(attempts, drawn.bars, strict=True):
        assert bar is not None
        assert (bar.begin, bar.start, bar.end) == (one.queued, one.started, one.ended)
        rows.setdefault(bar.row, []).append((bar.begin, bar.end, one.rule))
    assert set(rows) == set(range(sum(band.rows for band in drawn.bands)))
    for found in rows.values():
        found.sort()
        assert len({rule for *_, rule in found}) == 1, "a row has one rule"
        for (_, end, _), (begin, _, _) in itertools.pairwise(found):
            assert end <= begin


def test_a_few_have_rows_and_names_of_their_own() -> None:
    drawn = timeline([run()], [at(2, BEGAN + 50, 1, 1), at(1, BEGAN, 1, 1)])
    assert [band.label for band in drawn.bands] == ["align [sample=S1]", "align [sample=S2]"]
    assert [bar and bar.row for bar in drawn.bars] == [1, 0]


def test_many_share_rows_by_rule_and_the_rows_tell_how_many_ran_at_a_time() -> None:
    number = ROWS_OF_THEIR_OWN
    one_by_one = [at(n, BEGAN + 100 * n, 10, 80, "trim") for n in range(number)]
    together = [at(n, BEGAN + 5, 10, 80, "align") for n in range(7)]
    drawn = timeline([run()], [*one_by_one, *together])
    assert [(band.label, band.rows) for band in drawn.bands] == [("trim", 1), ("align", 7)]


def test_what_goes_on_is_drawn_as_far_as_the_record_tells() -> None:
    running = attempt(1, status=Status.RUNNING, started=BEGAN + 20, ended=None)
    waiting = attempt(2, status=Status.QUEUED, started=None, ended=None)
    drawn = timeline([run(ended=None)], [running, waiting, at(3, BEGAN, 5, 300)])
    assert [bar and bar.end for bar in drawn.bars] == [BEGAN + 305] * 3
    assert drawn.bars[1] is not None
    assert drawn.bars[1].start == drawn.bars[1].end, "it has not run"


@pytest.mark.parametrize("missing", ["queued", "started", "ended"])
def test_a_time_that_is_missing_leaves_no_gap(missing: str) -> None:
    [bar] = timeline([run()], [attempt(1, **{missing: None})]).bars
    assert bar is not None
    assert bar.begin <= bar.start <= bar.end


def test_without_times_there_is_no_bar() -> None:
    nowhere = attempt(1, submitted=None, queued=None, started=None, ended=None)
    drawn = timeline([run()], [nowhere])
    assert drawn.bars == (None,)
    assert drawn.bands == ()
