"""Reads a Snakemake job into plain values: what is decided from them is in `plan/`.

The modules of this folder are those that know Snakemake's objects. Private names of Snakemake are
used where there is no public one; each such use is one small function, with its reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Any

from snakemake_interface_storage_plugins.storage_provider import StorageProviderBase

from ..project.connection import Connection
from ..project.paths import LocalPath, in_task
from .command import CommandReader, shell_of
from .digest import digest
from .facts import (
    TBD,
    JobFacts,
    WorkflowFile,
)
from .fetched import copy_of, copy_of_script
from .files import (
    CACHED_SOURCE,
    FileReader,
    beside_scripts,
    inputs_of,
    is_in_other_storage,
    names_of,
    read_directly,
)
from .group import GroupFacts, GroupReader
from .internals import (
    get_flag_value,
    is_callable,
    is_flagged,
)
from .looking import asks_for_checkpoints
from .own_work import OwnWork, OwnWorkReader
from .snakemake_jobs import kind_of, members_of, name_of, updated_outputs
from .software import SoftwareReader
from .spawn import Spawner, inexpressible
from .workflow import script_of


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
        checksum: Callable[[Path], str],
    ) -> None:
        """`workdir` is relative to the shipped sources, `checksum` is that of a file of them as it
        is shipped; for the others see `FileReader`.
        """
        self._workflow = workflow
        self._workdir = workdir
        self._checksum = checksum
        self._commands = CommandReader(workflow, workdir)
        self._here = self._commands.here
        self._software = SoftwareReader(workflow)
        self._spawner = Spawner(workflow, self._here)
        self.files = FileReader(
            workflow,
            connection,
            self._here,
            known_folder=known_folder,
            place_in_other_storage=place_in_other_storage,
        )
        self._own = OwnWorkReader(workflow, self._commands)
        self._groups = GroupReader(self._own, self.files)

    def read(self, job: Any) -> JobFacts:
        """The job, or group of jobs, in plain values.

        Raises:
            Refusal: it names a file that cannot be staged.
        """
        members = members_of(job)
        own = OwnWork("group") if job.is_group() else self._own.read(job)
        group = self._groups.read(job) if job.is_group() else GroupFacts()
        inputs = tuple(self.files.input(file, name) for file, name in inputs_of(job))
        asked_for = self._asked_for(members)
        gone = self._gone(asked_for)
        return JobFacts(
            rule=kind_of(job),
            jobid=str(job.jobid),
            attempt=job.attempt,
            directive=own.directive,
            snakemake_command=self._spawner.command(job),
            wildcards={} if job.is_group() else dict(job.wildcards_dict),
            docstring=None if job.is_group() else job.rule.docstring,
            command=own.command,
            shell=own.shell,
            script=own.script,
            container=self._software.container(job, members),
            inputs=inputs,
            addresses=tuple(str(one.storage_object.print_query) for one in read_directly(job)),
            staged=tuple(self._staged(asked_for.difference(gone))),
            old_versions=self._old_versions(job),
            beside=tuple(beside_scripts(inputs)),
            outputs=tuple(self.files.output(*one) for one in self._declared_outputs(job, members)),
            logs=tuple(self.files.log(file) for member in members for file in member.log),
            benchmark=self._benchmark(job),
            benchmark_repeats=1 if job.is_group() else (job.benchmark_repeats or 1),
            conda=tuple(self._software.conda_files(members)),
            software_unused=tuple(self._software.unused(members)),
            needs_snakemake=(*own.needs_snakemake, *group.needs_snakemake),
            beyond_snakemake=(
                inexpressible(job.get_target_spec()) or _rewritten(job) or _missed(gone)
            ),
            copies_inputs=any(member.rule.shadow_depth == "copy-minimal" for member in members),
            threads=job.threads,
            resources={**_told_resources(job), **_kept_for_itself(job, members)},
            preemptible=all(map(self._preemptible_rules.is_preemptible, job.rules)),
            last_attempt=job.attempt > (job.restart_times or 0),
            workdir=self._workdir,
            members=group.members,
            room=group.room,
            is_told_by_old_files=group.is_told_by_old_files,
        )

    @property
    def _preemptible_rules(self) -> Any:
        return self._workflow.remote_execution_settings.preemptible_rules

    def _staged(self, files: Iterable[Any]) -> Iterator[WorkflowFile]:
        return (self.files.input(file, None) for file in sorted(files, key=str))

    def _benchmark(self, job: Any) -> WorkflowFile | None:
        return None if job.is_group() or not job.benchmark else self.files.file(job.benchmark)

    def _old_versions(self, job: Any) -> tuple[WorkflowFile, ...]:
        """What stands where outputs go that the job changes rather than makes anew."""
        return tuple(
            self.files.input(file, None)
            for file in updated_outputs(job)
            if self.files.exists(self.files.place_of(file))
        )

    def _declared_outputs(
        self, job: Any, members: list[Any]
    ) -> Iterator[tuple[Any, str | None, Any]]:
        """What has to leave the task: all but pipes, and temp files that only a group needs."""
        are_removed = job.is_group() and not self._workflow.storage_settings.notemp
        unneeded = (
            set(map(str, self._workflow.dag.get_unneeded_temp_files(job))) if are_removed else set()
        )
        for member in members:
            for file, name in zip(member.output, names_of(member.output), strict=True):
                if str(file) not in unneeded and not any(
                    is_flagged(file, flag) for flag in ("pipe", "service", "nodelocal")
                ):
                    yield file, None if job.is_group() else name, member
            if job.is_group() and member.benchmark:
                yield member.benchmark, None, member

    def _asked_for(self, members: list[Any]) -> set[Any]:
        """What functions may read when Snakemake evaluates them again inside the task.

        Where a checkpoint's output is absent, Snakemake would run the checkpoint again there.
        """
        made: set[Any] = self._workflow.checkpoints.created_output
        if not made or not any(map(_has_functions, {member.rule for member in members})):
            return set()
        # What is removed while others still need it as an input is none of this job's business.
        passing = set(filter(_is_passing, made))
        return made - passing if passing and not self._asks(members, passing) else set(made)

    def _asks(self, members: list[Any], passing: set[Any]) -> bool:
        """Whether functions for inputs of a job ask for these outputs of checkpoints."""
        made = self._workflow.checkpoints.created_output
        made -= passing
        try:
            return any(one.rule.expand_input(one.wildcards_dict)[-1] for one in members)
        except Exception:  # noqa: BLE001 - functions of the workflow may raise anything
            return False
        finally:
            made |= passing

    def _gone(self, asked_for: set[Any]) -> list[Any]:
        """The temporary ones that nothing needs any more as an input."""
        return [
            file
            for file in filter(_is_passing, asked_for)
            if not self.files.exists(self.files.place_of(file))
        ]

    def is_forced(self, job: Any) -> bool:
        """Whether the user has named the job, or one of a group, or all, to be run anew."""
        return any(self._workflow.dag.reason(member).forced for member in members_of(job))

    def identity(self, job: Any) -> str:
        """Which job of the workflow it is: rule, wildcards and outputs (of all members), hashed."""
        # Another configuration may make other files by the same rule.
        told = [[*name_of(member), self._outputs_of(member)] for member in members_of(job)]
        return digest(told)[:16]

    def code(self, job: Any) -> str:
        """What Snakemake runs for the job, as a text: all that a command or script is given.

        For jobs that run in snakemake mode; a direct job's command says it all. A `run:` block may
        call what its Snakefile defines, and everything may read the configuration.
        """
        told = [self._code(member) for member in members_of(job)]
        return json.dumps(told, ensure_ascii=False)

    def _code(self, job: Any) -> list[object]:
        persistence = self._workflow.persistence
        script = copy_of_script(self._workflow, job.rule) or script_of(job.rule)
        given = [self._command(job), *self._params(job)]
        is_told = not job.is_run and None not in given
        snakefiles = [
            self._checksum(copy_of(self._workflow, file))
            for file in self._workflow.included
            if not is_told
        ]
        return [
            job.rule.name,
            sorted(job.wildcards_dict.items()),
            persistence._code(job.rule),
            given,
            [self._named_paths(files) for files in (job.input, job.output, job.log)],
            asdict(shell_of(job)),
            persistence._software_stack_hash(job),
            [script.name, self._checksum(script)] if script else None,
            snakefiles,
            digest(self._here.told(repr(self._commands.config(job)))),
        ]

    def _command(self, job: Any) -> str | None:
        """The command, which may hold variables of the workflow; None if it is not known."""
        try:
            command = self._commands.command(job) if job.is_shell else ""
        except Exception:  # noqa: BLE001 - functions of the workflow may raise anything
            return None
        return None if TBD in command else self._lasting(command)

    def _params(self, job: Any) -> list[str | None]:
        """The parameters with their names, also those that functions tell; None for each of which
        no text says what it is.
        """
        try:
            params = job.params
        except Exception:  # noqa: BLE001 - functions of the workflow may raise anything
            return [None]
        return [
            self._lasting(f"{name}={value!r}") if _is_plain(value) else None
            for name, value in zip(names_of(params), params, strict=True)
        ]

    def _lasting(self, text: str) -> str | None:
        """As another process on another machine would say it; None if that is not known."""
        return None if self._commands.names_cached_source(text) else self._here.told(text)

    def _named_paths(self, files: Any) -> list[tuple[str | None, str]]:
        return [
            (name, in_task(self._here.inside(str(get_flag_value(file, CACHED_SOURCE) or file))))
            for name, file in zip(names_of(files), files, strict=True)
        ]

    def _outputs_of(self, job: Any) -> list[str]:
        return [
            file.storage_object.query if file.is_storage else self._here.inside(str(file))
            for file in job.output
        ]


def _told_resources(job: Any) -> dict[str, Any]:
    return {name: value for name, value in job.resources.items() if not name.startswith("_")}


def _kept_for_itself(job: Any, members: list[Any]) -> dict[str, object]:
    """No results of a group are for others if those of one of its jobs are not: Snakemake would add
    up what they say.
    """
    said = [member.resources.get("cavatica_reuse") for member in members]
    kept = [one for one in said if str(one).lower() in ("false", "no", "off", "0")]
    return {"cavatica_reuse": False} if job.is_group() and kept else {}


def _rewritten(job: Any) -> str | None:
    """Why Snakemake in a task would look for a file at the wrong place: its query was changed."""
    for member in members_of(job):
        for file in (*member.input, *member.output, *member.log):
            if file.is_storage and is_in_other_storage(file):
                provider = type(file.storage_object.provider)
                if provider.postprocess_query is not StorageProviderBase.postprocess_query:
                    return (
                        f"the storage plugin of {file.storage_object.print_query} changes the "
                        "addresses of files, which nobody can do there. Copy the file with a local "
                        "rule"
                    )
    return None


def _is_plain(value: Any) -> bool:
    """Whether the text of a value says all of it, in every process."""
    if isinstance(value, dict):
        return all(_is_plain(one) for pair in value.items() for one in pair)
    if type(value) in {list, tuple}:
        return all(map(_is_plain, value))
    return value is None or (
        isinstance(value, str | int | float | complex | PurePath) and TBD not in str(value)
    )


def _has_functions(rule: Any) -> bool:
    """Whether some are called in a task that may ask for checkpoints."""
    return any(map(is_callable, [*rule.input, *rule.params])) or _asks_for_resources(rule)


def _asks_for_resources(rule: Any) -> bool:
    """Whether threads and resources depend on what checkpoints have made."""
    evaluators = [resource._evaluator for resource in rule.resources.values()]
    return any(asks_for_checkpoints(one) for one in evaluators if one is not None)


def _is_passing(file: Any) -> bool:
    """Whether a file is removed once those are done that need it. Where it is in another storage,
    there is a copy here to the end.
    """
    return is_flagged(file, "temp") and not (file.is_storage and is_in_other_storage(file))


def _missed(gone: list[Any]) -> str | None:
    """Why functions for inputs would not find in a task what they have found here."""
    return (
        "a function for its inputs asks for what a checkpoint has made, and that was temporary and "
        f"is gone ({', '.join(sorted(map(str, gone)))}). Leave out temp() there"
        if gone
        else None
    )
