"""Directly, or by Snakemake inside the task, and in which image."""

from __future__ import annotations

import json
import posixpath

from ..project.paths import is_outside
from ..read import values
from ..read.facts import MAX_SIZE, TBD, UNKNOWN_COMMAND, Defaults, JobFacts, Refusal
from .files import own_inputs
from .given import given_choice, given_text
from .plan import Mode

_POSIX_SHELLS = {"ash", "bash", "dash", "ksh", "sh", "zsh"}


def choose_mode(facts: JobFacts, defaults: Defaults) -> tuple[Mode, str]:
    """Direct or snakemake mode, and why. A rule's own resource beats the setting."""
    wanted = given_choice(facts, "cavatica_mode", values.MODES) or defaults.mode
    image = given_text(facts, "cavatica_container_image")
    has_image = bool(image or facts.container)
    obstacles = _obstacles(facts) or _several_images(facts, defaults, has_image=has_image)
    if wanted == Mode.SNAKEMAKE:
        return Mode.SNAKEMAKE, "snakemake mode was asked for"
    if wanted == Mode.DIRECT:
        if obstacles:
            raise Refusal(
                facts.rule, f"direct mode was asked for, but {obstacles[0]}. Use mode 'auto'."
            )
        return Mode.DIRECT, "direct mode was asked for"
    if not obstacles:
        # Another image than Snakemake's has tools that the command needs, and maybe no Snakemake.
        any_image = _default_image(facts, defaults, Mode.DIRECT) == defaults.snakemake_image
        if is_benchmarked(facts) and any_image and not has_image:
            return Mode.SNAKEMAKE, "it has a benchmark, which only Snakemake measures in full"
        if facts.members:
            return Mode.DIRECT, "it is a group of jobs that need nothing of Snakemake"
        if facts.script is not None:
            return Mode.DIRECT, f"its {facts.script.language} script needs nothing of Snakemake"
        return Mode.DIRECT, "it is a shell command that needs nothing of Snakemake"
    if facts.container and image is None:
        raise Refusal(
            facts.rule,
            f"it has its own container ({facts.container}), but {obstacles[0]}, which takes "
            "Snakemake inside the task. If that image holds Snakemake, say so with the resource "
            "cavatica_mode='snakemake'; to run it in another image, name that with the resource "
            "cavatica_container_image.",
        )
    return Mode.SNAKEMAKE, obstacles[0]


def _obstacles(facts: JobFacts) -> list[str]:
    """Why the job cannot run directly; empty if it can."""
    found = [*facts.needs_snakemake]
    if facts.directive == "group":
        return found or _obstacles_of_group(facts)
    if facts.script is None and facts.directive != "shell":
        found.append(f"it has a {facts.directive} directive")
    if facts.script and posixpath.basename(facts.shell.executable) not in _POSIX_SHELLS:
        found.append(f"its script is to be started by {facts.shell.executable}")
    if facts.benchmark_repeats > 1:
        found.append("its benchmark is repeated")
    if facts.benchmark is not None and facts.benchmark.path.endswith(".jsonl"):
        found.append("its benchmark is written as JSON lines")
    if facts.command is not None and TBD in facts.command:
        found.append(UNKNOWN_COMMAND)
    return found


def _obstacles_of_group(facts: JobFacts) -> list[str]:
    found = [
        f"it is a group, and its rule {member.facts.rule} needs Snakemake: {obstacle}"
        for member in facts.members
        for obstacle in _obstacles(member.facts)
    ]
    texts = (
        one.facts.script.text if one.facts.script else one.facts.command for one in facts.members
    )
    size = sum(len(json.dumps(text)) for text in texts)
    if size > MAX_SIZE:
        found.append(
            f"it is a group whose commands take {size // 1000} kB, more than a task can hold"
        )
    return found if facts.members else ["it is a group of jobs"]


def _several_images(facts: JobFacts, defaults: Defaults, *, has_image: bool) -> list[str]:
    """Why the jobs of a group do not share an image: scripts count on Snakemake's own."""
    scripts = {member.facts.script is not None for member in facts.members}
    if has_image or len(scripts) < 2 or defaults.shell_image == defaults.snakemake_image:  # noqa: PLR2004 - some, not all
        return []
    return ["it is a group of scripts, and of commands that have another image by themselves"]


def is_benchmarked(facts: JobFacts) -> bool:
    """Whether the job, or one of a group, has a benchmark."""
    return any(one.benchmark for one in (facts, *(member.facts for member in facts.members)))


def refuse_what_snakemake_cannot_find(facts: JobFacts, reason: str) -> None:
    """Inside a task, Snakemake is told the job by its rule and wildcards, and looks for files under
    the names that the workflow gives them.
    """
    if facts.beyond_snakemake:
        raise Refusal(
            facts.rule,
            f"it needs Snakemake inside the task, but {facts.beyond_snakemake}, or use a "
            "shell directive and direct mode.",
        )
    inputs = own_inputs(facts, direct=False)
    files = [*inputs, *facts.staged, *facts.outputs, *facts.logs]
    for file in [*files, *([facts.benchmark] if facts.benchmark else [])]:
        if is_outside(file.plain_path):
            raise Refusal(
                facts.rule,
                f"the file {file.plain_path} lies outside of the working directory, where "
                "Snakemake inside the task does not find it; and the job takes Snakemake there, "
                f"because {reason}. Link or copy the file below the working directory and name it "
                f"from there, or {_without_snakemake(facts)}.",
            )


def _without_snakemake(facts: JobFacts) -> str:
    """What to do for a job to run directly, where all paths are mapped."""
    if _obstacles(facts):
        return "use a shell directive, for which such paths are mapped"
    loss = " (its benchmark then has fewer columns)" if facts.benchmark else ""
    return f"run the job without Snakemake, by the resource cavatica_mode='direct'{loss}"


def image_of(facts: JobFacts, defaults: Defaults, mode: Mode) -> str:
    """The image that the job runs in."""
    default = _default_image(facts, defaults, mode)
    named = given_text(facts, "cavatica_container_image") or facts.container or default
    scheme, separator, rest = named.partition("://")
    if not separator and not named.startswith(("/", ".", "~")) and not named.endswith(".sif"):
        return named
    if scheme == "docker" and rest:
        return rest
    raise Refusal(
        facts.rule,
        f"its container {named!r} is not a Docker image, and CAVATICA runs nothing else. Name one "
        "as docker://registry/name:tag, in the rule or, without changing the workflow, by the "
        "resource cavatica_container_image (--default-resources for all rules).",
    )


def _default_image(facts: JobFacts, defaults: Defaults, mode: Mode) -> str:
    return defaults.shell_image if is_shell_command(facts, mode) else defaults.snakemake_image


def is_shell_command(facts: JobFacts, mode: Mode) -> bool:
    """Whether the default image is that of shell commands: a script counts on Snakemake's own."""
    jobs = [facts, *(member.facts for member in facts.members)]
    return mode is Mode.DIRECT and all(job.script is None for job in jobs)
