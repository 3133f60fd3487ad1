"""A task that ran elsewhere, run again on this machine: in its own image, after a question."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest
from command_runs import TIMEOUT, Server
from container_images import Filesystem, Images

from snakemake_executor_cavatica.commands import debug, main
from snakemake_executor_cavatica.connections import CONNECTIONS
from snakemake_executor_cavatica.observe.record import find_record, read_record
from snakemake_executor_cavatica.project.connection import Connection

COMMAND = "snakemake_executor_cavatica.commands.main"
SNAKEFILE = """
rule count:
    input: "in.txt"
    output: "out.txt"
    container: "docker://{image}"
    shell: "cat {{input}} /tool >&2; exit 3"
"""


def failed_task(server: Server, directory: Path, image: str) -> str:
    directory.mkdir()
    (directory / "in.txt").write_text("the input\n")
    (directory / "Snakefile").write_text(SNAKEFILE.format(image=image))
    server.fail_workflow(directory, "--jobs", "1", "out.txt")
    [attempt] = read_record(find_record(directory)).attempts
    assert attempt.task is not None
    return attempt.task


def test_in_its_own_image_and_a_shell_there(server: Server, tmp_path: Path, images: Images) -> None:
    content = Filesystem()
    content.busybox()
    content.text("tool", "only in the image\n")
    image = images.make("debugged", content)
    directory = tmp_path / "workflow"
    task = failed_task(server, directory, image)  # there without the image
    result = server.command(COMMAND, "debug", task, "--containers", "podman", cwd=directory)
    assert result.status == 3, result
    assert f"in {image} by podman ..." in result.out
    assert "  the input\n  only in the image\n" in result.out
    folder = directory / f"cavatica-debug-{task[:8]}"
    assert "cat in.txt /tool" in (folder / "task/snakemake_command.sh").read_text()

    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        ["sh", str(folder / "enter.sh")], stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, b"cat /tool work/in.txt; exit\n")
    assert shell.wait(TIMEOUT) == 0
    said = os.read(ours, 65536)
    assert b"only in the image\r\nthe input\r\n" in said


def test_what_ran_without_containers_does_so_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its image may be Snakemake's, which nobody has here."""
    monkeypatch.setattr(debug, "program", lambda names: names[0])
    assert debug._containers("auto", {"no_containers": True}) == "none"
    assert debug._containers("auto", {}) == "podman"
    assert debug._containers("docker", {"no_containers": True}) == "docker"


@pytest.fixture
def real(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """A failed task, on a platform that is taken for a real one."""
    directory = tmp_path / "workflow"
    task = failed_task(server, directory, "an/image:1")
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(directory)
    monkeypatch.setattr(Connection, "is_local", property(lambda _: False))
    return task, directory


def test_a_download_from_a_real_platform_is_announced_and_asked_for(
    real: tuple[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, directory = real
    monkeypatch.setattr("sys.stdin", (directory / "in.txt").open())
    assert main.main(["debug", task]) == 1
    out, errors = capsys.readouterr()
    folder = directory / f"cavatica-debug-{task[:8]}"
    assert "The task takes 2 files, " in out
    assert f", which are brought to {folder} (" in out
    assert "There is no terminal to ask on whether to download this." in errors
    assert not folder.exists(), "nothing was done"


def test_there_has_to_be_room(
    real: tuple[str, Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, directory = real

    class Full:
        free = 10

    monkeypatch.setattr(debug.shutil, "disk_usage", lambda _: Full)
    assert main.main(["debug", task, "--yes"]) == 1
    errors = capsys.readouterr().err
    assert "where 10 bytes are free: twice their size is needed. --to names another" in errors
    assert not (directory / f"cavatica-debug-{task[:8]}").exists()


def test_inputs_that_are_gone_are_named(server: Server, tmp_path: Path) -> None:
    directory = tmp_path / "workflow"
    task = failed_task(server, directory, "an/image:1")
    [file] = [
        one
        for one in server.client.list_files(parent=server.folder("snakemake/inputs"))
        if one.name.endswith("in.txt")
    ]
    server.client.delete_file(file.id)
    result = server.command(COMMAND, "debug", task, cwd=directory)
    assert result.status == 1
    assert "1 inputs of the task are not there any more, or not for you: " in result.err
    assert "in.txt" in result.err
    CONNECTIONS.close()
