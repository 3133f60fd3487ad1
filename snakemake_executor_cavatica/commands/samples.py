"""`snakemake-cavatica samples`: a table of a project's files and their metadata."""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path

from ..api import CavaticaError, ConfigurationError, File
from ..observe.whole_file import write_whole
from ..observe.words import several
from ..project.connection import Connection
from ..project.found import Found, below
from ..project.paths import ProjectPath
from ..project.sample_table import SampleTable, is_wanted, table_of_files, table_of_groups
from .data_places import connect, found_at, harmless
from .platform import checked_folder, checked_project, tell_waits
from .show import remarks

FORMATS = ("tsv", "csv", "json")
_SHOWN = 3


def run(options: argparse.Namespace) -> int:
    """Write the table; the exit status."""
    tell_waits()
    target = Path(options.output) if options.output else None
    form = options.format or _form_of(target)
    where = _where(options.where)
    connection = connect(options)
    files = [
        (found, found.file)
        for found in _below(connection, options)
        if found.file is not None and not found.is_folder
    ]
    chosen = [(found, file) for found, file in files if is_wanted(file, where)]
    if not chosen:
        raise CavaticaError(_nothing(len(files)))
    table = _table(chosen, options.group_by)
    text = _text(table, form)
    if target is None:
        sys.stdout.write(text)
    else:
        try:
            write_whole(target, text, errors="surrogateescape")
        except OSError as error:
            raise CavaticaError(f"{target} cannot be written: {error.strerror}.") from error
    _tell(table, options, len(chosen))
    return 0


def _below(connection: Connection, options: argparse.Namespace) -> list[Found]:
    """All files at the places, or in the project but for the plugin's own folder."""
    if options.places:
        found = found_at(connection, options.places, None)
        inside = below(connection.client, [one for one in found if one.is_folder])
        return list({one.place: one for one in (*found, *inside)}.values())
    project = checked_project(connection, options.project)
    own = ProjectPath(project, checked_folder(options.folder))
    return [
        one
        for one in below(connection.client, [Found(ProjectPath(project, ""))])
        if not f"{one.place}/".startswith(f"{own}/")
    ]


def _where(pairs: list[str]) -> dict[str, list[str]]:
    """Several values of one key are alternatives, as on the platform."""
    found: dict[str, list[str]] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise ConfigurationError(f"--where {pair!r} is not of the form key=value.")
        found.setdefault(key, []).append(value)
    return found


def _nothing(number: int) -> str:
    if not number:
        return "There are no files. `snakemake-cavatica put` brings some."
    return f"None of the {number} files has that metadata (--where); `ls -l` shows what they have."


def _table(files: list[tuple[Found, File]], group_by: str | None) -> SampleTable:
    if group_by is None:
        return table_of_files(files)
    keys = [key.strip() for key in group_by.split(",") if key.strip()]
    if not keys:
        raise ConfigurationError(f"--group-by {group_by!r} names no key, such as sample_id.")
    table = table_of_groups(files, keys)
    if not table.rows:
        raise CavaticaError(
            f"None of the {several(len(files), 'file')} has {' and '.join(keys)} in its metadata; "
            "`ls -l` shows what they have."
        )
    return table


# ------------------------------------------------------------------------------- writing


def _form_of(target: Path | None) -> str:
    suffix = target.suffix.lstrip(".").lower() if target else "tsv"
    if suffix not in FORMATS:
        raise ConfigurationError(
            f"{target} does not end with .{', .'.join(FORMATS)}; say --format what it is to be."
        )
    return suffix


def _text(table: SampleTable, form: str) -> str:
    if form == "json":
        return f"{json.dumps(table.rows, indent=2)}\n"
    stream = io.StringIO()
    writer = csv.DictWriter(
        stream,
        table.columns,
        restval="",
        delimiter="\t" if form == "tsv" else ",",
        lineterminator="\n",
    )
    writer.writeheader()
    writer.writerows(table.rows)
    return stream.getvalue()


def _tell(table: SampleTable, options: argparse.Namespace, files: int) -> None:
    """What people should know of the table, on stderr: the table itself may be on stdout."""
    told = [_some(table.without_group, f"have no {options.group_by}, and are left out")]
    told.append(_some(table.without_read, "have no paired_end, and are in the column `file`"))
    what = "sample" if options.group_by else "row"
    told.append(f"{several(len(table.rows), what)} of {several(files, 'file')}.")
    remarks(line for line in told if line)


def _some(places: list[str], what: str) -> str:
    if not places:
        return ""
    some = ", ".join(map(harmless, places[:_SHOWN]))
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return f"{len(places)} of the files {what}: {some}{more}."
