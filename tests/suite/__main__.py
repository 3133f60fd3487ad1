"""Snakemake's own tests, under this executor: `python -m tests.suite`.

They come from Snakemake's source distribution on PyPI, of the version that is installed, and run
with the local executor and with this one, in both places for the data, each against an embedded
platform. What passes with the local executor and not with ours has to be in the list of
exceptions in docs/suite.md; the exit status is 1 if something else does not.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from snakemake_executor_cavatica.api import Client, Token
from tests.suite.suite_swap import ENDPOINT, PLACE, PROJECT, TOKEN

ROOT = Path(__file__).resolve().parents[2]
EXCEPTIONS = ROOT / "docs" / "suite.md"
PLACES = ("local", "local-storage", "transfer", "storage")
"""The local executor, first by itself and then with our storage provider; then this executor."""
_ROW = re.compile(r"^\| (`.+`) \| ([^|]+) \| (.+) \|$")
_MODE = re.compile(r"Runs in (\w+) mode because (.+)\.$")
_TIMEOUT = 600
"""Seconds for one test."""


@dataclass(frozen=True)
class Totals:
    """How the tests ended in one place."""

    outcomes: Mapping[str, str]
    """Test to passed, failed or skipped."""
    seconds: float
    modes: Mapping[str, int]
    reasons: Mapping[str, int]
    """Why jobs did not run directly, with how many."""

    def count(self, outcome: str) -> int:
        """Tests that ended so."""
        return sum(one == outcome for one in self.outcomes.values())


def main(arguments: list[str]) -> int:
    """Run the tests and print the totals side by side."""
    options = _parser().parse_args(arguments)
    cache: Path = options.cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    sources = _sources(cache)
    totals = {}
    for place in options.places:
        totals[place] = _run(place, sources, cache, options)
        _save(totals[place], cache / f"{place}.json")
    known = {one: _load(cache / f"{one}.json") for one in PLACES if one not in totals}
    totals = {place: found for place in PLACES if (found := totals.get(place) or known.get(place))}
    return _tell(totals)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.suite", description="Snakemake's own tests under this executor."
    )
    add = parser.add_argument
    add("--places", nargs="+", choices=PLACES, default=PLACES, help="default: all")
    add("--workers", type=int, default=2, help="tests at a time")
    add("-k", dest="expression", help="only tests that match, as for pytest")
    add("--cache", type=Path, default=Path(".suite"), help="folder for the sources and the logs")
    return parser


def _sources(cache: Path) -> Path:
    """Snakemake's unpacked source distribution, in the version that is installed."""
    name = f"snakemake-{version('snakemake')}"
    if not (cache / name / "tests" / "tests.py").exists():
        wanted = name.replace("-", "==", 1)
        options = ["--no-deps", "--no-binary", "snakemake", "--dest", str(cache), wanted]
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", *options], check=True)
        with tarfile.open(cache / f"{name}.tar.gz") as archive:
            archive.extractall(cache, filter="data")
    return cache / name


def _run(place: str, sources: Path, cache: Path, options: argparse.Namespace) -> Totals:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parent),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        PLACE: place,
    }
    report = cache / f"{place}.xml"
    command = [sys.executable, "-m", "pytest", "-p", "suite_swap", "tests/tests.py", "-q"]
    command += ["--timeout", str(_TIMEOUT), "-p", "no:cacheprovider", f"--junitxml={report}"]
    command += ["-n", str(options.workers)] if options.workers > 1 else []
    command += ["-k", options.expression] if options.expression else []
    began = time.monotonic()
    with ExitStack() as stack:
        server = None if place == "local" else stack.enter_context(_Server(environment))
        with (cache / f"{place}.log").open("w") as log:
            print(f"== {place}: {' '.join(command[1:])} > {log.name}", flush=True)
            subprocess.run(
                command, cwd=sources, env=environment, stdout=log, stderr=log, check=False
            )
        modes, reasons = server.modes() if server else (Counter(), Counter())
    return Totals(_outcomes(report), time.monotonic() - began, modes, reasons)


class _Server:
    """An embedded platform for one run of the tests."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._root = tempfile.TemporaryDirectory(prefix="suite-platform-")

    def __enter__(self) -> _Server:
        command = [sys.executable, "-m", "cavatica_local", "serve"]
        # Some tests ask for more cores than this machine may have.
        command += ["--root", self._root.name, "--rate-limit", "off", "--host-cores", "16"]
        self._process = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        ready = json.loads(self._process.stdout.readline())
        self._environment |= {
            ENDPOINT: ready["api_endpoint"],
            TOKEN: ready["auth_token"],
            PROJECT: ready["project"],
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)
        self._root.cleanup()

    def modes(self) -> tuple[Counter[str], Counter[str]]:
        """How the jobs ran, and why not directly, by the descriptions of all tasks."""
        modes: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        with Client(self._environment[ENDPOINT], Token(self._environment[TOKEN])) as client:
            for task in client.list_tasks(project=self._environment[PROJECT]):
                if match := _MODE.search(task.description or ""):
                    modes[match[1]] += 1
                    if match[1] != "direct":
                        reasons[match[2]] += 1
        return modes, reasons


def _outcomes(report: Path) -> dict[str, str]:
    outcomes = {}
    for case in ET.parse(report).iter("testcase"):
        tags = {child.tag for child in case}
        failed = tags & {"failure", "error"}
        outcomes[str(case.get("name"))] = (
            "failed" if failed else "skipped" if "skipped" in tags else "passed"
        )
    return outcomes


def exceptions() -> dict[tuple[str, str], str]:
    """Why a test cannot pass, by test and place; from the table in docs/suite.md."""
    return {
        (name, place): row[3]
        for row in filter(None, map(_ROW.match, EXCEPTIONS.read_text().splitlines()))
        for name in re.findall(r"`([^`]+)`", row[1])
        for place in row[2].split(", ")
    }


def _tell(totals: Mapping[str, Totals]) -> int:
    print(f"\n{'':14}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}  direct jobs")
    for place, found in totals.items():
        counts = f"{found.count('passed'):8}{found.count('failed'):8}{found.count('skipped'):9}"
        jobs = sum(found.modes.values())
        direct = found.modes.get("direct", 0)
        share = f"{direct} of {jobs} ({100 * direct / jobs:.0f} %)" if jobs else "-"
        print(f"{place:14}{counts}{found.seconds:9.0f}  {share}")
    for place, found in totals.items():
        for reason, number in Counter(found.reasons).most_common(12):
            print(f"{place}: {number} jobs in snakemake mode because {reason}")
    return 1 if _unexpected(totals) else 0


def _unexpected(totals: Mapping[str, Totals]) -> int:
    """Print what passes with the local executor and not with ours; how many of it is no news."""
    if "local" not in totals:
        return 0
    known = exceptions()
    unexpected = 0
    for place in ("transfer", "storage"):
        lost = _passed(totals["local"]) & _failed(totals.get(place))
        print(f"\n{place}: {len(lost)} tests pass only with the local executor")
        as_well = _failed(totals.get("local-storage")) if place == "storage" else set()
        for name in sorted(lost):
            reason = known.get((name.partition("[")[0], place))
            note = " (as with the local executor and a storage)" if name in as_well else ""
            print(f"  {name}: {reason or 'NOT EXPECTED'}{note}")
            unexpected += reason is None
    return unexpected


def _failed(totals: Totals | None) -> set[str]:
    return {name for name, end in totals.outcomes.items() if end == "failed"} if totals else set()


def _passed(totals: Totals) -> set[str]:
    return {name for name, end in totals.outcomes.items() if end == "passed"}


def _save(totals: Totals, path: Path) -> None:
    path.write_text(json.dumps(vars(totals)))


def _load(path: Path) -> Totals | None:
    return Totals(**json.loads(path.read_text())) if path.exists() else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
