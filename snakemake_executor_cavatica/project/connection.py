"""Which platform, as whom, in which project: resolved once for executor and storage provider.

Snakemake makes the two independently, and under `-n` makes no executor at all. The executor's
settings are therefore offered here as soon as they exist, and whoever needs the platform first
connects: one client, one rate budget, one index per project.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ..api import (
    CavaticaError,
    Client,
    ConfigurationError,
    NotFound,
    Patience,
    Project,
    Rank,
    Token,
    UnknownAddress,
    host_of_pages,
    is_on_loopback,
    resolve_credentials,
)
from .aliases import Aliases
from .environment import home_folder
from .index import ProjectIndex
from .local_platform import LocalPlatform, served
from .paths import SCHEME, ProjectPath
from .signals import ended_by_signals

logger = logging.getLogger(__name__)

LOCAL_ENDPOINT = "local"
LOCAL_ROOT = ".cavatica-local"
"""Below the working directory: the embedded platform's state, used again by the next run."""
PAGES_FILE = f"{LOCAL_ROOT}/pages"
"""Holds an address of the embedded platform's pages that is good once. It is not for a log, which
others may read.
"""
DEFAULT_FOLDER = "snakemake"
"""As the executor's setting has it."""
_REAL_LIMIT = 1000
"""Requests in five minutes (documented)."""
_LOCAL_PATIENCE = 15.0
"""Seconds."""
_WATCHING = 15.0
_LOCAL_WATCHING = 3.0


def names_local(endpoint: str | None) -> bool:
    """Whether an endpoint that somebody has named is the embedded platform of the directory."""
    return (endpoint or "").strip().lower() == LOCAL_ENDPOINT


@dataclass(frozen=True)
class Offer:
    """What the executor's settings say of the platform."""

    endpoint: str | None = None
    profile: str | None = None
    project: str | None = None
    folder: str | None = None
    """None if there is no executor of ours."""


@dataclass
class Connection:
    """A platform that we can talk to."""

    client: Client
    watcher: Client
    """For calls that are made again and again anyway, or that a person waits for: it gives up
    soon, where `client` sits out maintenance."""
    token: Token
    source: str
    """Where the token was found, for messages."""
    default_project: str | None = None
    local: LocalPlatform | None = None
    has_begun: bool = False
    """Whether an executor of ours runs jobs by now."""
    folder: str | None = None
    """The plugin's own folder in projects; None if there is no executor of ours."""
    on_index: Callable[[Connection, ProjectPath], object] | None = None
    """Told of each new index that an executor's jobs may use, by the plugin's folder there."""
    files_named: Callable[[], int] = lambda: 0
    """How many files the workflow has named so far."""
    copies: set[Path] = field(default_factory=set)
    """Files of this machine that were fetched for input functions, and that nobody else removes."""
    _indices: dict[str, ProjectIndex] = field(default_factory=dict)
    _projects: dict[str, Project] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    aliases: Aliases = field(init=False)
    """Files that are named by ids, or as DRS objects."""

    def __post_init__(self) -> None:
        """Nothing is asked of the platform."""
        self.aliases = Aliases(self.index)

    def index(self, project: str) -> ProjectIndex:
        """The index of a project's files, shared by all who ask."""
        with self._lock:
            index = self._indices.get(project)
            if index is None:
                index = self._indices[project] = ProjectIndex(
                    self.client, project, self.files_named
                )
                if self.folder is not None and self.on_index is not None:
                    self.on_index(self, ProjectPath(project, self.folder))
            return index

    def project(self, project: str) -> Project:
        """The project's own document, fetched once.

        Raises:
            ConfigurationError: there is no such project for this token.
            UnknownAddress: there is no API.
        """
        with self._lock:
            if project not in self._projects:
                try:
                    with ended_by_signals(f"{self.client.endpoint} was asked for {project}"):
                        self._projects[project] = self.client.project(project)
                except UnknownAddress:  # nothing is known of the project, then
                    raise
                except NotFound as error:
                    raise ConfigurationError(
                        f"There is no project {project} on {self.client.endpoint}, or the owner of "
                        "this token is no member of it. Check the name: it is owner/project, as in "
                        f"the address of the project's page. [{error}]"
                    ) from error
            return self._projects[project]

    def check_permissions(self, project: str) -> None:
        """Say at the start what would otherwise fail at the first upload, draft or run.

        Raises:
            ConfigurationError: the token's owner may not do in the project what a run has to.
        """
        permissions = self.project(project).permissions
        if permissions is None:
            return
        needed = {
            "write": permissions.write,
            "copy": permissions.copy_,
            "execute": permissions.execute,
        }
        missing = [name for name, granted in needed.items() if not granted]
        if missing:
            raise ConfigurationError(
                f"You have no {' and no '.join(missing)} permission in the project {project}. Ask "
                "one of its administrators for it, or name another project with "
                "--cavatica-project."
            )

    def task_page(self, project: str, task_id: str) -> str:
        """The task's page, or its address in the API where there are no pages."""
        endpoint = self.client.endpoint
        host = host_of_pages(endpoint)
        if host is not None:
            return f"https://{host}/u/{project}/tasks/{task_id}"
        if is_on_loopback(endpoint):
            return f"{endpoint.removesuffix('/v2')}/u/{project}/tasks/{task_id}"
        return f"{endpoint}/tasks/{task_id}"

    @property
    def is_local(self) -> bool:
        """Whether it is an embedded platform, on this machine."""
        return is_on_this_machine(self.client.endpoint)

    @property
    def costs(self) -> str:
        """What to add where tasks are said to go on."""
        return "" if self.is_local else ", and cost money"

    @property
    def has_no_rate_limit(self) -> bool:
        """Whether requests need not be saved: an embedded platform that has not the real one's
        limit (without any it tells a huge one).
        """
        return self.is_local and self.client.budget.limit != _REAL_LIMIT

    @property
    def is_planning(self) -> bool:
        """Whether Snakemake still finds out which jobs there are for an executor of ours."""
        return self.folder is not None and not self.has_begun

    def platform_of(self, project: str) -> str:
        """Names the platform that a project is on.

        Those on this machine have another port at each start, and maybe a new token; the root of a
        project stays.
        """
        return (
            f"local-{self.project(project).root_folder}" if self.is_local else self.client.endpoint
        )

    def end_run(self) -> None:
        """The executor is done, maybe cancelled; another workflow may follow in this process."""
        self.has_begun = False
        self.forget_files()
        stopped = self.client
        transport = stopped.transport
        self.client = Client(transport.endpoint, self.token, patience=transport.patience)
        stopped.close()

    def forget_files(self) -> None:
        """What is known of files belongs to one workflow; the next one of this process looks anew.

        Its files may have been put there by others meanwhile, which an index does not notice.
        """
        with self._lock:
            self._indices.clear()
            self.aliases = Aliases(self.index)

    def remove_copies(self) -> None:
        """Remove what was fetched for input functions of a workflow that has ended.

        Snakemake would take the copy of an output that it makes anew for write-protected.
        """
        while self.copies:
            copy = self.copies.pop()
            try:
                if copy.is_dir():
                    shutil.rmtree(copy)
                else:
                    copy.unlink(missing_ok=True)
            except OSError as error:
                logger.debug("The copy %s could not be removed: %s", copy, error)

    def close(self) -> None:
        """Finish what is pending and stop the embedded platform, if there is one."""
        with ExitStack() as closing:
            closing.callback(self.remove_copies)
            if self.local is not None:
                closing.callback(self.local.stop)
            closing.callback(self.watcher.close)
            closing.callback(self.client.close)
            for index in self._indices.values():
                closing.callback(index.deletions.flush)


class Connections:
    """Those of one process. Everybody who asks for the same platform gets the same connection."""

    def __init__(self, on_index: Callable[[Connection, ProjectPath], object]) -> None:
        """`on_index` is told of each new index, see `Connection`."""
        self._on_index = on_index
        self.files_named = 0
        """By the workflow, so far; those of several rules are counted for each."""
        self._lock = threading.RLock()
        self._offered = Offer()
        self._of_prefix: str | None = None
        self._known: dict[tuple[str | None, str | None, str | None], Connection] = {}

    def offer(self, offered: Offer) -> None:
        """Remember the executor's settings for whoever connects without settings of its own."""
        with self._lock:
            self._offered = offered
            for connection in self._known.values():
                connection.folder = offered.folder

    def connect(
        self, endpoint: str | None = None, profile: str | None = None, *, joins: bool = False
    ) -> Connection:
        """The connection for these settings; what is not given is taken from the executor's.

        Args:
            joins: whether to use the embedded platform that another process may have started, for
                as long as it is there.

        Raises:
            ConfigurationError: there is no token, or the embedded platform does not start.
        """
        with self._lock:
            endpoint = endpoint or self._offered.endpoint
            profile = profile or self._offered.profile
            local = names_local(endpoint)
            endpoint = LOCAL_ENDPOINT if local else endpoint
            key = (endpoint, profile, str(Path.cwd()) if local else None)
            if key not in self._known:
                new = _connect_local(joins) if local else self._connect(endpoint, profile)
                new.folder, new.on_index = self._offered.folder, self._on_index
                new.files_named = lambda: self.files_named
                self._known[key] = new
            return self._known[key]

    def _connect(self, endpoint: str | None, profile: str | None) -> Connection:
        """The one to the same platform that others have named otherwise, or a new one."""
        found = resolve_credentials(
            endpoint=endpoint, profile=profile, environ=os.environ, home=home_folder()
        )
        for known in self._known.values():
            if (known.client.endpoint, known.token) == (found.endpoint, found.token):
                return known
        return _connection(found.endpoint, found.token, found.source)

    def plan_anew(self, *, workflow_begins: bool) -> None:
        """A storage provider was made: files that an earlier workflow knew are looked up again.

        Unless it may have been made in the middle of a run; an earlier run may have ended by an
        error that its executor never heard of.
        """
        with self._lock:
            if workflow_begins:
                self.files_named = 0
            for connection in self._known.values():
                if workflow_begins or not connection.has_begun:
                    connection.has_begun = False
                    connection.remove_copies()
                    connection.forget_files()

    def wanted_project(self, connection: Connection, storage_prefix: str | None = None) -> str:
        """The project that tasks run in: the setting, or the storage prefix's, or the default.

        Raises:
            ConfigurationError: nothing names a project.
        """
        project = (
            self._offered.project or _prefix_project(storage_prefix) or connection.default_project
        )
        if project is None:
            raise ConfigurationError(
                "No project is named. Say which one the tasks run in: --cavatica-project "
                "owner/project."
            )
        return project

    def note_default(self, project: str) -> None:
        """Files that name no storage are in this project: the storage prefix says so."""
        self._of_prefix = project

    def home(self, connection: Connection) -> ProjectPath:
        """The plugin's own folder in the project of the tasks, before a run begins.

        Raises:
            ConfigurationError: nothing names a project.
        """
        project = self._offered.project or self._of_prefix or self.wanted_project(connection)
        return ProjectPath(project, self._offered.folder or DEFAULT_FOLDER)

    def close(self) -> None:
        """Close every connection; at the end of the process at the latest."""
        with self._lock:
            connections = {id(one): one for one in self._known.values()}
            self._known.clear()
        for connection in connections.values():
            try:
                connection.close()
            except CavaticaError as error:
                logger.warning("%s", error)


def _prefix_project(prefix: str | None) -> str | None:
    if not prefix or not prefix.startswith(SCHEME):
        return None
    try:
        return ProjectPath.parse(prefix).project
    except ValueError as error:
        raise ConfigurationError(f"--default-storage-prefix {prefix}: {error}.") from error


def _connect_local(joins: bool) -> Connection:
    root = Path(LOCAL_ROOT)
    there = served(root) if joins else None
    platform = there or LocalPlatform.start(root)
    connection = _connection(platform.endpoint, platform.token, "the embedded platform")
    connection.default_project = platform.project
    connection.local = platform if isinstance(platform, LocalPlatform) else None
    return connection


def _connection(endpoint: str, token: Token, source: str) -> Connection:
    # A server on this machine does not come back by itself.
    local = is_on_this_machine(endpoint)
    if local:
        patient = Patience(total=_LOCAL_PATIENCE, longest_wait=2.0)
        watching = Patience(total=_LOCAL_WATCHING, longest_wait=1.0, read=60.0)
    else:
        patient, watching = Patience(), Patience(total=_WATCHING, read=60.0)
    return Connection(
        Client(endpoint, token, patience=patient),
        Client(endpoint, token, patience=watching, rank=Rank.LOOKING),
        token,
        source,
    )


def is_on_this_machine(endpoint: str) -> bool:
    """Whether it is an embedded platform; plain http is allowed for this machine only."""
    return urlsplit(endpoint).scheme == "http"
