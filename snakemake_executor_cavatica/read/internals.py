"""All that the plugin uses of Snakemake beyond its plugin interfaces: imported here, nowhere else.

Snakemake promises none of it, and moves names between versions. Only what a run needs imports this
module, so that a Snakemake that lacks one of them keeps working for those who run without us.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from snakemake.checkpoints import CheckpointJob
from snakemake.exceptions import CacheMissException, RuleException
from snakemake.io import (
    _IOFile,
    get_flag_value,
    is_callable,
    is_flagged,
    regex_from_filepattern,
)
from snakemake.iocontainers import Namedlist, Params, ResourceList, Snakemake, Wildcards
from snakemake.jobs import Job
from snakemake.path_modifier import PATH_MODIFIER_FLAG
from snakemake.script import BashEncoder, RScript, get_source
from snakemake.settings.enums import Quietness
from snakemake.shell import shell
from snakemake.sourcecache import LocalSourceFile, SourceCache, SourceFile
from snakemake.spawn_jobs import SpawnedJobArgsFactory
from snakemake.wrapper import get_script

try:
    from snakemake.common import get_snakemake_searchpaths
except ImportError:  # its place in Snakemake 10
    from snakemake.common.misc import (  # type: ignore[import-not-found, no-redef]
        get_snakemake_searchpaths,
    )

__all__ = [
    "JOB_NAMES",
    "PATH_MODIFIER_FLAG",
    "BashEncoder",
    "CacheMissException",
    "CheckpointJob",
    "LocalSourceFile",
    "Namedlist",
    "Params",
    "Quietness",
    "RScript",
    "ResourceList",
    "RuleException",
    "Snakemake",
    "SourceCache",
    "SourceFile",
    "SpawnedJobArgsFactory",
    "Wildcards",
    "_IOFile",
    "conda_file",
    "conda_folder",
    "deployment_methods",
    "get_flag_value",
    "get_script",
    "get_snakemake_searchpaths",
    "get_source",
    "is_callable",
    "is_flagged",
    "regex_from_filepattern",
    "shell",
    "snakemake_cli",
    "workflow_class",
]

JOB_NAMES = frozenset(
    {"input", "output", "params", "wildcards", "threads", "resources", "log", "jobid", "rule"}
    | {"bench_iteration", "self", "string"}
)
"""What a command sees of its job, and the own parameters of `job.format_wildcards`."""
_OF_JOBS = ("conda_env_spec", "container_img_url")
"""What a job must tell; Snakemake 10 has one description of all software in place of these."""

for _name in _OF_JOBS:
    if not hasattr(Job, _name):
        raise ImportError(f"jobs have no {_name}", name="snakemake.jobs")


def deployment_methods(workflow: Any) -> set[str]:
    """By which means software is deployed, as on the command line: `conda`, `env-modules`..."""
    settings = workflow.deployment_settings
    if hasattr(settings, "deployment_methods"):  # of Snakemake 10
        return set(settings.deployment_methods)
    return set(map(str, settings.deployment_method))


def conda_file(job: Any) -> Any:
    """The source file that defines the conda environment of a job; None without one."""
    return getattr(job.conda_env_spec, "file", None)


def conda_folder(job: Any) -> str | None:
    """The folder that is the conda environment of a job; None without one."""
    return getattr(job.conda_env_spec, "path", None)


def snakemake_cli() -> ModuleType:
    """Snakemake's own command line. It loads all plugins, and so this package, when imported."""
    import snakemake.cli  # noqa: PLC0415

    return snakemake.cli


def workflow_class() -> Any:
    """What parses Snakefiles, by its method `include`."""
    import snakemake.api  # noqa: PLC0415 - of two modules that need each other, the one to begin with

    return snakemake.api.Workflow
