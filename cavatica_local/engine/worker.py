"""What runs in the forked process of one task: from the execution on disk to the result on disk."""

from __future__ import annotations

import functools
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

from cwltool import load_tool
from cwltool.context import LoadingContext, RuntimeContext
from cwltool.errors import WorkflowException
from cwltool.executors import SingleJobExecutor
from cwltool.loghandler import _logger as cwltool_log
from cwltool.loghandler import defaultStreamHandler
from cwltool.process import Process
from schema_salad.exceptions import SchemaSaladException

from cavatica_local.engine import INPUTS_CHANGED, Execution, ExecutionResult, readonly, records
from cavatica_local.engine.containers import DEFAULT_HABITS, ContainerHabits, Containers
from cavatica_local.engine.staging import InputFolder, local_path
from cavatica_local.engine.tools import FsAccess, Run, improve_cwltool, make_tool

_VERSIONS = ("v1.0", "v1.1", "v1.2")


def preload() -> None:
    """Fill cwltool's caches, so that forked processes find every schema parsed."""
    improve_cwltool()
    for version in _VERSIONS:
        document = {"class": "CommandLineTool", "cwlVersion": version, "inputs": [], "outputs": []}
        run = Run(Execution("", "", document, {}, Path("/")), "none", DEFAULT_HABITS)
        _load(run)


def main(directory: Path, containers: Containers, habits: ContainerHabits) -> None:
    """Run the execution that was left in a directory, and leave its result there."""
    run = Run(records.read_execution(directory), containers, habits)
    if containers != "none":
        # Another user may have to read what is put into the container.
        os.umask(0o022)

    def abort(*_: object) -> None:
        run.aborted = True

    # The tool gets the same signal. This process stays to record how the tool ended.
    signal.signal(signal.SIGTERM, abort)
    records.write_result(directory, _run(run))


def _run(run: Run) -> ExecutionResult:
    errors = _capture_messages()
    outputs: dict[str, Any] = {}
    succeeded = False
    # A container has mounts of its own, and its inputs are read-only there.
    is_safe = run.containers != "none" or readonly.enter_own_mounts()
    try:
        folder = InputFolder(run.inputs, is_read_only=is_safe)
        order = _stage_inputs(run, folder)
        found, status = SingleJobExecutor()(_load(run), order, _runtime_context(run))
        succeeded = status == "success" and not folder.changed
        if folder.changed:
            run.fail(INPUTS_CHANGED)
        if succeeded:
            outputs = _Outputs(run.directory).local(found or {})
    except (WorkflowException, SchemaSaladException, OSError) as error:
        succeeded = False
        cwltool_log.error("%s", error)
        run.fail(records.one_sentence(error))
    failure = run.failure or records.one_sentence(errors.message) or "The task failed."
    return ExecutionResult(
        succeeded=succeeded,
        message="Completed" if succeeded else failure,
        exit_status=run.exit_status,
        outputs=outputs,
        command_line=run.command_line,
        inputs_are_safe=is_safe,
    )


def _stage_inputs(run: Run, folder: InputFolder) -> dict[str, Any]:
    run.inputs.mkdir(parents=True)
    (run.directory / "tmp").mkdir()
    order = {name: folder.stage(value) for name, value in run.execution.inputs.items()}
    if run.containers == "none" and folder.is_read_only:
        readonly.make_read_only(run.inputs)
    return order


def _load(run: Run) -> Process:
    context = LoadingContext(
        {
            "construct_tool_object": functools.partial(make_tool, run),
            # Names as stored may have any character.
            "relax_path_checks": True,
            # Documents come from many tools, with fields of their own.
            "strict": False,
            # Both would cost time for advice that nobody reads; schemas even need the network.
            "disable_js_validation": True,
            "skip_schemas": True,
        }
    )
    document = {**run.execution.document}
    document["id"] = f"file:///{_app_name(str(document.get('id', '')))}"
    return load_tool.load_tool(document, context)


def _app_name(identifier: str) -> str:
    """`owner/project/name/revision`, `#name` or a URI: the name alone."""
    parts = [part for part in identifier.replace("#", "/").split("/") if part]
    if len(parts) > 1 and parts[-1].isdecimal():
        parts.pop()
    return records.safe_name(parts[-1] if parts else "")


def _runtime_context(run: Run) -> RuntimeContext:
    temporary = f"{run.directory / 'tmp'}/"
    return RuntimeContext(
        {
            "basedir": str(run.directory),
            "use_container": run.containers != "none",
            "no_read_only": run.habits.writable_root,
            "no_match_user": not run.habits.own_user,
            # As on the platform, who has the network can reach the API: it listens on loopback,
            # which is another one in a container with a network of its own.
            "custom_net": "host",
            "tmpdir_prefix": temporary,
            "tmp_outdir_prefix": temporary,
            # Outputs stay where the tool wrote them, and may be links to temporary files.
            "rm_tmpdir": False,
            # Whoever stores the outputs reads every byte anyway.
            "compute_checksum": False,
            "make_fs_access": FsAccess,
        }
    )


class _LastMessage(logging.Handler):
    """Remembers why cwltool gave up where it only logs it."""

    message = ""
    level_seen = logging.INFO

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.levelno >= max(self.level_seen, logging.WARNING) and "] completed " not in text:
            self.level_seen, self.message = record.levelno, text


def _capture_messages() -> _LastMessage:
    cwltool_log.removeHandler(defaultStreamHandler)
    to_log = logging.StreamHandler(sys.stderr)
    to_log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    cwltool_log.addHandler(to_log)
    last = _LastMessage()
    cwltool_log.addHandler(last)
    return last


class _Outputs:
    """Turns a CWL output object into one whose files and directories all have a local path."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._literals = 0

    def local(self, value: Any) -> Any:
        """The value with `path` instead of `location`, and full listings."""
        if isinstance(value, list):
            return [self.local(item) for item in value]
        if not isinstance(value, dict):
            return value
        if value.get("class") == "File":
            return self._file(value)
        if value.get("class") == "Directory":
            return self._directory_entry(value)
        return {key: self.local(item) for key, item in value.items()}

    def _file(self, value: dict[str, Any]) -> dict[str, Any]:
        if value["location"].startswith("_:"):
            path = self._literal_folder() / value["basename"]
            path.write_text(value["contents"], encoding="utf-8")
        else:
            path = self._checked(value)
        entry = _file_entry(path, value["basename"])
        if "format" in value:
            entry["format"] = value["format"]
        if value.get("secondaryFiles"):
            entry["secondaryFiles"] = self.local(value["secondaryFiles"])
        return entry

    def _directory_entry(self, value: dict[str, Any]) -> dict[str, Any]:
        if value["location"].startswith("_:"):
            path = self._literal_folder() / value["basename"]
            path.mkdir()
            listing = self.local(value["listing"])
        else:
            path = self._checked(value)
            listing = _listing(path, (path.resolve(),))
        name = value["basename"]
        return {"class": "Directory", "basename": name, "path": str(path), "listing": listing}

    def _checked(self, value: dict[str, Any]) -> Path:
        location = value["location"]
        path = local_path(location) if location.startswith("file:") else Path(location)
        if not path.is_relative_to(self._directory):
            raise WorkflowException(f"Output {value['basename']} is outside of the task: {path}")
        return path

    def _literal_folder(self) -> Path:
        self._literals += 1
        folder = self._directory / "literals" / str(self._literals)
        folder.mkdir(parents=True)
        return folder


def _file_entry(path: Path, basename: str) -> dict[str, Any]:
    size = path.stat().st_size
    return {"class": "File", "basename": basename, "path": str(path), "size": size}


def _listing(folder: Path, above: tuple[Path, ...]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        path = Path(entry.path)
        if entry.is_file():
            entries.append(_file_entry(path, entry.name))
        elif entry.is_dir() and (real := path.resolve()) not in above:
            content = _listing(path, (*above, real))
            shown = {"class": "Directory", "basename": entry.name, "path": str(path)}
            entries.append({**shown, "listing": content})
        else:
            cwltool_log.warning("%s cannot be stored: neither a file nor a directory", path)
    return entries
