"""The scheduler of groups inside a task, and what Snakemake there calls by other paths.

Shipped with the workflow's sources as a plugin of its own, so that Snakemake imports it at every
start. In a task Snakemake is told the cores and resources of the whole run, since a workflow may
ask for them; this scheduler holds the jobs of a group to what their task has.

A workflow may also name its files by the absolute paths that they have in the main process, in its
configuration or in a sample sheet. They are read as paths in the task. Nothing here may be imported
from this package, which the image does not have, but `as_parsed` and others, which lie beside
it there, too.
"""

import functools
import json
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Optional

from snakemake.scheduling import greedy
from snakemake_interface_scheduler_plugins.settings import SchedulerSettingsBase

from . import as_parsed, fetched_parts, own_jobs

# --------------------------------------------------------------------------------- the scheduler


@dataclass
class SchedulerSettings(SchedulerSettingsBase):
    """What this scheduler is told by the main process."""

    limits: Optional[str] = field(
        default=None,
        metadata={"help": "What jobs may use at a time, as NAME=NUMBER,NAME=NUMBER."},
    )


class Scheduler(greedy.Scheduler):
    """Snakemake's own, with limits of the task."""

    settings: Any

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        pairs = (pair.partition("=") for pair in (self.settings.limits or "").split(",") if pair)
        self._limits = {name: int(value) for name, _, value in pairs}
        self._started: list[Any] = []
        self.settings = greedy.SchedulerSettings()

    def select_jobs(
        self,
        selectable_jobs: Any,
        remaining_jobs: Any,
        available_resources: Any,
        input_sizes: Any,
    ) -> Any:
        """As many as fit beside those that run; at least one."""
        self._started = [job for job in self._started if not self._is_finished(job)]
        jobs = list(selectable_jobs)
        # Of the jobs that the run may submit, this is one.
        free = {name: value for name, value in available_resources.items() if name != "_nodes"}
        for name, limit in self._limits.items():
            used = sum(job.scheduler_resources.get(name, 0) for job in self._started)
            free[name] = max(0, limit - used)
        chosen = super().select_jobs(jobs, remaining_jobs, free, input_sizes)
        if not chosen and not self._started:
            # What it takes was not known to the main process, and is more than the task has.
            chosen = [max(jobs, key=lambda job: self.job_reward(job, input_sizes))]
        self._started += chosen
        return chosen

    def _is_finished(self, job: Any) -> bool:
        members = job.jobs if job.is_group() else [job]
        return all(self.dag.finished(member) for member in members)


# ------------------------------------------------------------------------------------- the paths


class _Paths:
    """What the main process calls the folders of the workflow, and where they are here."""

    def __init__(self, workdir: str, names: dict[str, str]) -> None:
        """The first of the names is that of the working directory without links."""
        self._workdir = workdir
        self._there = next(iter(names))
        self._folders = {name: self._in_task(path) for name, path in names.items()}
        # Some names are links, which are not there.
        self._real = {self._beside(name): path for name, path in self._folders.items()}
        # The embedded platform runs tasks below the very folders that they stand for.
        self._own = [f"{os.path.dirname(os.path.commonpath(self._folders.values()))}/"]
        if tempfile.gettempdir().startswith(tuple(f"{name}/" for name in names)):
            self._own.append(f"{tempfile.gettempdir()}/")
        longest_first = sorted(self._folders, key=len, reverse=True)
        pattern = "|".join(map(re.escape, longest_first))
        self._pattern = re.compile(rf"(?<![\w./-])(?:{pattern})(?![\w.-])")

    def here(self, text: str) -> str:
        """A text with the paths that hold in this task."""
        return self._pattern.sub(lambda match: self._folder(text, match), text)

    def _folder(self, text: str, match: "re.Match[str]") -> str:
        if f"{text[match.start() :]}/".startswith(tuple(self._own)):
            return match[0]
        return self._folders[match[0]]

    def value_here(self, value: Any) -> Any:
        """The same for what a parameter or a configuration may hold."""
        if type(value) is str:
            return self.here(value)
        if isinstance(value, dict):
            for key, member in value.items():
                value[key] = self.value_here(member)
        elif type(value) in {list, tuple, set}:
            return type(value)(map(self.value_here, value))
        return value

    def workdir(self, given: str) -> str:
        """Where a `workdir:` directive leads: to the same place among the workflow's folders."""
        path = os.path.normpath(os.path.join(os.getcwd(), given))
        if os.path.isabs(given) and not f"{path}/".startswith(tuple(self._own)):
            path = self._beside(path)
        return self._real.get(path, path)

    def _in_task(self, path: str) -> str:
        return os.path.normpath(os.path.join(self._workdir, path))

    def _beside(self, name: str) -> str:
        """Where a folder of the main process would be if all folders were where they are there."""
        return self._in_task(os.path.relpath(name, self._there))


def _read_paths_as_here(paths: _Paths) -> None:
    """Let Snakemake read what it is given by the workflow as paths in this task."""
    from snakemake.io import AnnotatedString, _IOFile  # noqa: PLC0415 - only in a task
    from snakemake.iocontainers import Params  # noqa: PLC0415
    from snakemake.rules import Rule  # noqa: PLC0415
    from snakemake.workflow import Workflow  # noqa: PLC0415

    def file_here(original: Callable[..., Any]) -> Callable[..., Any]:
        def new(cls: Any, file: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(file, str) and (here := paths.here(str(file))) != str(file):
                flags = getattr(file, "flags", {})
                file = AnnotatedString(here)
                file.flags = flags
            return original(cls, file, *args, **kwargs)

        return new

    def workdir_here(original: Callable[..., Any]) -> Callable[..., Any]:
        def workdir(self: Any, given: Any) -> Any:
            return original(self, paths.workdir(str(given)))

        return workdir

    def config_here(original: Callable[..., Any]) -> Callable[..., Any]:
        def new(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            paths.value_here(self.globals["config"])

        return new

    def params_here(original: Callable[..., Any]) -> Callable[..., Any]:
        def expand_params(self: Any, *args: Any, **kwargs: Any) -> Any:
            params, *others = original(self, *args, **kwargs)
            return (Params(toclone=params, custom_map=paths.value_here), *others)

        return expand_params

    for owner, name, wrapper in (
        (_IOFile, "__new__", file_here),
        (Workflow, "workdir", workdir_here),
        (Workflow, "__post_init__", config_here),
        (Workflow, "configfile", config_here),
        (Rule, "expand_params", params_here),
    ):
        original = getattr(owner, name)
        setattr(owner, name, functools.wraps(original)(wrapper(original)))


if "CAVATICA_NAMES" in os.environ:
    _workdir, _names = os.environ["CAVATICA_WORKDIR"], json.loads(os.environ["CAVATICA_NAMES"])
    _read_paths_as_here(_Paths(_workdir, _names))
    as_parsed.parse_as_there(_workdir, next(iter(_names)))
    fetched_parts.use_fetched_parts(_workdir)
    own_jobs.heed_own_jobs_only()
    own_jobs.hold_to(json.loads(os.environ.get("CAVATICA_JOBS", "[]")))
