"""A listing is whole and in order, whatever is told of its length, and costs no page too many."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from snakemake_executor_cavatica.api import Stop
from snakemake_executor_cavatica.api.answers import Answer
from snakemake_executor_cavatica.api.call import Call, get
from snakemake_executor_cavatica.api.listing import Listing
from snakemake_executor_cavatica.api.transport import Transport
from snakemake_executor_cavatica.api.workers import Workers

ENDPOINT = "https://platform/v2"
LIMIT = 10


class Platform:
    """A transport to a platform with a listing of `number` items, of which it says `told`."""

    endpoint = ENDPOINT

    def __init__(self, number: int, told: object) -> None:
        self.stop = Stop()
        self.asked: list[int] = []
        self.threads: set[int] = set()
        self._number = number
        self._told = {} if told is None else {"x-total-matching-query": str(told)}

    def send(self, call: Call, read: Callable[[Call, Answer], Any]) -> Any:
        offset = int(dict(call.params).get("offset", 0))
        self.asked.append(offset)
        self.threads.add(threading.get_ident())
        ends = min(offset + LIMIT, self._number)
        items = list(range(offset, ends))
        links = [{"rel": "next", "href": f"{ENDPOINT}/files?offset={offset + LIMIT}"}]
        document = {"items": items, "links": links if ends < self._number else []}
        return read(call, Answer(200, self._told, json.dumps(document).encode()))


def items(platform: Platform, *, ahead: bool = True) -> list[int]:
    listing = Listing(cast(Transport, platform), Workers(4))
    return list(listing.items(get("/files"), ahead=ahead))


@pytest.mark.parametrize("number", [0, 1, 10, 11, 95, 1000])
@pytest.mark.parametrize("told", ["right", None, 0, -5, "many", 10**15])
def test_all_items_in_order(number: int, told: object) -> None:
    """Protects against files that are not seen, since the platform counts otherwise than we do."""
    platform = Platform(number, number if told == "right" else told)
    assert items(platform) == list(range(number))
    needed = max(1, -(-number // LIMIT))
    assert len(platform.asked) == len(set(platform.asked))
    assert len(platform.asked) == needed or told == 10**15
    assert len(platform.asked) < needed + 32


def test_pages_are_read_at_once_only_where_all_are_wanted() -> None:
    platform = Platform(100, 100)
    assert items(platform) == list(range(100))
    assert len(platform.threads) > 1
    platform = Platform(100, 100)
    assert items(platform, ahead=False) == list(range(100))
    assert platform.threads == {threading.get_ident()}


def test_a_listing_that_is_left_early_costs_its_first_page() -> None:
    platform = Platform(100, 100)
    listing = Listing(cast(Transport, platform), Workers(4))
    assert next(listing.items(get("/files"), ahead=True)) == 0
    assert platform.asked == [0]
