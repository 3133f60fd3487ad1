"""Names and paths: what the platform stores, and what the workflow means by it."""

from __future__ import annotations

import posixpath
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemake_executor_cavatica.api import ConfigurationError
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

ALLOWED = re.compile(r"(?!__)[A-Za-z0-9_.-]+")
TRICKY = ["_", "_.", ".", "..", "_.41", "_.5F.41", "__x", "_é", "\udcc3\udca9", "é", "\ud800"]
TRICKY += ["_.2E", "a/b", "new\nline", "_\x00", "___", "_.zz", "日本", "_._.41", "-", " "]

names = st.one_of(
    st.text(st.characters(), min_size=1, max_size=20),  # surrogates too
    st.text(st.sampled_from("_.41Fe-/é\udc80\ud800\n"), min_size=1, max_size=12),
    st.sampled_from(TRICKY),
)


@given(names)
def test_any_folder_name_survives_the_way_there_and_back(name: str) -> None:
    assert decode_folder(encode_folder(name)) == name


@given(names)
def test_encoded_folder_names_obey_the_platforms_rule(name: str) -> None:
    encoded = encode_folder(name)
    assert ALLOWED.fullmatch(encoded)
    assert encoded not in {".", ".."}


@given(names, names)
def test_no_two_folder_names_share_an_encoding(one: str, other: str) -> None:
    assert (encode_folder(one) == encode_folder(other)) == (one == other)


@pytest.mark.parametrize("one", TRICKY)
def test_tricky_folder_names_are_told_apart(one: str) -> None:
    assert [other for other in TRICKY if encode_folder(other) == encode_folder(one)] == [one]


@pytest.mark.parametrize("name", ["results", "a_b", "_x", "x__y", ".hidden", "v1.2-3", "a._b"])
def test_folder_names_that_are_allowed_stay(name: str) -> None:
    assert encode_folder(name) == name


@given(st.text(st.sampled_from("_.0123456789ABCDEFax"), max_size=20))
def test_a_folder_name_decodes_only_if_it_was_encoded(name: str) -> None:
    decoded = decode_folder(name)
    assert decoded == name or encode_folder(decoded) == name


@pytest.mark.parametrize("name", ["_.FF", "_.41", "_.C3", "x_.", "__x", "_.c3_.a9"])
def test_folders_made_by_others_keep_their_names(name: str) -> None:
    assert decode_folder(name) == name


@given(st.text(st.sampled_from("abcd é日"), min_size=40, max_size=300))
def test_a_folder_name_that_gets_too_long_is_refused_by_name(name: str) -> None:
    # Encoding in pieces tells how long it gets: these have no `_`, so the pieces do not meet.
    name = name.replace("_", "-")
    length = sum(len(encode_folder(f"x{character}")) - 1 for character in name)
    if length <= MAX_NAME:
        assert len(encode_folder(name)) == length
    else:
        with pytest.raises(ConfigurationError, match=f"(?s)too long .* {length} .* {MAX_NAME} "):
            encode_folder(name)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("cavatica://me/p", ""),
        ("cavatica://me/p/", ""),
        ("cavatica://me/p/a/b.txt", "a/b.txt"),
        ("cavatica://me/p/a//b/./c/", "a/b/c"),
        ("cavatica://me/p//a", "a"),
        ("cavatica://me/p///a", "a"),
        ("cavatica://me/p/.", ""),
        ("cavatica://me/p/a b/é?x#y", "a b/é?x#y"),
        ("cavatica://me/p/...", "..."),
    ],
)
def test_storage_queries_are_normalised(query: str, path: str) -> None:
    assert ProjectPath.parse(query) == ProjectPath("me/p", path)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("s3://bucket/x", "start with cavatica://"),
        ("cavatica:/me/p/x", "start with cavatica://"),
        ("cavatica://", "owner and project"),
        ("cavatica://me", "owner and project"),
        ("cavatica://me/", "owner and project"),
        ("cavatica:///p/x", "owner and project"),
        ("cavatica://../../x", "owner and project"),
        ("cavatica://me/../x", "owner and project"),
        ("cavatica://./p/x", "owner and project"),
        ("cavatica://me/p/../x", "'..'"),
        ("cavatica://me/p/a/..", "'..'"),
    ],
)
def test_wrong_storage_queries_are_explained(query: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        ProjectPath.parse(query)


@given(st.text(st.sampled_from("ab./ é"), max_size=12))
def test_parsing_a_query_again_changes_nothing(path: str) -> None:
    try:
        parsed = ProjectPath.parse(f"cavatica://me/p/{path}")
    except ValueError:
        assert ".." in path
        return
    assert not parsed.path.startswith("/")
    assert ProjectPath.parse(parsed.query) == parsed


def test_the_folder_of_an_output_is_absolute_and_encoded() -> None:
    assert ProjectPath("me/p", "").folder_location == "/"
    assert ProjectPath("me/p", "a b/__c").folder_location == "/a_.20b/_.5F_c"


def test_a_project_path_knows_its_parts() -> None:
    place = ProjectPath("me/p", "a/b.txt")
    assert (place.name, place.parent, place.parent.parent.parent) == (
        "b.txt",
        ProjectPath("me/p", "a"),
        ProjectPath("me/p", ""),
    )
    assert str(place.parent / "c") == "cavatica://me/p/a/c"


paths = st.one_of(
    st.text(st.sampled_from("ab./"), min_size=1, max_size=10),
    st.lists(
        st.sampled_from(["..", ".", "a", "", "folder", ".cavatica", "outside"]),
        min_size=1,
        max_size=5,
    )
    .map("/".join)
    .filter(bool),
)


@given(paths)
def test_whatever_path_stays_below_the_working_directory(path: str) -> None:
    staged = in_task(path)
    assert not posixpath.isabs(staged)
    assert posixpath.normpath(staged) == staged
    assert ".." not in staged.split("/")
    assert len(staged.split("/")[-1]) > 0


@given(paths, paths)
def test_different_files_have_different_places_in_a_task(one: str, other: str) -> None:
    same = posixpath.normpath(one) == posixpath.normpath(other)
    assert (in_task(one) == in_task(other)) == same


@pytest.mark.parametrize(
    "path", ["..", "/", "../..", "../folder", "/folder", ".cavatica/outside/x/..", "//"]
)
def test_folders_above_have_places_that_hold_nothing_else(path: str) -> None:
    others = ["..", "/", "../..", "../folder", "/folder", "//", "../x", "/x", "../../x"]
    mine = in_task(path)
    for other in others:
        if posixpath.normpath(other) != posixpath.normpath(path):
            assert in_task(other) != mine
            assert not in_task(other).startswith(f"{mine}/")


def test_relative_paths_stay_and_others_keep_their_name() -> None:
    assert in_task("a/b.txt") == "a/b.txt"
    assert in_task("./a//b.txt") == "a/b.txt"
    assert in_task("a/../b.txt") == "b.txt"
    assert in_task("..a/x") == "..a/x"
    assert in_task("/ref/genome.fa.gz").endswith("/genome.fa.gz")


@pytest.mark.parametrize("path", ["x" * 255, f"a/{'é' * 127}/b", f"{'x' * 255}/{'日' * 85}"])
def test_names_that_a_file_system_can_hold_are_taken(path: str) -> None:
    check_path(path)


@pytest.mark.parametrize(
    ("path", "size"), [("a/" + "x" * 256, 256), ("é" * 128, 256), ("日" * 100 + "/b", 300)]
)
def test_a_name_that_is_too_long_is_refused(path: str, size: int) -> None:
    with pytest.raises(ConfigurationError, match=f"has {size} bytes as UTF-8; a task can hold 255"):
        check_path(path)


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not valid UTF-8"):
        check_path("a/\udcff")
    with pytest.raises(ConfigurationError, match="NUL"):
        check_path("a/\0")


def test_an_output_needs_folders_that_the_platform_can_name() -> None:
    long = "é" * 40  # 320 characters when encoded
    check_output(ProjectPath("me/p", long), folder=False)
    check_output(LocalPath(f"{long}/x"), folder=False)
    for place, folder in ((ProjectPath("me/p", f"{long}/x"), False), (LocalPath(long), True)):
        with pytest.raises(ConfigurationError, match="too long for the platform: 320 characters"):
            check_output(place, folder=folder)
