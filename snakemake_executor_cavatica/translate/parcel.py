"""Inputs that travel in parcels, one file for many small ones: where a task finds them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..plan.plan import InParcel, JobPlan
from ..project.paths import Place

LARGEST_PARCEL = 16_000_000
"""Bytes of what is in one: each task that needs a part of it downloads all of it."""
_MOST_NAMED = 200
"""A task is of bounded size."""


def name_in_parcel(checksum: str) -> str:
    """What a content is called in any parcel, by its SHA-256."""
    return checksum[:32]


def with_parcels(plan: JobPlan, parcels: Mapping[Place, tuple[str, str]]) -> JobPlan:
    """The plan of a job some of whose inputs lie in parcels.

    Args:
        parcels: for each of these places, the id of the parcel and the content's checksum.
    """
    return replace(
        plan,
        inputs=tuple(one for one in plan.inputs if one.place not in parcels),
        in_parcels=tuple(
            InParcel(one, parcel, name_in_parcel(checksum))
            for one in plan.inputs
            if one.place in parcels
            for parcel, checksum in [parcels[one.place]]
        ),
    )


def contents_of_parcels(plan: JobPlan) -> list[str]:
    """What jobs take from parcels, for people who look at their task: input, path, checksum."""
    named = [f"{one.staged.port}: {one.staged.path} = {one.name}" for one in plan.in_parcels]
    named = list(dict.fromkeys(named))
    more = len(named) - _MOST_NAMED
    return [*named[:_MOST_NAMED], f"and {more} more"] if more > 0 else named
