"""Names, commands and amounts that break careless programs, in both places for the data."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from workflow_runs import Workflow

from snakemake_executor_cavatica.api.upload import upload
from snakemake_executor_cavatica.project.index import ProjectIndex

NAMES = [
    'it\'s "x" $(touch pwned) `touch pwned` $HOME \\n\\',
    "a&b;c|d>e<f #g~!h=i:j@k+l%s%%",
    "[a-z]*?(x){",
    "tab\t\x01\x1b[31m\x7f\x85\u2028",
    "\u202eabc\u05d0👩\u200d🔬\ufeff日本",
    "-rf",
]
MORE_NAMES = [
    "\u00e9 composed",
    "e\u0301 composed",
    "~",
    "Case",
    "cASE",
    "_.41__x",
    ".hidden",
    "'quoted'",
    "a,b",
    "a%20b?c#d",
    "@cavatica-tmpdir@<tmpdir-0>",
    "[snakemake-cavatica] exit-status 3",
    "$(inputs.snakemake_cores)",
    "".join(f"{number:03d}" for number in range(83)),
    "".join(chr(0x3041 + number) for number in range(83)),
]
"""For direct mode; the last ones have 249 bytes, and the very last is too long for a folder."""


def give_names(workflow: Workflow, names: list[str]) -> None:
    (workflow.directory / "names.json").write_text(json.dumps(names))
    workflow.put({f"in/{name}.t": "content " for name in names})


def assert_harmless(workflow: Workflow) -> None:
    """No name was run as a command here; had one been in a task, its outputs would differ."""
    assert not list(workflow.directory.parent.rglob("pwned"))


def test_any_name_is_a_wildcard_of_a_command(workflow: Workflow) -> None:
    names = NAMES + MORE_NAMES
    give_names(workflow, names)
    workflow.write(
        {
            "Snakefile": """
            import json
            NAMES = json.load(open("names.json"))

            rule all:
                input: [f"{name}.u" for name in NAMES], [f"{name}/file" for name in NAMES[:-1]]

            rule first:
                input: "in/{x}.t"
                output: "out/{x}.t"
                log: "log/{x}.t"
                params: text=lambda wildcards: wildcards.x
                shell:
                    "test -d {resources.tmpdir:q}; cat {input:q} > {output:q}; "
                    "printf %s {wildcards.x:q} >> {output:q}; printf %s {params.text:q} > {log:q}"

            rule second:
                input: "out/{x}.t"
                output: "{x}.u"
                wildcard_constraints: x="[^/]+"
                shell: "cat ./{input:q} > ./{output:q}"

            rule third:
                input: "{x}.u"
                output: "{x}/file"
                wildcard_constraints: x="[^/]+"
                shell: "cat ./{input:q} > ./{output:q}"
            """
        }
    )
    workflow.succeed("--jobs", "40")

    for name in names:
        assert workflow.read(f"{name}.u") == f"content {name}"
        assert workflow.read(f"log/{name}.t") == name
    for name in names[:-1]:
        assert workflow.read(f"{name}/file") == f"content {name}"
    assert_harmless(workflow)
    assert workflow.succeed().nothing_to_do


def test_any_name_is_a_wildcard_within_snakemake(workflow: Workflow) -> None:
    give_names(workflow, NAMES)
    workflow.write(
        {
            "Snakefile": """
            import json
            NAMES = json.load(open("names.json"))

            rule all:
                input: [f"out/{name}.t" for name in NAMES]

            rule script:
                input: "in/{x}.t"
                output: "temp/{x}.t"
                group: "together"
                script: "script.py"

            rule shell:
                input: "temp/{x}.t"
                output: "out/{x}.t"
                log: "log/{x}.t"
                benchmark: "benchmark/{x}.t"
                group: "together"
                shell:
                    "cat {input:q} > {output:q}; printf %s {wildcards.x:q} >> {output:q}; "
                    "echo said > {log:q}"
            """,
            "script.py": """
            with open(snakemake.input[0]) as source, open(snakemake.output[0], "w") as target:
                target.write(source.read() + snakemake.wildcards.x + " ")
            """,
        }
    )
    workflow.succeed("--group-components", f"together={len(NAMES)}")

    for name in NAMES:
        assert workflow.read(f"out/{name}.t") == f"content {name} {name}"
        assert workflow.read(f"log/{name}.t") == "said\n"
        assert workflow.read(f"benchmark/{name}.t")
    assert_harmless(workflow)


def test_a_wildcard_that_snakemake_cannot_be_told_is_refused(transfer_workflow: Workflow) -> None:
    workflow = transfer_workflow
    workflow.write(
        {
            "Snakefile": """
            rule script:
                output: "{x}.txt"
                run:
                    open(output[0], "w")
            """
        }
    )
    result = workflow.fail("a,b.txt")
    assert "--target-jobs cannot express the value 'a,b'" in result.output
    assert "use a shell directive" in result.output


def test_names_with_newlines_and_what_lies_in_folders(workflow: Workflow) -> None:
    names = ["new\nline $(touch pwned)", "-n'\"", "\t", "日\u0301" * 20]
    (workflow.directory / "names.json").write_text(json.dumps(names))
    workflow.put({f"in/{name}": f"{name}\n" for name in names})
    workflow.write(
        {
            "Snakefile": r"""
            import json, os
            NAMES = json.load(open("names.json"))
            envvars: "HOSTILE"

            rule all:
                input: "copied"
            rule make:
                input: [f"in/{name}" for name in NAMES]
                output: directory("made here/it's"), [f"out/{name}" for name in NAMES]
                log: f"log/{NAMES[0]}"
                params: env=os.environ["HOSTILE"]
                shell:
                    '''
                    mkdir -p {output[0]:q}/plain
                    cp {input:q} {output[0]:q}/plain
                    cp {input:q} "$(dirname {output[1]:q})"
                    test "$HOSTILE" = {params.env:q}
                    echo said > {log:q}
                    '''
            rule copy:
                input: "made here/it's"
                output: directory("copied")
                shell: "cp -rL {input:q}/plain {output}"
            """
        }
    )
    hostile = "new\nline $(touch pwned) 'x' \"y\" \\ `touch pwned`"
    result = workflow.run(environment={"HOSTILE": hostile})
    assert result.status == 0, result.output

    for name in names:
        for folder in ("copied", "out", "made here/it's/plain"):
            assert workflow.read(f"{folder}/{name}") == f"{name}\n"
    assert workflow.read(f"log/{names[0]}") == "said\n"
    assert_harmless(workflow)


def test_folders_that_the_platform_cannot_store_fail_their_job(
    transfer_workflow: Workflow,
) -> None:
    workflow, name = transfer_workflow, "with space"
    workflow.write(
        {
            "Snakefile": f"""
            rule made:
                output: directory("made")
                shell: "mkdir -p 'made/in/{name}'; touch 'made/in/{name}/file'"
            """
        }
    )
    result = workflow.fail()
    assert f"in the output made there is the folder ./in/{name}: the platform stores only" in (
        result.output
    )
    assert workflow.read("made") is None


@pytest.mark.both_places
def test_names_that_are_too_long_are_refused_by_their_length(workflow: Workflow) -> None:
    folder, file = "é" * 40, "é" * 130
    workflow.write(
        {
            "Snakefile": f"""
            rule long_folder:
                output: directory("{folder}")
                shell: "mkdir {{output}}"
            rule long_file:
                output: "{file}"
                shell: "touch {{output}}"
            """
        }
    )
    result = workflow.fail(folder)
    assert "too long for the platform: 320 characters after encoding, 255 are allowed" in (
        result.output
    )
    if workflow.place == "storage":  # no local file has such a name
        assert "has 260 bytes as UTF-8; a task can hold 255" in workflow.fail(file).output


def test_commands_of_200_kilobytes(workflow: Workflow) -> None:
    workflow.write(
        {
            "Snakefile": """
            rule all:
                input: "direct.txt", "snakemake.txt"
            rule long:
                output: "{mode}.txt"
                params: words=[f"word{number}" for number in range(22000)]
                resources: cavatica_mode=lambda wildcards: wildcards.mode
                shell: "printf '%s ' {params.words} > {output}"
            """
        }
    )
    workflow.succeed()
    expected = "".join(f"word{number} " for number in range(22000))
    assert len(expected) > 200_000
    assert workflow.read("direct.txt") == workflow.read("snakemake.txt") == expected


MANY = 500


def test_a_job_of_many_inputs_and_one_of_many_outputs(workflow: Workflow) -> None:
    """Their number is small enough for CI; 5,000 take less than a minute."""
    workflow.write(
        {
            "Snakefile": f"""
            rule join:
                input: expand("out/{{i}}", i=range(100)), expand("in/{{i}}", i=range({MANY}))
                output: "joined"
                shell: "cat {{input}} > {{output}}"
            rule split:
                output: expand("out/{{i}}", i=range(100))
                shell: "for i in {{output}}; do echo x > $i; done"
            """
        }
    )
    put_many(workflow)
    workflow.succeed()
    assert workflow.read("joined") == "x\n" * 100 + "".join(f"{i}\n" for i in range(MANY))


def put_many(workflow: Workflow) -> None:
    folder = workflow.directory / "in"
    folder.mkdir()
    files = [folder / str(number) for number in range(MANY)]
    for file in files:
        file.write_text(f"{file.name}\n")
    if workflow.place == "storage":
        with workflow.platform.client() as client, ThreadPoolExecutor(8) as pool:
            index = ProjectIndex(client, workflow.platform.project)
            parent = index.ensure_folder(f"{workflow.folder}/in")
            list(pool.map(lambda file: upload(client, file, parent=parent), files))
