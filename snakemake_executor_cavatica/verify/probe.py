"""A probe: one small experiment for each thing that is not known about the real platform.

A probe's value is written as the embedded platform's switch of that name takes it, so that the two
can be compared; the probes without a switch compare with what the embedded platform always does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..api import CavaticaError, File
from .scratch import Scratch


class Unsettled(Exception):
    """A probe could not tell; the message says why."""


@dataclass(frozen=True)
class Finding:
    """What a platform did."""

    value: str
    agrees: bool | None = None
    """Whether that is what the embedded platform assumes; None: if the texts are equal."""
    note: str = ""


Measure = Callable[[Scratch], Finding]


@dataclass(frozen=True)
class Probe:
    """An experiment."""

    name: str
    """Of the switch, or of the behaviour if there is none."""
    how: str
    assumed: str | None
    """What the embedded platform always does; None if that depends on the switch."""
    measure: Measure

    def expected(self, switches: Mapping[str, str]) -> str:
        """What the embedded platform does, given what its switches assume."""
        return switches[self.name] if self.assumed is None else self.assumed

    def settle(self, scratch: Scratch) -> Finding | str:
        """Run the experiment; a text says why it did not settle anything."""
        try:
            return self.measure(scratch)
        except (Unsettled, CavaticaError) as error:
            return str(error)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            # The platform answered in a shape that nobody expected: that must not end the others.
            return f"unexpected answer: {type(error).__name__}: {error}"


def probe(
    probes: list[Probe], name: str, how: str, assumed: str | None = None
) -> Callable[[Measure], Measure]:
    """Add a function to a list of probes; without `assumed`, the name is a switch's."""

    def register(measure: Measure) -> Measure:
        probes.append(Probe(name, how, assumed, measure))
        return measure

    return register


def truth(value: bool) -> Finding:
    """A finding about a switch that is true or false."""
    return Finding(str(value).lower())


def limit(assumed: str, sizes: Sequence[int], is_accepted: Callable[[int], bool]) -> Finding:
    """The largest accepted number, as far as these sizes tell; they are tried up to a refusal.

    Nothing beyond the last one is tried: a probe must not be a burden.
    """
    accepted = 0
    for size in sizes:
        if not is_accepted(size):
            exact = size - accepted == 1
            value = str(accepted) if exact else f"at least {accepted}, less than {size}"
            return Finding(value, agrees=accepted <= int(assumed) < size)
        accepted = size
    return Finding(f"at least {accepted}", agrees=False, note="more was not tried")


def order_of(found: Sequence[str], orders: Mapping[str, Sequence[str]], assumed: str) -> Finding:
    """Which of the orders a listing has; several may look alike."""
    fitting = [name for name, ids in orders.items() if list(ids) == list(found)]
    if not fitting:
        return Finding(f"none of {', '.join(orders)}", agrees=False)
    return Finding(" or ".join(fitting), agrees=assumed in fitting)


def present(files: Iterable[File], names: Sequence[str]) -> Finding:
    """Which of these fields the entries of a listing have."""
    entries = list(files)
    if not entries:
        raise Unsettled("the listing is empty")
    return Finding(
        ", ".join(n for n in names if all(getattr(entry, n) for entry in entries)) or "none"
    )
