"""`snakemake-cavatica get`: files and folders of projects come to this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..api import CavaticaError, Client
from ..project.download_plan import DownloadPlan, check_space, fetch_missing, plan_downloads
from ..project.found import Found
from ..project.same_content import Chosen
from .data_places import (
    Stopwatch,
    amount,
    connect,
    found_at,
    goes_into,
    is_pattern,
    refuse_to_replace,
    say,
    shown_progress,
    told_of_the_machine,
)
from .platform import tell_waits


def run(options: argparse.Namespace) -> int:
    """Fetch what is not here; the exit status."""
    tell_waits()
    connection = connect(options)
    found = found_at(connection, options.sources, "copy")
    with told_of_the_machine(options.target):
        plan = plan_downloads(
            connection.client,
            _targets(options, found),
            Chosen(tuple(options.include), tuple(options.exclude)),
        )
        if options.dry_run:
            _show(plan)
            return 0
        if not options.overwrite:
            refuse_to_replace(plan.different, lambda item: item.target)
        check_space(plan, Path(options.target))
        _fetch(connection.client, plan)
    return 0


def _targets(options: argparse.Namespace, found: list[Found]) -> list[tuple[Found, Path]]:
    """What goes where."""
    target = Path(options.target)
    inside = is_pattern(options.sources[0], found[0]) or goes_into(options.target, len(found))
    inside = inside or (target.is_dir() and not found[0].is_folder)
    if not inside:
        return [(found[0], target)]
    placed: dict[Path, Found] = {}
    for one in found:
        path = target / one.name
        if path in placed:
            raise CavaticaError(f"{placed[path].place} and {one.place} would both be {path}.")
        placed[path] = one
    return [(one, path) for path, one in placed.items()]


def _show(plan: DownloadPlan) -> None:
    for item in plan.missing:
        say(f"{item.place} -> {item.target}")
    for item in plan.different:
        say(f"{item.place} -> {item.target} (has another content; --overwrite replaces it)")
    files = [*plan.missing, *plan.different]
    say(f"To fetch: {amount(len(files), plan.size)}; {len(plan.there)} are here already.")
    say("Nothing was fetched (--dry-run).")


def _fetch(client: Client, plan: DownloadPlan) -> None:
    files = len(plan.missing) + len(plan.different)
    watch = Stopwatch()
    with shown_progress("Fetching", plan.size, files, client.traffic.down) as fetched:
        fetch_missing(client, plan, fetched)
    say(
        f"Fetched {amount(files, plan.size)} {watch.told(plan.size)}; "
        f"{len(plan.there)} were here already."
    )
