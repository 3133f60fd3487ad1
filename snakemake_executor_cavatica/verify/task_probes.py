"""The probes that need tasks to run: a few, each of seconds, but on instances that cost money.

All of them look at the same tasks, which are started together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from ..api import CavaticaError, FileRef, Task, calls, iter_files
from .probe import Finding, Probe, Unsettled, present, truth
from .scratch import REFUSED, Scratch
from .scratch_tasks import RefusedApp

TASKS = 7
"""Tasks that run, children of the batch included."""
_TEXT_BYTES = 200_000

_LOOK = """\
one=; if [ "$1" = --one ]; then one=$2; fi
if [ -e "$one.idx" ]; then echo true; else echo false; fi > report.txt
echo shown > shown.probe
echo hidden > .hidden.probe
mkdir folder
echo inside > folder/inside.txt
echo placed > placed.txt
"""
_TWINS = """\
for file in "$@"; do echo "$file"; done > report.txt
cat "$@" | sort -u | wc -l >> report.txt
echo placed > placed.txt
"""
_LONG = "wc -c < text.txt > report.txt\n"
_SAID = "echo said\n"
_CHILD = 'case "$1" in */same*) sleep {seconds}; exit 1;; esac\necho done > report.txt\n'


class Runs:
    """The tasks, each started when a probe first needs any of them."""

    def __init__(self, scratch: Scratch, timeout: float) -> None:
        self.scratch = scratch
        self._timeout = timeout
        self.pause = 8 if scratch.is_local else 90
        """Seconds that a task sleeps which has a time limit of much less."""
        self.answers: list[str] = []
        """Statuses in the answers of the run calls."""
        self._ended: dict[str, Task] = {}

    def _location(self, folder: str, placed: str) -> dict[str, Any]:
        return {
            "main_location": f"/{self.scratch.files.folder_name}/{folder}",
            "nodes_override": True,
            "nodes_location": {"placed": {"output_location": placed}},
        }

    def _run(self, name: str, script: str, **changes: Any) -> Task:
        inputs = {"script": script, **changes.pop("inputs", {})}
        draft = self.scratch.tasks.draft(name, inputs=inputs, **changes)
        if draft.errors:
            raise CavaticaError(f"the draft {name} is refused: {'; '.join(draft.error_texts)}")
        answer = self.scratch.client.run_task(draft.id)
        if not answer.batch:
            self.answers.append(answer.status)
        return draft

    def _look(self, name: str) -> Task:
        location = self._location("out", f"/{self.scratch.files.folder_name}/absolute/new")
        inputs = {"one": FileRef(self.scratch.files.file.id)}
        return self._run(name, _LOOK, inputs=inputs, output_location=location)

    @cached_property
    def _started(self) -> dict[str, Task | CavaticaError]:
        """All that can run at the same time; an error in the place of a task that cannot run."""
        scratch = self.scratch
        twins = [FileRef(file.id) for file in scratch.files.twins]
        starts: dict[str, Callable[[], Task]] = {
            "look": lambda: self._look("look"),
            "twins": lambda: self._run(
                "twins",
                _TWINS,
                inputs={"many": twins},
                output_location=self._location("twins", "relative"),
            ),
            "long": lambda: self._run(
                "long",
                _LONG,
                inputs={"text": "x" * _TEXT_BYTES},
                output_location=self._location("long", "relative"),
            ),
            "said": lambda: self._run(
                "said",
                _SAID,
                app=scratch.tasks.text_app,
                output_location=self._location("said", "relative"),
            ),
            "batch": lambda: self._run(
                "batch",
                _CHILD.format(seconds=self.pause),
                inputs={
                    "many": [FileRef(scratch.files.file.id), twins[0]],
                    "time_limit": self.pause // 4,
                },
                batch_input="many",
                batch_by={"type": "ITEM"},
                output_location=self._location("batch", "relative"),
            ),
        }
        started: dict[str, Task | CavaticaError] = {}
        for name, start in starts.items():
            try:
                started[name] = start()
            except CavaticaError as error:
                started[name] = error
        return started

    def ended(self, name: str) -> Task:
        """A task, however it has ended."""
        if name not in self._ended:
            started = self._started[name] if name != "again" else self._again()
            if isinstance(started, CavaticaError):
                raise started
            self._ended[name] = self.scratch.tasks.wait(started, self._timeout)
        return self._ended[name]

    def _again(self) -> Task:
        """The first task once more, with equal names at equal places."""
        self.completed("look")
        return self._look("again")

    def completed(self, name: str) -> Task:
        """A task that has to have succeeded."""
        task = self.ended(name)
        if task.status != "COMPLETED":
            message = task.execution_status.message if task.execution_status else ""
            raise Unsettled(f"the task {task.name} is {task.status}: {message}")
        return task

    def report(self, name: str) -> list[str]:
        """The lines of a task's report."""
        return self.scratch.files.read(self.output(name, "report")).splitlines()

    def output(self, name: str, port: str) -> str:
        """The id of a task's output."""
        refs = list(iter_files(self.completed(name).outputs.get(port)))
        if not refs:
            raise Unsettled(f"the task {name} has no output {port}")
        return refs[0].path

    @cached_property
    def children(self) -> dict[str, Task]:
        """The children of the batch by status."""
        parent = self.ended("batch")
        children = list(self.scratch.client.list_tasks(parent=parent.id))
        self.scratch.tasks.made |= {child.id: child for child in children}
        return {child.status: child for child in children}


def task_probes(scratch: Scratch, timeout: float) -> list[Probe]:
    """All probes that need tasks; `timeout` in seconds for each task."""
    runs = Runs(scratch, timeout)

    def switch(name: str, how: str, measure: Callable[[Runs], Finding]) -> Probe:
        return Probe(name, how, None, lambda _: measure(runs))

    def other(name: str, how: str, assumed: str, measure: Callable[[Runs], Finding]) -> Probe:
        return Probe(name, how, assumed, lambda _: measure(runs))

    return [
        switch("run_answer_status", "answers of the run calls", _run_answer_status),
        switch("secondary_files_picked_up", "task `look`", _secondary_files),
        other("nodes_location", "tasks `look`, `twins`", _NODES, _nodes_location),
        other("outputs in listings", "task `look`", _LISTED, _outputs_in_listings),
        other("hidden files and globs", "task `look`: *.probe", "not matched", _hidden_files),
        other("Directory outputs", "task `look`", "folder/inside.txt", _directory_outputs),
        other("equal names of inputs", "task `twins`", _EQUAL, _equal_names),
        other("200 KB in InitialWorkDir", "task `long`", "whole", _long_text),
        switch("string_outputs", "task `said`: its script as text", _string_outputs),
        switch("output_conflict", "task `again`: `look` once more", _output_conflict),
        switch("batch_parent_with_failures", "a batch of 2, one fails", _parent_with_failures),
        switch("listing_includes_children", "the batch", _children_in_listing),
        other("fields=inputs.PORT", "the batch", "that input alone", _fields_inside_inputs),
        switch("batch_parent_execution_details", "the batch", _parent_details),
        other("ToolTimeLimit", "the child that fails", "enforced", _time_limit),
        switch("delete_finished_task", "task `long` is deleted", _delete_finished_task),
    ]


def _run_answer_status(runs: Runs) -> Finding:
    runs.ended("look")
    statuses = sorted(set(runs.answers))
    return Finding(
        " or ".join(statuses), agrees=runs.scratch.assumed["run_answer_status"] in statuses
    )


def _secondary_files(runs: Runs) -> Finding:
    return Finding(runs.report("look")[0])


_NODES = "absolute: absolute/new, relative: twins/relative, not named: out"


def _nodes_location(runs: Runs) -> Finding:
    places = {
        "absolute": runs.output("look", "placed"),
        "relative": runs.output("twins", "placed"),
        "not named": runs.output("look", "report"),
    }
    return Finding(
        ", ".join(f"{k}: {runs.scratch.files.path_of(file)}" for k, file in places.items())
    )


_LISTED = "created_on, modified_on, origin_task"


def _outputs_in_listings(runs: Runs) -> Finding:
    parent = runs.scratch.client.get_file(runs.output("look", "report")).parent
    files = [file for file in runs.scratch.client.list_files(parent=parent) if not file.is_folder]
    return present(files, ("created_on", "modified_on", "origin_task"))


def _hidden_files(runs: Runs) -> Finding:
    number = len(list(iter_files(runs.completed("look").outputs.get("shown"))))
    return Finding({1: "not matched", 2: "matched"}.get(number, f"{number} files"))


def _directory_outputs(runs: Runs) -> Finding:
    folder = runs.scratch.client.get_file(runs.output("look", "folder"))
    inside = [file.name for file in runs.scratch.client.list_files(parent=folder.id)]
    return Finding(f"{folder.name}/{', '.join(inside)}")


_EQUAL = "both come, under their name, in different folders"


def _equal_names(runs: Runs) -> Finding:
    *paths, contents = runs.report("twins")
    if contents.strip() != "2":
        return Finding("one hides the other")
    names = {path.rpartition("/")[2] for path in paths}
    return Finding(_EQUAL if names == {"same.txt"} else f"as {', '.join(sorted(names))}")


def _long_text(runs: Runs) -> Finding:
    arrived = runs.report("long")[0].strip()
    return Finding("whole" if arrived == str(_TEXT_BYTES) else f"{arrived} bytes")


def _string_outputs(runs: Runs) -> Finding:
    try:
        task = runs.ended("said")
    except RefusedApp as error:
        return Finding("refused", note=str(error))
    if task.status != "COMPLETED":
        return Finding(
            "the task fails", note=task.execution_status.message if task.execution_status else ""
        )
    said = task.outputs.get("said")
    return Finding({_SAID: "stored", None: "null"}.get(said, f"as {said!r}"))


def _output_conflict(runs: Runs) -> Finding:
    task = runs.ended("again")
    if task.status == "FAILED":
        return Finding("fail", note=task.execution_status.message if task.execution_status else "")
    name = runs.scratch.client.get_file(runs.output("again", "report")).name
    return Finding("prefix" if name == "_1_report.txt" else f"stored as {name}")


def _parent_with_failures(runs: Runs) -> Finding:
    if set(runs.children) != {"COMPLETED", "FAILED"}:
        raise Unsettled(f"the children are {', '.join(runs.children) or 'not there'}")
    return Finding(runs.ended("batch").status)


def _children_in_listing(runs: Runs) -> Finding:
    children = {child.id for child in runs.children.values()}
    if not children:
        raise Unsettled("the batch has no children")
    since = runs.ended("batch").created_time
    listing = runs.scratch.client.list_tasks(
        project=runs.scratch.project, created_from=since, fields="id"
    )
    return truth(any(task.id in children for task in listing))


def _fields_inside_inputs(runs: Runs) -> Finding:
    parent = runs.ended("batch")
    children = list(runs.scratch.client.list_tasks(parent=parent.id, fields="id,inputs.many"))
    if not children:
        raise Unsettled("the batch has no children")
    told = {name for child in children for name in child.inputs}
    return Finding(
        {frozenset(): "nothing", frozenset({"many"}): "that input alone"}.get(
            frozenset(told), "all inputs"
        )
    )


def _parent_details(runs: Runs) -> Finding:
    call = calls.execution_details(runs.ended("batch").id)
    status, document = runs.scratch.ask(call)
    if status >= REFUSED:
        return Finding("error")
    number = len(document.get("jobs") or [])
    return Finding(f"{number} jobs" if number else "empty")


def _time_limit(runs: Runs) -> Finding:
    """Enforced if the child that sleeps longer than it may ends hardly later than the other."""
    if set(runs.children) != {"COMPLETED", "FAILED"}:
        raise Unsettled(f"the children are {', '.join(runs.children) or 'not there'}")
    longer = _seconds(runs, "FAILED") - _seconds(runs, "COMPLETED")
    return Finding("enforced" if longer < runs.pause * 0.75 else "not enforced")


def _seconds(runs: Runs, status: str) -> float:
    jobs = runs.scratch.client.execution_details(runs.children[status].id).jobs
    spans = [
        (job.end_time - job.start_time).total_seconds()
        for job in jobs
        if job.start_time and job.end_time
    ]
    if not spans:
        raise Unsettled("the execution details state no times")
    return max(spans)


def _delete_finished_task(runs: Runs) -> Finding:
    task = runs.ended("long")
    status, _ = runs.scratch.ask(calls.delete_task(task.id))
    if status < REFUSED:
        runs.scratch.tasks.made.pop(task.id, None)
    return truth(status < REFUSED)
