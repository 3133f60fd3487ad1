"""An upload of several parts that a later process goes on with, if the first one is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .errors import ApiError, StorageError, TransferError
from .journal import Journal, journal
from .models import UploadInit

_LOST = (8003, 8007)
"""Platform codes (documented): there is no such upload, and it cannot be completed."""


@dataclass(frozen=True)
class SentPart:
    """A part that has arrived: the MD5 and CRC-32 of its bytes, and the storage's answer."""

    md5: str
    crc: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Unfinished:
    """What is known of an upload before it goes on; nothing, if it begins."""

    journal: Journal | None
    header: dict[str, Any] = field(default_factory=dict)
    """What the upload is of: it goes on only if that is still the same."""

    def opened(self) -> UploadInit | None:
        """The upload that is open on the platform, as far as is known."""
        known = self._known
        return known if known is not None and self._is_the_same else None

    def outdated(self) -> UploadInit | None:
        """An upload that is open and of no use: what it is of has changed."""
        return None if self._is_the_same else self._known

    @property
    def _known(self) -> UploadInit | None:
        known = self.journal.header if self.journal else {}
        return UploadInit.model_validate(known["opened"]) if known else None

    @property
    def _is_the_same(self) -> bool:
        known = self.journal.header if self.journal else {}
        return {**known, **self.header} == known

    def sent(self) -> dict[int, SentPart]:
        """The parts that have arrived, by number."""
        parts = self.journal.parts if self.journal else []
        return {
            int(part["number"]): SentPart(part["md5"], part["crc"], part["headers"])
            for part in parts
        }

    def begin(self, opened: UploadInit) -> None:
        """The upload is open."""
        if self.journal is not None:
            document = opened.model_dump(
                mode="json", include={"upload_id", "part_size", "parallel_uploads"}
            )
            self.journal.begin({**self.header, "opened": document})

    def add(self, number: int, part: SentPart) -> None:
        """A part has arrived."""
        if self.journal is not None:
            self.journal.add({"number": number, **asdict(part)})

    def forget(self) -> None:
        """It is complete, or nothing can come of it."""
        if self.journal is not None:
            self.journal.remove()

    def stays_after(self, error: BaseException) -> bool:
        """Whether another process may go on with it; else it is forgotten."""
        lost = isinstance(error, ApiError) and error.code in _LOST
        spoilt = isinstance(error, TransferError) and not isinstance(error, StorageError)
        if lost or spoilt:
            self.forget()
        return self.journal is not None and bool(self.journal.parts)


@contextmanager
def unfinished(path: Path | None, header: dict[str, Any], what: str) -> Iterator[Unfinished]:
    """What is known by the journal at `path` of an upload that `header` describes.

    Raises:
        TransferError: another process is doing it.
    """
    if path is None:
        yield Unfinished(None)
        return
    with journal(path, what) as opened:
        yield Unfinished(opened, header)
