"""What is around a run: the words of its settings, proxies, modules that hide others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from workflow_runs import TIMEOUT, Platform, Workflow, new_workflow

from snakemake_executor_cavatica.project.index import ProjectIndex

SNAKEMAKE = str(Path(sys.executable).parent / "snakemake")
SNAKEFILE = """
rule all:
    output: "done.txt"
    shell: "echo done > {output}"
"""


@pytest.fixture
def own_storage(tmp_path: Path, fresh: Platform) -> Workflow:
    return new_workflow(tmp_path, fresh, "storage")


def test_what_is_switched_off_is_off(own_transfer: Workflow) -> None:
    own_transfer.write(
        {
            "Snakefile": SNAKEFILE,
            "flavour/config.yaml": "cavatica-interruptible: false\ncavatica-batch: off\n",
            "trap/config.yaml": 'cavatica-use-memoization: "maybe"\n',
        }
    )
    result = own_transfer.fail("--profile", "trap")
    assert "--cavatica-use-memoization 'maybe' is neither true nor false" in result.output
    assert "usage:" not in result.output
    own_transfer.succeed("--profile", "flavour")
    with own_transfer.platform.client() as client:
        (task,) = client.list_tasks(project=own_transfer.platform.project)
    assert task.use_interruptible_instances is False


@pytest.mark.parametrize("prefix", ["cavatica://local", "cavatica://local/"])
def test_a_prefix_without_a_project_is_named(storage_workflow: Workflow, prefix: str) -> None:
    storage_workflow.write({"Snakefile": SNAKEFILE})
    result = storage_workflow.fail("--default-storage-prefix", prefix)
    assert "There is no project local/done.txt" in result.output
    assert "come from --default-storage-prefix, which has to name both" in result.output


def test_a_prefix_without_a_folder_is_the_project_itself(own_storage: Workflow) -> None:
    own_storage.write({"Snakefile": SNAKEFILE})
    own_storage.succeed("--default-storage-prefix", f"cavatica://{own_storage.platform.project}")
    with own_storage.platform.client() as client:
        index = ProjectIndex(client, own_storage.platform.project)
        assert index.find("done.txt") is not None


def test_neither_a_proxy_nor_modules_of_the_workflow_get_in_the_way(
    transfer_workflow: Workflow,
) -> None:
    """The embedded platform starts beside them; tasks see them as they do elsewhere."""
    transfer_workflow.write(
        {
            "Snakefile": """
                rule all:
                    output: "done.json"
                    shell: "python3 tell.py {output}"
            """,
            "tell.py": """
                import json, os, random, sys
                ours = {"PYTHONPATH", "PYTHONSAFEPATH"} & set(os.environ)
                with open(sys.argv[1], "w") as file:
                    json.dump([random.whose, os.path.samefile(sys.path[0], "."), list(ours)], file)
            """,
            "random.py": "whose = 'the workflow'",
            **{
                f"{name}.py": f"raise SystemExit('{name} of the workflow')"
                for name in ("queue", "secrets", "logging", "cwltool", "uvicorn", "git")
            },
            "lib/mine.py": "",
        }
    )
    proxies = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    proxies |= {name.upper(): address for name, address in proxies.items()}
    command = [SNAKEMAKE, "--executor", "cavatica", "--cavatica-api-endpoint", "Local"]
    command += ["--jobs", "1", "--cavatica-sources-include", "tell.py", "random.py"]
    run = subprocess.run(
        command,
        cwd=transfer_workflow.directory,
        env={**transfer_workflow.environment(), **proxies, "PYTHONPATH": "lib"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(transfer_workflow.read("done.json") or "") == ["the workflow", True, []]


def test_folders_of_this_machine_are_not_searched_in_tasks_by_chance(
    transfer_workflow: Workflow, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No other platform inherits what a Snakefile adds to PATH."""
    program = tmp_path_factory.mktemp("elsewhere") / "greet"
    program.write_text("#!/bin/sh\necho from this machine\n")
    program.chmod(0o755)
    transfer_workflow.write(
        {
            "Snakefile": """
                import os
                os.environ["PATH"] += os.pathsep + config["elsewhere"]
                rule all:
                    output: "done.txt"
                    shell: "(command -v greet || echo none) > {output}"
            """
        }
    )
    endpoint = ("--cavatica-api-endpoint", "local", "--cavatica-project", "local/project")
    transfer_workflow.succeed(*endpoint, "--config", f"elsewhere={program.parent}")
    assert transfer_workflow.read("done.txt") == "none\n"
