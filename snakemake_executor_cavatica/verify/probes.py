"""One small experiment for each thing that is not known about the real platform.

A probe's value is written as the embedded platform's switch of that name takes it, so that the two
can be compared; the probes without a switch compare with what the embedded platform always does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

from cavatica_local.switches import Switches

from ..api import ApiError, CavaticaError, Conflict, File, calls
from .scratch import Bench

_REFUSED = 400
_KIB = 1024
_MIB = 1024 * 1024


class Unsettled(Exception):
    """A probe could not tell; the message says why."""


@dataclass(frozen=True)
class Finding:
    """What a platform did."""

    value: str
    agrees: bool | None = None
    """Whether that is what the embedded platform assumes; None: if the texts are equal."""
    note: str = ""


@dataclass(frozen=True)
class Probe:
    """An experiment."""

    name: str
    """Of the switch, or of the behaviour if there is none."""
    how: str
    assumed: str
    measure: Callable[[Bench], Finding]


def assumption(name: str) -> str:
    """The default of a switch, as the command line writes it."""
    default = next(item.default for item in fields(Switches) if item.name == name)
    return str(default).lower() if isinstance(default, bool) else str(default)


FREE: list[Probe] = []
"""Probes that cost requests only."""


def probe(
    name: str, how: str, assumed: str | None = None
) -> Callable[[Callable[[Bench], Finding]], Callable[[Bench], Finding]]:
    """Register a free probe; without `assumed`, the name is a switch's."""

    def register(measure: Callable[[Bench], Finding]) -> Callable[[Bench], Finding]:
        FREE.append(Probe(name, how, assumption(name) if assumed is None else assumed, measure))
        return measure

    return register


def truth(value: bool) -> Finding:
    """A finding about a switch that is true or false."""
    return Finding(str(value).lower())


def limit(name: str, rungs: Sequence[int], is_accepted: Callable[[int], bool]) -> Finding:
    """The largest accepted number, between two rungs of a ladder that is climbed up to a refusal.

    Nothing beyond the last rung is tried: a probe must not be a burden.
    """
    accepted = 0
    for rung in rungs:
        if not is_accepted(rung):
            exact = rung - accepted == 1
            value = str(accepted) if exact else f"at least {accepted}, less than {rung}"
            return Finding(value, agrees=accepted <= int(assumption(name)) < rung)
        accepted = rung
    return Finding(f"at least {accepted}", agrees=False, note="more was not tried")


# --------------------------------------------------------------------------- listings


def order_of(found: Sequence[str], orders: Mapping[str, Sequence[str]], assumed: str) -> Finding:
    """Which of the orders a listing has; several may look alike."""
    fitting = [name for name, ids in orders.items() if list(ids) == list(found)]
    if not fitting:
        return Finding(f"none of {', '.join(orders)}", agrees=False)
    return Finding(" or ".join(fitting), agrees=assumed in fitting)


@probe("file_listing_order", "8 copies of a file, listed; 14 requests")
def _file_listing_order(bench: Bench) -> Finding:
    folder = bench.subfolder("order")
    made = []
    for letter in "dagcfhbe":
        made.append(bench.client.copy_file(bench.file.id, parent=folder, name=f"{letter}.txt"))
        time.sleep(bench.tick)
    found = [file.id for file in bench.client.list_files(parent=folder)]
    ids = [file.id for file in made]
    by_name = [file.id for file in sorted(made, key=lambda file: file.name)]
    orders = {"id": sorted(ids), "name": by_name, "created": ids, "-created": ids[::-1]}
    return order_of(found, orders, assumption("file_listing_order"))


def _letters(bench: Bench) -> dict[str, str]:
    """Drafts by id, with one letter each, in the order in which they were made."""
    made = {}
    for letter in "dagcfbe":
        made[bench.draft(f"order {letter}").id] = letter
        time.sleep(bench.tick)
    return made


@probe("task_listing_order", "7 drafts, listed without order_by; 18 requests")
def _task_listing_order(bench: Bench) -> Finding:
    made = list(_letters(bench))
    found, *others = (_listed(bench, made) for _ in range(3))
    if any(other != found for other in others):
        return Finding("unstable")
    orders = {"id": sorted(made), "created": made, "-created": made[::-1]}
    return order_of(found, orders, assumption("task_listing_order"))


@probe("task_order_default", "7 drafts, listed with order_by=name; 16 requests")
def _task_order_default(bench: Bench) -> Finding:
    made = _letters(bench)
    found = "".join(made[task_id] for task_id in _listed(bench, list(made), order_by="name"))
    orders = {"abcdefg": "asc", "gfedcba": "desc"}
    if found not in orders:
        raise Unsettled(f"the drafts are not in the order of their names: {found}")
    return Finding(orders[found])


def _listed(bench: Bench, made: Sequence[str], order_by: str | None = None) -> list[str]:
    """The drafts among the project's tasks, as a listing has them."""
    since = bench.tasks[made[0]].created_time
    query = {"project": bench.project, "created_from": since, "order_by": order_by, "limit": 100}
    _, document = bench.ask(calls.get("/tasks", query))
    return [task["id"] for task in document["items"] if task["id"] in made]


@probe("limit_over_maximum", "a listing with limit=101; 1 request")
def _limit_over_maximum(bench: Bench) -> Finding:
    params = {"visibility": "public", "limit": calls.PAGE + 1, "fields": "id"}
    status, document = bench.ask(calls.get("/apps", params))
    if status >= _REFUSED:
        return Finding("error")
    number = len(document["items"])
    if number > calls.PAGE:
        return Finding("none", note=f"{number} entries came on one page")
    shown = parse_qs(urlsplit(document["href"]).query).get("limit", ["?"])[0]
    if number == calls.PAGE or shown == str(calls.PAGE):
        return Finding("clamp")
    raise Unsettled(f"it is accepted, but there are only {number} public apps to see it by")


@probe("name filter of file listings", "3 copies, listed by name; 4 requests", "exact")
def _name_filter(bench: Bench) -> Finding:
    folder = bench.subfolder("names")
    names = ("match.txt", "Match.txt", "match.txt.bak")
    for name in names:
        bench.client.copy_file(bench.file.id, parent=folder, name=name)
    found = {file.name for file in bench.client.list_files(parent=folder, names=names[:1])}
    if found == {"match.txt"}:
        return Finding("exact")
    return Finding(f"finds {', '.join(sorted(found)) or 'nothing'}")


@probe("fields in bulk calls", "a bulk get of a draft with fields=; 3 requests", "heeded")
def _fields_in_bulk(bench: Bench) -> Finding:
    task = bench.draft()
    call = calls.get_tasks([task.id], fields="id,status")
    _, document = bench.ask(call)
    found = set(document["items"][0]["resource"])
    return Finding("heeded" if found == {"id", "status"} else f"{len(found)} fields come")


# --------------------------------------------------------------------------- requests and bulk


@probe("rate_limit_call_costs", "GET /rate_limit 4 times, thrice at most; 4 to 12 requests")
def _rate_limit_call_costs(bench: Bench) -> Finding:
    for _ in range(3):
        rates = [bench.client.rate_limit().rate for _ in range(4)]
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


@probe("bulk_max_items", "bulk gets of 10 to 200 files that do not exist; up to 5 requests")
def _bulk_max_items(bench: Bench) -> Finding:
    def is_accepted(number: int) -> bool:
        return bench.ask(calls.get_files(_nobodys(number)))[0] < _REFUSED

    return limit("bulk_max_items", (10, 50, 100, 101, 200), is_accepted)


@probe("async_max_items", "async deletions of 1 to 200 files that do not exist; up to 6 requests")
def _async_max_items(bench: Bench) -> Finding:
    def is_accepted(number: int) -> bool:
        items = [{"file": file} for file in _nobodys(number)]
        return bench.ask(calls.start_async("delete", items))[0] < _REFUSED

    if not is_accepted(1):
        raise Unsettled("files that do not exist are refused at once")
    return limit("async_max_items", (10, 50, 100, 101, 200), is_accepted)


@probe("async_delay", "an async deletion of an empty folder, watched; about 6 requests")
def _async_delay(bench: Bench) -> Finding:
    folder = bench.client.create_folder("delay", parent=bench.folder).id
    job = bench.client.start_async("delete", [{"file": folder}])
    started = time.monotonic()
    while job.state in ("SUBMITTED", "RESOLVING") and time.monotonic() - started < 60:  # noqa: PLR2004
        time.sleep(0.1 if bench.is_local else 1.0)
        job = bench.client.async_job("delete", job.id)
    seconds = time.monotonic() - started
    tolerance = 1.0
    return Finding(
        f"{seconds:.1f}", abs(seconds - float(assumption("async_delay"))) < tolerance, "± 1 s"
    )


# --------------------------------------------------------------------------- drafts


@probe("status of DELETE", "a draft is deleted; 2 requests", "204")
def _delete_status(bench: Bench) -> Finding:
    task = bench.draft()
    status, _ = bench.ask(calls.delete_task(task.id))
    bench.tasks.pop(task.id)
    return Finding(str(status))


@probe("task_json_limit", "drafts of 128 KiB to 2 MiB; up to 12 requests, 5 MB")
def _task_json_limit(bench: Bench) -> Finding:
    def is_accepted(size: int) -> bool:
        bare = len(json.dumps(bench.body(inputs={"text": ""}).to_body()))
        return bench.is_accepted_body(bench.body(inputs={"text": "x" * (size - bare)}))

    rungs = (128 * _KIB, 256 * _KIB, 512 * _KIB, _MIB, _MIB + 1, 2 * _MIB)
    return limit("task_json_limit", rungs, is_accepted)


@probe("task_errors_shape", "a draft without a required input; 2 requests")
def _task_errors_shape(bench: Bench) -> Finding:
    task = bench.create(bench.body(inputs={"script": None}))
    if not task.errors:
        raise Unsettled("a draft without a required input shows no errors")
    element = task.errors[0]
    if isinstance(element, str):
        return Finding("string")
    if isinstance(element, dict):
        known = [key for key in ("error", "message") if key in element]
        return Finding(known[0] if len(known) == 1 else f"keys {', '.join(sorted(element))}")
    return Finding(type(element).__name__)


@probe("bare_instance_type", "drafts with and without a disk in instance_type; up to 6 requests")
def _bare_instance_type(bench: Bench) -> Finding:
    for full in ("c5.xlarge;ebs-gp2;100", "n1-standard-4;pd-ssd;100"):
        if bench.is_accepted(execution_settings={"instance_type": full}):
            bare = full.partition(";")[0]
            accepted = bench.is_accepted(execution_settings={"instance_type": bare})
            return Finding(str(accepted).lower(), note="as far as a draft is checked")
    raise Unsettled("no instance type that was tried is accepted at all")


def _is_batch_accepted(bench: Bench, number: int) -> bool:
    many = [{"class": "File", "path": bench.file.id}] * number
    by = {"type": "ITEM"}
    return bench.is_accepted(inputs={"many": many}, batch_input="many", batch_by=by)


def _need_batches(bench: Bench) -> None:
    if not _is_batch_accepted(bench, 2):
        raise Unsettled("no batch draft is accepted at all")


@probe("batch_max_children", "batch drafts of 10 to 1001 children, never run; up to 10 requests")
def _batch_max_children(bench: Bench) -> Finding:
    _need_batches(bench)
    rungs = (10, 100, 1000, 1001)
    finding = limit("batch_max_children", rungs, lambda number: _is_batch_accepted(bench, number))
    if finding.value == f"at least {rungs[-1]}":
        raise Unsettled(f"a draft of {rungs[-1]} children is accepted; running it is not tried")
    return finding


@probe("batch_non_file_items", "a batch draft over strings, never run; 4 requests")
def _batch_non_file_items(bench: Bench) -> Finding:
    _need_batches(bench)
    accepted = bench.is_accepted(
        inputs={"words": ["a", "b"]}, batch_input="words", batch_by={"type": "ITEM"}
    )
    return Finding(str(accepted).lower(), note="as far as a draft is checked")


@probe("batch_missing_metadata", "a batch draft by metadata that files lack; 4 requests")
def _batch_missing_metadata(bench: Bench) -> Finding:
    _need_batches(bench)
    accepted = bench.is_accepted(
        inputs={"many": [{"class": "File", "path": bench.file.id}]},
        batch_input="many",
        batch_by={"type": "CRITERIA", "criteria": ["metadata.cavatica_probe"]},
    )
    return Finding("group" if accepted else "error", note="as far as a draft is checked")


# --------------------------------------------------------------------------- uploads and files


def _is_completed(bench: Bench, name: str, **wrong: int | str) -> bool:
    """Whether an upload that announces something else than it brings becomes a file."""
    size, md5 = wrong.get("size"), wrong.get("md5")
    try:
        bench.put(
            "uploads",
            name,
            b"probe\n",
            size=size if isinstance(size, int) else None,
            md5=md5 if isinstance(md5, str) else None,
        )
    except ApiError as error:
        if error.status is None:
            raise
        return False
    return True


@probe("upload_md5_checked", "an upload with a wrong md5; 5 requests")
def _upload_md5_checked(bench: Bench) -> Finding:
    return truth(not _is_completed(bench, "md5.txt", md5="0" * 32))


@probe("upload_size_checked", "an upload with a wrong size; 5 requests")
def _upload_size_checked(bench: Bench) -> Finding:
    return truth(not _is_completed(bench, "size.txt", size=7))


@probe("upload_same_name_conflict", "two open uploads of one name, aborted; 4 requests")
def _upload_same_name_conflict(bench: Bench) -> Finding:
    bench.open_upload("uploads", "open.txt")
    try:
        bench.open_upload("uploads", "open.txt")
    except Conflict:
        return truth(True)
    return truth(False)


@probe("overwrite_keeps_id", "a file uploaded again with overwrite; 8 requests")
def _overwrite_keeps_id(bench: Bench) -> Finding:
    first = bench.put("uploads", "again.txt", b"first\n")
    second = bench.put("uploads", "again.txt", b"second\n", overwrite=True)
    return truth(first.id == second.id)


@probe("signed_url_lifetime", "the expiry that a download URL states; 1 request")
def _signed_url_lifetime(bench: Bench) -> Finding:
    query = parse_qs(urlsplit(bench.client.download_url(bench.file.id)).query)
    stated = {key.lower(): values[0] for key, values in query.items()}
    for key in ("x-amz-expires", "x-goog-expires"):
        if key in stated:
            seconds = float(stated[key])
            break
    else:
        if "expires" not in stated:
            raise Unsettled(f"the URL states none; its parameters are {', '.join(sorted(stated))}")
        seconds = round(float(stated["expires"]) - time.time(), -1)
    # Compared as numbers: `900` and `900.0` are one time.
    return Finding(f"{seconds:.0f}", agrees=seconds == float(assumption("signed_url_lifetime")))


@probe(
    "folder names",
    "6 folders with unusual names; 6 requests",
    "taken: a_.20b, .hidden; refused: __x, 'a b', ä",
)
def _folder_names(bench: Bench) -> Finding:
    parent = bench.subfolder("folders")
    taken, refused = [], []
    for name in ("a_.20b", ".hidden", "__x", "a b", "ä"):
        shown = f"'{name}'" if " " in name else name
        try:
            made = bench.client.create_folder(name, parent=parent)
        except ApiError as error:
            if error.status is None or error.status >= 500:  # noqa: PLR2004 - HTTP's own number
                raise
            refused.append(shown)
        else:
            taken.append(shown if made.name == name else f"{shown} as {made.name}")
    return Finding(f"taken: {', '.join(taken)}; refused: {', '.join(refused) or 'none'}")


@probe("copy to a name that is taken", "2 copies of one name; 2 requests", "_1_copy.txt")
def _copy_conflict(bench: Bench) -> Finding:
    folder = bench.subfolder("copies")
    copies = [
        bench.client.copy_file(bench.file.id, parent=folder, name="copy.txt") for _ in range(2)
    ]
    return Finding(copies[1].name)


@probe("metadata edit and modified_on", "metadata of a file is changed; 3 requests", "changes")
def _metadata_edit(bench: Bench) -> Finding:
    before = bench.client.get_file(bench.file.id)
    time.sleep(1.1)
    bench.client.update_metadata(before.id, {"cavatica_probe_edit": "1"})
    after = bench.client.get_file(before.id)
    if before.modified_on is None or after.modified_on is None:
        raise Unsettled("files have no modified_on")
    return Finding("changes" if after.modified_on != before.modified_on else "stays")


def present(files: Iterable[File], names: Sequence[str]) -> Finding:
    """Which of these fields the entries of a listing have."""
    entries = list(files)
    if not entries:
        raise Unsettled("the listing is empty")
    return Finding(
        ", ".join(n for n in names if all(getattr(entry, n) for entry in entries)) or "none"
    )


@probe("times in file listings", "a listing with fields=; 1 request", "created_on, modified_on")
def _times_in_listings(bench: Bench) -> Finding:
    assert bench.file.id
    files = bench.client.list_files(parent=bench.subfolder("inputs"))
    return present(files, ("created_on", "modified_on"))


# --------------------------------------------------------------------------- what is left open

UNSETTLED: dict[str, str] = {
    "app_json_limit": "revisions of apps cannot be deleted, so large ones would stay for ever",
    "status_flap": "a share can only be seen in many long tasks",
    "spot_loss_rate": "a share can only be seen in many long tasks on spot instances",
    "spot_retries": "an instance would have to be lost",
    "upload_lifetime": "it takes as long as it says",
    "batch_creating_delay": "it depends on the load of the platform",
    **dict.fromkeys(
        (
            "container_user",
            "container_root_writable",
            "container_cwl_variables",
            "container_entrypoint",
        ),
        "it would take images made for the purpose, in a registry that the platform can reach",
    ),
    "signed_url_needs_permission": "a second member of the project would have to lose permissions",
}
"""Switches that no cheap experiment settles, and why."""


def hidden_project(name: str | None) -> Probe:
    """The one probe that needs something from the user: a project that is not theirs."""

    def measure(bench: Bench) -> Finding:
        if name is None:
            raise Unsettled("name a project that you are no member of: --hidden-project")
        status, _ = bench.ask(calls.project(name))
        if status < _REFUSED:
            raise Unsettled(f"the project {name} can be read with this token")
        return Finding(str(status))

    how = "a project that is not the user's; 1 request"
    switch = "unreadable_project_status"
    return Probe(switch, how, assumption(switch), measure)


def settle(bench: Bench, probe_: Probe) -> Finding | str:
    """Run a probe; a text says why it did not settle anything."""
    try:
        return probe_.measure(bench)
    except (Unsettled, CavaticaError) as error:
        return str(error)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # The platform answered in a shape that nobody expected: that must not end the others.
        return f"unexpected answer: {type(error).__name__}: {error}"
