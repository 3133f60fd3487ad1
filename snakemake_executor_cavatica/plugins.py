"""The two plugins as Snakemake finds them: at each start, for all its users, whatever they run.

So nothing is imported here but the interfaces, which Snakemake has loaded anyway. What a run needs
is imported when an executor or a storage provider of ours is made. That is also when a Snakemake
that lacks what we use of its internals is noticed: by those who asked for us, and nobody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import Any

from snakemake_interface_common.exceptions import ApiError
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_storage_plugins.storage_object import (
    StorageObjectGlob,
    StorageObjectRead,
    StorageObjectTouch,
    StorageObjectWrite,
)
from snakemake_interface_storage_plugins.storage_provider import (
    ExampleQuery,
    QueryType,
    StorageProviderBase,
    StorageQueryValidationResult,
)

from . import settings
from .project.alias import alias_of
from .project.paths import ProjectPath

SNAKEMAKE = ">=9.23.1,<10"
"""The versions of Snakemake that the plugin works with; as in pyproject.toml."""


def part_of_a_run(name: str) -> ModuleType:
    """A module of this package that only a run needs.

    Raises:
        ApiError: this Snakemake lacks what the module uses of it.
    """
    try:
        return import_module(f"{__package__}.{name}")
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "snakemake":
            raise
        raise ApiError(
            f"The CAVATICA plugin needs snakemake{SNAKEMAKE}, and this is Snakemake "
            f"{version('snakemake')}, which is different inside ({error}). Install another one: "
            f"pip install 'snakemake{SNAKEMAKE}'"
        ) from error


@dataclass
class ExecutorSettings(settings.ExecutorSettings):
    """The settings of a run.

    That they are made is the only sign by which Snakemake tells us, before it parses a workflow,
    that our executor is to run it.
    """

    def __post_init__(self) -> None:
        """Let the run begin."""
        part_of_a_run("executor")
        part_of_a_run("beginning").begin(self)


class Executor(RemoteExecutor):
    """Runs jobs as CAVATICA tasks, by the class of the same name in `executor.py`."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Executor:
        """Make the real one; Python then has it initialize itself."""
        made: Executor = object.__new__(part_of_a_run("executor").Executor)
        return made


class StorageObject(StorageObjectRead, StorageObjectWrite, StorageObjectGlob, StorageObjectTouch):
    """What can be done with a file of a project; `storage.py` does it."""


class StorageProvider(StorageProviderBase):
    """Files of CAVATICA projects, by the class of the same name in `storage.py`."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> StorageProvider:
        """Make the real one; Python then has it initialize itself."""
        made: StorageProvider = object.__new__(part_of_a_run("storage").StorageProvider)
        return made

    @classmethod
    def example_queries(cls) -> list[ExampleQuery]:
        """For the documentation."""
        return [
            ExampleQuery(
                query="cavatica://owner/project/folder/sample.bam",
                description="A file in a folder of a project.",
                type=QueryType.ANY,
            ),
            ExampleQuery(
                query="cavatica://id/5f9a1c2e7b3d4e0012345678/sample.bam",
                description="A file of any project by its id, and a name for it.",
                type=QueryType.INPUT,
            ),
            ExampleQuery(
                query="drs://data.kidsfirstdrc.org/8cc7dd3a-1b2f-4e55-9a0c-1d2e3f4a5b6c#sample.bam",
                description="An object of a GA4GH DRS server, and a name for it.",
                type=QueryType.INPUT,
            ),
        ]

    @classmethod
    def is_valid_query(cls, query: str) -> StorageQueryValidationResult:
        """Whether the query names a file of a project. Snakemake asks all plugins, with any query
        that does not say whose it is.
        """
        try:
            if alias_of(query) is not None:
                return StorageQueryValidationResult(query, True)
            path = ProjectPath.parse(query)
        except ValueError as error:
            return StorageQueryValidationResult(query, False, str(error))
        if not path.path:
            return StorageQueryValidationResult(
                query, False, "it names a project, but no file in it"
            )
        return StorageQueryValidationResult(query, True)
