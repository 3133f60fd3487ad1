"""How Snakemake is told, inside a task, to run one job: no storage provider, no retries there.

It starts where the main process has parsed the workflow, and is told what that was told: what a
Snakefile reads of its command line (`workflow.cores`, `workflow.global_resources`) is the same in a
task. That a group uses no more than its task has is seen to by a scheduler, see
`scheduler_stand_in.py`.
"""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterable, Iterator
from functools import cached_property
from shlex import quote
from typing import Any

from snakemake_interface_executor_plugins.utils import (
    encode_target_jobs_cli_args,
    format_cli_arg,
    join_cli_args,
)

from .facts import TBD
from .internals import SpawnedJobArgsFactory, is_callable
from .looking import looks_at_files, looks_at_inputs
from .snakemake_jobs import members_of
from .workdir import Workdir
from .workflow import storage_prefix_in_task

_START = "import sys; sys.path.append(sys.path.pop(0)); from snakemake.cli import main; main()"
"""As its program starts it. By `python -m` it would take files beside the workflow, such as
`random.py`, for modules of Python's own.
"""
_LONGEST = 100_000
_NOT_SHARED = {"_nodes", "runtime"}
"""Numbers of a group that its jobs do not take shares of."""


class Spawner:
    """The commands for the jobs of one workflow."""

    def __init__(self, workflow: Any, here: Workdir) -> None:
        self._workflow = workflow
        self._here = here
        self._looking_params: dict[str, dict[int, bool]] = {}

    def command(self, job: Any) -> str:
        """Runs a job, or a group of jobs, from the workflow's directory in its task."""
        snakemake = self._here.told(self._snakemake(job))
        start = quote(os.path.relpath(self._workflow.workdir_init))
        enter = "" if start == "." else f"mkdir -p {start} && cd {start}\n"
        return f"{self._names}{self._jobs(job)}\n{enter}{snakemake}"

    @property
    def _names(self) -> str:
        """Tells the stand-in what the main process calls the folders of the workflow."""
        names = quote(json.dumps(self._here.names))
        return f'export CAVATICA_WORKDIR="$PWD" CAVATICA_NAMES={names}'

    def _jobs(self, job: Any) -> str:
        """Tells what the jobs are here: with other inputs or params they would do other things."""
        told = [
            [one.rule.name, one.wildcards_dict, len(one.input), self._params(one, job.is_group())]
            for one in members_of(job)
        ]
        text = json.dumps(told)
        # No variable can be longer than 128 KiB. Groups of so many jobs go without.
        return f" CAVATICA_JOBS={quote(text)}" if len(text.encode()) < _LONGEST else ""

    def _params(self, job: Any, in_group: bool) -> dict[int, Any]:
        """By their places, those of functions that look at files which the task may not have.

        Not what cannot be told as it is: other objects, and paths of this machine.
        """
        lacks_inputs = in_group or any(file.is_storage for file in job.input)
        places = [
            place
            for place, takes_inputs in self._looking(job.rule).items()
            if not (takes_inputs and lacks_inputs)
        ]
        if not places:
            return {}
        try:
            # Not by `job.params`, which would keep what is not known before the group runs.
            values, _ = job.rule.expand_params(job.wildcards_dict, job.input, job.output, job)
        except Exception:  # noqa: BLE001 - the task calls these functions, too, and tells of it
            return {}
        return {place: values[place] for place in places if self._is_plain(values[place])}

    def _looking(self, rule: Any) -> dict[int, bool]:
        """Places of params whose functions look at files, and whether they are given the inputs."""
        if rule.name not in self._looking_params:
            self._looking_params[rule.name] = {
                place: looks_at_inputs(param)
                for place, param in enumerate(rule.params)
                if is_callable(param) and looks_at_files(param)
            }
        return self._looking_params[rule.name]

    def _is_plain(self, value: Any) -> bool:
        if isinstance(value, list):
            return all(map(self._is_plain, value))
        if isinstance(value, str):
            return value != TBD and value == self._here.told(value)
        return value is None or isinstance(value, bool | int | float)

    def _snakemake(self, job: Any) -> str:
        before, after = self._run_args
        resources = self._workflow.resource_settings
        cores = job.threads if resources.cores is None else resources.cores
        return str(
            join_cli_args(
                [
                    before,
                    f"--target-jobs {_quoted(encode_target_jobs_cli_args(job.get_target_spec()))}",
                    f"--allowed-rules {_quoted(job.rules)}",
                    format_cli_arg("--local-groupid", job.jobid, skip=not job.is_group()),
                    format_cli_arg("--cores", cores),
                    format_cli_arg("--attempt", job.attempt),
                    format_cli_arg("--force-use-threads", not job.is_group()),
                    _scheduler_args(job),
                    after,
                ]
            )
        )

    @cached_property
    def _run_args(self) -> tuple[str, str]:
        """What is the same for all jobs of the run, before and after what is not."""
        workflow = self._workflow
        snakefile = os.path.relpath(workflow.main_snakefile, workflow.workdir_init)
        storage_prefix = storage_prefix_in_task(workflow)
        before = f"python -c {quote(_START)} --snakefile {quote(snakefile)}"
        if workflow.overwrite_workdir is not None:
            before += " --directory ."  # which a `workdir:` directive does not change
        replaces = workflow.config_settings.replace_workflow_config
        after = [
            _TaskArgsFactory(workflow).general_args(workflow.executor_plugin.common_settings),
            format_cli_arg("--replace-workflow-config", replaces),
            format_cli_arg("--jobs", workflow.resource_settings.nodes),
            format_cli_arg("--omit-flags", sorted(workflow.storage_settings.omit_flags)),
            # Rules with `retries:` would otherwise be retried, and paid, on both sides.
            "--preemptible-rules --preemptible-retries 0",
            f"--local-storage-prefix {quote(storage_prefix)}",
            "--mode remote",
        ]
        return before, str(join_cli_args(after))


def _scheduler_args(job: Any) -> str:
    """For a group one that holds its jobs to what the task has, whatever the run may use in all."""
    if not job.is_group():
        return "--scheduler greedy"
    text = ",".join(f"{name}={value}" for name, value in limits_of(job).items())
    return f"--scheduler cavatica --scheduler-cavatica-limits {quote(text)}"


def limits_of(group: Any) -> dict[str, int]:
    """What the jobs of a group may use at a time: cores, memory and what else is counted."""
    return {
        name: value
        for name, value in group.resources.items()
        if isinstance(value, int) and name not in _NOT_SHARED and not name.startswith("cavatica_")
    }


def inexpressible(targets: Iterable[Any]) -> str | None:
    """Why `--target-jobs` cannot name the jobs: it splits at commas, and strips quotes."""
    for target in targets:
        for name, value in target.wildcards_dict.items():
            if "," in value or value != value.strip("'\""):
                return (
                    f"Snakemake's --target-jobs cannot express the value {value!r} of the wildcard "
                    f"{name}, which holds a comma or starts or ends with a quote. Rename the file"
                )
    return None


def _option(name: str, words: Iterable[str]) -> str:
    """An option with its values; nothing if there are none."""
    values = _quoted(words)
    return f"{name} {values}" if values else ""


def _quoted(words: Iterable[str]) -> str:
    """For a shell; Snakemake's own `format_cli_arg` quotes for Python, which is not the same."""
    return " ".join(map(quote, words))


class _TaskArgsFactory(SpawnedJobArgsFactory):
    """Snakemake's arguments for spawned jobs, without what does not hold in a task."""

    def get_storage_provider_args(self) -> Iterator[str]:
        """None: an image that lacks one of the plugins would refuse its arguments."""
        return iter(())

    def get_set_resources_args(self) -> list[str]:
        """As in the base class, but each resource in the unit that it was given in."""
        workflow: Any = self.workflow
        settings = workflow.resource_settings
        resources = [
            f"{rule}:{_as_given(resource)}"
            for rule, given in settings._parsed_overwrite_resources.items()
            for resource in given.values()
        ]
        threads = settings._parsed_overwrite_threads.items()
        whole_run = settings._parsed_resources.values()
        return [
            _option(
                "--resources",
                [_as_given(one) for one in whole_run if one.name not in {"_cores", "_nodes"}],
            ),
            format_cli_arg("--set-resources", resources, base64_encode=True),
            format_cli_arg(
                "--set-threads",
                [f"{rule}={value.raw}" for rule, value in threads],
                base64_encode=True,
            ),
        ]

    def get_shared_fs_usage_arg(self, *_: Any) -> str:
        """Within a task only the sources: Snakemake may start itself there once more."""
        return "--shared-fs-usage sources"

    def get_configfiles_arg(self) -> str:
        """As in the base class, but from where the workflow is parsed."""
        workflow: Any = self.workflow
        files = workflow.overwrite_configfiles
        start = workflow.workdir_init
        return _option("--configfiles", [os.path.relpath(file, start) for file in files])

    def workflow_property_to_arg(self, property: str, *args: Any, **kwargs: Any) -> str:  # noqa: A002 - Snakemake's name
        """All but what is not there (folders for the workflow, the cache and shadows), and what has
        another value.
        """
        if property in {
            "execution_settings.shadow_prefix",
            "overwrite_workdir",
            "workflow_settings.cache",
            "scheduling_settings.scheduler",
        }:
            return ""
        if property == "resource_settings._parsed_default_resources":
            workflow: Any = self.workflow
            defaults = workflow.resource_settings._parsed_default_resources or {}
            given = [_as_given(one) for one in defaults.values() if one.raw is not None]
            return str(format_cli_arg("--default-resources", given, base64_encode=True))
        return str(super().workflow_property_to_arg(property, *args, **kwargs))


def _as_given(resource: Any) -> str:
    """A resource as NAME=EXPRESSION. Snakemake keeps `mem_mib=953.67` as `mem_mb`, with the same
    expression, which would mean another size in the task; the expression knows its own name.
    """
    name = resource.name
    if resource._evaluator is not None:
        evaluator = inspect.unwrap(resource._evaluator)
        name = inspect.getclosurevars(evaluator).nonlocals.get("name", name)
    return f"{name}={resource.raw}"
