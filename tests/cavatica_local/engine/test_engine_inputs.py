"""Inputs: where they are and what their names survive."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_runs import FILE_OUT, Runner, text, tool

from cavatica_local.engine import staging

Store = Callable[..., dict[str, Any]]

HOSTILE = [
    "with space.txt",
    "quote'\".txt",
    "new\nline",
    "ünïcode-雪.txt",
    "hash#tag",
    "percent%20%",
    "[brackets]*?",
    "-rf",
    "$(inputs.x)",
    "back\\slash",
    "colon:name",
    "&;|<>",
    "question?query=1",
]

PRINT_PATHS = (
    r"""for path in "$@"; do printf '%s\0' "$path"; cat "$path"; printf '\0'; done > out"""
)
FILES = {"x": {"type": "File[]", "inputBinding": {}}}


def seen(content: str) -> list[tuple[str, str]]:
    """The paths that the tool was given, each with the content found there."""
    parts = content.split("\0")
    return list(zip(parts[::2], parts[1::2], strict=False))


def test_names_survive(run: Runner, store: Store) -> None:
    files = [store(name, f"content of {name!r}") for name in HOSTILE]
    result = run(tool(PRINT_PATHS, inputs=FILES, outputs=FILE_OUT), x=files)
    folder = run.root / "task-1/sbgenomics/Projects/project-uuid"
    assert seen(text(result)) == [(str(folder / name), f"content of {name!r}") for name in HOSTILE]


def test_names_survive_as_outputs_and_in_the_working_directory(run: Runner, store: Store) -> None:
    listing = {"InitialWorkDirRequirement": {"listing": ["$(inputs.x)"]}}
    outputs = {"out": {"type": "File[]", "outputBinding": {"glob": "*"}}}
    files = [store(name, name) for name in HOSTILE]
    document = tool(
        "", baseCommand="true", inputs={"x": "File[]"}, outputs=outputs, requirements=listing
    )
    result = run(document, x=files)
    assert result.succeeded, result.message
    assert {Path(file["path"]).read_text() for file in result.outputs["out"]} == set(HOSTILE)
    assert all(Path(file["path"]).is_relative_to(run.root) for file in result.outputs["out"])


def test_equal_names_go_to_numbered_folders(run: Runner, store: Store) -> None:
    files = [store("x", "first"), store("x", "second"), store("1", "name of a folder")]
    result = run(tool(PRINT_PATHS, inputs=FILES, outputs=FILE_OUT), x=[*files, files[0]])
    folder = run.root / "task-1/sbgenomics/Projects/project-uuid"
    assert seen(text(result)) == [
        (f"{folder}/x", "first"),
        (f"{folder}/1/x", "second"),
        (f"{folder}/1/1", "name of a folder"),
        (f"{folder}/x", "first"),
    ]


def test_secondary_files_stay_with_their_file(run: Runner, store: Store) -> None:
    def bam(content: str) -> dict[str, Any]:
        return {**store("a.bam", content), "secondaryFiles": [store("a.bam.bai", content)]}

    inputs = {"x": {"type": "File[]", "secondaryFiles": [".bai"], "inputBinding": {}}}
    script = 'for path in "$@"; do cat "$path" "$path.bai"; done > out'
    files = [store("a.bam.bai", "other"), bam("1"), bam("2")]
    result = run(tool(script, inputs=inputs, outputs=FILE_OUT), x=files[1:])
    assert text(result) == "1122"
    missing = run(tool(script, inputs=inputs, outputs=FILE_OUT), x=[store("b.bam")])
    assert "Missing required secondary file 'b.bam.bai'" in missing.message


def test_directories_are_built_from_their_listing(run: Runner, store: Store) -> None:
    inner = {"class": "Directory", "basename": "sub", "listing": [store("y z", "deep")]}
    empty = {"class": "Directory", "basename": "empty", "listing": []}
    folder = {"class": "Directory", "basename": "d", "listing": [store("x"), inner, empty]}
    script = 'cd "$1"; find . | sort > "$HOME/out"; cat "sub/y z" >> "$HOME/out"'
    inputs = {"d": {"type": "Directory", "inputBinding": {}}}
    result = run(tool(script, inputs=inputs, outputs=FILE_OUT), d=folder)
    assert text(result) == ".\n./empty\n./sub\n./sub/y z\n./x\ndeep"
    assert result.command_line.endswith("/sbgenomics/Projects/project-uuid/d")


@pytest.mark.parametrize("version", ["v1.0", "v1.1", "v1.2"])
def test_listing_of_a_directory_input(run: Runner, store: Store, version: str) -> None:
    folder = {"class": "Directory", "basename": "d", "listing": [store("x"), store("y")]}
    document = tool(
        'echo "$1" > out',
        cwlVersion=version,
        inputs={"d": {"type": "Directory"}},
        arguments=["$(inputs.d.listing.length)"],
        requirements={"InlineJavascriptRequirement": {}},
        outputs=FILE_OUT,
    )
    if version != "v1.0":
        document["requirements"]["LoadListingRequirement"] = {"loadListing": "shallow_listing"}
    assert text(run(document, d=folder)) == "2\n"


def test_input_passed_through_as_output(run: Runner, store: Store) -> None:
    inputs = {"x": {"type": "File", "inputBinding": {}}}
    result = run(tool('ln -s "$1" out', inputs=inputs, outputs=FILE_OUT), x=store("a", "bytes"))
    assert text(result) == "bytes"


def test_standard_input(run: Runner, store: Store) -> None:
    document = tool("cat > out", inputs={"x": "File"}, stdin="$(inputs.x.path)", outputs=FILE_OUT)
    assert text(run(document, x=store("in put", "bytes"))) == "bytes"


def test_links_are_for_folders_that_nobody_can_write_to(tmp_path: Path, store: Store) -> None:
    stored = store("x")
    blob = staging.local_path(stored["location"])
    blob.chmod(0o640)
    folder = staging.InputFolder(tmp_path / "inputs", is_read_only=True)
    folder.root.mkdir()
    folder.stage(stored)
    assert (folder.root / "x").samefile(blob)
    assert blob.stat().st_mode & 0o777 == 0o640


def test_small_files_are_copied_where_a_task_could_write_to_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Store
) -> None:
    monkeypatch.setattr(staging, "_COPIED", 5)
    small, kept, large = store("small", "12345"), store("kept", "1"), store("large", "123456")
    folder = staging.InputFolder(tmp_path / "inputs")
    folder.root.mkdir()
    for stored in (small, kept, large):
        folder.stage(stored)
    is_link = (folder.root / "large").samefile(staging.local_path(large["location"]))
    # Where the file system can share bytes between files, a copy costs nothing either.
    assert is_link or (folder.root / "large") in folder._copies
    assert folder.changed == []
    (folder.root / "small").chmod(0o644)
    (folder.root / "small").write_text("other")
    assert folder.changed == [folder.root / "small"]
    assert staging.local_path(small["location"]).read_text() == "12345"


def test_writable_copy_leaves_the_stored_file_alone(run: Runner, store: Store) -> None:
    stored = store("x", "before")
    entry = {"entry": "$(inputs.x)", "entryname": "out", "writable": True}
    requirement = {"InitialWorkDirRequirement": {"listing": [entry]}}
    document = tool(
        "echo after > out", inputs={"x": "File"}, outputs=FILE_OUT, requirements=requirement
    )
    assert text(run(document, x=stored)) == "after\n"
    assert staging.local_path(stored["location"]).read_text() == "before"


def test_across_file_systems_inputs_are_copied(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, store: Store
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(staging.errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    folder = tmp_path / "inputs"
    folder.mkdir()
    staging.InputFolder(folder).stage(store("x", "bytes"))
    assert (folder / "x").read_text() == "bytes"
    assert (folder / "x").stat().st_mode & 0o777 == 0o444


def test_document_cannot_name_files_of_the_host(run: Runner) -> None:
    default = {"class": "File", "location": "file:///etc/hostname"}
    inputs = {"x": {"type": "File", "default": default, "inputBinding": {}}}
    result = run(tool('cat "$1"', inputs=inputs))
    assert "file:///etc/hostname is not a file of the platform" in result.message


def test_arrays_on_the_command_line(run: Runner, store: Store) -> None:
    inputs = {
        "joined": {"type": "File[]", "inputBinding": {"itemSeparator": ",", "position": 1}},
        "named": {
            "type": "string[]",
            "inputBinding": {"position": 2, "valueFrom": "$(self.length):$(self[1])"},
        },
        "prefixed": {
            "type": {"type": "array", "items": "string", "inputBinding": {"prefix": "-p"}},
            "inputBinding": {"position": 3},
        },
    }
    document = tool(
        'echo "$@" > out',
        inputs=inputs,
        outputs=FILE_OUT,
        requirements={"InlineJavascriptRequirement": {}},
    )
    words = {"named": ["a", "b"], "prefixed": ["c", "d"]}
    result = run(document, joined=[store("1"), store("2")], **words)
    folder = run.root / "task-1/sbgenomics/Projects/project-uuid"
    assert text(result) == f"{folder}/1,{folder}/2 2:b -p c -p d\n"


def test_many_inputs_take_linear_time(run: Runner, store: Store) -> None:
    files = [store(f"{number}.txt") for number in range(3000)]
    before = time.monotonic()
    result = run(tool("echo $# > out", inputs=FILES, outputs=FILE_OUT), x=files)
    assert text(result) == "3000\n"
    # cwltool alone needs about 20 seconds here, and four times that for twice as many.
    assert time.monotonic() - before < 8
