"""What can be known before the first task is told then, and nothing is made for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from check_runs import DIGEST, call, check, registry
from workflow_runs import Platform, Workflow, new_workflow

from benchmarks.check import effort, estimated
from snakemake_executor_cavatica.project.fetch_store import store
from snakemake_executor_cavatica.project.index import ProjectIndex
from tests.fresh_project import fresh_project

FOREIGN = {"cwlVersion": "v1.2", "class": "CommandLineTool", "inputs": [], "outputs": []}
REFUSED = {
    "memory": (
        "resources: mem_mb=1500000",
        "No known instance type has 1 cores and 1430512 MiB of memory",
    ),
    "cores": ("threads: 500", "No known instance type has 500 cores"),
    "gpus": ("resources: gpu=99", "and 99 GPUs"),
    "disk": ("resources: disk_mb=9000000", "more than the 4096 GB that an instance can have"),
    "small": (
        "threads: 8\n    resources: cavatica_instance_type='c5.large;ebs-gp2;100'",
        "the instance type c5.large has 2 cores and 4096 MiB of memory, and the job asks for 8",
    ),
    "form": (
        "resources: cavatica_instance_type='c5.large;ebs-gp2'",
        "'c5.large;ebs-gp2' is not of the form type;disk type;GB",
    ),
    "sif": ("container: 'library://some/image'", "is not a Docker image"),
    "word": ("resources: cavatica_inputs='hard'", "cavatica_inputs='hard' is none of 'auto'"),
    "metadata": (
        "resources: cavatica_output_metadata='a.b=c'",
        "has 'a.b=c', which is not of the form key=value",
    ),
    "name": (f"log: '{'x' * 300}'", "has 300 bytes as UTF-8; a task can hold 255"),
    "link": ("input: 'way/../x'", "its file way/../x leads through a link"),
    "direct": (
        "resources: cavatica_mode='direct'\n    params: x=workflow.source_path('tool.txt')",
        "direct mode was asked for, but its command uses workflow.source_path()",
    ),
}
"""By rule: what is wrong with it, and what is said of that."""


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform whose tasks run in images, so to speak, which takes no time."""
    server = Platform.start(
        tmp_path_factory.mktemp("simulated"), "--engine", "simulate", "--task-seconds", "0"
    )
    yield server
    server.stop()


@pytest.fixture
def own(tmp_path: Path, simulated: Platform) -> Workflow:
    """A workflow in a project of its own."""
    return new_workflow(tmp_path, simulated.fresh())


def write_mistakes(workflow: Workflow, images: str) -> None:
    """A workflow whose rules cannot run, and some that can."""
    rules = {name: body for name, (body, _) in REFUSED.items()}
    rules |= {
        "missing": f"container: 'docker://{images}/there:2'",
        "private": f"container: 'docker://{images}/private/one:1'",
        "right": f"container: 'docker://{images}/there:1'",
        "foreign": "threads: 1",
        "unknown": "resources: cavatica_instance_type='z9.large;ebs-gp2;100'",
    }
    text = ["rule all:", f"    input: {sorted(rules)}"]
    for name, body in rules.items():
        command = "{params.x} > {output}" if name == "direct" else "touch {output}"
        text += [f"rule {name}:", f"    output: '{name}'", f"    {body}", f"    shell: '{command}'"]
    text += ["rule image:", "    output: 'image'", "    container: 'docker://alpine'"]
    text += ["    run: pass", ""]
    workflow.write({"Snakefile": "\n".join(text)})
    workflow.write({"tool.txt": "x", "in/x": "x"})
    (workflow.directory / "elsewhere" / "deep").mkdir(parents=True)
    (workflow.directory / "elsewhere" / "x").write_text("x")
    (workflow.directory / "x").write_text("x")
    (workflow.directory / "way").symlink_to("elsewhere/deep")
    app = f"{workflow.platform.project}/snakemake-foreign"
    call(workflow.platform, "POST", f"/apps/{app}/raw", FOREIGN)


def test_all_mistakes_of_one_stage_are_told_together_and_refused_by_the_run_as_well(
    own: Workflow,
) -> None:
    with registry() as images:
        write_mistakes(own, images)
        found = check(own, "all", "image")
        assert found.status == 1
        texts = found.texts()
        for name, (_, sentence) in REFUSED.items():
            assert [one for one in texts if f"Rule {name} " in one and sentence in one], name
        assert [one for one in texts if "Rule image " in one and "own container" in one]
        foreign = f"The app {own.platform.project}/snakemake-foreign of the project is somebody"
        assert [one for one in texts if foreign in one]
        missing = f"The image {images}/there:2 of rule missing is not in its registry, {images}."
        assert f"{missing} Correct its name or tag." in texts
        assert len(texts) == len(REFUSED) + 3
        remarks = "\n".join(found.texts("remark"))
        assert f"{images} shows it to nobody without a login" in remarks
        assert "does not know the instance type 'z9.large'" in remarks
        assert found.document["images"][f"{images}/there:1"]["digest"] == DIGEST

    output = own.fail("all", "image").output
    for text in texts:
        is_cheap = text != missing + " Correct its name or tag." and foreign not in text
        assert (text in output) == is_cheap, text
    assert "Nothing was started. --cavatica-check off goes on in spite of it." in output
    with own.platform.client() as client:
        assert not list(client.list_tasks(project=own.platform.project))
    output = own.fail("foreign", "--cavatica-check", "off").output
    assert foreign in output


def test_with_keep_going_rules_that_can_run_do(own: Workflow) -> None:
    own.write(
        {
            "Snakefile": """
            rule all:
                input: "good", "bad"
            rule good:
                output: "good"
                shell: "touch {output}"
            rule bad:
                output: "bad"
                resources: mem_mb=1500000
                shell: "touch {output}"
            """
        }
    )
    output = own.fail("--keep-going").output
    assert (own.directory / "good").exists()
    assert output.count("No known instance type has 1 cores and 1430512 MiB") > 1


PLAIN = "rule a:\n    output: 'a'\n    shell: 'touch {output}'\n"


def test_what_is_wrong_with_project_and_sources_is_told_together(own: Workflow) -> None:
    platform = own.platform
    reader = platform.control("users", {"username": f"reader-{own.folder}"})
    members = f"/projects/{platform.project}/members"
    call(platform, "POST", members, {"username": reader["username"], "permissions": {"read": True}})
    group = platform.control("billing", {"username": "local", "disabled": True})
    own.write({"Snakefile": f"envvars: 'MY_PASSWORD'\n{PLAIN}", "kept.txt": reader["auth_token"]})
    own.write({"data.tsv": "x" * 2_000_000})
    as_reader = {"SB_AUTH_TOKEN": reader["auth_token"], "MY_PASSWORD": "x"}
    options = ("--cavatica-sources-max-mb", "1", "--cavatica-sources-include", "data.tsv")
    try:
        texts = check(own, *options, environment=as_reader).texts()
        assert len(texts) == 4
        told = "\n".join(texts)
        assert "You have no write and no copy and no execute permission in the project" in told
        assert "have 2.0 MB, more than the 1 MB" in told
        assert "The environment variables MY_PASSWORD look like secrets" in told
        assert "kept.txt holds your API token" in told
        [text] = [one for one in texts if "no write" in one]
        assert text in own.fail(*options, environment=as_reader).output
        secret = "--cavatica-allow-secret-envvars"
        [text] = check(own, secret, environment={"MY_PASSWORD": "x"}).texts()
        assert "The billing group local Billing Group" in text
        assert "is disabled, so that no task can run" in text
        assert text in own.fail(secret, environment={"MY_PASSWORD": "x"}).output
    finally:
        platform.control("billing", {"username": "local"})
    assert group["disabled"]


def test_what_snakemake_itself_refuses_is_told_with_what_is_wrong_besides(own: Workflow) -> None:
    own.write({"Snakefile": "rule a:\n    input: 'none'\n    output: 'a'\n    shell: 'true'\n"})
    storage = ("--cavatica-project", "", "--default-storage-provider", "cavatica")
    prefix = f"cavatica://{own.platform.project}/x"
    found = check(own, *storage, "--default-storage-prefix", prefix)
    assert len(found.texts()) == 1, "it is not said that no project is named"
    found = check(own, "--cavatica-project", "no/where")
    assert found.status == 1
    assert "Missing input files for rule a" in found.err
    assert [one for one in found.texts() if "There is no project no/where on" in one]
    own.write({"Snakefile": "rule a:\n    output 'a'\n"})
    found = check(own, environment={"SB_AUTH_TOKEN": "wrong"})
    assert found.status == 1
    assert found.err.count("SyntaxError") == 1, "it is told once"
    assert [one for one in found.texts() if "HTTP 401" in one and "token from" in one]


def test_without_token_or_platform(own: Workflow) -> None:
    own.write({"Snakefile": PLAIN})
    found = check(own, environment={"SB_AUTH_TOKEN": "", "HOME": str(own.directory)})
    assert found.status == 1
    assert [one for one in found.texts() if "SNAKEMAKE_CAVATICA_TOKEN" in one]
    found = check(own, "--cavatica-api-endpoint", "http://127.0.0.1:9/v2")
    assert found.status == 2
    assert "http://127.0.0.1:9/v2 cannot be reached" in found.err


def test_what_takes_the_network_is_told_where_tasks_have_none(own: Workflow, conda: Path) -> None:
    own.write(
        {
            "Snakefile": """
            rule all:
                input: "a", "b", "c"
            rule a:
                output: "a"
                conda: "env.yaml"
                shell: "touch {output}"
            rule b:
                output: "b"
                shell: "curl https://example.org/x > {output}"
            rule c:
                input: storage.cavatica("PROJECT/ref.txt", retrieve=False)
                output: "c"
                shell: "some-reader {input} > {output}"
            """.replace("PROJECT", f"cavatica://{own.platform.project}"),
            "env.yaml": "dependencies: [tool]\n",
        }
    )
    with own.platform.client() as client:
        index = ProjectIndex(client, own.platform.project)
        store(index, own.directory / "env.yaml", "ref.txt")
    own.platform.control("billing", {"username": "local", "balance": 0, "pending": True})
    try:
        found = check(own, "--software-deployment-method", "conda")
    finally:
        own.platform.control("billing", {"username": "local"})
    told = "\n".join(found.texts("remark"))
    assert "has a balance of 0.00 USD. Unless it is billed afterwards" in told
    assert "is pending: tasks may not run before it is approved" in told
    text, address = sorted(found.texts())
    assert address.startswith("The jobs of rule c read cavatica://")
    assert "by its address (retrieve=False), and the project" in address
    assert text.startswith("Rule a needs the network to make its conda environment (env.yaml), and")
    assert any("names https://example.org/x, and" in one for one in found.texts("remark"))
    call(
        own.platform,
        "PATCH",
        f"/projects/{own.platform.project}",
        {"settings": {"allow_network_access": True}},
    )
    found = check(own, "--software-deployment-method", "conda")
    assert found.status == 0
    assert not [one for one in found.texts("remark") if "example.org" in one]


def test_a_table_tells_how_rules_run_and_what_they_cost(own: Workflow) -> None:
    own.write(
        {
            "Snakefile": """
            rule all:
                input: expand("out/{x}", x=range(5)), "last"
            rule some:
                output: "out/{x}"
                threads: 2
                resources: mem_mb=8000, runtime=60
                shell: "touch {output}"
            rule last:
                input: expand("out/{x}", x=range(5))
                output: "last"
                resources: mem_mb=lambda wildcards, input: max(1000, input.size_mb)
                run: pass
            """
        }
    )
    found = check(own, as_json=False)
    assert found.status == 0, found.err
    [some] = [line for line in found.out.splitlines() if line.startswith("some ")]
    for cell in ("5", "direct", "2", "7630 MiB", "(m5.large)", "at most 1.18 USD by runtime"):
        assert cell in some, some
    [last] = [line for line in found.out.splitlines() if line.startswith("last ")]
    assert "snakemake" in last
    assert "unknown" in last
    assert "unknown for last." in found.out
    assert "It takes 6 tasks and about" in found.out
    assert found.out.endswith("\nNo problem was found.\n")
    assert "Looked at for it: 0 tasks of the project, 0 records of runs here." in found.out
    own.succeed("--cores", "2")
    document = check(own, "--forceall").document
    assert {one["rule"]: one["estimate"]["source"] for one in document["rules"]} == {
        "some": "history",
        "last": "history",
    }
    out = check(own, "--forceall", as_json=False).out
    assert "A job of some took 0 s (0 s to 0 s) and 0.00 USD (0.00 to 0.00) in the median" in out
    assert "Looked at for it: 6 tasks of the project, 1 record of runs here." in out
    assert check(own).document["rules"] == [], "there is nothing to do"


def test_inputs_are_told_that_cannot_be_copied_or_will_be_links(own: Workflow) -> None:
    stranger = own.platform.control("users", {"username": f"stranger-{own.folder}"})
    theirs = replace(own.platform, token=stranger["auth_token"])
    theirs.project = fresh_project(theirs.endpoint, theirs.token)
    permissions = {"username": "local", "permissions": {"read": True}}
    call(theirs, "POST", f"/projects/{theirs.project}/members", permissions)
    own.put({"large.bin": b"x" * 6_000_000})
    with theirs.client() as client:
        store(ProjectIndex(client, theirs.project), own.directory / "large.bin", "ref.bin")
    own.write(
        {
            "Snakefile": f"""
            rule all:
                input: "a", "b"
            rule a:
                input: storage.cavatica("cavatica://{theirs.project}/ref.bin")
                output: "a"
                shell: "cat {{input}} > {{output}}"
            checkpoint b:
                input: "large.bin"
                output: "b"
                shell: "cat {{input}} > {{output}}"
            """
        }
    )
    found = check(own, "--cavatica-copy-up-to", "0")
    [text] = found.texts()
    assert f"and you have no copy permission in {theirs.project}. Ask one of its" in text
    remarks = "\n".join(found.texts("remark"))
    assert "Rule b: large inputs of b, 0.0 GB, are links to the platform's files" in remarks
    assert "The jobs that depend on b are decided when that is done (checkpoint)" in remarks
    assert text in own.fail().output
    output = own.fail("--cavatica-check", "full", "--cavatica-copy-up-to", "0").output
    assert text in output
    assert "Rule b: large inputs of b, 0.0 GB, are links" in output


def test_files_on_the_platform_are_looked_at_there(tmp_path: Path, simulated: Platform) -> None:
    workflow = new_workflow(tmp_path, simulated.fresh(), "storage")
    workflow.write(
        {
            "Snakefile": """
            rule all:
                input: "out/a.txt", "out/b.txt"
            rule job:
                input: "in/{x}.txt"
                output: "out/{x}.txt"
                shell: "cat {input} > {output}"
            """
        }
    )
    workflow.put({f"in/{x}.txt": "content" for x in "ab"})
    found = check(workflow)
    assert found.status == 0, (found.out, found.err)
    document = found.document
    assert [(one["rule"], one["jobs"], one["inputs"]) for one in document["rules"]] == [
        ("job", 2, "7 bytes copied")
    ]
    workflow.remove("in/b.txt")
    found = check(workflow)
    assert found.status == 1
    assert "Missing input files for rule job" in found.err


def test_what_is_asked_too_early_is_asked_again(own: Workflow) -> None:
    """Resources that depend on a file which an earlier job makes, of a job and of a group."""
    own.write(
        {
            "Snakefile": """
            from os.path import getsize
            rule all:
                input: "b", "d"
            rule a:
                output: "a"
                shell: "touch {output}"
            rule b:
                input: "a"
                output: "b"
                resources: mem_mb=lambda wildcards, input: 600 + 0 * getsize(input[0])
                shell: "echo {resources.mem_mb} > {output}"
            rule c:
                input: "a"
                output: "c"
                group: "g"
                resources: mem_mb=lambda wildcards, input: 700 + 0 * getsize(input[0])
                shell: "touch {output}"
            rule d:
                input: "c"
                output: "d"
                group: "g"
                shell: "touch {output}"
            """
        }
    )
    found = check(own)
    assert found.status == 0
    assert not [one for one in found.texts("remark") if "Rule" in one], found.out
    own.succeed()
    with own.platform.client() as client:
        tasks = [
            client.get_task(task.id) for task in client.list_tasks(project=own.platform.project)
        ]
    memory = {one.name.split()[0]: one.inputs.get("snakemake_memory_mib") for one in tasks}
    assert memory["b"] == 573
    assert memory["g"] in (668, 1335)
    [command] = [one.inputs["snakemake_command"] for one in tasks if one.name.startswith("b")]
    assert "echo 600 > b" in command


def test_a_platform_that_does_not_tell_who_pays_keeps_no_run_from_beginning(
    own: Workflow,
) -> None:
    own.write({"Snakefile": PLAIN})
    own.platform.inject(
        {"method": "GET", "path": "/billing/", "do": "status", "status": 503, "times": 1000}
    )
    try:
        found = check(own)
        assert found.status == 0
        [text] = [one for one in found.texts("remark") if "HTTP 503" in one]
        assert text.startswith("Not everything could be checked: GET /billing/groups/")
        own.succeed()
    finally:
        own.platform.inject()


def test_thirty_rules_take_a_few_requests() -> None:
    assert effort(30, 2).requests <= 30


@pytest.mark.parametrize("seed", [1, 3])
def test_the_second_run_of_a_random_workflow_costs_what_was_told_before_it(seed: int) -> None:
    """All of `python -m benchmarks.check` is more of this. A busy machine makes tasks longer."""
    found = estimated(seed)
    assert found.low / 1.1 <= found.cost <= found.high * 1.1, found
    assert found.width < 2.2
