"""Watching a run whose platform is away for a while."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from snakemake_executor_cavatica.api import NoAnswer, Unauthorized
from snakemake_executor_cavatica.commands import status
from snakemake_executor_cavatica.observe.entries import Run
from snakemake_executor_cavatica.observe.standing import Standing
from snakemake_executor_cavatica.observe.told import Told

TOLD = Told(
    (Run.by_name("20261130-120000-abcdefs", started=0.0),), (), Standing.RUNNING, folder=Path()
)


def looked(
    monkeypatch: pytest.MonkeyPatch, before: Told, answer: Told | Exception
) -> tuple[Told, float]:
    def told_run(*_: object) -> Told:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(status, "told_run", told_run)
    return status._look(argparse.Namespace(), before)


def test_an_outage_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects who watches for hours on a laptop; it is said, and said once, that this is old."""
    away = NoAnswer("the connection was lost", method="GET", path="/tasks")
    told = TOLD
    for _ in range(2):
        told, pause = looked(monkeypatch, told, away)
        assert pause > 0
    assert (told.standing, told.is_current, len(told.remarks)) == (Standing.RUNNING, False, 1)
    assert told.remarks[0] in str(status.screen(told, 0.0)[-1])
    assert looked(monkeypatch, told, TOLD)[0] == TOLD


def test_what_does_not_pass_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = Unauthorized("no valid token", method="GET", path="/tasks")
    with pytest.raises(Unauthorized):
        looked(monkeypatch, TOLD, refused)
