"""Follows one job through the folders and writes what it sees: `python -m tests.architecture`.

It runs a small workflow on the embedded platform, in this process, and looks at what the functions
of the plugin return: so docs/architecture.md shows real values, with the names that the code has.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from snakemake import cli
from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo

from snakemake_executor_cavatica.api import FileRef, Task, TaskDraft
from snakemake_executor_cavatica.finish.collect import Collected
from snakemake_executor_cavatica.plan.plan import JobPlan
from snakemake_executor_cavatica.project.paths import LocalPath, ProjectPath
from snakemake_executor_cavatica.read.facts import JobFacts
from snakemake_executor_cavatica.watch.outcome import Completed

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
PACKAGE = "snakemake_executor_cavatica."
SNAKEFILE = """\
rule count:
    "Counts the lines of a sample."
    input: "samples/{sample}.txt"
    output: "counts/{sample}.txt"
    container: "docker://debian:12-slim"
    threads: 2
    resources: mem_mb=1000
    shell: "wc -l < {input} > {output}"
"""
TARGET = "counts/A.txt"
INTRODUCTION = f"""\
# One job's way

What becomes of one job, step by step, with the values that the plugin really had in hand. This page
is written by `python -m tests.architecture`, which runs this workflow on the embedded platform; a
test sees that it is still true. What is as by default is left out, and long texts are cut.
[CONTRIBUTING.md](../CONTRIBUTING.md) says what each folder is for.

```snakemake
{SNAKEFILE.rstrip()}
```

    snakemake --executor cavatica --cavatica-api-endpoint local --jobs 1 {TARGET}
"""
_LONGEST = 100
"""Characters of a text that are shown."""
_VARYING = (
    (r"\bstatus: (QUEUED|RUNNING)", "status: <under way>"),
    (r"\d{8}-\d{6}-[0-9a-f]{6}", "<run>"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<task>"),
    (r"\b[0-9a-f]{16,}\b", "<hex>"),
    (r"/(usr/)?bin/bash", "bash"),
)
"""What differs between two runs, or two machines."""


@dataclasses.dataclass(frozen=True)
class Step:
    """What is looked for in a folder, and how it is told."""

    folder: str
    title: str
    text: str
    kind: Callable[[Any], bool]
    shown: Callable[[Any], object]
    helper: str = ""
    """Another folder where it is done for this one."""


@dataclasses.dataclass
class Seen:
    """A value, and the function that it came out of."""

    module: str
    function: str
    value: Any


class Observer:
    """Keeps the last value that each step has made."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps
        self.seen: dict[str, Seen] = {}

    def __call__(self, frame: FrameType, event: str, value: Any) -> None:
        """What `sys.setprofile` calls."""
        module = frame.f_globals.get("__name__") or ""
        if not module.startswith(PACKAGE) or event not in ("call", "return"):
            return
        folder = module.removeprefix(PACKAGE).partition(".")[0]
        for step in self._steps:
            if folder in (step.folder, step.helper):
                for one in _candidates(frame, event, value):
                    if step.kind(one):
                        self.seen[step.title] = Seen(module, frame.f_code.co_qualname, one)


def _candidates(frame: FrameType, event: str, value: Any) -> Iterator[Any]:
    """What a function returns; of what it was given, only what Snakemake knows the job by."""
    if event == "return":
        yield value
    else:
        code = frame.f_code
        given = (frame.f_locals.get(name) for name in code.co_varnames[: code.co_argcount])
        yield from (one for one in given if isinstance(one, SubmittedJobInfo))


# --- how values are shown -------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """A value as lists, mappings and short texts."""
    match value:
        case LocalPath() | ProjectPath():
            return f"{type(value).__name__}({value})"
        case FileRef():
            return f"{value.name} ({value.path})"
        case Enum():
            return plain(value.value)
        case str() if len(value) > _LONGEST or "\n" in value:
            return f"{value[:_LONGEST].partition(chr(10))[0].rstrip()} ..."
        case Mapping():
            return {str(name): plain(one) for name, one in value.items()}
        case str():
            return str(value)
        case int() | float() | None:
            return value
        case Sequence():
            return [plain(one) for one in value]
    if dataclasses.is_dataclass(value):
        return dict(_telling(value))
    return str(value)


def _telling(value: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a dataclass that are not as by default, and how they are shown."""
    for field in dataclasses.fields(value):
        one = getattr(value, field.name)
        usual = field.default
        if field.default_factory is not dataclasses.MISSING:
            usual = field.default_factory()
        shown = plain(one)
        if one != usual and shown not in (None, [], {}, ""):
            yield field.name, shown


def _without(*names: str) -> Callable[[Any], Any]:
    return lambda value: {name: one for name, one in plain(value).items() if name not in names}


def _parts(script: str) -> str:
    """Its beginning, and its end, where the job's own part is."""
    lines = script.splitlines()
    return "\n".join([*lines[:5], "# ... the functions of in_task/functions.sh ...", *lines[-31:]])


def _is_tool(value: Any) -> bool:
    return isinstance(value, dict) and value.get("class") == "CommandLineTool"


def _is_script(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("# One job of")


def _are_collected(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, Collected) for one in value)


def _task(task: Task) -> dict[str, Any]:
    return {"id": task.id, "name": task.name, "status": task.status}


def _info(info: SubmittedJobInfo) -> dict[str, str]:
    return {"job": str(info.job), "external_jobid": str(info.external_jobid)}


def _of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


STEPS = (
    Step(
        "read",
        "Facts",
        "Snakemake's job is read into plain values; from here on nobody needs Snakemake's objects.",
        _of(JobFacts),
        _without("snakemake_command"),
    ),
    Step(
        "plan",
        "Plan",
        "Plain values in, plain values out: how the job runs, or why it cannot.",
        _of(JobPlan),
        _without("facts"),
    ),
    Step(
        "translate",
        "App",
        "The rule as a CWL tool: one app serves all jobs of the rule.",
        _is_tool,
        plain,
    ),
    Step(
        "translate",
        "Job script",
        "What differs between jobs travels as an input of the task: this script brings the inputs "
        "to their paths, runs the command, and keeps the outputs.",
        _is_script,
        _parts,
    ),
    Step(
        "translate",
        "Draft",
        "The body of the request that creates the task, once the inputs are on the platform.",
        _of(TaskDraft),
        lambda draft: plain(draft.to_body()),
    ),
    Step(
        "launch",
        "Task",
        "The app is stored, the draft is created and started, each once even if an answer is lost.",
        _of(Task),
        _task,
    ),
    Step(
        "watch",
        "Outcome",
        "All tasks are looked at together; this is what the last look means for the job.",
        _of(Completed),
        plain,
    ),
    Step(
        "finish",
        "Results",
        "The outputs come to their place.",
        _are_collected,
        lambda value: [plain(one) for one in value],
    ),
    Step(
        "finish",
        "Report",
        "Snakemake hears that the job has succeeded.",
        _of(SubmittedJobInfo),
        _info,
        helper="run",
    ),
)


# --- the page -------------------------------------------------------------------------------------


def follow() -> dict[str, Seen]:
    """Run the workflow; what each step has made, by its title.

    Raises:
        RuntimeError: the run did not succeed, or a step was not seen.
    """
    observer = Observer(STEPS)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("Snakefile").write_text(SNAKEFILE)
        Path("samples").mkdir()
        Path("samples/A.txt").write_text("one\ntwo\n")
        threading.setprofile(observer)
        sys.setprofile(observer)
        try:
            where = ["--executor", "cavatica", "--cavatica-api-endpoint", "local"]
            cli.main([*where, "--jobs", "1", TARGET])
        except SystemExit as end:
            if end.code:
                raise RuntimeError("the workflow failed; see above") from None
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
    if missing := {step.title for step in STEPS} - set(observer.seen):
        raise RuntimeError(f"no function of its folder returned: {', '.join(sorted(missing))}")
    return observer.seen


def page(seen: Mapping[str, Seen]) -> str:
    """The document."""
    return "\n".join([INTRODUCTION, *(_section(step, seen[step.title]) for step in STEPS)])


def _section(step: Step, seen: Seen) -> str:
    shown = step.shown(seen.value)
    language = "sh" if isinstance(shown, str) else "yaml"
    if not isinstance(shown, str):
        shown = yaml.safe_dump(
            shown, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
        )
    kind = type(seen.value)
    made = f", a `{kind.__name__}`" if kind.__module__.startswith(PACKAGE) else ""
    module = seen.module.removeprefix(PACKAGE).replace(".", "/")
    return (
        f"## {step.folder}/: {step.title.lower()}\n\n{step.text}\n"
        f"By `{seen.function}` in `{module}.py`{made}:\n\n"
        f"```{language}\n{shown.rstrip()}\n```\n"
    )


def normalised(text: str) -> str:
    """The page without what differs between runs."""
    for pattern, stands_for in _VARYING:
        text = re.sub(pattern, stands_for, text)
    return text


def main(target: Path) -> None:
    """Write the page, if more has changed than what differs between runs."""
    new = page(follow())
    if not target.exists() or normalised(target.read_text("utf-8")) != normalised(new):
        target.write_text(new, "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute() if sys.argv[1:] else PAGE)
