"""What a box plot shows of many values."""

from __future__ import annotations

import itertools
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_cavatica.observe.report.boxes import box


def test_of_nothing_there_is_no_box() -> None:
    assert box([]) is None


def test_one_value_is_all_of_its_box() -> None:
    one = box([3.0])
    assert one is not None
    assert (one.low, one.first, one.median, one.third, one.high, one.most) == (3.0,) * 6
    assert one.count == 1


def test_what_is_far_outside_is_beyond_the_whisker() -> None:
    found = box([1, 2, 3, 4, 100])
    assert found is not None
    assert (found.first, found.median, found.third) == (2, 3, 4)
    assert (found.low, found.high, found.most) == (1, 4, 100)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=50))
def test_the_numbers_are_in_order(values: list[float]) -> None:
    found = box(values)
    assert found is not None
    line = [min(values), found.low, found.first, found.median, found.third, found.high, found.most]
    for before, after in itertools.pairwise(line):
        assert before <= after * (1 + 1e-9) + 1e-9
    assert found.median == pytest.approx(statistics.median(values))
