"""The profile that `init` writes: what was chosen, and comments for what comes next. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Choices:
    """What a person has chosen; None where the executor's default holds."""

    endpoint: str | None = None
    """Address of the API, or `local`."""
    credentials_profile: str | None = None
    project: str | None = None
    data_folder: str | None = None
    """Folder of the project that holds the workflow's files; None: they are on this machine."""
    spot: bool | None = None


def profile_text(chosen: Choices, directory: str) -> str:
    """The text of `config.yaml`, for a run with `--workflow-profile <directory>`."""
    lines = [
        f"# snakemake --workflow-profile {directory}",
        "# Written by snakemake-cavatica init; change what you like.",
        "executor: cavatica",
        *_platform(chosen),
        *_data(chosen),
        "",
        "# Tasks at a time.",
        "jobs: 100",
        "",
        "# Spot instances cost less, and can be taken away; what they lose runs again.",
        *_spot(chosen.spot),
        "",
        "# What a job gets unless its rule says otherwise: MB of memory, minutes.",
        "default-resources:",
        "  mem_mb: 2000",
        "  runtime: 60",
        "",
        "# Many short jobs of a rule: one batch task for those that are ready together, or so many",
        "# jobs in one task.",
        "# cavatica-batch: auto",
        "# cavatica-pack: 20",
        "",
        "# What the tasks may cost, in the currency of the project; no further one starts then.",
        "# cavatica-max-cost: 50",
        "",
        "# Files that are written at the end of a run.",
        "# cavatica-report: report.html",
    ]
    return "\n".join(lines) + "\n"


def _platform(chosen: Choices) -> list[str]:
    settings = {
        "cavatica-api-endpoint": chosen.endpoint,
        "cavatica-credentials-profile": chosen.credentials_profile,
        "cavatica-project": chosen.project,
    }
    return [f"{name}: {_text(value)}" for name, value in settings.items() if value is not None]


def _data(chosen: Choices) -> list[str]:
    if chosen.data_folder is None:
        return [
            "",
            "# The workflow's files are on this machine: inputs are uploaded, outputs downloaded.",
        ]
    prefix = f"cavatica://{chosen.project}/{chosen.data_folder}"
    return [
        "",
        "# The workflow's files are in this folder of the project, and stay there.",
        "default-storage-provider: cavatica",
        f"default-storage-prefix: {_text(prefix)}",
    ]


def _spot(spot: bool | None) -> list[str]:
    if spot is None:
        return ["# As the project is set; to decide here:", "# cavatica-interruptible: true"]
    return [f"cavatica-interruptible: {str(spot).lower()}"]


def _text(value: str) -> str:
    """JSON's strings are YAML's too."""
    return json.dumps(value, ensure_ascii=False)
