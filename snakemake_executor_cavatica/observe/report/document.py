"""Makes the report: one HTML file that asks for nothing, wherever it is opened.

The plots are drawn by Vega. Snakemake ships it for its own report, and that copy is used.
"""

from __future__ import annotations

import base64
import hashlib
import time
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...api.errors import CavaticaError
from ...run.processes import is_dead
from .. import words
from ..record import Record
from ..whole_file import write_whole
from .advice import LEAST_JOBS, MEMORY_MARGIN, advise, as_options, as_profile
from .failures import failures
from .figures import of_rules
from .overview import graph_view, moment, overview, zone
from .prices import is_own_machine
from .rows import page_data

_VEGA = "assets/data/vega/vega.js"
_VEGA_LICENSE = "assets/data/vega/LICENSE"
_TEMPLATES = Path(__file__).parent / "templates"
_GB = 1000
"""MB, as resources are counted."""
_SCRIPTS = ("common.js", "table.js", "plots.js", "timeline.js", "start.js")


class NoReport(CavaticaError):
    """The report cannot be made; the sentence says why."""


def check_possible() -> None:
    """See that a report can be made here at all, before a run begins that is to have one.

    Raises:
        NoReport: it cannot.
    """
    if not files("snakemake").joinpath(_VEGA).is_file():
        raise NoReport(
            "The report draws its plots with Vega, which Snakemake ships for its own report, and "
            "this installation of Snakemake lacks it. Install Snakemake from PyPI or bioconda."
        )


def write_report(record: Record, path: Path) -> None:
    """Make the report of a record.

    Raises:
        NoReport: there is nothing to tell, or the file cannot be written.
    """
    text = report(record)
    try:
        write_whole(path, text)
    except OSError as error:
        raise NoReport(f"The report {path} cannot be written: {error.strerror}.") from error


def report(record: Record) -> str:
    """The text of the file.

    Raises:
        NoReport: there is nothing to tell.
    """
    if not record.runs or not record.attempts:
        run = f"The run {record.runs[-1].id}" if record.runs else f"The record {record.folder}"
        told = (
            f"{run} has started no task that is on record (was there nothing to do?), so there is "
            "nothing to report."
        )
        raise NoReport(" ".join((told, *record.remarks[:1])))
    check_possible()
    style, script, vega = _texts("style.css"), _texts(*_SCRIPTS), _vega()
    return (
        _environment()
        .get_template("report.html")
        .render(
            {
                **_values(record),
                "style": style,
                "script": script,
                "vega": vega,
                "policy": _policy(style, script, vega),
            }
        )
    )


def _texts(*names: str) -> str:
    return "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in names)


def _vega() -> str:
    """Vega with its license, which has to go where it goes."""
    code, license_text = (
        files("snakemake").joinpath(path).read_text(encoding="utf-8")
        for path in (_VEGA, _VEGA_LICENSE)
    )
    return f"/*!\n{license_text}*/\n{code}"


def _policy(style: str, *scripts: str) -> str:
    """What a browser lets the report do: run these scripts, and ask for nothing."""
    rules = {
        "default-src": "'none'",
        "style-src": _hash(style),
        # Vega makes functions of the expressions in a plot's description, which are our own.
        "script-src": " ".join([*map(_hash, scripts), "'unsafe-eval'"]),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _values(record: Record) -> dict[str, object]:
    runs, attempts = record.runs, record.attempts
    last = runs[-1]
    rules = of_rules(attempts)
    zone_name, offset = zone(last.started)
    priced = not is_own_machine(last.endpoint)
    advice = advise(attempts, is_priced_by_instance=priced)
    return {
        "overview": overview(runs, attempts, is_dead=is_dead(last.process)),
        "run": last,
        "made": moment(time.time()),
        "zone": zone_name,
        "record": record,
        "rules": rules,
        "failures": failures(attempts),
        "graph": graph_view(runs, attempts),
        "advice": advice,
        "options": as_options(advice),
        "profile": as_profile(advice),
        "least_jobs": LEAST_JOBS,
        "margin": round(100 * (MEMORY_MARGIN - 1)),
        "data": page_data(runs, attempts, rules, offset),
    }


def _megabytes(number: float) -> str:
    """As people write what they ask for: millions of bytes."""
    return f"{number / _GB:.3g} GB" if number >= _GB else f"{number:.0f} MB"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        amount=words.money,
        duration=words.duration,
        megabytes=_megabytes,
        mib=lambda mib: words.size(mib * 1024 * 1024),
    )
    return environment
