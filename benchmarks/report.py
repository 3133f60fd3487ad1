"""What a report of many tasks costs: to make it, to send it, to open it and to sort its table.

    python -m benchmarks.report                    # 10,000 tasks
    python -m benchmarks.report --tasks 2000 --runs 5

Needs Chromium and its driver (Debian: chromium, chromium-driver). A page is open once its scripts
have run and the table and the timeline can be seen.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from snakemake_executor_cavatica.observe.report.document import write_report
from tests.made_runs import made_run

from .harness import ROOT, median

sys.path.append(str(ROOT / "tests"))
from browser import Browser, browser_in, obstacle

OPEN = """
document.getElementById('timeline').scrollIntoView();
return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
  const drawn = drawings[0].view !== undefined;
  done(drawn ? performance.now() : null);
})));
"""
SORT = """
const button = [...document.querySelectorAll('.tasks thead button')][arguments[0]];
document.getElementById('tasks').scrollIntoView();
const began = performance.now();
button.click();
return new Promise((done) => requestAnimationFrame(() => setTimeout(() => {
  done(performance.now() - began);
})));
"""
ZOOM = """
zoom.begin = whole.end / 4;
zoom.end = whole.end / 2;
const began = performance.now();
redraw(drawings[0]);
return performance.now() - began;
"""
PLOTS = """
const began = performance.now();
for (const drawing of drawings.slice(1)) redraw(drawing);
return performance.now() - began;
"""


def measure(browser: Browser, path: Path) -> dict[str, float]:
    """Milliseconds of what a person waits for."""
    browser.open(path)
    opened = browser.until(lambda: browser.run(OPEN))
    return {
        "open, with the timeline": opened,
        "sort by memory": browser.run(SORT, 4),
        "sort by name": browser.run(SORT, 0),
        "timeline again, closer": browser.run(ZOOM),
        "all five box plots": browser.run(PLOTS),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args(arguments)
    if reason := obstacle():
        sys.exit(f"no browser: {reason}")
    record = made_run(options.tasks)
    with tempfile.TemporaryDirectory(prefix="cavatica-report-") as folder:
        path = Path(folder) / "report.html"
        began = time.perf_counter()
        write_report(record, path)
        found: dict[str, Any] = {
            "attempts": len(record.attempts),
            "MB": round(path.stat().st_size / 1e6, 2),
            "seconds to make it": round(time.perf_counter() - began, 2),
        }
        with browser_in(Path(folder) / "browser") as browser:
            runs = [measure(browser, path) for _ in range(options.runs)]
            assert browser.complaints() == []
        found["ms"] = {name: round(median([run[name] for run in runs])) for name in runs[0]}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
