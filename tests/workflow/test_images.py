"""Rules in images of every kind, run for real in containers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from container_images import ENVIRONMENT, Filesystem, Images
from workflow_runs import Platform, Workflow, new_workflow

EVERY_KIND = """
IMAGES = {images!r}

for name, image in IMAGES.items():
    rule:
        name: f"in_{{name}}"
        input:
            "in.txt",
        output:
            text=f"results/{{name}}/deep/er/text",
            folder=directory(f"results/{{name}}/folder"),
            flag=touch(f"results/{{name}}/flag"),
        log:
            f"logs/{{name}}/said.log",
        container:
            f"docker://{{image}}"
        shell:
            "umask 077;"
            " cat {{input}} > {{output.text}};"
            ' (: > /probe) 2> /dev/null && root=writable || root=closed;'
            ' echo "user $(id -u) $root ${{{{GREETING:-}}}}" >> {{output.text}};'
            ' mktemp > {{log}}; echo room > "$HOME/.room"; echo room > {{resources.tmpdir}}/room;'
            " mkdir -p {{output.folder}}/a/b; echo deep > {{output.folder}}/a/b/c;"
            " ln -s b/c {{output.folder}}/a/link; ln -s $PWD/{{input}} {{output.folder}}/given"

rule all:
    default_target: True
    input:
        expand("results/{{name}}/flag", name=IMAGES),
        texts=expand("results/{{name}}/deep/er/text", name=IMAGES),
        folders=expand("results/{{name}}/folder", name=IMAGES),
    output:
        "all.txt",
    container:
        "docker://{last}"
    shell:
        "for folder in {{input.folders}}; do cat $folder/a/b/c $folder/a/link $folder/given;"
        " find $folder -type f | wc -l; done | sort | uniq -c > {{output}};"
        " cat {{input.texts}} | grep user >> {{output}}"
"""
PASSWD = "root:x:0:0::/root:/bin/sh\nworker:x:1001:1001::/home/worker:/bin/sh\n"
ENTRYPOINT = '#!/bin/sh\nexport GREETING=entered\nexec "$@"\n'
USERS = {"user": 1234, "named": 1001}
GREETINGS = {"entrypoint": "entered", "settings": "set"}


def _busybox() -> Filesystem:
    content = Filesystem()
    content.busybox()
    return content


def _with_shell(path: str, program: str, without: tuple[str, ...] = ()) -> Filesystem:
    """A shell of Debian, and the tools of busybox that are not at its path."""
    content = Filesystem()
    content.program(path, Path(program))
    content.busybox(without)
    return content


@pytest.fixture(scope="session")
def kinds(images: Images) -> dict[str, str]:
    """Images in which every job has to run, by what is special about them."""
    named, entered, settings = _busybox(), _busybox(), _busybox()
    named.text("/etc/passwd", PASSWD)
    entered.text("/enter", ENTRYPOINT, 0o755)
    settings.folder("/data", 0o700)
    variables = ("ENV GREETING=set", "ENV HOME=/no/home", "ENV TMPDIR=/no/tmp")
    return {
        "busybox": images.make("busybox", _busybox()),
        "bash": images.make("bash", _with_shell("/bin/bash", "/bin/bash")),
        "dash": images.make("dash", _with_shell("/bin/sh", "/bin/dash")),
        "entrypoint": images.make("entrypoint", entered, 'ENTRYPOINT ["/enter"]'),
        "settings": images.make("settings", settings, "WORKDIR /data", *variables, 'CMD ["false"]'),
        "named": images.make("named", named, "USER worker"),
        "user": images.make("user", _busybox(), "USER 1234:5678"),
    }


def _run_in_every_kind(workflow: Workflow, kinds: dict[str, str]) -> list[str]:
    """What the jobs in each image found: their user, and what the image says."""
    last = list(kinds.values())[-1]
    workflow.write({"Snakefile": EVERY_KIND.format(images=kinds, last=last)})
    workflow.put({"in.txt": "given\n"})
    workflow.succeed()
    for kind in kinds:
        text = workflow.read(f"results/{kind}/deep/er/text") or ""
        assert text.startswith("given\nuser "), kind
        assert workflow.read(f"results/{kind}/flag") == "", kind
        assert workflow.read(f"logs/{kind}/said.log"), kind
    number, lines = len(kinds), (workflow.read("all.txt") or "").splitlines()
    counts = [line.split() for line in lines[:3]]
    assert counts == [[f"{number}", "3"], [f"{2 * number}", "deep"], [f"{number}", "given"]]
    return lines[3:]


def _user(user: int) -> int:
    """Without root, a server can run containers as its own user only."""
    return user if os.geteuid() == 0 else os.geteuid()


def test_jobs_run_in_images_of_every_kind(contained: Workflow, kinds: dict[str, str]) -> None:
    found = _run_in_every_kind(contained, kinds)
    users = {kind: _user(USERS.get(kind, 0)) for kind in kinds}
    assert found == [f"user {users[kind]} closed {GREETINGS.get(kind, '')}" for kind in kinds]
    assert contained.succeed().nothing_to_do


MILDER = (
    "container_user=root",
    "container_root_writable=true",
    "container_cwl_variables=true",
    "container_entrypoint=false",
)


@pytest.mark.parametrize(
    "switches", [("container_user=nobody",), MILDER], ids=["harsher", "milder"]
)
def test_jobs_run_however_the_platform_sets_up_containers(
    tmp_path: Path,
    serve: Callable[..., Platform],
    kinds: dict[str, str],
    switches: tuple[str, ...],
) -> None:
    options = [word for switch in switches for word in ("--switch", switch)]
    workflow = new_workflow(tmp_path, serve("--containers", "podman", *options))
    found = _run_in_every_kind(workflow, kinds)
    milder = switches == MILDER
    user = _user(0 if milder else 65534)
    root = "writable" if milder and user == 0 else "closed"
    greetings = {**GREETINGS, "entrypoint": "" if milder else "entered"}
    assert found == [f"user {user} {root} {greetings.get(kind, '')}" for kind in kinds]


def test_commands_may_use_bash_where_the_image_has_it(
    contained_transfer: Workflow, kinds: dict[str, str]
) -> None:
    workflow = contained_transfer
    workflow.write(
        {
            "Snakefile": f"""
            rule a:
                output: "a.txt"
                container: "docker://{kinds["bash"]}"
                shell: "x=(a b); [[ ${{{{x[1]}}}} == b ]] && cat <(echo ${{{{x[@]}}}}) > {{output}}"
            """
        }
    )
    workflow.succeed()
    assert workflow.read("a.txt") == "a b\n"


def test_a_rule_with_500_inputs(contained: Workflow, kinds: dict[str, str]) -> None:
    contained.write(
        {
            "Snakefile": f"""
            container: "docker://{kinds["busybox"]}"
            PARTS = expand("many/part {{number}}.txt", number=range(500))

            rule total:
                input: PARTS
                output: "total.txt"
                shell: "cat {{input:q}} | sort -u | wc -l > {{output}}"

            rule parts:
                output: PARTS
                shell: 'for part in {{output:q}}; do echo "$part" > "$part"; done'
            """
        }
    )
    contained.succeed()
    assert contained.read("total.txt") == "500\n"


GROUPS = """
IMAGES = {images!r}

for name, image in IMAGES.items():
    rule:
        name: f"write_{{name}}"
        output: pipe(f"{{name}}.numbers")
        group: name
        container: f"docker://{{image}}"
        shell: "seq 5000 > {{output}}"

    rule:
        name: f"count_{{name}}"
        input: f"{{name}}.numbers"
        output: temp(f"{{name}}.count")
        group: name
        container: f"docker://{{image}}"
        shell: "cat {{input}} | wc -l > {{output}}"

    rule:
        name: f"end_{{name}}"
        input: f"{{name}}.count"
        output: f"{{name}}.end"
        group: name
        shadow: "minimal"
        container: f"docker://{{image}}"
        shell: "id -u > scratch; cat {{input}} scratch > {{output}}"

rule fails:
    output: pipe("never")
    container: "docker://{last}"
    shell: "exit 3; echo > {{output}}"

rule waits:
    input: "never"
    output: "waited"
    container: "docker://{last}"
    shell: "cat {{input}} > {{output}}"
"""


def test_groups_run_in_images_of_every_kind_and_end_with_the_first_failure(
    contained_transfer: Workflow, kinds: dict[str, str]
) -> None:
    workflow = contained_transfer
    last = list(kinds.values())[-1]
    workflow.write({"Snakefile": GROUPS.format(images=kinds, last=last)})
    workflow.succeed(*(f"{kind}.end" for kind in kinds))
    for kind in kinds:
        words = (workflow.read(f"{kind}.end") or "").split()
        assert words == ["5000", str(_user(USERS.get(kind, 0)))], kind
    output = workflow.fail("waited").output
    assert "fails+waits, job fails: the command failed with exit status 3." in output


IN_SNAKEMAKE = """
rule last:
    input:
        "added.txt",
    output:
        "last.txt",
    run:
        import os

        assert os.getuid() != 0
        with open(input[0]) as source, open(output[0], "w") as target:
            target.write(source.read().replace("\\n", " ").strip() + "\\n")

rule piped:
    input:
        "in.txt",
    output:
        pipe("piped.txt"),
    shell:
        "(cat {input}; echo 2) > {output}"

rule added:
    input:
        "piped.txt",
    output:
        "added.txt",
    params:
        more=3,
    script:
        "scripts/add.py"
"""
ADD = """
with open(snakemake.input[0]) as source, open(snakemake.output[0], "w") as target:
    target.write(source.read() + f"{snakemake.params.more}\\n")
"""


FAILURES = """
rule piped_in_bash:
    output: "bash.txt"
    container: "docker://{bash}"
    shell: "false | true; echo never > {{output}}"

rule piped_in_busybox:
    output: "busybox.txt"
    container: "docker://{busybox}"
    shell: "false | true; echo never > {{output}}"

rule piped_in_dash:
    output: "dash.txt"
    container: "docker://{dash}"
    shell: "false | true; echo made > {{output}}"

rule said:
    output: "said.txt"
    log: "logs/said.log"
    container: "docker://{user}"
    shell: "echo the reason > {{log}}; echo oops >&2; exit 7"

rule absent_tool:
    output: "absent.txt"
    container: "docker://{busybox}"
    shell: "samtools view > {{output}}"

rule without_tar:
    output: directory("tar")
    container: "docker://{without_tar}"
    shell: "mkdir {{output}}"

rule without_shell:
    output: "shell.txt"
    container: "docker://{without_shell}"
    shell: "echo never > {{output}}"

rule swallowed:
    output: "swallowed.txt"
    container: "docker://{swallowing}"
    shell: "echo never > {{output}}"

rule wrong_entrypoint:
    output: "entrypoint.txt"
    container: "docker://{wrong_entrypoint}"
    shell: "echo never > {{output}}"
"""


def test_why_a_job_failed_in_its_image_is_said(
    contained_transfer: Workflow, images: Images, kinds: dict[str, str]
) -> None:
    empty = Filesystem()
    empty.text("/readme", "nothing else")
    bare = images.make("bare", empty)
    wrong = images.make("wrong", _busybox(), 'ENTRYPOINT ["cat"]')
    workflow = contained_transfer
    workflow.write(
        {
            "Snakefile": FAILURES.format(
                **kinds,
                # Busybox as a shell has its tools built in, so it would not miss them.
                without_tar=images.make(
                    "without-tar", _with_shell("/bin/sh", "/bin/dash", ("tar", "find"))
                ),
                without_shell=bare,
                swallowing=images.make("swallowing", _busybox(), 'ENTRYPOINT ["echo", "-"]'),
                wrong_entrypoint=wrong,
            )
        }
    )
    targets = ["bash", "busybox", "dash", "said", "absent", "shell", "swallowed", "entrypoint"]
    result = workflow.fail("--keep-going", *(f"{name}.txt" for name in targets), "tar")

    needs = "Check the image: it needs sh, and its entrypoint, if it has one, has to run the"
    for message in (
        "piped_in_bash: the command failed with exit status 1.",
        "piped_in_busybox: the command failed with exit status 1.",
        "said: the command failed with exit status 7.",
        "absent_tool: the command failed with exit status 127. A program was not found:",
        "without_tar: the job could not be run as it should: the image lacks tar find: add",
        f"without_shell: the job's script did not start in the image {bare}. {needs}",
        f"wrong_entrypoint: the job's script did not start in the image {wrong}. {needs}",
        "swallowed: the platform ended the task, and left no trace of its command.",
    ):
        assert message in result.output
    assert "    oops\n" in result.output
    assert workflow.read("logs/said.log") == "the reason\n"
    assert workflow.read("dash.txt") == "made\n", "dash knows no pipefail"


@pytest.fixture(scope="session")
def snakemake_image(images: Images) -> str:
    """An image with this Snakemake, for a user who has no home."""
    content = _with_shell("/bin/bash", "/bin/bash")
    content.snakemake()
    return images.make("snakemake", content, "USER 1234:5678", f"ENV PATH={ENVIRONMENT}/bin:/bin")


def test_snakemake_runs_in_an_image_that_holds_it(
    contained: Workflow, snakemake_image: str
) -> None:
    contained.write({"Snakefile": IN_SNAKEMAKE, "scripts/add.py": ADD})
    contained.put({"in.txt": "1\n"})
    contained.succeed("--container-image", snakemake_image)
    assert contained.read("last.txt") == "1 2 3\n"
