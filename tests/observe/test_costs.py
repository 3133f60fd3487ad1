"""What a run has cost so far, by prices and by guesses."""

from __future__ import annotations

import pytest
from attempts import BEGAN, attempt

from snakemake_executor_cavatica.observe.costs import Costs, Spent
from snakemake_executor_cavatica.observe.entries import Attempt, Status

NOW = BEGAN + 211


def running(number: int, **given: object) -> Attempt:
    return attempt(number, status=Status.RUNNING, ended=None, price=None, currency="", **given)


def spent(*attempts: Attempt, rule: str | None = None) -> Spent:
    costs = Costs()
    for one in attempts:
        costs.note(one)
    return costs.spent(NOW, rule)


def test_prices_add_up() -> None:
    assert spent(attempt(1), attempt(2, price=0.25)) == Spent(0.75, 0.0, "USD")
    assert str(spent(attempt(1))) == "0.50 USD"


def test_what_runs_is_guessed_by_what_the_same_has_cost() -> None:
    # It has run for twice as long as the one that has ended.
    told = spent(attempt(1), running(2))
    assert told.guessed == pytest.approx(1.0)
    assert str(told) == "1.50 USD (about 1.00 of it a guess)"


def test_a_guess_comes_from_the_same_rule_or_else_from_the_same_resources() -> None:
    other = attempt(3, rule="sort", price=5.0)
    assert spent(attempt(1), other, running(2)).guessed == pytest.approx(1.0)
    assert spent(other, running(2)).guessed == pytest.approx(10.0)
    assert spent(attempt(1, cores=8), running(2)).guessed == 0
    assert spent(attempt(1, spot=True), running(2)).guessed == 0


def test_what_has_ended_without_a_price_is_guessed_too() -> None:
    unpriced = attempt(2, price=None)
    assert spent(attempt(1), unpriced).guessed == pytest.approx(0.5)


def test_what_waits_costs_nothing() -> None:
    queued = attempt(2, status=Status.QUEUED, started=None, ended=None, price=None)
    assert spent(attempt(1), queued).total == 0.5


def test_one_rule_by_itself() -> None:
    told = spent(attempt(1), attempt(2, rule="sort", price=5.0), running(3), rule="align")
    assert (told.known, told.guessed) == (0.5, pytest.approx(1.0))


def test_changes_replace_what_was_told_before() -> None:
    costs, first = Costs(), running(1)
    costs.note(first)
    ended = attempt(1)
    costs.note(ended, first)
    moved = attempt(1, price=None)
    costs.note(moved, ended)
    assert costs.spent(NOW).total == pytest.approx(0)
    costs.note(attempt(2))
    assert costs.spent(NOW) == Spent(0.5, pytest.approx(0.5), "USD")


def test_what_is_reused_hides_not_that_no_prices_are_told() -> None:
    costs = Costs()
    costs.note(attempt(1, status=Status.REUSED, price=0.0, started=None, ended=None))
    costs.note(attempt(2, price=None))
    assert costs.are_untold
