"""The example computes what it says: the planted variants, all of them and no others."""

import csv
import gzip
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "example_workflow"
PRODUCTS = ("results", "logs", "benchmarks", ".snakemake", "__pycache__")


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    # The rules call `python`: let them find the one that runs the tests.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example after a plain local run."""
    folder = tmp_path_factory.mktemp("example") / "example_workflow"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(*PRODUCTS))
    result = run("-m", "snakemake", "--cores", "2", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


def check(folder: Path, found: Path) -> subprocess.CompletedProcess[str]:
    return run("check.py", "--found", str(found), cwd=folder)


def test_data_can_be_regenerated(tmp_path: Path) -> None:
    result = run("data/plant_variants.py", "--output", str(tmp_path), cwd=EXAMPLE)
    assert result.returncode == 0, result.stderr

    committed = EXAMPLE / "data"
    assert (tmp_path / "truth.tsv").read_bytes() == (committed / "truth.tsv").read_bytes()
    names = sorted(path.name for path in (committed / "reads").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "reads").iterdir())
    for name in names:
        new, old = ((folder / "reads" / name).read_bytes() for folder in (tmp_path, committed))
        assert gzip.decompress(new) == gzip.decompress(old)
        if "zlib-ng" not in zlib.ZLIB_RUNTIME_VERSION:  # it compresses the same text differently
            assert new == old


def test_exactly_the_planted_variants_are_found(finished: Path) -> None:
    result = check(finished, finished / "results" / "variants.tsv")
    assert result.returncode == 0, result.stdout
    # Three isolates with calls, so that an empty truth or an empty result cannot pass.
    counts = [line.split("\t") for line in result.stdout.splitlines() if line.startswith("iso")]
    assert [row[1:] for row in counts] == [
        ["18", "18", "0", "0"],
        ["19", "19", "0", "0"],
        ["14", "14", "0", "0"],
        ["0", "0", "0", "0"],
    ]


def test_checkpoint_drops_the_failed_library_and_the_lost_region(finished: Path) -> None:
    verdicts = read_table(finished / "results" / "selection" / "samples.tsv")
    assert {row["sample"]: row["verdict"] for row in verdicts} == {
        "isolate1": "pass",
        "isolate2": "pass",
        "isolate3": "pass",
        "isolate4": "fail",
    }
    regions = read_table(finished / "results" / "selection" / "regions.tsv")
    assert "isolate4" not in {row["sample"] for row in regions}
    (lost,) = (row for row in read_table(EXAMPLE / "data" / "truth.tsv") if "<" in row["alt"])
    start = int(lost["pos"])
    end = start + int(lost["alt"].strip("<>").removeprefix("DEL:"))
    # Regions end with a window of 500 bases, so one may reach that far into the deletion.
    for row in regions:
        if row["sample"] == lost["sample"]:
            assert int(row["end"]) < start + 500 or int(row["start"]) > end - 500


def test_summary_shows_every_sample_and_call(finished: Path) -> None:
    page = (finished / "results" / "summary.html").read_text()
    assert page.count("<svg") == 4
    assert page.count("<title>") == 1 + len(read_table(finished / "results" / "variants.tsv"))


def test_intermediate_alignments_are_removed(finished: Path) -> None:
    assert not list(finished.glob("results/aligned/*/unsorted.bam"))
    assert len(list(finished.glob("results/aligned/*/sorted.bam"))) == 4


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param(lambda lines: [*lines[:5], *lines[6:]], "missed: ", id="removed"),
        pytest.param(lambda lines: [*lines, lines[5]], "differ", id="repeated"),
        pytest.param(
            lambda lines: [*lines, "isolate2\t100\tA\tC\t30\t1.000\n"], "false: ", id="added"
        ),
        pytest.param(
            lambda lines: [*lines, "stranger\t100\tA\tC\t30\t1.000\n"], "false: ", id="new sample"
        ),
        pytest.param(lambda lines: lines[:1], "missed: ", id="empty"),
    ],
)
def test_check_notices_a_difference(
    finished: Path, tmp_path: Path, change: Callable[[list[str]], list[str]], complaint: str
) -> None:
    lines = (finished / "results" / "variants.tsv").read_text().splitlines(keepends=True)
    altered = tmp_path / "variants.tsv"
    altered.write_text("".join(change(lines)))
    result = check(finished, altered)
    assert result.returncode == 1
    assert complaint in result.stdout
