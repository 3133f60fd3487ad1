"""Each way of writing inputs, outputs, parameters and resources gives what it gives locally.

The ways are the rules of `ways_of_writing.smk`. A failure names those that are wrong.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.api import SnakemakeApi
from snakemake.rules import Rule
from snakemake.settings.types import ConfigSettings, ResourceSettings
from workflow_runs import Platform, Workflow, new_workflow

from snakemake_executor_cavatica.read.sources import Sources
from snakemake_executor_cavatica.read.workflow import lasting_sources

SNAKEFILE = Path(__file__).with_name("ways_of_writing.smk").read_text()
_RULE = re.compile(r"^(?:use rule \w+ as|rule) (\w+)(?: with)?:", re.MULTILINE)
WAYS = [name for name in _RULE.findall(SNAKEFILE) if not name.startswith("make_")]
OF_THE_WORKFLOW = {
    "Snakefile": SNAKEFILE,
    "beside.txt": "beside\n",
    "caption.rst": "A caption.",
    "here/h.txt": "here\n",
    "scripts/unpacked.py": """
        with open(snakemake.output[0], "w") as target:
            for name in [snakemake.input.second, *snakemake.input.first]:
                target.write(open(name).read())
    """,
    "scripts/params.py": """
        params = snakemake.params
        with open(snakemake.output[0], "w") as target:
            print(params[0], params.path, params.d, params["x"], file=target)
    """,
    "scripts/resources.py": """
        got = snakemake.resources
        with open(snakemake.output[0], "w") as target:
            print(got.n, got.text, got.mem_mb, snakemake.threads, file=target)
    """,
}
DATA = {
    **{f"in/{name}.{end}": f"{name} as {end}\n" for name in "abc" for end in ("txt", "tsv")},
    "in/folder/f": "f\n",
    "in/folder/deep/g": "g\n",
    "in/updated.txt": "not updated\n",
}
STORED = {"stored.txt": "stored\n", "a.stored.txt": "a stored\n"}


def _written(workflow: Workflow) -> Workflow:
    workflow.write(OF_THE_WORKFLOW)
    Workflow(workflow.directory, workflow.platform, "storage", workflow.folder).put(STORED)
    workflow.put(DATA)
    return workflow


def _results(workflow: Workflow) -> dict[str, str | None]:
    return {way: workflow.read(f"out/{way}/a") for way in WAYS}


def _arguments(workflow: Workflow) -> list[str]:
    # Snakemake's other scheduler fails when groups change while a queue is read (KeyError).
    options = ["--config", f"prefix={workflow.prefix}", "--scheduler", "greedy", "--keep-going"]
    return [*(f"out/{way}/a" for way in WAYS), *options]


@pytest.fixture(scope="module")
def made_locally(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str | None]:
    """The results by the local executor."""
    workflow = _written(new_workflow(tmp_path_factory.mktemp("local"), platform))
    process = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "4", *_arguments(workflow)],
        cwd=workflow.directory,
        env=workflow.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    results = _results(workflow)
    assert process.returncode == 0, process.stderr
    assert None not in results.values()
    return results


@pytest.mark.timeout(600)  # some 150 jobs a run: minutes, where the machine has much else to do
def test_every_way_of_writing_gives_what_it_gives_locally(
    workflow: Workflow, made_locally: dict[str, str | None]
) -> None:
    result = _written(workflow).run(*_arguments(workflow), timeout=400)

    results = _results(workflow)
    wrong = {way: (results[way], right) for way, right in made_locally.items()}
    wrong = {way: (ours, right) for way, (ours, right) in wrong.items() if ours != right}
    assert not wrong, result.output
    assert result.status == 0, result.output


@pytest.fixture(scope="module")
def rules(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Rule]]:
    """The rules as Snakemake has parsed them, by name."""
    workflow = _written(new_workflow(tmp_path_factory.mktemp("parsed"), platform))
    with pytest.MonkeyPatch.context() as patch, SnakemakeApi() as snakemake:
        for name, value in workflow.environment().items():
            patch.setenv(name, value)
        parsed = snakemake.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(config={"prefix": workflow.prefix}),
            snakefile=workflow.directory / "Snakefile",
            workdir=workflow.directory,
        )
        yield {rule.name: rule for rule in parsed._workflow.rules}


@pytest.mark.parametrize("way", WAYS)
def test_files_are_told_from_results_with_every_way_of_writing(
    rules: dict[str, Rule], way: str
) -> None:
    """What a run does at its start with all rules, with one of them: so a failure has its name."""
    workflow = SimpleNamespace(rules=[rules[way]], included=[], configfiles=[])
    result = Path.cwd() / "out" / way / "a"
    helper = Path.cwd() / "helper.py"
    sources = Sources(Path.cwd(), (), ".", lasting=frozenset([result, helper]))

    assert lasting_sources(workflow, sources) == {helper}
