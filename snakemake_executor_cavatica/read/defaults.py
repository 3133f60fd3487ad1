"""What holds for every job of a run, from the settings and Snakemake's own flags."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..api import ConfigurationError
from ..project.connection import Connection
from .facts import VARIABLE, Defaults
from .parsing import programs_started, variables_asked
from .workdir import Workdir

_BEFORE = dict(os.environ)
"""As it was when Snakemake loaded this plugin, which is before it parses the workflow."""
_OF_THIS_MACHINE = re.compile(
    r"(PATH|HOME|PWD|OLDPWD|SHLVL|SHELL|USER|LOGNAME|HOSTNAME|TMP|TEMP|TMPDIR|TEMPDIR|_"
    r"|(LD_|PYTHON|CONDA|VIRTUAL_ENV|SNAKEMAKE|SB_|CAVATICA|XDG_|SSL_|SSH_).*)"
)
"""Variables that mean something else inside an image."""
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
) -> Defaults:
    """The defaults of a run.

    Args:
        given: what the settings say.
        environment: see `passed_environment`.
    """
    remote = workflow.remote_execution_settings
    snakemake_image = remote.container_image.removeprefix("docker://")
    return replace(
        given,
        shell_image=given.shell_image or snakemake_image,
        snakemake_image=snakemake_image,
        environment=environment,
        workflow_environment=_set_by_workflow(connection),
        variables_missed=tuple(
            name
            for name in sorted(variables_asked())
            if name in _BEFORE and name not in environment and not _OF_THIS_MACHINE.fullmatch(name)
        ),
        programs_started=tuple(sorted(programs_started())),
        precommand=remote.precommand,
        in_containers=project_settings.get(NO_CONTAINERS) is not True,
        location=str(project_settings.get("location") or "") or None,
    )


def looks_secret(name: str) -> bool:
    """Whether what has this name is nobody else's business, as far as one can tell by it."""
    return bool(_SECRET_NAME.search(name.upper().replace("-", "_")))


def _set_by_workflow(connection: Connection) -> dict[str, str]:
    """What the Snakefile has put into `os.environ`: where jobs run beside it, they inherit that."""
    here = Workdir()
    return {
        name: here.told(value)
        for name, value in sorted(os.environ.items())
        if _BEFORE.get(name) != value
        and VARIABLE.fullmatch(name)
        and not _OF_THIS_MACHINE.fullmatch(name)
        and not looks_secret(name)
        and not connection.token.is_in(os.fsencode(value))
    }


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
