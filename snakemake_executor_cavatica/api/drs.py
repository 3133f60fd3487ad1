"""Objects of GA4GH DRS servers, imported by the platform: it links them, and no byte passes here.

Only the provider's client shows the calls: up to a hundred objects are asked for at once, and one
looks until the import has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import tenacity

from .answers import parse
from .call import BULK, get, post
from .client import Client
from .errors import ApiError, TransferError, UnexpectedAnswer, item_error
from .models import AsyncJob, BulkItem, File

_CREATE = "/bulk/drs/imports/create"
_LONGEST = 3600.0
"""Seconds that an import may take; the platform checks each object, and copies nothing."""


@dataclass(frozen=True)
class DrsImport:
    """An object, and what it is to be called in a folder."""

    uri: str
    name: str
    parent: str
    metadata: dict[str, str] = field(default_factory=dict)


def import_drs(client: Client, wanted: Sequence[DrsImport]) -> list[File | ApiError]:
    """Have objects imported; for each the file, or why it is none.

    A name that is taken is skipped, so that a second request changes nothing; what the platform
    says of it then is not documented.

    Raises:
        ApiError, TransferError: the platform does not import, or not in time.
    """
    found: list[File | ApiError] = []
    for start in range(0, len(wanted), BULK):
        chunk = wanted[start : start + BULK]
        job = _finished(client, _start(client, chunk))
        if len(job.result) != len(chunk):
            raise UnexpectedAnswer(
                f"the import tells of {len(job.result)} of {len(chunk)} objects",
                method="GET",
                path=_path(job),
            )
        found += [_outcome(job, item) for item in job.result]
    return found


def _start(client: Client, chunk: Sequence[DrsImport]) -> AsyncJob:
    items = [
        {"drs_uri": one.uri, "name": one.name, "parent": one.parent, "metadata": one.metadata}
        for one in chunk
    ]
    body = {"conflict_resolution": "SKIP", "tags": [], "items": items}
    call = post(_CREATE, body, safe=True)
    return parse(call, AsyncJob, client.transport.send(call))


def _finished(client: Client, job: AsyncJob) -> AsyncJob:
    def look() -> AsyncJob:
        call = get(_path(job))
        return parse(call, AsyncJob, client.transport.send(call))

    looking = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda job: not job.is_finished),
        wait=tenacity.wait_exponential(multiplier=0.5, max=10.0),
        stop=tenacity.stop_after_delay(_LONGEST),
        sleep=tenacity.sleep_using_event(client.stop),
    )
    try:
        return looking(look)
    except tenacity.RetryError:
        raise TransferError(
            f"the import {job.id} has not finished after {_LONGEST:.0f} s; it goes on, so start "
            "again later"
        ) from None


def _path(job: AsyncJob) -> str:
    return f"/bulk/drs/imports/{quote(job.id, safe='')}"


def _outcome(job: AsyncJob, item: BulkItem) -> File | ApiError:
    """Of a file maybe only the id is told (seen in a test of the provider's client)."""
    if item.error is not None:
        return item_error(item.error, method="GET", path=_path(job))
    call = get(_path(job))
    try:
        return parse(call, File, item.resource)
    except UnexpectedAnswer as error:
        return error
