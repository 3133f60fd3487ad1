"""What else may be the matter with a run, besides faults and kills: each world is one such thing.

A run has none, one or several of them. The seed decides which and how, apart from workflow and
troubles, so that those of a seed are the same in all worlds.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from tests.faults.workflows import Rule, Workflow

DataPlace = Literal["transfer", "storage"]

WORLDS = {
    "memory": "jobs need more memory than their rule asks for; some of them, with right-sizing",
    "limit": "the cost has a limit, which is raised whenever it is reached",
    "disk": "the disk of the working directory is full for a while",
    "clock": "this machine's clock is wrong, and is set while the run goes on",
    "token": "the token is renewed, and the old one refused; the new one comes a little later",
    "neighbour": "another user runs the same workflow on the same inputs in the same project",
    "transfers": "files are put and got in the same project while the run goes on",
    "overtaken": "the machine sleeps, another one takes the run up, and then it wakes up",
    "beginning": "the main process is killed when it has just taken Snakemake's lock",
    "detach": "Ctrl-C leaves the tasks running",
    "reuse": "another user runs the very same jobs, and both take results of each other",
    "submitted": "the main process is a task on the platform, and is lost there",
    "single": "small inputs are uploaded each by itself, in no parcel",
}


@dataclass(frozen=True)
class Overtaken:
    """A machine that sleeps while another one takes its run up."""

    after: float
    """Share of the jobs that are done when it falls asleep."""
    asleep: float
    """Seconds; that may be more than the other one needs for all that is left."""
    frozen: bool
    """By the freezer of control groups instead of SIGSTOP."""


@dataclass(frozen=True)
class World:
    """What is the matter with one run. Moments are shares of the jobs that are done."""

    names: frozenset[str] = frozenset()
    right_size: bool = False
    limits: tuple[float, ...] = ()
    """Dollars, the next one whenever one is reached."""
    full: tuple[tuple[float, float], ...] = ()
    """When the disk is full, and for how many seconds."""
    clock: tuple[tuple[float, float], ...] = ()
    """From which moment on the clock is wrong by how many seconds."""
    renewed: float = 0.0
    gap: float = 0.0
    """Seconds from the old token's end until the new one is where the run finds it."""
    token_file: bool = False
    """Whether the token is in a file of its own instead of a profile."""
    neighbour: float = 0.0
    """When the other user begins."""
    overtaken: tuple[Overtaken, ...] = ()
    beginnings: tuple[float, ...] = ()
    """Seconds from Snakemake's lock to a kill, one for each start."""

    def has(self, name: str) -> bool:
        """Whether this is the matter."""
        return name in self.names

    @property
    def has_neighbour(self) -> bool:
        """Whether there is another user."""
        return self.has("neighbour") or self.has("reuse")


NONE = World()
_IN_STORAGE = ("overtaken", "submitted")
"""Worlds for which the files have to be on the platform."""
_NOT_SUBMITTED = ("overtaken", "beginning", "disk", "clock", "token", "detach", "single")
"""What is the matter with the machine, or the token, of a main process here."""


def random_world(seed: int, place: DataPlace, wanted: Collection[str]) -> World:
    """The world of a seed, of some of those that are wanted; a single one is always there."""
    dice = random.Random(f"world {seed}")
    possible = [name for name in sorted(wanted) if name not in _IN_STORAGE or place == "storage"]
    if not possible:
        return NONE
    number = min(len(possible), dice.choice((1, 1, 2, 2, 3)))
    names = frozenset(dice.sample(possible, number))
    if "submitted" in names:
        names = names.difference(_NOT_SUBMITTED)
    world = World(
        names,
        right_size=dice.random() < 0.5,
        limits=_limits(dice),
        full=tuple(
            (dice.uniform(0, 0.9), round(dice.uniform(0.5, 6), 1))
            for _ in range(dice.choice((1, 1, 2)))
        ),
        clock=_clock(dice),
        renewed=dice.uniform(0, 0.8),
        gap=dice.choice((0.0, 0.5, 2.0, 5.0)),
        token_file=dice.random() < 0.3,
        neighbour=dice.choice((0.0, 0.0, round(dice.uniform(0, 0.6), 2))),
        overtaken=tuple(_overtaken(dice) for _ in range(dice.choice((1, 1, 2)))),
        beginnings=tuple(
            dice.choice((0.0, 0.02, round(dice.uniform(0, 1.5), 2)))
            for _ in range(dice.randint(1, 3))
        ),
    )
    return _only(world)


def _only(world: World) -> World:
    """Without the parameters of what is not the matter, so that a scenario shows what is."""
    belongings = {
        "memory": ("right_size",),
        "limit": ("limits",),
        "disk": ("full",),
        "clock": ("clock",),
        "token": ("renewed", "gap", "token_file"),
        "overtaken": ("overtaken",),
        "beginning": ("beginnings",),
    }
    idle = {
        one: getattr(NONE, one)
        for name, parameters in belongings.items()
        if not world.has(name)
        for one in parameters
    }
    if not world.has_neighbour:
        idle["neighbour"] = NONE.neighbour
    return replace(world, **idle)


def _limits(dice: random.Random) -> tuple[float, ...]:
    first = dice.uniform(0.05, 0.6)
    return (round(first, 2), round(first * dice.uniform(1.5, 4), 2), 1000.0)


def _clock(dice: random.Random) -> tuple[tuple[float, float], ...]:
    """Minutes where a clock is badly set, hours where its zone is wrong; then it is set."""
    wrong = [dice.choice((-7200, -600, -90, 0, 0, 90, 600, 7200)) for _ in range(3)]
    moments = sorted((0.0, *(dice.uniform(0, 0.8) for _ in wrong[1:])))
    return tuple(zip(moments, map(float, wrong), strict=True))


def _overtaken(dice: random.Random) -> Overtaken:
    return Overtaken(
        round(dice.uniform(0, 0.8), 2),
        dice.choice((9.0, 11.0, 14.0, 20.0, 40.0)),
        dice.random() < 0.4,
    )


# ----------------------------------------------------------------------------------- workflows

ASKED = 1000
"""MB of memory that the rules of such a workflow ask for."""
_NEEDED = (1500, 3500)
"""MB that some of their jobs need: once or twice twice as much is enough."""


def with_hunger(workflow: Workflow, seed: int) -> Workflow:
    """The same workflow, with jobs that need more memory than their rules ask for."""
    dice = random.Random(f"memory {seed}")
    return replace(
        workflow, rules=tuple(_with_needs(rule, dice) for rule in workflow.rules), asks=ASKED
    )


def _with_needs(rule: Rule, dice: random.Random) -> Rule:
    """A rule of which some jobs, or all, may need more than it asks for."""
    special = rule.fails or rule.parts or rule.group or rule.gathers
    if rule.directive != "shell" or special or dice.random() < 0.6:
        return rule
    some = dice.sample(rule.values, dice.randint(1, len(rule.values))) if rule.values else ()
    return replace(rule, needs=dice.choice(_NEEDED), hungry=tuple(some))
