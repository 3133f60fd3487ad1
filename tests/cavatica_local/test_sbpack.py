"""Another judge: the provider's tools that store and fetch apps, unmodified, by their commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from platform_serving import Serve, Server

TOOL = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c]
arguments: [$(inputs.greeting) > hello.txt]
inputs:
  greeting: string
outputs:
  hello: {type: File, outputBinding: {glob: hello.txt}}
"""
WORKFLOW = """
cwlVersion: v1.2
class: Workflow
inputs: {greeting: string}
steps:
  greet: {run: tool.cwl, in: {greeting: greeting}, out: [hello]}
outputs:
  hello: {type: File, outputSource: greet/hello}
"""


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve("--tls")


def command(server: Server, name: str, *arguments: str, folder: Path) -> str:
    """Run a command of the tools with the profile of the environment; what it printed."""
    done = subprocess.run(
        [Path(sys.executable).with_name(name), ".", *arguments],
        env={
            **os.environ,
            "SB_API_ENDPOINT": server.api,
            "SB_AUTH_TOKEN": server.token,
            "REQUESTS_CA_BUNDLE": str(server.certificate),
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_an_app_is_stored_fetched_and_runs(server: Server, tmp_path: Path) -> None:
    (tmp_path / "tool.cwl").write_text(TOOL)
    (tmp_path / "main.cwl").write_text(WORKFLOW)
    app = f"{server.project}/greeting"
    command(server, "sbpack", app, "main.cwl", folder=tmp_path)
    task = server.run(app, {"greeting": "echo hello"})
    assert task["status"] == "COMPLETED", task
    command(server, "sbpull", app, "fetched.cwl", folder=tmp_path)
    fetched: dict[str, Any] = yaml.safe_load((tmp_path / "fetched.cwl").read_text())
    assert fetched["class"] == "Workflow"
    # Stored once more it is a new revision of the same app.
    command(server, "sbpack", app, "fetched.cwl", folder=tmp_path)
    assert server.get(f"/apps/{app}")["revision"] == 1
    assert server.run(app, {"greeting": "echo hello"})["status"] == "COMPLETED"
    command(server, "sbpull", app, "parts.cwl", "--unpack", folder=tmp_path)
    assert list((tmp_path / "parts.cwl.steps").iterdir())
