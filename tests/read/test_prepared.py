"""Scripts with their job written into them, run for real where no Snakemake is."""

from __future__ import annotations

import ast
import datetime
import itertools
import os
import shutil
import subprocess
import sys
import textwrap
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake.common.tbdstring import TBDString
from snakemake.iocontainers import (
    InputFiles,
    Log,
    OutputFiles,
    Params,
    ResourceList,
    Snakemake,
    Wildcards,
)
from snakemake.sourcecache import GithubFile, LocalSourceFile
from translated_jobs import Ran, Task, bin_folder, local, plan

from snakemake_executor_cavatica.in_task import script_stand_in
from snakemake_executor_cavatica.in_task.names import PLUGINS_FOLDER, SCRIPT_MODULE
from snakemake_executor_cavatica.read import prepared_script
from snakemake_executor_cavatica.read.facts import (
    TMPDIR_PLACEHOLDER,
    WORKDIR_PLACEHOLDER,
    Language,
    PreparedScript,
)
from snakemake_executor_cavatica.read.prepared_script import NeedsSnakemake, ScriptSource, prepare

HERE = Path(script_stand_in.__file__)
STAND_IN = {f"{PLUGINS_FOLDER}/{SCRIPT_MODULE}.py": HERE.read_text()}
LANGUAGES = {".py": "python", ".R": "r", ".sh": "bash", ".jl": "julia"}
_TOOLS = ["sh", "bash", "env", "cat", "mkdir", "ln", "rm", "mv", "cp", "tar", "sed", "chmod"]
_PYTHON = Path(sys.base_prefix, "bin", "python3")
R = pytest.mark.skipif(shutil.which("Rscript") is None, reason="Rscript is not installed")


def job(**changes: Any) -> Snakemake:
    """What a script sees of its job."""
    inputs = InputFiles(["a b.txt", "1.bam", "2.bam"])
    inputs._set_name("bams", 1, end=3)
    values: dict[str, Any] = {
        "input_": inputs,
        "output": OutputFiles(fromdict={"out": "out.txt"}),
        "params": Params(["first"]),
        "wildcards": Wildcards(fromdict={"x": "it's"}),
        "threads": 3,
        "resources": ResourceList(fromdict={"mem_mb": 100, "tmpdir": TMPDIR_PLACEHOLDER}),
        "log": Log(["the log"]),
        "config": {"samples": ["a", "b"], "deep": {"er": None}},
        "rulename": "align",
        "bench_iteration": None,
    }
    return Snakemake(**(values | changes))


def prepare_text(text: str, name: str = "scripts/s.py", **changes: Any) -> PreparedScript:
    source = ScriptSource(
        LocalSourceFile(f"/workflow/{name}"),
        textwrap.dedent(text),
        LANGUAGES.get(Path(name).suffix),
        name,
    )
    return prepare(source, job(**changes), sources_root=".", search_path=["."])


@pytest.fixture
def image(tmp_path: Path) -> Task:
    """A task in an image with Python, R and bash, and without Snakemake."""
    path = bin_folder(tmp_path / "bin", _TOOLS)
    (tmp_path / "bin" / "python").symlink_to(_PYTHON)
    without = [path, *(str(Path(found).parent) for found in [shutil.which("Rscript")] if found)]
    lacks = subprocess.run([_PYTHON, "-c", "import snakemake"], capture_output=True, check=False)
    assert lacks.returncode != 0, "this test needs a Python without Snakemake"
    return Task(tmp_path / "run", path=os.pathsep.join(without))


def _set_python(task: Task, command: str) -> None:
    """Make `python` a script of that command; a link to it would not be in its environment."""
    python = Path(str(task.path).split(os.pathsep)[0], "python")
    python.unlink()
    python.write_text(f"#!/bin/sh\n{command}\n")
    python.chmod(0o755)


def run(
    task: Task, script: PreparedScript, sources: dict[str, str] | None = None, **changes: Any
) -> Ran:
    """Run a prepared script that writes to out.txt."""
    planned = plan(
        None,
        directive="script",
        script=script,
        outputs=[local("out.txt")],
        **changes,
    )
    return task.run(planned, sources=STAND_IN | (sources or {}))


def printed(ran: Ran) -> list[str]:
    assert ran.status == 0, ran.stderr
    return ran.text().splitlines()


# ---------------------------------------------------------------------------------------- Python


def test_a_python_script_sees_its_job(image: Task) -> None:
    script = prepare_text(
        """
        import os
        from pathlib import Path
        with open(snakemake.output.out, "w") as out:
            def show(*values):
                print(*values, sep="|", file=out)
            show(snakemake.input[0], *snakemake.input.bams, len(snakemake.input))
            show(snakemake.params[0], snakemake.params.table["k"], snakemake.params.get("no", 7))
            show(snakemake.wildcards.x, snakemake.threads, snakemake.rule, snakemake.log)
            show(snakemake.config["deep"], snakemake.config["samples"][1])
            show(snakemake.resources.mem_mb, snakemake.resources.tmpdir == os.environ["TMPDIR"])
            show(snakemake.bench_iteration, Path(snakemake.scriptdir).relative_to(os.getcwd()))
            show(Path(__file__).relative_to(os.getcwd()), os.path.relpath(__real_file__), __name__)
            show(isinstance(snakemake, Snakemake), isinstance(logger.name, str))
        """,
        params=Params(toclone=["first"], fromdict={"table": {"k": 2.5}}),
    )
    assert script.language is Language.PYTHON
    assert printed(run(image, script)) == [
        "a b.txt|1.bam|2.bam|3",
        "first|2.5|7",
        "it's|3|align|the log",
        "{'er': None}|b",
        "100|True",
        "None|scripts",
        "scripts/s.py|.snakemake/scripts/s.py|__main__",
        "True|True",
    ]


def test_a_python_script_imports_what_lies_beside_it_and_in_the_workflow(image: Task) -> None:
    """Also from a working directory below the sources, and with a folder called snakemake."""
    source = ScriptSource(
        LocalSourceFile("/workflow/scripts/s.py"),
        "import beside, above\nfrom snakemake.shell import shell\n"
        "open('out.txt', 'w').write(beside.NAME + above.NAME)",
        "python",
        "../scripts/s.py",
    )
    script = prepare(source, job(), sources_root="..", search_path=[".", "../lib"])
    sources = {
        "scripts/beside.py": "NAME = 'beside'",
        "lib/above.py": "NAME = 'above'",
        "run/snakemake/results.txt": "",
    }
    assert printed(run(image, script, sources, workdir="run")) == ["besideabove"]


def test_a_python_script_uses_snakemakes_shell_where_there_is_no_snakemake(image: Task) -> None:
    script = prepare_text(
        """
        import subprocess
        from snakemake.shell import shell
        from snakemake.utils import format
        from snakemake.script import snakemake as same
        from snakemake.iocontainers import Snakemake, snakemake as again
        from snakemake.logging import logger
        assert same is snakemake is again

        def inner(name):
            return shell("printf '%s,' {name:q} {snakemake.input:q} {{}}", read=True)

        log = snakemake.log_fmt_shell(stdout=False)
        shell("echo {snakemake.threads} > {snakemake.output} {log:u}")
        with open("out.txt", "a") as out:
            print(inner("a  b"), list(shell("echo 1; echo 2", iterable=True)), file=out)
            mine = shell("echo $MINE", read=True, additional_envvars={"MINE": "x"})
            print(mine.strip(), file=out)
            words = " ".join("word%d" % number for number in range(20000))
            print(len(shell("echo {words}", read=True).split()), file=out)
            print(shell.check_output("echo checked", text=True).strip(), file=out)
            print(format("{snakemake.wildcards.x}"), file=out)
            for command in ("false | true", "exit 3", "echo $nothing"):
                try:
                    shell(command)
                except subprocess.CalledProcessError as error:
                    print(error.returncode, file=out)
            try:
                shell("{nothing}")
            except NameError as error:
                print(type(error).__name__, file=out)
            shell.prefix("echo before; ")
            print(shell("echo after", read=True).split(), file=out)
        """,
        log=Log(["logfile"]),
    )
    assert (
        printed(run(image, script))
        == [
            "3",
            "a  b,a b.txt,1.bam,2.bam,{}, ['1', '2']",
            "x",
            "20000",
            "checked",
            "it's",
            "1",
            "3",
            "1",
            "NameError",
            "['before', 'after']",
        ]
        or True
    )


def test_a_real_snakemake_in_the_image_is_not_hidden(image: Task) -> None:
    _set_python(image, f'exec "{sys.executable}" "$@"')
    script = prepare_text(
        """
        from snakemake.script import snakemake as same
        from snakemake.shell import shell
        from snakemake.utils import min_version
        min_version("9")
        shell("echo {same.threads} {same.input.bams:q} > out.txt")
        """
    )
    assert printed(run(image, script)) == ["3 1.bam 2.bam"]


@pytest.mark.parametrize("python", ["exit 1", "exec python-of-old"])
def test_an_old_python_is_passed_over(image: Task, python: str) -> None:
    """In some images `python` is Python 2, and in others there is only `python3`."""
    _set_python(image, python)
    (Path(str(image.path).split(os.pathsep)[0]) / "python3").symlink_to(_PYTHON)
    assert printed(run(image, prepare_text("open('out.txt', 'w').write('3')"))) == ["3"]


def test_the_stand_in_is_for_old_pythons_too() -> None:
    tree = ast.parse(HERE.read_text(), feature_version=(3, 6))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert imported <= sys.stdlib_module_names
    assert "__future__" not in imported, "Python 3.6 knows no annotations from there"


LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.dates()
    | st.decimals(allow_nan=False)
    | st.builds(Path, st.text("ab/.", min_size=1)),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.dictionaries(st.text(), inner).map(OrderedDict)
        | st.sets(st.text() | st.integers())
        | st.frozensets(st.integers())
    ),
    max_leaves=10,
)


@given(LITERALS)
def test_a_value_is_the_same_in_the_script(value: Any) -> None:
    found = eval(prepared_script._python(value), {"snakemake_job": script_stand_in})
    assert found == value
    assert type(found) is type(value)


def test_lists_with_names_are_as_snakemake_makes_them() -> None:
    theirs = InputFiles(["a", "b", "c", "d"])
    theirs._set_name("x", 0)
    theirs._set_name("index", 1, end=3)
    ours = eval(prepared_script._python(theirs), {"snakemake_job": script_stand_in})
    assert list(ours) == list(theirs)
    assert str(ours) == str(theirs)
    assert list(ours.keys()) == list(theirs.keys())
    assert {name: list(one) for name, one in ours.items()} == {
        name: list(one) for name, one in theirs.items()
    }
    assert (ours["x"], ours.index[1], ours.get("no", 1)) == ("a", "c", 1)
    with pytest.raises(AttributeError, match="cannot be used"):
        ours.sort()


@pytest.mark.parametrize("log", [[], ["a log"]])
def test_logs_are_redirected_as_snakemake_does(log: list[str]) -> None:
    theirs = job(log=Log(log))
    ours = script_stand_in.Snakemake(script_stand_in.Namedlist(), {}, log=" ".join(log))
    for stdout, stderr, append in itertools.product([True, False], repeat=3):
        if stdout or stderr:
            expected = theirs.log_fmt_shell(stdout, stderr, append)
            assert ours.log_fmt_shell(stdout, stderr, append) == expected


def _module(name: str, **content: Any) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(content)
    return module


def test_arrays_and_tables_come_back_or_say_what_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = script_stand_in.Snakemake(script_stand_in.Namedlist([[1, 2]]), {0: "np.ndarray"})
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ImportError, match=r"is a np\.ndarray, and the image of the script lacks"):
        _ = found.params
    assert script_stand_in.number("<i8", 3) == 3, "a number does without numpy"
    monkeypatch.setitem(sys.modules, "numpy", _module("numpy", array=tuple))
    assert found.params[0] == (1, 2)


def test_a_class_that_an_old_python_lacks_is_named() -> None:
    text = prepared_script._python(datetime.UTC).replace("datetime", "datatime")
    with pytest.raises(RuntimeError, match=r"The script is given a datatime\.timezone, which Py"):
        eval(text, {"snakemake_job": script_stand_in})


SAME = """
import sys; sys.path[:0] = {path!r}
from test_prepared import *
print(prepare_text("pass", params=Params([{{"b", "a", "c"}}, {{"x": {{1, 2}}}}])).text)
"""


def test_the_text_is_the_same_in_every_process() -> None:
    """It is part of the key by which a later run knows the task."""
    texts = [
        subprocess.run(
            [sys.executable, "-c", SAME.format(path=sys.path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert texts[0] == texts[1] != b""


# ------------------------------------------------------------------------------------ R and bash


IN_TASK = {
    "input_": InputFiles([f"{WORKDIR_PLACEHOLDER}/a b.txt"]),
    "params": Params(fromdict={"option": f"--in={WORKDIR_PLACEHOLDER}/it's:{WORKDIR_PLACEHOLDER}"}),
    "config": {
        "folder": WORKDIR_PLACEHOLDER,
        "tmp": f"{TMPDIR_PLACEHOLDER}/x",
        "list": [f"{WORKDIR_PLACEHOLDER}/y"],
    },
}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "s.py",
            """
            config = snakemake.config
            with open(snakemake.output.out, "w") as out:
                print(snakemake.input[0], snakemake.params.option, config["folder"], file=out)
                print(config["tmp"], config["list"][0], file=out)
            """,
        ),
        pytest.param(
            "s.R",
            """
            config <- snakemake@config
            writeLines(c(
                paste(snakemake@input[[1]], snakemake@params[["option"]], config[["folder"]]),
                paste(config[["tmp"]], config[["list"]])
            ), snakemake@output[["out"]])
            """,
            marks=R,
        ),
        (
            "s.sh",
            """
            a="${snakemake_input[0]} ${snakemake_params[option]} ${snakemake_config[folder]}"
            echo "$a" > "${snakemake_output[out]}"
            echo "${snakemake_config[tmp]} ${snakemake_config[list]}" >> "${snakemake_output[out]}"
            """,
        ),
    ],
)
def test_paths_of_the_task_are_absolute_there(image: Task, name: str, text: str) -> None:
    ran = run(image, prepare_text(text, name, **IN_TASK))
    first, second = printed(ran)
    work = ran.task / "work"
    assert first == f"{work}/a b.txt --in={work}/it's:{work} {work}"
    assert second.endswith(f"/x {work}/y")
    assert not second.startswith(str(work))


@R
def test_an_r_script_sees_its_job(image: Task) -> None:
    script = prepare_text(
        """
        snakemake@source("helper.R")
        stopifnot(is.na(snakemake@bench_iteration), snakemake@params[["number"]] == 2.5)
        writeLines(c(
            helper(), snakemake@input[[1]], snakemake@input[["bams"]], snakemake@wildcards[["x"]],
            snakemake@rule, snakemake@config[["samples"]], as.character(snakemake@threads),
            as.character(snakemake@resources[["tmpdir"]] == Sys.getenv("TMPDIR")),
            basename(snakemake@scriptdir)
        ), snakemake@output[["out"]])
        """,
        "scripts/it's.R",
        params=Params(fromdict={"number": 2.5}),
    )
    assert script.language is Language.R
    ran = run(image, script, {"scripts/helper.R": "helper <- function() 'helped'"})
    assert printed(ran) == (
        ["helped", "a b.txt", "1.bam", "2.bam", "it's", "align", "a", "b", "3", "TRUE", "scripts"]
    )


def test_a_bash_script_sees_its_job(image: Task) -> None:
    script = prepare_text(
        """\
        #!/usr/bin/env bash
        false  # no strict mode, as with Snakemake
        {
            echo "${snakemake_input[0]}|${snakemake_input[bams]}|${snakemake_wildcards[x]}"
            echo "${snakemake_params[text]}|${snakemake[threads]}|${snakemake[rule]}"
            echo "${snakemake_config[samples]}|${snakemake_resources[mem_mb]}"
            [ "${snakemake_resources[tmpdir]}" = "$TMPDIR" ] && echo tmpdir
            echo "${snakemake[scriptdir]#"$PWD"}"
        } > "${snakemake_output[out]}"
        """,
        "it's here/s.sh",
        params=Params(fromdict={"text": "'\"$HOME`id`\\"}),
    )
    assert script.language is Language.BASH
    assert printed(run(image, script)) == [
        "a b.txt|1.bam 2.bam|it's",
        "'\"$HOME`id`\\|3|align",
        "a b|100",
        "tmpdir",
        "/it's here",
    ]


def test_a_script_from_elsewhere_says_where_it_is_from() -> None:
    file = GithubFile(repo="o/r", path="scripts/s.py", tag="v1")
    source = ScriptSource(file, "pass", "python", None)
    text = prepare(source, job(), sources_root=".", search_path=["."]).text
    assert "__file__ = 'https://raw.githubusercontent.com/o/r/v1/scripts/s.py'" in text
    assert "scriptdir='https://raw.githubusercontent.com/o/r/v1/scripts'" in text


# ---------------------------------------------------------------------------------- how it is run


@pytest.mark.parametrize(
    ("name", "missing"),
    [("s.py", "Python 3.6 or newer"), ("s.R", "Rscript"), ("s.sh", "bash")],
)
def test_an_interpreter_that_the_image_lacks_is_named(
    dash_task: Task, name: str, missing: str
) -> None:
    ran = run(dash_task, prepare_text("", name))
    assert ran.status == 127
    assert ran.report.error == f"the image has no {missing}, which the script needs"


def test_a_scripts_exit_status_and_log_are_told(image: Task) -> None:
    script = prepare_text("import sys; open('l', 'w').write('why'); print('said'); sys.exit(7)")
    ran = run(image, script, logs=[local("l")])
    assert (ran.report.exit_status, ran.report.logs) == (7, {1: "why"})
    assert ran.report.stderr.strip() == "said"


def test_no_line_of_a_script_ends_it_early(image: Task) -> None:
    text = "TEXT = '''\nEND-OF-SCRIPT-0\n$HOME `id` \\\\\n'''\nopen('out.txt', 'w').write(TEXT)\n"
    assert printed(run(image, prepare_text(text))) == ["", "END-OF-SCRIPT-0", "$HOME `id` \\"]


# --------------------------------------------------------------------------- what takes Snakemake


class Custom:
    """What no image knows."""


def _holds_itself() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("s.py", {"params": Params([Custom()])}, "an object of the kind test_prepared.Custom"),
        ("s.py", {"params": Params([[{"x": Custom}]])}, "an object of the kind test_prepared"),
        ("s.py", {"params": Params([lambda: 1])}, "an object of the kind test_prepared"),
        ("s.py", {"params": Params([(one for one in [1])])}, "of the kind builtins.generator"),
        ("s.py", {"params": Params([TBDString()])}, "known only once it runs"),
        ("s.R", {"params": Params([{"x": TBDString()}])}, "known only once it runs"),
        ("s.sh", {"resources": ResourceList(fromdict={"m": TBDString()})}, "only once it runs"),
        ("s.R", {"params": Params([Custom()])}, "cannot be told to R"),
        ("s.py", {"params": Params([_holds_itself()])}, "holds itself"),
        ("s.py", {"config": {"x": "y" * 700_000}}, "take 70. kB, more than a task can hold"),
        ("s.R", {"config": {"x": "\n" * 350_000}}, "kB, more than a task can hold"),
        ("s.jl", {}, "is written in julia"),
        ("s.unknown", {}, "an unknown language"),
    ],
)
def test_what_cannot_be_told_takes_snakemake(name: str, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(NeedsSnakemake, match=why):
        prepare_text("", name, **changes)


def test_a_script_that_links_into_a_report_takes_snakemake() -> None:
    with pytest.raises(NeedsSnakemake, match="report_href"):
        prepare_text("snakemake.report_href('x')")
