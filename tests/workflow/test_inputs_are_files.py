"""Inputs of a job are files in its task, to every program: each of these has once seen a link."""

from __future__ import annotations

import bz2
import gzip
import os
from pathlib import Path

import pytest
from workflow_runs import Workflow

SNAKEFILE = """
rule all:
    input: expand("r/{x}", x=["grep", "tar", "scan", "gunzip", "import", "run", "index", "name"]),
        "r/folder", "r/program"
rule unpacked:
    input: "data/a.txt.gz", "data/b.txt.bz2"
    output: "r/gunzip"
    shell: "gunzip -k {input[0]:q} && bunzip2 -k {input[1]:q} && "
        "cat $(dirname {input[0]:q})/*.txt > {output}"
rule grep:
    input: "data/x.txt"
    output: "r/grep"
    shell: "(grep -rl content $(dirname {input[0]}) || true) | wc -l > {output}"
rule tar:
    input: "data/x.txt", pack="scripts/pack.sh"
    output: "r/tar"
    shell: "sh {input.pack} {input[0]} | tar -xO > {output}"
rule scan:
    input: "data/x.txt"
    output: "r/scan"
    run:
        import os
        with os.scandir(os.path.dirname(input[0])) as entries:
            entry = next(one for one in entries if one.name == os.path.basename(input[0]))
        status = entry.stat(follow_symlinks=False)
        open(output[0], "w").write(f"{entry.is_file(follow_symlinks=False)} {status.st_size}\\n")
rule imports:
    input: script="scripts/tool.py" HELPER
    output: "r/import"
    shell: "python {input.script} > {output}"
rule index:
    input: "data/x.bam", "data/x.bam.bai"
    output: "r/index"
    shell: 'cat "$(realpath {input[0]})".bai > {output}'
rule name:
    input: "data/x.txt"
    output: "r/name"
    run:
        from pathlib import Path
        open(output[0], "w").write(Path(input[0]).resolve().name + "\\n")
rule run:
    input: "data/x.txt"
    output: "r/run"
    shell: "echo more >> {input[0]} && touch -t 200001010000 time && "
        "[ {input[0]} -nt time ] && mv {input[0]} {output}"
rule folder:
    output: directory("made")
    shell: "mkdir -p {output}/deep && echo inside > {output}/deep/file"
rule in_folder:
    input: "made"
    output: "r/folder"
    shell: "find {input} -type f -name file | wc -l > {output}"
rule program:
    input: program="scripts/program"
    output: "r/program"
    shell: "PROGRAM > {output}"
"""
FILES: dict[str, str | bytes] = {
    "scripts/pack.sh": 'cd "$(dirname "$1")" && tar -cf - "$(basename "$1")"\n',
    "scripts/tool.py": "from helper import X\nprint(X)\n",
    "scripts/helper.py": "X = 'helped'\n",
    "scripts/program": "#!/bin/sh\necho ran\n",
    "data/x.txt": "content\n",
    "data/a.txt.gz": gzip.compress(b"a\n"),
    "data/b.txt.bz2": bz2.compress(b"b\n"),
    "data/x.bam": "bam\n",
    "data/x.bam.bai": "index\n",
}
EXPECTED = {
    "grep": "1\n",
    "tar": "content\n",
    "scan": "True 8\n",
    "gunzip": "a\nb\n",
    "import": "helped\n",
    "index": "index\n",
    "name": "x.txt\n",
    "run": "content\nmore\n",
    "folder": "1\n",
    "program": "ran\n",
}


@pytest.mark.both_places
@pytest.mark.parametrize("mode", ["auto", "snakemake"])
def test_inputs_are_files_to_every_program(workflow: Workflow, mode: str) -> None:
    """The platform keeps no permissions; and in a storage nothing lies beside a script."""
    helper, program = "", "{input.program}"
    if workflow.place == "storage":
        helper, program = ', helper="scripts/helper.py"', "sh {input.program}"
    workflow.write({"Snakefile": SNAKEFILE.replace("HELPER", helper).replace("PROGRAM", program)})
    workflow.put(FILES)
    if workflow.place == "transfer":
        Path(workflow.directory, "scripts/program").chmod(0o755)
        for name in FILES:
            os.utime(workflow.directory / name, (1_500_000_000,) * 2)
    workflow.succeed("--cavatica-mode", mode)
    assert {name: workflow.read(f"r/{name}") for name in EXPECTED} == EXPECTED
    assert workflow.read("data/x.txt") == "content\n"


def test_large_inputs_are_links_and_that_is_told_once(transfer_workflow: Workflow) -> None:
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": """
                rule all:
                    input: "a.out", "b.out", "accepted", "copied"
                rule linked:
                    input: "{x}.big", "small"
                    output: "{x}.out"
                    shell: "find {input} -type f > {output}"
                rule accepted:
                    input: "a.big"
                    output: "accepted"
                    resources: cavatica_inputs="link"
                    shell: "find {input} -type f > {output}"
                rule copied:
                    input: "a.big"
                    output: "copied"
                    resources: cavatica_inputs="copy"
                    shell: "find {input} -type f > {output}"
                """
        }
    )
    workflow.put({"a.big": "x" * 5_000_001, "b.big": "y" * 5_000_001, "small": "z"})
    result = workflow.succeed("--cavatica-copy-up-to", "0")
    assert result.output.count("Rule linked: large inputs") == 1
    assert "Rule accepted:" not in result.output
    assert "Rule copied:" not in result.output
    found = [workflow.read(name) for name in ("a.out", "b.out", "accepted", "copied")]
    assert found == ["small\n", "small\n", "", "a.big\n"]


def test_a_folder_is_whole_whatever_leads_to_its_parts(transfer_workflow: Workflow) -> None:
    """Two links to one folder, from two places; and the times and permissions of what is in it."""
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": """
                rule all:
                    input: "listed", "program"
                rule listed:
                    input: "folder"
                    output: "listed"
                    shell: "(cd {input} && find . -type f | LC_ALL=C sort) > {output}"
                rule program:
                    input: "folder"
                    output: "program"
                    shell: "folder/program > {output} || echo cannot run > {output}"
                """
        }
    )
    workflow.put({"shared/x": "x\n", "folder/program": "#!/bin/sh\necho ran\n"})
    for name in ("one", "two"):
        (workflow.directory / "folder" / name).mkdir()
        (workflow.directory / "folder" / name / "link").symlink_to("../../shared")
    (workflow.directory / "folder" / "circle").symlink_to(".")
    result = workflow.succeed()
    assert "folder/circle is a link to a folder that it lies in" in result.output
    assert workflow.read("listed") == "./one/link/x\n./program\n./two/link/x\n"
    assert workflow.read("program") == "cannot run\n"
    # What is behind a link, and a permission, are seen to have changed.
    (workflow.directory / "shared" / "y").touch()
    (workflow.directory / "folder" / "program").chmod(0o755)
    workflow.succeed("--forceall")
    listed = "./one/link/x\n./one/link/y\n./program\n./two/link/x\n./two/link/y\n"
    assert workflow.read("listed") == listed
    assert workflow.read("program") == "ran\n"


def test_files_from_elsewhere_keep_the_names_of_their_folders(transfer_workflow: Workflow) -> None:
    """A sample is often called after the folder that its reads are in."""
    workflow = transfer_workflow
    elsewhere = workflow.directory.parent / "elsewhere"
    workflow.write(
        {
            "Snakefile": f"""
                rule all:
                    input: "absolute", "upward"
                rule absolute:
                    input: "{elsewhere}/A/outs/reads", "{elsewhere}/B/outs/reads"
                    output: "absolute"
                    shell: "(for x in {{input}}; do d=${{{{x%/outs/*}}}}; echo ${{{{d##*/}}}} "
                        "$(cat $d/outs/reads); done) > {{output}}"
                rule upward:
                    input: "../elsewhere/A/outs/reads", "../elsewhere/B/outs/reads"
                    output: "upward"
                    shell: "(for x in {{input}}; do cat $(dirname $x)/../../B/outs/reads; done) "
                        "> {{output}}"
                """
        }
    )
    for sample in ("A", "B"):
        (elsewhere / sample / "outs").mkdir(parents=True)
        (elsewhere / sample / "outs" / "reads").write_text(f"of {sample}\n")
    workflow.succeed()
    assert workflow.read("absolute") == "A of A\nB of B\n"
    assert workflow.read("upward") == "of B\nof B\n"


def test_a_script_from_elsewhere_finds_the_programs_beside_it(transfer_workflow: Workflow) -> None:
    """As where a workflow runs in another directory than its own, and names its scripts."""
    workflow = transfer_workflow
    scripts = workflow.directory.parent / "repository" / "scripts"
    workflow.write(
        {
            "Snakefile": f"""
                rule all:
                    input: "absolute", "upward"
                rule absolute:
                    input: script="{scripts}/tool.py"
                    output: "absolute"
                    shell: "python {{input.script}} > {{output}}"
                rule upward:
                    input: "../repository/scripts/common.py", "../repository/scripts/tool.py"
                    output: "upward"
                    shell: "python {{input[1]}} > {{output}}"
                """
        }
    )
    scripts.mkdir(parents=True)
    (scripts / "common.py").write_text("X = 'helped'\n")
    (scripts / "tool.py").write_text("from common import X\nprint(X)\n")
    workflow.succeed()
    assert workflow.read("absolute") == workflow.read("upward") == "helped\n"


def test_a_path_through_a_link_and_up_again_is_refused(transfer_workflow: Workflow) -> None:
    """In a task it would lead to another file, of the same name."""
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": """
                rule a:
                    input: "link/../x", "x"
                    output: "out"
                    shell: "cat {input} > {output}"
                """
        }
    )
    workflow.put({"deep/x": "right\n", "x": "wrong\n", "deep/down/y": ""})
    (workflow.directory / "link").symlink_to("deep/down")
    result = workflow.fail()
    assert "Rule a cannot run on CAVATICA: its file link/../x leads through a link" in result.output


def test_folders_in_a_folder_have_the_names_that_the_platform_cannot_store(
    storage_workflow: Workflow,
) -> None:
    workflow = storage_workflow
    workflow.write(
        {
            "Snakefile": """
                rule all:
                    input: expand("{how}.out", how=["copy", "link"])
                rule a:
                    input: "the folder"
                    output: "{how}.out"
                    resources: cavatica_inputs=lambda wildcards: wildcards.how
                    shell: "(cd {input:q} && cat 'a b/c/ü d/x y' && find . | LC_ALL=C sort) "
                        "> {output}"
                """
        }
    )
    workflow.put({"the folder/a b/c/ü d/x y": "content\n", "the folder/-e f/z": ""})
    (workflow.directory / "the folder/a b/c/ü d").rmdir()
    workflow.succeed()
    names = [".", "./-e f", "./-e f/z", "./a b", "./a b/c", "./a b/c/ü d", "./a b/c/ü d/x y"]
    for how in ("copy", "link"):
        assert workflow.read(f"{how}.out") == "".join(f"{line}\n" for line in ["content", *names])


def test_the_copies_of_a_packed_job_end_with_it(transfer_workflow: Workflow) -> None:
    """Fifty jobs with ten gigabytes each would fill the disk of their task."""
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": """
                rule all:
                    input: expand("{x}.out", x=list("abc"))
                rule a:
                    input: "reference"
                    output: "{x}.out"
                    threads: 8
                    resources: cavatica_pack=3
                    shell: "ls -d $(pwd)/../../*/work/reference | wc -l > {output}"
                """
        }
    )
    workflow.put({"reference": "of all\n"})
    workflow.succeed()
    assert [workflow.read(f"{x}.out") for x in "abc"] == ["1\n"] * 3
