"""What holds for every job of a run, from the settings and Snakemake's own flags."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..api import ConfigurationError
from ..project.connection import Connection
from ..project.environment import BEFORE_PARSING
from .facts import OWN_FOLDERS, VARIABLE, Defaults
from .parsing import programs_started, variables_asked
from .workdir import Workdir, workdir_of

_OF_THIS_MACHINE = re.compile(
    r"(PATH|HOME|PWD|OLDPWD|SHLVL|SHELL|USER|LOGNAME|HOSTNAME|TMP|TEMP|TMPDIR|TEMPDIR|_"
    r"|PYTHON(PATH|HOME|USERBASE|STARTUP|PYCACHEPREFIX|EXECUTABLE|PLATLIBDIR)"
    r"|(LD_|CONDA|VIRTUAL_ENV|SNAKEMAKE|SB_|CAVATICA|XDG_|SSL_|SSH_).*)"
)
"""Variables that mean something else inside an image."""
_LISTS = ("LD_LIBRARY_PATH", "PATH", "PYTHONPATH")
"""Those that list folders, to which a workflow may add its own."""
NO_CONTAINERS = "no_containers"
"""In the settings of a project: set where an embedded platform does not use images."""
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_KEY")


def read_defaults(
    workflow: Any,
    given: Defaults,
    connection: Connection,
    project_settings: Mapping[str, Any],
    *,
    environment: Mapping[str, str],
    workdir: str,
) -> Defaults:
    """The defaults of a run.

    Args:
        given: what the settings say.
        environment: see `passed_environment`.
        workdir: the present directory, relative to the shipped sources.
    """
    remote = workflow.remote_execution_settings
    snakemake_image = remote.container_image.removeprefix("docker://")
    return replace(
        given,
        shell_image=given.shell_image or snakemake_image,
        snakemake_image=snakemake_image,
        environment=environment,
        workflow_environment=_set_by_workflow(connection, workdir_of(workflow, workdir)),
        variables_missed=tuple(
            name
            for name in sorted(variables_asked())
            if name in BEFORE_PARSING
            and name not in environment
            and not _OF_THIS_MACHINE.fullmatch(name)
        ),
        programs_started=tuple(sorted(programs_started())),
        precommand=remote.precommand,
        benchmarks_extended=workflow.output_settings.benchmark_extended,
        in_containers=project_settings.get(NO_CONTAINERS) is not True,
        location=str(project_settings.get("location") or "") or None,
    )


def looks_secret(name: str) -> bool:
    """Whether what has this name is nobody else's business, as far as one can tell by it."""
    return bool(_SECRET_NAME.search(name.upper().replace("-", "_")))


def _set_by_workflow(connection: Connection, here: Workdir) -> dict[str, str]:
    """What the Snakefile has put into `os.environ`: where jobs run beside it, they inherit that."""
    lists = {name: _with_own_folders(name, here) for name in _LISTS}
    return {name: value for name, value in lists.items() if value != OWN_FOLDERS} | {
        name: here.told(value)
        for name, value in sorted(os.environ.items())
        if BEFORE_PARSING.get(name) != value
        and VARIABLE.fullmatch(name)
        and not _OF_THIS_MACHINE.fullmatch(name)
        and not looks_secret(name)
        and not connection.token.is_in(os.fsencode(value))
    }


def _with_own_folders(name: str, here: Workdir) -> str:
    """A list of folders as it is in a task, with those of the workflow that it has put there."""
    first, last = (
        ":".join(
            here.told(one) for one in added if not one.startswith("/") or here.is_named_in(one)
        )
        for added in _folders_added(name)
    )
    # What stands on both sides all comes first: the list of the task can be named only once.
    return f"{first}:{last}{OWN_FOLDERS}" if first and last else first + OWN_FOLDERS + last


def _folders_added(name: str) -> tuple[list[str], list[str]]:
    """What the Snakefile has put into a list of folders: before what was in it, and after that."""
    before = BEFORE_PARSING.get(name, "").split(":")
    added: tuple[list[str], list[str]] = [], []
    seen = False
    for folder in filter(None, os.environ.get(name, "").split(":")):
        if folder in before:
            seen = True
        else:
            added[seen].append(folder)
    return added


def folders_added() -> set[Path]:
    """Folders that the Snakefile has put into lists such as `PATH`, for its commands."""
    added = {folder for name in _LISTS for folders in _folders_added(name) for folder in folders}
    return {Path(os.path.abspath(folder)) for folder in added}  # noqa: PTH100 - not resolved


def passed_environment(
    workflow: Any, connection: Connection, *, secrets_allowed: bool
) -> dict[str, str]:
    """The variables of `--envvars` and `envvars:`; whoever sees the task can read them.

    Args:
        secrets_allowed: whether variables that look like secrets may go into tasks.

    Raises:
        ConfigurationError: one of them must not be passed on.
    """
    names = {*workflow.remote_execution_settings.envvars, *workflow.envvars}
    values = {name: os.environ[name] for name in sorted(names)}
    secrets = list(filter(looks_secret, values))
    if secrets and not secrets_allowed:
        raise ConfigurationError(
            f"The environment variables {', '.join(secrets)} look like secrets, and every member "
            "of the project could read them in the tasks. Leave them out of envvars, or say "
            "--cavatica-allow-secret-envvars."
        )
    if any(connection.token.is_in(os.fsencode(value)) for value in values.values()):
        raise ConfigurationError(
            "An environment variable of --envvars holds the API token. It is never written into a "
            "task; jobs do not need it."
        )
    return values
