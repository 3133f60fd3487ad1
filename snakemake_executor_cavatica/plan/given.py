"""What a rule says by its resources, read as what it stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from ..read import values
from ..read.facts import TBD, JobFacts, Refusal

T = TypeVar("T")

RESOURCES = frozenset(
    f"cavatica_{name}"
    for name in (
        *("mode", "container_image", "inputs", "batch", "pack", "reuse", "interruptible"),
        *("instance_type", "max_parallel_instances", "use_memoization", "use_elastic_disk"),
        *("max_cost", "memory_retries", "output_metadata", "inherit_metadata"),
    )
)
"""All that a rule can say to us alone."""
_NOTHING = (None, "", TBD)


def unknown_resources(facts: JobFacts) -> list[str]:
    """Names of resources that are meant for us, and say nothing."""
    return [one for one in facts.resources if one.startswith("cavatica_") and one not in RESOURCES]


def _given(facts: JobFacts, name: str, nothing: Sequence[object] = _NOTHING) -> object | None:
    assert name in RESOURCES or not name.startswith("cavatica_")
    value = facts.resources.get(name)
    return None if value in nothing else value


def given_text(facts: JobFacts, name: str) -> str | None:
    """A resource as text."""
    value = _given(facts, name)
    return None if value is None else str(value)


def given_as(
    facts: JobFacts,
    name: str,
    reader: Callable[[object], T],
    *,
    nothing: Sequence[object] = _NOTHING,
) -> T | None:
    """A resource as its reader in `values.py` understands it; None if it is not given."""
    value = _given(facts, name, nothing)
    try:
        return None if value is None else reader(value)
    except ValueError as error:
        raise Refusal(facts.rule, f"resource {name}={value!r} {error}.") from None


def given_number(facts: JobFacts, name: str, *, least: int = 0) -> int | None:
    """A resource as a whole number."""
    return given_as(facts, name, partial(values.whole, least=least))


def given_choice(facts: JobFacts, name: str, choices: Sequence[str]) -> str | None:
    """A resource as one of several words."""
    return given_as(facts, name, partial(values.choice, choices=choices))


def given_truth(facts: JobFacts, name: str) -> bool | None:
    """A resource as yes or no."""
    return given_as(facts, name, values.truth)
