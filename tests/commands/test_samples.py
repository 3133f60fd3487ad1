"""`samples`: tables of files and their metadata."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from command_runs import Result, Server

from snakemake_executor_cavatica.commands import main

HOSTILE = {"a\tb": 'tab\tand "quote"', "line": "one\ntwo", "path": "mine", "=1+1": "é'; rm -rf /"}


class Samples:
    """A project with files of samples, and the command."""

    def __init__(self, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
        self.server = server
        self.capsys = capsys

    def put(self, path: str, /, **metadata: str) -> str:
        file = self.server.put(path)
        if metadata:
            self.server.client.edit_files([{"id": file.id, "metadata": metadata}])
        return f"cavatica://{self.server.project}/{path}"

    def __call__(self, *words: str) -> Result:
        self.capsys.readouterr()
        status = main.main(["samples", *words])
        out, err = self.capsys.readouterr()
        assert "Traceback" not in err
        return Result(status, out, err)

    def rows(self, *words: str) -> list[dict[str, str]]:
        result = self(*words)
        assert result.status == 0, result.err
        return list(csv.DictReader(io.StringIO(result.out), delimiter="\t"))


@pytest.fixture
def samples(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Samples:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return Samples(server, capsys)


def test_pairs_by_sample(samples: Samples) -> None:
    places = {
        (sample, read): samples.put(
            f"reads/{sample}_{read}.fq",
            sample_id=sample,
            paired_end=read,
            library_id=f"L{read}",
            case_id="C",
        )
        for sample in "AB"
        for read in "12"
    }
    alone = samples.put("reads/single.fq", sample_id="C", snakemake_md5="0" * 32)
    lost = samples.put("reads/README.txt")
    samples.put("snakemake/inputs/x.txt", sample_id="A")
    rows = samples.rows("--group-by", "sample_id")
    assert [row["sample_id"] for row in rows] == ["A", "B", "C"]
    assert samples.rows("--group-by", "sample_id", "--folder", "/snakemake/") == rows
    assert "--folder '..' is not" in samples("--folder", "..").err
    for row in rows[:2]:
        assert [row["r1"], row["r2"]] == [places[row["sample_id"], read] for read in "12"]
        assert row["case_id"] == "C"
    assert list(rows[0]) == [
        *("sample_id", "r1", "r2", "file", "r1_id", "r2_id", "file_id", "case_id")
    ]
    assert rows[2]["file"] == alone
    told = samples("--group-by", "sample_id").err
    assert f"1 of the files have no sample_id, and are left out: {lost}." in told
    assert f"1 of the files have no paired_end, and are in the column `file`: {alone}." in told
    assert "3 samples of 6 files." in told


def test_a_row_a_file(samples: Samples, tmp_path: Path) -> None:
    hostile = samples.put("reads/a\tb '\"\n.txt", **HOSTILE)
    samples.put("other/b.txt", sample_id="B")
    [row] = samples.rows("--where", "path=mine")
    assert row["path"] == hostile
    assert {**HOSTILE, "metadata_path": "mine", "path": hostile}.items() <= row.items()
    assert row["size"] == "7"
    for form in ("tsv", "csv", "json"):
        assert samples("-o", str(tmp_path / f"samples.{form}")).out == ""
    text = (tmp_path / "samples.csv").read_text()
    assert len(list(csv.DictReader(io.StringIO(text)))) == 2
    assert len(json.loads((tmp_path / "samples.json").read_text())) == 2
    place = f"cavatica://{samples.server.project}"
    assert [row["sample_id"] for row in samples.rows(f"{place}/other")] == ["B"]
    assert len(samples.rows("--where", "sample_id=B", "--where", "sample_id=C")) == 1
    assert [row["path"] for row in samples.rows(f"{place}/*/b.*")] == [f"{place}/other/b.txt"]


def test_mistakes(samples: Samples, tmp_path: Path) -> None:
    def told(*words: str) -> str:
        result = samples(*words)
        assert result.status == 1
        [line] = result.err.splitlines()
        return line

    assert "There are no files." in told()
    one, two = (samples.put(f"reads/{name}.fq", sample_id="A", paired_end="1") for name in "xy")
    twice = told("--group-by", "sample_id", "-o", str(tmp_path / "samples.tsv"))
    assert f"sample_id=A has two files with paired_end=1: {one} and {two}." in twice
    assert not list(tmp_path.iterdir())
    samples.put("reads/z.fq", sample_id="B", paired_end="left")
    wrong = told("--group-by", "sample_id", "--where", "sample_id=B")
    assert "z.fq has paired_end='left' in its metadata" in wrong
    assert "None of the 3 files has case_id and x" in told("--group-by", "case_id,x")
    assert "has that metadata (--where)" in told("--where", "sample_id=C")
    assert "'sample_id' is not of the form key=value" in told("--where", "sample_id")
    assert "names no key" in told("--group-by", ",")
    assert "does not end with .tsv" in told("-o", "samples.xlsx")
    assert "cannot be written: No such file or directory" in told("-o", "no/samples.tsv")
    assert "There is no project no/body" in told("--project", "no/body")


def test_the_example_of_the_documents(samples: Samples, tmp_path: Path) -> None:
    """Its table is read with pandas, and its results have the metadata of their sample."""
    text = (Path(__file__).parents[2] / "docs" / "data.md").read_text()
    [snakefile] = re.findall(r"^```snakemake\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    (tmp_path / "Snakefile").write_text(snakefile)
    for sample in "AB":
        for read in "12":
            metadata = {"sample_id": sample, "paired_end": read, "case_id": "C"}
            samples.put(f"reads/{sample}_{read}.fq", **metadata)
    server = samples.server
    assert samples("--group-by", "sample_id", "-o", str(tmp_path / "samples.tsv")).status == 0
    done = server.command(
        *("snakemake", "--executor", "cavatica", "--jobs", "2"),
        *("--default-storage-provider", "cavatica"),
        *("--default-storage-prefix", f"cavatica://{server.project}/results"),
        cwd=tmp_path,
    )
    assert done.status == 0, done.err
    for sample in "AB":
        file = server.find(f"results/counts/{sample}.txt")
        assert file is not None
        assert file.metadata == {"sample_id": sample, "case_id": "C"}
    moved = [one["path"] for one in server.requests() if one["path"].endswith("/download_info")]
    assert moved == []
