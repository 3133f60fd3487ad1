"""Reads a Snakemake job into plain values.

Beside `workflow.py` and `other_storages.py` the only place that knows Snakemake's job objects. What is
decided from the values is in `plan/`. Private names of Snakemake are used where there is no
public one; each such use is one small function here, with its reason.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from snakemake_interface_storage_plugins.storage_object import StorageObjectWrite
from snakemake_interface_storage_plugins.storage_provider import StorageProviderBase

from ..in_task.storage_stand_in import local_suffix
from ..project.connection import Connection
from ..project.local_record import checksum_of, size_of
from ..project.paths import SCHEME, LocalPath, Place, ProjectPath, in_task
from .digest import digest
from .facts import (
    TMPDIR_PLACEHOLDER,
    WORKDIR_PLACEHOLDER,
    CondaFile,
    Ensure,
    JobFacts,
    PreparedScript,
    Refusal,
    Shell,
    WorkflowFile,
)
from .files_read import links_entered
from .internals import (
    PATH_MODIFIER_FLAG,
    LocalSourceFile,
    Namedlist,
    ResourceList,
    Snakemake,
    conda_file,
    conda_folder,
    deployment_methods,
    get_flag_value,
    is_callable,
    is_flagged,
    shell,
)
from .prepared_script import NeedsSnakemake, prepare, read_source, search_path, wrapper_file
from .snakemake_jobs import members_of, name_of, updated_outputs
from .spawn import Spawner, inexpressible
from .workdir import Workdir
from .workflow import BESIDE_ENVIRONMENTS, script_of, without_prefix

Files = TypeVar("Files", bound=Namedlist[Any])

_DIRECTIVES = {
    "is_shell": "shell",
    "is_script": "script",
    "is_notebook": "notebook",
    "is_wrapper": "wrapper",
    "is_cwl": "cwl",
    "is_template_engine": "template_engine",
}
_JOB_NAMES = frozenset(
    {"input", "output", "params", "wildcards", "threads", "resources", "log", "jobid", "name"}
    | {"rule", "rulename", "bench_iteration", "self", "string"}
)
"""What `job.format_wildcards` defines itself, and its own parameters."""


class JobReader:
    """Reads the jobs of one workflow."""

    def __init__(
        self,
        workflow: Any,
        connection: Connection,
        *,
        workdir: str,
        known_folder: Callable[[str], bool],
        place_in_other_storage: Callable[[Any], LocalPath],
    ) -> None:
        """Args:
        workdir: relative to the shipped sources.
        known_folder: whether a local folder is known to be on the platform, as a folder.
        place_in_other_storage: where a file of another storage is while this process deals with it.
        """
        self._workflow = workflow
        self._connection = connection
        self._place_in_other_storage = place_in_other_storage
        self._workdir = workdir
        self._known_folder = known_folder
        self._conda: dict[Any, CondaFile] = {}
        self._here = Workdir(self._other_folders())
        self._spawner = Spawner(workflow, self._here)

    def _other_folders(self) -> dict[str, str]:
        """Those of Snakefiles, and links to such as it was in, as far as a task has them.

        With what leads there from the working directory.
        """
        files = (
            file.get_path_or_uri(secret_free=True)
            for file in self._workflow.included
            if isinstance(file, LocalSourceFile)
        )
        folders = {posixpath.dirname(os.path.abspath(file)) for file in files}  # noqa: PTH100
        real = {**{folder: folder for folder in sorted(folders)}, **links_entered()}
        shipped = {folder: self._shipped(target) for folder, target in real.items()}
        return {folder: there for folder, there in shipped.items() if there is not None}

    # ----------------------------------------------------------------------------- the job

    def read(self, job: Any) -> JobFacts:
        """The job, or group of jobs, in plain values.

        Raises:
            Refusal: it names a file that cannot be staged.
        """
        members = members_of(job)
        first = members[0]
        script, obstacle = self._script(job)
        command = None if job.is_group() or not job.is_shell else self._command(job)
        return JobFacts(
            rule=str(job.groupid) if job.is_group() else job.rule.name,
            jobid=str(job.jobid),
            attempt=job.attempt,
            directive="group" if job.is_group() else _directive(job),
            snakemake_command=self._spawner.command(job),
            wildcards={} if job.is_group() else dict(job.wildcards_dict),
            docstring=None if job.is_group() else job.rule.docstring,
            command=None if command is None else self._here.told(command),
            shell=_shell(first),
            script=script,
            container=self._container(job, members),
            inputs=[self._input(file, name) for file, name in _inputs_of(job)],
            staged=list(self._checkpoint_outputs(members)),
            old_versions=[
                self._input(file, None)
                for file in updated_outputs(job)
                if self._exists(self.place_of(file))
            ],
            outputs=[
                self._output(file, name, member)
                for file, name, member in self._declared_outputs(job, members)
            ],
            logs=[self._file(file) for member in members for file in member.log],
            benchmark=None if job.is_group() or not job.benchmark else self._file(job.benchmark),
            benchmark_repeats=1 if job.is_group() else (job.benchmark_repeats or 1),
            conda=tuple(self._conda_files(members)),
            software_unused=tuple(self._software_unused(members)),
            needs_snakemake=[
                *self._needs_snakemake(job, command or ""),
                *([obstacle] if obstacle else []),
            ],
            beyond_snakemake=inexpressible(job.get_target_spec()) or _rewritten(job),
            copies_inputs=any(member.rule.shadow_depth == "copy-minimal" for member in members),
            threads=job.threads,
            resources={
                name: value for name, value in job.resources.items() if not name.startswith("_")
            },
            preemptible=all(
                self._workflow.remote_execution_settings.preemptible_rules.is_preemptible(rule)
                for rule in job.rules
            ),
            last_attempt=job.attempt > (job.restart_times or 0),
            workdir=self._workdir,
        )

    def _declared_outputs(
        self, job: Any, members: list[Any]
    ) -> Iterator[tuple[Any, str | None, Any]]:
        """What has to leave the task: all but pipes, and temp files that only a group needs."""
        unneeded = (
            set(map(str, self._workflow.dag.get_unneeded_temp_files(job)))
            if job.is_group()
            else set()
        )
        for member in members:
            for file, name in zip(member.output, _names(member.output), strict=True):
                if str(file) not in unneeded and not any(
                    is_flagged(file, flag) for flag in ("pipe", "service", "nodelocal")
                ):
                    yield file, None if job.is_group() else name, member
            if job.is_group() and member.benchmark:
                yield member.benchmark, None, member

    def _checkpoint_outputs(self, members: list[Any]) -> Iterator[WorkflowFile]:
        """What input functions may read when Snakemake evaluates them again inside the task.

        Where a checkpoint's output is absent, Snakemake would run the checkpoint again there.
        """
        rules = {member.rule for member in members}
        if not any(_has_functions(rule) for rule in rules):
            return
        for file in sorted(self._workflow.checkpoints.created_output, key=str):
            yield self._input(file, None)

    def _container(self, job: Any, members: list[Any]) -> str | None:
        images = {member.container_img_url for member in members}
        if len(images) > 1:
            raise Refusal(
                str(job.groupid),
                "its rules name different containers, and a group runs as one task. Give them one "
                "container, or take the group apart.",
            )
        image = images.pop()
        return None if image is None else str(image)

    def _conda_files(self, members: list[Any]) -> list[CondaFile]:
        """The environments that Snakemake inside a task would make, always in the same order."""
        if "conda" not in deployment_methods(self._workflow):
            return []
        for member in members:
            if (folder := conda_folder(member)) is not None:
                raise Refusal(
                    member.rule.name,
                    f"its conda environment {folder} is a folder of this machine, which no task "
                    "can see. Name a file that defines it, or an environment of the task's image.",
                )
        specs = {member.conda_env_spec for member in members if conda_file(member) is not None}
        files = [self._conda_file(one) for one in specs]
        return sorted(files, key=lambda file: (file.name, sorted(file.texts.items())))

    def _software_unused(self, members: list[Any]) -> Iterator[str]:
        """Methods that the job's rules count on, and that this run was not asked to use."""
        used = deployment_methods(self._workflow)
        if "conda" not in used and any(member.conda_env_spec for member in members):
            yield "conda"
        if "env-modules" not in used and any(member.env_modules for member in members):
            yield "env-modules"

    def _conda_file(self, spec: Any) -> CondaFile:
        if spec not in self._conda:
            env = spec.get_conda_env(self._workflow)
            texts = {".yaml": env.content.decode()}
            for suffix in BESIDE_ENVIRONMENTS:
                beside = env._get_aux_file(suffix, "")
                if beside is not None:
                    with self._workflow.sourcecache.open(beside, "rb") as file:
                        texts[suffix] = file.read().decode()
            name = str(env.file.get_path_or_uri(secret_free=True))
            if isinstance(env.file, LocalSourceFile):
                name = os.path.relpath(name)
            self._conda[spec] = CondaFile(name, texts)
        return self._conda[spec]

    def _needs_snakemake(self, job: Any, command: str) -> Iterator[str]:
        if job.is_group():
            return
        methods = deployment_methods(self._workflow)
        if "conda" in methods and job.conda_env_spec:
            yield "it has a conda directive"
        if "env-modules" in methods and job.env_modules:
            yield "it has an envmodules directive"
        if "RuleItemProxy" in str(job.rule.shellcmd):
            yield "its command is an f-string of the job's own values"
        if self._names_cached_source(command):
            yield "its command uses workflow.source_path()"

    def _names_cached_source(self, text: str) -> bool:
        """Whether a text holds a path of Snakemake's own copies of sources."""
        cache = self._workflow.sourcecache
        folders = (cache.cache_path, cache.runtime_cache_path)
        return any(str(folder) in text for folder in folders if folder)

    def identity(self, job: Any) -> str:
        """Which job of the workflow it is: rule, wildcards and outputs (of all members), hashed."""
        # Another configuration may make other files by the same rule.
        told = [[*name_of(member), self._outputs_of(member)] for member in members_of(job)]
        return digest(told)[:16]

    def code(self, job: Any) -> str:
        """What Snakemake runs for the job, hashed: all that its own rerun triggers look at.

        For jobs that run in snakemake mode; a direct job's command says it all. A `run:` block may
        call what its Snakefile defines, and everything may read the configuration.
        """
        return digest(
            [self._code(member) for member in members_of(job)]
            + [self._here.told(repr(self._workflow.config))]
        )

    def _code(self, job: Any) -> list[object]:
        persistence = self._workflow.persistence
        script = script_of(job.rule)
        snakefiles = [
            checksum_of(file.get_path_or_uri(secret_free=True))
            for file in self._workflow.included
            if job.is_run and isinstance(file, LocalSourceFile)
        ]
        return [
            job.rule.name,
            sorted(job.wildcards_dict.items()),
            persistence._code(job.rule),
            [self._here.told(str(param)) for param in persistence._params(job)],
            persistence._software_stack_hash(job),
            checksum_of(str(script)) if script else None,
            snakefiles,
        ]

    # --------------------------------------------------------------------------- its files

    def place_of(self, file: Any) -> Place:
        """Where a file lives outside of the tasks; in another storage it passes through here."""
        if not file.is_storage:
            return LocalPath(str(file))
        if _is_in_other_storage(file):
            return self._place_in_other_storage(file)
        return ProjectPath.parse(file.storage_object.query)

    def _file(self, file: Any) -> WorkflowFile:
        """What leads below the working directory does so in the task, by whatever path."""
        return WorkflowFile(
            path=self._here.inside(str(file)),
            plain_path=self._here.inside(self._plain_path(file)),
            place=self.place_of(file),
        )

    def _input(self, file: Any, name: str | None) -> WorkflowFile:
        plain = self._file(file)
        form = self._form(plain.place)
        local = plain.place.path if isinstance(plain.place, LocalPath) else None
        return replace(
            plain,
            name=name,
            form=form,
            cached_source=is_flagged(file, "sourcecache_entry"),
            size=0 if form == "archive" else self._size(file, plain.place),
            executable=form == "file" and local is not None and os.access(local, os.X_OK),
        )

    def _output(self, file: Any, name: str | None, job: Any) -> WorkflowFile:
        plain = self._file(file)
        _check_storable(file)
        return replace(
            plain,
            name=name,
            form="folder" if file.is_directory else "file",
            touch=is_flagged(file, "touch"),
            ensure=_ensure(file, job),
        )

    def _form(self, place: Place) -> Any:
        if isinstance(place, ProjectPath):
            entry = self._connection.index(place.project).find(place.path)
            return "folder" if entry is not None and entry.folder else "file"
        if not Path(place.path).is_dir():
            return "file"
        return "folder" if self._known_folder(place.path) else "archive"

    def _size(self, file: Any, place: Place) -> int:
        """Bytes of an input, as far as somebody knows them."""
        if isinstance(place, LocalPath) and file.is_storage:  # it may not be here yet
            return int(self._workflow.async_run(file.size()))
        if isinstance(place, LocalPath):
            return size_of(place.path)
        index = self._connection.index(place.project)
        entry = index.find(place.path)
        if entry is None or not entry.folder:
            return entry.size if entry else 0
        return sum(inside.size for inside in index.walk(place.path))

    def _exists(self, place: Place) -> bool:
        if isinstance(place, ProjectPath):
            return self._connection.index(place.project).find(place.path) is not None
        return Path(place.path).exists()

    def _plain_path(self, file: Any) -> str:
        """The name inside a task, where the default storage provider is not in force."""
        if not file.is_storage:
            return str(file)
        if not is_flagged(file, PATH_MODIFIER_FLAG):
            # Nor is the plugin, but a stand-in that says by itself where files are.
            folder = file.storage_object.provider.local_prefix
            return str(folder / local_suffix(file.storage_object.query))
        return without_prefix(self._workflow, file)

    # -------------------------------------------------------------------------- its command

    def _command(self, job: Any) -> str:
        """The shell command, with the paths and the temporary directory that hold in the task."""
        changed: dict[str, Any] = self._module_globals(job)
        changed["resources"] = _with_task_tmpdir(job.resources)
        changed |= {name: self._in_task(getattr(job, name)) for name in ("input", "output", "log")}
        return str(job.format_wildcards(job.rule.shellcmd, **changed))

    def _script(self, job: Any) -> tuple[PreparedScript | None, str | None]:
        """The script of the job, ready to run without Snakemake, or why it needs Snakemake."""
        if job.is_group() or not (job.is_script or job.is_wrapper):
            return None, None
        rule, cache = job.rule, self._workflow.sourcecache
        try:
            file, basedir = rule.script, rule.basedir
            if job.is_wrapper:
                prefix = self._workflow.workflow_settings.wrapper_prefix
                file, basedir = wrapper_file(rule.wrapper, prefix, cache), None
            prepared = prepare(
                read_source(
                    file,
                    basedir,
                    wildcards=job.wildcards,
                    params=job.params,
                    cache=cache,
                    shipped=self._shipped,
                ),
                self._script_object(job),
                sources_root=posixpath.relpath(".", self._workdir),
                search_path=search_path(self._shipped),
            )
        except NeedsSnakemake as obstacle:
            return None, str(obstacle)
        return prepared, None

    def _script_object(self, job: Any) -> Snakemake:
        """What a script calls `snakemake`, as it holds in the task."""
        if self._names_cached_source(repr(list(job.params))):
            raise NeedsSnakemake("its script is given a path of workflow.source_path()")
        names = getattr(job.rule.run_func, "__globals__", self._workflow.globals)
        script_object = Snakemake(
            self._in_task(job.input),
            self._in_task(job.output),
            job.params,
            self._told(job.wildcards),
            job.threads,
            self._told(_with_task_tmpdir(job.resources)),
            self._in_task(job.log),
            self._here.told_value(names.get("config", self._workflow.config)),
            job.rule.name,
            0 if job.benchmark else None,
        )
        # After Snakemake has taken tables apart, which may hold paths as well.
        script_object._params_store = self._told(script_object._params_store)
        if self._here.is_named_in(repr(list(script_object._params_store))):
            raise NeedsSnakemake("its script is given an object that holds a path of this machine")
        return script_object

    def _told(self, values: Files) -> Files:
        """Values as they hold in the task."""
        return type(values)(toclone=values, custom_map=self._here.told_value)

    def _shipped(self, path: str) -> str | None:
        """A local path from the job's working directory; None if it is not below the sources."""
        relative = os.path.relpath(path)
        below = posixpath.normpath(posixpath.join(self._workdir, relative))
        return None if below.split("/")[0] == ".." else relative

    def _in_task(self, files: Files) -> Files:
        """The files by what a command calls them in the task; as they are, if that is the same."""
        if all(self._command_path(file) == posixpath.normpath(str(file)) for file in files):
            return files
        return type(files)(toclone=files, custom_map=self._command_path)

    def _command_path(self, file: Any) -> str:
        """What a command that runs in a task calls a file. What was absolute stays absolute."""
        if _is_read_directly(file):
            return str(file.storage_object.query)
        path = in_task(self._here.inside(str(file)))
        return f"{WORKDIR_PLACEHOLDER}/{path}" if posixpath.isabs(str(file)) else path

    def _outputs_of(self, job: Any) -> list[str]:
        return [
            file.storage_object.query if file.is_storage else self._here.inside(str(file))
            for file in job.output
        ]

    def _module_globals(self, job: Any) -> dict[str, Any]:
        """Names that a rule of a module sees, where they are not those of the main Snakefile."""
        names = getattr(job.rule.run_func, "__globals__", self._workflow.globals)
        if names is self._workflow.globals:
            return {}
        return {name: value for name, value in names.items() if name not in _JOB_NAMES}


def _rewritten(job: Any) -> str | None:
    """Why Snakemake in a task would look for a file at the wrong place: its query was changed."""
    for member in members_of(job):
        for file in (*member.input, *member.output, *member.log):
            if file.is_storage and _is_in_other_storage(file):
                provider = type(file.storage_object.provider)
                if provider.postprocess_query is not StorageProviderBase.postprocess_query:
                    return (
                        f"the storage plugin of {file.storage_object.print_query} changes the "
                        "addresses of files, which nobody can do there. Copy the file with a local "
                        "rule"
                    )
    return None


def _directive(job: Any) -> str:
    for attribute, directive in _DIRECTIVES.items():
        if getattr(job, attribute):
            return directive
    return "run"


def _shell(job: Any) -> Shell:
    """How Snakemake would start the command. `shell` has no public way to ask for that."""
    executable = job.resources.get("shell_exec") or shell.get_executable() or "bash"
    return Shell(
        executable=str(executable),
        prefix=shell._get_process_prefix(executable),
        suffix=f" {shell._process_suffix}" if shell._process_suffix else "",
    )


def _inputs_of(job: Any) -> list[tuple[Any, str | None]]:
    """The inputs with their keywords; those of a group, which has none, in a fixed order.

    Not those that the job reads by itself, by their address.
    """
    if job.is_group():
        named: Iterable[tuple[Any, str | None]] = (
            (file, None) for file in sorted(job.input, key=str)
        )
    else:
        named = zip(job.input, _names(job.input), strict=True)
    return [(file, name) for file, name in named if not _is_read_directly(file)]


def _is_in_other_storage(file: Any) -> bool:
    """Whether a file of a storage is in another one than CAVATICA."""
    return not file.storage_object.query.startswith(SCHEME)


def _is_read_directly(file: Any) -> bool:
    """Whether a file of a storage is not to be retrieved: the job gets its address."""
    return bool(file.is_storage and file.should_not_be_retrieved_from_storage)


def _check_storable(file: Any) -> None:
    """Refuse outputs that nobody can bring to their storage."""
    if not file.is_storage:
        return
    problem = None
    cure = "Make it a plain file, and bring it there with a local rule."
    if file.should_not_be_retrieved_from_storage:
        problem = "is to be written by the job itself (retrieve=False), and a task cannot reach it"
        if not _is_in_other_storage(file):
            cure = "Leave out retrieve=False, or --not-retrieve-storage: nothing comes here anyway."
    elif not _is_in_other_storage(file):
        return
    elif not isinstance(file.storage_object, StorageObjectWrite):
        problem = "lies in a storage that can only be read"
    elif is_flagged(file, "update"):
        problem = "is an update() output in another storage than CAVATICA"
    if problem:
        raise Refusal(
            file.rule.name, f"its output {file.storage_object.print_query} {problem}. {cure}"
        )


def _names(files: Any) -> list[str | None]:
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


def _has_functions(rule: Any) -> bool:
    return any(map(is_callable, [*rule.input, *rule.params]))


def _with_task_tmpdir(resources: ResourceList) -> ResourceList:
    """The temporary directory is known only in the task: a mark that the job script replaces."""
    values = dict(resources.items())
    if "tmpdir" in values:
        values["tmpdir"] = TMPDIR_PLACEHOLDER
    return ResourceList(fromdict=values)
