"""Listings page by page; several at once where all are wanted and it is told how many there are.

One page after the other, a folder of 50,000 files would take as long as 500 answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .answers import Answer, Model, Page, decipher, parse, parse_page, unexpected
from .call import PAGE, Call
from .errors import CavaticaError, as_int
from .stop import Stop
from .transport import Transport
from .workers import Workers

_AT_ONCE = 32
"""Pages; what is told of their number may be wrong."""
_TOTAL = "x-total-matching-query"


class ManyItems(CavaticaError):
    """A listing has more items than are wanted."""

    def __init__(self, total: int) -> None:
        super().__init__(f"The listing has {total} items.")
        self.total = total


@dataclass(frozen=True)
class Listing:
    """Reads listings; what its threads do waits for nothing else."""

    transport: Transport
    threads: Workers

    def items(self, call: Call, *, ahead: bool = False, most: int | None = None) -> Iterator[Any]:
        """Every item, in the order of the pages.

        Args:
            ahead: whether all of them are wanted, so that several pages can be read at once.
            most: so many are wanted at most.

        Raises:
            ApiError: a page cannot be had, or its address was read before.
            ManyItems: there are more than `most`, says the first page.
        """
        asked: set[Call] = set()
        coming, read = [call], 0
        while True:
            if coming[0] in asked:
                raise unexpected(call, "the pages of the listing go in a circle")
            asked.update(coming)
            size = 0
            for page in self._read(coming):
                if most is not None and page.total is not None and page.total > most:
                    raise ManyItems(page.total)
                yield from page.items
                read, size = read + len(page.items), max(size, len(page.items))
                if page.next is None:
                    return
                following, total = page.next, page.total
            coming = _ahead(following, read, size, total) if ahead else [following]

    def documents(
        self, model: type[Model], call: Call, *, ahead: bool = False, most: int | None = None
    ) -> Iterator[Model]:
        """Every item as a model, which has an id; see `items`.

        A few may come twice, since the listing shifts when something is added meanwhile.

        Raises:
            ApiError: a page cannot be had, or one after the other brings nothing new.
            ManyItems: there are more than `most`.
        """
        seen: set[str] = set()
        repeated = 0
        for document in self.items(call, ahead=ahead, most=most):
            item = parse(call, model, document)
            item_id = str(getattr(item, "id", ""))
            repeated = repeated + 1 if item_id in seen else 0
            if repeated > PAGE:
                raise unexpected(call, "the pages of the listing repeat themselves")
            seen.add(item_id)
            yield item

    def _read(self, pages: list[Call]) -> list[Page]:
        found: dict[Call, Page] = {}

        def read(call: Call, _: Stop) -> None:
            found[call] = self.transport.send(call, self._page)

        self.threads.each(read, pages, self.transport.stop)
        return [found[call] for call in pages]

    def _page(self, call: Call, answer: Answer) -> Page:
        page = parse_page(call, self.transport.endpoint, decipher(call, answer))
        return Page(page.items, page.next, as_int(answer.headers.get(_TOTAL)))


def _ahead(following: Call, read: int, size: int, total: int | None) -> list[Call]:
    """The next pages: those that follow if each is as long as those before."""
    if total is None or dict(following.params).get("offset") != str(read):
        return [following]
    ends = min(total, read + _AT_ONCE * size)
    return [following, *(following.at(offset) for offset in range(read + size, ends, size))]
