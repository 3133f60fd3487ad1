"""Which files of a workflow reach its tasks, and which do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from workflow_runs import TIMEOUT, Workflow

from snakemake_executor_cavatica.api import ConfigurationError
from snakemake_executor_cavatica.in_task.names import PLUGINS_FOLDER
from snakemake_executor_cavatica.project.fetch_store import fetch
from snakemake_executor_cavatica.project.index import ProjectIndex
from snakemake_executor_cavatica.read import files_read, source_candidates, sources
from snakemake_executor_cavatica.read.facts import MB
from snakemake_executor_cavatica.read.files_read import watch_reads
from snakemake_executor_cavatica.read.parsing import parsing
from snakemake_executor_cavatica.read.patterns import NO_PATTERNS, Patterns
from snakemake_executor_cavatica.read.source_archive import write_archive
from snakemake_executor_cavatica.read.source_candidates import Found
from snakemake_executor_cavatica.read.sources import LeftOut, Reason, Sources, collect_sources


@pytest.fixture(autouse=True)
def _nothing_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_read, "_read", {})


def collect(workdir: Path, patterns: Patterns = NO_PATTERNS, **given: Iterable[str]) -> Sources:
    """Collect with paths relative to `workdir`."""
    commands = tuple(given.pop("commands", ()))
    paths = {
        name: frozenset(Path(os.path.normpath(workdir / path)) for path in values)
        for name, values in given.items()
    }
    return collect_sources(Found(workdir, commands=commands, **paths), patterns)


def names(collected: Sources) -> set[str]:
    return {collected.name(path) for path in collected.files}


def write(folder: Path, *paths: str, size: int = 1) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"x" * size)


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that the workflow has read files."""

    def pretend(*paths: Path | str) -> None:
        found = {os.path.normpath(path): str(path) for path in paths}
        monkeypatch.setattr(files_read, "_read", found)

    return pretend


# --- what is taken, and what is not ---------------------------------------------------------------


def test_small_files_are_shipped_without_git_but_no_data(tmp_path: Path) -> None:
    write(tmp_path, "Snakefile", "helper.py", "lib/module.py", ".hidden/x", "in.txt", "out.txt")
    write(tmp_path, "large.bam", size=source_candidates.MAX_UNDECLARED + 1)
    write(tmp_path, "files_read/1.fq")
    collected = collect(
        tmp_path, defining=["Snakefile"], inputs=["in.txt", "files_read"], outputs=["out.txt"]
    )
    assert names(collected) == {"Snakefile", "helper.py", "lib/module.py"}


def test_with_git_what_is_ignored_stays(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, "Snakefile", "new.py", "results/old.txt", ".env", "my_credentials.csv")
    (tmp_path / ".gitignore").write_text("results/\n")
    assert names(collect(tmp_path)) == {"Snakefile", "new.py"}


def test_what_git_tracks_is_shipped_whatever_its_name(tmp_path: Path) -> None:
    """Snakemake's own list loses names that git quotes."""
    git(tmp_path, "init", "-q")
    write(tmp_path, "Snakefile", "größe.tsv", ".hidden", "large.bin", "in.txt")
    write(tmp_path, "large.bin", size=sources.MAX_FILE + 1)
    git(tmp_path, "add", "-A")
    collected = collect(tmp_path, inputs=["in.txt"])
    assert names(collected) == {"Snakefile", "größe.tsv", ".hidden"}
    assert collected.left_out == {
        tmp_path / "large.bin": LeftOut.LARGE,
        tmp_path / "in.txt": LeftOut.INPUT,
    }


def test_what_may_not_be_read_stays_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Others work in the same folder; nothing reads their files here either."""
    monkeypatch.setattr(os, "access", lambda path, _: not Path(path).name.startswith("theirs"))
    git(tmp_path, "init", "-q")
    write(tmp_path, "Snakefile", "theirs.tracked.py")
    git(tmp_path, "add", "-A")
    write(tmp_path, "theirs.txt")
    collected = collect(tmp_path)
    assert names(collected) == {"Snakefile"}
    assert collected.left_out == {tmp_path / "theirs.tracked.py": LeftOut.UNREADABLE}
    assert collected.lasting == {tmp_path / "Snakefile"}
    assert "theirs.tracked.py is not sent along" in caplog.text
    assert "theirs.txt" not in caplog.text
    with pytest.raises(ConfigurationError, match=r"theirs\.txt belongs"):
        collect(tmp_path, Patterns(include=("theirs.txt",)))


def test_a_megabyte_has_a_million_bytes(tmp_path: Path) -> None:
    """As in the texts, the options, and Snakemake's own limit."""
    git(tmp_path, "init", "-q")
    write(tmp_path, "Snakefile")
    write(tmp_path, "fits.bin", size=10_000_000)
    write(tmp_path, "large.bin", size=10_000_001)
    git(tmp_path, "add", "-A")
    collected = collect(tmp_path)
    assert names(collected) == {"Snakefile", "fits.bin"}
    assert collected.left_out == {tmp_path / "large.bin": LeftOut.LARGE}
    with pytest.raises(ConfigurationError, match=r"have 10\.0 MB, more than the 9 MB"):
        collected.check_size(9_000_000)


def test_a_repository_that_git_cannot_read_is_an_error(tmp_path: Path) -> None:
    """Without git's answer, what it is told to ignore would be shipped."""
    write(tmp_path, "Snakefile", ".git/config")
    with pytest.raises(ConfigurationError, match="git cannot list the files"):
        collect(tmp_path)


def test_a_folder_of_many_files_is_data_but_what_commands_name_goes(tmp_path: Path) -> None:
    for number in range(source_candidates.MAX_UNDECLARED_FILES + 1):
        write(tmp_path, f"data/{number}")
    write(tmp_path, "scripts/run.py", "scripts/helper.py", "scripts/notes.doc")
    collected = collect(tmp_path, commands=["python scripts/run.py --x {input} > {output}"])
    assert names(collected) == {"scripts/run.py", "scripts/helper.py"}


@pytest.mark.parametrize("has_git", [False, True])
def test_programs_of_an_environment_stay_with_it_and_a_command_that_names_one_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, has_git: bool
) -> None:
    if has_git:
        git(tmp_path, "init", "-q")
    write(tmp_path, "Snakefile", "tools/run.py", "tools/python3")
    write(tmp_path, ".venv/pyvenv.cfg", ".venv/bin/python3", ".venv/bin/helper.py")
    write(tmp_path, "conda/conda-meta/history", "conda/bin/bwa", "conda/bin/activate.sh")
    (tmp_path / "linked").symlink_to(".venv", target_is_directory=True)
    named = [".venv/bin/python3", "linked/bin/helper.py", "conda/bin/bwa"]
    commands = [f"{program} tools/run.py > {{output}}" for program in [*named, "tools/python3"]]
    collected = collect(tmp_path, commands=commands, defining=["Snakefile"])
    assert names(collected) == {"Snakefile", "tools/run.py", "tools/python3"}
    assert collected.lasting <= set(collected.files)
    for name in named:
        assert collected.left_out[tmp_path / name] is LeftOut.INSTALLED
        assert f"{tmp_path / name} is not sent along with the workflow" in caplog.text
    caplog.clear()
    patterns = Patterns(include=("conda/bin/bwa",), exclude=(".venv", "linked"))
    collected = collect(tmp_path, patterns, commands=commands, defining=["Snakefile"])
    assert "conda/bin/bwa" in names(collected)
    assert not caplog.text


DATA = ["files_read.fastq", "R1.fq.gz", "a.bam", "a.bam.bai", "a.CRAM", "x.sra", "calls.vcf.gz"]
DATA += ["calls.bcf", "track.bw", "track.bigWig", "cells.h5ad", "m.h5", "raw.pod5", "run.mzML"]
NO_DATA = ["adapters.fa", "targets.bed", "genes.gtf", "samples.tsv", "fq.py", "bam/notes.txt"]


@pytest.mark.parametrize("where", ["untracked", "tracked", "outside of git", "beside a script"])
def test_data_stay_wherever_they_lie(tmp_path: Path, where: str) -> None:
    """Small ones too: the tests of public workflows bring some megabytes of them."""
    workdir = tmp_path / "run" if where == "beside a script" else tmp_path
    workdir.mkdir(exist_ok=True)
    write(tmp_path, "scripts/run.py", *(f"scripts/{name}" for name in [*DATA, *NO_DATA]))
    if where in {"untracked", "tracked"}:
        git(tmp_path, "init", "-q")
    if where == "tracked":
        git(tmp_path, "add", "-A")
    script = os.path.relpath(tmp_path / "scripts/run.py", workdir)
    scripts = [script] if where == "beside a script" else []
    collected = collect(workdir, defining=[script], scripts=scripts)
    left_out = DATA if where in {"tracked", "beside a script"} else []
    assert {path.name for path in collected.files} == {
        "run.py",
        *(Path(name).name for name in NO_DATA),
    }
    assert {path.name: why for path, why in collected.left_out.items()} == dict.fromkeys(
        left_out, LeftOut.DATA
    )


def test_data_that_somebody_names_or_reads_go(
    tmp_path: Path, read: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, "phix.fq", "known.vcf.gz", "read.bam", "included.h5", "input.fq", "out.bam")
    write(tmp_path, "other.fq")
    write(tmp_path, "large.bam", size=sources.MAX_FILE + 1)
    git(tmp_path, "add", "-A")
    read(tmp_path / "read.bam")
    commands = ["bowtie2 -U phix.fq -x {input}", "known.vcf.gz"]
    patterns = Patterns(include=("included.h5",))
    collected = collect(
        tmp_path, patterns, commands=commands, inputs=["input.fq"], outputs=["out.bam"]
    )
    assert names(collected) == {"phix.fq", "known.vcf.gz", "read.bam", "included.h5"}
    assert {collected.name(path): why for path, why in collected.left_out.items()} == {
        "input.fq": LeftOut.INPUT,
        "out.bam": LeftOut.OUTPUT,
        "other.fq": LeftOut.DATA,
        "large.bam": LeftOut.DATA,
    }
    assert not caplog.text, "that data stay is no news"


def test_what_commands_name_and_call_beside_the_working_directory_goes(tmp_path: Path) -> None:
    """As where a workflow is started from elsewhere, or with --directory."""
    write(tmp_path, "repo/workflow/Snakefile", "repo/tools/a.sh", "repo/tools/b.sh", "repo/c.txt")
    write(tmp_path, "repo/d.txt", "repo/in.txt", "repo/.env", "far/e.txt", "run/x", "far/bin/f")
    write(tmp_path, "repo/workflow/bin/tool", "repo/workflow/bin/token", "repo/workflow/y.sh")
    commands = [f"sh {tmp_path}/repo/tools/a.sh", "cat ../repo/c.txt ../far/e.txt"]
    commands += [f"cat {tmp_path}/repo/in.txt {tmp_path}/repo/.env"]
    collected = collect(
        tmp_path / "run",
        commands=commands,
        defining=["../repo/workflow/Snakefile"],
        inputs=["../repo/in.txt"],
        on_paths=["../repo/workflow/bin", "../far/bin", "../repo/none"],
    )
    assert names(collected) == {
        *["x", "../repo/workflow/Snakefile", "../repo/workflow/bin/tool", "../repo/c.txt"],
        *["../repo/tools/a.sh", "../repo/tools/b.sh", "../repo/.env"],
    }


def test_what_parameters_name_is_named(transfer_workflow: Workflow) -> None:
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": """
            rule a:
                output: "a"
                params: known="known.vcf", deep=[{"x": ("phix.fq", 1)}], f=lambda w: "other.bam"
                shell: "cat {params.known} phix.fq > {output}; test ! -e {params.f}"
            """,
            **dict.fromkeys(("known.vcf", "phix.fq", "other.bam"), "data\n"),
        }
    )
    workflow.succeed()
    assert workflow.read("a") == "data\ndata\n"


def test_an_input_of_others_that_a_rule_names_and_does_not_declare_reaches_its_jobs(
    transfer_workflow: Workflow,
) -> None:
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": """
            rule all:
                input: "a", "b", "c"
            rule a:
                input: "regions.bed", "own.fa"
                output: "a"
                params: "own.fa"
                shell: "cat {input} > {output}"
            rule b:
                output: "b"
                params: regions="regions.bed"
                shell: "cat {params.regions} > {output}"
            rule c:
                input: "a"
                output: "c"
                shell: "cat regions.bed {input} > {output}"
            """,
            "regions.bed": "chr1\n",
            "own.fa": ">x\n",
        }
    )
    reasons = {file["path"]: file["reason"] for file in listed(workflow)["files"]}
    assert reasons.keys() == {"Snakefile", "regions.bed"}
    assert reasons["regions.bed"] == Reason.NAMED
    workflow.succeed()
    assert workflow.read("b") == "chr1\n"
    assert workflow.read("c") == "chr1\nchr1\n>x\n"


def test_an_input_that_is_too_large_to_be_sent_is_told_to_who_only_names_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "genome.fa", "own.fa", size=sources.MAX_FILE + 1)
    given = {"commands": ["bwa genome.fa own.fa"], "inputs": ["genome.fa", "own.fa"]}
    collected = collect(tmp_path, undeclared=["genome.fa"], **given)
    assert collected.left_out == {
        tmp_path / "genome.fa": LeftOut.LARGE,
        tmp_path / "own.fa": LeftOut.INPUT,
    }
    assert "genome.fa is not sent along" in caplog.text
    assert "own.fa" not in caplog.text


def test_what_lies_beside_a_script_is_shipped_but_not_a_whole_project(tmp_path: Path) -> None:
    """Snakemake's own list takes all that lies below a script's folder, secrets and data too."""
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("*\n")
    write(tmp_path, "workflow/scripts/a.R", "workflow/scripts/lib/b.txt", "workflow/scripts/.env")
    write(tmp_path, "plot.py", "helper.py", "data/x.fq", "credentials.json")
    scripts = ["workflow/scripts/a.R", "plot.py"]
    collected = collect(tmp_path, scripts=scripts, defining=scripts)
    assert names(collected) == {*scripts, "workflow/scripts/lib/b.txt", "helper.py"}


def test_programs_beside_a_script_that_is_an_input_are_shipped(tmp_path: Path) -> None:
    """Also where git ignores them, so that nothing else tells that they belong to the workflow."""
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("*\n")
    write(tmp_path, "tools/tool.py", "tools/helper.py", "tools/table.txt", "other/helper.py")
    write(tmp_path, "data/helper.py", "data/x.txt")
    collected = collect(tmp_path, inputs=["tools/tool.py", "data/x.txt", "not/there.py"])
    assert names(collected) == {"tools/helper.py"}
    assert collected.left_out == {tmp_path / "tools/tool.py": LeftOut.INPUT}


def test_a_module_that_is_an_input_of_other_jobs_reaches_the_scripts_beside_it(
    transfer_workflow: Workflow,
) -> None:
    """A script that can do without it would leave another result, and nobody would know."""
    workflow = transfer_workflow
    helped = "try:\n    from common import X\nexcept ImportError:\n    X = 'alone'\n"
    workflow.write(
        {
            "Snakefile": """
            rule all:
                input: expand("out/{x}", x=["common", "tool", "direct"])
            rule tools:
                input: script="tools/{x}.py"
                output: "out/{x}"
                shell: "python {input.script} > {output}"
            rule changed:
                input: "scripts/common.py"
                output: "changed"
                shell: "cp {input} {output}"
            rule direct:
                input: "changed"
                output: "out/direct"
                script: "scripts/direct.py"
            """,
            "tools/common.py": "X = 'helped'\nif __name__ == '__main__':\n    print(X)\n",
            "tools/tool.py": helped + "print(X)\n",
            "scripts/common.py": "X = 'helped'\n",
            "scripts/direct.py": helped + "open(snakemake.output[0], 'w').write(f'{X}\\n')\n",
        }
    )
    workflow.succeed()
    made = [workflow.read(f"out/{name}") for name in ("common", "tool", "direct")]
    assert made == ["helped\n"] * 3


def test_what_was_read_is_shipped_but_nothing_hidden(
    tmp_path: Path, read: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """A home directory may be the working directory, and credentials are read by us too."""
    write(tmp_path, "workflow/Snakefile", "config/samples.tsv", ".sevenbridges/credentials")
    write(
        tmp_path, "run/env/lib/site-packages/x.py", "elsewhere/x.py", "run/results/x", "token.json"
    )
    read(*(path for path in tmp_path.rglob("*") if path.is_file()))
    write(tmp_path, "run/env/pyvenv.cfg")
    collected = collect(tmp_path / "run", defining=["../workflow/Snakefile"], outputs=["results/x"])
    shipped = {str(path.relative_to(tmp_path)) for path in collected.files}
    assert shipped == {"workflow/Snakefile", "config/samples.tsv", "elsewhere/x.py"}
    assert "token.json is not sent along" in caplog.text
    assert "credentials is not sent along" in caplog.text


def test_what_was_read_beside_a_hidden_working_directory_is_shipped(
    tmp_path: Path, read: Callable[..., None]
) -> None:
    """Workflows are tested in `.test` and `.tests/case`: what is hidden there is so to nobody."""
    write(tmp_path, "workflow/Snakefile", ".tests/case/x", ".tests/data/genome.fai", ".tests/.env")
    read(tmp_path / ".tests/data/genome.fai", tmp_path / ".tests/.env")
    collected = collect_sources(
        Found(tmp_path / ".tests/case", defining=frozenset([tmp_path / "workflow/Snakefile"]))
    )
    assert "../data/genome.fai" in names(collected)
    assert collected.left_out == {tmp_path / ".tests/.env": LeftOut.PRIVATE}


def test_what_was_read_is_shipped_if_git_tracks_it_wherever_it_lies(
    tmp_path: Path, read: Callable[..., None]
) -> None:
    git(tmp_path, "init", "-q")
    tracked = {"workflow/Snakefile", ".config/panel.tsv", "data/tokens.tsv"}
    write(tmp_path, *tracked, "run/x", "data/.env", ".config/password")
    git(tmp_path, "add", *tracked)
    read(*(path for path in tmp_path.glob("*/*") if path.parent.name != ".git"))
    collected = collect(tmp_path / "run", defining=["../workflow/Snakefile"])
    assert names(collected) == {"x", *(f"../{name}" for name in tracked)}
    private = {tmp_path / "data/.env", tmp_path / ".config/password"}
    assert collected.left_out == dict.fromkeys(private, LeftOut.PRIVATE)


def test_what_was_read_is_shipped_from_wherever_a_task_would_find_it(
    tmp_path: Path, read: Callable[..., None]
) -> None:
    write(tmp_path, "flow/rna/Snakefile", "shared/a.tsv", "shared/b.tsv", "far/c.tsv", "run/x")
    (tmp_path / "link").symlink_to("flow")
    write(tmp_path, "flow/rna/d.tsv")
    snakefile = "../link/rna/Snakefile"
    read(
        tmp_path / "run/../shared/a.tsv",
        f"{tmp_path}/link/rna/../../shared/b.tsv",
        tmp_path / "far/c.tsv",
        tmp_path / "flow/rna/d.tsv",
    )
    collected = collect(tmp_path / "run", defining=[snakefile])
    expected = {snakefile, "../shared/a.tsv", "../shared/b.tsv", "../link/rna/d.tsv", "x"}
    assert names(collected) == expected


def test_what_was_read_elsewhere_is_told_as_tasks_miss_it(
    tmp_path: Path, read: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """Where a workflow goes on if it is not there, jobs would do something else in silence."""
    write(tmp_path, "run/Snakefile", "run/here.tsv", "far/panel.bed", "far/later.bed", "far/.netrc")
    read(*(tmp_path / name for name in ("run/here.tsv", "far/later.bed")))
    watch_reads()
    with parsing():
        for name in ("panel.bed", ".netrc"):
            (tmp_path / "far" / name).read_text()
        Path("/etc/passwd").read_text()
    collected = collect(tmp_path / "run", defining=["Snakefile"])
    assert collected.left_out == {tmp_path / "far/panel.bed": LeftOut.ELSEWHERE}
    assert "far/panel.bed is not sent along" in caplog.text
    collected = collect(tmp_path / "run", Patterns((), ("../far",)), defining=["Snakefile"])
    assert collected.left_out == {tmp_path / "far/panel.bed": LeftOut.EXCLUDED}


def test_a_large_file_that_was_read_is_shipped_unless_it_is_an_input(
    tmp_path: Path, read: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    """A task that parses the workflow again needs the one, and of the other it was a glance."""
    write(tmp_path, "table.tsv", "files_read.fq", size=sources.MAX_FILE + 1)
    read(tmp_path / "table.tsv", tmp_path / "files_read.fq")
    collected = collect(tmp_path, inputs=["files_read.fq"])
    assert names(collected) == {"table.tsv"}
    assert "files_read.fq is not sent along" in caplog.text
    assert "--cavatica-sources-include" in caplog.text


# --- patterns and limits --------------------------------------------------------------------------


def test_include_beats_size_git_and_the_rule_for_hidden_files(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("*\n")
    write(tmp_path, "big/a.bin", size=sources.MAX_FILE + 1)
    write(tmp_path, "big/.hidden", ".env", "api.key", ".git/x", "out.txt", "in.txt")
    include = ("big", ".env", "*.key", ".git/*", "out.txt", "in.txt")
    collected = collect(tmp_path, Patterns(include), inputs=["in.txt"], outputs=["out.txt"])
    assert names(collected) == {"big/a.bin", ".env", "api.key", "in.txt"}
    assert set(collected.reasons.values()) == {Reason.INCLUDED}


def test_exclude_beats_all_but_what_defines_the_workflow(
    tmp_path: Path, read: Callable[..., None]
) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, "Snakefile", "tracked.txt", "read.tsv", "new.py", "keep.txt", ".env")
    git(tmp_path, "add", "tracked.txt")
    read(tmp_path / "read.tsv", tmp_path / ".env")
    patterns = Patterns(include=("keep.txt",), exclude=("**",))
    collected = collect(tmp_path, patterns, defining=["Snakefile"])
    assert names(collected) == {"Snakefile"}
    assert collected.left_out[tmp_path / "tracked.txt"] is LeftOut.EXCLUDED


def test_a_pattern_without_a_file_is_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "Snakefile")
    collect(tmp_path, Patterns(include=("confg/*.tsv",)))
    assert "confg/*.tsv: there is no such file" in caplog.text


def test_too_much_is_refused_with_the_largest(tmp_path: Path) -> None:
    for size in range(1, 13):
        write(tmp_path, f"part{size:02}", size=size * 1000)
    collected = collect(tmp_path)
    collected.check_size(78_000)
    with pytest.raises(ConfigurationError) as refused:
        collected.check_size(77_999)
    text = str(refused.value)
    assert text.index("part12") < text.index("part11")
    assert "part02" not in text
    assert "--cavatica-sources-max-mb" in text


def test_lasting_sources_are_the_same_whatever_jobs_there_are(
    tmp_path: Path, read: Callable[..., None]
) -> None:
    """They decide whether the tasks of an interrupted run are taken up."""
    git(tmp_path, "init", "-q")
    write(tmp_path, "Snakefile", "a.txt", "b.txt", "extra.bin", "module.py", "seen.tsv", "old.txt")
    git(tmp_path, "add", "Snakefile", "a.txt", "b.txt", "old.txt")
    patterns = Patterns(include=("extra.bin",), exclude=("old.txt",))
    read(tmp_path / "module.py")
    first = collect(tmp_path, patterns, defining=["Snakefile"], inputs=["a.txt"])
    read(tmp_path / "module.py", tmp_path / "seen.tsv", tmp_path / "b.txt")
    second = collect(tmp_path, patterns, defining=["Snakefile"], outputs=["a.txt"])
    expected = {"Snakefile", "a.txt", "b.txt", "extra.bin", "module.py"}
    assert first.lasting == second.lasting == {tmp_path / name for name in expected}


# --- the archive ----------------------------------------------------------------------------------


def test_a_source_that_holds_the_token_is_refused(transfer_workflow: Workflow) -> None:
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": 'rule a:\n    output: "a"\n    shell: "touch a"\n',
            ".notes": f"my token is {workflow.platform.token}\n",
        }
    )
    result = workflow.fail("--cavatica-sources-include", ".notes")
    assert ".notes holds your API token" in result.output
    assert workflow.platform.token not in result.output


def test_the_archive_is_the_same_for_the_same_sources(tmp_path: Path) -> None:
    write(tmp_path / "a", "Snakefile", "scripts/x.py")
    archives = []
    for number in range(2):
        (tmp_path / "a/Snakefile").touch()
        archives.append(tmp_path / f"{number}.tar")
        write_archive(collect(tmp_path / "a", defining=["Snakefile"]), archives[-1])
    assert archives[0].read_bytes() == archives[1].read_bytes()
    with tarfile.open(archives[0]) as archive:
        assert "Snakefile" in archive.getnames()


# --- whole workflows ------------------------------------------------------------------------------


def command(
    workflow: Workflow, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `snakemake-cavatica sources` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake_executor_cavatica.commands.main", "sources", *arguments],
        cwd=workflow.directory,
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def listed(workflow: Workflow, *arguments: str, status: int = 0) -> dict[str, Any]:
    """What `snakemake-cavatica sources` says, without a token and without a platform."""
    environment = workflow.environment()
    if workflow.place == "transfer":  # in a storage, which jobs there are depends on its files
        del environment["SB_AUTH_TOKEN"], environment["SB_API_ENDPOINT"]
    environment["HOME"] = str(workflow.directory.parent)
    answer = command(workflow, "--json", "--", *workflow.arguments(), *arguments, env=environment)
    assert answer.returncode == status, answer.stderr
    assert "Traceback" not in answer.stderr
    return dict(json.loads(answer.stdout))


def uploaded(workflow: Workflow, folder: str) -> set[str]:
    """Names in the archive that a run has uploaded to its own folder of the project."""
    with workflow.platform.client() as client:
        index = ProjectIndex(client, workflow.platform.project)
        (entry,) = [one for one in index.walk(f"{folder}/inputs") if one.path.endswith(".tar")]
        target = workflow.directory.parent / "uploaded.tar"
        fetch(client, entry.id, target, size=entry.size, folder=False)
    with tarfile.open(target) as archive:
        found = set(archive.getnames())
    return {name for name in found if not name.startswith(PLUGINS_FOLDER)}


WAYS_TO_READ = {
    "project/workflow/Snakefile": """
        import csv, json, sys
        from pathlib import Path
        import yaml
        from snakemake.utils import validate
        configfile: "config/config.yaml"
        validate(config, "schemas/config.schema.yaml")
        sys.path.insert(0, workflow.basedir)
        import lib.names, cached
        include: "rules/common.smk"
        module other:
            snakefile: "modules/other/Snakefile"
            prefix: "other"
        use rule * from other as other_*
        HERE = Path(workflow.basedir)
        with open(HERE / "../config/samples.tsv") as sheet:
            SAMPLES = [row["sample"] for row in csv.DictReader(sheet, delimiter="\\t")]
        VERSION = (HERE.parent / "VERSION").read_text().strip()
        UNITS = yaml.safe_load(open("config/units.yaml"))
        EXTRA = json.loads(Path("linked.json").read_text())
        with open(b"../shared/above.txt", "rb") as above:
            ABOVE = above.read().decode().strip()
        def late(wildcards):
            open("config/late.txt").close()
            return "data/in.txt"
        rule all:
            input: "made/a.txt", "made/b.txt", rules.other_one.output
            default_target: True
        rule one:
            input: late
            output: "made/{s}.txt"
            run:
                text = " ".join([VERSION, ABOVE, EXTRA, str(UNITS), COMMON, config["genome"]])
                Path(output[0]).write_text(lib.names.greet(wildcards.s) + cached.WORD + text)
    """,
    "project/workflow/schemas/config.schema.yaml": """
        $schema: "http://json-schema.org/draft-07/schema#"
        type: object
        properties:
          genome:
            $ref: "genome.schema.yaml"
    """,
    "project/workflow/schemas/genome.schema.yaml": """
        $schema: "http://json-schema.org/draft-07/schema#"
        type: string
    """,
    "project/workflow/lib/__init__.py": "",
    "project/workflow/lib/names.py": "from .words import HI\ndef greet(n):\n    return HI + n\n",
    "project/workflow/lib/words.py": "HI = 'hello '\n",
    "project/workflow/cached.py": "WORD = ' cached '\n",
    "project/workflow/rules/common.smk": 'include: "deeper.smk"\n',
    "project/workflow/rules/deeper.smk": 'COMMON = open("config/deep.txt").read().strip()\n',
    "project/workflow/modules/other/Snakefile": """
        import pathlib
        WORD = pathlib.Path(workflow.current_basedir, "word.txt").read_text()
        rule one:
            output: "one.txt"
            run:
                open(output[0], "w").write(WORD)
    """,
    "project/workflow/modules/other/word.txt": "module",
    "project/config/samples.tsv": "sample\tx\na\t1\nb\t2\n",
    "project/VERSION": "1.2.3\n",
    "run/config/config.yaml": "genome: hg38\n",
    "run/config/units.yaml": "[1, 2]\n",
    "run/config/deep.txt": "deep\n",
    "run/config/late.txt": "",
    "shared/above.txt": "above\n",
    "elsewhere/target.json": '"linked"',
}


@pytest.mark.both_places
@pytest.mark.parametrize("repository", [True, False])
def test_what_is_read_while_parsing_reaches_the_tasks_and_is_listed_as_it_is_sent(
    workflow: Workflow, *, repository: bool
) -> None:
    """All of it is ignored by git, or there is no git; jobs parse the workflow once more."""
    workflow.write(WAYS_TO_READ)
    run = workflow.directory / "run"
    (run / "linked.json").symlink_to("../elsewhere/target.json")
    if repository:
        git(workflow.directory, "init", "-q")
        (workflow.directory / ".gitignore").write_text("*\n")
    workflow.put({"data/in.txt": "x"} if workflow.place == "storage" else {"run/data/in.txt": "x"})
    write(run, "made/old.txt", "made/side.idx", ".env", "my.pem", "large.txt", "small.fq", size=5)
    write(run, "data/large.txt", size=2 * MB)
    folder = f"snakemake-{workflow.folder}"
    arguments = ["--directory", "run", "--snakefile", "project/workflow/Snakefile"]
    arguments += ["--cavatica-folder", folder]
    shipped = {
        os.path.normpath(f"run/{one['path']}") for one in listed(workflow, *arguments)["files"]
    }
    workflow.succeed(*arguments)  # with modules out of Python's cache by now
    guessed = set() if repository else {"run/large.txt"}
    read = (WAYS_TO_READ.keys() - {"elsewhere/target.json"}) | {"run/linked.json"}
    assert shipped == read | guessed
    assert shipped == uploaded(workflow, folder)


def test_patterns_of_a_profile_hold_for_the_list_and_the_run(transfer_workflow: Workflow) -> None:
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": """
            rule a:
                output: "a"
                run:
                    open(".b/c")
                    open("a", "w")
            """,
            ".b/c": "",
            "d.txt": "",
            "e.txt": "",
            "f.log": "",
            "flavour/config.yaml": """
            cavatica-sources-include: [".b/*", d.txt]
            cavatica-sources-exclude:
              - "e*"
              - "**/*.log"
              - flavour
            """,
        }
    )
    folder = f"snakemake-{workflow.folder}"
    arguments = ["--profile", "flavour", "--cavatica-folder", folder]
    shipped = {one["path"] for one in listed(workflow, *arguments)["files"]}
    assert shipped == {"Snakefile", ".b/c", "d.txt"}
    workflow.succeed(*arguments)
    assert shipped == uploaded(workflow, folder)


def test_too_much_is_refused_before_anything_is_submitted(transfer_workflow: Workflow) -> None:
    workflow = transfer_workflow
    workflow.write({"Snakefile": 'open("t.tsv")\nrule a:\n    output: "a"\n    shell: "touch a"\n'})
    write(workflow.directory, "t.tsv", size=MB + 1)
    arguments = ["--cavatica-sources-max-mb", "1"]
    before = len(workflow.platform.requests())
    result = workflow.fail(*arguments)
    assert "t.tsv (read while the workflow was parsed)" in result.output
    sent = workflow.platform.requests()[before:]
    assert {request["method"] for request in sent} == {"GET"}
    assert len(listed(workflow, *arguments, status=1)["files"]) == 2


def test_inputs_that_snakemake_looks_into_are_no_sources(transfer_workflow: Workflow) -> None:
    """It compares the checksums of small inputs whose times have changed."""
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": """
            rule a:
                input: "in.txt"
                output: "a"
                shell: "cp {input} {output}"
            """,
            "in.txt": "x",
        }
    )
    workflow.succeed()
    os.utime(workflow.directory / "in.txt")
    assert {one["path"] for one in listed(workflow)["files"]} == {"Snakefile"}


def test_the_list_says_what_it_is_for_people(transfer_workflow: Workflow) -> None:
    """Sizes in order, the largest last, and in stdout nothing of what the workflow prints."""
    workflow = transfer_workflow
    workflow.write(
        {"Snakefile": 'print("noise")\nrule a:\n    output: "a"\n    shell: "sh run.sh"\n'}
    )
    write(workflow.directory, "run.sh", size=20_000)
    answer = command(workflow)
    assert answer.returncode == 0, answer.stderr
    lines = [line.split(maxsplit=2) for line in answer.stdout.splitlines()]
    assert [line[2].split()[-1] for line in lines] == ["Snakefile", "run.sh", "files"]
    assert lines[1][:2] == ["20.0", "kB"]


@pytest.mark.parametrize("argument", ["--list-rules", "--delete-all-output", "--touch"])
def test_arguments_that_ask_for_no_run_are_refused(
    transfer_workflow: Workflow, argument: str
) -> None:
    transfer_workflow.write({"Snakefile": 'rule a:\n    output: "a"\n', "a": "kept"})
    answer = command(transfer_workflow, "--", argument, "--dry-run")
    assert answer.returncode == 1
    assert "something else than a run" in answer.stderr
    assert transfer_workflow.read("a") == "kept"
