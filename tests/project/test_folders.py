"""What is in a folder, also behind links."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_cavatica.project.folders import levels


def seen(folder: Path) -> dict[str, tuple[list[str], list[str], list[str]]]:
    return {
        str(level.folder.relative_to(folder)): (level.folders, level.files, level.circles)
        for level in levels(str(folder))
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def test_a_folder_is_entered_by_each_link_that_leads_to_it(folder: Path) -> None:
    """Two subfolders with a link to one and the same: neither may be empty in a task."""
    shared = folder.parent / "shared"
    shared.mkdir()
    (shared / "x").touch()
    for name in ("one", "two"):
        (folder / name).mkdir()
        (folder / name / "link").symlink_to(shared)
    assert seen(folder) == {
        ".": (["one", "two"], [], []),
        "one": (["link"], [], []),
        "one/link": ([], ["x"], []),
        "two": (["link"], [], []),
        "two/link": ([], ["x"], []),
    }


def test_circles_end(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "up").symlink_to("..")
    (folder / "self").symlink_to(".")
    (folder / "nowhere").symlink_to("missing")
    assert seen(folder) == {
        ".": (["a"], ["nowhere"], ["self"]),
        "a": (["b"], [], []),
        "a/b": ([], [], ["up"]),
    }


def test_links_to_each_other_end(folder: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        (folder / one).mkdir()
        (folder / one / "link").symlink_to(folder / other)
    found = seen(folder)
    assert found["a/link"] == ([], [], ["link"])
    assert found["b/link"] == ([], [], ["link"])


def test_the_folder_above_is_entered_but_not_this_one_in_it(folder: Path) -> None:
    (folder.parent / "x").touch()
    (folder / "above").symlink_to("..")
    assert seen(folder) == {".": (["above"], [], []), "above": ([], ["x"], ["folder"])}
