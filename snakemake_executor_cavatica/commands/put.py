"""`snakemake-cavatica put`: files and folders of this machine go to a project."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..api import CavaticaError, ConfigurationError
from ..project.connection import Connection
from ..project.found import find
from ..project.name_metadata import NameMetadata
from ..project.paths import SCHEME, ProjectPath
from ..project.same_content import Chosen
from ..project.upload_plan import UploadPlan, plan_uploads, send
from ..read import values
from .data_places import (
    Stopwatch,
    amount,
    check_permission,
    connect,
    goes_into,
    place_of,
    refuse_to_replace,
    say,
    shown_progress,
    told_of_the_machine,
)
from .platform import tell_waits
from .show import remarks

_MOST_NAMED = 5


def run(options: argparse.Namespace) -> int:
    """Send what is not there; the exit status."""
    tell_waits()
    target = place_of(options.target)
    metadata = _metadata(options)
    connection = connect(options)
    check_permission(connection, target.project, "write")
    with told_of_the_machine(options.sources[0]):
        sources = _sources(connection, options, target)
        plan = plan_uploads(
            connection.client, sources, Chosen(tuple(options.include), tuple(options.exclude))
        )
        if options.dry_run:
            _show(plan, metadata)
            return 0
        if not options.overwrite:
            refuse_to_replace(plan.different, lambda item: item.place)
        _send(connection, plan, metadata)
    _tell_unmatched(plan, metadata)
    return 0


def _metadata(options: argparse.Namespace) -> NameMetadata:
    try:
        fixed = values.metadata(",".join(options.metadata))
    except ValueError as error:
        raise ConfigurationError(f"--metadata {error}.") from None
    try:
        return NameMetadata.parse(fixed, options.metadata_from)
    except ValueError as error:
        raise ConfigurationError(f"--metadata-from {options.metadata_from!r} {error}.") from None


def _tell_unmatched(plan: UploadPlan, metadata: NameMetadata) -> None:
    """Name the files that a person may have meant to have metadata, and that have none."""
    files = [*plan.missing, *plan.different, *plan.there]
    unmatched = [item.place.name for item in files if not metadata.matches(item.place.name)]
    if unmatched:
        named = ", ".join(unmatched[:_MOST_NAMED]) + (", ..." if unmatched[_MOST_NAMED:] else "")
        remarks([f"{len(unmatched)} files are not named as --metadata-from says: {named}"])


def _sources(
    connection: Connection, options: argparse.Namespace, target: ProjectPath
) -> list[tuple[Path, ProjectPath]]:
    """What goes where."""
    for source in options.sources:
        if source.startswith(SCHEME):
            raise CavaticaError(
                f"{source} is a place on the platform; `put` takes files of this machine, and one "
                "place as the last argument."
            )
    paths = [Path(source) for source in options.sources]
    inside = not target.path or goes_into(options.target, len(paths))
    if not inside and not paths[0].is_dir():
        there = find(connection.client, target)
        inside = there is not None and there.is_folder
    if not inside:
        return [(paths[0], target)]
    placed: dict[ProjectPath, Path] = {}
    for path in paths:
        place = target / path.resolve().name if path.name in {"", ".", ".."} else target / path.name
        if place in placed:
            raise CavaticaError(f"{placed[place]} and {path} would both be {place}.")
        placed[place] = path
    return [(path, place) for place, path in placed.items()]


def _show(plan: UploadPlan, metadata: NameMetadata) -> None:
    for item in plan.missing:
        said = ", ".join(f"{key}={value}" for key, value in metadata.of(item.place.name).items())
        say(f"{item.source} -> {item.place}{f' ({said})' if said else ''}")
    for item in plan.different:
        say(f"{item.source} -> {item.place} (has another content; --overwrite replaces it)")
    files = [*plan.missing, *plan.different]
    say(f"To send: {amount(len(files), plan.size)}; {len(plan.there)} are there already.")
    say("Nothing was sent (--dry-run).")


def _send(connection: Connection, plan: UploadPlan, metadata: NameMetadata) -> None:
    files = len(plan.missing) + len(plan.different)
    watch = Stopwatch()
    with shown_progress("Sending", plan.size, files, connection.client.traffic.up) as sent:
        failures = send(connection, plan, sent, metadata)
    if failures:
        remarks([f"{len(failures)} files lack metadata or checksum: {failures[0]}"])
    say(
        f"Sent {amount(files, plan.size)} {watch.told(plan.size)}; "
        f"{len(plan.there)} were there already."
    )
