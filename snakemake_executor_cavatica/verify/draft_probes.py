"""What a draft may be like. None of them is run."""

from __future__ import annotations

import json

from ..api import calls
from .probe import Finding, Probe, Unsettled, limit, probe
from .scratch import Scratch

_KIB = 1024
_MIB = 1024 * 1024

PROBES: list[Probe] = []


@probe(PROBES, "status of DELETE", "a draft is deleted; 2 requests", "204")
def _delete_status(scratch: Scratch) -> Finding:
    task = scratch.tasks.draft()
    status, _ = scratch.ask(calls.delete_task(task.id))
    scratch.tasks.made.pop(task.id)
    return Finding(str(status))


@probe(PROBES, "task_json_limit", "drafts of 128 KiB to 2 MiB; up to 12 requests, 5 MB")
def _task_json_limit(scratch: Scratch) -> Finding:
    def is_accepted(size: int) -> bool:
        bare = len(json.dumps(scratch.tasks.body(inputs={"text": ""}).to_body()))
        return scratch.tasks.is_accepted_body(
            scratch.tasks.body(inputs={"text": "x" * (size - bare)})
        )

    sizes = (128 * _KIB, 256 * _KIB, 512 * _KIB, _MIB, _MIB + 1, 2 * _MIB)
    return limit(scratch.assumed["task_json_limit"], sizes, is_accepted)


@probe(PROBES, "task_errors_shape", "a draft without a required input; 2 requests")
def _task_errors_shape(scratch: Scratch) -> Finding:
    task = scratch.tasks.create(scratch.tasks.body(inputs={"script": None}))
    if not task.errors:
        raise Unsettled("a draft without a required input shows no errors")
    element = task.errors[0]
    if isinstance(element, str):
        return Finding("string")
    if isinstance(element, dict):
        known = [key for key in ("error", "message") if key in element]
        return Finding(known[0] if len(known) == 1 else f"keys {', '.join(sorted(element))}")
    return Finding(type(element).__name__)


@probe(
    PROBES,
    "bare_instance_type",
    "drafts with and without a disk in instance_type; up to 6 requests",
)
def _bare_instance_type(scratch: Scratch) -> Finding:
    for full in ("c5.xlarge;ebs-gp2;100", "n1-standard-4;pd-ssd;100"):
        if scratch.tasks.is_accepted(execution_settings={"instance_type": full}):
            bare = full.partition(";")[0]
            accepted = scratch.tasks.is_accepted(execution_settings={"instance_type": bare})
            return Finding(str(accepted).lower(), note="as far as a draft is checked")
    raise Unsettled("no instance type that was tried is accepted at all")


def _is_batch_accepted(scratch: Scratch, number: int) -> bool:
    many = [{"class": "File", "path": scratch.files.file.id}] * number
    by = {"type": "ITEM"}
    return scratch.tasks.is_accepted(inputs={"many": many}, batch_input="many", batch_by=by)


def _need_batches(scratch: Scratch) -> None:
    if not _is_batch_accepted(scratch, 2):
        raise Unsettled("no batch draft is accepted at all")


@probe(
    PROBES,
    "batch_max_children",
    "batch drafts of 10 to 1001 children, never run; up to 10 requests",
)
def _batch_max_children(scratch: Scratch) -> Finding:
    _need_batches(scratch)
    sizes = (10, 100, 1000, 1001)
    finding = limit(
        scratch.assumed["batch_max_children"],
        sizes,
        lambda number: _is_batch_accepted(scratch, number),
    )
    if finding.value == f"at least {sizes[-1]}":
        raise Unsettled(f"a draft of {sizes[-1]} children is accepted; running it is not tried")
    return finding


@probe(PROBES, "batch_non_file_items", "a batch draft over strings, never run; 4 requests")
def _batch_non_file_items(scratch: Scratch) -> Finding:
    _need_batches(scratch)
    accepted = scratch.tasks.is_accepted(
        inputs={"words": ["a", "b"]}, batch_input="words", batch_by={"type": "ITEM"}
    )
    return Finding(str(accepted).lower(), note="as far as a draft is checked")


@probe(PROBES, "batch_missing_metadata", "a batch draft by metadata that files lack; 4 requests")
def _batch_missing_metadata(scratch: Scratch) -> Finding:
    _need_batches(scratch)
    accepted = scratch.tasks.is_accepted(
        inputs={"many": [{"class": "File", "path": scratch.files.file.id}]},
        batch_input="many",
        batch_by={"type": "CRITERIA", "criteria": ["metadata.cavatica_probe"]},
    )
    return Finding("group" if accepted else "error", note="as far as a draft is checked")
