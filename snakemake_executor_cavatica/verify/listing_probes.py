"""Listings, the rate limit, and calls for several things at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

from ..api import calls
from ..api.call import PAGE, get
from .probe import Finding, Probe, Unsettled, limit, order_of, probe, truth
from .scratch import REFUSED, Scratch

PROBES: list[Probe] = []


@probe(PROBES, "file_listing_order", "8 copies of a file, listed; 14 requests")
def _file_listing_order(scratch: Scratch) -> Finding:
    folder = scratch.files.subfolder("order")
    made = []
    for letter in "dagcfhbe":
        made.append(
            scratch.client.copy_file(scratch.files.file.id, parent=folder, name=f"{letter}.txt")
        )
        time.sleep(scratch.tick)
    found = [file.id for file in scratch.client.list_files(parent=folder)]
    ids = [file.id for file in made]
    by_name = [file.id for file in sorted(made, key=lambda file: file.name)]
    orders = {"id": sorted(ids), "name": by_name, "created": ids, "-created": ids[::-1]}
    return order_of(found, orders, scratch.assumed["file_listing_order"])


def _letters(scratch: Scratch) -> dict[str, str]:
    """Drafts by id, with one letter each, in the order in which they were made."""
    made = {}
    for letter in "dagcfbe":
        made[scratch.tasks.draft(f"order {letter}").id] = letter
        time.sleep(scratch.tick)
    return made


@probe(PROBES, "task_listing_order", "7 drafts, listed without order_by; 18 requests")
def _task_listing_order(scratch: Scratch) -> Finding:
    made = list(_letters(scratch))
    found, *others = (_listed(scratch, made) for _ in range(3))
    if any(other != found for other in others):
        return Finding("unstable")
    orders = {"id": sorted(made), "created": made, "-created": made[::-1]}
    return order_of(found, orders, scratch.assumed["task_listing_order"])


@probe(PROBES, "task_order_default", "7 drafts, listed with order_by=name; 16 requests")
def _task_order_default(scratch: Scratch) -> Finding:
    made = _letters(scratch)
    found = "".join(made[task_id] for task_id in _listed(scratch, list(made), order_by="name"))
    orders = {"abcdefg": "asc", "gfedcba": "desc"}
    if found not in orders:
        raise Unsettled(f"the drafts are not in the order of their names: {found}")
    return Finding(orders[found])


def _listed(scratch: Scratch, made: Sequence[str], order_by: str | None = None) -> list[str]:
    """The drafts among the project's tasks, as a listing has them."""
    since = scratch.tasks.made[made[0]].created_time
    query = {"project": scratch.project, "created_from": since, "order_by": order_by, "limit": 100}
    _, document = scratch.ask(get("/tasks", query))
    return [task["id"] for task in document["items"] if task["id"] in made]


@probe(PROBES, "limit_over_maximum", "a listing with limit=101; 1 request")
def _limit_over_maximum(scratch: Scratch) -> Finding:
    params = {"visibility": "public", "limit": PAGE + 1, "fields": "id"}
    status, document = scratch.ask(get("/apps", params))
    if status >= REFUSED:
        return Finding("error")
    number = len(document["items"])
    if number > PAGE:
        return Finding("none", note=f"{number} entries came on one page")
    shown = parse_qs(urlsplit(document["href"]).query).get("limit", ["?"])[0]
    if number == PAGE or shown == str(PAGE):
        return Finding("clamp")
    raise Unsettled(f"it is accepted, but there are only {number} public apps to see it by")


@probe(PROBES, "name filter of file listings", "3 copies, listed by name; 4 requests", "exact")
def _name_filter(scratch: Scratch) -> Finding:
    folder = scratch.files.subfolder("names")
    names = ("match.txt", "Match.txt", "match.txt.bak")
    for name in names:
        scratch.client.copy_file(scratch.files.file.id, parent=folder, name=name)
    found = {file.name for file in scratch.client.list_files(parent=folder, names=names[:1])}
    if found == {"match.txt"}:
        return Finding("exact")
    return Finding(f"finds {', '.join(sorted(found)) or 'nothing'}")


@probe(PROBES, "fields in bulk calls", "a bulk get of a draft with fields=; 3 requests", "heeded")
def _fields_in_bulk(scratch: Scratch) -> Finding:
    task = scratch.tasks.draft()
    call = calls.get_tasks([task.id], fields="id,status")
    _, document = scratch.ask(call)
    found = set(document["items"][0]["resource"])
    return Finding("heeded" if found == {"id", "status"} else f"{len(found)} fields come")


@probe(PROBES, "rate_limit_call_costs", "GET /rate_limit 4 times, thrice at most; 4 to 12 requests")
def _rate_limit_call_costs(scratch: Scratch) -> Finding:
    for _ in range(3):
        rates = [scratch.client.rate_limit().rate for _ in range(4)]
        left = [rate.remaining for rate in rates if rate and rate.remaining is not None]
        if len(left) < len(rates) or any(rate and rate.limit == rate.remaining for rate in rates):
            raise Unsettled("the requests of this token are not counted")
        steps = {earlier - later for earlier, later in pairwise(left)}
        if steps in ({0}, {1}):
            return truth(steps == {1})
    raise Unsettled("other programs use this token at the same time")


def _nobodys(number: int) -> list[str]:
    """Ids that no file has: they look like ones that were made in 1970."""
    return [f"{index:024x}" for index in range(1, number + 1)]


@probe(PROBES, "bulk_max_items", "bulk gets of 10 to 200 files that do not exist; up to 5 requests")
def _bulk_max_items(scratch: Scratch) -> Finding:
    def is_accepted(number: int) -> bool:
        return scratch.ask(calls.get_files(_nobodys(number)))[0] < REFUSED

    return limit(scratch.assumed["bulk_max_items"], (10, 50, 100, 101, 200), is_accepted)


@probe(
    PROBES,
    "async_max_items",
    "async deletions of 1 to 200 files that do not exist; up to 6 requests",
)
def _async_max_items(scratch: Scratch) -> Finding:
    def is_accepted(number: int) -> bool:
        items = [{"file": file} for file in _nobodys(number)]
        return scratch.ask(calls.start_async("delete", items))[0] < REFUSED

    if not is_accepted(1):
        raise Unsettled("files that do not exist are refused at once")
    return limit(scratch.assumed["async_max_items"], (10, 50, 100, 101, 200), is_accepted)


@probe(PROBES, "async_delay", "an async deletion of an empty folder, watched; about 6 requests")
def _async_delay(scratch: Scratch) -> Finding:
    folder = scratch.client.create_folder("delay", parent=scratch.files.folder).id
    job = scratch.client.start_async("delete", [{"file": folder}])
    started = time.monotonic()
    while job.state in ("SUBMITTED", "RESOLVING") and time.monotonic() - started < 60:  # noqa: PLR2004
        time.sleep(0.1 if scratch.is_local else 1.0)
        job = scratch.client.async_job("delete", job.id)
    seconds = time.monotonic() - started
    tolerance = 1.0
    return Finding(
        f"{seconds:.1f}", abs(seconds - float(scratch.assumed["async_delay"])) < tolerance, "± 1 s"
    )
