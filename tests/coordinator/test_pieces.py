"""The log of a main process, in pieces: nothing is lost, and their number is bounded."""

from __future__ import annotations

import gzip
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from snakemake_executor_cavatica.api import Client, File
from snakemake_executor_cavatica.coordinator import pieces
from snakemake_executor_cavatica.coordinator.pieces import Reader, Writer
from snakemake_executor_cavatica.coordinator.state import restore_state, save_state
from tests.workflow.workflow_runs import Platform


@pytest.fixture
def folder(fresh: Platform) -> str:
    with fresh.client() as client:
        return client.create_folder("run", project=fresh.project).id


def names(client: Client, folder: str) -> list[str]:
    return sorted(file.name for file in client.list_files(parent=folder))


def test_a_reader_sees_all_that_was_written_whenever_it_looks(fresh: Platform, folder: str) -> None:
    with fresh.client() as client:
        writer, early, late = (
            Writer(client, folder),
            Reader(client, folder),
            Reader(client, folder),
        )
        log = record = b""
        for number in range(40):
            log += f"zeile ä {number}\n".encode()
            record += b"{}\n" if number % 3 == 0 else b""
            writer.send(log, record)
            writer.send(log, record)  # nothing is new
            if number % 5 == 0:
                said = early.look()
                assert (said.log, said.record) == (log, record)
        assert len(names(client, folder)) <= 16
        said = late.look()
        assert (said.log, said.record, said.is_final) == (log, record, False)
        writer.close({"record.jsonl": record, "log.txt": log})
        assert names(client, folder) == ["log.txt", "record.jsonl"]
        for reader in (early, late, Reader(client, folder)):
            said = reader.look()
            assert (said.log, said.record, said.is_final) == (log, record, True)


def test_who_reads_a_piece_that_is_replaced_at_that_moment_reads_the_other_one(
    fresh: Platform, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else following a run ends, for no reason that its user could know."""
    with fresh.client() as client:
        writer, reader = Writer(client, folder), Reader(client, folder)
        writer.send(b"said\n", b"{}\n")
        read = pieces._content

        def late(client: Client, file: File) -> bytes:
            if file.name.startswith("piece"):
                writer.close({"record.jsonl": b"{}\n", "log.txt": b"said\n"})
            return read(client, file)

        monkeypatch.setattr(pieces, "_content", late)
        said = reader.look()
        assert (said.log, said.record, said.is_final) == (b"said\n", b"{}\n", True)


def test_a_log_may_hold_any_bytes(fresh: Platform, folder: str) -> None:
    with fresh.client() as client:
        writer, reader = Writer(client, folder), Reader(client, folder)
        log = "zeile \xe4\n".encode("latin-1")
        for number in range(3):
            log += f"{number} ä\n".encode("latin-1")
            writer.send(log, b"")
            assert reader.look().log == log


NO_PIECES = (
    b"",
    b"no gzip",
    gzip.compress(b"{}")[:-3],
    gzip.compress(b"\xff"),
    gzip.compress(b"[" * 100_000),
    *(
        gzip.compress(json.dumps(one).encode())
        for one in (
            [],
            {"log": 1, "record": [0, ""]},
            {"log": [0, ["x"]], "record": [0, ""]},
            {"log": ["x", "x"], "record": [0, ""]},
            {"log": [0, "\ud800"], "record": [0, ""]},
            {"log": [None, ""], "record": [0, ""]},
        )
    ),
)


@pytest.mark.parametrize("number", range(len(NO_PIECES)))
def test_a_piece_that_nobody_can_read_is_left_out_and_told(
    number: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece = {"log": [0, "first\n"], "record": [0, "{}\n"]}
    contents = [gzip.compress(json.dumps(piece).encode()), NO_PIECES[number]]
    files = [File(id=f"f{n}", name=f"piece-{n + 1:06}.json.gz") for n in range(2)]
    monkeypatch.setattr(pieces, "_content", lambda _, file: contents[files.index(file)])
    said = Reader(cast(Any, SimpleNamespace(list_files=lambda parent: files)), "folder").look()
    assert (said.log, said.record, said.number) == (b"first\n", b"{}\n", 2)
    assert caplog.text.count("in piece-000002.json.gz cannot be read") == 1


def test_another_record_takes_the_place_of_the_first(fresh: Platform, folder: str) -> None:
    with fresh.client() as client:
        writer, reader = Writer(client, folder), Reader(client, folder)
        for record in (b"of one run\n", b"another\n"):
            writer.send(b"log\n", record)
            assert reader.look().record == record


def test_what_a_run_leaves_comes_to_the_next(
    fresh: Platform, folder: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = tmp_path_factory.mktemp("here") / "incoming"  # no name above it matters
    there = tmp_path_factory.mktemp("there")
    for name in ("metadata/a", "metadata/b", "locks/x", "storage/big", "cavatica/runs/r/record"):
        path = here / ".snakemake" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    (there / ".snakemake/metadata").mkdir(parents=True)
    (there / ".snakemake/metadata/b").write_text("newer")
    with fresh.client() as client:
        restore_state(client, folder, "scope", there)  # nothing is there yet
        save_state(client, folder, "scope", here)
        restore_state(client, folder, "scope", there)
    found = {
        str(path.relative_to(there / ".snakemake")): path.read_text()
        for path in there.rglob("*")
        if path.is_file()
    }
    kept = {"metadata/a": "old", "metadata/b": "newer", "cavatica/runs/r/record": "old"}
    assert found == kept
