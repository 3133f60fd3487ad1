"""What a job runs, with the paths and values that hold in its task: a command or a script."""

from __future__ import annotations

import posixpath
import re
from typing import Any, TypeVar

from ..project.paths import in_task
from .facts import (
    TMPDIR_PLACEHOLDER,
    WORKDIR_PLACEHOLDER,
    PreparedScript,
    Shell,
)
from .files import is_read_directly, lasting_name
from .internals import (
    JOB_NAMES,
    Namedlist,
    ResourceList,
    Snakemake,
    shell,
)
from .prepared_script import NeedsSnakemake, prepare, read_source, search_path, wrapper_file
from .workdir import shipped, workdir_of

Files = TypeVar("Files", bound=Namedlist[Any])

_PRINTED_ONLY = frozenset({"name", "rulename"})
"""What a printed command sees of its job, and one that runs does not: variables of the workflow."""
_ABSENT = ("conda_env", "container_img", "env_modules", "shadow_dir")
"""What Snakemake hides variables of the workflow by, where it runs a command with none of these."""


class CommandReader:
    """Reads the commands and scripts of the jobs of one workflow."""

    def __init__(self, workflow: Any, workdir: str) -> None:
        """`workdir` is relative to the shipped sources."""
        self._workflow = workflow
        self._workdir = workdir
        self.here = workdir_of(workflow, workdir)
        """The working directory by all its names."""

    def command(self, job: Any) -> str:
        """The shell command, with the paths and the temporary directory that hold in the task."""
        changed = self._globals(job)
        changed |= {**dict.fromkeys(_ABSENT), "basedir": job.rule.basedir}
        changed["bench_iteration"] = _bench_iteration(job)
        changed["resources"] = _with_task_tmpdir(job.resources)
        changed |= {name: self._in_task(getattr(job, name)) for name in ("input", "output", "log")}
        return str(job.format_wildcards(job.rule.shellcmd, **changed))

    def script(self, job: Any) -> tuple[PreparedScript | None, str | None]:
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
        if self.names_cached_source(repr(list(job.params))):
            raise NeedsSnakemake("its script is given a path of workflow.source_path()")
        script_object = Snakemake(
            self._in_task(job.input),
            self._in_task(job.output),
            job.params,
            self._told(job.wildcards),
            job.threads,
            self._told(_with_task_tmpdir(job.resources)),
            self._in_task(job.log),
            self.here.told_value(self.config(job)),
            job.rule.name,
            _bench_iteration(job),
        )
        # After Snakemake has taken tables apart, which may hold paths as well.
        script_object._params_store = self._told(script_object._params_store)
        if self.here.is_named_in(repr(list(script_object._params_store))):
            raise NeedsSnakemake("its script is given an object that holds a path of this machine")
        return script_object

    def config(self, job: Any) -> Any:
        """The configuration that the job's rule sees: a module may have another one."""
        return self._names(job).get("config", self._workflow.config)

    def _names(self, job: Any) -> Any:
        return getattr(job.rule.run_func, "__globals__", self._workflow.globals)

    def _told(self, values: Files) -> Files:
        """Values as they hold in the task."""
        return type(values)(toclone=values, custom_map=self.here.told_value)

    def _shipped(self, path: str) -> str | None:
        return shipped(path, self._workdir)

    def _in_task(self, files: Files) -> Files:
        """The files by what a command calls them in the task; as they are, if that is the same."""
        if all(self._command_path(file) == posixpath.normpath(str(file)) for file in files):
            return files
        return type(files)(toclone=files, custom_map=self._command_path)

    def _command_path(self, file: Any) -> str:
        """What a command that runs in a task calls a file. What was absolute stays absolute."""
        if is_read_directly(file):
            return str(file.storage_object.query)
        name = lasting_name(file)
        path = in_task(self.here.inside(name))
        return f"{WORKDIR_PLACEHOLDER}/{path}" if posixpath.isabs(name) else path

    def _globals(self, job: Any) -> dict[str, Any]:
        """Variables of the workflow as a rule sees them, where what is printed of its command sees
        others: those of the main Snakefile instead of a module's, or the name of the job.
        """
        names = self._names(job)
        is_main = names is self._workflow.globals
        seen = _PRINTED_ONLY & names.keys() if is_main else names.keys() - JOB_NAMES
        return {name: names[name] for name in seen}

    def names_cached_source(self, text: str) -> bool:
        """Whether a text holds a path of Snakemake's own copies of sources.

        Not of an input that is such a copy: that is told by where it lies in the task.
        """
        cache = self._workflow.sourcecache
        folders = filter(None, (cache.cache_path, cache.runtime_cache_path))
        return any(re.search(rf"(?<![\w./-]){re.escape(str(folder))}", text) for folder in folders)


def shell_of(job: Any) -> Shell:
    """How Snakemake would start the command. `shell` has no public way to ask for that."""
    executable = job.resources.get("shell_exec") or shell.get_executable() or "bash"
    return Shell(
        executable=str(executable),
        prefix=shell._get_process_prefix(executable),
        suffix=f" {shell._process_suffix}" if shell._process_suffix else "",
    )


def _bench_iteration(job: Any) -> int | None:
    """In which of its repetitions a job is; one that is repeated takes Snakemake in the task."""
    return 0 if job.benchmark else None


def _with_task_tmpdir(resources: ResourceList) -> ResourceList:
    """The temporary directory is known only in the task: a mark that the job script replaces."""
    values = dict(resources.items())
    if "tmpdir" in values:
        values["tmpdir"] = TMPDIR_PLACEHOLDER
    return ResourceList(fromdict=values)
