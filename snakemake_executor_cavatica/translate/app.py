"""A rule as a CWL v1.2 CommandLineTool: what its task page shows, and what the platform runs.

The document depends on the rule only (its ports, image and docstring), so that all its jobs share
one app; what differs between jobs travels as inputs. Parameter references are used instead of
JavaScript, which not every CWL engine has at hand.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from ..in_task.names import COMMAND_NAME, JOBS_FOLDER, MEASURED_NAME, SCRIPT_NAME
from ..plan.plan import JobPlan
from .measured import MEASURED
from .small_outputs import GATHERED, GATHERED_GLOB, gathers
from .staging import input_order
from .stored_names import output_glob

NOTE = "snakemake-executor-plugin-cavatica"
"""Begins the note that the plugin leaves with each revision of an app."""
SCRIPT = "snakemake_job"
COMMAND = "snakemake_command"
SOURCES = "snakemake_sources"
PARCELS = "snakemake_parcels"
IN_PARCELS = "snakemake_small_inputs"
CORES = "snakemake_cores"
MEMORY = "snakemake_memory_mib"
DISK = "snakemake_disk_mib"
TIME_LIMIT = "snakemake_time_limit_seconds"

_BASE_COMMAND = ["sh", SCRIPT_NAME]
_MAX_NAME = 60
_FILES = {"type": "array", "items": "File"}
_FOLDERS = {"type": "array", "items": "Directory"}
_GATHERED_PORT: dict[str, Any] = {
    "id": GATHERED,
    "type": ["null", "File"],
    "doc": "Small outputs once more, in one file.",
    "outputBinding": {"glob": GATHERED_GLOB},
}
_MEASURED_PORT: dict[str, Any] = {
    "id": MEASURED,
    "type": ["null", "string"],
    "doc": "What the job took, measured beside it.",
    "outputBinding": {
        "glob": MEASURED_NAME,
        "loadContents": True,
        "outputEval": "$(self[0].contents)",
    },
}


def app_document(plan: JobPlan, *, packed: bool = False) -> dict[str, Any]:
    """The rule as a packed CWL document; `packed` if a task runs several of its jobs."""
    rule = plan.facts.rule
    return {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "$namespaces": {"sbg": "https://sevenbridges.com"},
        "label": rule,
        "doc": plan.facts.docstring or f"Rule {rule} of a Snakemake workflow.",
        "requirements": _requirements(plan),
        "hints": _hints(plan),
        "baseCommand": _BASE_COMMAND,
        "inputs": _inputs(plan),
        "outputs": [
            *(_outputs_of_several(plan) if packed else _outputs(plan)),
            *([_GATHERED_PORT] if gathers(plan, packed=packed) else []),
            *([_MEASURED_PORT] if plan.measured else []),
        ],
    }


def app_name(rule: str) -> str:
    """The app's name within its project: `snakemake-<rule>`, letters, digits and `-` only.

    Where that alone would not tell two rules apart, part of a hash is added.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", rule.lower()).strip("-")[:_MAX_NAME]
    if plain == rule.replace("_", "-") and "-" not in rule:
        return f"snakemake-{plain}"
    digest = hashlib.sha256(rule.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return "-".join(filter(None, ("snakemake", plain, digest)))


def name_in(app: str) -> str:
    """The name in an app's id, which is `owner/project/name` or has a revision behind it."""
    return [*app.split("/"), "", "", ""][2]


def is_ours(raw: Mapping[str, Any]) -> bool:
    """Whether the plugin has made an app, by its newest document as the platform gives it.

    A copy of an app may have lost the notes; so what it starts tells, too.
    """
    return raw.get("baseCommand") == _BASE_COMMAND or str(
        raw.get("sbg:revisionNotes") or ""
    ).startswith(NOTE)


def document_hash(document: dict[str, Any]) -> str:
    """Identifies a document among an app's revisions."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def _requirements(plan: JobPlan) -> list[dict[str, Any]]:
    resources: dict[str, Any] = {
        "class": "ResourceRequirement",
        "coresMin": f"$(inputs.{CORES})",
    }
    if plan.resources.memory_mib is not None:
        resources["ramMin"] = f"$(inputs.{MEMORY})"
    if plan.resources.disk_mib is not None:
        resources["outdirMin"] = f"$(inputs.{DISK})"
    return [
        {"class": "DockerRequirement", "dockerPull": plan.image},
        {
            "class": "InitialWorkDirRequirement",
            "listing": [
                {"entryname": SCRIPT_NAME, "entry": f"$(inputs.{SCRIPT})"},
                {"entryname": COMMAND_NAME, "entry": f"$(inputs.{COMMAND})"},
            ],
        },
        resources,
    ]


def _hints(plan: JobPlan) -> list[dict[str, Any]]:
    # Hints, because a platform that does not know them has to run the task all the same.
    hints: list[dict[str, Any]] = [{"class": "NetworkAccess", "networkAccess": True}]
    if plan.resources.runtime_minutes is not None:
        hints.append({"class": "ToolTimeLimit", "timelimit": f"$(inputs.{TIME_LIMIT})"})
    return hints


def _inputs(plan: JobPlan) -> list[dict[str, Any]]:
    ports: list[dict[str, Any]] = [
        _port(SCRIPT, "string", "Runs the job."),
        _port(COMMAND, "string", "The job's command."),
        _port(CORES, "int", "Threads of the job."),
    ]
    if plan.resources.memory_mib is not None:
        ports.append(_port(MEMORY, "int", "Memory in MiB."))
    if plan.resources.disk_mib is not None:
        ports.append(_port(DISK, "int", "Disk in MiB."))
    if plan.resources.runtime_minutes is not None:
        ports.append(_port(TIME_LIMIT, "int", "Longest run time in seconds."))
    ports.append(
        _port(SOURCES, "File", "The workflow's sources.") | {"inputBinding": {"position": 0}}
    )
    if plan.in_parcels:
        ports.append(_port(PARCELS, _FILES, "Small inputs.") | {"inputBinding": {"position": 1}})
        ports.append(_port(IN_PARCELS, {"type": "array", "items": "string"}, "What is in these."))
    kinds = {staged.port: staged.form for staged in input_order(plan)}
    for position, (port, form) in enumerate(kinds.items(), start=2):
        kind = _FOLDERS if form == "folder" else _FILES
        ports.append({"id": port, "type": kind, "inputBinding": {"position": position}})
    return ports


def _port(name: str, kind: str | dict[str, str], doc: str) -> dict[str, Any]:
    return {"id": name, "type": kind, "doc": doc}


def _outputs(plan: JobPlan) -> list[dict[str, Any]]:
    return [
        {
            "id": output.port,
            "type": "Directory" if output.folder else "File",
            "outputBinding": {"glob": output_glob(index, output)},
        }
        for index, output in plan.collected
    ]


def _outputs_of_several(plan: JobPlan) -> list[dict[str, Any]]:
    """What the jobs of a pack leave, as far as they do: one that fails does not fail the others."""
    return [
        {
            **port,
            "type": ["null", {"type": "array", "items": port["type"]}],
            "outputBinding": {"glob": f"{JOBS_FOLDER}/*/{port['outputBinding']['glob']}"},
        }
        for port in _outputs(plan)
    ]
