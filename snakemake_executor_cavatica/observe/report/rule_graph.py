"""Which rule needs which, as a drawing: each rule below all that it needs. Pure.

The text is what the record has (`Run.graph`). No program of Graphviz is needed to draw it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

_NAME = r'"(?:[^"\\]|\\.)*"'
_STATEMENT = re.compile(rf"(?P<name>{_NAME})(?:\s*->\s*(?P<next>{_NAME}))?\s*[;}}]")
_SWEEPS = 8
"""How often the layers are put in order by their neighbours."""

HEIGHT, GAP_Y, GAP_X = 46, 40, 26
_LETTER, _SMALL_LETTER, _PADDING, _NARROWEST, _WIDEST = 7.6, 6.3, 28, 92, 280
_BEND_WIDTH = 12
_PULLS = 12
"""How often each row is pulled to where its neighbours are."""


@dataclass(frozen=True)
class Graph:
    """Rules, and pairs of them of which the second needs the first."""

    rules: tuple[str, ...]
    needs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Place:
    """Where a rule is drawn: its middle, and its width."""

    rule: str
    x: float
    y: float
    width: float

    @property
    def label(self) -> str:
        """The name, cut if it is very long."""
        most = int((_WIDEST - _PADDING) / _LETTER)
        return self.rule if len(self.rule) <= most else f"{self.rule[: most - 1]}…"


@dataclass(frozen=True)
class Drawing:
    """Places and lines in a frame of some size."""

    width: float
    height: float
    places: tuple[Place, ...]
    lines: tuple[str, ...]
    """Each as the path of an SVG."""


def read_graph(text: str) -> Graph:
    """The graph that a record tells; an empty one if it tells none."""
    rules: dict[str, None] = {}
    needs: dict[tuple[str, str], None] = {}
    for match in _STATEMENT.finditer(text):
        name, following = _unquoted(match["name"]), _unquoted(match["next"])
        if name is None:
            continue
        rules.setdefault(name)
        if following is not None:
            rules.setdefault(following)
            if name != following:  # a rule that needs itself goes without saying
                needs.setdefault((name, following))
    return Graph(tuple(rules), tuple(needs))


def _unquoted(text: str | None) -> str | None:
    try:
        return None if text is None else str(json.loads(text))
    except ValueError:
        return None


def draw(graph: Graph, texts: Mapping[str, str]) -> Drawing:
    """Find a place for each rule; below its name there is room for a smaller text."""
    needs = _without_circles(graph)
    layers = _layers(graph.rules, needs)
    chains = _with_bends(needs, layers)
    neighbours = _neighbours(chains)
    rows = _in_order(layers, chains, neighbours)
    widths = {node: _width(node, texts) for row in rows for node in row}
    return _drawing(rows, chains, widths, _pulled(rows, widths, neighbours))


def _without_circles(graph: Graph) -> list[tuple[str, str]]:
    """The pairs without those that close a circle, as rules that need their own results have."""
    kept: list[tuple[str, str]] = list(graph.needs)
    while True:
        sorter: TopologicalSorter[str] = TopologicalSorter()
        for before, after in kept:
            sorter.add(after, before)
        try:
            sorter.prepare()
        except CycleError as error:
            circle = error.args[1]
            kept.remove((circle[0], circle[1]))
        else:
            return kept


def _layers(rules: Iterable[str], needs: Sequence[tuple[str, str]]) -> dict[str, int]:
    """How many rules are above each, at most."""
    before: dict[str, set[str]] = {rule: set() for rule in rules}
    for first, second in needs:
        before[second].add(first)
    layers: dict[str, int] = {}
    for rule in TopologicalSorter(before).static_order():
        layers[rule] = 1 + max((layers[one] for one in before[rule]), default=-1)
    return layers


_Bend = tuple[str, str, int]
"""Where a long line passes a layer between its two rules."""
_Node = str | _Bend


def _with_bends(
    needs: Iterable[tuple[str, str]], layers: dict[str, int]
) -> list[tuple[_Node, ...]]:
    """Each pair as the points that its line passes, one on each layer."""
    return [
        (first, *((first, second, at) for at in range(layers[first] + 1, layers[second])), second)
        for first, second in needs
    ]


@dataclass(frozen=True)
class _Neighbours:
    above: Mapping[_Node, Sequence[_Node]]
    below: Mapping[_Node, Sequence[_Node]]

    def of(self, node: _Node) -> list[_Node]:
        """On both sides."""
        return [*self.above.get(node, ()), *self.below.get(node, ())]


def _neighbours(chains: Iterable[tuple[_Node, ...]]) -> _Neighbours:
    above: dict[_Node, list[_Node]] = {}
    below: dict[_Node, list[_Node]] = {}
    for chain in chains:
        for first, second in pairwise(chain):
            above.setdefault(second, []).append(first)
            below.setdefault(first, []).append(second)
    return _Neighbours(above, below)


def _in_order(
    layers: Mapping[str, int], chains: Iterable[tuple[_Node, ...]], neighbours: _Neighbours
) -> list[list[_Node]]:
    """What is on each layer from left to right, so that few lines cross."""
    rows: list[list[_Node]] = [[] for _ in range(1 + max(layers.values(), default=-1))]
    for rule, layer in layers.items():
        rows[layer].append(rule)
    for chain in chains:
        for node in chain[1:-1]:
            assert isinstance(node, tuple)
            rows[node[2]].append(node)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            _sort(row, neighbours.above if down else neighbours.below, rows)
    return rows


def _sort(
    row: list[_Node], neighbours: Mapping[_Node, Sequence[_Node]], rows: Iterable[list[_Node]]
) -> None:
    """Put a row in the order of the middles of its neighbours."""
    shares = {node: (place + 0.5) / len(each) for each in rows for place, node in enumerate(each)}
    own = {node: place for place, node in enumerate(row)}

    def middle(node: _Node) -> tuple[float, int]:
        found = [shares[one] for one in neighbours.get(node, ())]
        return (sum(found) / len(found) if found else shares[node]), own[node]

    row.sort(key=middle)


def _pulled(
    rows: Sequence[Sequence[_Node]], widths: Mapping[_Node, float], neighbours: _Neighbours
) -> dict[_Node, float]:
    """The middle of each, as near to those of its neighbours as the others of its row allow."""
    at: dict[_Node, float] = {}
    for row in rows:
        at |= zip(row, _apart(row, [0.0] * len(row), widths), strict=True)
    for _ in range(_PULLS):
        for row in rows:
            wanted = [_mean([at[one] for one in neighbours.of(node)], at[node]) for node in row]
            at |= zip(row, _apart(row, wanted, widths), strict=True)
    return at


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _apart(
    row: Sequence[_Node], wanted: Sequence[float], widths: Mapping[_Node, float]
) -> list[float]:
    """Near to where they should be, and not over each other: half way between pushing all to the
    right, and all to the left.
    """
    gaps = [(widths[a] + widths[b]) / 2 + GAP_X for a, b in pairwise(row)]
    right, left = list(wanted), list(wanted)
    for place, gap in enumerate(gaps):
        right[place + 1] = max(right[place + 1], right[place] + gap)
    for place, gap in reversed(list(enumerate(gaps))):
        left[place] = min(left[place], left[place + 1] - gap)
    return [(a + b) / 2 for a, b in zip(left, right, strict=True)]


def _drawing(
    rows: Sequence[Sequence[_Node]],
    chains: Iterable[tuple[_Node, ...]],
    widths: Mapping[_Node, float],
    middles: Mapping[_Node, float],
) -> Drawing:
    edge = min((middles[node] - widths[node] / 2 for row in rows for node in row), default=0.0)
    at = {
        node: Place(
            node if isinstance(node, str) else "",
            round(middles[node] - edge, 1),
            number * (HEIGHT + GAP_Y) + HEIGHT / 2,
            widths[node],
        )
        for number, row in enumerate(rows)
        for node in row
    }
    return Drawing(
        width=round(max((one.x + one.width / 2 for one in at.values()), default=0.0), 1),
        height=max(0.0, len(rows) * (HEIGHT + GAP_Y) - GAP_Y),
        places=tuple(place for place in at.values() if place.rule),
        lines=tuple(_line([at[node] for node in chain]) for chain in chains),
    )


def _width(node: _Node, texts: Mapping[str, str]) -> float:
    if not isinstance(node, str):
        return _BEND_WIDTH
    longest = max(len(node) * _LETTER, len(texts.get(node, "")) * _SMALL_LETTER)
    return round(min(_WIDEST, max(_NARROWEST, longest + _PADDING)), 1)


def _line(points: Sequence[Place]) -> str:
    """A smooth line from the bottom of one rule to the top of another."""
    begin, end = points[0], points[-1]
    path = f"M{begin.x} {begin.y + HEIGHT / 2}"
    last_x, last_y = begin.x, begin.y + HEIGHT / 2
    for point in points[1:]:
        top = point.y - HEIGHT / 2
        middle = (last_y + top) / 2
        path += f"C{last_x} {middle} {point.x} {middle} {point.x} {top}"
        if point is not end:
            path += f"V{point.y + HEIGHT / 2}"
        last_x, last_y = point.x, point.y + HEIGHT / 2
    return path
