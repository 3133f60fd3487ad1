"""What an execution leaves on disk: the only thing that the engine and its forked processes share.

A process that runs a task can be killed at any moment. Therefore it writes each fact when it
knows it, and the engine reads what is there afterwards, whether or not the process came to an end
of its own.

    <directory>/execution.json      what to run, written by the engine
    <directory>/result.json         how it ended, written last and atomically
    <directory>/logs/job.err.log    messages of the executor, then the standard error of the tools
    <directory>/logs/0001.<job>/    one folder per job (a workflow has several), in order of start
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shlex
import signal
import stat
import time
from pathlib import Path
from typing import Any

from cavatica_local.engine import Execution, ExecutionResult

_MESSAGE_LIMIT = 600
_NOT_FOR_PEOPLE = ("--cidfile", "--log-driver", "--label", "--rm", "--entrypoint")
_SOURCE_POSITION = re.compile(r"^\s*(?:\S+:\d+:\d+:\s*)+")


def error_log(directory: Path) -> Path:
    """The log that collects the executor's messages, whatever happens."""
    return directory / "logs" / "job.err.log"


def write_execution(execution: Execution) -> None:
    """Leave the execution in its directory, for the process that will run it."""
    error_log(execution.directory).parent.mkdir(exist_ok=True)
    content = {
        "task_id": execution.task_id,
        "project_uuid": execution.project_uuid,
        "document": execution.document,
        "inputs": execution.inputs,
        "name": execution.name,
        "network": execution.network,
    }
    (execution.directory / "execution.json").write_text(json.dumps(content), encoding="utf-8")


def read_execution(directory: Path) -> Execution:
    """The execution that the engine left in a directory."""
    content = json.loads((directory / "execution.json").read_text(encoding="utf-8"))
    return Execution(directory=directory, **content)


def write_result(directory: Path, result: ExecutionResult) -> None:
    """Leave the result, completely or not at all; logs are found again on reading."""
    content = dataclasses.asdict(dataclasses.replace(result, logs={}))
    draft = directory / "result.json.part"
    draft.write_text(json.dumps(content), encoding="utf-8")
    draft.replace(directory / "result.json")


def read_result(directory: Path, fallback: ExecutionResult) -> ExecutionResult:
    """The result that was left, or the fallback where there is none; with the logs on disk."""
    logs = find_logs(directory)
    try:
        content = json.loads((directory / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        command = logs["cmd.log"].read_text("utf-8").rstrip("\n") if "cmd.log" in logs else ""
        return dataclasses.replace(fallback, logs=logs, command_line=command)
    return ExecutionResult(**{**content, "logs": logs})


def write_entry(directory: Path, runtime: list[str], workspace: str) -> None:
    """Leave a script that brings a person to where the job runs, for when the directory is kept.

    Args:
        runtime: how its container is started, with the image last; empty if there is none.
    """
    if runtime:
        kept = [word for word in runtime[2:-1] if not word.startswith(_NOT_FOR_PEOPLE)]
        words = [*runtime[:2], "-t", *kept, "--rm", "--entrypoint=", runtime[-1], "/bin/sh"]
        script = f"exec {shlex.join(words)}\n"
    else:
        script = f'cd {shlex.quote(workspace)} && exec "${{SHELL:-/bin/sh}}"\n'
    (directory / "enter.sh").write_text(f"#!/bin/sh\n{script}", encoding="utf-8")


def find_logs(directory: Path) -> dict[str, Path]:
    """Log name to file. The last job's logs have plain names, earlier jobs' "<job>.<name>"."""
    found: dict[str, Path] = {}
    folders = sorted(entry for entry in (directory / "logs").iterdir() if entry.is_dir())
    for folder in folders:
        prefix = "" if folder == folders[-1] else f"{folder.name.partition('.')[2]}."
        found.update((prefix + log.name, log) for log in sorted(folder.iterdir()))
    if error_log(directory).exists():
        found["job.err.log"] = error_log(directory)
    return found


def new_log_folder(directory: Path, job: str) -> Path:
    """An empty folder for the logs of one job."""
    logs = directory / "logs"
    number = sum(1 for entry in logs.iterdir() if entry.is_dir()) + 1
    folder = logs / f"{number:04}.{job}"
    folder.mkdir()
    return folder


def free_name(folder: Path, name: str) -> Path:
    """A path in the folder that is not taken: `name`, or `_1_name` as on the platform."""
    candidate, number = folder / name, 0
    while os.path.lexists(candidate):
        number += 1
        candidate = folder / f"_{number}_{name}"
    return candidate


def safe_name(name: str) -> str:
    """A name for a folder: harmless to every tool and to glob patterns."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._-") or "tool"


def one_sentence(error: Any) -> str:
    """An error's text without positions in the document, on one line of bounded length."""
    lines = (_SOURCE_POSITION.sub("", line).strip() for line in str(error).splitlines())
    text = " ".join(line for line in lines if line)
    return text if len(text) <= _MESSAGE_LIMIT else text[:_MESSAGE_LIMIT] + " ..."


def command_text(command: list[Any], streams: tuple[tuple[str, str | None], ...]) -> str:
    """A command line with its redirections, as one would type it."""
    words = [shlex.quote(str(word)) for word in command]
    redirections = [f"{sign} {shlex.quote(path)}" for sign, path in streams if path is not None]
    return " ".join(words + redirections)


def signal_text(number: int) -> str:
    """A signal's name, with the usual cause where there is one."""
    hint = ", possibly out of memory" if number == signal.SIGKILL else ""
    return f"signal {signal.Signals(number).name}{hint}"


def tree_text(root: Path) -> str:
    """A listing of a directory: size, time and path of each entry, links with their target."""
    lines = []
    for folder, folders, files in os.walk(root):
        folders.sort()
        for path in sorted(Path(folder, name) for name in folders + files):
            # Something that the tool left in the background may still remove files.
            with contextlib.suppress(FileNotFoundError):
                lines.append(_tree_line(path, root))
    return "\n".join([f"{root}:", *lines, ""])


def _tree_line(path: Path, root: Path) -> str:
    status = path.lstat()
    changed = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(status.st_mtime))
    target = f" -> {path.readlink()}" if path.is_symlink() else ""
    kind = "/" if stat.S_ISDIR(status.st_mode) else ""
    return f"{status.st_size:>14} {changed} {path.relative_to(root)}{kind}{target}"
