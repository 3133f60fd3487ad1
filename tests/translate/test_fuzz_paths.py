"""Names of every kind: encoded without loss or collision, and never more than names to a shell."""

from __future__ import annotations

import posixpath
import re
import shlex
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from translated_jobs import Task, local, plan

from snakemake_executor_cavatica.api import ConfigurationError
from snakemake_executor_cavatica.in_task.names import COMMAND_NAME, MEASURED_NAME, SMALL_OUTPUTS
from snakemake_executor_cavatica.project.paths import (
    MAX_NAME,
    LocalPath,
    ProjectPath,
    check_output,
    check_path,
    decode_folder,
    encode_folder,
    in_task,
)
from snakemake_executor_cavatica.read.facts import TMPDIR_PLACEHOLDER
from snakemake_executor_cavatica.translate.command import command_file

STORABLE = re.compile(r"(?!__)[A-Za-z0-9_.-]{1,255}")
PIECES = [
    "'",
    '"',
    "$(touch pwned)",
    "`touch pwned`",
    "\\",
    "\n",
    "\t",
    "\x1b",
    " ",
    "-",
    "*",
    "[a]",
]
PIECES += [
    "?",
    "~",
    "#",
    ";",
    "&",
    "|",
    "<",
    ">",
    "%s",
    "{x}",
    "!",
    "=",
    "é",
    "e\u0301",
    "👩\u200d🔬",
]
PIECES += [
    "\u202e",
    "_.",
    "__",
    "_.5F",
    ".",
    "..",
    "<tmpdir-0>",
    "[snakemake-cavatica] error x",
    "A",
]
PIECES += [TMPDIR_PLACEHOLDER.strip("\0"), "a"]

any_name = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=300)
names = st.one_of(any_name, st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join))
file_names = names.filter(
    lambda name: (
        name not in {".", ".."} and len(name.encode("utf-8", "surrogatepass")) <= 240
        and not any("\ud800" <= character <= "\udfff" for character in name)
    )
)  # fmt: skip
paths = st.lists(st.one_of(names, st.sampled_from(["..", ".", "", ".cavatica"])), min_size=1).map(
    "/".join
)


def encoded(name: str) -> str | None:
    """None where the platform could not hold it, which is told."""
    try:
        return encode_folder(name)
    except ConfigurationError:
        return None


@given(names)
def test_a_folder_name_is_stored_without_loss_or_refused(name: str) -> None:
    stored = encoded(name)
    if stored is not None:
        assert STORABLE.fullmatch(stored)
        assert stored not in {".", ".."}
        assert decode_folder(stored) == name


@given(names, names)
def test_two_folders_never_become_one(one: str, other: str) -> None:
    if one != other:
        stored = encoded(one)
        assert stored is None or stored != encoded(other)


@given(st.text(st.sampled_from("_.0123456789ABCDEFabcdef-"), min_size=1, max_size=40))
def test_folders_of_others_never_become_one(name: str) -> None:
    """Whatever folders there are on the platform, no two of them look the same."""
    shown = decode_folder(name)
    if shown != name:
        assert encode_folder(shown) == name


@given(paths)
def test_a_place_in_a_task_is_inside_of_it(path: str) -> None:
    place = in_task(path)
    assert not posixpath.isabs(place)
    assert ".." not in place.split("/")
    assert posixpath.normpath(place) == place


@given(paths)
def test_what_is_accepted_as_output_can_be_stored(path: str) -> None:
    query = ProjectPath("me/p", "/".join(part for part in path.split("/") if part.strip(".")))
    for place in (LocalPath(path), query):
        try:
            check_output(place, folder=False)
        except ConfigurationError:
            continue
        assert all(len(part.encode()) <= MAX_NAME for part in place.path.split("/"))
        if place is query:
            folders = filter(None, place.parent.folder_location.split("/"))
            assert all(map(STORABLE.fullmatch, folders))


@given(st.text(st.characters(), max_size=300))
def test_a_path_is_refused_in_words_or_fits_a_file_system(path: str) -> None:
    try:
        check_path(path)
    except ConfigurationError:
        return
    assert "\0" not in path
    assert max(len(part.encode()) for part in path.split("/")) <= MAX_NAME


@given(st.lists(st.sampled_from([*PIECES, TMPDIR_PLACEHOLDER, "<tmpdir-", "0>", "1>"]), max_size=8))
def test_only_our_own_mark_is_replaced(pieces: list[str]) -> None:
    command = "".join(pieces)
    written = command_file(plan(command))
    if TMPDIR_PLACEHOLDER not in pieces:
        assert written == f"{command}\n"
        return
    mark = next(f"<tmpdir-{n}>" for n in range(99) if f"<tmpdir-{n}>" not in command)
    assert "\0" not in written
    assert written.replace(mark, TMPDIR_PLACEHOLDER) == f"{command}\n"


@pytest.mark.parametrize("shell", ["dash", "bash"])
@settings(max_examples=25, deadline=None)
@given(names=st.lists(file_names, min_size=1, max_size=4, unique=True))
def test_a_job_leaves_exactly_its_files(shell: str, names: list[str]) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    inputs = [f"in {number}/{name}" for number, name in enumerate(names)]
    outputs = [f"out/{name}/{number}{name}" for number, name in enumerate(names)]
    commands = [
        f"printf %s {shlex.quote(name)} | cat {shlex.quote(source)} - > {shlex.quote(target)}"
        for name, source, target in zip(names, inputs, outputs, strict=True)
    ]
    job = plan(
        f"test -d '{TMPDIR_PLACEHOLDER}'; " + "; ".join(commands),
        inputs=[local(path) for path in inputs],
        outputs=[local(path) for path in outputs],
    )
    with tempfile.TemporaryDirectory() as folder:
        task = Task(Path(folder), (program,))
        stored = {path: task.store(str(number)) for number, path in enumerate(inputs)}
        ran = task.run(job, stored)
        assert ran.status == 0, ran.stderr
        for number, name in enumerate(names):
            assert ran.output(number).name == f"{number}{name}"
            assert ran.text(number) == f"content\n{name}".replace("\r\n", "\n").replace("\r", "\n")
        assert not list(task.root.rglob("pwned"))
        left = {path.name for path in ran.task.iterdir()}
        own = {name for name in left if name.startswith(MEASURED_NAME)}
        left -= own
        assert own >= {MEASURED_NAME}
        if len(names) > 1:
            left.remove(SMALL_OUTPUTS)
        assert left == {"out", "work", "snakemake_job.sh", COMMAND_NAME, f"{COMMAND_NAME}.filled"}
        beside = {path.name for path in (ran.task / "work").iterdir()}
        assert beside == {"out", *(path.split("/")[0] for path in inputs)}
