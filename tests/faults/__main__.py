"""The fault campaign: `python -m tests.faults --seed 1 --runs 200 --jobs-at-once 3`.

Each run is made from its own seed: a random workflow on a fresh embedded platform, with faults on
every endpoint, instances that are lost, and kills and resumes of the main process, in a world in
which more is the matter (`worlds.py`). What must hold afterwards is in `checks.py`. The exit status
is 1 if something did not.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial

from tests.faults.around import missing
from tests.faults.runs import Report, run_scenario
from tests.faults.scenarios import Scenario, random_scenario
from tests.faults.worlds import WORLDS

SHORT = {"least": 12, "most": 16}
"""Size of the workflows with --short."""


def main(arguments: list[str]) -> int:
    """Run the campaign and print what it showed."""
    options = _parser().parse_args(arguments)
    # Commands in the background of a shell ignore Ctrl-C, and so would what they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    size = SHORT if options.short else {}
    seeds = range(options.seed, options.seed + options.runs)
    worlds = _worlds(options.worlds)
    scenarios = [
        random_scenario(seed, **size, interrupted=not options.no_kills, worlds=worlds)
        for seed in seeds
    ]
    began = time.monotonic()
    reports = []
    with ThreadPoolExecutor(options.jobs_at_once) as pool:
        play = partial(run_scenario, keep=options.keep)
        for future in as_completed([pool.submit(play, scenario) for scenario in scenarios]):
            report = future.result()
            reports.append(report)
            print(_line(report, keep=options.keep), flush=True)
    print(_summary(reports, time.monotonic() - began))
    violating = [report for report in reports if report.violations]
    as_here = f"{' --short' * options.short} --worlds {' '.join(options.worlds)}"
    for report in violating:
        print(f"again: python -m tests.faults --seed {report.scenario.seed} --runs 1{as_here}")
    return 1 if violating else 0


def _worlds(wanted: list[str]) -> list[str]:
    """Names of worlds; those that this machine cannot make are told, and left out."""
    names = list(WORLDS) if wanted == ["all"] else [name for name in wanted if name != "none"]
    lacking = {name: missing(name) for name in names if missing(name)}
    for name, what in lacking.items():
        print(f"without the world '{name}': it takes {what}", flush=True)
    return [name for name in names if name not in lacking]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Fault campaign.")
    add = parser.add_argument
    add("--seed", type=int, default=1, help="of the first run; the others follow")
    add("--runs", type=int, default=1)
    add("--jobs-at-once", type=int, default=2, metavar="N", help="runs that go on in parallel")
    add("--short", action="store_true", help="small workflows")
    add("--no-kills", action="store_true", help="faults only")
    add(
        "--worlds",
        nargs="+",
        default=["all"],
        choices=["all", "none", *WORLDS],
        metavar="NAME",
        help="what else may be the matter: "
        + "; ".join(f"{name} ({meaning})" for name, meaning in WORLDS.items()),
    )
    add("--keep", action="store_true", help="leave the directories of the runs")
    return parser


def _line(report: Report, *, keep: bool) -> str:
    scenario = report.scenario
    words = [
        f"seed {scenario.seed}: {len(scenario.workflow.jobs)} jobs, {scenario.place},",
        f"{sum(report.faults.values())} faults, {_counts(report.interruptions) or 'no kills'},",
        f"{_counts(report.shared) or 'no shared tasks'} ({scenario.sharing}),",
        f"worlds: {', '.join(sorted(scenario.world.names)) or 'none'},",
        f"{report.requests} requests, {report.seconds:.0f} s:",
        f"{len(report.violations)} violations" if report.violations else "ok",
    ]
    lines = [" ".join(words)]
    if keep or report.violations:
        lines.append(f"  {report.directory}")
    lines += [f"  seed {scenario.seed}: {violation}" for violation in report.violations]
    return "\n".join(lines)


def _summary(reports: list[Report], seconds: float) -> str:
    scenarios = [report.scenario for report in reports]
    violations = Counter(violation.kind for report in reports for violation in report.violations)
    rows = {
        "runs": f"{len(reports)} in {seconds:.0f} s, {_mean(reports):.0f} s each",
        "workflows": _workflows(scenarios),
        "sharing": _counts(Counter(scenario.sharing for scenario in scenarios)),
        "worlds": _counts(Counter(name for one in scenarios for name in one.world.names)),
        "shared tasks": _counts(_total(report.shared for report in reports)),
        "requests": str(sum(report.requests for report in reports)),
        "faults": _counts(_total(report.faults for report in reports)),
        "interruptions": _counts(_total(report.interruptions for report in reports)),
        "completed unseen": str(sum(report.completed_unseen for report in reports)),
        "resumes": _counts(_total(report.resumes for report in reports)),
        "unlocks": str(sum(report.unlocks for report in reports)),
        "duplicates": str(sum(report.duplicates for report in reports)),
        "losses by fault": str(sum(report.losses for report in reports)),
        "violations": _counts(violations) or "none",
    }
    return "\n".join(f"{name + ':':18}{value or 'none'}" for name, value in rows.items())


def _mean(reports: list[Report]) -> float:
    return sum(report.seconds for report in reports) / len(reports)


def _workflows(scenarios: list[Scenario]) -> str:
    workflows = [scenario.workflow for scenario in scenarios]
    rules = [workflow.rules for workflow in workflows]
    parts = {
        "jobs": sum(len(workflow.jobs) for workflow in workflows),
        "in storage mode": sum(scenario.place == "storage" for scenario in scenarios),
        "with checkpoints": sum(any(rule.parts for rule in one) for one in rules),
        "with retries": sum(any(rule.fails for rule in one) for one in rules),
        "with groups": sum(any(rule.group for rule in one) for one in rules),
    }
    return ", ".join(f"{number} {name}" for name, number in parts.items())


def _total(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counter.items()) if number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
