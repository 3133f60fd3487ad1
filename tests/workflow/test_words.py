"""What users write as settings, as a run understands it."""

from __future__ import annotations

from workflow_runs import Workflow

SNAKEFILE = """
rule all:
    output: "done.txt"
    shell: "echo done > {output}"
"""


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
