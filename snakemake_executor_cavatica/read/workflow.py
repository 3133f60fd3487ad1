"""What Snakemake's workflow object tells about the whole of it: its own files, its storages.

What of the files is taken along is decided in `sources.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from stat import S_ISREG
from string import Formatter
from typing import Any

from snakemake_interface_storage_plugins.registry import StoragePluginRegistry

from ..api import ConfigurationError
from ..in_task.storage_stand_in import scheme_of
from ..project.paths import SCHEME
from .defaults import folders_added
from .fetched import fetch_scripts
from .internals import (
    JOB_NAMES,
    PATH_MODIFIER_FLAG,
    LocalSourceFile,
    _IOFile,
    conda_file,
    is_callable,
    is_flagged,
    regex_from_filepattern,
)
from .patterns import Patterns
from .source_candidates import PROGRAMS, Found, named_files, programs_beside
from .sources import Reason, Sources, collect_sources
from .workdir import workflow_folders

_GLOBAL = re.compile(r"\{(([A-Za-z_]\w*)[\w.\[\]]*)(?::\w)?\}")
"""A name in a command, and what is taken of it."""
BESIDE_ENVIRONMENTS = (".post-deploy.sh", ".linux-64.pin.txt", ".linux-aarch64.pin.txt")
"""What may complete an environment file, for the platforms that tasks may run on."""


def settle_options(workflow: Any) -> None:
    """See to options of Snakemake's own that mean something else where jobs run elsewhere.

    Raises:
        ConfigurationError: one of them cannot work.
    """
    if workflow.remote_execution_settings.immediate_submit:
        raise ConfigurationError(
            "--immediate-submit does not work with CAVATICA: it submits jobs before their inputs "
            "exist, and a task cannot be made without them. Leave it out."
        )
    # With --keep-storage-local-copies, a rule that only collects targets would wait for copies of
    # them here, which nobody makes. That copies are kept, each storage provider has noted by now.
    workflow.storage_settings = replace(workflow.storage_settings, keep_storage_local=False)


def workflow_sources(workflow: Any, patterns: Patterns) -> Sources:
    """The workflow's own files, by what Snakemake knows of them and what its rules name.

    Snakemake's own list (`dag.get_sources`) takes all that lies below the folder of a script, be it
    data or credentials, loses names that git quotes, and needs git.

    Raises:
        ConfigurationError: git cannot say what it tracks and ignores.
    """
    fetch_scripts(workflow)
    jobs = list(workflow.dag.jobs)
    commands = {rule: tuple(_texts(_told(workflow, rule))) for rule in workflow.rules}
    defining = frozenset(definitions(workflow))
    workdir = Path.cwd().resolve()
    found = Found(
        workdir=workdir,
        started=Path(workflow.workdir_init),
        defining=defining,
        scripts=frozenset(_scripts(workflow)),
        on_paths=frozenset(folders_added()),
        environments=frozenset(_environments(jobs)),
        commands=tuple(text for texts in commands.values() for text in texts),
        inputs=frozenset(_local_paths(workdir, (file for job in jobs for file in job.input))),
        undeclared=frozenset(_undeclared(workdir, defining, jobs, commands)),
        outputs=frozenset(
            [
                *_local_paths(workdir, (file for job in jobs for file in job.output)),
                *_written_by_run(workflow),
            ]
        ),
        may_be_made=_left_behind(workflow),
    )
    return replace(collect_sources(found, patterns), storages=storages_of(workflow))


def _written_by_run(workflow: Any) -> Iterator[Path]:
    """Where this process writes its words, and what it tells at its end: another text each time."""
    settings = workflow.executor_settings
    for name in (getattr(settings, "report", None), getattr(settings, "trace", None)):
        if name:
            yield _absolute(name).resolve()
    for stream in (1, 2):
        with suppress(OSError):
            yield Path(f"/proc/self/fd/{stream}").resolve()


def _told(workflow: Any, rule: Any) -> list[Any]:
    """What a rule spells out for its jobs."""
    names = getattr(rule.run_func, "__globals__", workflow.globals)
    command = rule.shellcmd and _GLOBAL.sub(partial(_filled_in, names), rule.shellcmd)
    return [command, rule.script, rule.notebook, list(rule.params)]


def _filled_in(names: Mapping[str, Any], field: re.Match[str]) -> str:
    """What the Snakefile itself calls by a name, such as `{SCRIPTS}` or `{workflow.basedir}`."""
    if field[2] in JOB_NAMES:
        return field[0]
    try:
        return str(Formatter().get_field(field[1], (), names)[0])
    except (AttributeError, LookupError, TypeError, ValueError):
        return field[0]  # Snakemake tells of it, if a job has that command.


def _undeclared(
    workdir: Path,
    defining: Iterable[Path],
    jobs: Iterable[Any],
    commands: Mapping[Any, Sequence[str]],
) -> set[Path]:
    """Files that jobs use, as far as one can tell, and that are not among their inputs.

    Those that their rules name, and the programs that lie beside programs of theirs.
    """
    folders = workflow_folders(defining)
    of_rules: dict[Any, set[Path]] = {}
    beside: dict[frozenset[Path], set[Path]] = {}
    undeclared: set[Path] = set()
    for job in jobs:
        if job.rule not in of_rules:
            script = script_of(job.rule)
            named = named_files(commands.get(job.rule, ()), workdir, folders)
            own = {*named, *([_absolute(script)] if script else [])}
            of_rules[job.rule] = named | programs_beside(own)
        declared = set(_local_paths(workdir, job.input))
        programs = frozenset(path for path in declared if path.suffix in PROGRAMS)
        if programs not in beside:
            beside[programs] = programs_beside(programs)
        undeclared |= (of_rules[job.rule] | beside[programs]) - declared
    return undeclared


def _texts(value: Any) -> Iterator[str]:
    """The texts in what a rule is given: a command, or parameters, maybe in lists of lists."""
    if isinstance(value, str | PurePath):
        yield str(value)
    elif isinstance(value, dict):
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple | set):
        for one in value:
            yield from _texts(one)


def _local_paths(workdir: Path, files: Iterable[Any]) -> Iterator[Path]:
    for name in {str(file) for file in files if not file.is_storage}:
        yield Path(os.path.normpath(workdir / name))


def _environments(jobs: Iterable[Any]) -> Iterator[Path]:
    """Files of `conda:` directives and what belongs to them, as far as they are on this machine."""
    for job in jobs:
        file = conda_file(job)
        if isinstance(file, LocalSourceFile):
            named = file.get_path_or_uri(secret_free=True)
            path = _absolute(job.rule.basedir.join(named).get_path_or_uri(secret_free=True))
            yield path
            beside = (path.with_name(path.stem + suffix) for suffix in BESIDE_ENVIRONMENTS)
            yield from (one for one in beside if one.is_file())


def storages_of(workflow: Any) -> dict[str, list[str]]:
    """The storage plugins that the workflow uses, with the schemes of their queries.

    Snakemake inside a task is to tell by the scheme which plugin a bare `storage(...)` means.
    """
    seen = [
        (type(file.storage_object.provider), scheme_of(file.storage_object.query))
        for job in workflow.dag.jobs
        for file in (*job.input, *job.output, *job.log)
        if file.is_storage
    ]
    used = {type(provider) for provider in workflow.storage_registry._storages.values()}
    storages: dict[str, list[str]] = {}
    for name, plugin in StoragePluginRegistry().plugins.items():
        provider = plugin.storage_provider
        if provider not in used and f"{name}://" != SCHEME:  # input functions may still use ours
            continue
        schemes = {scheme for owner, scheme in seen if owner is provider}
        schemes |= {scheme_of(example.query) for example in provider.example_queries()}
        if "https" in schemes:
            schemes.add("http")
        storages[name] = sorted(schemes)
    return storages


def _declared_inputs(workflow: Any) -> Iterator[Any]:
    for rule in workflow.rules:
        yield from known_files(rule.input)


def _declared_outputs(workflow: Any) -> Iterator[Any]:
    for rule in workflow.rules:
        benchmark = [rule.benchmark] if rule.benchmark else []
        yield from known_files([*rule.output, *rule.log, *benchmark])


def known_files(files: Iterable[Any]) -> Iterator[Any]:
    """Those of a rule's files that have a path; functions, flagged or not, tell it to jobs only."""
    return (file for file in files if isinstance(file, _IOFile) and not is_callable(file))


def _left_behind(workflow: Any) -> Callable[[str], bool]:
    """Tells whether rules may have left a file here, as an output or beside their outputs.

    Also where outputs are on the platform now: an earlier run may have left them here.
    """
    files = list(_declared_outputs(workflow))
    names = [str(file) for file in files if not file.is_storage] + [
        without_prefix(workflow, file)
        for file in files
        if file.is_storage and is_flagged(file, PATH_MODIFIER_FLAG)
    ]
    patterns = [re.compile(regex_from_filepattern(name)) for name in names]
    folders = {os.path.dirname(name.partition("{")[0]) for name in names}  # noqa: PTH120 - text
    prefixes = tuple(f"{os.path.normpath(folder)}/" for folder in folders - {""})

    def may_be_left(path: str) -> bool:
        return path.startswith(prefixes) or any(
            pattern.match(str(place))
            for place in [path, *PurePath(path).parents]
            for pattern in patterns
        )

    return may_be_left


def _may_be_made(patterns: list[Any], path: str) -> bool:
    """Whether some rule could make the file: what an earlier run left is data, not source."""
    return any(
        pattern.match(path) or (pattern.is_directory and path.startswith(f"{pattern}/"))
        for pattern in patterns
    )


def lasting_sources(workflow: Any, sources: Sources) -> set[Path]:
    """The sources that any job may use, and that are the same whatever jobs there are.

    Not what is read or written by jobs: it is known by its id, and depends on how far a run got.
    """
    files = [*_declared_outputs(workflow), *_declared_inputs(workflow)]
    return _not_made(sources.lasting - definitions(workflow), files)


def read_before_jobs(workflow: Any, sources: Sources) -> set[Path]:
    """The sources that are read whenever the workflow is parsed, and that no job makes."""
    read = {path for path, reason in sources.reasons.items() if reason is Reason.READ}
    return _not_made(read, _declared_outputs(workflow))


def _not_made(paths: Iterable[Path], files: Iterable[Any]) -> set[Path]:
    """Those that none of the declared files stands for."""
    patterns = [file for file in files if not file.is_storage]
    workdir = Path.cwd().resolve()
    return {path for path in paths if not _may_be_made(patterns, os.path.relpath(path, workdir))}


def found_before_jobs(workflow: Any, sources: Sources) -> dict[str, list[str]]:
    """What the workflow found while it was parsed, apart from what its jobs make.

    Names in folders, and files by themselves. Not folders by themselves, which workflows make if
    they are not there, nor what is elsewhere on this machine.
    """
    patterns = [file for file in _declared_outputs(workflow) if not file.is_storage]
    made_in = tuple(f"{str(file).partition('{')[0]}" for file in patterns)

    def is_made(path: str) -> bool:
        return _may_be_made(patterns, path) or any(one.startswith(f"{path}/") for one in made_in)

    def is_own(path: str) -> bool:
        return not path.startswith(("../", "/", "~/")) and not is_made(os.path.normpath(path))

    files = {path: told.size for path, told in sources.asked.items() if told and S_ISREG(told.mode)}
    found = {
        folder: sorted(
            name
            for name in names or ()
            if name != ".snakemake" and not is_made(os.path.normpath(f"{folder}/{name}"))
        )
        for folder, names in sources.listings.items()
        if not folder.startswith(("/", "~/"))
    }
    alone = (f"{path} {size}" for path, size in files.items() if is_own(path))
    # A folder that jobs make is looked into only once it is there.
    return {**{folder: names for folder, names in found.items() if names}, "": sorted(alone)}


def definitions(workflow: Any) -> set[Path]:
    """Files that only say what the jobs are: Snakefiles, configuration, and scripts of rules.

    What of them matters to a job is known exactly, see `JobReader.code`; all other sources may be
    used by any job.
    """
    files = [
        file.get_path_or_uri(secret_free=True)
        for file in workflow.included
        if isinstance(file, LocalSourceFile)
    ]
    # Named from where the workflow was parsed, as long as no `workdir:` had led elsewhere.
    configs = [str(Path(workflow.workdir_init, file)) for file in workflow.configfiles]
    return {*map(_absolute, [*files, *configs]), *_scripts(workflow)}


def _scripts(workflow: Any) -> Iterator[Path]:
    for rule in workflow.rules:
        script = script_of(rule)
        if script is not None:
            yield _absolute(script)


def _absolute(path: str | Path) -> Path:
    """As a task finds it: links in the path stay."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` follows links


def has_memory_retries(workflow: Any) -> bool:
    """Whether a rule asks for them itself, or they are set for one on the command line."""
    given = workflow.resource_settings.overwrite_resources.values()
    asked = (*(rule.resources for rule in workflow.rules), *given)
    return any("cavatica_memory_retries" in resources for resources in asked)


def script_of(rule: Any) -> Path | None:
    """The path of a rule's script or notebook; None if it has none, or not on this machine."""
    script = rule.script or rule.notebook
    if not script:
        return None
    path = Path(rule.basedir.get_path_or_uri(secret_free=True), str(script))
    return path if path.is_file() else None


def storage_prefix_in_task(workflow: Any) -> str:
    """Where a task has copies of files in storages: below its working directory, wherever they are
    here.
    """
    prefix = os.path.relpath(workflow.storage_settings.local_storage_prefix)
    return ".snakemake/storage" if prefix.split("/")[0] == ".." else prefix


def without_prefix(workflow: Any, file: Any) -> str:
    """The path of a file for which the default storage provider is in force, without it."""
    prefix = workflow.storage_settings.default_storage_prefix or ""
    query: str = file.storage_object.query
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    return query.removeprefix(prefix)
