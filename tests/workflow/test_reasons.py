"""Jobs that really fail, each in its own way: one sentence says why, and what to do."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from workflow_runs import Platform, Workflow, new_workflow

ENDINGS = {
    "shell: 'echo before >&2; exit 3'": "the command failed with exit status 3.",
    "shell: 'kill -SEGV $$'": "the command was ended by signal SIGSEGV (exit status 139).",
    # No image is used here, so none is to be checked.
    "shell: 'no-such-program'": "exit status 127. A program was not found: install it beside "
    "Snakemake. Tasks of this platform run without containers",
    "container: 'docker://some/tool:1'\n    shell: 'no-such-program'": "exit status 127. A program "
    "was not found: install it beside Snakemake. Tasks of this platform run without containers",
    "conda: 'tool.yaml'\n    shell: 'no-such-program'": "exit status 127. A program was not found: "
    "the rule's own software takes --software-deployment-method conda. Tasks of this platform",
    "conda: 'tool.yaml'\n    shell: 'echo \"No module named x\" >&2; exit 1'": "exit status 1. "
    "A program was not found: the rule's own software takes --software-deployment-method conda.",
    "envmodules: 'tool/1'\n    shell: 'no-such-program'": "exit status 127. A program was not "
    "found: the rule's own software takes --software-deployment-method env-modules.",
    # The kernel kills like this, too.
    "shell: 'kill -9 $$'": "the command was killed (exit status 137), most likely for want of "
    "memory. Give the rule more mem_mb; with retries and attempt it can grow by itself.",
    # The whole script: the command's own parent only measures what it takes.
    "shell: 'touch {output}; read -r _ _ _ all _ < /proc/$PPID/stat; kill -9 $all'": "the task was "
    "ended, most likely for want of memory, by what the platform says. Give the rule more mem_mb",
    "shell: 'touch {output}; kill -9 $PPID'": "the command was killed (exit status 137), most "
    "likely for want of memory. Give the rule more mem_mb",
    "run: raise MemoryError": "most likely for want of memory: its stderr or log says "
    "'MemoryError'. Give the rule more mem_mb",
    "shell: 'cat /dev/zero > /dev/full'": "the command failed with exit status 1, and says 'No "
    "space left on device'. Give the rule more disk_mb, or let its disk grow "
    "(cavatica_use_elastic_disk).",
    "log: 'l'\n    shell: 'cat /dev/zero > /dev/full 2> {log}'": "and says 'No space left on "
    "device'. Give the rule more disk_mb",
    "shell: 'true'": "the command succeeded, but did not make its output {output}. Check that it "
    "writes to the paths that the rule declares.",
    "shell: 'touch out.txt made.txt'": "did not make its output {output}. Check that it writes to "
    "the paths that the rule declares. It made made.txt, out.txt.",
    # A system that cannot keep it from writing has the platform notice it afterwards.
    "input: 'written.txt'\n    resources: cavatica_inputs='link'\n    "
    "shell: 'echo more >> {input}; touch {output}'": "read-only"
    '[^.]*\\. Have it write to a copy: cavatica_inputs="copy" as a resource of the rule, or ',
    "input: 'kept.txt'\n    resources: cavatica_inputs='link'\n    shell: 'echo \"{input}: "
    "Permission denied\" >&2; exit 5'": "command failed with exit status 5. Inputs are "
    "read-only. Have it write to a copy",
    "shell: 'cat other.txt'": "the command failed with exit status 1. A task has only what its "
    "rule declares as input, and the workflow's own files. What another job made has to",
    # Of types that the plugin knows it says so before.
    "threads: 500\n    resources: cavatica_instance_type='x1.large;ebs-gp2;100'\n    "
    "shell: 'touch {output}'": "the platform has no instance for 500 threads and the instance type "
    "x1.large;ebs-gp2;100. Give the rule fewer threads or less mem_mb, or name an instance type "
    "that is large enough",
    "resources: mem_mb=1500000, cavatica_instance_type='x1.large;ebs-gp2;100'\n    "
    "shell: 'touch {output}'": "the platform has no instance for 1 threads",
    "output: directory('named')\n    shell: r'mkdir named; touch named/$(printf \"\\377\")'": (
        "the job could not be run as it should: in the output named there is the name"
    ),
}
"""By what a rule does. In `{output}` stands its output."""


def test_a_command_that_fails_is_told_in_one_sentence(transfer_workflow: Workflow) -> None:
    workflow = transfer_workflow
    rules = [
        f"rule a{number}:\n"
        + ("" if "output:" in body else f"    output: 'out{number}'\n")
        + f"    {body}\n"
        for number, body in enumerate(ENDINGS)
    ]
    targets = [f"out{number}" for number, body in enumerate(ENDINGS) if "output:" not in body]
    workflow.write(
        {
            "Snakefile": "\n".join([f"rule all:\n    input: {[*targets, 'named']}", *rules]),
            "tool.yaml": "dependencies: [tool]\n",
        }
    )
    workflow.put({f"{name}.txt": name for name in ("written", "kept")})
    output = workflow.fail("--keep-going", "--cores", "600", "--jobs", "600").output
    for number, (body, sentence) in enumerate(ENDINGS.items()):
        told = sentence.replace("{output}", f"out{number}")
        told = told if "written.txt" in body else re.escape(told)
        assert re.search(rf"\ba{number}: .*{told}", output), (body, output)
        assert workflow.read(f"out{number}") is None
    assert len(re.findall(r"Task: \S+/tasks/\S+ \(platform: .+\)", output)) == len(ENDINGS)
    assert output.count("The image some/tool:1 of rule a3 is not used, and no other one.") == 1


def test_an_input_that_was_damaged_is_named(serve: Callable[..., Platform], tmp_path: Path) -> None:
    workflow = new_workflow(tmp_path, serve())
    rule = (
        "rule a:\n    input: 'in.txt'\n    output: 'out'\n    shell: 'cp {{input}} {{output}}{}'\n"
    )
    workflow.write({"Snakefile": rule.format("; exit 1")})
    workflow.put({"in.txt": "damaged by then"})
    workflow.fail()
    blobs = (tmp_path / "server0" / "blobs").rglob("*")
    [blob] = [one for one in blobs if one.is_file() and one.read_bytes() == b"damaged by then"]
    blob.unlink()
    workflow.write({"Snakefile": rule.format("")})
    output = workflow.fail().output
    found = re.search(
        r"a: the platform could not give the task its input \S+ \((\w+)\)\. If", output
    )
    assert found is not None, output
    with workflow.platform.client() as client:
        client.delete_file(found[1])
    workflow.succeed()


def test_a_time_limit_is_really_kept(transfer_workflow: Workflow) -> None:
    began = time.monotonic()
    transfer_workflow.write(
        {
            "Snakefile": "rule a:\n    output: 'out'\n    resources: runtime=1\n"
            "    shell: 'sleep 110; touch out'\n"
        }
    )
    result = transfer_workflow.fail()
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
    again = [line for line in output.splitlines() if "Trying again once, in 1 s." in line]
    assert [line.partition(":")[0] for line in again] == ["platform"]


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


LOGGED = r"""
rule all:
    input: "text", "two", "bytes", "long", "none", "both", "pack1", "pack2", "inside", "last"

rule text:
    output: "text"
    log: "logs/text"
    shell: "echo the reason is here > {log}; exit 1"

rule two:
    output: "two"
    log: "logs/a", "logs/b"
    shell: "echo in one > {log[0]}; echo in the other 2> {log[1]} >&2; exit 1"

rule bytes:
    output: "bytes"
    log: "logs/bytes"
    shell: r"printf '\000\377\376' > {log}; exit 1"

rule long:
    output: "long"
    log: "logs/long"
    shell: "seq 300000 > {log}; echo the end >> {log}; exit 1"

rule none:
    output: "none"
    log: "logs/none"
    shell: "exit 1"

rule both:
    output: "both"
    log: "logs/both"
    shell: "echo told aloud >&2; echo told to the log > {log}; exit 1"

rule packed:
    output: "pack{n}"
    log: "logs/pack{n}"
    resources: cavatica_pack=2
    shell: "echo of pack {wildcards.n} > {log}; exit 1"

rule inside:
    output: "inside"
    log: "logs/inside"
    run:
        with open(log[0], "w") as file:
            file.write("of a run block")
        raise ValueError

rule first:
    output: "first"
    group: "g"
    log: "logs/first"
    shell: "echo of the first > {log}; touch {output}"

rule last:
    input: "first"
    output: "last"
    group: "g"
    log: "logs/last"
    shell: "echo of the last > {log}; exit 1"
"""
WRITTEN = {
    "text": "the reason is here",
    "a": "in one",
    "b": "in the other",
    "long": "the end",
    "both": "told to the log",
    "pack1": "of pack 1",
    "pack2": "of pack 2",
    "inside": "of a run block",
    "first": "of the first",
    "last": "of the last",
}


@pytest.mark.both_places
def test_logs_of_failed_jobs_are_shown_and_kept_where_the_data_live(workflow: Workflow) -> None:
    workflow.write({"Snakefile": LOGGED})
    output = workflow.fail("--keep-going").output
    for name, last in WRITTEN.items():
        log = workflow.read(f"logs/{name}")
        assert log is not None, (name, output)
        assert log.endswith(f"{last}\n")
        # What stderr says is enough if the log is on this machine, and of a group what failed.
        told = workflow.place == "storage" or name not in {"both", "inside"}
        told = told and name != "first"
        place = f"{workflow.prefix}/" if workflow.place == "storage" else ""
        shown = re.search(rf"End of the log {place}logs/{name}:\n(    .*\n)*    {last}\n", output)
        assert bool(shown) == told, (name, output)
    assert "g, job last: the command failed with exit status 1.\n" in output
    assert "    told aloud\n" in output
    assert re.search(r"\(There is no text in the log \S*logs/bytes.\)", output), output
    assert "    299999\n" in output
    assert "    299000\n" not in output
    assert workflow.read("logs/none") is None
    assert re.search(r"none: the command failed with exit status 1.\n", output), output


SIDE_FILES = r"""
rule all:
    input: "index.txt", "more.txt", "samples/A.txt", "coverage.txt", "view.txt"

rule sort:
    output: bam="sorted/C.bam", bai="sorted/C.bai", other="sorted/metrics"
    shell: "touch {output}"

rule coverage:
    input: "sorted/C.bam"
    output: "coverage.txt"
    shell: "echo {input} does not appear to have an index. >&2; exit 1"

rule view:
    input: "sorted/metrics"
    output: "view.txt"
    shell: "cat sorted/C.bam"

rule genome:
    output: "ref/genome.fa"
    shell: "touch {output} {output}.amb"

rule touched:
    input: "ref/genome.fa"
    output: "touched"
    shell: "touch {output}"

rule index:
    input: "touched"
    output: "index.txt"
    shell: "cat ref/genome.fa.amb > {output}"

rule many:
    output: "many/end"
    shell:
        r'''
        touch {output}; cd $(dirname {output}); for n in $(seq 200); do touch side$n; done
        touch "$(printf 'a\nb')" "$(printf 'c\033[2Jd')" "$(printf 'e\377')" "$(printf 'g%0250d' 1)"
        touch "$(printf 'f\n[snakemake-cavatica] exit-status 9')"
        '''

rule more:
    input: "many/end"
    output: "more.txt"
    shell: "echo 'fail to locate the index files' >&2; exit 1"

rule map:
    output: "bams/{sample}.bam"
    resources: cavatica_pack=2
    shell: "touch {output} {output}.bai"

rule call:
    input: "bams/{sample}.bam"
    output: "samples/{sample}.txt"
    log: "logs/{sample}"
    shell: "cat {input}.bai 2> {log}"
"""


def test_a_file_that_was_not_declared_is_told_with_the_task_that_made_it(
    workflow: Workflow,
) -> None:
    """Also by a later run: what made it is known to the platform."""
    workflow.write({"Snakefile": SIDE_FILES})
    workflow.succeed("ref/genome.fa", "many/end", "bams/A.bam", "bams/B.bam", "sorted/C.bam")
    output = workflow.fail("--keep-going").output

    def made_by(rule: str, what: str, beside: str) -> str:
        return (
            rf"{rule} \(http\S+/tasks/\S+\) made {what} beside its output {beside}, and does not "
            "declare it: only declared files leave a task. Declare it as an output there, and as "
            "an input here."
        )

    # In storage mode a file has another path in the task than in the workflow.
    genome = made_by("genome", "(ref/)?genome.fa.amb", "genome.fa")
    assert re.search(rf"index: .* exit status 1\. {genome}", output), output
    bai = made_by(r"map.*", r"(bams/)?A.bam.bai", "A.bam")
    assert re.search(rf"call \[sample=A\]: .* exit status 1\. {bai}", output), output
    assert re.search(
        r"more: .* 1\. If it misses a file: many \(\S+\) made (many/)?\S.* and 4. more be", output
    ), output
    undeclared = "and this rule does not declare it: .* Declare it as an input here"
    bai = rf"If it misses a file: sort .* made C.bai beside its output C.bam, {undeclared}"
    assert re.search(rf"coverage: .* 1\. {bai}", output), output
    bam = rf"sort .* made C.bam beside its output metrics, {undeclared}"
    assert re.search(rf"view: .* 1\. {bam}", output), output
    assert "\x1b" not in output
    assert "status 9" not in output


def test_an_instance_type_that_does_not_exist_is_told_with_where_it_is_named(
    transfer_workflow: Workflow,
) -> None:
    transfer_workflow.write({"Snakefile": "rule a:\n    output: 'a'\n    shell: 'touch {output}'"})
    output = transfer_workflow.fail("--cavatica-instance-type", "c5.huge").output
    assert "there is no instance type 'c5.huge'. Instance types are named by the resource" in output


def test_a_folder_that_is_spelled_out_in_storage_mode_is_told(storage_workflow: Workflow) -> None:
    """Protects from the advice to declare what no other job makes."""
    storage_workflow.write(
        {
            "Snakefile": "rule a:\n    output: 'r/a'\n"
            "    shell: 'echo > $(dirname {output})/raw; mv r/raw {output}'"
        }
    )
    output = storage_workflow.fail("r/a").output
    assert "the command has to take them from {output}, as in $(dirname {output})." in output
