# ruff: noqa: N803, ARG002 - these names and parameters are cwltool's
"""cwltool's tools and jobs, changed to run at the platform's paths and to keep their records."""

from __future__ import annotations

import functools
import glob
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, MutableMapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cwltool import process
from cwltool.builder import Builder
from cwltool.command_line_tool import CommandLineTool
from cwltool.context import LoadingContext, RuntimeContext
from cwltool.docker import DockerCommandLineJob
from cwltool.errors import WorkflowException
from cwltool.job import CommandLineJob, JobBase
from cwltool.loghandler import _logger as cwltool_log
from cwltool.pathmapper import MapperEnt, PathMapper
from cwltool.process import Process, shortname
from cwltool.stdfsaccess import StdFsAccess
from cwltool.update import ORIGINAL_CWLVERSION
from cwltool.workflow import default_make_tool

from cavatica_local.engine import ABORTED, Execution, exit_message, records
from cavatica_local.engine.containers import (
    ContainerHabits,
    Containers,
    end_container,
    ensure_image,
    run_options,
)
from cavatica_local.engine.staging import local_path


@dataclass
class Run:
    """One execution under way: where things are, and what is known of how it went."""

    execution: Execution
    containers: Containers
    habits: ContainerHabits
    aborted: bool = False
    exit_status: int | None = None
    command_line: str = ""
    failure: str = ""
    """The first reason that is known for sure."""

    @property
    def directory(self) -> Path:
        """Everything is below it."""
        return self.execution.directory

    @property
    def inputs(self) -> Path:
        """The folder of all inputs."""
        return self.directory / "sbgenomics" / "Projects" / self.execution.project_uuid

    def new_workspace(self, name: str) -> Path:
        """A fresh working directory for a job of this name."""
        parent = self.directory / "sbgenomics" / "workspaces" / self.execution.project_uuid
        parent = parent / "tasks" / self.execution.task_id
        parent.mkdir(parents=True, exist_ok=True)
        stem = records.safe_name(name)
        number, workspace = 1, parent / stem
        while workspace.exists():
            number += 1
            workspace = parent / f"{stem}_{number}"
        workspace.mkdir()
        return workspace

    def tool_path(self, path: Path) -> str:
        """How the tool sees a path below the directory: in a container, as on the platform."""
        if self.containers == "none":
            return str(path)
        return str(PurePosixPath("/") / path.relative_to(self.directory))

    def fail(self, reason: str) -> None:
        """Note why the run fails; later reasons are mere consequences."""
        self.failure = self.failure or reason


def make_tool(run: Run, document: Any, loading_context: LoadingContext) -> Process:
    """Like cwltool's own function of this name, with our kind of CommandLineTool."""
    if document["class"] == "CommandLineTool":
        return _Tool(run, document, loading_context)
    return default_make_tool(document, loading_context)


class FsAccess(StdFsAccess):
    """cwltool's file access, for directories whose own path has characters special to globs."""

    def glob(self, pattern: str) -> list[str]:
        """As the base class, but only what follows the base directory is a pattern."""
        base = self.basedir.rstrip("/")
        if base and (pattern == base or pattern.startswith(base + "/")):
            pattern = glob.escape(base) + pattern[len(base) :]
        return super().glob(pattern)


class _InputMapper(PathMapper):
    """Leaves inputs where they are: cwltool would make a folder, a link or a mount for each."""

    def __init__(self, run: Run, *args: Any) -> None:
        self._run = run
        self._by_target: dict[str, tuple[str, str]] | None = None
        super().__init__(*args)

    def visit(
        self,
        obj: Any,
        stagedir: str,
        basedir: str,
        copy: bool = False,
        staged: bool = False,
    ) -> None:
        location = obj["location"]
        path = local_path(location) if location.startswith("file:") else None
        if path is not None and not path.is_relative_to(self._run.directory):
            raise WorkflowException(f"{location} is not a file of the platform")
        if path is None or not self._stays(path, obj["basename"]):
            super().visit(obj, stagedir, basedir, copy, staged)
            return
        target = self._run.tool_path(path)
        self._pathmap[location] = MapperEnt(str(path), target, obj["class"], False)
        self.visitlisting(obj.get("secondaryFiles", []), stagedir, basedir)
        self.visitlisting(obj.get("listing", []), target, basedir)

    def _stays(self, path: Path, basename: str) -> bool:
        return self.separateDirs and path.name == basename and path.is_relative_to(self._run.inputs)

    def update(self, *args: Any, **kwargs: Any) -> MapperEnt:
        self._by_target = None
        return super().update(*args, **kwargs)

    def reversemap(self, target: str) -> tuple[str, str] | None:
        """As the base class, which searches all inputs for every single output."""
        if self._by_target is None:
            self._by_target = {}
            for source, entry in self.items():
                self._by_target.setdefault(entry.target, (source, entry.resolved))
        return self._by_target.get(target)


class _Items(list[Any]):
    """A list that is the same after a deep copy."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Items:
        return self


class _Builder(Builder):
    """Binds arrays in linear time.

    The base class copies, for each element of an array, a binding that holds the whole array, only
    to replace it in the copy by the element: 54 seconds for 5,000 files.
    """

    def bind_input(self, schema: Any, datum: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(datum, list):
            datum = _Items(datum)
        return super().bind_input(schema, datum, *args, **kwargs)


def improve_cwltool() -> None:
    """Put the faster builder in the only place where cwltool takes it from."""
    vars(process)["Builder"] = _Builder


class _Tool(CommandLineTool):
    """A tool whose jobs run in the platform's working directories."""

    def __init__(self, run: Run, document: Any, loading_context: LoadingContext) -> None:
        super().__init__(document, loading_context)
        self._run = run
        self._docker_was_ignored = False
        if run.containers == "none":
            self._make_docker_a_hint()
        # v1.0 cannot ask for the network, so cwltool grants it: no promise here.
        if not run.execution.network or self.metadata.get(ORIGINAL_CWLVERSION) == "v1.0":
            self.hints = [hint for hint in self.hints if hint["class"] != "NetworkAccess"]
        if not run.execution.network:
            self.requirements = [
                item for item in self.requirements if item["class"] != "NetworkAccess"
            ]

    def _make_docker_a_hint(self) -> None:
        """Where there are no containers, nothing can honour it, and cwltool would refuse."""
        docker = [item for item in self.requirements if item["class"] == "DockerRequirement"]
        self.requirements = [item for item in self.requirements if item not in docker]
        self.hints = [*self.hints, *docker]

    def job(
        self, job_order: Any, output_callbacks: Any, runtimeContext: RuntimeContext
    ) -> Generator[Any, None, None]:
        """Run in `.../workspaces/<project>/tasks/<task>/<tool or step>`."""
        context = runtimeContext.copy()
        workspace = self._run.new_workspace(context.name or shortname(self.tool["id"]))
        context.outdir = str(workspace)
        context.docker_outdir = self._run.tool_path(workspace)
        return super().job(job_order, output_callbacks, context)

    def make_job_runner(self, runtimeContext: RuntimeContext) -> Any:
        docker, _ = self.get_requirement("DockerRequirement")
        if docker is None or self._run.containers != "none":
            in_container = docker is not None
            return functools.partial(_ContainerJob if in_container else _HostJob, self._run)
        image = docker.get("dockerPull") or docker.get("dockerImageId") or "a container"
        cwltool_log.warning("Running without containers: %s is ignored.", image)
        return functools.partial(_HostJob, self._run)

    def make_path_mapper(
        self,
        reffiles: Any,
        stagedir: str,
        runtimeContext: RuntimeContext,
        separateDirs: bool,
    ) -> PathMapper:
        return _InputMapper(self._run, reffiles, runtimeContext.basedir, stagedir, separateDirs)


class _RecordedJob(JobBase):
    """Keeps command line, streams and exit status, whether or not the document asks for them."""

    def __init__(self, run: Run, *args: Any) -> None:
        super().__init__(*args)
        self._run = run

    def _execute(
        self,
        runtime: list[str],
        env: MutableMapping[str, str],
        runtimeContext: RuntimeContext,
        monitor_function: Callable[[subprocess.Popen[str]], None] | None = None,
    ) -> None:
        if self._run.aborted:
            raise WorkflowException(ABORTED)
        logs = records.new_log_folder(self._run.directory, records.safe_name(self.name))
        self._record_command(logs)
        records.write_entry(self._run.directory, runtime, self.outdir)
        self._share_stream(self.stdout, logs / "stdout")
        self._share_stream(self.stderr, logs / "stderr")
        collect = self.collect_outputs
        self.collect_outputs = functools.partial(self._collect, collect, time.monotonic())
        context = runtimeContext.copy()
        with Path(os.devnull).open("wb") as nowhere, (logs / "stderr").open("ab") as stderr:
            context.default_stdout, context.default_stderr = nowhere, stderr
            super()._execute(runtime, env, context, monitor_function)
        self._keep_logs(logs)

    def _record_command(self, logs: Path) -> None:
        streams = (("<", self.stdin), (">", self.stdout), ("2>", self.stderr))
        command = records.command_text(self.command_line, streams)
        self._run.command_line = command
        self._run.exit_status = None
        (logs / "cmd.log").write_text(command + "\n", encoding="utf-8")

    def _share_stream(self, name: str | None, log: Path) -> None:
        """Make the log a second name of the file that the document asks for."""
        if name is not None:
            path = Path(self.outdir, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            log.hardlink_to(path)

    def _collect(
        self, collect: Callable[[str, int], Any], started: float, outdir: str, status: int
    ) -> Any:
        self._run.exit_status = status
        if not self._succeeded(status):
            self._run.fail(self._reason(status, time.monotonic() - started))
            return {}
        self._make_links_local(Path(outdir))
        try:
            return collect(outdir, status)
        except WorkflowException as error:
            self._run.fail(records.one_sentence(error))
            raise

    def _succeeded(self, status: int) -> bool:
        failures = {*self.temporaryFailCodes, *self.permanentFailCodes}
        return status in self.successCodes or (status == 0 and status not in failures)

    def _reason(self, status: int, seconds: float) -> str:
        if self.timelimit and seconds >= self.timelimit:
            return f"Tool exceeded its time limit of {self.timelimit} seconds."
        if status < 0:
            return f"Tool was ended by {records.signal_text(-status)}."
        return exit_message(status)

    def _make_links_local(self, outdir: Path) -> None:
        """For jobs that see other paths than this process does."""

    def _keep_logs(self, logs: Path) -> None:
        workspace = Path(self.outdir)
        (logs / "job.tree.log").write_text(records.tree_text(workspace), "utf-8", "replace")
        for pattern in self._patterns_of_logs():
            for path in sorted(workspace.glob(pattern)):
                if path.is_file():
                    shutil.copyfile(path, records.free_name(logs, path.name))
        with (logs / "stderr").open("rb") as stderr, self._error_log().open("ab") as log:
            shutil.copyfileobj(stderr, log)

    def _error_log(self) -> Path:
        return records.error_log(self._run.directory)

    def _patterns_of_logs(self) -> Iterator[str]:
        for hint in self.hints:
            # As written, or with the prefix spelled out where the document declares it.
            if re.search(r"\bsavelogs$", str(hint["class"]), re.IGNORECASE):
                pattern = str(self.builder.do_eval(hint.get("value")))
                if pattern and not {"/", ".."} & set(PurePosixPath(pattern).parts):
                    yield pattern


class _HostJob(_RecordedJob, CommandLineJob):
    """A job without a container."""


class _ContainerJob(_RecordedJob, DockerCommandLineJob):
    """A job in a container of podman or docker, which sees the paths of the platform."""

    def __init__(self, run: Run, *args: Any) -> None:
        super().__init__(run, *args)
        self.docker_exec = run.containers

    def get_from_requirements(
        self,
        r: Any,
        pull_image: bool,
        force_pull: bool,
        tmp_outdir_prefix: str,
        image_base_path: str | None = None,
    ) -> str | None:
        """The image to run: what is here is never pulled again."""
        image = r.get("dockerImageId") or r.get("dockerPull")
        if image is None:
            raise WorkflowException("DockerRequirement names no image (dockerPull).")
        try:
            ensure_image(self._run.containers, image)
        except LookupError as error:
            self._run.fail(str(error))
            raise WorkflowException(str(error)) from error
        return str(image)

    def create_runtime(
        self, env: MutableMapping[str, str], runtimeContext: RuntimeContext
    ) -> tuple[list[str], str | None]:
        runtime, cidfile = super().create_runtime(env, runtimeContext)
        inputs = self._run.inputs
        self.append_volume(runtime, str(inputs), self._run.tool_path(inputs))
        run = self._run
        runtime.extend(run_options(run.containers, run.habits, run.execution.task_id))
        if not run.habits.own_user:
            for folder in (self.outdir, self.tmpdir):
                Path(folder).chmod(0o777)
        return runtime, cidfile

    def _required_env(self) -> dict[str, str]:
        return super()._required_env() if self._run.habits.cwl_variables else {}

    def docker_monitor(
        self,
        cidfile: str,
        tmpdir_prefix: str,
        cleanup_cidfile: bool,
        docker_exe: str,
        process: subprocess.Popen[str],
    ) -> None:
        """Only wait: cwltool's way costs a second a job, and cannot enforce a time limit."""
        try:
            process.wait(timeout=self.timelimit or None)
        except subprocess.TimeoutExpired:
            end_container(self._run.containers, self._run.execution.task_id, process)

    def _make_links_local(self, outdir: Path) -> None:
        """Point links at paths of the container to the same files outside of it."""
        for folder, folders, files in os.walk(outdir):
            for path in (Path(folder, name) for name in folders + files):
                if path.is_symlink() and (here := self._outside(str(path.readlink()))):
                    path.unlink()
                    path.symlink_to(here)

    def _outside(self, target: str) -> str | None:
        known = self.pathmapper.reversemap(target)
        if known is not None:
            return known[1]
        return f"{self._run.directory}{target}" if target.startswith("/sbgenomics/") else None
