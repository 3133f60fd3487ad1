"""What a transfer leaves for the process that goes on with it, and checksums of parts."""

from __future__ import annotations

import fcntl
import hashlib
import zlib
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_cavatica.api.checksums import checksum_like, of_parts, part_size_of
from snakemake_executor_cavatica.api.errors import ApiError, Stopped, StorageError, TransferError
from snakemake_executor_cavatica.api.journal import journal
from snakemake_executor_cavatica.api.models import UploadInit
from snakemake_executor_cavatica.api.unfinished import SentPart, unfinished

OPENED = UploadInit(upload_id="u", part_size=5)
PART = SentPart("0" * 32, "0" * 8, {"ETag": "x"})
STAMP = {"size": 10, "modified": 1}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.mark.parametrize("size", [0, 1, 4, 5, 9, 10, 11])
def test_a_checksum_is_that_of_the_parts(tmp_path: Path, size: int) -> None:
    content = bytes(range(size))
    path = tmp_path / "x"
    path.write_bytes(content)
    parts = [content[start : start + 5] for start in range(0, max(size, 1), 5)]
    checksum = of_parts([md5(part) for part in parts], 5)
    assert checksum_like(path, checksum) == checksum
    assert checksum_like(path, md5(content)) == md5(content)
    crc = of_parts([f"{zlib.crc32(part):08x}" for part in parts], 5)
    assert checksum_like(path, crc) == crc
    path.write_bytes(content[:-1] + b"?" if content else b"?")
    assert checksum_like(path, checksum) != checksum


@pytest.mark.parametrize(
    "checksum", ["", "x", "0" * 31, "0" * 32 + "-2", "0" * 32 + "-3-5", "0" * 32 + "-2-0", "é" * 32]
)
def test_what_is_no_checksum_is_not_compared(tmp_path: Path, checksum: str) -> None:
    (tmp_path / "x").write_bytes(b"0123456789")
    assert part_size_of(checksum, 10) is None
    assert checksum_like(tmp_path / "x", checksum) is None


def test_a_line_that_is_cut_short_is_a_part_that_is_not_done(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "journal"
    with journal(path, "x is being sent") as first:
        first.begin({"of": "x"})
        first.add({"number": 1})
        first.add({"number": 2})
        second = journal(path, "x is being sent")
        with pytest.raises(TransferError, match="sent by another program"), second:
            raise AssertionError
    path.write_text(path.read_text()[:-4])
    with journal(path, "") as second:
        assert second.header == {"of": "x"}
        assert second.parts == [{"number": 1}]
        second.remove()
    assert not path.exists()


def test_a_journal_that_begins_anew_is_still_nobody_elses(tmp_path: Path) -> None:
    """Protects an upload that is begun anew from a second program, which would go on with it."""
    path = tmp_path / "journal"
    with journal(path, "x is being sent") as first:
        first.begin({"of": "x"})
        first.remove()
        first.begin({"of": "x"})
        second = journal(path, "x is being sent")
        with pytest.raises(TransferError, match="sent by another program"), second:
            raise AssertionError
    assert path.exists()


def test_a_journal_that_is_removed_while_one_asks_for_it_is_no_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else two programs would have one each, and both write to the file of the one."""
    path, lock = tmp_path / "journal", fcntl.flock

    def lock_late(*args: Any) -> None:
        path.unlink()
        path.touch()
        lock(*args)

    monkeypatch.setattr(fcntl, "flock", lock_late)
    with (
        pytest.raises(TransferError, match="sent by another program"),
        journal(path, "x is being sent"),
    ):
        raise AssertionError


@pytest.mark.parametrize(
    ("error", "stays"),
    [
        (KeyboardInterrupt(), True),
        (Stopped("enough"), True),
        (StorageError("down"), True),
        (ApiError("no", code=8001), True),
        (ApiError("lost", code=8003), False),
        (TransferError("changed"), False),
    ],
)
def test_an_upload_goes_on_unless_it_is_spoilt(
    tmp_path: Path, error: BaseException, stays: bool
) -> None:
    path = tmp_path / "journal"
    with unfinished(path, STAMP, "") as first:
        first.begin(OPENED)
        first.add(1, PART)
        assert first.stays_after(error) is stays
    with unfinished(path, STAMP, "") as second:
        opened = second.opened()
        assert (opened.upload_id if opened else None) == ("u" if stays else None)
        assert second.sent() == ({1: PART} if stays else {})
        assert second.outdated() is None
    with unfinished(path, {**STAMP, "modified": 2}, "") as changed:
        assert changed.opened() is None
        assert (changed.outdated() is not None) is stays
