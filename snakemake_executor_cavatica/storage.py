"""The storage provider: files of CAVATICA projects as inputs and outputs of a workflow.

Queries are `cavatica://owner/project/path/to/file`. All that Snakemake asks is answered from the
project's index; only retrieving and storing move bytes.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_storage_plugins.io import IOCacheStorageInterface, get_constant_prefix
from snakemake_interface_storage_plugins.storage_provider import Operation

from . import plugins
from .api import CavaticaError, NotFound
from .connections import CONNECTIONS
from .in_task.storage_stand_in import local_suffix
from .project.alias import Alias, alias_of
from .project.connection import Connection
from .project.fetch_store import fetch, store
from .project.index import Entry, ProjectIndex
from .project.paths import SCHEME, ProjectPath
from .read.internals import CheckpointJob
from .settings import StorageProviderSettings

_BEGAN = time.time()


class StorageProvider(plugins.StorageProvider):
    """Connects only when something is asked for: parsing a workflow needs no token."""

    def __post_init__(self) -> None:
        """Called by the base class when the provider is made."""
        _provide_copies_for_input_functions()
        CONNECTIONS.plan_anew(workflow_begins=self.is_default)

    @property
    def connection(self) -> Connection:
        """The platform, shared with the executor."""
        settings = self.settings
        if not isinstance(settings, StorageProviderSettings):
            return CONNECTIONS.connect()
        return CONNECTIONS.connect(settings.api_endpoint, settings.credentials_profile)

    def postprocess_query(self, query: str) -> str:
        """The query as it is; its project is looked up once, while the workflow is parsed.

        Later the same error would come out of a group of concurrent checks, as a traceback.

        Raises:
            WorkflowError: there is no token, or the project cannot be seen with it.
        """
        try:
            alias = alias_of(query)
            project = ProjectPath.parse(query).project if alias is None else None
        except ValueError:
            return query  # refused with the reason by is_valid_query
        if alias is not None:
            with suppress(CavaticaError):  # that is told when the file is asked for
                self.connection.aliases.note(alias)
            return query
        assert project is not None
        if self.is_default:
            CONNECTIONS.note_default(project)
        try:
            self.connection.project(project)
            self.connection.index(project)  # what it hides, a file of this machine tells
        except CavaticaError as error:
            raise WorkflowError(
                f"The storage {SCHEME}{project} cannot be used. {error}{self._where_from(error)}"
            ) from error
        return query

    def _where_from(self, error: CavaticaError) -> str:
        """A prefix without project would take it from the paths of files."""
        if self.is_default and isinstance(error.__cause__, NotFound):
            return (
                " Owner and project come from --default-storage-prefix, which has to name both: "
                f"{SCHEME}owner/project/folder."
            )
        return ""

    def rate_limiter_key(self, query: str, operation: Operation) -> Any:
        """Unused: the API client keeps the platform's own budget."""
        return None

    def default_max_requests_per_second(self) -> float:
        """1,000 requests in 5 minutes (documented)."""
        return 1000 / 300

    def use_rate_limiter(self) -> bool:
        """The API client keeps the platform's own budget, by its answers."""
        return False


class StorageObject(plugins.StorageObject):
    """One file or folder of a project."""

    provider: StorageProvider

    def __post_init__(self) -> None:
        """Called by the base class when the workflow names a file."""
        CONNECTIONS.files_named += 1

    @cached_property
    def alias(self) -> Alias | None:
        """How the file is named, if not by its place."""
        return alias_of(self.query)

    @property
    def _place(self) -> ProjectPath:
        if self.alias is None:
            return self._path
        connection = self.provider.connection
        if connection.aliases.home is None:
            connection.aliases.home = CONNECTIONS.home(connection)
        return connection.aliases.place(self.alias)

    @cached_property
    def _path(self) -> ProjectPath:
        return ProjectPath.parse(self.query)

    @property
    def _index(self) -> ProjectIndex:
        return self.provider.connection.index(self._place.project)

    def _entry(self) -> Entry:
        entry = self._index.find(self._place.path)
        if entry is None:
            raise CavaticaError(f"{self.query} does not exist.")
        return entry

    def local_suffix(self) -> str:
        """owner/project/path: unique, and readable in commands."""
        return local_suffix(self.query)

    async def inventory(self, cache: IOCacheStorageInterface) -> None:
        """Nothing to do: the index knows the whole folder once it is asked for one file."""

    def get_inventory_parent(self) -> str | None:
        """None: there is no inventory."""
        return None

    def cleanup(self) -> None:
        """Nothing is left beside the local copy, which Snakemake removes."""

    def exists(self) -> bool:
        """Whether there is a file or folder.

        DRS objects are imported when a run begins; until then they are taken to be there.
        """
        if self.alias is not None:
            return self._is_there(self.alias)
        entry = self._index.find(self._place.path)
        self._remove_stale_copy(entry)
        return entry is not None

    def _is_there(self, alias: Alias) -> bool:
        if alias.uri is not None:
            return True
        try:
            return self._index.find(self._place.path) is not None
        except CavaticaError as error:
            # Raised, it would come out of a group of concurrent checks, as a traceback.
            self.provider.logger.error(str(error))
            return False

    @property
    def _is_pending(self) -> bool:
        is_object = self.alias is not None and self.alias.uri is not None
        return is_object and self._index.find(self._place.path) is None

    def _refuse_change(self) -> None:
        if self.alias is not None:
            raise CavaticaError(
                f"{self.query} can only be read; name it by its place to change it."
            )

    def _remove_stale_copy(self, entry: Entry | None) -> None:
        """Remove what a run that was killed has fetched of an output that was never reported, and
        what was kept of a file that has changed since.

        Snakemake would do so with the first as well, but keep in mind that the copy exists, and
        then take it for write-protected; of the second it would ask how old the copy is, or what
        is in it. When its planning for another executor ends, nobody tells.
        """
        copy = Path(self.local_path())
        if not os.path.lexists(copy):  # as almost always
            return
        connection = self.provider.connection
        is_ours = connection.folder is not None
        if not (connection.is_planning if is_ours else _was_there_before(copy)):
            return
        if entry is not None and (
            entry.folder or not copy.exists() or copy.stat().st_mtime >= self._index.mtime(entry)
        ):
            return
        if copy.is_dir():
            shutil.rmtree(copy)
        else:
            copy.unlink(missing_ok=True)

    def mtime(self) -> float:
        """Seconds since the epoch, by the platform's clock.

        A DRS object never changes (its standard says so), whenever it was imported.
        """
        if self.alias is not None and self.alias.uri is not None:
            return 0.0
        return self._index.mtime(self._entry())

    def size(self) -> int:
        """Bytes; 0 for folders, and for DRS objects that have yet to be imported."""
        return 0 if self._is_pending else self._entry().size

    def local_footprint(self) -> int:
        """Bytes that a local copy takes."""
        if self._is_pending:
            return 0
        entry = self._entry()
        if not entry.folder:
            return entry.size
        return sum(child.size for child in self._index.walk(entry.path))

    def retrieve_object(self) -> None:
        """Download the file or folder to its local path."""
        if self.alias is not None:
            self.provider.connection.aliases.bring([self._place])
        entry = self._entry()
        target = Path(self.local_path())
        fetch(self._index.client, entry.id, target, size=entry.size, folder=entry.folder)

    def provide_copy(self) -> None:
        """Have a local copy that is as new as the file, if there is one."""
        entry = self._index.find(self._place.path)
        target = Path(self.local_path())
        if entry is None:
            return
        mtime = self._index.mtime(entry)
        if not target.exists() or target.stat().st_mtime < mtime:
            self.retrieve_object()
            self._date(target, mtime)
            if not self.keep_local:
                self.provider.connection.copies.add(target.absolute())

    def _date(self, copy: Path, mtime: float) -> None:
        """Let a copy be as old as its file, whatever the clock of this machine says."""
        os.utime(copy, (ceil(mtime),) * 2)

    def store_object(self) -> None:
        """Upload the file or folder from its local path, which is a copy of it then."""
        self._refuse_change()
        copy = Path(self.local_path())
        store(self._index, copy, self._place.path)
        self._date(copy, self._index.mtime(self._entry()))

    def remove(self) -> None:
        """Delete the file, or the folder with all that is in it."""
        self._refuse_change()
        self._index.remove(self._place.path)

    def touch(self) -> None:
        """Make it as new as now."""
        self._refuse_change()
        now = self._index.client.transport.clock.now()
        self._index.touch(self._entry(), now.timestamp())

    def list_candidate_matches(self) -> Iterable[str]:
        """Queries of all files below the part of this query that has no wildcards."""
        constant = get_constant_prefix(self.query, strip_incomplete_parts=True)
        try:
            start = ProjectPath.parse(constant)
        except ValueError as error:
            raise CavaticaError(
                f"{self.query}: owner and project must not hold wildcards."
            ) from error
        index = self.provider.connection.index(start.project)
        return [
            ProjectPath(start.project, entry.path).query
            for entry in index.walk(start.path)
            if not entry.folder
        ]


def _was_there_before(copy: Path) -> bool:
    """Whether a copy was made before this run began; in the process of a job, none counts."""
    is_main = "--mode" not in sys.argv
    return is_main and copy.exists() and copy.stat().st_ctime < _BEGAN


def _provide_copies_for_input_functions() -> None:
    """Fetch what `checkpoints.<name>.get()` hands out, since input functions read it.

    Snakemake does that only for files that are opened by their own `open()`. A run that goes on
    where another one stopped, maybe on another machine, has no copies of what was made then.
    """
    if getattr(CheckpointJob.__init__, "provides_copies", False):
        return
    original = CheckpointJob.__init__

    def hand_out(self: Any, rule: Any, output: Any) -> None:
        for file in output:
            if file.is_storage and isinstance(file.storage_object, StorageObject):
                file.storage_object.provide_copy()
        original(self, rule, output)

    hand_out.provides_copies = True  # type: ignore[attr-defined]
    CheckpointJob.__init__ = hand_out  # type: ignore[method-assign]
