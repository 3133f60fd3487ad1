"""Patterns of paths: what they match, and what they leave alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemake_executor_cavatica.read.patterns import Patterns, matching_files

WORKDIR = Path("/project/run")


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("a.txt", "a.txt", True),
        ("a.txt", "sub/a.txt", False),
        ("./a.txt", "a.txt", True),
        ("/project/run/a.txt", "a.txt", True),
        ("*.txt", "a.txt", True),
        ("*.txt", "sub/a.txt", False),
        ("*.txt", ".a.txt", True),
        ("**/*.txt", "a.txt", True),
        ("**/*.txt", "x/y/a.txt", True),
        ("x/**/a.txt", "x/a.txt", True),
        ("x/**/a.txt", "x/y/z/a.txt", True),
        ("x/**/a.txt", "y/a.txt", False),
        ("x", "x/y/a.txt", True),
        ("x/", "x/y/a.txt", True),
        ("x", "xy/a.txt", False),
        ("x/**", "x/a.txt", True),
        ("**", ".hidden/a.txt", True),
        ("../config/*", "../config/a.txt", True),
        ("config", "../config/a.txt", False),
        ("[ab].txt", "b.txt", True),
        ("A.txt", "a.txt", False),
    ],
)
def test_what_a_pattern_excludes(pattern: str, path: str, *, expected: bool) -> None:
    patterns = Patterns(exclude=("nothing", pattern))
    assert patterns.excludes(WORKDIR / path, WORKDIR) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", {"a.txt", "x/b.txt"}),
        ("**/*.txt", {"a.txt", "x/b.txt"}),
        ("x", {"x/b.txt"}),
        ("x/", {"x/b.txt"}),
        (".h/*", {".h/c.txt"}),
        ("x/.d.txt", {"x/.d.txt"}),
        ("../e.txt", {"../e.txt"}),
        ("env", set()),
        ("env/bin/*", {"env/bin/f.py"}),
    ],
)
def test_which_files_a_pattern_names(tmp_path: Path, pattern: str, expected: set[str]) -> None:
    workdir = tmp_path / "run"
    names = ["a.txt", "x/b.txt", ".h/c.txt", "x/.d.txt", "env/pyvenv.cfg", "env/bin/f.py"]
    for name in [*names, "../e.txt"]:
        path = workdir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = set(matching_files(pattern, workdir))
    assert found == {Path(workdir, name).resolve() for name in expected}
