"""A task parses the workflow as the main process did, or ends."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from pkgutil import iter_modules
from textwrap import dedent
from typing import Any

import pytest

from snakemake_executor_cavatica.in_task.names import PLUGINS_FOLDER
from snakemake_executor_cavatica.read import files_read
from snakemake_executor_cavatica.read import parsing as parse_time
from snakemake_executor_cavatica.read.files_read import watch_reads
from snakemake_executor_cavatica.read.parsing import folders_listed, paths_asked, program_of
from snakemake_executor_cavatica.read.source_archive import write_archive
from snakemake_executor_cavatica.read.source_candidates import Found, asked_paths
from snakemake_executor_cavatica.read.sources import collect_sources

SNAKEFILE = """
import os
from glob import glob
from pathlib import Path

seen = [
    glob_wildcards("data/{name}.fastq").name,
    sorted(path.name for path in Path("data").glob("*.fastq")),
    sorted(glob("THERE/data/*/*.fastq")),
    os.listdir("data/deep"),
]
print("SEEN", seen)

def inputs(wildcards):
    print("LATER", os.path.isdir("data") and os.listdir("data"))
    return glob("data/[b]*.fastq")

rule all:
    input: inputs, ["Snakefile"]
"""


@pytest.fixture
def parsing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Calls a function while a workflow is parsed."""
    monkeypatch.setattr(parse_time, "_listed", {})
    monkeypatch.setattr(parse_time, "_asked", {})
    monkeypatch.setattr(files_read, "_read", {})
    monkeypatch.setattr(files_read, "_made_while_parsed", set())
    watch_reads()

    def called(call: Callable[..., Any], *arguments: Any) -> Any:
        with parse_time.parsing():
            return call(*arguments)

    return called


def started(
    there: Path,
    task: Path,
    expected: int,
    *,
    params: Mapping[int, Any] | None = None,
    gone: Path | None = None,
) -> str:
    """What Snakemake prints in a task that has the sources and nothing else.

    `expected` are the inputs of rule `all`, `params` those that were found there, by their places;
    `gone` is a folder that is removed before the task begins.
    """
    sources = collect_sources(Found(there, defining=frozenset([there / "Snakefile"])))
    write_archive(sources, task.with_suffix(".tar"))
    if gone:
        shutil.rmtree(gone)
    with tarfile.open(task.with_suffix(".tar")) as archive:
        archive.extractall(task, filter="data")
    command = [sys.executable, "-m", "snakemake"]
    ran = subprocess.run(
        [*command, "--target-jobs", "all:", "--allowed-rules", "all", "--mode", "remote", "-np"],
        cwd=task,
        env={
            **os.environ,
            "HOME": str(task.parent / "home"),
            "PYTHONPATH": str(task / PLUGINS_FOLDER),
            "CAVATICA_WORKDIR": str(task),
            "CAVATICA_NAMES": json.dumps({str(there): "."}),
            "CAVATICA_JOBS": json.dumps([["all", {}, expected, params or {}]]),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ran.stdout


def test_what_a_workflow_finds_in_folders_is_the_same_in_a_task(
    tmp_path: Path, parsing: Callable[..., Any]
) -> None:
    """Without it SAMPLES is empty there, and `cat` of no inputs makes an empty result."""
    there, task = tmp_path.resolve() / "there", tmp_path.resolve() / "task"
    (there / "data/deep").mkdir(parents=True)
    for name in ("b.fastq", "a.fastq", "deep/c.fastq", "deep/d.fastq"):
        (there / "data" / name).touch()
    (there / "Snakefile").write_text(SNAKEFILE.replace("THERE", str(there)))
    in_order = [path.name for path in (there / "data").iterdir()]
    for folder in ("data", "data/deep"):
        parsing(os.listdir, there / folder)
    printed = started(there, task, 1)
    seen = [
        [name.removesuffix(".fastq") for name in in_order if name.endswith(".fastq")],
        ["a.fastq", "b.fastq"],
        [f"{there}/data/deep/{name}.fastq" for name in "cd"],
        [path.name for path in (there / "data/deep").iterdir()],
    ]
    seen[0] += [f"deep/{name.removesuffix('.fastq')}" for name in seen[3]]
    assert f"SEEN {seen}" in printed, printed
    # Once it is parsed, only what is in the task is there.
    assert "LATER ['deep']" in printed
    assert "has 1 inputs in this task" not in printed


def test_a_job_that_has_other_inputs_in_its_task_does_not_run(
    tmp_path: Path, parsing: Callable[..., Any]
) -> None:
    there = tmp_path.resolve() / "there"
    there.mkdir()
    (there / "Snakefile").write_text('rule all:\n    input: [f for f in "ab" if exists(f)]\n')
    parsing(len, "")
    printed = started(there, tmp_path.resolve() / "task", 2)
    assert "Rule all has 0 inputs in this task, and 2 where the workflow was started" in printed


ASKING = """
import os
from os.path import exists
from pathlib import Path

here = "THERE/data"
seen = [
    exists("data/a.fastq"), exists(f"{here}/a.fastq"), os.path.isfile("data/a.fastq"),
    Path("data/a.fastq").is_file(), os.access("data/a.fastq", os.R_OK),
    os.path.getsize("data/a.fastq"), os.path.getmtime("data/a.fastq"), os.path.isdir("data/deep"),
    os.path.islink("data/a.fastq"), exists(b"data/a.fastq"),
]
seen += [exists("data/none"), Path(here, "none").exists(), os.access("data/none", os.R_OK)]
seen += [exists("came.txt"), os.access("came.txt", os.R_OK)]
if not exists("came.txt"):
    Path("came.txt").write_text("made while it is parsed")
seen += [exists("came.txt")]
os.makedirs("data/deep/new", exist_ok=True)
print("SEEN", seen)

rule all:
    input: ["Snakefile"]
"""


def test_what_a_workflow_asks_for_is_answered_the_same_in_a_task(
    tmp_path: Path, parsing: Callable[..., Any]
) -> None:
    """A variable that says whether a file is there decides in a task what the job does."""
    there, task = tmp_path.resolve() / "there", tmp_path.resolve() / "task"
    (there / "data/deep").mkdir(parents=True)
    data = there / "data/a.fastq"
    data.write_text("ACGT")
    (there / "Snakefile").write_text(ASKING.replace("THERE", str(there)))
    for path in (data, there / "data", there / "data/deep", os.fsencode(there / "data/none")):
        parsing(os.path.exists, path)
    parsing(os.path.exists, there / "came.txt")
    task.mkdir()
    (task / "came.txt").write_text("of another job, whose result this one uses")
    printed = started(there, task, 1)
    seen = [*[True] * 5, 4, data.stat().st_mtime, True, False, True]
    seen += [False, False, False, False, False, True]
    assert f"SEEN {seen}" in printed, printed


PARAMS = """
rule all:
    input: ["Snakefile"]
    output: "all.txt"
    params:
        lambda wildcards: exists("gone.bam"),
        "plain",
        named=lambda wildcards: [name for name in "ab" if exists(name)],
        other=lambda wildcards: exists("Snakefile"),
    shell: "echo {params[0]} {params[1]} {params.named} {params.other}"
"""


def test_params_that_depend_on_files_are_those_of_the_main_process(
    tmp_path: Path, parsing: Callable[..., Any]
) -> None:
    """What is not there in a task would make another job of it, and nobody would notice."""
    there = tmp_path.resolve() / "there"
    there.mkdir()
    (there / "Snakefile").write_text(PARAMS)
    parsing(len, "")
    printed = started(there, tmp_path.resolve() / "task", 1, params={0: True, 2: ["a", "b"]})
    assert "echo True plain a b True\n" in printed, printed


def test_of_a_file_that_was_read_and_stays_tasks_are_told_nothing(
    tmp_path: Path, parsing: Callable[..., Any]
) -> None:
    """A workflow that takes `.env` if there is one goes on without it, as it always did."""
    (tmp_path / "Snakefile").touch()
    for name in (".env", "plain.txt", "made.txt"):
        (tmp_path / name).touch()
        parsing(os.path.exists, tmp_path / name)
    parsing(os.path.exists, tmp_path / "later.txt")
    (tmp_path / "later.txt").touch()
    (tmp_path / ".env").read_text()
    found = Found(tmp_path, outputs=frozenset([tmp_path / "made.txt", tmp_path / "later.txt"]))
    asked = collect_sources(found).asked
    assert asked.keys() == {"made.txt", "later.txt", "plain.txt"}
    assert None not in asked.values()


MORE = """
import os
import shutil
from glob import glob
from pathlib import Path

def told(ask, *args):
    try:
        return ask(*args)
    except OSError as error:
        return type(error).__name__

PATHS = ["", "data/a.fastq/", "data/none/../a.fastq", "data/deep/../a.fastq", "data/deep/",
         "link.fastq", "dangling", "folder", "folder/a.fastq", "THERE/link.fastq", "results",
         "results/came.txt", "../beside/b.fastq", "ELSEWHERE/b.fastq", "data/run.sh", "a\\0b"]
for path in PATHS:
    print("SEEN", repr(path), [told(ask, path) for ask in (
        os.path.exists, os.path.isfile, os.path.isdir, os.path.islink, os.path.lexists)],
        [os.access(path, mode) if "\\0" not in path else None
         for mode in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)],
        os.path.exists(os.fsencode(path)), Path(path).exists(), Path(path).is_symlink())
for path in ("data/a.fastq", "sent.txt"):
    print("SEEN", os.path.getmtime(path), os.stat(path).st_mtime_ns)
print("SEEN", os.path.relpath(os.path.realpath("link.fastq")), os.readlink("dangling"))
print("SEEN", os.path.samefile("data/a.fastq", "data/run.sh"),
      os.path.samefile("data/a.fastq", "link.fastq"))
print("SEEN", sorted((one.name, one.is_file(), one.is_dir(), one.is_symlink())
                     for one in os.scandir(".") if one.name != "cavatica_plugins"))
print("SEEN", told(os.listdir, "results"), glob("results/*"), glob("*.txt"))
print("SEEN", sorted(map(str, Path(".").rglob("*.fastq"))))
home = Path.home()
print("SEEN", (home / "b.fastq").exists(), (home / "none").exists(), os.listdir(home / "deep"))
print("SEEN", shutil.which("data/run.sh"), shutil.which("data/a.fastq"))
if Path("stale.txt").exists():
    Path("stale.txt").unlink()
if not os.path.isdir("ELSEWHERE/scratch"):
    os.makedirs("ELSEWHERE/scratch")
Path("ELSEWHERE/scratch/x").write_text("x")
if os.path.isdir("tree"):
    shutil.rmtree("tree")
os.makedirs("tree")

rule all:
    input: ["Snakefile"]
"""


def test_whatever_a_workflow_asks_and_makes_is_as_it_was(
    tmp_path: Path, parsing: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links, ends of paths, what came with the job only, and what the workflow takes away."""
    top = tmp_path.resolve()
    there, task, elsewhere = top / "there", top / "tasks/of/it", top / "elsewhere"
    folders = (there / "data/deep", there / ".snakemake/log", top / "beside", elsewhere / "deep/er")
    for folder in folders:
        folder.mkdir(parents=True)
    for path in (there / "data/a.fastq", top / "beside/b.fastq", elsewhere / "b.fastq"):
        path.write_text("ACGT")
    (there / "sent.txt").touch()
    (there / "data/run.sh").touch()
    (there / "data/run.sh").chmod(0o755)
    (there / "link.fastq").symlink_to("data/a.fastq")
    (there / "folder").symlink_to("data")
    (there / "dangling").symlink_to("nowhere")
    text = MORE.replace("THERE", str(there)).replace("ELSEWHERE", str(elsewhere))
    (there / "Snakefile").write_text(text)
    (there / "stale.txt").touch()
    monkeypatch.setenv("HOME", str(elsewhere))
    parsed(there, parsing, monkeypatch)
    printed = [parsed(there, parsing, monkeypatch)]  # as the local executor does it for a job
    (task / "results").mkdir(parents=True)
    (task / "results/came.txt").touch()
    monkeypatch.chdir(top)
    printed.append(started(there, task, 1, gone=elsewhere))
    seen = [[line for line in text.splitlines() if line.startswith("SEEN")] for text in printed]
    assert len(seen[0]) > 20
    assert seen[0] == seen[1], printed[1]


def parsed(there: Path, parsing: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """What the workflow prints while it is parsed here."""
    monkeypatch.chdir(there)
    lines = (there / "Snakefile").read_text().partition("rule all")[0]
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        parsing(exec, lines, {})
    return printed.getvalue()


def test_what_was_asked_is_told_the_same_wherever_a_workflow_lies(
    tmp_path: Path, parsing: Callable[..., Any]
) -> None:
    """Else each copy of it, and each run, would upload its sources anew."""
    told: list[Any] = []
    for name in ("one", "two"):
        folder = tmp_path / name
        (folder / "data").mkdir(parents=True)
        (folder / "data/a.txt").write_text("a")
        os.utime(folder / "data/a.txt", (1000, 1000))
        os.utime(folder / "data", (len(told), len(told)))
        for asked in (folder, folder.parent, folder / "data", folder / "data/a.txt"):
            parsing(os.path.exists, asked)
        told.append(asked_paths(Found(folder), ()))
        parse_time._asked.clear()
    assert told[0] == told[1]
    assert "data/a.txt" in told[0]


BEFORE = """
def reads(wildcards):
    raise ValueError("it looks for reads")

rule {kind_before}:
    input: reads
    output: "before.txt"
    shell: "touch {{output}}"

rule other:
    input: reads
    output: "before.txt"
    shell: "touch {{output}}"

rule all:
    input: {named}
    output: "all.txt"
    run: pass

checkpoint elsewhere:
    output: "elsewhere.txt"
    shell: "touch {{output}}"
"""


@pytest.mark.parametrize("named", ['"before.txt"', "rules.before.output"])
@pytest.mark.parametrize("word", ["rule", "checkpoint"])
def test_only_the_job_of_the_task_is_asked_for_its_inputs(
    tmp_path: Path, parsing: Callable[..., Any], word: str, named: str
) -> None:
    """What comes before it is done. Its functions would look for files that are not there, and two
    rules for one file would stand against each other where the missing input decides.
    """
    there = tmp_path.resolve() / "there"
    there.mkdir()
    text = BEFORE.replace("rule {kind_before}", f"{word} before").format(named=named)
    (there / "Snakefile").write_text(text)
    parsing(len, "")
    printed = started(there, tmp_path.resolve() / "task", 1)
    assert "Error" not in printed, printed
    assert "Exception" not in printed, printed
    assert "rule all:" in printed, printed


def test_only_what_is_parsed_is_noted(tmp_path: Path, parsing: Callable[..., Any]) -> None:
    for name in ("parsed", "later", "inside"):
        (tmp_path / name).mkdir()
    (tmp_path / "parsed/file").touch()
    (tmp_path / "parsed/folder").mkdir()
    (tmp_path / "parsed/link").symlink_to(tmp_path / "inside")
    (tmp_path / "parsed/to_file").symlink_to("file")
    (tmp_path / "parsed/dangling").symlink_to("nowhere")
    list((tmp_path / "later").iterdir())
    parsing(os.listdir, tmp_path / "parsed")
    with pytest.raises(FileNotFoundError):
        parsing(os.scandir, tmp_path / "nowhere")
    names = {"file": "f", "folder": "d", "link": "l", "to_file": "s", "dangling": "x"}
    assert folders_listed() == {f"{tmp_path}/parsed": names, f"{tmp_path}/nowhere": None}
    before = os.stat
    assert (tmp_path / "later").exists()
    parsing(os.path.exists, tmp_path / "inside/file")
    assert paths_asked() == {f"{tmp_path}/inside/file": None}
    assert os.stat is before


def test_programs_that_the_workflow_starts_are_noted(
    tmp_path: Path, parsing: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those that installed packages start, nor what answers nothing."""
    monkeypatch.setattr(parse_time, "_programs", set())
    starting = """
        import os, platform, subprocess, sys
        from snakemake.shell import shell
        subprocess.run(["/bin/uname", "-s"], stdout=subprocess.DEVNULL)
        subprocess.check_output("  ls -l | wc", shell=True)
        os.popen("pwd").read()
        os.system("id > /dev/null")
        list(shell("date +%Y", iterable=True))
        shell("mkdir -p made")
        platform.processor()
        try:
            subprocess.run([b"none-of-this-name"])
        except FileNotFoundError:
            pass
    """
    monkeypatch.chdir(tmp_path)
    parsing(exec, compile(dedent(starting), str(tmp_path / "Snakefile"), "exec"), {})
    subprocess.run(["true"], check=True)
    package = "import subprocess; subprocess.run(['whoami'], stdout=subprocess.DEVNULL)"
    parsing(exec, compile(package, "/x/site-packages/package.py", "exec"), {})
    known = {"uname", "ls", "pwd", "id", "date", "none-of-this-name"}
    assert parse_time.programs_started() == known


def test_variables_that_the_workflow_asks_for_are_noted(
    tmp_path: Path, parsing: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not those that installed packages ask for, nor all of them when some process is started."""
    monkeypatch.setattr(parse_time, "_variables", set())
    asking = """
        import os, subprocess, zoneinfo
        subprocess.run(["true"], env={**os.environ, "ONE": "1"})
        os.environ.copy()
        os.path.expanduser("~")
        os.environ["SET"] = "1"
        values = os.environ["FOUND"], os.environ.get("ABSENT"), os.getenv("GOT"), "IN" in os.environ
    """
    monkeypatch.setenv("FOUND", "yes")
    monkeypatch.setenv("SET", "0")
    namespace: dict[str, Any] = {}
    code = compile(dedent(asking), str(tmp_path / "Snakefile"), "exec")
    parsing(exec, code, namespace)
    assert namespace["values"] == ("yes", None, None, False)
    assert parse_time.variables_asked() == {"FOUND", "ABSENT", "GOT", "IN"}
    assert os.environ["SET"] == "1"
    assert os.environ.get("LATER") is None
    assert "LATER" not in parse_time.variables_asked()


def test_looking_for_packages_is_not_looking_for_samples(
    tmp_path: Path, parsing: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake asks for versions while it parses; `python -m` has it look in the directory, too.

    Protects against sources that change, and travel again, with each result that arrives there.
    """
    monkeypatch.syspath_prepend(str(tmp_path))
    parsing(version, "snakemake")
    parsing(lambda: list(iter_modules([str(tmp_path)])))
    assert not folders_listed()
    assert not [path for path in paths_asked() if path.startswith(f"{tmp_path}/")]
    parsing(os.listdir, tmp_path)
    assert folders_listed()


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (["git", "describe"], "git"),
        ([b"/usr/bin/git"], "git"),
        ([Path("bin/tell")], "tell"),
        ("git describe --tags", "git"),
        ("LC_ALL=C TZ=UTC /bin/date", "date"),
        (["/bin/sh", "-c", "ls *.fq"], "ls"),
        (["/bin/bash", "-c", "set -euo pipefail; samtools --version"], "samtools"),
        (["/usr/bin/python", "-c", "import sys"], "python"),
        (["python", "-c"], "python"),
        (["sh", "-c"], ""),
        ([], ""),
    ],
)
def test_which_program_is_started(command: object, program: str) -> None:
    """Protects a workflow's own call against an error here, and users against wrong names."""
    assert program_of(command) == program
