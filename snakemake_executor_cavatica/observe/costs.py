"""What a run has cost so far: by the platform's prices, and by a guess for what has none yet."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass

from .entries import Attempt, Status
from .words import money

_Kind = tuple[str, int | None, int | None, int | None, int | None, str | None, bool | None]
"""Attempts that cost the same per second: of one rule, with the same resources."""


@dataclass(frozen=True)
class Spent:
    """An amount, and what of it is no price of the platform."""

    known: float
    guessed: float
    currency: str

    @property
    def total(self) -> float:
        """Both."""
        return self.known + self.guessed

    def __str__(self) -> str:
        about = f" (about {money(self.guessed)} of it a guess)" if self.guessed >= _CENT else ""
        return f"{money(self.total, self.currency)}{about}"


_CENT = 0.005


@dataclass
class _Sums:
    """Of attempts that cost the same per second."""

    price: float = 0.0
    seconds: float = 0.0
    """Of those with a price."""
    running: int = 0
    begun: float = 0.0
    """The sum of the times at which those that run began."""
    unpriced: float = 0.0
    """Seconds of those that have ended, and have no price."""


class Costs:
    """Sums over the attempts of a record, kept up to date. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: defaultdict[str, float] = defaultdict(float)
        """By rule."""
        self._kinds: defaultdict[_Kind, _Sums] = defaultdict(_Sums)
        self._alike: defaultdict[object, _Sums] = defaultdict(_Sums)
        """The same for all rules together."""
        self._currency = ""
        self._priced = self._unpriced = 0

    def note(self, attempt: Attempt, before: Attempt | None = None) -> None:
        """An attempt is as told from now on."""
        with self._lock:
            if before is not None:
                self._add(before, -1)
            self._add(attempt, 1)
            self._currency = attempt.currency or self._currency

    def _add(self, attempt: Attempt, sign: int) -> None:
        kind = _kind(attempt)
        sums, alike = self._kinds[kind], self._alike[kind[1:]]
        seconds = attempt.run_seconds
        if attempt.price is not None:
            self._known[attempt.rule] += sign * attempt.price
            self._priced += sign * (attempt.status is not Status.REUSED)
            if seconds:
                for each in (sums, alike):
                    each.price += sign * attempt.price
                    each.seconds += sign * seconds
        elif attempt.started is not None and attempt.ended is None and not attempt.status.is_over:
            sums.running += sign
            sums.begun += sign * attempt.started
        elif seconds and attempt.status.is_over:
            sums.unpriced += sign * seconds
            self._unpriced += sign

    @property
    def are_untold(self) -> bool:
        """Whether tasks have run to their end, and the platform has told no price of any."""
        return self._unpriced > 0 and self._priced == 0

    def spent(self, now: float, rule: str | None = None) -> Spent:
        """By all that is known at a time (seconds since the epoch), maybe for one rule only."""
        with self._lock:
            known = sum(self._known.values()) if rule is None else self._known.get(rule, 0.0)
            guessed = sum(
                self._rate(kind) * max(0.0, sums.running * now - sums.begun + sums.unpriced)
                for kind, sums in self._kinds.items()
                if rule in (None, kind[0])
            )
            return Spent(known, guessed, self._currency)

    def _rate(self, kind: _Kind) -> float:
        """What a second costs: as for the same rule, else for any with these resources; or 0."""
        for sums in (self._kinds[kind], self._alike[kind[1:]]):
            if sums.seconds > 0:
                return sums.price / sums.seconds
        return 0.0


def _kind(attempt: Attempt) -> _Kind:
    return (
        attempt.rule,
        attempt.cores,
        attempt.memory_mib,
        attempt.disk_mib,
        attempt.disk_gb,
        attempt.instance,
        attempt.spot,
    )
