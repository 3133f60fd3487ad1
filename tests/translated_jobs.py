"""Jobs in plain values, and a place to run their scripts in."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snakemake_executor_cavatica.in_task.names import COMMAND_NAME, SCRIPT_NAME
from snakemake_executor_cavatica.plan.decide import plan_job
from snakemake_executor_cavatica.plan.plan import JobPlan, PlannedOutput
from snakemake_executor_cavatica.project.paths import LocalPath
from snakemake_executor_cavatica.read.facts import Defaults, JobFacts, WorkflowFile
from snakemake_executor_cavatica.translate.command import command_file
from snakemake_executor_cavatica.translate.script import job_script
from snakemake_executor_cavatica.translate.staging import input_order
from snakemake_executor_cavatica.translate.task_report import JobReport, stretches

DEFAULTS = Defaults(shell_image="snakemake/snakemake:v9", snakemake_image="snakemake/snakemake:v9")
PATIENCE = 30


def read_report(stderr: str) -> JobReport:
    """Take a task's stderr apart; text that the script did not write stays as it is."""
    data = stderr.encode(errors="surrogatepass")
    report = JobReport()
    rest: list[str] = []
    for log, start, end in stretches(data, report):
        text = data[start:end].decode(errors="surrogatepass")
        if log is None:
            rest.append(text)
        else:
            report.logs[log] = text
    report.stderr = "".join(rest)
    return report


def local(path: str, **changes: Any) -> WorkflowFile:
    """A file of the workflow on this machine."""
    return WorkflowFile(path, path, LocalPath(path), **changes)


def facts(command: str | None = "true", **changes: Any) -> JobFacts:
    """A job of a shell rule."""
    values: dict[str, Any] = {
        "rule": "align",
        "jobid": "7",
        "attempt": 1,
        "directive": "shell",
        "snakemake_command": "python -m snakemake",
        "command": command,
    }
    return JobFacts(**(values | changes))


def plan(
    command: str | None = "true", defaults: Mapping[str, Any] | None = None, **changes: Any
) -> JobPlan:
    """A planned job of a shell rule."""
    return plan_job(facts(command, **changes), replace(DEFAULTS, **(defaults or {})))


@dataclass(frozen=True)
class Ran:
    """What a job's script left."""

    status: int
    stderr: str
    report: JobReport
    task: Path
    plan: JobPlan

    def output(self, index: int = 0) -> Path:
        """The stored file or folder of an output."""
        found = list((self.task / "out" / str(index)).iterdir())
        assert len(found) == 1, found
        return found[0]

    def text(self, index: int = 0) -> str:
        return self.output(index).read_text()

    def planned(self, index: int = 0) -> PlannedOutput:
        return self.plan.outputs[index]


@dataclass(frozen=True)
class Task:
    """A directory as an engine lays it out: script and command in it, inputs elsewhere."""

    root: Path
    sh: Sequence[str] = ("sh",)
    """What starts the script."""
    path: str | None = None
    """PATH of the image."""
    environment: Mapping[str, str] | None = None

    def store(self, name: str, content: str | Mapping[str, str] = "content\n") -> Path:
        """A read-only input, a folder if it has many contents."""
        stored = self.root / "inputs" / name
        stored.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            stored.write_text(content)
        else:
            for inner, text in content.items():
                (stored / inner).parent.mkdir(parents=True, exist_ok=True)
                (stored / inner).write_text(text)
        return stored

    def parcel(self, name: str, contents: Mapping[str, str]) -> str:
        """The path of a parcel with these contents."""
        path = self.root / "parcels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as tar:
            for inner, text in contents.items():
                member = tarfile.TarInfo(inner)
                member.size, member.mode = len(text), 0o444
                tar.addfile(member, io.BytesIO(text.encode()))
        return str(path)

    def run(
        self,
        planned: JobPlan,
        inputs: Mapping[str, Path] | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run the script of a job; `inputs` are the stored files by path in the task."""
        task = self.root / "task"
        task.mkdir(parents=True)
        (task / SCRIPT_NAME).write_text(job_script(planned))
        (task / COMMAND_NAME).write_text(command_file(planned))
        archive = self.root / "sources.tar"
        with tarfile.open(archive, "w") as tar:
            for name, text in (sources or {}).items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                tar.addfile(member, io.BytesIO(text.encode()))
        arguments = [*planned.parcels]
        arguments += [str((inputs or {})[staged.path]) for staged in input_order(planned)]
        environment = {
            "PATH": self.path or os.environ["PATH"],
            "TMPDIR": str(self.root / "tmp dir"),
            "HOME": str(self.root),
            **(self.environment or {}),
        }
        Path(self.root / "tmp dir").mkdir()
        with (self.root / "stderr").open("wb") as stderr:
            # A standard input that never ends: who reads it hangs.
            reading, writing = os.pipe()
            try:
                done = subprocess.run(
                    [*self.sh, SCRIPT_NAME, str(archive), *arguments],
                    cwd=task,
                    env=environment,
                    stdin=reading,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    timeout=PATIENCE,
                    check=False,
                )
            finally:
                os.close(reading)
                os.close(writing)
        assert done.stdout == b"", "the platform keeps stderr only"
        text = (self.root / "stderr").read_bytes().decode(errors="replace")
        report = read_report(text)
        assert report.exit_status == done.returncode, text
        return Ran(done.returncode, text, report, task, planned)


def bin_folder(folder: Path, programs: Sequence[str]) -> str:
    """A PATH that holds just these programs."""
    folder.mkdir()
    for program in programs:
        found = shutil.which(program)
        assert found, program
        (folder / program).symlink_to(found)
    return str(folder)
