"""The project in which coordinators run: the user's own, with nobody else in it.

A coordinator needs the token, and whoever may read a project's files can read the inputs of its
tasks. So it never runs in the project of the jobs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..api import BadRequest, Client, ConfigurationError, Forbidden, NotFound, Project
from ..api.projects import make_project, members_of, projects_named
from ..read import values

NAME = "snakemake-coordinator"
OPTION = "--coordinator-project"
_OURS = re.compile(rf"[^/]+/{NAME}(_\d+)?")
"""With a number where the name was taken."""
_NETWORK = "allow_network_access"


@dataclass(frozen=True)
class Home:
    """Where a user's coordinators run."""

    user: str
    project: str
    location: str = ""
    """Of the cloud, such as aws:us-east-1, if the platform tells."""


def home_of(client: Client, target: Project, named: str | None) -> Home:
    """The project for coordinators of runs in `target`; made if there is none.

    Args:
        named: the user's choice, as owner/project.

    Raises:
        ConfigurationError: it is not private, or cannot be made.
    """
    user = client.user().username
    project = named_home(client, named) if named else existing_home(client, user)
    if project is None:
        project = _made(client, target)
    check_private(client, project, user)
    return Home(user, project.id, str(project.settings.get("location") or ""))


def named_home(client: Client, name: str) -> Project:
    """The project that the user has chosen.

    Raises:
        ConfigurationError: there is none of this name.
    """
    try:
        return client.project(values.project(name))
    except ValueError as error:
        raise ConfigurationError(f"{OPTION} {name!r} {error}.") from None
    except NotFound as error:
        raise ConfigurationError(
            f"There is no project {name} ({OPTION}) on {client.endpoint}, or the owner of this "
            f"token is no member of it. [{error}]"
        ) from error


def existing_home(client: Client, user: str) -> Project | None:
    """The project that an earlier `submit` of this user has made."""
    found = [
        project
        for project in projects_named(client, NAME)
        if is_home(project.id) and project.created_by in ("", user)
    ]
    return min(found, key=lambda project: project.id, default=None)


def is_home(project_id: str) -> bool:
    """Whether the project is called as those that `submit` makes for coordinators."""
    return _OURS.fullmatch(project_id) is not None


def _made(client: Client, target: Project) -> Project:
    kept = {key: target.settings[key] for key in ("location",) if target.settings.get(key)}
    settings = {**kept, _NETWORK: True, "use_interruptible_instances": False}
    try:
        return make_project(client, NAME, billing_group=target.billing_group, settings=settings)
    except (BadRequest, Forbidden) as error:
        raise ConfigurationError(
            f"The project {NAME}, in which the main process would run, cannot be made for the "
            f"billing group of {target.id}. Have somebody make one with you as its only member, "
            f"and with the setting {_NETWORK} on, and name it by {OPTION}. [{error}]"
        ) from error


def check_private(client: Client, project: Project, user: str) -> None:
    """See that nobody but the user can read what is in the project, and that it suits.

    Raises:
        ConfigurationError: it is refused.
    """
    if project.category != "PRIVATE":
        raise ConfigurationError(
            f"The project {project.id} is not private ({project.category or 'unknown'}), so that "
            f"others could read your token there. Name one of your own by {OPTION}."
        )
    others = sorted(set(members_of(client, project.id)) - {user})
    if others:
        raise ConfigurationError(
            f"The project {project.id} has other members ({', '.join(others)}), who could read "
            f"your token there. Remove them, or name a project of your own by {OPTION}."
        )
    if project.settings.get(_NETWORK) is False:
        raise ConfigurationError(
            f"Tasks of the project {project.id} have no network, and the main process has to reach "
            f"the platform. Switch on its setting {_NETWORK} (Settings: network access), or name "
            f"another project by {OPTION}."
        )
