"""The parts of the server that are plain functions and small stores."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from cavatica_local import switches
from cavatica_local.cli import _parser as command_line
from cavatica_local.cwl import documents
from cavatica_local.cwl.documents import Demand
from cavatica_local.cwl.validation import validate
from cavatica_local.execution import instance_types
from cavatica_local.http.fieldsets import Selector
from cavatica_local.http.responses import json_response
from cavatica_local.state import names, tree
from cavatica_local.state.blobs import BlobStore, Content
from cavatica_local.state.database import Database, UnusableState
from cavatica_local.state.task_inputs import inputs_of, stored_inputs, with_input

NO_FILES = frozenset[str]().__contains__
RENDERERS = {"a": lambda _: 1, "b": lambda _: {"c": 2, "d": 3}, "e": lambda _: 4}


@pytest.mark.parametrize(
    ("text", "default", "expected"),
    [
        (None, None, {"a": 1, "b": {"c": 2, "d": 3}, "e": 4}),
        (None, ["a"], {"a": 1}),
        ("_all", ["a"], {"a": 1, "b": {"c": 2, "d": 3}, "e": 4}),
        ("b.c", None, {"b": {"c": 2}}),
        ("b.c,b.d", None, {"b": {"c": 2, "d": 3}}),
        ("!a,!b.c", None, {"b": {"d": 3}, "e": 4}),
        ("_all,!b", ["a"], {"a": 1, "e": 4}),
        ("a,unknown,b.unknown", None, {"a": 1}),
        ("", ["e"], {"e": 4}),
    ],
)
def test_selector(text: str | None, default: list[str] | None, expected: dict[str, Any]) -> None:
    assert Selector(text, default).render(RENDERERS, None) == expected


def ports(**inputs: Any) -> dict[str, documents.Port]:
    return documents.input_ports({"inputs": inputs})


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("string", ["", "a"], [1, None, True]),
        ("int", [0, -1], [1.0, True, "1"]),
        ("long", [1 << 40], [0.5]),
        ("double", [1, 0.5], [True, "1"]),
        ("boolean", [True, False], [0, "true"]),
        ("int?", [None, 1], ["x"]),
        ("int[]", [[], [1]], [1, ["a"], None]),
        ("string[]?", [None, ["a"]], ["a", [None]]),
        (["null", "int", "string"], [None, 1, "a"], [[], 0.5]),
        ({"type": "array", "items": ["int", "string"]}, [[1, "a"]], [[None]]),
        ({"type": "enum", "symbols": ["a", "b"]}, ["a"], ["c", None, 1]),
        (
            {"type": "record", "fields": {"x": "int", "y": "string?"}},
            [{"x": 1}, {"x": 1, "y": "a"}],
            [{}, {"x": "a"}, [1]],
        ),
        ("Any", [1, "a", [], {}], [None]),
    ],
)
def test_types(kind: Any, good: list[Any], bad: list[Any]) -> None:
    port = ports(p={"type": kind})["p"]

    def is_wrong(value: Any) -> bool:
        return documents.mismatch(value, port.type, lambda *_: None) is not None

    assert not any(map(is_wrong, good))
    assert all(map(is_wrong, bad))


def test_ports_in_every_notation() -> None:
    graph = {
        "$graph": [
            {"id": "#other", "inputs": {"x": "int"}},
            {"id": "#main", "inputs": [{"id": "#main/a", "type": "File[]"}], "outputs": []},
        ]
    }
    (port,) = documents.input_ports(graph).values()
    assert (port.id, port.type) == ("a", {"type": "array", "items": "File"})
    assert ports(a="File?")["a"].optional
    assert not ports(a={"type": "File"})["a"].optional


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("a.bam", ".bai", "a.bam.bai"),
        ("a.bam", "^.bai", "a.bai"),
        ("a.tar.gz", "^^.idx", "a.idx"),
        ("a", "^.idx", "a.idx"),
    ],
)
def test_secondary_names(name: str, pattern: str, expected: str) -> None:
    assert documents.secondary_name(name, pattern) == expected


@pytest.mark.parametrize(
    ("requirement", "inputs", "expected"),
    [
        ({}, {}, Demand(1, 1024)),
        ({"coresMin": 4, "ramMin": 2000}, {}, Demand(4, 2000)),
        ({"coresMin": 2, "coresMax": 8}, {}, Demand(2, 1024)),
        ({"coresMax": 8}, {}, Demand(8, 1024)),
        (
            {"coresMin": "$(inputs.c)", "ramMin": "$(inputs.r)"},
            {"c": 3, "r": 9000},
            Demand(3, 9000),
        ),
        ({"coresMin": "$(inputs.d)"}, {}, Demand(7, 1024)),
        ({"coresMin": "$(inputs.c * 2)"}, {"c": 3}, Demand(1, 1024)),
    ],
)
def test_demand(requirement: dict[str, Any], inputs: dict[str, Any], expected: Demand) -> None:
    document = {
        "class": "CommandLineTool",
        "requirements": [{"class": "ResourceRequirement", **requirement}],
        "inputs": {"c": "int?", "r": "int?", "d": {"type": "int", "default": 7}},
    }
    assert documents.demand(document, inputs) == expected


def test_instances() -> None:
    instance = instance_types.parse("c4.2xlarge;ebs-gp2;2000", allow_bare=False)
    assert (instance.cores, instance.disk_size, instance.provider) == (8, 2000, "AWS")
    assert instance_types.parse("n1-highmem-8;pd-ssd;100", allow_bare=False).ram == 52 * 1024
    assert instance_types.parse("m5.large", allow_bare=True).cores == 2
    assert instance_types.cheapest(Demand(2, 1024)).type == "c5.large"
    assert instance_types.cheapest(Demand(2, 14000)).type == "r5.large"
    # Four cores of one family may cost less than two of another.
    assert instance_types.cheapest(Demand(1, 30_000)).type == "r5.xlarge"
    assert instance_types.parse("c6i.32xlarge", allow_bare=True).cores == 128
    assert instance_types.parse("r6i.large", allow_bare=True).ram == 16 * 1024
    with pytest.raises(ValueError, match="no instance has"):
        instance_types.cheapest(Demand(1000, 1))
    unknown = ("m5.2large;ebs-gp2;1", "x", "c6i.7xlarge;ebs-gp2;1", "z1.large;ebs-gp2;1")
    for wrong in ("m5.large", "c4.large;ebs-gp2;0", "c4.large;ebs-gp2", *unknown):
        with pytest.raises(ValueError, match=r"instance type|disk"):
            instance_types.parse(wrong, allow_bare=False)


def test_a_state_that_is_damaged_or_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "platform.sqlite"
    Database(path).close()
    Database(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 0")
    with pytest.raises(UnusableState, match="another version"):
        Database(path)
    path.write_bytes(b"damaged" * 1000)
    with pytest.raises(UnusableState, match="cannot be used"):
        Database(path)


def test_a_long_input_is_kept_once_for_all_tasks(tmp_path: Path) -> None:
    """Protects that a row stays small, since each status of a task writes it again."""
    database = Database(tmp_path / "platform.sqlite")
    inputs = {"a": 1, "script": "\ud800 echo\n" * 500, "b": [{"class": "File", "path": "x"}]}
    parent = stored_inputs(database, inputs)
    child = with_input(parent, "b", {"class": "File", "path": "y"})
    assert len(parent) < 200
    assert list(inputs_of(database, parent).items()) == list(inputs.items())
    assert inputs_of(database, child) == {**inputs, "b": {"class": "File", "path": "y"}}
    assert "script" in inputs_of(database, with_input(parent, "script", None))
    assert stored_inputs(database, inputs) == parent
    assert database.value("SELECT count(*) FROM texts") == 1


def test_switches() -> None:
    chosen = switches.parse(["status_flap=0.5", "bare_instance_type=true", "spot_retries=2"])
    assert (chosen.status_flap, chosen.bare_instance_type, chosen.spot_retries) == (0.5, True, 2)
    for wrong in ("x=1", "status_flap", "status_flap=x", "bare_instance_type=1", "spot_retries=a"):
        with pytest.raises(ValueError, match=wrong.partition("=")[0]):
            switches.parse([wrong])
    with pytest.raises(ValueError, match="is one of"):
        switches.parse(["file_listing_order=random"])
    table = switches.markdown_table().splitlines()
    assert len(table) == 2 + len(fields(switches.Switches))


@pytest.mark.parametrize("name", ["a", "a.b-c_1", ".hidden", "_a"])
def test_folder_names(name: str) -> None:
    assert names.is_folder_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "__a", "a b", "é", "a/b", "a" * 256, "a\n", None])
def test_what_is_no_folder_name(name: Any) -> None:
    assert not names.is_folder_name(name)


@pytest.mark.parametrize("text", ["\ud800", "ä \udfff \\ud800", "\U0001f600"])
def test_half_a_character_is_answered_as_it_was_sent(text: str) -> None:
    """Protects the answers about a task whose inputs hold one: they were 503, for ever."""
    body = bytes(json_response({"x": text}).body)
    assert json.loads(body.decode()) == {"x": text}


def test_free_names(tmp_path: Path) -> None:
    database = Database(tmp_path / "db.sqlite")
    made = []
    for _ in range(100):
        made.append(names.free_name(database, "folder", "a.txt"))
        content = Content("blob", 0)
        tree.add(database, project="p", parent="folder", name=made[-1], content=content)
    assert made == ["a.txt", *(f"_{number}_a.txt" for number in range(1, 100))]
    database.close()


def test_transactions(tmp_path: Path) -> None:
    database = Database(tmp_path / "db.sqlite")

    def fail_halfway() -> None:
        with database.transaction():
            database.insert("secrets", {"name": "a", "value": "1"})
            with database.transaction():
                database.insert("secrets", {"name": "b", "value": "2"})
            raise KeyError

    with pytest.raises(KeyError):
        fail_halfway()
    assert database.all("SELECT * FROM secrets") == []
    database.close()


def test_a_content_is_kept_while_it_is_pinned(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, NO_FILES)

    def adopt(name: str) -> Content:
        source = tmp_path / name
        source.write_text("same")
        return store.adopt(source)

    first = adopt("first")
    store.release(first.blob)
    second = adopt("second")
    assert first == second
    # The last file with this content is deleted before the second one is recorded.
    store.remove_unused(first.blob)
    assert store.exists(second.blob)
    store.release(second.blob)
    store.remove_unused(second.blob)
    assert not store.exists(second.blob)


def test_a_content_is_kept_for_the_tasks_that_read_it_and_the_files_that_have_it(
    tmp_path: Path,
) -> None:
    files: set[str] = set()
    store = BlobStore(tmp_path, files.__contains__)
    source = tmp_path / "source"
    source.write_text("content")
    blob = store.adopt(source).blob
    files.add(blob)
    store.release(blob)
    store.remove_unused(blob)
    assert store.exists(blob)
    # Two tasks read it, and its last file is deleted meanwhile.
    for _ in range(2):
        store.use(blob)
    files.clear()
    store.remove_unused(blob)
    store.release(blob)
    store.sweep()
    assert store.exists(blob)
    store.release(blob)
    store.sweep()
    assert not store.exists(blob)


def test_a_linked_output_becomes_a_content_of_its_own(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, NO_FILES)
    source, other = tmp_path / "source", tmp_path / "other"
    source.write_text("before")
    other.hardlink_to(source)
    content = store.adopt(source)
    other.write_text("after")
    assert store.path(content.blob).read_text() == "before"
    assert store.is_intact(content.blob, 0, thorough=True)


def test_a_damaged_content_goes_to_the_quarantine(tmp_path: Path) -> None:
    store = BlobStore(tmp_path, NO_FILES)
    source = tmp_path / "source"
    source.write_text("before")
    content = store.adopt(source)
    path = store.path(content.blob)
    modified = path.stat().st_mtime_ns
    assert store.is_intact(content.blob, modified, thorough=False)
    path.chmod(0o644)
    path.write_text("after")
    assert not store.is_intact(content.blob, modified, thorough=False)
    assert not store.exists(content.blob)


def test_validation() -> None:
    tool = {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "$namespaces": {"sbg": "https://sevenbridges.com"},
        "hints": [{"class": "sbg:AWSInstanceType", "value": "c4.large"}],
        "sbg:revisionNotes": "first",
        "baseCommand": "true",
        "inputs": {},
        "outputs": {},
    }
    assert validate(tool) == []
    assert validate({**tool, "inputs": {"a": "Nonsense"}})
    assert validate({**tool, "cwlVersion": "sbg:draft-2"})


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--rate-limit", "10/x", "'10/x' is no rate"),
        ("--rate-limit", "0/10", "'0/10' is no rate"),
        ("--latency", "-1", "'-1' is no number of seconds"),
        ("--start-delay", "nan", "'nan' is no number of seconds"),
        ("--price-hour", "abc", "'abc' is no number of seconds"),
        ("--price-hour", "0", "no time at all is not enough"),
        ("--task-seconds", "5-x", "'5-x' is neither a number nor a range"),
    ],
)
def test_a_wrong_value_of_an_option_is_told(
    option: str, value: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects from a message that names a function of ours, and from a server that never waits."""
    with pytest.raises(SystemExit):
        command_line().parse_args(["serve", "--root", "x", option, value])
    error = capsys.readouterr().err
    assert f"argument {option}: " in error
    assert told in error
    assert "invalid _" not in error
