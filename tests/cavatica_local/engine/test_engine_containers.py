"""Real containers, from an image that is built offline."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from container_images import Filesystem, Images, image_name
from engine_runs import FILE_OUT, Runner, Started, text, tool, wait_for

from cavatica_local.engine.containers import ContainerHabits, run_options
from cavatica_local.engine.cwl import CwltoolEngine

IMAGE = image_name("engine")


@pytest.fixture(scope="session")
def podman(images: Images) -> Iterator[CwltoolEngine]:
    content = Filesystem()
    content.busybox()
    images.make("engine", content)
    engine = CwltoolEngine("podman")
    yield engine
    engine.close()


@pytest.fixture
def run(podman: CwltoolEngine, tmp_path: Path) -> Iterator[Runner]:
    runner = Runner(podman, tmp_path)
    yield runner
    runner.end_all()


def contained(script: str, image: str = IMAGE, **fields: Any) -> dict[str, Any]:
    docker = {"DockerRequirement": {"dockerPull": image}}
    return tool(script, **{**fields, "requirements": {**docker, **fields.get("requirements", {})}})


def containers_of(started: Started) -> str:
    label = f"label=org.sevenbridges.task={started.execution.task_id}"
    command = ["podman", "ps", "--all", "--quiet", "--filter", label]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_tool_sees_the_platforms_paths(run: Runner, store: Callable[..., dict[str, Any]]) -> None:
    script = 'pwd > out; echo "$1" >> out; cat "$1" >> out; ls / >> out'
    inputs = {"x": {"type": "File", "inputBinding": {}}}
    result = run(contained(script, inputs=inputs, outputs=FILE_OUT), x=store("a, 'b'", "bytes\n"))
    lines = text(result).splitlines()
    assert lines[0] == "/sbgenomics/workspaces/project-uuid/tasks/task-1/example"
    assert lines[1:3] == ["/sbgenomics/Projects/project-uuid/a, 'b'", "bytes"]
    assert not {"root", "home", "work"} & set(lines[3:])
    assert Path(result.outputs["out"]["path"]).is_relative_to(run.root)
    assert result.command_line.startswith("sh -c ")


def test_inputs_are_read_only_even_for_root(
    run: Runner, store: Callable[..., dict[str, Any]]
) -> None:
    inputs = {"x": {"type": "File", "inputBinding": {}}}
    result = run(contained('echo no >> "$1"', inputs=inputs), x=store("x"))
    assert not result.succeeded
    assert "Read-only file system" in result.logs["stderr"].read_text()


def test_exit_code_and_stderr(run: Runner) -> None:
    result = run(contained("echo oops >&2; exit 5"))
    assert (result.message, result.exit_status) == ("Tool failed with exit code 5.", 5)
    assert "oops" in result.logs["stderr"].read_text()


@pytest.mark.parametrize("version", ["v1.0", "v1.2"])
def test_no_network(run: Runner, version: str) -> None:
    result = run(contained("ls /sys/class/net > out", outputs=FILE_OUT, cwlVersion=version))
    assert text(result).split() == ["lo"]


def test_the_network_of_a_project_that_allows_none(run: Runner) -> None:
    """Protects against workflows that run here and fail where the project keeps the network out."""
    asking = {"requirements": {"NetworkAccess": {"networkAccess": True}}, "outputs": FILE_OUT}
    document = contained("ls /sys/class/net > out", **asking)
    assert text(run.start(document, network=False).result()).split() == ["lo"]
    assert text(run(document)).split() != ["lo"]


def test_who_has_the_network_reaches_the_platform(run: Runner) -> None:
    """It listens on this machine's loopback, and a task may have something to ask of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        asking = {"requirements": {"NetworkAccess": {"networkAccess": True}}}
        started = run.start(contained(f"nc 127.0.0.1 {port} < /dev/null", **asking))
        server.settimeout(30)
        server.accept()[0].close()
        assert started.result().succeeded
        kept_out = run.start(contained(f"nc -w 2 127.0.0.1 {port} < /dev/null"), network=False)
        assert not kept_out.result().succeeded


def test_links_to_inputs_are_outputs_and_names_survive(
    run: Runner, store: Callable[..., dict[str, Any]]
) -> None:
    inputs = {"x": {"type": "File", "inputBinding": {}}}
    outputs = {"out": {"type": "File[]", "outputBinding": {"glob": "*"}}}
    result = run(
        contained(
            'ln -s "$1" "a %20 #b"; ln -s "$PWD/c" d; echo c > c', inputs=inputs, outputs=outputs
        ),
        x=store("in put", "bytes"),
    )
    assert result.succeeded, result.message
    files = {file["basename"]: Path(file["path"]).read_text() for file in result.outputs["out"]}
    assert files == {"a %20 #b": "bytes", "c": "c\n", "d": "c\n"}


def test_tool_without_image_runs_beside(run: Runner) -> None:
    result = run(tool("pwd > out", outputs=FILE_OUT))
    assert text(result).startswith(str(run.root))


def test_missing_image(run: Runner) -> None:
    result = run(contained("true", image="registry.invalid/no/such-image:1"))
    assert not result.succeeded
    assert "Image registry.invalid/no/such-image:1 was not found and could not be pulled" in (
        result.message
    )
    assert result.exit_status is None


def test_abort_removes_the_container(run: Runner) -> None:
    started = run.start(contained("touch ready; trap '' TERM; while :; do sleep 1; done"))
    wait_for(lambda: list(started.execution.directory.glob("**/ready")))
    assert containers_of(started)
    run.engine.abort(started.execution.task_id)
    assert started.result().message == "The task was aborted."
    assert containers_of(started) == ""


def test_time_limit_ends_the_container(run: Runner) -> None:
    limit = {"ToolTimeLimit": {"timelimit": 1}}
    started = run.start(contained("trap '' TERM; sleep 1000", requirements=limit))
    assert "time limit of 1 seconds" in started.result().message
    assert containers_of(started) == ""


def test_containers_are_removed_after_success(run: Runner) -> None:
    started = run.start(contained("true"))
    assert started.result().succeeded
    assert containers_of(started) == ""


def test_workflow_hands_files_from_container_to_container(run: Runner) -> None:
    docker = {"DockerRequirement": {"dockerPull": IMAGE}}
    first = tool("echo 1 > 'a b'", outputs={"out": {"type": "File"}}, requirements=docker)
    first["outputs"]["out"]["outputBinding"] = {"glob": "a b"}
    inputs = {"x": {"type": "File", "inputBinding": {}}}
    second = tool('ln -s "$1" out', inputs=inputs, outputs=FILE_OUT, requirements=docker)
    for step in (first, second):
        del step["id"], step["cwlVersion"]
    workflow = {
        "cwlVersion": "v1.2",
        "class": "Workflow",
        "inputs": {},
        "outputs": {"out": {"type": "File", "outputSource": "two/out"}},
        "steps": {
            "one": {"run": first, "in": {}, "out": ["out"]},
            "two": {"run": second, "in": {"x": "one/out"}, "out": ["out"]},
        },
    }
    assert text(run(workflow)) == "1\n"


def test_without_root_a_container_runs_as_the_servers_own_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Podman would give it another one, whom the working directory does not belong to."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    habits = ContainerHabits(user="nobody")
    assert habits.own_user
    options = run_options("podman", habits, "task-1")
    assert "--userns=keep-id" in options
    assert not [option for option in options if option.startswith("--user=")]


def test_container_does_not_outlive_the_fork_server(tmp_path: Path, podman: CwltoolEngine) -> None:
    run = Runner(CwltoolEngine("podman"), tmp_path)
    started = run.start(contained("touch ready; trap '' TERM; while :; do sleep 1; done"))
    wait_for(lambda: list(tmp_path.glob("**/ready")))
    server = run.engine._server
    assert server is not None
    server.process.kill()
    assert "fork server ended" in started.result().message
    wait_for(lambda: containers_of(started) == "")
    run.engine.close()
