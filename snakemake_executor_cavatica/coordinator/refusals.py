"""What a coordinator cannot do, found before it is submitted: what only the user's machine can."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..api import ConfigurationError
from ..project.paths import DRS, SCHEME
from ..read.workflow import known_files

_MOST = 10


def refuse_what_stays_here(workflow: Any) -> None:
    """See that all files of the workflow are on the platform, and what is known of results is not
    in a database of this machine.

    Raises:
        ConfigurationError: they are not; it names the rules, the files, and what to do.
    """
    backend = getattr(workflow.workflow_settings, "persistence_backend", None)
    if backend is not None and backend.name == "DB":
        raise ConfigurationError(
            "With --persistence-backend db, Snakemake would keep what it knows of results in a "
            "database that a run on the platform cannot reach, and not see which rules have "
            "changed since. Leave it out: --persistence-backend file goes along."
        )
    storage = workflow.storage_settings
    if storage.default_storage_provider != "cavatica" or not storage.default_storage_prefix:
        raise ConfigurationError(
            "Without --default-storage-provider cavatica, the files of the workflow are on this "
            "machine, which a run on the platform cannot reach. Put the inputs into a folder of "
            "the project (`snakemake-cavatica put`), and add --default-storage-provider cavatica "
            f"--default-storage-prefix {SCHEME}OWNER/PROJECT/FOLDER."
        )
    found = list(dict.fromkeys(_obstacles(workflow)))
    if found:
        more = f"\n  and {len(found) - _MOST} more" if len(found) > _MOST else ""
        raise ConfigurationError(
            "Only this machine can run the workflow, because these files are not on the platform. "
            "Nothing was submitted:\n  "
            + "\n  ".join(found[:_MOST])
            + f"{more}\nLeave out local(...), name files on the platform (storage.cavatica), or "
            "run these rules here beforehand."
        )


def _obstacles(workflow: Any) -> Iterator[str]:
    for rule in workflow.rules:
        yield from _of_files(rule.name, known_files([*rule.input, *rule.output]))
    for job in workflow.dag.jobs:
        yield from _of_files(job.rule.name, [*job.input, *job.output])


def _of_files(rule: str, files: Iterable[Any]) -> Iterator[str]:
    for file in files:
        if not file.is_storage:
            yield f"rule {rule}: {file} is a file of this machine"
        elif not file.storage_object.query.startswith((SCHEME, DRS)):
            plugin = type(file.storage_object).__module__.partition(".")[0]
            name = plugin.removeprefix("snakemake_storage_plugin_")
            yield f"rule {rule}: {file.storage_object.query} is in another storage ({name})"
