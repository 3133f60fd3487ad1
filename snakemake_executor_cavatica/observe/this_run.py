"""What the record says of the run itself, and which record it goes on with."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from ..api.clock import steady_time
from ..project.connection import Connection
from ..read.defaults import looks_secret
from ..read.snakemake_jobs import kind_of
from ..run.processes import this_process
from .entries import Run
from .record import Record, read_record, records_here, runs_in
from .standing import Standing

_INTERRUPTED = (Standing.LIMIT, Standing.CANCELLED, Standing.DETACHED)
"""Ends after which the same command goes on, and what the run has cost counts."""

_HIDDEN = "***"
_KEYS = re.compile(r"(?:-[\w-]*=)?(?:[A-Za-z_][\w-]*=)?")
"""What stands before a value: an option, a key of the configuration, or both."""
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_PLUGIN = "snakemake-executor-plugin-cavatica"


def this_run(
    workflow: Any,
    run: str,
    connection: Connection,
    project: str,
    max_cost: float | None,
    *,
    command: Sequence[str] | None = None,
) -> Run:
    """This process, as the record tells of it; `run` is its id, `workflow` Snakemake's.

    Args:
        command: what a person has typed, if not what this process was started with.
    """
    planned = _planned(workflow.dag)
    in_storage = workflow.storage_settings.default_storage_provider == "cavatica"
    return Run(
        id=run,
        command=" ".join(map(shlex.quote, told_arguments(command or sys.argv, connection))),
        directory=str(Path.cwd()),
        snakemake=version("snakemake"),
        plugin=version(_PLUGIN),
        endpoint=connection.client.endpoint,
        embedded=connection.local is not None,
        project=project,
        place="storage" if in_storage else "transfer",
        started=steady_time(),
        process=this_process(),
        max_cost=max_cost,
        jobs_planned=planned.total(),
        jobs_by_rule=dict(sorted(planned.items())),
        graph=_graph(workflow.dag),
    )


def _planned(dag: Any) -> Counter[str]:
    """How many jobs of which rule, or group, are to run as tasks."""
    jobs = [job for job in dag.needrun_jobs() if not job.is_local]
    groups = {group for job in jobs if (group := dag.get_job_group(job)) is not None}
    alone = (job.rule.name for job in jobs if dag.get_job_group(job) is None)
    return Counter(alone) + Counter(map(kind_of, groups))


def _graph(dag: Any) -> str:
    """Which rules need which, in the language of Graphviz."""
    rules = sorted({job.rule.name for job in dag.jobs})
    pairs = {(need.rule.name, job.rule.name) for job in dag.jobs for need in dag.dependencies[job]}
    lines = [
        *map(json.dumps, rules),
        *(f"{json.dumps(a)} -> {json.dumps(b)}" for a, b in sorted(pairs)),
    ]
    return "digraph {" + "; ".join(lines) + "}"


def told_arguments(arguments: Iterable[str], connection: Connection) -> Iterator[str]:
    """The arguments of a command without what nobody else should know."""
    is_secret = False
    for position, given in enumerate(arguments):
        argument = connection.token.cut_from(given)
        if position == 0:
            yield Path(argument).name
        elif is_secret and not argument.startswith("-"):
            yield _HIDDEN
        else:
            is_secret = argument.startswith("-") and "=" not in argument and looks_secret(argument)
            yield _USER_IN_URL.sub(_HIDDEN, _without_secrets(argument))


def _without_secrets(argument: str) -> str:
    """`--config=key=value` without the value of what looks secret, or without that within it."""
    found = _KEYS.match(argument)
    keys = found[0] if found else ""
    if not looks_secret(keys) and (told := _told_structure(argument[len(keys) :])) is not None:
        return keys + told
    for equals in re.finditer("=", argument):
        if looks_secret(argument[: equals.start()]):
            return f"{argument[: equals.end()]}{_HIDDEN}"
    return argument


def _told_structure(value: str) -> str | None:
    """A value in YAML, as Snakemake reads those of `--config`; None if it is a plain text."""
    try:
        read = yaml.load(value, yaml.BaseLoader)  # noqa: S506 - it makes nothing but texts
        told = _without_secret_members(read)
    except (yaml.YAMLError, RecursionError):
        return _HIDDEN if looks_secret(value) else None
    if not isinstance(read, dict | list):
        return None
    return value if told == read else json.dumps(told, ensure_ascii=False)


def _without_secret_members(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _HIDDEN if looks_secret(str(key)) else _without_secret_members(one)
            for key, one in value.items()
        }
    if isinstance(value, list):
        return list(map(_without_secret_members, value))
    return value


def interrupted_record(directory: Path, run: Run, predecessors: Collection[str]) -> Record | None:
    """The record that a run goes on with: of runs whose tasks it takes up, or else the newest, if
    that was interrupted in the same place.

    Raises:
        UnreadableRecord: it cannot be read.
    """
    here = [(folder, runs_in(folder)) for folder in records_here(directory)]
    for folder, runs in here:
        if any(one.id in predecessors for one in runs):
            return read_record(folder)
    if not here or not here[0][1]:
        return None
    folder, runs = here[0]
    last = runs[-1]
    is_same = (last.project, last.place) == (run.project, run.place)
    return read_record(folder) if is_same and last.outcome in _INTERRUPTED else None
