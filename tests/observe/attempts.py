"""Attempts and runs to tell of."""

from __future__ import annotations

from typing import Any

from snakemake_executor_cavatica.observe.entries import Attempt, Run, Status

BEGAN = 1_000_000.0
"""Seconds since the epoch at which runs begin here."""


def run(**given: Any) -> Run:
    """A run that has ended well."""
    known: dict[str, Any] = {
        "id": "20260101-120000-aaaaaa",
        "command": "snakemake",
        "directory": "/work",
        "snakemake": "9.27.1",
        "plugin": "0.1.0",
        "endpoint": "https://cavatica-api.sbgenomics.com/v2",
        "project": "a/b",
        "place": "transfer",
        "started": BEGAN,
        "ended": BEGAN + 600,
        "outcome": "done",
    }
    return Run(**{**known, **given})


def attempt(number: int = 1, **given: Any) -> Attempt:
    """An attempt that has succeeded: it waited 10 seconds, ran 100 and cost 0.50."""
    known: dict[str, Any] = {
        "id": f"aaaaaa.{number}",
        "run": "20260101-120000-aaaaaa",
        "jobid": str(number),
        "rule": "align",
        "wildcards": {"sample": f"S{number}"},
        "task": f"{number:08d}-0000-4000-8000-000000000000",
        "status": Status.DONE,
        "submitted": BEGAN,
        "queued": BEGAN + 1,
        "started": BEGAN + 11,
        "ended": BEGAN + 111,
        "cores": 2,
        "memory_mib": 1000,
        "spot": False,
        "price": 0.5,
        "currency": "USD",
    }
    return Attempt(**{**known, **given})
