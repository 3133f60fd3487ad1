"""Scripts of rules, run without Snakemake in their task, also in images that have none."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from container_images import Filesystem, Images
from workflow_runs import Workflow

PYTHON = """
import os
import beside
from snakemake.shell import shell

shell("cat {snakemake.input:q} > {snakemake.output:q} 2> {snakemake.log:q}")
with open(snakemake.output[0], "a") as out:
    print(beside.NAME, snakemake.params.called, snakemake.config["greeting"], file=out)
    print(snakemake.wildcards.x, snakemake.threads, snakemake.resources.mem_mb, file=out)
    print(os.path.isdir(snakemake.resources.tmpdir), os.path.basename(__file__), file=out)
"""
BASH = """
cat "${snakemake_input[text]}" > "${snakemake_output[0]}"
echo "${snakemake_wildcards[x]} ${snakemake_config[greeting]}" >> "${snakemake_output[0]}"
echo said > "${snakemake_log[0]}"
"""
R = """
snakemake@source("beside.R")
lines <- c(readLines(snakemake@input[["text"]]), name, snakemake@wildcards[["x"]],
           snakemake@config[["greeting"]])
writeLines(lines, snakemake@output[[1]])
"""
FILES = {
    "config.yaml": "greeting: hello\n",
    "scripts/in_python.py": PYTHON,
    "scripts/beside.py": "NAME = 'beside'\n",
    "scripts/in_bash.sh": BASH,
    "scripts/in_R.R": R,
    "scripts/beside.R": "name <- 'beside'\n",
}
SNAKEFILE = """
configfile: "config.yaml"
{container}

rule in_python:
    input: text="in.txt", made=["made.txt"]
    output: "python/{{x}}.txt"
    params: called=lambda wildcards, input: f"{{wildcards.x}} {{len(input)}}"
    log: "logs/{{x}}.log"
    threads: 2
    resources: mem_mb=100
    script: "scripts/in_python.py"

rule in_bash:
    input: text="in.txt"
    output: "bash/{{x}}.txt"
    log: "bash/{{x}}.log"
    script: "scripts/in_bash.sh"

rule in_r:
    input: text="in.txt"
    output: "r/{{x}}.txt"
    script: "scripts/in_R.R"

rule made:
    output: "made.txt"
    shell: "echo made > {{output}}"
"""
RESULT = "given\nmade\nbeside it's 2 hello\nit's 2 100\nTrue in_python.py\n"
needs_r = pytest.mark.skipif(shutil.which("Rscript") is None, reason="Rscript is not installed")


def scripts(workflow: Workflow, container: str = "") -> Workflow:
    """A workflow with a script in each language."""
    workflow.write({"Snakefile": SNAKEFILE.format(container=container), **FILES})
    workflow.put({"in.txt": "given\n"})
    return workflow


def test_scripts_need_no_snakemake_in_their_task(workflow: Workflow) -> None:
    targets = ["python/it's.txt", "bash/b.txt"]
    result = scripts(workflow).succeed("--verbose", *targets)
    assert workflow.read("python/it's.txt") == RESULT
    assert workflow.read("bash/b.txt") == "given\nb hello\n"
    assert workflow.read("logs/it's.log") == ""
    assert workflow.read("bash/b.log") == "said\n"
    for job in (
        "in_python [x=it's]: direct mode, because its Python",
        "in_bash [x=b]: direct mode",
    ):
        assert job in result.output
    again = workflow.succeed(*targets)
    assert again.nothing_to_do, again.output


@needs_r
def test_an_r_script_needs_no_snakemake_in_its_task(workflow: Workflow) -> None:
    result = scripts(workflow).succeed("--verbose", "r/x.txt")
    assert "direct mode, because its R script needs nothing of Snakemake" in result.output
    assert workflow.read("r/x.txt") == "given\nbeside\nx\nhello\n"


def test_scripts_are_found_wherever_a_rule_may_have_them(transfer_workflow: Workflow) -> None:
    workflow = transfer_workflow
    outside = workflow.directory.parent / "outside.txt"
    outside.write_text("from outside\n")
    workflow.write(
        {
            "workflow/Snakefile": f"""
            from pathlib import Path
            import sys
            sys.path.insert(0, str(Path(workflow.basedir) / "lib"))
            config["who"] = "main"

            module other:
                snakefile: "other/Snakefile"
                config: {{"who": "module"}}
            use rule * from other as other_*

            rule all:
                input: "by_wildcard", "by_path", "by_source", "by_wrapper", "by_module"
                default_target: True
            rule wildcard:
                output: "by_{{x}}"
                wildcard_constraints: x="wildcard"
                params: folder="scripts"
                script: "{{params.folder}}/{{wildcards.x}}.py"
            rule path:
                input: "{outside}"
                output: "by_path"
                script: Path("scripts/path.py")
            rule source:
                output: "by_source"
                script: workflow.source_path("scripts/wildcard.py")
            rule wrapped:
                output: "by_wrapper"
                params: names={{"b", "a"}}
                wrapper: "some/tool"
            """,
            "workflow/scripts/wildcard.py": (
                "import in_lib, os\n"
                "words = [in_lib.NAME, os.path.relpath(snakemake.scriptdir)]\n"
                "open(snakemake.output[0], 'w').write(' '.join(words))"
            ),
            "workflow/scripts/path.py": (
                "open(snakemake.output[0], 'w').write(open(snakemake.input[0]).read())"
            ),
            "workflow/lib/in_lib.py": "NAME = 'in lib'",
            "workflow/other/Snakefile": """
            rule module:
                output: "by_module"
                script: "scripts/module.sh"
            """,
            "workflow/other/scripts/module.sh": (
                'echo "${snakemake_config[who]} ${snakemake[rule]}" > "${snakemake_output[0]}"'
            ),
            "wrappers/some/tool/wrapper.py": (
                "open(snakemake.output[0], 'w').write(repr(sorted(snakemake.params.names)))"
            ),
        }
    )
    result = workflow.succeed(
        "--verbose", "--wrapper-prefix", f"file://{workflow.directory}/wrappers/"
    )
    found = {name: workflow.read(f"by_{name}") for name in ("wildcard", "path", "source")}
    expected = "in lib workflow/scripts"
    assert found == {"wildcard": expected, "path": "from outside\n", "source": expected}
    assert workflow.read("by_module") == "module other_module\n"
    assert workflow.read("by_wrapper") == "['a', 'b']"
    assert "snakemake mode" not in result.output


NEEDS_SNAKEMAKE = """
import collections

class Greeter:
    def __init__(self): self.name = "greeter"
    def __reduce__(self): return (dict, ([("name", "greeter")],))

rule custom:
    output: "custom"
    params: value=Greeter()
    script: "s.py"

rule late:
    input: "in.txt"
    output: "late"
    params: value=lambda wildcards, input: open(input[0]).read()
    script: "s.py"

rule path:
    output: "path"
    params: value=collections.deque([workflow.basedir])
    script: "s.py"

rule source:
    output: "source"
    params: value=workflow.source_path("s.py")
    script: "s.py"

rule large:
    output: "large"
    params: value="x" * 700_000
    script: "s.py"
"""
WHY = {
    "custom": "its script is given an object of the kind ",
    "late": "its script is given values that are known only once it runs",
    "path": "its script is given an object that holds a path of this machine",
    "source": "its script is given a path of workflow.source_path()",
    "large": "its script and what it is given take 70",
}


def test_what_cannot_be_told_to_a_script_beforehand_takes_snakemake(
    storage_workflow: Workflow,
) -> None:
    workflow = storage_workflow
    workflow.write(
        {
            "Snakefile": NEEDS_SNAKEMAKE,
            "s.py": "open(snakemake.output[0], 'w').write(type(snakemake.params.value).__name__)",
        }
    )
    workflow.put({"in.txt": "given"})
    result = workflow.succeed("--verbose", *WHY)
    for rule, why in WHY.items():
        assert f"{rule}: snakemake mode, because {why}" in result.output
        assert workflow.read(rule) == {"custom": "dict", "path": "deque"}.get(rule, "str")


def test_a_script_that_needs_snakemake_never_leaves_its_own_container(
    transfer_workflow: Workflow,
) -> None:
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": """
            rule a:
                output: "a.txt"
                container: "docker://python:3"
                script: "a.jl"
            """,
            "a.jl": "",
        }
    )
    assert (
        "Rule a cannot run on CAVATICA: it has its own container (docker://python:3), but its "
        "script is written in julia, which takes Snakemake inside the task. If that image holds "
        "Snakemake, say so with the resource cavatica_mode='snakemake'"
    ) in " ".join(workflow.fail().output.split())


# ------------------------------------------------------------------------------------- containers


@pytest.fixture(scope="session")
def python_image(images: Images) -> str:
    """Python and bash, without Snakemake."""
    content = Filesystem()
    content.python("/bin/python3")
    content.program("/bin/bash", Path("/bin/bash"))
    content.busybox()
    return images.make("python", content)


def test_python_and_bash_scripts_run_in_an_image_without_snakemake(
    contained: Workflow, python_image: str
) -> None:
    targets = ["python/it's.txt", "bash/b.txt"]
    scripts(contained, f'container: "docker://{python_image}"').succeed(*targets)
    assert contained.read("python/it's.txt") == RESULT
    assert contained.read("bash/b.txt") == "given\nb hello\n"


@needs_r
def test_r_scripts_run_in_an_image_without_snakemake(
    contained_transfer: Workflow, images: Images
) -> None:
    content = Filesystem()
    content.r()
    image = images.make("r", content)
    scripts(contained_transfer, f'container: "docker://{image}"').succeed("r/x.txt")
    assert contained_transfer.read("r/x.txt") == "given\nbeside\nx\nhello\n"


def test_the_image_has_to_have_the_language_of_the_script(
    contained_transfer: Workflow, images: Images
) -> None:
    content = Filesystem()
    content.busybox()
    image = images.make("bare-of-languages", content)
    workflow = scripts(contained_transfer, f'container: "docker://{image}"')
    result = workflow.fail("--keep-going", "python/x.txt", "bash/x.txt", "r/x.txt")
    for language in ("Python 3.6 or newer", "bash", "Rscript"):
        assert f"the image has no {language}, which the script needs." in result.output
