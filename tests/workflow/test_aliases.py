"""Inputs that are named by a file's id, or as DRS objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from workflow_runs import Platform, Workflow, new_workflow

from snakemake_executor_cavatica.api.call import post
from tests.drs_server import DrsServer, drs_server

READ_TWO = """
rule all:
    input: "a.txt", "b.txt"
rule one:
    input: one=storage.cavatica("{one}"), two=storage.cavatica("{two}")
    output: "a.txt"
    resources: cavatica_inherit_metadata=True
    shell: "cat {{input}} > {{output}}; echo {{input.two}} >> {{output}}"
rule other:
    input: lambda wildcards: storage.cavatica("{one}")
    output: "b.txt"
    run: shell("cat {{input}} > {{output}}")
"""


@pytest.fixture
def drs() -> Iterator[DrsServer]:
    with drs_server() as server:
        yield server


@pytest.fixture
def own(tmp_path: Any, fresh: Platform) -> Workflow:
    return new_workflow(tmp_path, fresh, "storage")


def paths(workflow: Workflow, method: str = ".") -> list[str]:
    return [
        one["path"].split("?")[0]
        for one in workflow.platform.requests()
        if method in (".", one["method"])
    ]


def test_drs_objects_are_imported_once_and_no_byte_passes_here(
    own: Workflow, drs: DrsServer
) -> None:
    one = drs.add("one", b"first\n")
    two = drs.add("8cc7dd3a-1b2f", b"second\n", by_access_id=True)
    own.write({"Snakefile": READ_TWO.format(one=one, two=f"{two}#sample.txt")})
    own.succeed("-n")
    assert drs.asked == []
    assert "POST" not in [one["method"] for one in own.platform.requests()]
    own.succeed()
    local = f".snakemake/storage/cavatica/{drs.host}/8cc7dd3a-1b2f/sample.txt"
    asked = paths(own)
    assert asked.count("/v2/bulk/drs/imports/create") == 1
    assert not [path for path in asked if path.endswith("/download_info")]
    with own.platform.client() as client:
        [folder] = client.list_files(project=own.platform.project, names=["snakemake"])
        [folder] = client.list_files(parent=folder.id, names=["drs"])
        imported = {
            file.metadata["snakemake_drs_uri"]: file.name[16:]
            for file in client.list_files(parent=folder.id)
        }
    assert imported == {one: "-one", two: "-sample.txt"}
    assert own.read("a.txt") == f"first\nsecond\n{local}\n"
    assert own.read("b.txt") == "first\n"
    before = len(drs.asked)
    assert own.succeed().nothing_to_do
    own.succeed("--force", "a.txt")
    assert len(drs.asked) == before


def test_what_cannot_be_imported_is_told_before_any_task(own: Workflow, drs: DrsServer) -> None:
    secret = drs.add("secret", b"x", secret=True)
    lost = drs.uri("lost")
    own.write({"Snakefile": READ_TWO.format(one=secret, two=lost)})
    told = own.fail().output
    assert f"{lost} cannot be imported: its server knows no such object" in told
    assert f"{secret} cannot be imported: you have no access to it" in told
    assert "/v2/tasks" not in paths(own, "POST")


def test_files_by_their_ids_and_of_public_projects(own: Workflow, drs: DrsServer) -> None:
    platform = own.platform
    own.put({"in.txt": "mine\n"})
    public = platform.fresh()
    theirs = new_workflow_beside(own, public)
    theirs.put({"ref.txt": "public\n"})
    platform.control("projects", {"project": public.project, "category": "PUBLIC"})
    user = f"reader-{platform.project[-8:]}"
    token = platform.control("users", {"username": user})["auth_token"]
    with platform.client() as client:
        members = f"/projects/{platform.project}/members"
        rights = {"write": True, "copy": True, "execute": True, "admin": False}
        client.transport.send(post(members, {"username": user, "permissions": rights}))
        ids = {}
        for project, where in ((platform.project, own), (public.project, theirs)):
            [folder] = client.list_files(project=project, names=[where.folder])
            ids[project] = next(file.id for file in client.list_files(parent=folder.id))
    own.platform.token = token
    by_place = f"cavatica://{public.project}/{theirs.folder}/ref.txt"
    own.write(
        {
            "Snakefile": f"""
            rule a:
                input:
                    storage.cavatica("cavatica://id/{ids[platform.project]}/x.txt"),
                    storage.cavatica("cavatica://id/{ids[public.project]}"),
                    storage.cavatica("{by_place}")
                output: "a.txt"
                shell: "cat {{input}} > {{output}}; basename {{input[0]}} >> {{output}}"
            """
        }
    )
    own.succeed()
    assert own.read("a.txt") == "mine\npublic\npublic\nx.txt\n"
    assert not [path for path in paths(own, "GET") if path.endswith("/download_info")][1:]
    own.write(
        {
            "Snakefile": 'rule a:\n    input: storage.cavatica("cavatica://id/' + "0" * 24 + '")\n'
            '    output: "b.txt"\n    shell: "cat {input} > {output}"\n'
        }
    )
    told = own.fail("b.txt").output
    assert f"cavatica://id/{'0' * 24} cannot be used: there is no file of that id" in told


def test_files_by_their_ids_are_looked_up_together(own: Workflow) -> None:
    own.put({f"{number}.txt": "" for number in range(3)})
    with own.platform.client() as client:
        [folder] = client.list_files(project=own.platform.project, names=[own.folder])
        ids = [file.id for file in client.list_files(parent=folder.id)]
    inputs = ", ".join(f'storage.cavatica("cavatica://id/{one}")' for one in ids)
    own.write({"Snakefile": f'rule a:\n    input: {inputs}\n    output: "a"\n    shell: ""\n'})
    own.succeed("-n")
    assert paths(own).count("/v2/bulk/files/get") == 1


def new_workflow_beside(workflow: Workflow, platform: Platform) -> Workflow:
    directory = workflow.directory.parent / "theirs"
    directory.mkdir()
    return new_workflow(directory, platform, "storage")


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ('input: storage.cavatica("drs://")', "a DRS object is written drs://host/id"),
        (
            'output: storage.cavatica("drs://host/id")',
            "is named by an id, or as a DRS object, which can only be read",
        ),
    ],
)
def test_mistakes(own: Workflow, rule: str, told: str) -> None:
    own.write({"Snakefile": f'rule a:\n    {rule}\n    shell: "touch {{output}}"\n'})
    assert told in own.fail().output
