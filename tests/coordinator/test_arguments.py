"""Snakemake's arguments, as they have to be on another machine."""

from __future__ import annotations

from pathlib import Path

from snakemake_executor_cavatica.coordinator.arguments import Place, Profiles, moved_arguments


def test_paths_below_the_workflow_are_told_from_where_it_begins(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path / "work")
    given = [
        *("--snakefile", f"{tmp_path}/Snakefile", f"--directory={tmp_path}/work/x"),
        *("--config", f"data={tmp_path}/a", "other=/etc/hosts", "-n"),
    ]
    moved = moved_arguments(given, place, Profiles(), ["--executor", "cavatica"])
    assert moved.words == (
        *("--snakefile", "../Snakefile", "--directory=x", "--config", "data=../a"),
        *("other=/etc/hosts", "-n", "--executor", "cavatica", "--workflow-profile", "none"),
    )
    assert moved.files == {}


def test_targets_stay_behind_the_options(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path)
    moved = moved_arguments(["-j1", "--", "a.txt"], place, Profiles(), ["--x"])
    assert moved.words == ("-j1", "--x", "--workflow-profile", "none", "--", "a.txt")


def test_profiles_travel_along(tmp_path: Path) -> None:
    """Those of the user, from wherever they are, and that of the workflow where it is."""
    here, mine = tmp_path / "here", tmp_path / "mine"
    for folder in (here / "profiles" / "default", mine):
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text("jobs: 1\n")
    (mine / "reads.fastq").write_bytes(b"x" * 2_000_000)
    profiles = Profiles((mine / "config.yaml",), here / "profiles" / "default" / "config.yaml")
    given = ["--profile", "mine", "--profile=mine", "all"]
    moved = moved_arguments(given, Place(here, here), profiles, [])
    assert moved.words == (
        *("all", "--profile", ".profile0/config.yaml"),
        *("--workflow-profile", "profiles/default/config.yaml"),
    )
    assert moved.files == {
        ".profile0/config.yaml": mine / "config.yaml",
        "profiles/default/config.yaml": here / "profiles" / "default" / "config.yaml",
    }
