"""The workflow's graph, read from its text and drawn."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_cavatica.observe.report.rule_graph import (
    GAP_X,
    HEIGHT,
    Drawing,
    Graph,
    draw,
    read_graph,
)

names = st.text(min_size=1, max_size=12)


def text_of(rules: list[str], needs: list[tuple[str, str]]) -> str:
    lines = [*map(json.dumps, rules), *(f"{json.dumps(a)} -> {json.dumps(b)}" for a, b in needs)]
    return "digraph {" + "; ".join(lines) + "}"


def drawn(*needs: tuple[str, str]) -> Drawing:
    return draw(read_graph(text_of([], list(needs))), {})


def heights(drawing: Drawing) -> dict[str, float]:
    return {place.rule: place.y for place in drawing.places}


@given(st.lists(names, min_size=1, max_size=8, unique=True), st.data())
def test_what_is_written_is_read(rules: list[str], data: st.DataObject) -> None:
    pairs = st.tuples(st.sampled_from(rules), st.sampled_from(rules))
    needs = data.draw(st.lists(pairs, max_size=12, unique=True))
    graph = read_graph(text_of(rules, needs))
    assert list(graph.rules) == rules
    assert list(graph.needs) == [(a, b) for a, b in needs if a != b]


@pytest.mark.parametrize("text", ["", "digraph {}", "graph of nothing", 'digraph {"a', "{\\"])
def test_what_tells_no_rule_is_an_empty_graph(text: str) -> None:
    assert read_graph(text) == Graph((), ())
    assert draw(read_graph(text), {}) == Drawing(0.0, 0.0, (), ())


@given(st.sets(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=40))
def test_whatever_the_graph_no_two_rules_cover_each_other(pairs: set[tuple[int, int]]) -> None:
    drawing = drawn(*((f"rule{a}", f"rule{b}") for a, b in sorted(pairs)))
    assert len(drawing.places) == len({one for pair in pairs for one in pair})
    for place in drawing.places:
        assert place.x - place.width / 2 + 0.1 >= 0
        assert place.x + place.width / 2 <= drawing.width + 0.1
        assert place.y + HEIGHT / 2 <= drawing.height
    for one in drawing.places:
        for other in drawing.places:
            if one is not other and one.y == other.y:
                apart = abs(one.x - other.x) - (one.width + other.width) / 2
                assert apart >= GAP_X - 0.2


def test_each_rule_is_below_all_that_it_needs() -> None:
    at = heights(drawn(("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("x", "d")))
    assert at["a"] == at["x"] < at["b"] < at["c"] < at["d"]


def test_rules_that_need_each_other_are_drawn_all_the_same() -> None:
    drawing = drawn(("a", "b"), ("b", "a"), ("b", "c"), ("c", "c"))
    assert set(heights(drawing)) == {"a", "b", "c"}


def test_lines_of_a_simple_graph_do_not_cross() -> None:
    drawing = drawn(("a", "y"), ("b", "x"), ("x", "end"), ("y", "end"))
    middle = {place.rule: place.x for place in drawing.places}
    assert (middle["a"] < middle["b"]) == (middle["y"] < middle["x"])


def test_a_box_has_room_for_its_texts_and_a_very_long_name_is_cut() -> None:
    graph = read_graph(text_of(["a", "r" * 300], []))
    short, long = draw(graph, {"a": "12 done, 3 failed, 4 cancelled"}).places
    assert short.width > 200
    assert long.label.endswith("…")
    assert len(long.label) < 50
