"""Runs that go on, or were killed: what is told of them, and how they are ended."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_runs import TIMEOUT, Result, Server

from snakemake_executor_cavatica.api import Task
from tests import warm_start

COMMAND = "snakemake_executor_cavatica.commands.main"
SNAKEFILE = """
rule all:
    input: expand("slow/{x}.txt", x=[1, 2]), expand("other/{x}.txt", x=[1, 2]), "quick.txt"
rule slow:
    output: "slow/{x}.txt"
    shell: "touch {output}"
rule other:
    input: "in/{x}.txt"
    output: "other/{x}.txt"
    resources: cavatica_batch="auto"
    shell: "touch {output}"
rule quick:
    output: "quick.txt"
    shell: "touch {output}"
"""


def until(condition: Callable[[], object], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


@dataclass
class Going:
    """A run that goes on until it is ended."""

    server: Server
    directory: Path
    process: subprocess.Popen[Any]

    def __call__(self, *arguments: str, cwd: Path | None = None) -> Result:
        return self.server.command(COMMAND, *arguments, cwd=cwd or self.directory)

    def start(self, *arguments: str, terminal: int | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", COMMAND, *arguments],
            cwd=self.directory,
            env=self.server.environment() | {"TERM": "xterm", "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if terminal is None else terminal,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
        )

    def status(self, *arguments: str, cwd: Path | None = None) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self("status", "--json", *arguments, cwd=cwd).out)
        return document

    def states(self) -> dict[str, str | None]:
        """Of all tasks of the project, children of batches too, by name."""
        listed: list[Task] = []
        for task in self.server.client.list_tasks(project=self.server.project):
            children = self.server.client.list_tasks(parent=task.id) if task.batch else ()
            listed += [*children] if task.batch else [task]
        return {task.name: task.status for task in listed}

    def running(self) -> int:
        return sum(state == "RUNNING" for state in self.states().values())

    def begun(self) -> None:
        """Wait until all that is long runs."""
        until(lambda: self.process.poll() is not None or self.running() >= 4)
        assert self.process.poll() is None


BEHAVIOURS = [{"task": "^quick", "seconds": "5"}, {"task": ".", "seconds": "600"}]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Where tasks only seem to run, so that many do at a time."""
    folder = tmp_path_factory.mktemp("simulated")
    behaviours = folder / "behaviours.json"
    behaviours.write_text(json.dumps(BEHAVIOURS))
    options = ("--engine", "simulate", "--simulation", str(behaviours), "--price-hour", "5")
    server = Server.start(folder / "server", *options)
    yield server
    server.stop()


@pytest.fixture
def server(simulated: Server) -> Iterator[Server]:
    own = simulated.fresh()
    yield own
    own.leave()


def begin(
    server: Server,
    directory: Path,
    *options: str,
    signals: Callable[[], object] = warm_start.as_in_a_terminal,
) -> Going:
    (directory / "in").mkdir(parents=True)
    (directory / "Snakefile").write_text(SNAKEFILE)
    for x in (1, 2):
        (directory / f"in/{x}.txt").write_text(str(x))
    process = warm_start.Popen(
        [sys.executable, "-m", "snakemake", "--executor", "cavatica", "--jobs", "9", *options],
        cwd=directory,
        env=server.environment(),
        stdout=(directory / "output").open("wb"),
        stderr=subprocess.STDOUT,
        preexec_fn=signals,
    )
    return Going(server, directory, process)


@pytest.fixture
def going(server: Server, tmp_path: Path) -> Iterator[Going]:
    run = begin(server, tmp_path / "workflow", "--keep-going")
    run.begun()
    yield run
    with suppress(ProcessLookupError):
        run.process.kill()
    run.process.wait(TIMEOUT)


def test_a_run_that_goes_on_is_told_and_cancelled_by_rule_and_as_a_whole(
    going: Going, tmp_path: Path
) -> None:
    until(lambda: {one["rule"] for one in going.status()["under_way"]} >= {"slow", "other"})
    document = going.status()
    assert document["state"] == "running"
    assert going("status").status == 0
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    there = going.status(cwd=elsewhere)
    assert (there["state"], there["source"], there["run"]) == (
        "running",
        "platform",
        document["run"],
    )
    assert {one["task"] for one in there["under_way"]} >= {
        one["task"] for one in document["under_way"] if one["rule"] != "quick"
    }
    run = document["run"]

    refused = going("cancel", run, "--yes")
    assert refused.status == 1
    assert f"The run {run} goes on in the process {going.process.pid} of this" in refused.err
    assert "Press Ctrl-C where it runs" in refused.err
    assert refused.err.count("\n") == 1
    nobody = going("cancel", run, "--rule", "other")
    assert (nobody.status, nobody.err.count("\n")) == (1, 1)
    assert "There is no terminal to ask on" in nobody.err
    assert going.running() >= 4

    by_rule = going("cancel", run, "--rule", "other", "--yes")
    assert by_rule.status == 0, by_rule
    assert "Aborted 1 task." in by_rule.out, "the batch, with all its children"
    assert " of other rules of the run go on." in by_rule.out
    states = going.states()
    assert {states[name] for name in states if name.startswith("other")} == {"ABORTED"}
    assert {states[name] for name in states if name.startswith("slow")} == {"RUNNING"}
    until(lambda: len(going.status()["failed"]) + _cancelled(going) == 2)
    assert going.process.poll() is None, "the run has others to wait for"

    whole = going("cancel", run, "--interrupt", "--yes")
    assert whole.status == 0, whole
    assert going.process.wait(TIMEOUT) != 0
    assert "RUNNING" not in going.states().values()
    ended = going("status")
    assert ended.status == 3
    assert f"Run {run} was cancelled" in ended.out


def _cancelled(going: Going) -> int:
    return sum(rule["cancelled"] for rule in going.status()["rules"])


def test_a_run_that_was_killed_is_told_by_the_platform_and_what_is_left_is_aborted(
    going: Going,
) -> None:
    going.process.kill()
    going.process.wait(TIMEOUT)
    until(lambda: going.states().get("quick") == "COMPLETED")
    result = going("status")
    assert result.status == 3, result
    assert " was killed " in result.out
    document = going.status()
    assert document["state"] == "killed"
    assert {one["rule"] for one in document["under_way"]} == {"slow", "other"}
    left = {rule["rule"]: rule["left"] + rule["done"] for rule in document["rules"]}
    assert left["quick"] == 1

    result = going("cancel", document["run"][-6:], "--yes")
    assert result.status == 0, result
    assert "Aborted 3 tasks." in result.out
    assert set(going.states().values()) == {"ABORTED", "COMPLETED"}
    again = going("cancel", document["run"], "--yes")
    assert again.status == 0
    assert f"no task of the run {document['run']} goes on." in again.out
    states = {rule["rule"]: rule["cancelled"] for rule in going.status()["rules"]}
    assert states == {"slow": 2, "other": 2, "quick": 0}


def test_an_embedded_platform_of_the_directory_hides_no_run_of_another_one(going: Going) -> None:
    """Protects from "there is nothing to abort" while tasks go on, and cost money.

    The directory has been used with the embedded platform before, and a profile says where the run
    is, as `init` writes it.
    """
    going.process.kill()
    going.process.wait(TIMEOUT)
    local_root = going.directory / ".cavatica-local"
    local_root.mkdir()
    credentials = going.directory / "home/.sevenbridges/credentials"
    credentials.parent.mkdir(parents=True)
    credentials.write_text(
        f"[here]\napi_endpoint = {going.server.endpoint}\nauth_token = {going.server.token}\n"
    )
    by_profile = {
        **dict.fromkeys(("SB_API_ENDPOINT", "SB_AUTH_TOKEN"), ""),
        "HOME": str(going.directory / "home"),
        "SNAKEMAKE_CAVATICA_CREDENTIALS_PROFILE": "here",
    }

    def command(*words: str, **more: str) -> Result:
        environment = by_profile | more
        return going.server.command(COMMAND, *words, environment=environment, cwd=going.directory)

    [record] = (going.directory / ".snakemake/cavatica/runs").glob("*/record.jsonl")
    run, said = record.parent.name, record.read_text()
    other = command("cancel", run, "--yes", SNAKEMAKE_CAVATICA_API_ENDPOINT="local")
    assert (other.status, other.err.count("\n")) == (1, 1), other
    assert f"is on {going.server.endpoint}, and the embedded platform of this dir" in other.err
    assert not list(local_root.iterdir()), "none was started"
    assert '"embedded":false' in said
    for before in (said, said.replace('"embedded":false,', "")):
        record.write_text(before)
        document = json.loads(command("status", "--json").out)
        assert not document["remarks"]
        assert {one["status"] for one in document["under_way"]} == {"running"}
    cancelled = command("cancel", run, "--yes")
    assert cancelled.status == 0, cancelled
    assert "Aborted " in cancelled.out
    assert "RUNNING" not in going.states().values()


def test_a_rule_that_the_run_does_not_have_is_refused(going: Going) -> None:
    """Protects from a misspelt name: its tasks were told to have ended, while they went on."""
    run = going.status()["run"]
    wrong = going("cancel", run, "--rule", "slwo", "--yes")
    assert (wrong.status, wrong.out, wrong.err.count("\n")) == (1, "", 1), wrong
    assert f"slwo is no rule of the run {run} whose jobs are tasks (" in wrong.err
    named = wrong.err.partition("(")[2].partition(")")[0]
    assert set(named.split(", ")) == {"slow", "other", "quick"}
    until(lambda: going.states().get("quick") == "COMPLETED")
    ended = going("cancel", run, "--rule", "quick", "--yes")
    assert ended.status == 0, ended
    assert f"no task of rule quick of the run {run} goes on." in ended.out


def test_a_run_that_has_left_its_tasks_and_was_cancelled_then_is_told_as_cancelled(
    server: Server, tmp_path: Path
) -> None:
    """Protects who looks at a detached run after `cancel`: nothing was left running any more."""
    going = begin(server, tmp_path / "workflow", "--cavatica-detach")
    going.begun()
    going.process.send_signal(signal.SIGINT)
    going.process.wait(TIMEOUT)
    document = going.status()
    run = document["run"]
    assert document["state"] == "detached"
    [record] = (going.directory / ".snakemake/cavatica/runs").glob("*/record.jsonl")
    detached, age = record.read_bytes(), record.stat().st_mtime_ns

    assert going("cancel", run, "--rule", "other", "--yes").status == 0
    assert going.status()["state"] == "detached", "others go on"
    assert going("cancel", run, "--yes").status == 0
    [row] = json.loads(going("runs", "--json").out)["runs"]
    assert row["state"] == "cancelled"
    assert f"Run {run} was cancelled" in going("status").out
    assert record.stat().st_mtime_ns == age, "it is not the newest for that"
    assert f"Run {run} was cancelled" in going("status", "--without-record").out
    record.write_bytes(detached)  # it was cancelled on another machine
    assert f"Run {run} was cancelled" in going("status").out


def test_what_cannot_be_aborted_is_told(going: Going) -> None:
    going.process.kill()
    going.process.wait(TIMEOUT)
    path = "/v2/tasks/.*/actions/abort"
    going.server.control("faults", [{"do": "status", "path": path, "status": 503, "times": 1000}])
    result = going("cancel", going.status()["run"], "--yes")
    assert result.status == 4, result
    assert "these have not stopped; they may go on" in result.err
    assert result.out.count("/tasks/") == 3
    assert going.running() >= 4
    assert going.server.struck("status") > 1


def test_without_an_answer_it_is_not_known_how_a_killed_run_stands(going: Going) -> None:
    going.process.kill()
    going.process.wait(TIMEOUT)
    environment = {"SB_AUTH_TOKEN": "", "HOME": "/nonexistent"}
    result = going.server.command(COMMAND, "status", environment=environment, cwd=going.directory)
    assert result.status == 4, result
    assert "What has become of the tasks that were left is not known: no API token" in result.err
    assert result.err.count("\n") == 1


def test_watching_ends_by_ctrl_c_in_one_line_and_with_the_run(going: Going) -> None:
    ours, theirs = pty.openpty()
    watching = going.start("status", "--watch", terminal=theirs)
    os.close(theirs)
    shown = b""
    while b"slow [x=2]" not in shown:
        shown += os.read(ours, 65536)
    watching.send_signal(signal.SIGINT)
    with suppress(OSError):
        while os.read(ours, 65536):
            pass
    _, errors = watching.communicate(timeout=TIMEOUT)
    assert (watching.returncode, errors) == (130, "snakemake-cavatica: interrupted\n")

    following = going.start("status", "--watch")
    assert following.stdout is not None
    assert "CAVATICA: " in following.stdout.readline()
    going.process.send_signal(signal.SIGINT)
    out, errors = following.communicate(timeout=TIMEOUT)
    assert following.returncode == 3, errors
    assert " was cancelled " in out.splitlines()[-1]
    assert errors == ""


def test_a_run_in_the_background_that_ignores_ctrl_c_is_interrupted_all_the_same(
    server: Server, tmp_path: Path
) -> None:
    def by_a_script() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)

    going = begin(server, tmp_path / "workflow", signals=by_a_script)
    try:
        going.begun()
        result = going("cancel", going.status()["run"], "--interrupt", "--yes")
        assert result.status == 0, result
        assert going.process.wait(TIMEOUT) != 0
        assert "RUNNING" not in going.states().values()
        assert going.status()["state"] == "cancelled"
    finally:
        going.process.kill()
