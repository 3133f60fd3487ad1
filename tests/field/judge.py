"""What is not as it must be: our outcome against that of the local executor."""

from __future__ import annotations

from collections.abc import Iterator

from tests.field.runs import Files, Outcome
from tests.field.scenarios import Place, Scenario, reason_for

_SHOWN = 60
_LINES = 25


def unexpected(scenario: Scenario, place: Place, outcome: Outcome, local: Outcome) -> list[str]:
    """Everything; for the local executor only whether it ran as the scenario says."""
    found = list(_ending(scenario, place, outcome))
    if place == "local":
        return found
    if "Traceback (most recent" in outcome.first.output and "Traceback" not in local.first.output:
        found.append(f"a traceback: {_tail(outcome.first.output)}")
    if place in scenario.fails and "local" not in scenario.fails:
        return found  # refused here; there is nothing to compare
    return [*found, *_differences(scenario, place, outcome.files, local.files)]


def _ending(scenario: Scenario, place: Place, outcome: Outcome) -> Iterator[str]:
    failure = scenario.fails.get(place)
    status = failure.status if failure else 0
    if outcome.first.status != status:
        yield f"exit status {outcome.first.status}, not {status}: {_tail(outcome.first.output)}"
        return
    for words in failure.words if failure else ():
        if words not in outcome.first.output:
            yield f"does not say {words!r}: {_tail(outcome.first.output)}"
    if outcome.second and outcome.second.nothing_to_do == bool(scenario.repeats):
        done = "did nothing" if scenario.repeats else "did something"
        yield f"the second run {done}: {_tail(outcome.second.output)}"


def _differences(scenario: Scenario, place: Place, ours: Files, local: Files) -> Iterator[str]:
    absent = scenario.absent.get(place, {})
    if place == "storage" and scenario.workdir:
        local = {name.removeprefix(f"{scenario.workdir}/"): text for name, text in local.items()}
    for name in sorted(local.keys() | ours.keys()):
        if name not in local:
            yield f"{name} is there, and not with the local executor"
        elif reason_for(name, absent):
            if name in ours:
                yield f"{name} is there, although it is said to be absent"
        elif name not in ours:
            yield f"{name} is missing"
        elif ours[name] != local[name] and not reason_for(name, scenario.unequal):
            yield f"{name} is {ours[name][:_SHOWN]!r}, not {local[name][:_SHOWN]!r}"


def _tail(output: str) -> str:
    return "\n    ".join(["", *output.strip().splitlines()[-_LINES:]])
