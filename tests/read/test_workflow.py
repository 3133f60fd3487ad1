"""What the workflow as a whole tells, apart from its jobs."""

from __future__ import annotations

from pathlib import Path
from stat import S_IFDIR, S_IFREG
from types import SimpleNamespace

from snakemake_executor_cavatica.in_task.as_parsed import Told
from snakemake_executor_cavatica.read.internals import _IOFile
from snakemake_executor_cavatica.read.sources import Sources
from snakemake_executor_cavatica.read.workflow import found_before_jobs


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
