"""When the result of one job is that of another: the key by which later runs find it. Pure.

Unlike the key by which a task is taken up it holds nothing of this run, directory or place: no id
where a content is known, no storage prefix, and of the machine only what the command can see.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field

from ..plan.files import CHECKPOINTS_PORT
from ..plan.plan import JobPlan, Mode, StagedInput
from ..project.paths import Place, ProjectPath
from ..read.digest import digest
from ..read.facts import JobFacts
from .command import text_of_job

_FORM = 1
"""Changes when the same job gets another key."""
_PREFIX = "<storage prefix>"
_OF_THE_MACHINE = ("tmpdir",)
_MODULES = (".py", ".R", ".r", ".jl")
"""Whose names lack that where they are imported."""
_IMPORTS = re.compile(
    r"(?:\bfrom\s+[\w.]+\s+)?import\w*\s*\([^)]*\)|\b(?:from|import|using)\b[^\n]*|\buse\([^)]*\)|\s-m\s+\S+"
)
"""Nothing of any length may stand first: a long value would be gone through from each character."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class SourcesContent:
    """What is sent along with a workflow, as far as results may depend on it."""

    beside: str
    """All but what only says which jobs there are, hashed."""
    defining: Mapping[str, str] = field(default_factory=dict)
    """Of Snakefiles, configuration and scripts of rules: hashes by path."""
    naming: Mapping[str, Collection[str]] = field(default_factory=dict)
    """Which of these the scripts among them name, by path; under "" those that programs beside them
    name, which any job may run."""
    read: str = ""
    """What the workflow read as it was parsed, hashed: Snakemake in a task reads it again."""
    looked_into: str = ""
    """What the workflow found in folders as it was parsed, hashed: a `run:` block may have it."""

    def read_by(self, text: str) -> dict[str, str]:
        """Of what otherwise only defines jobs, that which a command or script may read: what it
        names, and what is named in turn. Hashes by path.
        """
        found: set[str] = set()
        more = {*named_in(text, self.defining), *self.naming.get("", ())}
        while more:
            found |= more
            more = {name for path in more for name in self.naming.get(path, ())} - found
        return {path: self.defining[path] for path in found}


def named_in(text: str, paths: Collection[str]) -> set[str]:
    """The files that a text names: by their names, or as modules that it imports."""
    modules = {path for path in paths if path.endswith(_MODULES)}
    # For each job: most workflows have no scripts that another one could import.
    imported = set(_WORD.findall(" ".join(_IMPORTS.findall(text)))) if modules else set()
    return {path for path in paths if posixpath.basename(path) in text} | {
        path for path in modules if posixpath.basename(path).partition(".")[0] in imported
    }


def reuse_key(
    plan: JobPlan, *, code: str, sources: SourcesContent, contents: Mapping[Place, str]
) -> str:
    """The key, 32 hexadecimal digits.

    Args:
        code: what Snakemake runs for the job where the command does not tell.
        contents: of each input a text that stands for its content.
    """
    where = _Where(plan.facts)
    direct = plan.mode is Mode.DIRECT
    text = text_of_job(plan, code)
    environment = {name: where.told(value) for name, value in plan.environment.items()}
    content = {
        "form": _FORM,
        "mode": str(plan.mode),
        "image": plan.image,
        "shell": asdict(plan.shell),
        "precommand": plan.precommand,
        "environment": environment,
        "workdir": plan.facts.workdir,
        "command": where.told(text),
        "cores": plan.resources.cores,
        "resources": None if direct else _resources(plan.facts),
        "sources": sources.beside,
        "named": sources.read_by(text),
        "looked into": None if direct else sources.looked_into,
        "inputs": sorted(
            (where.told(one.path), one.method == "link", one.executable, contents[one.place])
            for one in inputs_read(plan)
        ),
        "outputs": [
            (
                one.port,
                where.told(one.path),
                one.folder,
                one.touch,
                one.ensure and asdict(one.ensure),
            )
            for one in plan.outputs
        ],
    }
    return digest(content)[:32]


def inputs_read(plan: JobPlan) -> list[StagedInput]:
    """All inputs but those by which Snakemake in the task knows again what inputs there are."""
    return [one for one in plan.inputs if not one.port.startswith(CHECKPOINTS_PORT)]


def obstacle_to_reuse(plan: JobPlan, contents: Mapping[Place, str]) -> str | None:
    """Why nobody can know whether another job's results are the same, as a clause; None if not."""
    unknown = [one for one in inputs_read(plan) if not contents[one.place]]
    if unknown:
        return f"the platform does not tell when the content of {unknown[0].place} changed"
    if plan.facts.addresses:
        return f"they read {plan.facts.addresses[0]} by themselves, whatever it holds by now"
    if plan.in_container and _is_moving(plan.image):
        return f"the image {plan.image} is whatever is newest; name a version or a digest"
    return None


def _is_moving(image: str) -> bool:
    if "@" in image:
        return False
    tag = posixpath.basename(image).partition(":")[2]
    return tag in ("", "latest")


def _resources(facts: JobFacts) -> dict[str, str]:
    """What Snakemake in the task tells the job."""
    return {
        name: str(value)
        for name, value in facts.resources.items()
        if name not in _OF_THE_MACHINE and not name.startswith("cavatica_")
    }


class _Where:
    """Tells paths without the storage prefix below which all files of a workflow lie."""

    def __init__(self, facts: JobFacts) -> None:
        benchmark = [] if facts.benchmark is None else [facts.benchmark]
        files = [*facts.inputs, *facts.outputs, *facts.logs, *facts.staged, *benchmark]
        found = {
            file.path.removesuffix(f"/{file.plain_path}")
            for file in files
            if isinstance(file.place, ProjectPath) and file.path.endswith(f"/{file.plain_path}")
        }
        self._pattern = _pattern(found)

    def told(self, text: str) -> str:
        return self._pattern.sub(_PREFIX, text) if self._pattern else text


def _pattern(folders: Iterable[str]) -> re.Pattern[str] | None:
    names = "|".join(map(re.escape, sorted(folders, key=len, reverse=True)))
    return re.compile(rf"(?<![\w./-])(?:{names})(?![\w.-])") if names else None
