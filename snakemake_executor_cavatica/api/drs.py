"""Objects of GA4GH DRS servers, imported by the platform: it links them, and no byte passes here.

Only the provider's client shows the calls: up to a hundred objects are asked for at once, and one
looks until the import has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .answers import parse, unexpected
from .background import ended
from .call import BULK, Call, get, post, segment
from .client import Client
from .errors import ApiError, UnexpectedAnswer, item_error
from .models import AsyncJob, BulkItem, File

_CREATE = "/bulk/drs/imports/create"


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
        found += _imported(client, wanted[start : start + BULK])
    return found


def _imported(client: Client, chunk: Sequence[DrsImport]) -> list[File | ApiError]:
    items = [
        {"drs_uri": one.uri, "name": one.name, "parent": one.parent, "metadata": one.metadata}
        for one in chunk
    ]
    body = {"conflict_resolution": "SKIP", "tags": [], "items": items}
    job_id = client.one(AsyncJob, post(_CREATE, body, safe=True)).id
    look = get(f"/bulk/drs/imports/{segment(job_id)}")
    # The platform checks each object, and copies nothing.
    job = ended(client, lambda: client.one(AsyncJob, look), f"import {job_id}", "start again later")
    if len(job.result) != len(chunk):
        raise unexpected(look, f"the import tells of {len(job.result)} of {len(chunk)} objects")
    return [_outcome(look, item) for item in job.result]


def _outcome(look: Call, item: BulkItem) -> File | ApiError:
    """Of a file maybe only the id is told (seen in a test of the provider's client)."""
    if item.error is not None:
        return item_error(item.error, method=look.method, path=look.path)
    try:
        return parse(look, File, item.resource)
    except UnexpectedAnswer as error:
        return error
