"""Traps in Snakemake's executor base classes; each test fails without our remedy against it.

F1  the poll thread starts before `__post_init__`        F7  rule-level retries run inside the task
F2  `active_jobs` is empty during a poll                  F8  SIGTERM waits for running jobs
F3  an error in a poll leaks running jobs                 F9  the task's id is recorded
F4  an error in `run_job` cancels everything              F10 files are staged by the plugin
F5  a job that is not yielded is dropped                  F11 Snakemake's standard flags
F6  `run_jobs` blocks the scheduler                       F12 annotations of the settings
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import re
import signal
import subprocess
import sys
import time
import typing
from collections.abc import Callable
from pathlib import Path

import pytest
from workflow_runs import Platform, Workflow

from snakemake_executor_cavatica.api.call import Call
from snakemake_executor_cavatica.executor import Executor
from snakemake_executor_cavatica.settings import ExecutorSettings, StorageProviderSettings

SLEEPER = """
rule all:
    input: "a.txt", "b.txt"
rule sleeper:
    output: "{x}.txt"
    shell: "sleep 60; touch {output}"
"""


@pytest.fixture
def own(tmp_path: Path, serve: Callable[..., Platform]) -> Workflow:
    """A workflow on a server of its own, where faults disturb nobody."""
    directory = tmp_path / "workflow"
    directory.mkdir()
    return Workflow(directory, serve("--start-delay", "0"))


def task_statuses(workflow: Workflow) -> dict[str, str]:
    with workflow.platform.client() as client:
        return {t.name: t.status for t in client.list_tasks(project=workflow.platform.project)}


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def running(workflow: Workflow) -> int:
    return list(task_statuses(workflow).values()).count("RUNNING")


def test_f1_polling_before_initialisation_does_nothing() -> None:
    """Also the pause between two polls, which we override, must not need anything."""
    executor = Executor.__new__(Executor)

    async def poll() -> list[object]:
        return [info async for info in executor.check_active_jobs([])]

    assert asyncio.run(poll()) == []
    executor.wait = True
    executor.active_jobs = [object()]
    asyncio.run(asyncio.wait_for(executor.sleep(), timeout=5))


def test_f1_a_slow_start_does_not_hang_the_run(own: Workflow) -> None:
    own.write({"Snakefile": 'rule a:\n    output: "a.txt"\n    shell: "touch {output}"\n'})
    slow = {"method": "GET", "path": ".*/projects/.*", "do": "delay", "seconds": 2, "times": 1}
    own.platform.inject(slow)
    own.succeed()
    assert task_statuses(own) == {"a": "COMPLETED"}


def test_f2_ctrl_c_during_a_poll_aborts_every_task(own: Workflow) -> None:
    own.write({"Snakefile": SLEEPER})
    process = own.start()
    wait_for(lambda: running(own) == 2)
    # From now on every poll takes long, so that the interrupt falls into one.
    slow = {"method": "POST", "path": ".*/bulk/tasks/get", "do": "delay", "seconds": 3}
    own.platform.inject(slow)
    wait_for(lambda: any(one["fault"] == "delay" for one in own.platform.requests()))
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "Aborting 2 tasks" in output
    assert set(task_statuses(own).values()) == {"ABORTED"}
    ends = [execution["end"] for execution in own.platform.executions()]
    assert None not in ends, "no command is left running"


def test_f3_an_unexpected_error_in_a_poll_aborts_what_runs(own: Workflow) -> None:
    own.write(
        {
            "Snakefile": SLEEPER,
            "sitecustomize.py": """
            import os
            if "snakemake" in " ".join(__import__("sys").orig_argv):
                import snakemake_executor_cavatica.watch.poller as module
                def broken(answer, plan):
                    if getattr(answer, "status", "") == "RUNNING":
                        raise ZeroDivisionError("a bug in the plugin")
                    return original(answer, plan)
                original, module.outcome = module.outcome, broken
            """,
        }
    )
    result = own.run(environment={"PYTHONPATH": str(own.directory)})
    assert result.status != 0
    assert "a bug in the plugin" in result.output
    assert set(task_statuses(own).values()) == {"ABORTED"}, result.output


def test_f3_errors_of_the_platform_do_not_end_a_poll(own: Workflow) -> None:
    own.write({"Snakefile": SLEEPER.replace("sleep 60", "sleep 3")})
    bad = {"method": "POST", "path": ".*/bulk/.*", "do": "status", "status": 404, "code": 90003}
    process = own.start()
    wait_for(lambda: running(own) == 2)
    own.platform.inject(bad)
    wait_for(lambda: sum(one["fault"] == "status" for one in own.platform.requests()) >= 2)
    own.platform.inject()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "could not be looked at; trying again" in output


def test_f4_a_refused_submission_fails_that_job_only(own: Workflow) -> None:
    own.write(
        {
            "Snakefile": """
            rule all:
                input: "a.txt", "b.txt"
            rule a:
                output: "a.txt"
                container: "docker://alpine:3"
                run: pass
            rule b:
                output: "b.txt"
                shell: "sleep 2; touch {output}"
            """,
        }
    )
    result = own.fail("--keep-going")
    assert (own.directory / "b.txt").exists()
    assert "Rule a cannot run on CAVATICA" in result.output
    assert "run directive" in result.output


def test_f4_a_draft_that_the_platform_refuses_is_retried_like_a_failure(own: Workflow) -> None:
    own.write({"Snakefile": 'rule a:\n    output: "a.txt"\n    shell: "touch {output}"\n'})
    fault = {"method": "POST", "path": ".*/tasks$", "do": "status", "status": 400, "times": 1}
    own.platform.inject({**fault, "code": 7001})
    result = own.succeed("--retries", "1")
    assert "Trying to restart job" in result.output


def test_f5_a_task_that_cannot_be_read_for_a_while_is_not_dropped(own: Workflow) -> None:
    own.write({"Snakefile": SLEEPER.replace("sleep 60", "sleep 1")})
    gone = {"method": "POST", "path": ".*/bulk/tasks/get", "do": "status", "status": 403}
    own.platform.inject({**gone, "code": 90002, "times": 3})
    result = own.succeed()
    assert "could not be looked at; trying again" in result.output
    assert task_statuses(own) == {"sleeper [x=a]": "COMPLETED", "sleeper [x=b]": "COMPLETED"}


def test_f6_submission_does_not_block_the_scheduler(own: Workflow) -> None:
    """Local jobs finish while other jobs are still being submitted."""
    own.write(
        {
            "Snakefile": """
            localrules: quick
            rule all:
                input: "slow.txt", "quick.txt"
            rule slow:
                output: "slow.txt"
                shell: "touch {output}"
            rule quick:
                output: "quick.txt"
                shell: "touch {output}"
            """
        }
    )
    delay = {"method": "POST", "path": ".*/tasks$", "do": "delay", "seconds": 4, "times": 1}
    own.platform.inject(delay)
    own.succeed()
    difference = (own.directory / "slow.txt").stat().st_mtime - (
        own.directory / "quick.txt"
    ).stat().st_mtime
    assert difference > 2


def test_f7_retries_of_a_rule_run_once_each(own: Workflow) -> None:
    own.write(
        {
            "Snakefile": """
            rule a:
                output: "a.txt"
                retries: 2
                run:
                    import sys
                    sys.stderr.write("one execution\\n")
                    raise ValueError("never works")
            """
        }
    )
    own.fail()
    assert len(own.platform.executions()) == 3
    stderr = [path.read_text() for path in (own.directory / ".snakemake/cavatica/logs").iterdir()]
    assert sum(text.count("one execution") for text in stderr) == 3


RETRIED = """
rule all:
    input: "direct.txt", "grouped.txt", "snakemake.txt"
rule direct:
    output: "direct.txt"
    retries: 1
    params: heap=lambda wildcards, resources, threads: (resources.mem_mb - 10, threads)
    threads: lambda wildcards, attempt: attempt
    resources: mem_mb=lambda wildcards, attempt: attempt * 100
    shell: "echo {params.heap} > {output}; test {resources.mem_mb} -ge 200"
use rule direct as grouped with:
    output: "grouped.txt"
    group: "g"
use rule direct as snakemake with:
    output: "snakemake.txt"
    resources: mem_mb=lambda wildcards, attempt: attempt * 100, cavatica_mode="snakemake"
"""


def test_f7_params_are_told_what_the_attempt_has(own: Workflow) -> None:
    """Snakemake keeps those of the first attempt, and works them out anew within a task only."""
    own.write({"Snakefile": RETRIED})
    result = own.run()
    assert result.status == 0, result.output
    for name in ("direct", "grouped", "snakemake"):
        assert own.read(f"{name}.txt") == "190 2\n", name


def test_f8_sigterm_lets_running_jobs_finish_and_starts_no_more(own: Workflow) -> None:
    own.write(
        {
            "Snakefile": """
            rule second:
                input: "first.txt"
                output: "second.txt"
                shell: "touch {output}"
            rule first:
                output: "first.txt"
                shell: "sleep 3; touch {output}"
            """
        }
    )
    process = own.start()
    wait_for(lambda: running(own) == 1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert (own.directory / "first.txt").exists()
    assert task_statuses(own) == {"first": "COMPLETED"}


def test_f9_the_task_is_recorded_with_the_unfinished_job(own: Workflow) -> None:
    own.write({"Snakefile": SLEEPER})
    process = own.start()
    wait_for(lambda: running(own) == 2)
    process.kill()
    process.communicate()
    records = list((own.directory / ".snakemake/incomplete").rglob("*"))
    recorded = {
        base64.b64decode(record.name).decode(): json.loads(record.read_text())["external_jobid"]
        for record in records
        if record.is_file() and record.name != "migration_underway"
    }
    with own.platform.client() as client:
        tasks = {task.id for task in client.list_tasks(project=own.platform.project)}
    assert set(recorded) == {"a.txt", "b.txt"}
    assert set(recorded.values()) == tasks


def test_f10_no_storage_provider_is_asked_for(own: Workflow) -> None:
    own.write(
        {
            "Snakefile": """
            rule a:
                input: "data/in.txt"
                output: "deep/folder/a.txt"
                shell: "cp {input} {output}"
            """
        }
    )
    own.put({"data/in.txt": "content"})
    own.succeed()
    assert own.read("deep/folder/a.txt") == "content"


def test_f11_snakemakes_own_flags_keep_their_meaning(own: Workflow) -> None:
    with own.platform.client() as client:
        settings = {"use_interruptible_instances": False}
        new = Call("POST", "/projects", body={"name": "on demand", "settings": settings})
        own.platform.project = client.transport.send(new)["id"]
    own.write(
        {
            "Snakefile": """
            rule all:
                input: "spot.txt", "plain.txt", "snakemake.txt"
            rule spot:
                output: "spot.txt"
                shell: "echo $PLAIN $PRE > {output}"
            rule plain:
                output: "plain.txt"
                shell: "touch {output}"
            rule snakemake:
                output: "snakemake.txt"
                run:
                    import os
                    open(output[0], "w").write(os.environ["PLAIN"])
            """
        }
    )
    environment = {"PLAIN": "it's a value"}
    flags = ["--preemptible-rules", "spot", "--preemptible-retries", "1"]
    flags += ["--container-image", "docker://example/image:1", "--jobname", "x.{name}.{jobid}"]
    flags += ["--envvars", "PLAIN", "--precommand", "export PRE='before'"]
    result = own.run(*flags, environment=environment)
    assert result.status == 0, result.output
    assert own.read("spot.txt") == "it's a value before\n"
    assert own.read("snakemake.txt") == "it's a value"
    with own.platform.client() as client:
        tasks = {
            task.name.split(".")[1]: task
            for task in client.list_tasks(project=own.platform.project)
        }
        raw = client.get_app_raw(tasks["spot"].app.rsplit("/", 1)[0])
    assert tasks["spot"].use_interruptible_instances is True
    assert tasks["plain"].use_interruptible_instances is False
    assert {"class": "DockerRequirement", "dockerPull": "example/image:1"} in raw["requirements"]


ASKS = """
MODE = os.environ.get("FIELD_MODE", "nothing")
rule all:
    input: "here.txt", "there.txt"
rule here:
    output: "here.txt"
    shell: "echo {MODE} > {output}"
rule there:
    output: "there.txt"
    run:
        open(output[0], "w").write(f"{MODE}\\n")
"""


def test_f11_variables_that_the_workflow_asks_for_and_tasks_lack_are_told(own: Workflow) -> None:
    """Without it `run:` blocks would work with the default, and nobody would notice."""
    own.write({"Snakefile": ASKS})
    own.put({})
    told = "asks for environment variables (FIELD_MODE) while it is parsed"
    result = own.run(environment={"FIELD_MODE": "mine"})
    assert result.output.count(told) == 1
    assert (own.read("here.txt"), own.read("there.txt")) == ("mine\n", "nothing\n")
    result = own.run("--envvars", "FIELD_MODE", "-F", environment={"FIELD_MODE": "mine"})
    assert told not in result.output
    assert (own.read("here.txt"), own.read("there.txt")) == ("mine\n", "mine\n")


STARTS = """
import subprocess

VERSION = subprocess.run(["cat", "version.bin"], capture_output=True, text=True).stdout.strip()
rule all:
    input: "there.txt"
rule there:
    output: "there.txt"
    run:
        open(output[0], "w").write(f"{VERSION}\\n")
"""


def test_programs_that_the_workflow_starts_are_told_since_they_answer_otherwise(
    own: Workflow,
) -> None:
    own.write({"Snakefile": STARTS})
    own.put({"version.bin": "1.0" + 2_000_000 * " "})
    result = own.run()
    assert result.output.count("The workflow starts programs (cat) while it is parsed") == 1
    assert own.read("there.txt") == "\n"


def test_f11_envvars_that_look_like_secrets_are_refused(own: Workflow) -> None:
    own.write({"Snakefile": 'rule a:\n    output: "a.txt"\n    shell: "touch {output}"\n'})
    result = own.fail("--envvars", "MY_API_TOKEN", environment={"MY_API_TOKEN": "s3cr3t"})
    assert "MY_API_TOKEN" in result.output
    assert "s3cr3t" not in result.output
    assert task_statuses(own) == {}


@pytest.mark.parametrize("settings", [ExecutorSettings, StorageProviderSettings])
def test_f12_settings_have_types_that_snakemake_reads(settings: type) -> None:
    for field in dataclasses.fields(settings):
        assert not isinstance(field.type, str), "postponed annotations break Snakemake's CLI"
        # Snakemake leaves the members of a list as they are, so they have to be text.
        plain = typing.get_origin(field.type) in (None, typing.Union) or (
            field.type == list[str] and field.metadata["nargs"] == "+"
        )
        assert plain, f"{field.name}: {field.type}"
        json.dumps(None if field.default is dataclasses.MISSING else field.default)
    help_text = subprocess.run(
        [sys.executable, "-m", "snakemake", "--help"], capture_output=True, text=True, check=True
    ).stdout
    options = set(re.findall(r"--(?:storage-)?cavatica-[a-z-]+", help_text))
    assert {"--cavatica-project", "--storage-cavatica-api-endpoint"} <= options
    secret = re.compile("token|secret|password")
    # The one is about variables, and takes none.
    assert [one for one in options if secret.search(one)] == ["--cavatica-allow-secret-envvars"]
