"""Main processes on the platform that end at random moments, and the example workflow.

    python -m tests.coordinator --kills 20 --cancels 20 --example

A killed one (its task aborted, its instance taken, the platform restarted) is submitted again, and
has to finish; no job may have two completed tasks, or two at a time. After a cancelled one nothing
may run. Prints a line for each; the exit status tells whether all went well.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from snakemake_executor_cavatica.project.fetch_store import store
from snakemake_executor_cavatica.project.index import ProjectIndex
from tests.workflow.workflow_runs import Platform, Workflow, until

sys.path.insert(0, str(Path(__file__).parent))
from submitted_runs import (
    HOME,
    Submitted,
    command,
    kill,
    live_tasks,
    moment,
    new_workflow,
    secrets_in,
    submit,
    texts_of,
    troubles,
)

EXAMPLE = Path(__file__).parents[2] / "example_workflow"
LONGEST = 9.0
"""Seconds that the small workflow may take, with the start of its main process."""


class Server:
    """A platform that can be killed and started again, on the same port."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.platform = Platform.start(root)

    def restart(self) -> None:
        """As after a crash: no task survives it."""
        port = self.platform.endpoint.rpartition(":")[2].partition("/")[0]
        self.platform.process.send_signal(signal.SIGKILL)
        self.platform.process.wait(30)
        self.platform = Platform.start(self._root, "--port", port)


def killed(server: Server, folder: Path, seed: int) -> str:
    """What is wrong after a main process was killed and submitted again; empty if all is well."""
    platform = server.platform.fresh()
    workflow = new_workflow(folder, platform)
    first = submit(workflow)
    seconds, way = moment(seed, LONGEST)
    time.sleep(seconds)
    kill(first, way, server.restart)
    platform = replace(platform, process=server.platform.process)
    until(lambda: first.has_ended)
    how = first.status
    second = submit(workflow)
    status = second.wait()
    wrong = troubles(platform)
    if status != "COMPLETED":
        wrong.append(f"the second is {status}:\n{second.command('logs', '--follow').output}")
    if workflow.read("all.txt") != "0\n1\n2\n":
        wrong.append("the results are others")
    print(
        f"kill {seed}: {way} after {seconds:.1f} s ({how}); {'; '.join(wrong) or 'well'}",
        flush=True,
    )
    return "; ".join(wrong)


def cancelled(server: Server, folder: Path, seed: int) -> str:
    """What is wrong after a run was cancelled; empty if all is well."""
    platform = server.platform.fresh()
    run = submit(new_workflow(folder, platform), "--config", "jobs=12")
    seconds, _ = moment(seed, LONGEST)
    time.sleep(seconds)
    ended = run.has_ended
    told = run.command("cancel", "--yes")
    time.sleep(1)
    wrong = live_tasks(platform)
    if told.status != 0:
        wrong.append(told.output)
    told_more = " (it had ended)" if ended else ""
    print(
        f"cancel {seed}: after {seconds:.1f} s{told_more}; {'; '.join(wrong) or 'well'}", flush=True
    )
    return "; ".join(wrong)


def example(server: Server, folder: Path) -> str:
    """What is wrong with the example workflow, run from a folder that is removed right after."""
    platform = server.platform.fresh()
    here = folder / "example"
    shutil.copytree(EXAMPLE, here, ignore=shutil.ignore_patterns(".snakemake", "results"))
    workflow = Workflow(here, platform, "storage")
    with platform.client() as client:
        index = ProjectIndex(client, platform.project)
        for path in sorted([*here.glob("data/**/*"), *here.glob("workflow/**/*")]):
            if path.is_file():
                store(index, path, f"{workflow.folder}/{path.relative_to(here)}")
    shutil.rmtree(here / "data")
    run: Submitted = submit(workflow, "--workflow-profile", "profiles/cavatica", keep=False)
    status = run.wait()
    here.mkdir()
    (folder / "variants.tsv").write_text(workflow.read("results/variants.tsv") or "")
    check = [sys.executable, str(EXAMPLE / "check.py"), "--found", str(folder / "variants.tsv")]
    verdict = subprocess.run(check, capture_output=True, text=True, check=False).stdout.split("\n")[
        -2
    ]
    with platform.client() as client:
        texts = {**texts_of(client, platform.project), **texts_of(client, HOME)}
    seen = secrets_in(texts, platform.token)
    cost = command(platform, "cost", run.run, cwd=folder).output
    print(f"example: {status}, {verdict}; token in {seen or 'none'} of {len(texts)} texts\n{cost}")
    return "" if (status, verdict, seen) == ("COMPLETED", "OK", []) else "the example"


def main() -> int:
    """Do all that is asked for; 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--cancels", type=int, default=0)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--example", action="store_true")
    options = parser.parse_args()
    first = options.first_seed
    with tempfile.TemporaryDirectory(prefix="cavatica-tests-") as name:
        server, folder = Server(Path(name, "server")), Path(name, "workflows")
        folder.mkdir()
        wrong = [example(server, folder)] if options.example else []
        wrong += [killed(server, folder, seed) for seed in range(first, first + options.kills)]
        wrong += [cancelled(server, folder, seed) for seed in range(first, first + options.cancels)]
        server.platform.stop()
    number = sum(map(bool, wrong))
    print(f"{len(wrong) - number} of {len(wrong)} went well.")
    return 1 if number else 0


if __name__ == "__main__":
    sys.exit(main())
