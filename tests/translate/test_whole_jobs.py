"""App, draft and script together, executed by cwltool as the embedded platform does it."""

from __future__ import annotations

import shlex
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from translated_jobs import local, plan, read_report

from cavatica_local.engine import Execution, ExecutionResult
from cavatica_local.engine.cwl import CwltoolEngine
from snakemake_executor_cavatica.api import FileRef
from snakemake_executor_cavatica.plan.plan import JobPlan
from snakemake_executor_cavatica.project.paths import ProjectPath
from snakemake_executor_cavatica.read.facts import WorkflowFile
from snakemake_executor_cavatica.translate.app import SOURCES, app_document
from snakemake_executor_cavatica.translate.draft import task_draft, work_of_job
from snakemake_executor_cavatica.translate.stored_names import stored_name

PATIENCE = 60


@pytest.fixture(scope="module")
def engine() -> Iterator[CwltoolEngine]:
    started = CwltoolEngine("none")
    yield started
    started.close()


def execute(
    engine: CwltoolEngine, root: Path, job: JobPlan, stored: dict[str, dict[str, Any]]
) -> ExecutionResult:
    """Execute the job's draft; `stored` are CWL values by path of the workflow."""
    sources = root / "sources.tar"
    tarfile.open(sources, "w").close()
    draft = task_draft(
        work_of_job(job, {staged.place: FileRef(staged.path) for staged in job.inputs}),
        name="job",
        description="job",
        app="me/p/app/0",
        run_folder=ProjectPath("me/p", "runs"),
        sources=FileRef("sources"),
    )
    values = {**stored, "sources": file_value(sources)}

    def resolve(value: Any) -> Any:
        if isinstance(value, list):
            return [resolve(member) for member in value]
        return values[value["path"]] if isinstance(value, dict) else value

    inputs = {port: resolve(value) for port, value in draft.to_body()["inputs"].items()}
    assert SOURCES in inputs
    directory = root / "execution"
    directory.mkdir()
    results: list[ExecutionResult] = []
    ended = threading.Event()

    def finished(result: ExecutionResult) -> None:
        results.append(result)
        ended.set()

    document = {"id": "me/p/app/0", **app_document(job)}
    engine.start(Execution("task", "project", document, inputs, directory), finished)
    assert ended.wait(PATIENCE)
    return results[0]


def file_value(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    return {"class": "File", "location": path.as_uri(), "basename": path.name, "size": size}


NAMES = ["plain.txt", "a b.txt", 'it\'s "x"', "[x]*?.txt", ".hidden", "日本 ü", "$(id) `id` $HOME"]
NAMES += ["a#b%20c?d", "-n", "new\nline", "a:b", "$(inputs.snakemake_cores)", "..x"]


def test_names_of_all_kinds_go_in_and_come_out(engine: CwltoolEngine, tmp_path: Path) -> None:
    stored, commands = {}, []
    for number, name in enumerate(NAMES):
        blob = tmp_path / "blobs" / f"{number:08x}"
        blob.parent.mkdir(exist_ok=True)
        blob.write_text(f"{name}\n")
        blob.chmod(0o444)
        stored[f"in/{name}"] = {**file_value(blob), "basename": f"{number}-x"}
        commands.append(f"cat {shlex.quote(f'in/{name}')} > {shlex.quote(f'out/{name}')}")
    job = plan(
        "; ".join(commands),
        inputs=[local(f"in/{name}") for name in NAMES],
        outputs=[local(f"out/{name}") for name in NAMES],
        resources={"mem_mb": 100, "disk_mb": 100, "runtime": 5},
    )
    result = execute(engine, tmp_path, job, stored)
    assert result.succeeded, result.message
    for output, name in zip(job.outputs, NAMES, strict=True):
        value = result.outputs[output.port]
        assert value["basename"] == name == stored_name(output)
        assert Path(value["path"]).read_text() == f"{name}\n"


def test_folders_logs_and_links_come_out(engine: CwltoolEngine, tmp_path: Path) -> None:
    blob = tmp_path / "blob"
    blob.write_text("stored\n")
    folder = {
        "class": "Directory",
        "basename": "whatever",
        "listing": [{**file_value(blob), "basename": "x"}],
    }
    place = ProjectPath("me/p", "db")
    job = plan(
        "cat db/x > o/a; ln -s a o/b; mkdir 'my dir'; ln -s ../db/x 'my dir/x'; echo l > db/log",
        inputs=[WorkflowFile("db", "db", place, form="folder")],
        outputs=[local("o/a"), local("o/b"), local("my dir", form="folder")],
        logs=[local("db/log")],
    )
    result = execute(engine, tmp_path, job, {"db": folder})
    assert result.succeeded, result.logs["stderr"].read_text()
    paths = [Path(result.outputs[output.port]["path"]) for output in job.outputs]
    assert [path.read_text() for path in (paths[0], paths[1], paths[2] / "x", paths[3])] == [
        "stored\n",
        "stored\n",
        "stored\n",
        "l\n",
    ]
    assert paths[2].name == "my_.20dir"
    assert blob.read_text() == "stored\n"


def test_a_failed_job_leaves_its_report_in_stderr(engine: CwltoolEngine, tmp_path: Path) -> None:
    job = plan("echo why > log; printf said >&2; exit 7", logs=[local("log")])
    result = execute(engine, tmp_path, job, {})
    assert not result.succeeded
    report = read_report(result.logs["stderr"].read_text())
    assert (report.exit_status, report.logs, report.stderr.strip()) == (7, {0: "why"}, "said")
