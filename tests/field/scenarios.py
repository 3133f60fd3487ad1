"""What a scenario is, and how it is read from its folder.

A folder holds a workflow as a person would bring it. Beside it there may be `prepare.sh`, which
makes what cannot lie in git (links, odd names, old files), and `scenario.yaml`, which says what is
special about it. Neither is there when the workflow runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

Place = Literal["local", "transfer", "storage"]
"""By the local executor; by ours, with the files here; by ours, with the files on the platform."""
PLACES: tuple[Place, ...] = get_args(Place)
OURS = PLACES[1:]
FOLDER = Path(__file__).parent / "scenarios"
PREPARE = "prepare.sh"
OPTIONS = "scenario.yaml"


@dataclass(frozen=True)
class Failure:
    """How a run has to fail."""

    words: Sequence[str]
    """What the output must hold, all of it."""
    status: int = 1


@dataclass(frozen=True)
class Scenario:
    """A workflow, and what is to be expected of it.

    Patterns are those of fnmatch, over the whole path; each has a reason, which is told.
    """

    folder: Path
    arguments: Sequence[str] = ()
    """Of Snakemake, in all places."""
    ours: Sequence[str] = ()
    """Further ones with our executor."""
    again: Sequence[str] | None = None
    """Arguments of the second run, where they are others."""
    repeats: str = ""
    """Why a second run does something, as with the local executor."""
    environment: Mapping[str, str] = field(default_factory=dict)
    data: Sequence[str] = ("data",)
    """Paths of inputs; in storage mode they are on the platform and not here."""
    stays: bool = False
    """Whether inputs are here too in storage mode, because the Snakefile itself looks at them."""
    workdir: str = ""
    """The directory that the Snakefile changes to; paths in a storage do not depend on it."""
    here: Mapping[str, str] = field(default_factory=dict)
    """Results that lie here in storage mode too."""
    unequal: Mapping[str, str] = field(default_factory=dict)
    """Results that have to be there, but whose content differs from run to run."""
    absent: Mapping[Place, Mapping[str, str]] = field(default_factory=dict)
    """What only the local executor leaves."""
    fails: Mapping[Place, Failure] = field(default_factory=dict)
    left_out: Mapping[Place, str] = field(default_factory=dict)
    """Places where it is not run, and why."""
    needs: Sequence[str] = ()
    """Modules of Python without which it cannot run at all."""

    @property
    def name(self) -> str:
        """That of the folder."""
        return self.folder.name

    @property
    def exceptions(self) -> frozenset[Place]:
        """Places where something is not as with the local executor."""
        fails = {place for place in OURS if self.fails.get(place) and not self.fails.get("local")}
        return frozenset(fails | self.absent.keys() | self.left_out.keys())

    @property
    def lacking(self) -> str:
        """The modules that are not here."""
        return ", ".join(name for name in self.needs if find_spec(name) is None)

    def arguments_of(self, place: Place, *, second: bool) -> list[str]:
        """What Snakemake is called with, besides what says where it runs."""
        chosen = self.again if second and self.again is not None else self.arguments
        return [*chosen, *(self.ours if place != "local" else ())]


def names() -> list[str]:
    """All scenarios."""
    return sorted(path.name for path in FOLDER.iterdir() if (path / "Snakefile").exists())


def scenario(name: str) -> Scenario:
    """The scenario in that folder."""
    path = FOLDER / name / OPTIONS
    given = yaml.safe_load(path.read_text()) if path.exists() else {}
    known = {one.name for one in fields(Scenario)} - {"folder"}
    if unknown := given.keys() - known:
        raise ValueError(f"{path} holds unknown options: {', '.join(unknown)}.")
    return Scenario(FOLDER / name, **{**given, "fails": _failures(given.get("fails", {}))})


def _failures(given: Mapping[str, Any]) -> dict[Place, Failure]:
    """By place; `all` stands for each that is not named."""
    chosen = {place: given.get(place, given.get("all")) for place in PLACES}
    return {place: Failure(**one) for place, one in chosen.items() if one}


def reason_for(path: str, patterns: Mapping[str, str]) -> str | None:
    """Why this path is an exception, if it is."""
    return next((why for one, why in patterns.items() if fnmatchcase(path, one)), None)
