"""`snakemake-cavatica clean`: what goes, what stays, and what it says about both."""

from __future__ import annotations

import math
import os
import pty
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from command_runs import CLEAN, RUN, TIMEOUT, Serve, Server

from snakemake_executor_cavatica.api import Task
from snakemake_executor_cavatica.commands import clean, cleaning
from tests import warm_start

OTHER_RUN = "20260202-120000-fedcba"
CHECKSUM = "0123456789abcdef"
CHAIN = """
rule all:
    input: "b.txt"

rule a:
    input: "in.txt"
    output: "a.txt"
    shell: "cat {input} {input} > {output}"

rule b:
    input: "a.txt"
    output: "b.txt"
    shell: "cp {input} {output}"
"""


def leavings(server: Server, run: str = RUN) -> None:
    """Everything that a run can leave."""
    server.put(f"snakemake/inputs/{CHECKSUM}-in.txt", "input")
    server.put(f"snakemake/inputs/{CHECKSUM * 2}-sources.tar", "sources")
    server.put("snakemake/references/" + "a" * 24 + "-genome.fa", "ACGT")
    server.put(f"snakemake/environments/{CHECKSUM * 2}.tar", "conda")
    server.put(f"snakemake/runs/{run}/deep/er/out.txt", "output")
    server.draft(run)


def until(server: Server, task: Task, *statuses: str) -> None:
    end = time.monotonic() + 30
    while server.status(task) not in statuses:
        assert time.monotonic() < end, server.status(task)
        time.sleep(0.1)


@pytest.fixture
def left(server: Server) -> Server:
    """A server where a run has left everything that it can leave."""
    leavings(server)
    return server


def test_a_dry_run_lists_everything_and_deletes_nothing(left: Server) -> None:
    before = len(left.requests())
    result = left.clean("--dry-run")
    assert result.status == 0, result
    for part in (f"runs/{RUN}", "inputs", "references", "environments"):
        assert f"  snakemake/{part} " in result.out, result
    assert "2 files, < 0.01 GB" in result.out
    assert f"(run {RUN})" in result.out
    assert "the API cannot delete them" in result.out
    assert "Nothing was deleted" in result.out
    assert all(one["method"] == "GET" for one in left.requests()[before:])
    assert left.names("snakemake") == {"environments", "inputs", "references", "runs"}


def test_everything_goes_and_the_folder_with_it(left: Server) -> None:
    mine = left.put("results/in.txt", "mine")
    foreign = left.draft(None)
    result = left.clean("--yes")
    assert result.status == 0, result
    assert "Deleted 1 drafts" in result.out
    assert left.find("snakemake") is None
    assert left.client.get_file(mine.id).name == "in.txt"
    assert [task.id for task in left.client.list_tasks(project=left.project)] == [foreign.id]
    again = left.clean("--yes")
    assert again.status == 0, again
    assert "There is nothing to delete." in again.out


def test_without_a_terminal_and_without_yes_it_refuses(left: Server) -> None:
    result = left.clean()
    assert result.status == 1
    assert result.err.startswith("snakemake-cavatica: There is no terminal to ask on")
    assert result.err.count("\n") == 1
    assert left.names("snakemake") == {"environments", "inputs", "references", "runs"}


@pytest.mark.parametrize(("answer", "goes"), [("y", True), ("n", False), ("", False)])
def test_at_a_terminal_it_asks(left: Server, answer: str, goes: bool) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", *CLEAN],
        env=left.environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        text=True,
    )
    os.write(ours, f"{answer}\n".encode())
    out, _ = process.communicate(timeout=TIMEOUT)
    assert "Delete 1 drafts and 5 files, < 0.01 GB? It cannot be undone. [y/N]" in out
    assert process.returncode == (0 if goes else 1)
    assert (left.find("snakemake") is None) is goes


def test_a_task_that_starts_while_the_user_thinks(left: Server) -> None:
    """What was agreed to may not be right any more."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", *CLEAN],
        env=left.environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    while "Apps page." not in process.stdout.readline():
        assert process.poll() is None
    left.client.run_task(left.draft(OTHER_RUN).id)
    os.write(ours, b"y\n")
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert "1 tasks of the plugin were started in the meantime" in errors
    assert left.names("snakemake") == {"environments", "inputs", "references", "runs"}


def test_sizes_do_not_cost_more_than_their_share(
    left: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with thousands of folders would use up the rate limit: then it is `at least`."""
    monkeypatch.setattr(clean, "_LISTING_CALLS", 2)
    plan = clean.survey(left.client, clean.CleanRequest(left.project))
    exact = {item.label: item.exact for item in plan.to_delete}
    assert exact[f"snakemake/runs/{RUN}"] is False
    assert exact["snakemake/inputs"] is True


def test_what_is_old_is_told_by_the_clock_of_the_platform(left: Server) -> None:
    """Protects what was made just now from a machine whose clock is weeks ahead."""
    week = clean.CleanRequest(left.project, older_than=timedelta(days=7))

    def old() -> set[str]:
        return {item.label for item in clean.survey(left.client, week).to_delete}

    assert "snakemake/inputs" not in old()
    clock = left.client.transport.clock
    clock._ahead, clock._good_until = timedelta(days=30), math.inf
    assert "snakemake/inputs" in old()


def test_what_was_not_looked_into_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Not `at least 0 files` for each."""
    counted = clean.ToDelete("snakemake/runs/0", (), ("a",), 3, 5, exact=False)
    others = [replace(counted, label=f"snakemake/runs/{n}", count=0, size=0) for n in range(1, 12)]
    empty = replace(counted, label="snakemake/inputs", count=0, size=0, exact=True)
    cleaning._show(clean.Survey(to_delete=[counted, *others, empty]))
    out = capsys.readouterr().out
    assert out.count("at least") == 1
    assert "and 11 that were not looked into: snakemake/runs/1 to snakemake/runs/11" in out
    assert "snakemake/inputs   0 files" in out


def test_a_run_that_has_left_nothing_is_named(left: Server) -> None:
    unknown = "20200101-000000-aaaaaa"
    result = left.clean("--dry-run", "--runs", unknown, RUN)
    assert f"There is nothing of a run {unknown} (--runs)." in result.out
    assert f"nothing of a run {RUN}" not in result.out
    assert f"runs/{RUN}" in result.out


def test_a_platform_that_does_not_know_every_status(left: Server) -> None:
    """The documented statuses to list by lack CREATING."""
    refusal = {"do": "status", "path": "status=CREATING", "status": 400, "code": 7006}
    left.control("faults", [refusal])
    assert left.clean("--yes").status == 0
    assert left.struck("status") >= 1
    assert left.find("snakemake") is None


def test_the_embedded_platform_of_a_directory(server: Server, tmp_path: Path) -> None:
    environment = {"SNAKEMAKE_CAVATICA_PROJECT": ""}
    result = server.clean("--api-endpoint", "local", environment=environment, cwd=tmp_path)
    assert result.status == 0, str(result)
    assert "There is nothing to delete." in result.out
    assert not server.requests()


def test_what_the_plugin_did_not_make_stays(left: Server) -> None:
    """People choose the folder: what else is in it is theirs."""
    left.put("snakemake/inputs/reads.fastq", "mine")
    left.put("snakemake/references/genome.fa", "mine")
    left.put("snakemake/runs/notes.txt", "mine")
    left.put("snakemake/runs/99999999-999999-abcdef/x", "mine")
    result = left.clean("--yes")
    assert result.status == 0, result
    assert "snakemake/inputs: 1 entries were not made by the plugin" in result.out
    assert left.names("snakemake/inputs") == {"reads.fastq"}
    assert left.names("snakemake/references") == {"genome.fa"}
    assert left.names("snakemake/runs") == {"notes.txt", "99999999-999999-abcdef"}


@pytest.mark.parametrize("folder", ["", "/", "..", "a/../b", "."])
def test_the_whole_project_is_no_folder(left: Server, folder: str) -> None:
    result = left.clean("--yes", "--folder", folder)
    assert result.status == 1
    assert "is not the path of a folder" in result.err


def test_another_folder_with_a_name_that_is_encoded(server: Server) -> None:
    server.put(f"my_.20runs/deep/inputs/{CHECKSUM}-in.txt")
    result = server.clean("--yes", "--folder", "my runs/deep")
    assert result.status == 0, result
    assert server.find("my runs/deep") is None
    assert server.find("my runs") is not None


def test_only_certain_runs(left: Server) -> None:
    leavings_of_other = left.put(f"snakemake/runs/{OTHER_RUN}/out.txt")
    draft = left.draft(OTHER_RUN)
    result = left.clean("--yes", "--runs", RUN, "20250101-000000-000000")
    assert result.status == 0, result
    assert "all runs share it" in result.out
    assert left.names("snakemake/runs") == {OTHER_RUN}
    assert left.names("snakemake/inputs") == {
        f"{CHECKSUM}-in.txt",
        f"{CHECKSUM * 2}-sources.tar",
    }
    assert left.client.get_file(leavings_of_other.id).name == "out.txt"
    assert [task.id for task in left.client.list_tasks(project=left.project)] == [draft.id]


def test_only_what_is_old(left: Server) -> None:
    """Run folders by their run, all else by its own age."""
    young = time.strftime("%Y%m%d-%H%M%S-abcdef", time.gmtime())
    left.put(f"snakemake/runs/{young}/out.txt")
    result = left.clean("--yes", "--older-than", "1")
    assert result.status == 0, result
    assert left.names("snakemake/runs") == {young}
    assert left.names("snakemake") == {"environments", "inputs", "references", "runs"}
    assert len(list(left.client.list_tasks(project=left.project))) == 1


def test_only_the_old_ones_of_the_inputs(left: Server) -> None:
    time.sleep(6)
    left.put("snakemake/inputs/" + "b" * 16 + "-new.txt")
    result = left.clean("--yes", "--older-than", str(5 / 86400))
    assert result.status == 0, result
    assert "snakemake/inputs (in part)" in result.out
    assert left.names("snakemake/inputs") == {"b" * 16 + "-new.txt"}


@pytest.mark.parametrize("days", ["-1", "two", "inf", "nan"])
def test_days_that_are_none(server: Server, days: str) -> None:
    result = server.clean(f"--older-than={days}")
    assert result.status == 2
    assert "days" in result.err


def test_a_running_task_is_listed_and_keeps_what_it_may_need(left: Server) -> None:
    left.put(f"snakemake/runs/{OTHER_RUN}/out.txt")
    task = left.client.run_task(left.draft(OTHER_RUN).id)
    until(left, task, "RUNNING")
    waiting = left.draft(OTHER_RUN)
    result = left.clean("--yes")
    assert result.status == 0, result
    assert f"task {task.id} (sleep): it is " in result.out
    assert f"snakemake/runs/{OTHER_RUN}: tasks of this run are queued or running" in result.out
    assert "snakemake/inputs: 1 tasks of the plugin are queued or running" in result.out
    assert left.names("snakemake") == {"environments", "inputs", "references", "runs"}
    assert left.names("snakemake/runs") == {OTHER_RUN}
    assert left.status(waiting) == "DRAFT"
    assert left.status(task) in ("RUNNING", "QUEUED")
    left.client.abort_task(task.id)
    until(left, task, "ABORTED")
    assert left.clean("--yes").status == 0
    assert left.find("snakemake") is None
    assert left.status(task) == "ABORTED"


def test_a_queued_task_counts_as_well(serve: Serve) -> None:
    server = serve("--start-delay", "60")
    leavings(server)
    task = server.client.run_task(server.draft().id)
    assert "tasks of this run are queued or running" in server.clean("--yes").out
    assert server.status(task) == "QUEUED"
    assert server.find(f"snakemake/runs/{RUN}/deep") is not None


def test_files_that_any_running_task_uses_stay(left: Server) -> None:
    """Also a task that the plugin did not start, and however deep the file lies."""
    used = [left.find(f"snakemake/runs/{RUN}/deep/er/out.txt")]
    used += [left.find(f"snakemake/inputs/{CHECKSUM}-in.txt")]
    files = [file for file in used if file is not None]
    assert len(files) == 2
    left.put(f"snakemake/runs/{OTHER_RUN}/out.txt")
    left.client.run_task(left.draft(None, files=files).id)
    result = left.clean("--yes")
    assert result.status == 0, result
    assert f"snakemake/runs/{RUN}: a task that is queued or running uses a file in it" in result.out
    assert left.names("snakemake/runs") == {RUN}
    assert left.names("snakemake/inputs") == {f"{CHECKSUM}-in.txt"}
    assert left.names("snakemake") == {"inputs", "runs"}


def test_finished_tasks_stay(server: Server) -> None:
    task = server.client.run_task(server.draft(seconds=0).id)
    until(server, task, "COMPLETED")
    result = server.clean("--yes")
    assert "There is nothing to delete." in result.out
    assert server.status(task) == "COMPLETED"


def test_calls_are_few(server: Server) -> None:
    """Sizes cost a listing per folder, deletions a job for all folders."""
    for number in range(20):
        server.put(f"snakemake/runs/20260101-1200{number:02}-abcdef/out.txt")
        server.put("snakemake/inputs/" + f"{number:016}-in.txt")
    before = len(server.requests())
    assert server.clean("--yes").status == 0
    calls = [f"{one['method']} {one['path']}" for one in server.requests()[before:]]
    assert len(calls) < 50, calls
    assert calls.count("POST /v2/async/files/delete") == 1


def test_what_could_not_be_deleted_is_told(left: Server) -> None:
    """Also if the platform says that it has done it."""
    path = "/v2/async/files/delete"
    left.control("faults", [{"do": "status", "path": path, "status": 403, "code": 5001}])
    result = left.clean("--yes")
    assert result.status == 1, result
    assert "these could not be deleted" in result.err
    assert f"snakemake/runs/{RUN}: " in result.err
    assert "Deleted 1 drafts." in result.out
    assert left.names("snakemake") == {"environments", "inputs", "references", "runs"}


def test_the_mistakes_of_users(server: Server, tmp_path: Path) -> None:
    for arguments, environment, text in (
        (["--project", "nobody/nothing"], {}, "There is no project nobody/nothing"),
        (["--project", "project"], {}, "is not of the form owner/project"),
        ([], {"SNAKEMAKE_CAVATICA_PROJECT": ""}, "No project is named"),
        ([], {"SB_AUTH_TOKEN": "wrong"}, "401"),
        ([], {"SB_AUTH_TOKEN": "", "HOME": str(tmp_path)}, "no API token was found"),
        (["--credentials-profile", "none"], {"HOME": str(tmp_path)}, "no profile 'none'"),
        (["--api-endpoint", "http://example.org/v2"], {}, "unencrypted"),
    ):
        result = server.clean(*arguments, environment=environment)
        assert result.status == 1, result
        assert text in result.err, result
        assert result.err.count("\n") == 1, result


def test_after_a_clean_the_next_run_uploads_again(server: Server, tmp_path: Path) -> None:
    """The local record of this machine notices that its ids are gone."""
    here = tmp_path / "workflow"
    here.mkdir()
    (here / "Snakefile").write_text(CHAIN)
    (here / "in.txt").write_text("input\n")
    snakemake = ("snakemake", "--executor", "cavatica", "--jobs", "2", "--latency-wait", "2")
    first = server.command(*snakemake, cwd=here)
    assert first.status == 0, str(first)
    assert server.clean("--yes").status == 0
    assert server.find("snakemake") is None
    # `a` needs an input that was uploaded, `b` an output that only lay in the run's folder.
    for gone in ("b.txt", "a.txt"):
        (here / gone).unlink()
        result = server.command(*snakemake, gone, cwd=here)
        assert result.status == 0, result
        assert (here / gone).read_text() == "input\ninput\n"
    assert any("a.txt" in name for name in server.names("snakemake/inputs"))
    assert any("in.txt" in name for name in server.names("snakemake/inputs"))


def test_a_run_that_is_fetching_its_results_is_left_alone(tmp_path: Path, server: Server) -> None:
    """None of its tasks runs any more, but their outputs are still needed."""
    here = tmp_path / "workflow"
    here.mkdir()
    (here / "Snakefile").write_text('rule a:\n    output: "a.txt"\n    shell: "echo a > a.txt"\n')
    slow = {"method": "GET", "path": ".*/download_info$", "do": "delay", "seconds": 8}
    server.control("faults", [slow])
    command = [sys.executable, "-m", "snakemake", "--executor", "cavatica", "--jobs", "1"]
    process = warm_start.Popen(
        [*command, "--cavatica-project", server.project],
        cwd=here,
        env=server.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    end = time.monotonic() + 60
    while not server.struck("delay"):  # the run has noticed, and waits for the download
        assert time.monotonic() < end
        time.sleep(0.1)
    result = server.clean("--yes")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert (here / "a.txt").read_text() == "a\n"
    assert "the run has not ended" in result.out, result
    server.control("faults", [])
    assert server.clean("--yes").status == 0
    assert server.find("snakemake") is None, "afterwards everything goes, the journal included"


def test_the_journal_of_a_killed_run_goes_when_the_run_is_named(left: Server) -> None:
    left.put(f"snakemake/under-way-{RUN}", "its journal")
    kept = left.clean("--yes")
    assert f"say so with --runs {RUN}" in kept.out, kept
    assert {"runs", "inputs", "references", f"under-way-{RUN}"} <= left.names("snakemake")
    assert left.clean("--yes", "--runs", RUN).status == 0
    assert f"under-way-{RUN}" not in left.names("snakemake")
    assert left.clean("--yes").status == 0
    assert left.find("snakemake") is None
