"""Groups of jobs that run without Snakemake in their task, and those that cannot."""

from __future__ import annotations

from workflow_runs import Workflow

GROUPS = """
NAMES = ["a", "b b"]

rule all:
    input: "out/end.txt", "far.txt", "count.txt"

rule make:
    input: "in.txt"
    output: "mid/{x}.txt", temp("far/{x}.tmp")
    log: "logs/{x}.log"
    group: "g"
    shadow: "minimal"
    shell:
        "cat {input} > scratch; echo {wildcards.x} >> scratch; echo made > {log:q}; "
        "cp scratch {output[0]:q}; cp scratch {output[1]:q}"

rule folder:
    output: directory("made"), touch("mid/mark")
    group: "g"
    threads: 2
    shell: "mkdir {output[0]}; echo {threads} $OMP_NUM_THREADS > {output[0]}/threads"

rule join:
    input: expand("mid/{x}.txt", x=NAMES), "made", "mid/mark"
    output: temp("joined.txt")
    group: "g"
    shell: "cat {input[0]:q} {input[1]:q} {input[2]}/threads > {output}"

rule count:
    input: "joined.txt"
    output: "out/end.txt"
    group: "g"
    params: first=lambda wildcards, input: input[0][:1]
    script: "count.py"

rule outside:
    input: expand("far/{x}.tmp", x=NAMES)
    output: "far.txt"
    shell: "cat {input:q} > {output}"

rule write:
    output: pipe("numbers")
    shell: "seq 1000 > {output}"

rule read:
    input: "numbers"
    output: "count.txt"
    shell: "cat {input} | wc -l > {output}"
"""
SCRIPT = """
with open(snakemake.output[0], "w") as target:
    target.write(open(snakemake.input[0]).read())
"""


def test_groups_run_directly_and_give_back_what_is_needed(workflow: Workflow) -> None:
    workflow.write({"Snakefile": GROUPS, "count.py": SCRIPT})
    workflow.put({"in.txt": "in\n"})

    workflow.succeed("--cavatica-mode", "direct")  # which refuses what cannot

    assert workflow.read("out/end.txt") == "in\na\nin\nb b\n2 2\n"
    assert workflow.read("far.txt") == "in\na\nin\nb b\n", "temp() that others need leaves the task"
    assert (workflow.read("count.txt") or "").strip() == "1000"
    assert workflow.read("logs/b b.log") == "made\n"
    assert workflow.read("mid/a.txt") == "in\na\n"
    assert workflow.read("mid/mark") == ""
    for gone in ("joined.txt", "far/a.tmp", "numbers", "scratch"):
        assert workflow.read(gone) is None, gone
    assert workflow.succeed().nothing_to_do


def test_temporary_files_of_a_group_stay_where_that_is_wanted(workflow: Workflow) -> None:
    workflow.write({"Snakefile": GROUPS, "count.py": SCRIPT})
    workflow.put({"in.txt": "in\n"})
    workflow.succeed("--notemp", "out/end.txt")
    assert workflow.read("joined.txt") == workflow.read("out/end.txt")
    assert workflow.read("far/a.tmp") == "in\na\n"


TOLD_LATE = """
from glob import glob

rule all:
    input: "out.txt", "list.txt"

rule first:
    input: "in.txt"
    output: "mid.txt"
    group: "g"
    shell: "cp {input} {output}"

rule second:
    input: "mid.txt"
    output: "out.txt"
    params: word=lambda wildcards, input: open(input[0]).read().strip()
    group: "g"
    shell: "echo {params.word} > {output}"

rule folder:
    input: "in.txt"
    output: directory("dir")
    group: "h"
    shell: "mkdir {output}; cp {input} {output}/$(cat {input})"

rule listed:
    input: "dir"
    output: "list.txt"
    params: names=lambda wildcards, input: glob(input[0] + "/*")
    group: "h"
    shell: "echo {params.names} > {output}"
"""


def test_what_the_group_itself_makes_is_never_told_by_what_an_earlier_run_left(
    transfer_workflow: Workflow,
) -> None:
    workflow = transfer_workflow
    workflow.write({"Snakefile": TOLD_LATE})
    for word in ("one", "two"):
        workflow.put({"in.txt": word})
        workflow.succeed()
        assert workflow.read("out.txt") == f"{word}\n"
        assert workflow.read("list.txt") == f"dir/{word}\n"

    options = ("--forceall", "--keep-going", "--cavatica-mode", "direct")
    told = workflow.fail(*options).output
    assert "its rule second needs Snakemake: its command depends on values" in told
    assert "its rule listed needs Snakemake: a function of its params looks at files" in told
