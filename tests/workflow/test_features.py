"""What a Snakefile can say, in both places for the data: outputs are right, and stay up to date."""

from __future__ import annotations

import dataclasses
import os
import time

import pytest
from workflow_runs import Platform, Workflow

from snakemake_executor_cavatica.api.call import Call
from snakemake_executor_cavatica.project.index import ProjectIndex

FEATURES = """
SAMPLES = [line.strip() for line in open("samples.txt")]

rule all:
    input:
        expand("out/{x}.script", x=SAMPLES), "fromdir.txt", "out/touched", "out/protected",
        "checkpointed.txt", "out/run.txt", "group/c.txt", "bench.done", "retried.txt",
        "updated.txt", "nested/a/b/c.txt", "local.txt", "benchmarks/direct.tsv"

rule shell_with_log:
    "Copies its input."
    input: "in.txt"
    output: temp("tmp/{x}.txt")
    log: "logs/{x}.log"
    shell: "cat {input} > {output:q}; echo copied >> {log:q}"

rule script:
    input: "tmp/{x}.txt"
    output: "out/{x}.script"
    threads: 3
    script: "scripts/s.py"

rule directory:
    output: directory("out/dir")
    shell: "mkdir -p {output}/sub; echo 1 > {output}/sub/a; echo 2 > {output}/b"

rule from_directories:
    input: made="out/dir", given="given"
    output: "fromdir.txt"
    shell: "cat {input.made}/sub/a {input.made}/b {input.given}/f1 > {output}"

rule touched:
    output: touch("out/touched")
    shell: "true"

rule protected_and_ensured:
    output: protected("out/protected"), e=ensure("out/ensured", non_empty=True)
    shell: "echo p > {output[0]}; echo e > {output.e}"

checkpoint split:
    output: directory("parts")
    shell: "mkdir {output}; for i in 1 2 3; do echo $i > {output}/$i.txt; done"

rule part:
    input: "parts/{i}.txt"
    output: "part/{i}.txt"
    shell: "sed s/$/x/ {input} > {output}"

def parts(wildcards):
    folder = checkpoints.split.get().output[0]
    return expand("part/{i}.txt", i=glob_wildcards(os.path.join(folder, "{i}.txt")).i)

rule aggregate:
    input: parts
    output: "checkpointed.txt"
    run:
        with open(output[0], "w") as target:
            for name in sorted(input):
                target.write(open(name).read())

rule run_block:
    output: "out/run.txt"
    run:
        open(output[0], "w").write("run")

rule first_of_group:
    output: "group/a.txt"
    group: "g"
    shell: "echo a > {output}"

rule second_of_group:
    input: "group/a.txt"
    output: temp("group/b.txt")
    group: "g"
    shell: "cat {input} > {output}; echo b >> {output}"

rule third_of_group:
    input: "group/b.txt"
    output: "group/c.txt"
    group: "g"
    shell: "cat {input} > {output}; echo c >> {output}"

rule benchmarked:
    output: "bench.done"
    benchmark: "benchmarks/full.tsv"
    shell: "test -d {resources.tmpdir}; touch {output}"

rule benchmarked_directly:
    output: "direct.done"
    benchmark: "benchmarks/direct.tsv"
    resources: cavatica_mode="direct"
    shell: "touch {output}"

rule retried:
    output: "retried.txt"
    retries: 2
    resources: mem_mb=lambda wildcards, attempt: attempt * 100
    shell: "[ {resources.mem_mb} -ge 300 ] && echo {resources.mem_mb} > {output}"

rule base:
    output: "base.txt"
    shell: "echo new > {output}"

rule updated:
    input: "base.txt"
    output: update("updated.txt")
    shell: "cat base.txt >> updated.txt || cat {input} >> {output}"

rule nested:
    output: "nested/a/b/c.txt"
    params: text="it's \\"quoted\\" $HOME"
    shell: "printf '%s' {params.text:q} > {output}"

localrules: local

# After the checkpoint: when one ends, Snakemake removes what a local rule is just making.
rule local:
    input: "nested/a/b/c.txt", "parts"
    output: "local.txt"
    shell: "cp {input[0]} {output}"
"""

SCRIPT = """
with open(snakemake.output[0], "w") as target:
    target.write(open(snakemake.input[0]).read() + snakemake.wildcards.x + str(snakemake.threads))
"""


@pytest.fixture
def features(workflow: Workflow) -> Workflow:
    workflow.write({"Snakefile": FEATURES, "scripts/s.py": SCRIPT, "samples.txt": "a\nb b\n"})
    workflow.put({"in.txt": "input\n", "given/f1": "given\n", "updated.txt": "old\n"})
    return workflow


@pytest.mark.both_places
def test_every_directive_gives_its_result_and_nothing_is_left_to_do(features: Workflow) -> None:
    result = features.succeed("--forcerun", "updated")

    assert features.read("out/a.script") == "input\na3"
    assert features.read("out/b b.script") == "input\nb b3"
    assert features.read("fromdir.txt") == "1\n2\ngiven\n"
    assert features.read("out/touched") == ""
    assert features.read("out/protected") == "p\n"
    assert features.read("checkpointed.txt") == "1x\n2x\n3x\n"
    assert features.read("out/run.txt") == "run"
    assert features.read("group/c.txt") == "a\nb\nc\n"
    assert features.read("retried.txt") == "300\n"
    assert features.read("nested/a/b/c.txt") == 'it\'s "quoted" $HOME'
    assert features.read("local.txt") == features.read("nested/a/b/c.txt")
    assert features.read("updated.txt") == "old\nnew\n"
    assert features.read("logs/b b.log") == "copied\n"
    for name in ("full", "direct"):
        benchmark = features.read(f"benchmarks/{name}.tsv")
        assert benchmark is not None
        assert benchmark.startswith("s\th:m:s\tmax_rss"), name
    cells = (features.read("benchmarks/direct.tsv") or "").splitlines()[1].split("\t")
    assert "NA" not in {cells[0], cells[-1]}
    assert features.read("tmp/a.txt") is None, "temp() is removed"
    assert features.read("group/b.txt") is None
    assert result.output.count("Trying to restart job") == 2
    if features.place == "transfer":
        assert not os.access(features.directory / "out/protected", os.W_OK) or os.geteuid() == 0
        assert (features.directory / "out/protected").stat().st_mode & 0o222 == 0

    assert features.succeed().nothing_to_do
    assert features.succeed("-n").nothing_to_do


def test_touch_report_and_delete_work_without_the_executor(features: Workflow) -> None:
    features.succeed("fromdir.txt", "group/c.txt")

    features.succeed("--touch", "fromdir.txt", "group/c.txt")
    assert features.succeed("fromdir.txt", "group/c.txt").nothing_to_do
    features.succeed("--report", "report.html", "fromdir.txt")
    assert (features.directory / "report.html").stat().st_size > 1000
    features.succeed("--delete-all-output", "fromdir.txt")
    assert features.read("fromdir.txt") is None
    assert features.read("out/dir") is None
    assert features.read("given/f1") == "given\n", "inputs are never deleted"


@pytest.mark.both_places
def test_keep_going_runs_what_does_not_depend_on_the_failure(workflow: Workflow) -> None:
    workflow.write(
        {
            "Snakefile": """
            rule all:
                input: "good.txt", "after.txt"
            rule good:
                output: "good.txt"
                shell: "sleep 1; echo good > {output}"
            rule bad:
                output: "bad.txt"
                log: "bad.log"
                shell: "echo partly > {output}; echo the reason > {log}; echo oops >&2; exit 7"
            rule after:
                input: "bad.txt"
                output: "after.txt"
                shell: "touch {output}"
            """
        }
    )
    result = workflow.fail("--keep-going")

    assert workflow.read("good.txt") == "good\n"
    assert workflow.read("bad.txt") is None
    assert "bad: the command failed with exit status 7" in result.output
    assert "/tasks/" in result.output
    assert "oops" in result.output
    log = "bad.log"
    if workflow.place == "storage":
        log = f".snakemake/storage/cavatica/{workflow.platform.project}/{workflow.folder}/bad.log"
    assert (workflow.directory / log).read_text() == "the reason\n"


def test_a_changed_input_is_noticed_and_used(workflow: Workflow) -> None:
    workflow.write(
        {
            "Snakefile": """
            rule copy:
                input: "in.txt"
                output: "out.txt"
                shell: "cp {input} {output}"
            """
        }
    )
    workflow.put({"in.txt": "one"})
    workflow.succeed()
    assert workflow.read("out.txt") == "one"

    # Storage times have a resolution of one second.
    time.sleep(1.1)
    workflow.put({"in.txt": "two"})
    workflow.succeed()
    assert workflow.read("out.txt") == "two"


def test_references_of_another_project_are_copied_not_moved(
    transfer_workflow: Workflow,
) -> None:
    workflow = transfer_workflow
    owner = workflow.platform.project.split("/")[0]
    with workflow.platform.client() as client:
        name = f"ref-{workflow.folder}"
        other = client.transport.send(_new_project(name))["id"]
    reference = Workflow(workflow.directory, workflow.platform, "storage")
    reference.platform = _in_project(workflow, other)
    reference.put({"ref.fa": ">chr\nACGT\n"})
    assert other.startswith(f"{owner}/")
    workflow.write(
        {
            "Snakefile": f"""
            rule use:
                input: storage.cavatica("cavatica://{other}/{reference.folder}/ref.fa")
                output: "{{x}}.txt"
                shell: "cat {{input}} > {{output}}"
            rule use_in_script:
                input: storage.cavatica("cavatica://{other}/{reference.folder}/ref.fa")
                output: "script.out"
                run:
                    open(output[0], "w").write(open(input[0]).read())
            """
        }
    )
    before = len(workflow.platform.requests())
    workflow.succeed("a.txt", "b.txt", "script.out")

    assert workflow.read("a.txt") == workflow.read("script.out") == ">chr\nACGT\n"
    paths = [request["path"] for request in workflow.platform.requests()[before:]]
    assert len([path for path in paths if path.endswith("/actions/copy")]) == 1


def _new_project(name: str) -> Call:
    return Call("POST", "/projects", body={"name": name})


def _in_project(workflow: Workflow, project: str) -> Platform:
    return dataclasses.replace(workflow.platform, project=project)


def test_a_failed_update_leaves_the_old_version(workflow: Workflow) -> None:
    workflow.write(
        {
            "Snakefile": """
            rule update:
                output: update("log.txt")
                shell: "echo new >> {output}; exit 1"
            """
        }
    )
    workflow.put({"log.txt": "old\n"})
    workflow.fail("--forceall", "--retries", "1")
    assert workflow.read("log.txt") == "old\n"


def test_outputs_and_logs_inside_a_directory_output(workflow: Workflow) -> None:
    workflow.write(
        {
            "Snakefile": """
            rule all:
                input: "copy.txt"
            rule made:
                output: directory("made")
                log: "made/log.txt"
                shell: "mkdir -p {output}; echo inside > {output}/x; echo log > {log}"
            rule use:
                input: "made"
                output: "copy.txt"
                shell: "cat {input}/x {input}/log.txt > {output}"
            """
        }
    )
    workflow.succeed()
    assert workflow.read("copy.txt") == "inside\nlog\n"
    assert workflow.read("made/x") == "inside\n"
    assert workflow.read("made/log.txt") == "log\n"
    assert workflow.succeed().nothing_to_do


def test_a_directory_is_updated(workflow: Workflow) -> None:
    workflow.write(
        {
            "Snakefile": """
            rule update:
                output: update(directory("notes"))
                shell: "mkdir -p {output}; echo new > {output}/new; ls {output} > {output}/list"
            """
        }
    )
    workflow.put({"notes/old": "old"})
    workflow.succeed("--forceall")
    assert workflow.read("notes/list") == "list\nnew\nold\n"
    assert workflow.read("notes/old") == "old"


def test_a_command_that_is_an_f_string_of_the_jobs_own_values(workflow: Workflow) -> None:
    """Such a command is known only to Snakemake's compiled rule, not to the rule's attributes."""
    workflow.write(
        {
            "Snakefile": """
            rule a:
                output: txt="a.txt"
                shell: f"echo made > {output.txt}"
            """
        }
    )
    workflow.succeed()
    assert workflow.read("a.txt") == "made\n"


@pytest.mark.both_places
@pytest.mark.parametrize("output", ["'a'", "directory('a')"], ids=["file", "directory"])
def test_a_script_from_a_machine_whose_clock_is_ahead_does_not_make_jobs_run_again(
    workflow: Workflow, output: str
) -> None:
    """For Snakemake it has changed since: so it is where this machine's clock was set back."""
    rules = f"""
    rule b:
        input: 'a'
        output: 'b'
        shell: 'ls {{input}} > {{output}}'
    rule a:
        output: {output}
        script: 'a.sh'
    """
    made = '"${snakemake_output[0]}"'
    script = f"mkdir {made}; echo 1 > {made}/1\n" if "dir" in output else f"echo 1 > {made}\n"
    workflow.write({"Snakefile": rules, "a.sh": script})
    os.utime(workflow.directory / "a.sh", (time.time() + 3600,) * 2)
    workflow.succeed()
    assert workflow.succeed().nothing_to_do


def test_a_platform_whose_clock_is_ahead_does_not_make_jobs_run_again(
    transfer_workflow: Workflow,
) -> None:
    workflow = transfer_workflow
    stored = dataclasses.replace(workflow, place="storage")
    stored.put({"in.txt": "input\n"})
    with workflow.platform.client() as client:
        index = ProjectIndex(client, workflow.platform.project)
        entry = index.find(f"{workflow.folder}/in.txt")
        assert entry is not None
        index.touch(entry, time.time() + 600)
    workflow.write(
        {
            "Snakefile": f"""
            rule b:
                input: "a.txt"
                output: "b.txt"
                shell: "cp {{input}} {{output}}"
            rule a:
                input: storage.cavatica("{workflow.prefix}/in.txt")
                output: "a.txt"
                shell: "cp {{input}} {{output}}"
            """
        }
    )
    workflow.succeed()
    assert workflow.read("b.txt") == "input\n"
    assert workflow.succeed().nothing_to_do


LOOKS_AT_INPUTS = """
import os
def text(wildcards, input):
    try:
        return open(input[0]).read().strip()
    except OSError:
        return "nothing"
rule all:
    input: "told.txt", "script.txt"
rule told:
    input: "in.txt"
    output: "told.txt"
    params: text, lambda wildcards, input: os.path.exists(input[0])
    shell: "echo {params} > {output}"
rule script:
    input: "told.txt"
    output: "script.txt"
    params: x=text
    script: "script.py"
"""


@pytest.mark.both_places
def test_a_function_that_asks_what_is_in_an_input_is_told_the_truth(workflow: Workflow) -> None:
    """In storage mode this machine does not have it."""
    workflow.write(
        {
            "Snakefile": LOOKS_AT_INPUTS,
            "script.py": "open(snakemake.output[0], 'w').write(snakemake.params.x)",
        }
    )
    workflow.put({"in.txt": "hello\n"})
    workflow.succeed()
    assert workflow.read("told.txt") == "hello True\n"
    assert workflow.read("script.txt") == "hello True"
    assert workflow.run().nothing_to_do
