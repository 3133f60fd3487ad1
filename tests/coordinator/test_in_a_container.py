"""A main process in an image that holds Snakemake and nothing of this plugin, for another user."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from container_images import ENVIRONMENT, Filesystem, Images
from submitted_runs import command, secrets_in, submit, tasks_of, texts_of

from tests.workflow.workflow_runs import Platform, Workflow

SNAKEFILE = """
rule all:
    input: "seen.txt"

localrules: all, seen

rule made:
    output: "made.txt"
    threads: 2
    container: "docker://{image}"
    shell: "echo made > {{output}}"

rule seen:
    input: "made.txt"
    output: "seen.txt"
    shell: "(cat {{input}}; env; id -u; ls -a $HOME) > {{output}}"
"""


@pytest.fixture(scope="module")
def image(images: Images) -> str:
    """As in the wild: a user without a home, and a root that cannot be written to."""
    content = Filesystem()
    content.busybox(without=["sh"])
    content.program("/bin/bash", Path("/bin/bash"))
    content.link("/bin/sh", "bash")
    content.link("/usr/bin/env", "/bin/busybox")
    content.snakemake()
    user = ("USER 1234:5678", f"ENV PATH={ENVIRONMENT}/bin:/bin")
    return images.make("coordinator", content, *user)


@pytest.fixture
def contained(image: str, tmp_path: Path) -> Iterator[Platform]:
    """A server on two cores: the main process and a job of two threads fit on it together."""
    options = ("--containers", "podman", "--host-cores", "2")
    server = Platform.start(tmp_path / "server", *options)
    yield server
    server.stop()


def test_it_runs_there(contained: Platform, image: str, place: Path) -> None:
    folder = place / "workflow"
    folder.mkdir()
    workflow = Workflow(folder, contained, "storage")
    workflow.write({"Snakefile": SNAKEFILE.format(image=image)})
    run = submit(workflow, "--container-image", image)
    log = run.command("logs", "--follow").output
    assert run.wait() == "COMPLETED", log
    assert [task.status for task in tasks_of(contained)] == ["COMPLETED"]
    seen = workflow.read("seen.txt") or ""
    assert seen.startswith("made\n")
    assert "\n1234\n" in seen
    with contained.client() as client:
        for project in (contained.project, run.home):
            assert secrets_in(texts_of(client, project), contained.token) == []
    told = command(contained, "status", run.run, cwd=place)
    assert told.status == 0, told.output
