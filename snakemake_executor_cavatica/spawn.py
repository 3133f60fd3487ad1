"""How Snakemake is told, inside a task, to run one job: no storage provider, no retries there."""

from __future__ import annotations

import inspect
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

from .internals import SpawnedJobArgsFactory
from .settings import common_settings


class Spawner:
    """The commands for the jobs of one workflow."""

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow

    def command(self, job: Any) -> str:
        """Runs a job, or a group of jobs, from the workflow's directory in its task."""
        before, after = self._run_args
        return str(
            join_cli_args(
                [
                    before,
                    f"--target-jobs {_quoted(encode_target_jobs_cli_args(job.get_target_spec()))}",
                    f"--allowed-rules {_quoted(job.rules)}",
                    format_cli_arg("--local-groupid", job.jobid, skip=not job.is_group()),
                    format_cli_arg("--cores", job.threads),
                    format_cli_arg("--attempt", job.attempt),
                    format_cli_arg("--force-use-threads", not job.is_group()),
                    after,
                ]
            )
        )

    @cached_property
    def _run_args(self) -> tuple[str, str]:
        """What is the same for all jobs of the run, before and after what is not."""
        snakefile = os.path.relpath(self._workflow.main_snakefile)
        storage_prefix = os.path.relpath(self._workflow.storage_settings.local_storage_prefix)
        # `--directory .` keeps a `workdir:` directive from changing into it once more.
        before = f"python -m snakemake --snakefile {quote(snakefile)} --directory ."
        after = [
            _TaskArgsFactory(self._workflow).general_args(common_settings),
            # Rules with `retries:` would otherwise be retried, and paid, on both sides.
            "--preemptible-rules --preemptible-retries 0",
            f"--local-storage-prefix {quote(storage_prefix)}",
            "--scheduler greedy",
            "--mode remote",
        ]
        return before, str(join_cli_args(after))


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
        return [
            format_cli_arg("--set-resources", resources, base64_encode=True),
            format_cli_arg(
                "--set-threads",
                [f"{rule}={value.raw}" for rule, value in threads],
                base64_encode=True,
            ),
        ]

    def workflow_property_to_arg(self, property: str, *args: Any, **kwargs: Any) -> str:  # noqa: A002 - Snakemake's name
        """All but the working directory and the between-workflow cache, which are not there."""
        if property in {"overwrite_workdir", "workflow_settings.cache"}:
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
