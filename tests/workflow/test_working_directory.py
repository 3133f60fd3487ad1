"""Absolute paths, other working directories, and what a workflow reads of its command line.

A task of the embedded platform sees this machine. So each job tells the paths that it was given.
"""

from __future__ import annotations

import re

import pytest
from workflow_runs import Workflow

# ------------------------------------------------------------------ the place of the parsing

WORKDIRS = """
import os
configfile: "config.yaml"
WORD = open("samples.tsv").read().strip()
{directives}
module other:
    snakefile: "rules/other.smk"
    config: config
use rule * from other as other_*

def content():
    where = os.path.relpath(os.getcwd(), workflow.basedir)
    return f"{{WORD}} {{config['word']}} {{config.get('more')}} {{where}}"

rule all:
    default_target: True
    input: "direct", "other", "first", "second"
rule direct:
    output: "direct"
    shell: "echo {{config[word]}} > {{output}}"
rule first:
    output: "first"
    group: "g"
    run: open(output[0], "w").write(content())
rule second:
    input: "first"
    output: "second"
    group: "g"
    run: open(output[0], "w").write(content())
"""
OTHER = """
rule other:
    output: "other"
    run: open(output[0], "w").write(config["word"])
"""


@pytest.mark.parametrize(
    ("directives", "arguments", "ends_in"),
    [
        (
            'workdir: "inner"\nopen("made-while-parsing", "w")\nworkdir: "deeper"',
            ["--configfile", "more.yaml"],
            "inner/deeper",
        ),
        ('workdir: config["link"]\nworkdir: config["absolute"]\nworkdir: "link"', [], "run/real"),
        ('workdir: "ignored"', ["--directory", "run"], "run"),
    ],
)
def test_a_task_parses_where_the_main_process_did(
    transfer_workflow: Workflow, directives: str, arguments: list[str], ends_in: str
) -> None:
    workflow = transfer_workflow
    here = workflow.directory
    config = f"word: configured\nabsolute: {here}/run\nlink: {here}/link\n"
    files = {
        "Snakefile": WORKDIRS.format(directives=directives),
        "config.yaml": config,
        "samples.tsv": "sampled\n",
        "more.yaml": "more: given\n",
        "rules/other.smk": OTHER,
    }
    workflow.write(files)
    (here / "run" / "real").mkdir(parents=True)
    (here / "run" / "link").symlink_to("real")
    (here / "link").symlink_to("run")
    if arguments[:1] == ["--directory"]:
        workflow.write({f"run/{name}": files[name] for name in ("config.yaml", "samples.tsv")})
    workflow.succeed(*arguments)
    found = here / ends_in
    more = "given" if "more.yaml" in arguments else None
    expected = f"sampled configured {more} {ends_in}"
    assert [(found / name).read_text() for name in ("direct", "other", "first", "second")] == [
        "configured\n",
        "configured",
        expected,
        expected,
    ]
    assert workflow.succeed(*arguments).nothing_to_do


# ---------------------------------------------------------------------------- the command line

ASKING = """
configfile: "config.yaml"
FOO = workflow.global_resources["foo"].value
CORES, NODES = workflow.cores, workflow.nodes

rule all:
    input: "shell", "run", "config", expand("grouped{n}", n=range(4))
rule shell:
    output: "shell"
    params: n=lambda wildcards: workflow.cores // 2
    resources: foo=100
    shell: "echo {params.n} {CORES} {NODES} {FOO} {resources.foo} > {output}"
rule run:
    output: "run"
    params: n=lambda wildcards: workflow.cores // 2
    resources: foo=100
    run: open(output[0], "w").write(f"{params.n} {CORES} {NODES} {FOO} {resources.foo}\\n")
rule config:
    output: "config"
    run: open(output[0], "w").write(" ".join(f"{key}={config[key]}" for key in sorted(config)))
rule grouped:
    output: "grouped{n}"
    params: n=lambda wildcards: workflow.cores
    group: "g"
    resources: mem_mb=500
    shell:
        "mkdir -p at-work && touch at-work/{wildcards.n} && sleep 2 && "
        "echo {params.n} $(ls at-work | wc -l) > {output} && sleep 1 && rm at-work/{wildcards.n}"
"""


def test_a_workflow_reads_the_same_of_its_command_line_in_a_task(
    transfer_workflow: Workflow,
) -> None:
    """But the jobs of a group do not take more than their task has."""
    workflow = transfer_workflow
    workflow.write({"Snakefile": ASKING, "config.yaml": "kept: 1\nword: file\n"})
    workflow.succeed(
        *["--cores", "4", "--jobs", "8", "--resources", "foo=3", "mem_mb=1000"],
        *["--config", "word=given", "--replace-workflow-config", "--group-components", "g=4"],
    )
    assert workflow.read("shell") == workflow.read("run") == "2 4 8 3 3\n"
    assert workflow.read("config") == "word=given"
    grouped = [str(workflow.read(f"grouped{number}")).split() for number in range(4)]
    assert {cores for cores, _ in grouped} == {"4"}
    # By memory two of them fit into their task, which has two cores for that reason.
    assert max(int(beside) for _, beside in grouped) == 2


# ------------------------------------------------------------------------------ absolute paths

ABSOLUTE = """
import os
from pathlib import Path
configfile: "config.yaml"
HERE = config["here"]  # as text: in a task, os.getcwd() gives another path
os.environ["MY_DATA"] = os.path.abspath("data")
absolute = os.path.abspath

rule all:
    input:
        expand("r/{x}", x=["bench", "cd", "linked", "beside", "dots", "env"]),
        expand("r/{x}", x=["base", "py", "logged"]),
        expand(HERE + "/r/{x}", x=["run", "wild_a", "bash", "it's a file"]),
rule bench:
    input: os.path.join(workflow.basedir, "in.txt")
    output: "r/bench"
    benchmark: absolute("r/bench.tsv")
    shell: "cat {input:q} > {output}; echo {input:q} >> {output}"
rule cd:
    input: absolute("in.txt")
    output: "r/cd"
    shell: "cd r && cat {input:q} > cd; echo {input:q} >> cd"
rule linked:
    input: absolute("in.txt")
    output: "r/linked"
    shell: "ln -s {input:q} {output}"
rule beside:
    input: "r/linked"
    output: "r/beside"
    shell: "cd r && ln -s linked beside"
rule dots:
    input: absolute("data") + "/../in.txt"
    output: "r/dots"
    run: open(output[0], "w").write(open(input[0]).read() + input[0] + "\\n")
rule env:
    input: "data"
    output: "r/env"
    shell: 'cat "$MY_DATA/two.txt" > {output}; echo "$MY_DATA" >> {output}'
rule base:
    output: "r/base"
    params: folder=workflow.basedir + "/scripts"
    shell: "cat {workflow.basedir:q}/scripts/beside.txt {params.folder:q}/beside.txt > {output}"
rule logged:
    output: "r/logged"
    log: absolute("r/log.txt")
    shell: "echo logged | tee {output} > {log:q}"
rule run:
    input: HERE + "/in.txt"
    output: HERE + "/r/run"
    params: data=HERE + "/data", computed=absolute("data")
    log: HERE + "/r/run.log"
    run:
        open(output[0], "w").write(
            open(input[0]).read() + "\\n".join([input[0], *params, config["here"], ""])
        )
        open(log[0], "w").write("log")
rule wild:
    input: lambda wildcards: f"{wildcards.folder}/../in.txt"
    output: "{folder}/wild_{x}"
    run: open(output[0], "w").write(open(input[0]).read() + wildcards.folder + "\\n")
rule spaces:
    output: os.path.join(workflow.basedir, "r", "it's a file")
    shell: "echo {output:q} > {output:q}"
rule py:
    input: absolute("in.txt"), "data"
    output: "r/py"
    params:
        data="--data=" + absolute("data"),
        deep={"x": [absolute("data")]},
        path=Path(absolute("data")),
    script: "scripts/script.py"
rule bash:
    input: HERE + "/in.txt", "data"
    output: HERE + "/r/bash"
    params: data=absolute("data")
    script: "scripts/script.sh"
"""
PYTHON_SCRIPT = """
from pathlib import Path
params = snakemake.params
with open(snakemake.output[0], "w") as out:
    print(Path(snakemake.input[0]).read_text().strip(), file=out)
    print(snakemake.input[0], params.data, params.deep["x"][0], params.path, file=out)
    print(snakemake.config["here"], file=out)
"""
BASH_SCRIPT = """
cd "${snakemake_params[data]}"
cat "${snakemake_input[0]}" two.txt > "${snakemake_output[0]}"
echo "${snakemake_params[data]}" "${snakemake_config[here]}" >> "${snakemake_output[0]}"
"""
ABSOLUTE_FILES = {
    "Snakefile": ABSOLUTE,
    "in.txt": "one\n",
    "r/.keep": "",
    "data/two.txt": "two\n",
    "scripts/beside.txt": "beside\n",
    "scripts/script.py": PYTHON_SCRIPT,
    "scripts/script.sh": BASH_SCRIPT,
}


@pytest.mark.parametrize(
    ("name", "arguments"), [("with space", []), ("plain", ["--cavatica-mode", "snakemake"])]
)
def test_what_is_absolute_stays_absolute_in_a_task(
    transfer_workflow: Workflow, name: str, arguments: list[str]
) -> None:
    workflow = transfer_workflow
    workflow.directory = workflow.directory / name
    here = str(workflow.directory)
    workflow.write({**ABSOLUTE_FILES, "config.yaml": f"here: {here}\n"})
    workflow.succeed(*arguments)
    results = {path.name: path.read_text() for path in (workflow.directory / "r").iterdir()}
    told = {
        key: text for key, text in results.items() if not key.startswith((".", "bench.", "run.log"))
    }
    assert not [key for key, text in told.items() if here in text], told
    inside = {key: re.sub(r"/[^ \n]*/tool/work", "TASK", text) for key, text in told.items()}
    assert inside == {
        "bench": "one\nTASK/in.txt\n",
        "cd": "one\nTASK/in.txt\n",
        "linked": "one\n",
        "beside": "one\n",
        "dots": inside["dots"],
        "env": "two\nTASK/data\n",
        "base": "beside\nbeside\n",
        "logged": "logged\n",
        "log.txt": "logged\n",
        "run": "one\nTASK/in.txt\nTASK/data\nTASK/data\nTASK\n",
        "wild_a": "one\nTASK/r\n",
        "it's a file": "TASK/r/it's a file\n",
        "py": "one\nTASK/in.txt --data=TASK/data TASK/data TASK/data\nTASK\n",
        "bash": "one\ntwo\nTASK/data TASK\n",
    }
    assert inside["dots"] in {"one\nTASK/in.txt\n", "one\nTASK/data/../in.txt\n"}
    assert workflow.succeed(*arguments).nothing_to_do
