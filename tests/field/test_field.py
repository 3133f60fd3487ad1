"""A fixed sample of the scenarios, and what holds for all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.field.__main__ import examine
from tests.field.judge import unexpected
from tests.field.runs import CORES, Outcome
from tests.field.scenarios import OURS, Scenario, names, scenario
from tests.workflow.workflow_runs import Platform, Result

SAMPLE = (
    "checkpoint_clusters",
    "directories_of_outputs",
    "looking_while_parsed",
    "names_of_modules",
    "names_that_are_odd",
    "sample_sheet",
    "unpack_in_git",
)
"""With `python -m tests.field` all of them run, which takes too long for each change."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "field.md"
_ROW = re.compile(r"^\| `(\w+)` \| .+ \| .+ \| (.+) \|$", re.MULTILINE)


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    server = Platform.start(tmp_path_factory.mktemp("field"), "--host-cores", str(CORES))
    yield server
    server.stop()


@pytest.mark.parametrize("name", SAMPLE)
def test_a_workflow_leaves_the_same_wherever_it_runs(
    name: str, platform: Platform, tmp_path: Path
) -> None:
    verdict = examine(name, OURS, platform, tmp_path)
    assert len(verdict.seconds) == 3, "the sample runs everywhere"
    assert verdict.as_expected, verdict.text


def test_the_document_names_every_scenario_and_its_verdict() -> None:
    """`same` stands for those, and only those, that differ nowhere from the local executor."""
    told = dict(_ROW.findall(DOCUMENT.read_text(encoding="utf-8")))
    assert sorted(told) == names()
    for name, verdict in told.items():
        exceptions = scenario(name).exceptions
        assert (verdict == "same") == (not exceptions), name
        assert all(place in verdict for place in exceptions), name


def outcome(files: dict[str, bytes], *, status: int = 0, idle: bool = True) -> Outcome:
    second = Result(0, "Nothing to be done" if idle else "Execute 1 jobs")
    return Outcome(Result(status, "said something"), second, files, 0.0)


LOCAL = outcome({"a": b"1", "b": b"2"})


@pytest.mark.parametrize(
    ("ours", "words"),
    [
        (outcome({"a": b"1"}), "b is missing"),
        (outcome({"a": b"1", "b": b"3"}), "b is b'3', not b'2'"),
        (outcome({"a": b"1", "b": b"2", "c": b""}), "c is there"),
        (outcome({"a": b"1", "b": b"2"}, status=1), "exit status 1, not 0"),
        (outcome({"a": b"1", "b": b"2"}, idle=False), "the second run did something"),
    ],
)
def test_a_difference_is_told(ours: Outcome, words: str) -> None:
    found = unexpected(Scenario(Path("x")), "transfer", ours, LOCAL)
    assert len(found) == 1
    assert found[0].startswith(words)


@pytest.mark.parametrize(
    ("options", "ours"),
    [
        ({"absent": {"storage": {"b": "why"}}}, outcome({"a": b"1"})),
        ({"unequal": {"b": "why"}}, outcome({"a": b"1", "b": b"3"})),
        ({"repeats": "why"}, outcome({"a": b"1", "b": b"2"}, idle=False)),
        ({"fails": {"storage": {"words": ["something"]}}}, outcome({}, status=1)),
    ],
)
def test_what_a_scenario_names_is_no_difference(
    options: dict[str, object], ours: Outcome, tmp_path: Path
) -> None:
    exceptional, place = made(tmp_path, options), OURS[1]
    assert unexpected(exceptional, place, ours, LOCAL) == []
    assert unexpected(exceptional, place, LOCAL, LOCAL) != [] or "unequal" in options


def made(folder: Path, options: dict[str, object]) -> Scenario:
    (folder / "Snakefile").touch()
    (folder / "scenario.yaml").write_text(repr(options))
    return scenario(str(folder))
