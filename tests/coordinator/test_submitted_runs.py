"""A run whose main process is a task: it needs this machine no more, and gives no token away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from submitted_runs import (
    COMMAND,
    HOME,
    TIMEOUT,
    Submitted,
    command,
    coordinators,
    kill,
    live_tasks,
    moment,
    new_workflow,
    private_files,
    processes_with,
    secrets_in,
    submit,
    tasks_of,
    texts_of,
    troubles,
)

from snakemake_executor_cavatica.observe.lines import run_line
from snakemake_executor_cavatica.observe.record import RECORD, RUNS
from snakemake_executor_cavatica.project.connection import LOCAL_ROOT
from tests.made_runs import RUN, made_run
from tests.workflow.workflow_runs import Platform, Result, Workflow, until

AS_SOMEBODY = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
PLUGINS = Path(__file__).parents[1] / "workflow" / "plugins"


@dataclass
class Finished:
    """A run that has ended, and what was seen of its token meanwhile."""

    workflow: Workflow
    submitted: Submitted
    shown: list[str]
    """Places where the token was seen that others can look at."""
    kept: list[Path]
    """Files of this machine that held it."""


@pytest.fixture(scope="module")
def finished(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Submitted from a folder that is removed right after."""
    own, folder = platform.fresh(), tmp_path_factory.mktemp("run")
    workflow = new_workflow(folder, own)
    submitted = submit(workflow, keep=False)
    shown: set[str] = set()
    kept: set[Path] = set()
    while not submitted.has_ended:
        shown |= set(processes_with(own.token, but=own.process.pid))
        for place in tmp_path_factory.getbasetemp().glob(f"platform*/executions/{submitted.task}"):
            kept |= private_files(place / "tmp", own.token)
        time.sleep(0.2)
    return Finished(workflow, submitted, sorted(shown), sorted(kept))


def test_results_are_those_of_the_workflow(finished: Finished) -> None:
    assert finished.submitted.status == "COMPLETED"
    assert not finished.workflow.directory.exists()
    finished.workflow.directory.mkdir(exist_ok=True)
    assert finished.workflow.read("all.txt") == "0\n1\n2\n"
    finished.workflow.directory.joinpath(".test-read").unlink()
    finished.workflow.directory.rmdir()
    names = sorted(task.name for task in tasks_of(finished.submitted.platform))
    assert len(names) == 7, names


def test_the_token_is_nowhere(finished: Finished) -> None:
    """Not in processes, nor in anything that members of either project can read, once it runs."""
    own = finished.submitted.platform
    assert finished.shown == []
    assert finished.kept, "it was looked for in the wrong place"
    with own.client() as client:
        for project in (own.project, HOME):
            texts = texts_of(client, project)
            assert len(texts) > 7, texts.keys()
            assert secrets_in(texts, own.token) == []
            for name in (finished.submitted.run, "TOKEN_FILE") if project == own.project else ():
                assert any(name in text for text in texts.values()), "the search finds nothing"


def test_it_is_told_from_another_machine(finished: Finished) -> None:
    run = finished.submitted
    told = run.json("status")
    assert (told["state"], told["source"]) == ("done", "platform")
    assert [rule["done"] for rule in told["rules"]] == [3, 3, 1]
    assert told["command"].startswith("snakemake --executor cavatica"), told["command"]
    cost = run.json("cost")
    rules = {rule["rule"]: rule for rule in cost["rules"]}
    assert rules["(coordinator)"]["attempts"] == 1
    assert rules["(coordinator)"]["known"] > 0
    assert cost["all"]["known"] == pytest.approx(sum(rule["known"] for rule in rules.values()))
    assert told["cost"]["known"] == cost["all"]["known"]
    log = run.command("logs", "--follow")
    assert log.status == 0
    assert "9 of 9 steps (100%) done" in log.output
    folder = f"{run.home}/runs/{run.run}"
    assert f"report is in the folder {folder} of the platform;" in log.output, "not on this disk"
    report = run.elsewhere / "report.html"
    assert run.command("report", "--output", str(report)).status == 0
    assert run.run in report.read_text()


def test_to_cancel_what_has_ended_takes_no_answer(finished: Finished) -> None:
    """Protects scripts: nothing is aborted, so that there is nothing to agree to."""
    told = finished.submitted.command("cancel")
    assert told.status == 0, told.output
    run = finished.submitted.run
    assert f"There is nothing to abort: no task of the run {run} goes on." in told.output


def test_a_second_time_there_is_nothing_to_do(finished: Finished, place: Path) -> None:
    """With the metadata of the first: a changed rule runs again, and nothing else does."""
    own = finished.submitted.platform
    workflow = new_workflow(place, own)
    workflow.folder = finished.workflow.folder
    snakefile = workflow.directory / "Snakefile"
    snakefile.write_text(snakefile.read_text().replace("sleep 0.3; cat", "cat"))
    before = {task.id for task in tasks_of(own)}
    done = command(own, "submit", "--follow", "--", *workflow.arguments(), cwd=workflow.directory)
    assert done.status == 0, done.output
    ran = sorted(task.name.partition(" ")[0] for task in tasks_of(own) if task.id not in before)
    assert ran == ["join", "second", "second", "second"], done.output


def test_who_follows_it_waits_until_an_outage_is_over(fresh: Platform, place: Path) -> None:
    """Protects those who follow a run of hours on a laptop: its network comes and goes."""
    run = submit(new_workflow(place, fresh))
    following = subprocess.Popen(
        [*COMMAND, "logs", "--follow", run.run],
        cwd=run.elsewhere,
        env={**os.environ, "SB_API_ENDPOINT": fresh.endpoint, "SB_AUTH_TOKEN": fresh.token},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert following.stdout is not None
    first = following.stdout.readline()
    try:
        fresh.inject({"do": "drop-before", "path": f"/v2/tasks/{run.task}"})
        until(lambda: any(one["fault"] for one in fresh.requests()))
        time.sleep(5)
    finally:
        fresh.inject()
    output = first + following.communicate(timeout=TIMEOUT)[0]
    assert following.returncode == 0, output
    assert "9 of 9 steps (100%) done" in output


def test_it_is_the_newest_run_of_the_directory_that_it_was_submitted_from(
    fresh: Platform, place: Path
) -> None:
    """Protects who has lost the id: an older run was told instead, as if it were this one."""
    workflow = new_workflow(place, fresh)
    record = workflow.directory / RUNS / RUN / RECORD
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps(run_line(made_run(3).runs[0])) + "\n")
    run = submit(workflow)

    def told(*words: str, **environment: str) -> Result:
        return command(fresh, *words, cwd=workflow.directory, environment=environment)

    away = told("runs", SB_AUTH_TOKEN="", HOME="/nonexistent")
    assert away.status == 0
    _, _, rows = away.output.partition("COMMAND\n")
    assert [row.split()[0] for row in rows.splitlines()] == [run.run, RUN]
    assert rows.split()[1] == "unknown"
    assert "`snakemake-cavatica status RUN` asks it." in away.output
    away = told("status", SB_AUTH_TOKEN="", HOME="/nonexistent")
    assert away.status == 1
    assert f"The newest run here is {run.run}, which was submitted to {fresh.endpoint}" in (
        away.output
    )
    assert run.wait() == "COMPLETED"
    assert f"Run {run.run} has ended well" in told("status").output
    assert told("report").status == 0
    assert run.run in (workflow.directory / "cavatica-report.html").read_text()
    os.utime(record)
    assert f"Run {RUN} " in told("status").output, "it was written to since"


# ------------------------------------------------------------------------------ killed, cancelled


@pytest.mark.parametrize("seed", [0, 1])
def test_a_killed_one_is_gone_on_with(fresh: Platform, place: Path, seed: int) -> None:
    workflow = new_workflow(place, fresh)
    first = submit(workflow)
    seconds, way = moment(seed, 7.0)
    time.sleep(seconds)
    kill(first, way, lambda: None)
    until(lambda: first.has_ended)
    second = submit(workflow)
    assert second.wait() == "COMPLETED", second.command("logs", "--follow").output
    assert workflow.read("all.txt") == "0\n1\n2\n"
    assert troubles(fresh) == []


def test_cancel_leaves_nothing_running(fresh: Platform, place: Path) -> None:
    run = submit(new_workflow(place, fresh), "--config", "jobs=12")
    until(lambda: len(tasks_of(fresh)) > 3)
    told = run.command("cancel", "--yes")
    assert told.status == 0, told.output
    assert live_tasks(fresh) == []
    assert run.status == "ABORTED"
    assert run.json("status")["state"] == "cancelled"


def test_a_failure_is_the_task_s(fresh: Platform, place: Path) -> None:
    """What it has to say is there nevertheless: the platform collects nothing of such a task."""
    workflow = new_workflow(place, fresh)
    workflow.write(
        {"Snakefile": 'rule bad:\n    output: "x"\n    shell: "echo so-it-is >&2; false"'}
    )
    done = command(fresh, "submit", "--follow", "--", *workflow.arguments(), cwd=workflow.directory)
    assert done.status == 3, done.output
    assert "so-it-is" in done.output
    run = done.output.split("Run ")[1].split(":")[0]
    failed = command(fresh, "status", run, cwd=place)
    assert failed.status == 3
    assert "has ended, and jobs have failed" in failed.output


def test_files_and_folders_may_be_anywhere(fresh: Platform, place: Path) -> None:
    """Snakefile, working directory, configuration and profile, seen from still another folder; and
    data, which stay where they are, but which the workflow finds by their names.
    """
    workflow = new_workflow(place, fresh)
    workflow.write(
        {
            "parts/Snakefile": """
            configfile: "../config/base.yaml"
            rule x:
                output: config["name"]
                params: words=[config["word"], *glob_wildcards("reads/{name}.fastq").name]
                script: "x.py"
            """,
            "parts/x.py": 'open(snakemake.output[0], "w").write(str(snakemake.params.words))',
            "config/base.yaml": "word: none",
            "config/more.yaml": "word: some",
            "work/reads/in_the_storage.fastq": "",
            "profile/config.yaml": "config: [name=a.txt]",
        }
    )
    here = place / "somewhere" / "else"
    here.mkdir(parents=True)
    folder = workflow.directory
    words = ["--snakefile", f"{folder}/parts/Snakefile", "--directory", f"{folder}/work"]
    words += ["--configfile", f"../../{folder.name}/config/more.yaml"]
    words += ["--profile", f"{folder}/profile"]
    done = command(fresh, "submit", "--follow", "--", *workflow.arguments(), *words, cwd=here)
    assert done.status == 0, done.output
    assert workflow.read("a.txt") == "['some', 'in_the_storage']"


def test_modules_of_a_repository_of_this_machine_go_along(fresh: Platform, place: Path) -> None:
    """To the main process and to the tasks that parse the workflow again; neither has that."""
    workflow = new_workflow(place, fresh)
    repository = place / "repository"
    (repository / "module/scripts").mkdir(parents=True)
    module = """
rule word:
    output: "word.txt"
    run: open(output[0], "w").write("of the module")
rule script:
    input: "word.txt"
    output: "script.txt"
    script: "scripts/x.py"
"""
    (repository / "module/Snakefile").write_text(module)
    script = "open(snakemake.output[0], 'w').write(open(snakemake.input[0]).read())\n"
    (repository / "module/scripts/x.py").write_text(script)
    for words in (
        ["init", "-q"],
        ["add", "."],
        [*AS_SOMEBODY, "commit", "-qm", "x"],
        ["tag", "v1"],
    ):
        subprocess.run(["git", *words], cwd=repository, check=True)
    workflow.write(
        {
            "Snakefile": """
            import os
            module elsewhere:
                snakefile: f"git+file://{os.path.dirname(os.getcwd())}/repository/module/Snakefile@v1"
            use rule * from elsewhere as elsewhere_*
            """
        }
    )
    submitted = submit(workflow, "script.txt", keep=False)
    shutil.rmtree(repository)
    until(lambda: submitted.has_ended)
    assert submitted.status == "COMPLETED"
    workflow.directory.mkdir()
    assert workflow.read("script.txt") == "of the module"


# ----------------------------------------------------------------------------------- refused here


def refused(workflow: Workflow, *arguments: str, **environment: str) -> str:
    done = command(
        workflow.platform,
        "submit",
        "--",
        *arguments,
        cwd=workflow.directory,
        environment=environment,
    )
    assert done.status != 0, done.output
    assert not any(workflow.folder in task.description for task in coordinators(workflow.platform))
    return done.output


def test_what_only_this_machine_can_do_is_refused(fresh: Platform, place: Path) -> None:
    workflow = new_workflow(place, fresh)
    workflow.write(
        {
            "Snakefile": """
            rule here:
                input: storage.shelf("shelf://a.txt")
                output: local("b.txt")
                shell: "touch {output}"
            """
        }
    )
    (place / "a.txt").write_text("a")
    shelf = {"PYTHONPATH": str(PLUGINS), "SNAKEMAKE_STORAGE_SHELF_ROOT": str(place)}
    told = refused(workflow, *workflow.arguments(), **shelf)
    assert "rule here: b.txt is a file of this machine" in told
    assert "rule here: shelf://a.txt is in another storage (shelf)" in told
    transfer = Workflow(workflow.directory, fresh, "transfer")
    told = refused(transfer, *transfer.arguments(), **shelf)
    assert "--default-storage-provider cavatica" in told
    told = refused(workflow, *workflow.arguments(), "--cavatica-api-endpoint", "local", **shelf)
    assert "local is a platform that ends with the command" in told
    assert not (workflow.directory / LOCAL_ROOT).exists(), "none was started to be asked"
    told = refused(workflow, *workflow.arguments(), "-n", **shelf)
    assert "something else than a run" in told
    told = refused(workflow, *workflow.arguments(), "--persistence-backend", "db", **shelf)
    assert "--persistence-backend file goes along" in told
