"""`snakemake-cavatica init`: token, project and profile for a first run, asked or by options."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from ..api import (
    CAVATICA,
    CavaticaError,
    Client,
    ConfigurationError,
    NoAnswer,
    Token,
    Unauthorized,
    UnexpectedAnswer,
    UnknownAddress,
    is_on_loopback,
    resolve_credentials,
)
from ..api.credentials import (
    CREDENTIALS_FILE,
    DEFAULT_PROFILES,
    PROFILE_VARIABLE,
    SB_ENDPOINT_VARIABLE,
    Credentials,
    NoToken,
    page_of_tokens,
    resolve_endpoint,
)
from ..api.credentials_file import store_token
from ..api.endpoint import check_endpoint
from ..connections import CONNECTIONS
from ..coordinator.home import is_home
from ..project.connection import LOCAL_ENDPOINT, Connection, names_local
from ..project.environment import home_folder
from ..project.paths import ProjectPath
from .asking import TERMINAL, agreed, answer, chosen, is_somebody_there, secret
from .init_profile import Choices, profile_text
from .platform import checked_project, tell_waits

PLATFORMS = {
    "cavatica": CAVATICA,
    "cgc": "https://cgc-api.sbgenomics.com/v2",
    "sevenbridges": "https://api.sbgenomics.com/v2",
    "sevenbridges-eu": "https://eu-api.sbgenomics.com/v2",
    "biodatacatalyst": "https://api.sb.biodatacatalyst.nhlbi.nih.gov/v2",
}
HERE = "here"
_TRIES = 3
_FILE = "config.yaml"
_SNAKEFILES = ("Snakefile", "snakefile", "workflow/Snakefile", "workflow/snakefile")
"""Where Snakemake looks for one."""


def run(options: argparse.Namespace) -> int:
    """Ask what the options do not say, test it, write it; the exit status."""
    tell_waits()
    path = Path(options.profile) / _FILE
    _check_may_write(path, options.overwrite)
    credentials = _platform(options)
    if credentials is None:
        choices = Choices(endpoint=LOCAL_ENDPOINT)
    else:
        choices = _stored(options, credentials)
        connected = CONNECTIONS.connect(credentials.endpoint, choices.credentials_profile)
        choices = replace(choices, project=_project(options.project, connected))
        choices = replace(choices, data_folder=_data_folder(options.data, choices.project))
        choices = replace(choices, spot=_spot(options.spot))
    _write(path, profile_text(choices, shlex.quote(str(path.parent))))
    sys.stdout.write(f"{path} is written.\n")
    if options.check or _wants_check():
        return _check(path.parent)
    _tell_next(f"--workflow-profile {shlex.quote(str(path.parent))}", choices.credentials_profile)
    return 0


def _tell_next(arguments: str, section: str | None) -> None:
    sys.stdout.write(f"Next:\n  snakemake-cavatica check -- {arguments}\n  snakemake {arguments}\n")
    # The profile is for runs; other commands look by themselves for a token in these sections only.
    if section and section not in {*DEFAULT_PROFILES, os.environ.get(PROFILE_VARIABLE)}:
        sys.stdout.write(
            f"For put, get, ls and so on:\n  export {PROFILE_VARIABLE}={shlex.quote(section)}\n"
        )


def _wants_check() -> bool:
    """Whether a person wants to know at once what would go wrong in a run."""
    if not is_somebody_there() or not any(Path(name).exists() for name in _SNAKEFILES):
        return False
    return agreed("Check the workflow of this folder now?", nobody="")


def _check(profile: Path) -> int:
    from . import check  # noqa: PLC0415 - it brings Snakemake

    arguments = ["--workflow-profile", str(profile)]
    return check.run(argparse.Namespace(arguments=arguments, json=False))


# --------------------------------------------------------------------------- platform and token


def _platform(options: argparse.Namespace) -> Credentials | None:
    """A platform and a token that it knows; None for the embedded one, which needs none."""
    while True:
        endpoint = _endpoint(options)
        if endpoint == LOCAL_ENDPOINT:
            return None
        try:
            return _credentials(options, endpoint)
        except (NoAnswer, UnexpectedAnswer, UnknownAddress) as error:
            if not _is_platform_asked(options):
                raise
            sys.stdout.write(f"{error}\n")


def _is_platform_asked(options: argparse.Namespace) -> bool:
    named = options.api_endpoint is not None or options.credentials_profile is not None
    return not named and is_somebody_there()


def _endpoint(options: argparse.Namespace) -> str | None:
    """The address that was named or chosen; None leaves it to the credentials."""
    wanted: str | None = options.api_endpoint
    if _is_platform_asked(options):
        sys.stdout.write("Which platform?\n")
        found = os.environ.get(SB_ENDPOINT_VARIABLE)
        choices = [*filter(None, [found]), *PLATFORMS, LOCAL_ENDPOINT]
        wanted = chosen("Platform", choices, other="the address of its API")
    if wanted is None or names_local(wanted):
        return wanted and LOCAL_ENDPOINT
    return check_endpoint(PLATFORMS.get(wanted, wanted))


def _credentials(options: argparse.Namespace, endpoint: str | None) -> Credentials:
    """A token that the platform knows.

    Raises:
        ConfigurationError: there is none, or it is no token.
        Unauthorized: the platform does not know it.
        NoAnswer, UnexpectedAnswer, UnknownAddress: there is no platform.
    """
    target = resolve_endpoint(
        endpoint=endpoint,
        profile=options.credentials_profile,
        environ=os.environ,
        home=home_folder(),
    )
    found = _found(options, endpoint, target)
    for _ in range(_TRIES - 1):
        found = found or _typed(target)
        try:
            return _tested(found)
        except Unauthorized as error:
            if not is_somebody_there():
                raise
            sys.stdout.write(f"{error}\n")
            found = None
    return _tested(_typed(target))


def _found(options: argparse.Namespace, endpoint: str | None, target: str) -> Credentials | None:
    """What the options, the environment or the file say; None if a person is to be asked.

    Args:
        target: where a token of --token-file goes.
    """
    if options.token_file is not None:
        token = _read(options.token_file)
        return Credentials(target, token, token.place)
    try:
        return resolve_credentials(
            endpoint=endpoint,
            profile=options.credentials_profile,
            environ=os.environ,
            home=home_folder(),
        )
    except NoToken:
        if not is_somebody_there():
            raise
    return None


def _read(name: str) -> Token:
    try:
        if name == "-":
            return Token(sys.stdin.readline(), "the standard input")
        return Token(Path(name).read_text("utf-8"), f"--token-file {name}")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"--token-file {name} cannot be read ({type(error).__name__})."
        ) from None


def _typed(endpoint: str) -> Credentials:
    sys.stdout.write(
        "cavatica-local serve keeps its token in the file token below its root.\n"
        if is_on_loopback(endpoint)
        else f"A token is made on {page_of_tokens(endpoint)}.\n"
    )
    return Credentials(endpoint, secret("Token (it is not shown):"), TERMINAL)


def _tested(credentials: Credentials) -> Credentials:
    with Client(credentials.endpoint, credentials.token) as client:
        sys.stdout.write(f"The token is that of {client.user().username}.\n")
    return credentials


def _stored(options: argparse.Namespace, credentials: Credentials) -> Choices:
    """Put the token where runs find it; what a run must be told to find it."""
    section = options.credentials_profile or _section(credentials.endpoint)
    if CREDENTIALS_FILE in credentials.source and not options.credentials_profile:
        return Choices()  # where runs look by themselves
    home = home_folder()
    if (old := _token_of(section, home)) is not None and old != credentials.token:
        sentence = f"~/{CREDENTIALS_FILE} holds another token in its section [{section}]"
        question = f"{sentence}. Replace it?"
        if not options.replace_token and not agreed(
            question, f"{sentence}; say --replace-token, or name another --credentials-profile."
        ):
            raise CavaticaError("Nothing was written; name another --credentials-profile.")
    path = store_token(home, section, credentials.endpoint, credentials.token)
    sys.stdout.write(f"The token is in the section [{section}] of {path}, readable by you alone.\n")
    return Choices(credentials_profile=section)


def _section(endpoint: str) -> str:
    """The name of a platform, or of its host."""
    names = {address: name for name, address in PLATFORMS.items()}
    host = urlsplit(endpoint).netloc
    return names.get(endpoint) or re.sub(r"[^A-Za-z0-9._-]", "_", host)


def _token_of(section: str, home: Path | None) -> Token | None:
    try:
        return resolve_credentials(profile=section, environ={}, home=home).token
    except NoToken:
        return None


# --------------------------------------------------------------------------- project, data, spot


def _project(wanted: str | None, connected: Connection) -> str:
    """A project that exists, and that tasks may run in."""
    project = checked_project(connected, wanted or _chosen_project(connected.client))
    connected.check_permissions(project)
    return project


def _chosen_project(client: Client) -> str:
    # The home of submitted runs is private; it stays possible to name it.
    ids = [project.id for project in client.projects() if not is_home(project.id)]
    if not ids:
        raise ConfigurationError(
            "You are a member of no project for tasks; make one on the platform's pages, which "
            "also asks for its billing group, and start again."
        )
    if not is_somebody_there():
        shown = ", ".join(ids[:10]) + (", ..." if len(ids) > 10 else "")  # noqa: PLR2004
        raise ConfigurationError(f"No project is named; add --project with one of: {shown}.")
    sys.stdout.write("Which project do the tasks run in?\n")
    return chosen("Project", ids)


def _data_folder(wanted: str | None, project: str | None) -> str | None:
    """The folder of the project that holds the workflow's files; None for this machine."""
    if wanted is None and is_somebody_there():
        sys.stdout.write(
            "Where are the workflow's files? On this machine (here), or in a folder of the "
            "project, which spares uploads and downloads.\n"
        )
        wanted = answer("Folder of the project, or here:", HERE)
    if wanted in (None, HERE):
        return None
    try:
        return ProjectPath.parse(f"cavatica://{project}/{wanted}").path
    except ValueError as error:
        raise ConfigurationError(f"--data {wanted}: {error}.") from None


def _spot(wanted: str | None) -> bool | None:
    if wanted is None and is_somebody_there():
        wanted = chosen("Spot instances (cheaper, and can be taken away)", ["project", "yes", "no"])
    return {"yes": True, "no": False}.get(wanted or "")


# --------------------------------------------------------------------------- the profile


def _check_may_write(path: Path, overwrite: bool) -> None:
    if not path.exists() or overwrite:
        return
    if not agreed(f"{path} exists. Replace it?", f"{path} exists; say --overwrite to replace it."):
        raise CavaticaError(f"{path} stays as it is; name another place with --profile.")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CavaticaError(
            f"{path} cannot be written ({error.strerror}); name another place with --profile."
        ) from None
