"""Jobs that really fail, each in its own way: one sentence says why, and what to do."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest
from workflow_runs import Platform, Result, Workflow

ENDINGS = {
    "shell: 'echo before >&2; exit 3'": "the command failed with exit status 3.",
    "shell: 'kill -SEGV $$'": "the command was ended by signal SIGSEGV (exit status 139).",
    "shell: 'no-such-program'": "exit status 127. A program was not found: check the rule's "
    "container",
    # The kernel kills like this, too.
    "shell: 'kill -9 $$'": "the command was killed (exit status 137), most likely for want of "
    "memory. Give the rule more mem_mb; with retries and attempt it can grow by itself.",
    "run: raise MemoryError": "most likely for want of memory: its stderr or log says "
    "'MemoryError'. Give the rule more mem_mb",
    "shell: 'cat /dev/zero > /dev/full'": "the command failed with exit status 1, and says 'No "
    "space left on device'. Give the rule more disk_mb, or let its disk grow "
    "(cavatica_use_elastic_disk).",
    "log: 'l'\n    shell: 'cat /dev/zero > /dev/full 2> {log}'": "and says 'No space left on "
    "device'. Give the rule more disk_mb",
    "shell: 'true'": "the command succeeded, but did not make its output out. Check that it writes "
    "to the paths that the rule declares.",
}


def ending(workflow: Workflow, body: str, *arguments: str) -> Result:
    """Run a workflow of one rule that fails."""
    workflow.write({"Snakefile": f"rule a:\n    output: 'out'\n    {body}\n"})
    result = workflow.fail(*arguments)
    assert workflow.read("out") is None
    return result


@pytest.mark.parametrize("body", ENDINGS)
def test_a_command_that_fails_is_told_in_one_sentence(
    transfer_workflow: Workflow, body: str
) -> None:
    result = ending(transfer_workflow, body)
    sentence = ENDINGS[body]
    assert re.search(rf"\ba: .*{re.escape(sentence)}", result.output), result.output
    assert re.search(r"Task: \S+/tasks/\S+ \(platform: .+\)", result.output), result.output


def test_a_time_limit_is_really_kept(transfer_workflow: Workflow) -> None:
    began = time.monotonic()
    result = ending(transfer_workflow, "resources: runtime=1\n    shell: 'sleep 110; touch out'")
    assert 60 < time.monotonic() - began < 100
    assert (
        "a: the task was ended, since it took longer than its runtime of 1 minutes. Give the rule "
        "a longer runtime; with retries and attempt it can grow by itself." in result.output
    )


RULE = """
rule {name}:
    output: "{name}"
    shell: "echo before >&2; sleep 99; touch {{output}}"
"""


@contextmanager
def each_task(find: Callable[[], Iterable[str]], strike: Callable[[str], None]) -> Iterator[None]:
    """Strike each task that is found meanwhile, once."""
    over = threading.Event()

    def watch() -> None:
        met: set[str] = set()
        while not over.wait(0.3):
            for task in set(find()) - met:
                met.add(task)
                strike(task)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


STRUCK = {
    "spot": "the spot instance of the task was taken away.",
    "lost": "the task does not exist on the platform any more (was it deleted?). Run Snakemake",
    "aborted": "the task was aborted, and not by this run of Snakemake. If nobody meant to, run",
    "memory": "the task ran out of memory, by what the platform says. Give the rule more mem_mb",
    "disk": "the disk of the task was full. Give the rule more disk_mb",
    "image": "the platform ended the task before the command did.",
    "time": "the task was ended, since it took longer than the platform allows.",
    "platform": "the platform failed the task, and names no fault of the job. Try again",
}
"""By rule. The script of "image" has run: then its image was there, whatever the platform says."""


def test_what_the_platform_does_to_a_running_task_is_told_in_one_sentence(
    transfer_workflow: Workflow,
) -> None:
    workflow, platform = transfer_workflow, transfer_workflow.platform
    rules = "".join(RULE.format(name=name) for name in STRUCK)
    workflow.write({"Snakefile": f"rule all:\n    input: {list(STRUCK)}\n{rules}"})

    def strike(task: str) -> None:
        time.sleep(1)  # the script tells that it has started
        with platform.client() as client:
            rule = client.get_task(task).name
            if rule == "aborted":
                client.abort_task(task)
        if rule == "spot":
            platform.control("interrupt", {"task": task})
        elif rule == "lost":
            platform.control("lose", {"task": task})
        elif rule != "aborted":
            platform.control("fail", {"task": task, "reason": rule})

    def running() -> list[str]:
        return [one["task"] for one in platform.executions() if one["end"] is None]

    with each_task(running, strike):
        output = workflow.fail("--keep-going").output
    for rule, sentence in STRUCK.items():
        assert f"{rule}: {sentence}" in output, output


def test_a_task_whose_image_cannot_be_had_never_begins(
    transfer_workflow: Workflow, serve: Callable[..., Platform]
) -> None:
    """Failed while it waits for its instance."""
    workflow = transfer_workflow
    platform = workflow.platform = serve("--start-delay", "30")
    workflow.write({"Snakefile": RULE.format(name="a")})

    def waiting() -> list[str]:
        with platform.client() as client:
            return [one.id for one in client.list_tasks(project=platform.project, status="QUEUED")]

    def strike(task: str) -> None:
        assert platform.control("fail", {"task": task, "reason": "image"}) == {"failed": True}

    with each_task(waiting, strike):
        output = workflow.fail().output
    assert re.search(r"a: the image \S+ could not be pulled. Check its name and tag", output), (
        output
    )
