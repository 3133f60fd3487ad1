"""Files in other storages than CAVATICA: fetched here for the tasks, and stored from here.

A task has neither the storage's plugin nor its credentials, and shall have none; this process has
both. So an input is fetched once per run, uploaded once, and from then on is a file of the platform
like any other; an output is downloaded, stored, and passed on by its file on the platform.
"""

from __future__ import annotations

import copy
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

from ..api import CavaticaError
from ..plan.plan import JobPlan
from ..project.fetch_store import INCOMING, clear, put
from ..project.paths import LocalPath, Place
from ..read.facts import Refusal


class StorageTrouble(CavaticaError):
    """Another storage than CAVATICA did not give or take a file."""


class OtherStorages:
    """The files of a run that lie in other storages. Safe to use from several threads."""

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow
        self._files: dict[str, Any] = {}
        """Snakemake's file objects, by the path of their local copy."""
        self._current: set[str] = set()
        """Those whose local copy is known to be what the storage holds."""
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()

    def place_of(self, file: Any) -> LocalPath:
        """Where the file is while this process deals with it: at the path of its local copy."""
        path = str(file)
        self._files[path] = file
        return LocalPath(path)

    def fetch(self, plan: JobPlan) -> None:
        """Have the job's inputs here.

        Raises:
            StorageTrouble: a storage does not give one.
            Refusal: one is a folder, which only shows now.
        """
        for file in self._among(staged.place for staged in plan.inputs):
            path = str(file)
            with self._guard:
                lock = self._locks[path]
            with lock:  # many jobs ask for the same file at the same time
                if path not in self._current or not Path(path).exists():
                    self._fetch(plan, file)
                    self._current.add(path)
            if Path(path).is_dir() and _form(plan, path) != "archive":
                raise Refusal(
                    plan.facts.rule,
                    f"its input {file.storage_object.print_query} is a folder in another storage. "
                    "Make a tar file of it, or bring it to the platform.",
                )

    def _fetch(self, plan: JobPlan, file: Any) -> None:
        """Bring one file here, all of it or nothing: a part must never be taken for the whole."""
        run, target = self._workflow.async_run, Path(str(file))
        try:
            if target.exists():
                times = run(file.mtime())
                if times.local() >= times.storage():
                    return
            INCOMING.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=INCOMING) as scratch:
                one = copy.copy(file.storage_object)
                one.is_ondemand_eligible = False
                one.set_local_path(Path(scratch, target.name))
                run(one.managed_retrieve())
                put(one.local_path(), target)
        except (WorkflowError, OSError) as error:
            raise StorageTrouble(
                f"The input {file.storage_object.print_query} of rule {plan.facts.rule} could not "
                f"be fetched from its storage, which this machine does for the task. {error} Check "
                "that it is there, and the settings and credentials of its storage plugin."
            ) from error

    def store(self, plan: JobPlan) -> None:
        """Bring the job's outputs from here to their storages.

        Raises:
            StorageTrouble: a storage does not take one.
        """
        run = self._workflow.async_run
        for file in self._among(output.place for output in plan.outputs):
            try:
                run(file.store_in_storage())
                # As Snakemake does it: otherwise the copy could look older than the original.
                time = run(file.mtime()).storage()
                file.touch(times=(time, time))
            except (WorkflowError, OSError) as error:
                raise StorageTrouble(
                    f"The output {file.storage_object.print_query} of rule {plan.facts.rule} could "
                    f"not be stored, which this machine does for the task. {error} Check the "
                    "settings and credentials of its storage plugin; the next attempt, or the next "
                    "run, fetches the same result."
                ) from error
            self._current.add(str(file))

    def store_logs(self, files: Iterable[Any]) -> str:
        """Bring logs of a failed job from here to their storages, CAVATICA's too, as Snakemake does
        for the jobs that it runs itself; what to say if that does not work.
        """
        troubles = []
        for file in files:
            if file.is_storage:
                try:
                    self._workflow.async_run(file.store_in_storage())
                except (WorkflowError, CavaticaError, OSError) as error:
                    query = file.storage_object.print_query
                    troubles.append(f"(The log {query} could not be stored: {error})\n")
        return "".join(troubles)

    def clear(self) -> None:
        """Remove the local copies, unless they are to be kept."""
        for path in self._current:
            if not self._files[path].should_keep_local:
                clear(Path(path))

    def _among(self, places: Iterable[Place]) -> Iterator[Any]:
        for place in places:
            if isinstance(place, LocalPath) and place.path in self._files:
                yield self._files[place.path]


def _form(plan: JobPlan, path: str) -> str:
    return next(staged.form for staged in plan.inputs if staged.place == LocalPath(path))
