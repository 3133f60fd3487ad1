"""Runs a scenario twice in one place, and keeps what it left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snakemake_executor_cavatica.api import CavaticaError, Client
from snakemake_executor_cavatica.project.fetch_store import fetch, store
from snakemake_executor_cavatica.project.index import Entry, ProjectIndex
from tests import warm_start
from tests.field.scenarios import OPTIONS, PREPARE, Place, Scenario, reason_for
from tests.workflow.workflow_runs import Platform, Result, Workflow

CORES = 8
TIMEOUT = 300
"""Seconds for one run of Snakemake."""
_AGE = 60
"""Seconds: files of a workflow are older than what is made from them."""
_NO_RESULTS = {".snakemake", ".cavatica-local", ".git", ".snakemake_timestamp"}
Files = dict[str, bytes]


@dataclass(frozen=True)
class Outcome:
    """What a scenario did in one place."""

    first: Result
    second: Result | None
    """None after a failure, and for the local executor."""
    files: Files
    """All files where the data live after the first run, but those that it did not change."""
    seconds: float


def play(scenario: Scenario, place: Place, platform: Platform, directory: Path) -> Outcome:
    """Run it in a new directory below this one."""
    began = time.monotonic()
    work = _work_directory(scenario, directory / place)
    run = _Run(scenario, place, work, Workflow(work, platform, "transfer"))
    return run.play(began)


@dataclass
class _Run:
    scenario: Scenario
    place: Place
    directory: Path
    workflow: Workflow
    """Knows the platform, and what Snakemake needs to know of it."""

    def play(self, began: float) -> Outcome:
        before = dict(files_below(self.directory))
        if self.place == "storage":
            self.workflow.place = "storage"
            self._move_data()
        first = self._snakemake(second=False)
        files = {
            name: content for name, content in self._left().items() if before.get(name) != content
        }
        # The local executor is what ours is compared with, and needs no judge.
        judged = self.place != "local" and first.status == 0
        second = self._snakemake(second=True) if judged else None
        return Outcome(first, second, files, time.monotonic() - began)

    def _snakemake(self, *, second: bool) -> Result:
        where = ["--cores", str(CORES)] if self.place == "local" else self.workflow.arguments()
        # As people call it; `python -m` would look for modules in the working directory.
        command = [str(Path(sys.executable).with_name("snakemake")), *where]
        process = warm_start.Popen(
            [*command, *self.scenario.arguments_of(self.place, second=second)],
            cwd=self.directory,
            env=self.workflow.environment() | _path() | dict(self.scenario.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            printed, _ = process.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            printed, _ = process.communicate()
            return Result(-1, f"{printed.decode()}\nhangs: {TIMEOUT} s are over")
        output = printed.decode(errors="replace")
        log = self.directory.with_name("second.log" if second else "first.log")
        log.write_text(output)
        return Result(process.returncode, output)

    def _move_data(self) -> None:
        """Have the inputs on the platform, in the order of their age."""
        with self.workflow.platform.client() as client:
            index = ProjectIndex(client, self.workflow.platform.project)
            index.ensure_folder(self.workflow.folder)
            for name in self.scenario.data:
                path = self.directory / name
                if path.exists():
                    store(index, path, f"{self.workflow.folder}/{name}")
                    if not self.scenario.stays:
                        _remove(path)

    def _left(self) -> Files:
        here = dict(files_below(self.directory))
        if self.place != "storage":
            return here
        there = self._there()
        named = {name: text for name, text in here.items() if reason_for(name, self.scenario.here)}
        return {**named, **there}

    def _there(self) -> Files:
        """What lies on the platform."""
        target = self.directory.parent / "fetched"
        files = {}
        with self.workflow.platform.client() as client:
            index = ProjectIndex(client, self.workflow.platform.project)
            for entry in index.walk(self.workflow.folder):
                if not entry.folder and Path(entry.path).name not in _NO_RESULTS:
                    name = entry.path.removeprefix(f"{self.workflow.folder}/")
                    files[name] = _fetched(client, entry, target)
        return files


def _fetched(client: Client, entry: Entry, target: Path) -> bytes:
    try:
        fetch(client, entry.id, target, size=entry.size, folder=False)
    except CavaticaError as error:
        return f"not to be had: {error}".encode()
    return target.read_bytes()


def files_below(directory: Path) -> Iterator[tuple[str, bytes]]:
    """Relative path and content of every file; of a link that leads nowhere, where it leads."""
    for folder, folders, found in os.walk(directory, followlinks=True):
        folders[:] = [one for one in folders if one not in _NO_RESULTS]
        for name in set(found) - _NO_RESULTS:
            path = Path(folder, name)
            is_there = path.exists()
            content = path.read_bytes() if is_there else os.fsencode(path.readlink())
            yield path.relative_to(directory).as_posix(), content


def _work_directory(scenario: Scenario, directory: Path) -> Path:
    work = directory / "work"
    shutil.copytree(scenario.folder, work, symlinks=True)
    (work / OPTIONS).unlink(missing_ok=True)
    script = work / PREPARE
    if script.exists():
        subprocess.run(["bash", "-eu", PREPARE], cwd=work, check=True)
        script.unlink()
    _age(work)
    return work


def _age(directory: Path) -> None:
    """Make files older that are young; `prepare.sh` may have made others older still."""
    then = time.time() - _AGE
    for path in directory.rglob("*"):
        if path.lstat().st_mtime > then:
            os.utime(path, (then, then), follow_symlinks=False)


def _path() -> dict[str, str]:
    """Commands find what this environment has.

    What Python keeps for itself beside a module is no result of a workflow.
    """
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
