"""What the workflow as a whole tells, apart from its jobs."""

from __future__ import annotations

from pathlib import Path
from stat import S_IFDIR, S_IFREG
from types import SimpleNamespace
from typing import Any

from snakemake_executor_cavatica.in_task.as_parsed import Told
from snakemake_executor_cavatica.read.internals import _IOFile
from snakemake_executor_cavatica.read.sources import Sources
from snakemake_executor_cavatica.read.workflow import _told, found_before_jobs


def test_a_later_run_finds_what_an_earlier_one_found() -> None:
    """Else no result would be reused: what jobs make, and folders, come while a workflow runs."""
    output = _IOFile("made/{x}.txt", None)
    rule = SimpleNamespace(output=[output], log=[], benchmark=None)
    workflow = SimpleNamespace(rules=[rule])
    listings = {"made": {"a.txt": "f", "other": "f"}, ".": {"made": "d", "data": "d"}, "new": None}
    listings |= {"/elsewhere": {"a": "f"}}
    file, folder = Told(S_IFREG | 0o644, 1), Told(S_IFDIR | 0o755, 1)
    asked = {"made/a.txt": file, "logs": folder, "none.txt": None, "../elsewhere": file}
    sources = Sources(Path("/w"), (), ".", listings=listings, asked={**asked, "a.bam": file})
    found = found_before_jobs(workflow, sources)
    assert found == {"made": ["other"], ".": ["data"], "": ["a.bam 1"]}
    assert found != found_before_jobs(workflow, Sources(Path("/w"), (), ".", listings=listings))


def test_names_of_the_snakefile_are_filled_in_where_a_command_spells_out_a_file() -> None:
    names = {
        "SCRIPTS": Path("/w/scripts"),
        "config": {"a": {"b": "x.fa"}, "list": ["y.fa"]},
        "workflow": SimpleNamespace(basedir="/w"),
        "input": print,
        "params": {"a": "of the Snakefile"},
    }
    command = (
        "{SCRIPTS}/a.py {config[a][b]:q} {config[list][0]} {workflow.basedir}/b.sh {input} "
        "{params.a} {config[none]} {unknown} {workflow.nothing} {config[list][x]}"
    )
    workflow: Any = SimpleNamespace(globals=names)
    rule = SimpleNamespace(shellcmd=command, run_func=None, script=None, notebook=None, params=[])
    assert _told(workflow, rule)[0] == (
        "/w/scripts/a.py x.fa y.fa /w/b.sh {input} "
        "{params.a} {config[none]} {unknown} {workflow.nothing} {config[list][x]}"
    )
    rule.run_func = SimpleNamespace(__globals__={**names, "SCRIPTS": "of the module"})
    assert str(_told(workflow, rule)[0]).startswith("of the module/a.py ")
