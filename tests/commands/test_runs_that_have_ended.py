"""What the commands tell of a run that has ended: by its record, or by the platform alone."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command_runs import TIMEOUT, Result, Server

from snakemake_executor_cavatica.api import CAVATICA
from snakemake_executor_cavatica.observe.attempts_of_tasks import MOST_DETAILS
from snakemake_executor_cavatica.observe.entries import RECORD_VERSION, Attempt, Status
from snakemake_executor_cavatica.observe.record import RECORD, Record, find_record, read_record
from snakemake_executor_cavatica.observe.trace import trace
from snakemake_executor_cavatica.project.local_platform import served
from tests import warm_start

COMMAND = "snakemake_executor_cavatica.commands.main"
ANOTHER_RUN = "20200101-000000-aaaaaa"
SNAKEFILE = """
rule all:
    input: expand("alone/{x}.txt", x=list("AB")), expand("child/{x}.txt", x=list("CDE")), expand("part/{x}.txt", x=list("FGH"))
rule alone:
    output: "alone/{x}.txt"
    log: "logs/alone/{x}.log"
    shell: "echo log of {wildcards.x} > {log}; echo stderr of {wildcards.x} >&2; [ {wildcards.x} != B ]; touch {output}"
rule child:
    input: "in/{x}.txt"
    output: "child/{x}.txt"
    log: "logs/child/{x}.log"
    resources: cavatica_batch="auto"
    shell: "echo log of {wildcards.x} > {log}; echo stderr of {wildcards.x} >&2; [ {wildcards.x} != D ]; touch {output}"
rule part:
    output: "part/{x}.txt"
    log: "logs/part/{x}.log"
    resources: cavatica_pack=3
    shell: "echo log of {wildcards.x} > {log}; echo stderr of {wildcards.x} >&2; [ {wildcards.x} != G ]; touch {output}"
"""  # noqa: E501 - a rule in few lines
STATES = {
    "alone": {"done": 1, "failed": 1},
    "child": {"done": 2, "failed": 1},
    "part": {"done": 2, "failed": 1},
}
FAILED = {"alone": "B", "child": "D", "part": "G"}


@dataclass
class Ended:
    """A run that has ended, and where it ran."""

    server: Server
    directory: Path
    output: str

    @property
    def record(self) -> Record:
        return read_record(find_record(self.directory))

    @property
    def run(self) -> str:
        return self.record.runs[-1].id

    def __call__(self, *arguments: str, cwd: Path | None = None, **environment: str) -> Result:
        return self.server.command(
            COMMAND, *arguments, environment=environment, cwd=cwd or self.directory
        )

    def document(self, *arguments: str, cwd: Path | None = None) -> dict[str, Any]:
        result = self(*arguments, "--json", cwd=cwd)
        document: dict[str, Any] = json.loads(result.out)
        return document

    def attempt(self, x: str) -> Attempt:
        [found] = [one for one in self.record.attempts if one.wildcards.get("x") == x]
        return found


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ended]:
    folder = tmp_path_factory.mktemp("ended")
    server = Server.start(folder / "server", "--price-hour", "0.5")
    directory = folder / "workflow"
    (directory / "in").mkdir(parents=True)
    (directory / "Snakefile").write_text(SNAKEFILE)
    for x in "CDE":
        (directory / f"in/{x}.txt").write_text(x)
    output = server.fail_workflow(directory, "--jobs", "9", "--keep-going")
    yield Ended(server, directory, output)
    server.stop()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A directory on another machine, so to speak: there is no record."""
    return tmp_path


def states_by_rule(document: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {
        rule["rule"]: {state.value: rule[state] for state in Status if rule[state]}
        for rule in document["rules"]
    }


# --------------------------------------------------------------------------------- the record


def test_runs_are_listed(ended: Ended) -> None:
    result = ended("runs")
    assert result.status == 0, result
    header, row = result.out.splitlines()
    assert " ".join(header.split()) == "RUN STATE BEGAN TOOK DONE OF FAILED COST PROJECT COMMAND"
    assert row.startswith(f"{ended.run}  failed ")
    assert row.endswith(" --executor cavatica --jobs 9 --keep-going")
    document = ended.document("runs")
    [run] = document["runs"]
    assert (run["planned"], run["done"], run["failed"], run["attempts"]) == (8, 5, 3, 8)
    assert document["sources"][0]["source"] == "record"


def test_the_status_tells_states_by_rule_and_that_jobs_have_failed(ended: Ended) -> None:
    before = len(ended.server.requests())
    result = ended("status")
    assert result.status == 3, result
    assert f"Run {ended.run} has ended, and jobs have failed" in result.out
    for rule, x in FAILED.items():
        assert f"{rule} [x={x}]  " in result.out
        assert str(ended.attempt(x).page) in result.out
    assert "5 of 8 jobs done, 3 failed; " in result.out
    document = ended.document("status", ended.run[-6:])
    assert states_by_rule(document) == STATES
    assert {rule["planned"] for rule in document["rules"]} == {2, 3}
    assert document["state"] == "failed"
    assert {one["wildcards"]["x"] for one in document["failed"]} == set(FAILED.values())
    assert not document["under_way"]
    assert len(ended.server.requests()) == before, "the record tells all of it"


@pytest.mark.parametrize(("rule", "x"), FAILED.items())
def test_logs_of_what_has_failed(ended: Ended, rule: str, x: str) -> None:
    result = ended("logs", rule)
    assert result.status == 0, result
    lines = result.out.splitlines()
    assert lines[0] == f"=== {rule} [x={x}], attempt 1: failed (command)"
    assert lines[1] == ended.attempt(x).page
    assert lines[2] in ended.output
    command = lines[lines.index("--- command") + 1]
    assert f"echo stderr of {x} >&2" in command
    assert lines[lines.index(f"--- logs/{rule}/{x}.log") + 1] == f"log of {x}"
    assert lines[lines.index("--- stderr") + 1] == f"stderr of {x}"
    assert result.out.count("===") == 1


def test_logs_of_a_run_a_task_and_all_attempts(ended: Ended) -> None:
    assert ended("logs").out.count("=== ") == 3
    assert ended("logs", ended.run).out.count("=== ") == 3
    few = ended("logs", "--most", "1")
    assert few.out.count("=== ") == 1
    assert few.err == "2 more are not shown (--most).\n"
    every = ended.document("logs", "--all", "part")["attempts"]
    assert Counter(one["status"] for one in every) == {"done": 2, "failed": 1}
    for x in "AEFG":
        document = ended.document("logs", str(ended.attempt(x).task))
        [one] = document["attempts"]
        assert one["wildcards"] == {"x": x}
        assert f"echo stderr of {x} >&2" in one["command"]
        assert one["stderr"].strip() == f"stderr of {x}"


def test_logs_without_the_platform_are_those_that_the_run_has_kept(ended: Ended) -> None:
    result = ended("logs", "alone", SB_AUTH_TOKEN="", HOME="/nonexistent")
    assert result.status == 0, result
    assert "stderr of B" in result.out
    assert "--- command" not in result.out
    [line] = result.err.splitlines()
    assert line.startswith("The platform was not asked, so that commands and logs are missing: no")


def test_the_trace_is_that_of_the_record(ended: Ended, elsewhere: Path) -> None:
    expected = trace(ended.record.attempts)
    assert ended("trace").out == expected
    file = elsewhere / "trace.tsv"
    directory = ("--directory", str(ended.directory))
    assert ended("trace", *directory, "-o", "trace.tsv", cwd=elsewhere).status == 0
    assert file.read_text() == expected
    result = ended("trace", "-o", "no/folder/trace.tsv")
    assert (result.status, result.err.count("\n")) == (1, 1)
    assert "cannot be written: No such file or directory." in result.err


# ----------------------------------------------------------------------------------- the cost


def test_the_cost_by_rule_is_that_of_the_record(ended: Ended) -> None:
    document = ended.document("cost")
    record = ended.record
    for rule in document["rules"]:
        prices = [one.price or 0.0 for one in record.attempts if one.rule == rule["rule"]]
        assert rule["known"] == pytest.approx(sum(prices), abs=1e-6)
    lost = [one.price or 0.0 for one in record.attempts if one.status is Status.FAILED]
    whole = document["all"]
    assert whole["without_result"] == pytest.approx(sum(lost), abs=1e-6)
    assert (whole["attempts"], whole["guessed"], whole["currency"]) == (8, 0.0, "USD")
    text = ended("cost").out
    assert whole["known"] > 0.1
    *_, last = text.rstrip().splitlines()
    assert last.split()[:3] == ["all", "8", f"{whole['known']:.2f}"]


def breakdown(server: Server) -> dict[str, float]:
    group = server.client.project(server.project).billing_group
    path = f"/billing/groups/{group}/breakdown/analysis"
    items = server.call(path)["items"]
    return {one["analysis_id"]: float(one["analysis_cost"]["amount"]) for one in items}


def test_the_exact_cost_is_that_of_the_billing_group(ended: Ended) -> None:
    document = ended.document("cost", "--exact")
    assert document["exact"] is True
    assert not document["remarks"]
    amounts = breakdown(ended.server)
    assert document["all"]["known"] == pytest.approx(sum(amounts.values()), abs=1e-5)
    [shown] = re.findall(r"^all +\d+ +([\d.]+)", ended("cost", "--exact").out, re.MULTILINE)
    assert float(shown) == pytest.approx(sum(amounts.values()), abs=1e-5)


def test_the_exact_cost_is_not_for_everybody(ended: Ended) -> None:
    other = ended.server.control("users", {"username": "member"})
    permissions = {"write": True, "read": True, "copy": True, "execute": True, "admin": False}
    member = {"username": "member", "permissions": permissions}
    ended.server.call(f"/projects/{ended.server.project}/members", member)
    result = ended("cost", "--exact", SB_AUTH_TOKEN=other["auth_token"])
    assert result.status == 1, result
    assert result.out == ""
    assert result.err.count("\n") == 1
    assert "Exact amounts are for the admins of the billing group of" in result.err


# ---------------------------------------------------------------------- from another machine


def test_without_a_record_the_platform_tells_the_same(ended: Ended, elsewhere: Path) -> None:
    before = len(ended.server.requests())
    document = ended.document("status", cwd=elsewhere)
    requests = len(ended.server.requests()) - before
    assert document["source"] == "platform"
    assert document["requests"] == requests <= 8
    assert states_by_rule(document) == STATES
    assert document["state"] == "failed"
    assert {one.task for one in ended.record.attempts if one.status is Status.FAILED} == {
        one["task"] for one in document["failed"]
    }
    known = sum(one.price or 0.0 for one in ended.record.attempts)
    assert document["cost"]["known"] == pytest.approx(known, abs=1e-5)
    result = ended("status", ended.run, cwd=elsewhere)
    assert result.status == 3, result
    assert f"As the platform tells it, by {requests} requests." in result.out
    assert "5 jobs done, 3 failed; " in result.out


def test_without_a_record_the_platform_lists_runs(ended: Ended, elsewhere: Path) -> None:
    document = ended.document("runs", cwd=elsewhere)
    [run] = document["runs"]
    assert (run["id"], run["state"]) == (ended.run, "failed")
    [source] = document["sources"]
    assert source["remarks"] == [
        "2 tasks that jobs share were not looked into, and count as one job each."
    ]
    assert source["requests"] <= 5


@pytest.mark.parametrize("x", "ABDFG")
def test_without_a_record_the_logs_of_a_task_are_the_same(
    ended: Ended, elsewhere: Path, x: str
) -> None:
    task = str(ended.attempt(x).task)
    [here] = ended.document("logs", task)["attempts"]
    [there] = ended.document("logs", task, cwd=elsewhere)["attempts"]
    for key in ("task", "command", "stderr", "logs", "status", "rule"):
        assert here[key] == there[key], key


def test_without_a_record_cost_and_trace_are_told_too(ended: Ended, elsewhere: Path) -> None:
    here = {one["rule"]: one["known"] for one in ended.document("cost")["rules"]}
    there = {one["rule"]: one["known"] for one in ended.document("cost", cwd=elsewhere)["rules"]}
    assert there == pytest.approx(here, abs=1e-5)
    rows = list(csv.DictReader(io.StringIO(ended("trace", cwd=elsewhere).out), delimiter="\t"))
    assert Counter(row["status"] for row in rows) == {"COMPLETED": 5, "FAILED": 3}


def test_what_is_not_looked_into_is_told(ended: Ended, elsewhere: Path) -> None:
    assert MOST_DETAILS == 20
    patch = elsewhere / "sitecustomize.py"
    patch.write_text(
        "import snakemake_executor_cavatica.observe.attempts_of_tasks as one\n"
        "one.MOST_DETAILS = 0\n"
        "import snakemake_executor_cavatica.observe.platform_view as other\n"
        "other.MOST_DETAILS, other.MOST_TASKS = 0, 2\n"
    )
    result = ended("status", cwd=elsewhere, PYTHONPATH=str(elsewhere))
    assert "not looked into" in result.err
    assert "Only the newest 2 tasks of the project were looked at." in result.err


# ----------------------------------------------------------------------------------- mistakes


def one_line(result: Result, status: int = 1) -> str:
    assert result.status == status, result
    assert result.err.count("\n") == 1, result
    return result.err


def test_an_unknown_run(ended: Ended, elsewhere: Path) -> None:
    line = one_line(ended("status", ANOTHER_RUN))
    assert f"is about the run {ANOTHER_RUN}; the newest are about {ended.run}." in line
    assert f"None of the 4 tasks that were looked at in the project {ended.server.project}" in line
    line = one_line(ended("status", "--without-record", "abcdef", cwd=elsewhere))
    assert "is of the run abcdef; --project names another project." in line
    line = one_line(ended("logs", "nothing"))
    assert f"nothing is no run, task, or rule of the run {ended.run} (" in line


def test_neither_record_nor_platform(ended: Ended, elsewhere: Path) -> None:
    line = one_line(ended("status", cwd=elsewhere, SB_AUTH_TOKEN="", HOME=str(elsewhere)))
    assert "No run has left a record here" in line
    assert "The platform does not tell of it either: no API token was found" in line
    line = one_line(ended("runs", cwd=elsewhere, SNAKEMAKE_CAVATICA_PROJECT=""))
    assert "No project is named; add --project owner/project." in line
    line = one_line(ended("runs", "-d", "no/folder"))
    assert "--directory no/folder: No such file or directory." in line


def test_no_permission_for_the_project(ended: Ended, elsewhere: Path) -> None:
    other = ended.server.control("users", {"username": "stranger"})
    line = one_line(ended("status", cwd=elsewhere, SB_AUTH_TOKEN=other["auth_token"]))
    assert f"There is no project {ended.server.project} on " in line


@pytest.fixture
def copied(ended: Ended, elsewhere: Path) -> Path:
    """A record that may be changed."""
    shutil.copytree(ended.directory / ".snakemake/cavatica", elsewhere / ".snakemake/cavatica")
    return find_record(elsewhere) / RECORD


def test_a_record_that_is_cut_short(ended: Ended, copied: Path, elsewhere: Path) -> None:
    content = copied.read_bytes()
    copied.write_bytes(content[: len(content) - 40])
    result = ended("runs", cwd=elsewhere)
    assert result.status == 0, result
    assert ended.run in result.out
    assert (
        "is cut short (was the run killed, or the disk full, while it was written?)" in result.err
    )
    copied.write_bytes(b'{"run": {"id"')
    line = one_line(ended("status", cwd=elsewhere))
    assert "does not tell which run it is of. Line 1 of " in line
    assert "; what it told is missing. --without-record asks" in line


def test_a_record_with_values_of_another_kind(ended: Ended, copied: Path, elsewhere: Path) -> None:
    copied.write_bytes(copied.read_bytes().replace(b'"started":', b'"started":"soon","x":'))
    result = ended("runs", cwd=elsewhere)
    assert (result.status, result.err.count("it is left out")) == (0, 1), result
    for command in ("status", "cost", "trace", "logs", "report"):
        assert "of another kind than it should be" in one_line(ended(command, cwd=elsewhere))


def test_a_record_of_a_newer_version(ended: Ended, copied: Path, elsewhere: Path) -> None:
    newer = RECORD_VERSION + 1
    known = f'"version":{RECORD_VERSION}'
    copied.write_text(copied.read_text().replace(known, f'"version":{newer}'))
    line = one_line(ended("status", cwd=elsewhere))
    assert f"has version {newer}, and this version of the plugin reads up to" in line
    result = ended("runs", cwd=elsewhere)
    assert result.status == 0, result
    assert f"has version {newer}" in result.err
    assert ended.run in result.out


def test_the_token_goes_nowhere_because_a_record_says_so(
    ended: Ended, copied: Path, elsewhere: Path
) -> None:
    ours = ended.server.endpoint
    copied.write_text(copied.read_text().replace(ours, CAVATICA))
    before = len(ended.server.requests())
    line = one_line(ended("cost", "--exact", cwd=elsewhere))
    assert f"is on {CAVATICA}, and your token is for {ours}." in line
    assert len(ended.server.requests()) == before


# ----------------------------------------------------------------------- the embedded platform


def test_an_embedded_platform_that_another_process_serves_is_known(
    ended: Ended, elsewhere: Path
) -> None:
    found = served(ended.directory.parent / "server")
    assert found is not None
    assert (found.endpoint, found.token.reveal()) == (ended.server.endpoint, ended.server.token)
    assert found.project == ended.server.project
    shutil.copytree(ended.directory.parent / "server", elsewhere / "gone")
    assert served(elsewhere / "gone") is None
    assert served(elsewhere / "never") is None


def test_an_embedded_platform_that_serves_the_directory_is_asked(
    ended: Ended, copied: Path, elsewhere: Path
) -> None:
    """Protects who serves it by hand, so that the run has not started it, and says `local`."""
    assert copied.is_file()
    (elsewhere / ".cavatica-local").symlink_to(ended.directory.parent / "server")
    nothing = dict.fromkeys(("SB_API_ENDPOINT", "SB_AUTH_TOKEN"), "") | {"HOME": str(elsewhere)}
    for words in ((), ("--api-endpoint", "local")):
        result = ended("logs", "alone", *words, cwd=elsewhere, **nothing)
        assert (result.status, result.err) == (0, ""), result
        assert "--- command" in result.out


def test_the_logs_of_a_run_on_an_embedded_platform_of_its_own(elsewhere: Path) -> None:
    """It has ended with the run, and is started once more."""
    (elsewhere / "Snakefile").write_text(
        'rule a:\n    output: "a"\n    shell: "echo no >&2; false"\n'
    )
    options = ["--executor", "cavatica", "--cavatica-api-endpoint", "local", "--jobs", "1"]
    run = warm_start.Popen([sys.executable, "-m", "snakemake", *options], cwd=elsewhere)
    assert run.wait(TIMEOUT) == 1
    done = subprocess.run(
        [sys.executable, "-m", COMMAND, "logs", "--json"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    [attempt] = json.loads(done.stdout)["attempts"]
    assert attempt["command"] == "echo no >&2; false\n"
    assert attempt["stderr"].strip() == "no"


# ------------------------------------------------------------------------------- run once more


@pytest.mark.parametrize("x", "BDG")
def test_a_task_is_run_again_here(ended: Ended, elsewhere: Path, x: str) -> None:
    task = str(ended.attempt(x).task)
    there = elsewhere / "there"
    result = ended("debug", task, "--containers", "none", "--to", str(there))
    assert result.status == 3, result
    assert "without containers, by what is installed here" in result.out
    assert f"  stderr of {x}\n" in result.out
    assert "It has ended as " in result.out
    work = there / "task/work"
    log = f"logs/{ended.attempt(x).rule}/{x}.log"
    if x != "G":
        assert (work / log).read_text() == f"log of {x}\n"
    assert f"echo stderr of {x} >&2" in (there / "task/snakemake_command.sh").read_text()
    assert f"stderr of {x}" in (there / "stderr").read_text()
    for other in "FH":
        assert f"stderr of {other}" not in (there / "stderr").read_text(), "not of its pack"
    shell = subprocess.run(
        ["sh", str(there / "enter.sh")],
        input="pwd\n",
        env={"SHELL": "/bin/sh"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(shell.stdout.strip()).samefile(there / "task")
    assert not (there / "brought").exists()


def test_what_cannot_be_run_again(ended: Ended, elsewhere: Path) -> None:
    task = str(ended.attempt("B").task)
    assert "is no task: those have ids such as" in one_line(ended("debug", "alone"))
    (elsewhere / "file").write_text("")
    line = one_line(ended("debug", task, "--to", str(elsewhere)))
    assert f"{elsewhere} is not empty; remove it, or name another by --to." in line
    line = one_line(ended("debug", task, "--to", str(elsewhere / "file")))
    assert "cannot be used: Not a directory." in line
    batch = str(ended.attempt("D").parent)
    line = one_line(ended("debug", batch, "--without-record"))
    assert f"{batch} is a batch; name one of its children." in line
    unknown = "00000000-0000-4000-8000-000000000000"
    assert "GET /tasks/" in one_line(ended("debug", unknown))
