"""What people should know of a rule's jobs, though they do run. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from enum import StrEnum

from .files import links_for_size
from .given import RESOURCES, unknown_resources
from .plan import JobPlan


class About(StrEnum):
    """What a remark is about."""

    LINKS = "inputs that are links because of their size"
    NOTHING_LEFT = "jobs of which nothing comes back"
    VARIABLES = "variables that are not set in tasks"
    PROGRAMS = "programs that answer otherwise in tasks"
    COLUMNS = "benchmarks with fewer columns than were asked for"
    RESOURCES = "resources that say nothing"


class Remarks:
    """What there is to say of jobs: once of each rule, and no sentence twice."""

    def __init__(self) -> None:
        self._said: set[str | tuple[str, About]] = set()

    def on(self, plan: JobPlan) -> Iterator[str]:
        """What was not said yet, whole sentences."""
        for about, sentence in _remarks_on(plan):
            subject = (plan.facts.rule, about)
            if self._said.isdisjoint((sentence, subject)):
                yield sentence
            self._said.update((sentence, subject))


def _remarks_on(plan: JobPlan) -> Iterator[tuple[About, str]]:
    if plan.is_linked_for_size:
        yield About.LINKS, links_for_size(plan)
    if plan.leaves_nothing:
        yield About.NOTHING_LEFT, _nothing_left(plan.facts.rule)
    if plan.variables_missed:
        yield About.VARIABLES, _variables_missed(plan.variables_missed)
    if plan.programs_started:
        yield About.PROGRAMS, _programs_started(plan.programs_started)
    if plan.lacks_columns:
        yield About.COLUMNS, _lacks_columns(plan.facts.rule)
    if unknown := unknown_resources(plan.facts):
        yield About.RESOURCES, _says_nothing(plan.facts.rule, unknown)


def _nothing_left(rule: str) -> str:
    return (
        f"Rule {rule} declares no output, log or benchmark: it runs in a task, and whatever it "
        "makes, changes, removes or prints there stays there. If it is meant to work on files of "
        "this machine, write localrule: True into it, or list it under localrules:."
    )


def _variables_missed(names: Sequence[str]) -> str:
    return (
        f"The workflow asks for environment variables ({', '.join(names)}) while it is parsed. "
        "Tasks in which Snakemake runs a job parse it again, and these are not set there. If "
        f'results depend on them, name them in the Snakefile (envvars: "{names[0]}") or with '
        "--envvars."
    )


def _programs_started(names: Sequence[str]) -> str:
    return (
        f"The workflow starts programs ({', '.join(names)}) while it is parsed. Tasks in which "
        "Snakemake runs a job parse it again, and programs see the files of the task then: no "
        "repository of git, and of data the job's own inputs. If results depend on what they "
        "answer, start them before, and pass that on by --config, or let the workflow do so only "
        "if workflow.is_main_process, and read it from a file."
    )


def _lacks_columns(rule: str) -> str:
    return (
        f"Rule {rule}: its benchmarks lack the columns of --benchmark-extended, which only "
        "Snakemake writes, and its jobs run without it. cavatica_mode='snakemake' as a resource of "
        "the rule has them run by Snakemake, in an image that holds it."
    )


def _says_nothing(rule: str, names: Sequence[str]) -> str:
    meant = sorted({one for name in names for one in get_close_matches(name, RESOURCES, n=1)})
    guess = f" Did you mean {', '.join(meant)}?" if meant else ""
    return (
        f"Rule {rule} has resources that this plugin does not know ({', '.join(names)}): they "
        f"change nothing.{guess} It knows {', '.join(sorted(RESOURCES))}."
    )
