"""What one job runs by itself, alone in its task or as one of a group: a command or a script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .command import CommandReader, shell_of
from .facts import PreparedScript, Shell
from .files import is_read_directly
from .internals import deployment_methods, is_callable
from .looking import looks_at_inputs

_DIRECTIVES = {
    "is_shell": "shell",
    "is_script": "script",
    "is_notebook": "notebook",
    "is_wrapper": "wrapper",
    "is_cwl": "cwl",
    "is_template_engine": "template_engine",
}


@dataclass(frozen=True)
class OwnWork:
    """The same fields as those of `JobFacts`."""

    directive: str
    command: str | None = None
    shell: Shell = field(default_factory=Shell)
    script: PreparedScript | None = None
    needs_snakemake: tuple[str, ...] = ()


class OwnWorkReader:
    """Reads it for the jobs of one workflow."""

    def __init__(self, workflow: Any, commands: CommandReader) -> None:
        self._workflow = workflow
        self._commands = commands

    def read(self, job: Any) -> OwnWork:
        """What a job runs, that is no group."""
        script, obstacle = self._commands.script(job)
        command = self._commands.command(job) if job.is_shell else None
        return OwnWork(
            directive=_directive(job),
            command=None if command is None else self._commands.here.told(command),
            shell=shell_of(job),
            script=script,
            needs_snakemake=(
                *self._needs_snakemake(job, command or ""),
                *([obstacle] if obstacle else []),
            ),
        )

    def _needs_snakemake(self, job: Any, command: str) -> Iterator[str]:
        methods = deployment_methods(self._workflow)
        if "conda" in methods and job.conda_env_spec:
            yield "it has a conda directive"
        if "env-modules" in methods and job.env_modules:
            yield "it has an envmodules directive"
        if "RuleItemProxy" in str(job.rule.shellcmd):
            yield "its command is an f-string of the job's own values"
        if self._commands.names_cached_source(command):
            yield "its command uses workflow.source_path()"
        if any(file.is_storage and not is_read_directly(file) for file in job.input) and any(
            looks_at_inputs(param) for param in job.rule.params if is_callable(param)
        ):
            yield "a function of its params looks at inputs, which are not on this machine"


def _directive(job: Any) -> str:
    for attribute, directive in _DIRECTIVES.items():
        if getattr(job, attribute):
            return directive
    return "run"
