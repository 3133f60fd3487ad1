"""Where the files of a job live, what they are called in its task, and what they are."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from snakemake_interface_storage_plugins.storage_object import StorageObjectWrite

from ..in_task.storage_stand_in import local_suffix
from ..project.alias import alias_of
from ..project.connection import Connection
from ..project.local_record import size_of
from ..project.paths import SCHEME, LocalPath, Place, ProjectPath, is_encoded, is_outside
from ..project.tree import Entry
from .facts import (
    Ensure,
    Refusal,
    WorkflowFile,
)
from .internals import (
    PATH_MODIFIER_FLAG,
    Namedlist,
    get_flag_value,
    is_callable,
    is_flagged,
)
from .source_candidates import programs_beside
from .workdir import Workdir
from .workflow import storage_prefix_in_task, without_prefix

CACHED_SOURCE = "sourcecache_entry"
"""Flags Snakemake's own copy of a file by what it is a copy of."""
MOST_BESIDE = 100
"""Programs in one folder."""


class FileReader:
    """Reads the files of the jobs of one workflow."""

    def __init__(
        self,
        workflow: Any,
        connection: Connection,
        here: Workdir,
        *,
        known_folder: Callable[[str], bool],
        place_in_other_storage: Callable[[Any], LocalPath],
    ) -> None:
        """`known_folder` says whether a local folder is known to be on the platform, as a folder,
        and `place_in_other_storage` where this process has a file of another storage meanwhile.
        """
        self._workflow = workflow
        self._connection = connection
        self._here = here
        self._known_folder = known_folder
        self._place_in_other_storage = place_in_other_storage

    def place_of(self, file: Any) -> Place:
        """Where a file lives outside of the tasks; in another storage it passes through here."""
        if not file.is_storage:
            return LocalPath(str(file))
        if is_in_other_storage(file):
            return self._place_in_other_storage(file)
        query = file.storage_object.query
        alias = alias_of(query)
        return self._connection.aliases.place(alias) if alias else ProjectPath.parse(query)

    def file(self, file: Any) -> WorkflowFile:
        """What leads below the working directory does so in the task, by whatever path.

        Raises:
            Refusal: the path leads elsewhere in a task, which has no links.
        """
        _check_way(file)
        return WorkflowFile(
            path=self._here.inside(lasting_name(file)),
            plain_path=self._here.inside(self._plain_path(file)),
            place=self.place_of(file),
        )

    def input(self, file: Any, name: str | None) -> WorkflowFile:
        """An input; `name` is its keyword in the rule."""
        plain = self.file(file)
        form = self._form(plain.place)
        local = plain.place.path if isinstance(plain.place, LocalPath) else None
        inside = self._inside(plain.place) if form == "folder" else []
        return replace(
            plain,
            name=name,
            form=form,
            cached_source=is_flagged(file, CACHED_SOURCE),
            size=self._size(file, plain.place, form) + sum(entry.size for entry in inside),
            executable=form == "file" and local is not None and os.access(local, os.X_OK),
            encoded=[
                posixpath.relpath(entry.path, plain.place.path)
                for entry in inside
                if entry.folder and is_encoded(posixpath.basename(entry.path))
            ],
        )

    def output(self, file: Any, name: str | None, job: Any) -> WorkflowFile:
        """An output of a job.

        Raises:
            Refusal: nobody can bring it to its storage.
        """
        made = self.made(file, job)
        _check_storable(file)
        return replace(made, name=name)

    def made(self, file: Any, job: Any) -> WorkflowFile:
        """What a job makes, whether or not it leaves the task."""
        return replace(
            self.file(file),
            form=_form_made(file),
            touch=is_flagged(file, "touch"),
            ensure=_ensure(file, job),
        )

    def log(self, file: Any) -> WorkflowFile:
        """A log, which may be a folder of them."""
        return replace(self.file(file), form=_form_made(file))

    def exists(self, place: Place) -> bool:
        """Whether there is something at a place."""
        if isinstance(place, ProjectPath):
            return self._connection.index(place.project).find(place.path) is not None
        return Path(place.path).exists()

    def _form(self, place: Place) -> Any:
        if isinstance(place, ProjectPath):
            entry = self._connection.index(place.project).find(place.path)
            return "folder" if entry is not None and entry.folder else "file"
        if not Path(place.path).is_dir():
            return "file"
        return "folder" if self._known_folder(place.path) else "archive"

    def _size(self, file: Any, place: Place, form: str) -> int:
        """Bytes of an input, as far as somebody knows them; not of what is in an archive, nor in a
        folder of the platform.
        """
        if form == "archive":
            return 0
        if isinstance(place, LocalPath) and file.is_storage:  # it may not be here yet
            return int(self._workflow.async_run(file.size()))
        if isinstance(place, LocalPath):
            return size_of(place.path)
        entry = self._connection.index(place.project).find(place.path)
        return entry.size if entry else 0

    def _inside(self, place: Place) -> list[Entry]:
        """What is in a folder of the platform."""
        if isinstance(place, LocalPath):
            return []
        return list(self._connection.index(place.project).walk(place.path))

    def _plain_path(self, file: Any) -> str:
        """The name inside a task, where the default storage provider is not in force."""
        if not file.is_storage:
            return str(file)
        if not is_flagged(file, PATH_MODIFIER_FLAG):
            # Nor is the plugin, but a stand-in that says by itself where files are.
            here = self._workflow.storage_settings.local_storage_prefix
            folder = os.path.relpath(file.storage_object.provider.local_prefix, here)
            suffix = local_suffix(file.storage_object.query)
            return str(Path(storage_prefix_in_task(self._workflow), folder, suffix))
        return without_prefix(self._workflow, file)


def lasting_name(file: Any) -> str:
    """What a job calls a file: what was copied, for Snakemake's copies, elsewhere in each run."""
    original = get_flag_value(file, CACHED_SOURCE)
    return original if original and os.path.isfile(original) else str(file)  # noqa: PTH113


def inputs_of(job: Any) -> list[tuple[Any, str | None]]:
    """The inputs with their keywords; those of a group, which has none, in a fixed order.

    Not those that the job reads by itself, by their address.
    """
    if job.is_group():
        named: Iterable[tuple[Any, str | None]] = (
            (file, None) for file in sorted(job.input, key=str)
        )
    else:
        named = zip(job.input, names_of(job.input), strict=True)
    return [(file, name) for file, name in named if not is_read_directly(file)]


def read_directly(job: Any) -> list[Any]:
    """The inputs that the job reads by itself."""
    return [file for file in job.input if is_read_directly(file)]


def beside_scripts(inputs: Iterable[WorkflowFile]) -> Iterator[WorkflowFile]:
    """The programs beside scripts outside of the working directory, which the sources do not reach.

    Not where there are so many that they hardly belong to one script.
    """
    for file in inputs:
        place = file.place
        if file.cached_source or not isinstance(place, LocalPath) or not is_outside(file.path):
            continue
        programs = sorted(programs_beside([Path(place.path)]))
        for program in programs if len(programs) <= MOST_BESIDE else ():
            here = str(program)
            path = posixpath.join(posixpath.dirname(file.path), program.name)
            executable = os.access(here, os.X_OK)
            yield WorkflowFile(
                path, path, LocalPath(here), size=size_of(here), executable=executable
            )


def is_in_other_storage(file: Any) -> bool:
    """Whether a file of a storage is in another one than CAVATICA."""
    query = file.storage_object.query
    return not (query.startswith(SCHEME) or _is_alias(file))


def _is_alias(file: Any) -> bool:
    """Whether our storage provider knows it by an id, or as a DRS object."""
    return getattr(file.storage_object, "alias", None) is not None


def is_read_directly(file: Any) -> bool:
    """Whether a file of a storage is not to be retrieved: the job gets its address."""
    return bool(file.is_storage and file.should_not_be_retrieved_from_storage)


def _check_way(file: Any) -> None:
    """Refuse what lies above the target of a link to a folder: a task has a folder there."""
    path = str(file)
    if file.is_storage or ".." not in path.split("/"):
        return
    there, here = os.path.realpath(os.path.normpath(path)), os.path.realpath(path)
    if there != here:
        raise Refusal(
            file.rule.name,
            f"its file {path} leads through a link to a folder and up again, to {here}. A task has "
            f"no such link: there it would be {there}. Name the file by a path without '..'.",
        )


def _form_made(file: Any) -> Literal["file", "folder"]:
    """What the rule says that it makes."""
    return "folder" if file.is_directory else "file"


def _check_storable(file: Any) -> None:
    """Refuse outputs that nobody can bring to their storage."""
    if not file.is_storage:
        return
    problem = None
    cure = "Make it a plain file, and bring it there with a local rule."
    if file.should_not_be_retrieved_from_storage:
        problem = "is to be written by the job itself (retrieve=False), and a task cannot reach it"
        if not is_in_other_storage(file):
            cure = "Leave out retrieve=False, or --not-retrieve-storage: nothing comes here anyway."
    elif not is_in_other_storage(file):
        return
    elif not isinstance(file.storage_object, StorageObjectWrite):
        problem = "lies in a storage that can only be read"
    elif is_flagged(file, "update"):
        problem = "is an update() output in another storage than CAVATICA"
    if problem:
        raise Refusal(
            file.rule.name, f"its output {file.storage_object.print_query} {problem}. {cure}"
        )


def names_of(files: Any) -> list[str | None]:
    """The keyword of each file in its rule; the members of a named list share one."""
    names: list[str | None] = [None] * len(files)
    if isinstance(files, Namedlist):
        for name, (start, end) in files._get_names():
            for position in range(start, start + 1 if end is None else end):
                names[position] = str(name)
    return names


def _ensure(file: Any, job: Any) -> Ensure | None:
    wanted = get_flag_value(file, "ensure")
    if not wanted:
        return None
    checksum = wanted.get("checksum")
    if checksum is not None and is_callable(checksum):
        checksum = checksum(job.wildcards)
    algorithm = wanted.get("checksum_algorithm")
    return Ensure(
        non_empty=bool(wanted.get("non_empty")),
        checksum=(algorithm, str(checksum)) if algorithm and checksum else None,
    )
