"""Uploads and downloads against a storage that misbehaves."""

from __future__ import annotations

import hashlib
import os
import random
import re
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from loopback import NEVER, SECRET, Reply, Request, Server

from snakemake_executor_cavatica.api import session, upload_parts
from snakemake_executor_cavatica.api.client import Client
from snakemake_executor_cavatica.api.download import Span, _Download, answered_span, download
from snakemake_executor_cavatica.api.errors import (
    ApiError,
    CavaticaError,
    Conflict,
    NotFound,
    Stopped,
    StorageError,
    TransferError,
    UnexpectedAnswer,
)
from snakemake_executor_cavatica.api.retry import Patience
from snakemake_executor_cavatica.api.stop import Stop
from snakemake_executor_cavatica.api.upload import MIB, choose_part_size, upload
from snakemake_executor_cavatica.api.workers import Workers
from snakemake_executor_cavatica.project.fetch_store import fetch

HASTY = Patience(total=0.3, first_wait=0.001, longest_wait=0.02, connect=2.0, read=0.5)
CONTENT = random.Random(7).randbytes(100_003)


class Storage:
    """The platform's uploads and downloads, with the storage on another host."""

    def __init__(self, api: Server, store: Server) -> None:
        self.api = api
        self.store = store
        self.part_size: int | None = None
        self.parts: dict[int, bytes] = {}
        self.reported: dict[int, dict[str, str]] = {}
        self.content = CONTENT
        self.url_count = 0
        self.valid_urls: set[str] | None = None
        self.faults: list[Reply] = []
        self.ranges = True
        self._lock = threading.Lock()
        api.on("POST", "/v2/upload/multipart", self._open)
        api.on("POST", "/v2/upload/multipart/u", self._report)
        api.on("POST", "/v2/upload/multipart/u/complete", self._complete)
        api.on("DELETE", "/v2/upload/multipart/u", Reply(204))
        api.on("GET", "/v2/files/f/download_info", self._download_info)
        store.on("GET", "/content", self._get)
        for number in range(1, 60):
            api.on("GET", f"/v2/upload/multipart/u/part/{number}", self._part_url)
            store.on("PUT", f"/{number}", self._put)

    def _open(self, request: Request) -> Reply:
        size = self.part_size or request.json["part_size"]
        return Reply(200, {"upload_id": "u", "part_size": size, "parallel_uploads": True})

    def _part_url(self, request: Request) -> Reply:
        number = request.path.rpartition("/")[2]
        url = f"{self.store.root}/{number}?signature={self._next_url()}"
        report = {"success_codes": [200], "headers": ["ETag"]}
        body = {"method": "PUT", "url": url, "headers": {"X-Extra": "1"}, "report": report}
        return Reply(200, body)

    def _next_url(self) -> int:
        with self._lock:
            self.url_count += 1
            return self.url_count

    def _fault(self) -> Reply | None:
        with self._lock:
            return self.faults.pop(0) if self.faults else None

    def _put(self, request: Request) -> Reply:
        if fault := self._fault():
            return fault
        self.parts[int(request.path[1:])] = request.body
        return Reply(200, headers={"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})

    def _report(self, request: Request) -> Reply:
        for part in request.json["parts"]:
            self.reported[part["part_number"]] = part["response"]["headers"]
        return Reply(200, request.json)

    def _complete(self, request: Request) -> Reply:
        self._report(request)
        return Reply(200, {"id": "f", "name": "n", "size": len(self.uploaded), "type": "FILE"})

    @property
    def uploaded(self) -> bytes:
        return b"".join(self.parts[number] for number in sorted(self.parts))

    def _download_info(self, request: Request) -> Reply:
        return Reply(200, {"url": f"{self.store.root}/content?signature={self._next_url()}"})

    def _get(self, request: Request) -> Reply:
        if fault := self._fault():
            return fault
        if self.valid_urls is not None and request.query["signature"][0] not in self.valid_urls:
            return Reply(403, b"<Error>Request has expired</Error>")
        if not self.ranges:
            return Reply(200, self.content)
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers["range"])
        assert match
        first, last = int(match[1]), min(int(match[2]), len(self.content) - 1)
        if first >= len(self.content):
            return Reply(416, headers={"Content-Range": f"bytes */{len(self.content)}"})
        content_range = f"bytes {first}-{last}/{len(self.content)}"
        return Reply(206, self.content[first : last + 1], {"Content-Range": content_range})


@pytest.fixture
def storage(server: Server, other_server: Server) -> Storage:
    return Storage(server, other_server)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "reads.fastq"
    path.write_bytes(CONTENT)
    return path


# ------------------------------------------------------------------ upload


def test_upload_in_parts(storage: Storage, client: Client, source: Path) -> None:
    done = upload(client, source, parent="d", part_size=10_000)
    assert storage.uploaded == CONTENT
    assert (done.file.id, done.size) == ("f", len(CONTENT))
    assert storage.api.seen("POST", "/v2/upload/multipart")[0].json == {
        "name": "reads.fastq",
        "size": len(CONTENT),
        "parent": "d",
        "part_size": 10_000,
        "md5": hashlib.md5(CONTENT).hexdigest(),
    }
    assert list(storage.reported) == list(range(1, 12))
    assert storage.reported[2] == {"ETag": hashlib.md5(CONTENT[10_000:20_000]).hexdigest()}


def test_a_large_file_is_not_read_once_more_for_an_md5_that_nobody_uses(
    storage: Storage, client: Client, source: Path
) -> None:
    source.write_bytes(CONTENT * 4)
    upload(client, source, parent="d")
    (opened,) = storage.api.seen("POST", "/v2/upload/multipart")
    assert "md5" not in opened.json


def test_the_storage_never_sees_the_token(storage: Storage, client: Client, source: Path) -> None:
    upload(client, source, project="o/p")
    download(client, "f", source.with_name("copy"))
    assert storage.store.requests
    for request in storage.store.requests:
        assert SECRET not in str(request.headers)
        assert "authorization" not in request.headers
    (put,) = storage.store.seen("PUT", "/1")
    assert put.headers["x-extra"] == "1"
    assert put.headers["content-length"] == str(len(CONTENT))
    assert "transfer-encoding" not in put.headers


def test_the_server_chooses_the_part_size(storage: Storage, client: Client, source: Path) -> None:
    storage.part_size = 50_000
    upload(client, source, parent="d", part_size=10_000)
    assert [len(storage.parts[n]) for n in (1, 2, 3)] == [50_000, 50_000, 3]
    storage.part_size = -1
    with pytest.raises(UnexpectedAnswer, match="parts of -1 bytes"):
        upload(client, source, parent="d")


def test_an_empty_file_is_one_empty_part(storage: Storage, client: Client, source: Path) -> None:
    source.write_bytes(b"")
    assert upload(client, source, parent="d", name="empty", overwrite=True).size == 0
    assert storage.parts == {1: b""}
    (put,) = storage.store.seen("PUT", "/1")
    assert put.headers["content-length"] == "0"
    (opened,) = storage.api.seen("POST", "/v2/upload/multipart")
    assert opened.query == {"overwrite": ["true"]}


@pytest.mark.parametrize(
    "fault", [Reply(drop=True), Reply(503), Reply(403), Reply(200, held=NEVER)]
)
def test_a_part_is_repeated_with_a_fresh_url(
    storage: Storage, client: Client, source: Path, fault: Reply
) -> None:
    storage.faults = [fault]
    upload(client, source, parent="d", part_size=40_000)
    assert storage.uploaded == CONTENT
    assert storage.url_count == 4


def test_a_hopeless_upload_is_thrown_away(storage: Storage, client: Client, source: Path) -> None:
    client.transport.session.patience = HASTY
    storage.faults = [Reply(500)] * 10_000
    with pytest.raises(StorageError, match="HTTP 500") as caught:
        upload(client, source, parent="d", part_size=10_000)
    assert "signature" not in str(caught.value)
    assert storage.api.seen("DELETE", "/v2/upload/multipart/u")
    assert not storage.api.seen("POST", "/v2/upload/multipart/u/complete")


def test_name_taken(storage: Storage, client: Client, source: Path) -> None:
    storage.api.on("POST", "/v2/upload/multipart", Reply(409, {"code": 8005, "message": "exists"}))
    with pytest.raises(Conflict):
        upload(client, source, parent="d")
    assert storage.store.requests == []


def test_a_file_that_changes_is_noticed(storage: Storage, client: Client, source: Path) -> None:
    def change(request: Request) -> Reply:
        os.utime(source, ns=(0, 0))
        return storage._put(request)

    storage.store.on("PUT", "/1", change)
    with pytest.raises(TransferError, match="changed while"):
        upload(client, source, parent="d")
    assert storage.api.seen("DELETE", "/v2/upload/multipart/u")


def test_a_file_that_shrinks_is_noticed(storage: Storage, client: Client, source: Path) -> None:
    def shrink(request: Request) -> Reply:
        source.write_bytes(b"short")
        return Reply(200, {"upload_id": "u", "part_size": 60_000})

    storage.api.on("POST", "/v2/upload/multipart", shrink)
    with pytest.raises(TransferError, match="became shorter"):
        upload(client, source, parent="d", threads=1)


def test_arriving_with_another_size(storage: Storage, client: Client, source: Path) -> None:
    storage.api.on("POST", "/v2/upload/multipart/u/complete", Reply(200, {"id": "f", "size": 5}))
    with pytest.raises(TransferError, match="arrived on the platform with 5"):
        upload(client, source, parent="d")


def test_a_lost_completion(storage: Storage, client: Client, source: Path) -> None:
    gone = Reply(404, {"code": 8003, "message": "no upload"})
    storage.api.on("POST", "/v2/upload/multipart/u/complete", Reply(drop=True), gone)
    item = {"id": "f9", "name": "reads.fastq", "type": "FILE", "size": len(CONTENT)}
    folder = {"id": "x", "name": "reads.fastq", "type": "FOLDER"}
    files = Reply(200, {"items": [folder, item], "links": []})
    storage.api.on("GET", "/v2/files", files, Reply(200, {"items": [], "links": []}))
    assert upload(client, source, parent="d").file.id == "f9"
    storage.api.on("POST", "/v2/upload/multipart/u/complete", Reply(500), gone)
    with pytest.raises(NotFound):
        upload(client, source, parent="d")


def test_a_completion_that_was_not_done_the_first_time(
    storage: Storage, client: Client, source: Path
) -> None:
    done = Reply(200, {"id": "f", "size": len(CONTENT)})
    storage.api.on("POST", "/v2/upload/multipart/u/complete", Reply(500), done)
    assert upload(client, source, parent="d").file.id == "f"


def test_a_corrupted_part_is_sent_again(storage: Storage, client: Client, source: Path) -> None:
    storage.faults = [Reply(200, headers={"ETag": f'"{hashlib.md5(b"?").hexdigest()}"'})]
    upload(client, source, parent="d", part_size=40_000)
    assert storage.uploaded == CONTENT
    assert storage.url_count == 4
    assert storage.reported[1] == {"ETag": hashlib.md5(CONTENT[:40_000]).hexdigest()}
    assert client.transport.storage.etags_are_md5


def test_a_storage_whose_etags_are_no_md5(storage: Storage, client: Client, source: Path) -> None:
    def put(request: Request) -> Reply:
        storage.parts[int(request.path[1:])] = request.body
        return Reply(200, headers={"ETag": hashlib.md5(str(time.time()).encode()).hexdigest()})

    for number in range(1, 5):
        storage.store.on("PUT", f"/{number}", put)
    upload(client, source, parent="d", part_size=40_000, threads=1)
    assert len(storage.store.requests) == 5  # the first part three times, then it is known
    upload(client, source, parent="d", part_size=40_000)
    assert len(storage.store.requests) == 8


@pytest.mark.parametrize("code", [8003, 8007])
def test_an_upload_begins_anew(storage: Storage, client: Client, source: Path, code: int) -> None:
    refusal = Reply(409 if code == 8007 else 404, {"code": code, "message": "no"})
    done = Reply(200, {"id": "f", "size": len(CONTENT)})
    path = "/v2/upload/multipart/u/complete"
    storage.api.on("POST", path, refusal, done)
    assert upload(client, source, parent="d").file.id == "f"
    assert len(storage.api.seen("POST", "/v2/upload/multipart")) == 2
    assert len(storage.api.seen("DELETE", "/v2/upload/multipart/u")) == 1
    storage.api.on("POST", path, refusal)
    with pytest.raises(ApiError, match=f"code {code}"):
        upload(client, source, parent="d")
    assert len(storage.api.seen("POST", "/v2/upload/multipart")) == 5


def test_a_file_that_arrived_with_another_size_is_replaced(
    storage: Storage, client: Client, source: Path
) -> None:
    short, done = (Reply(200, {"id": str(n), "size": n}) for n in (5, len(CONTENT)))
    storage.api.on("POST", "/v2/upload/multipart/u/complete", short, done)
    storage.api.on("DELETE", "/v2/files/5", Reply(204))
    assert upload(client, source, parent="d").file.id == str(len(CONTENT))
    assert storage.api.seen("DELETE", "/v2/files/5")


@pytest.mark.parametrize(
    ("lost", "hours"),
    [(Reply(drop=True), 0), (Reply(504), 0), (Reply(200, b"<html>"), 0), (Reply(504), -3)],
)
def test_the_lost_answer_to_an_opened_upload(
    storage: Storage, client: Client, source: Path, lost: Reply, hours: int
) -> None:
    """What was opened without our knowledge blocks the name, and is thrown away; nothing else.

    Also where this machine's clock is some hours ahead of the platform's.
    """
    client.transport.clock._ahead = timedelta(hours=hours)
    opened = Reply(200, {"upload_id": "u", "part_size": 60_000, "parallel_uploads": True})
    blocked = Reply(409, {"code": 8006, "message": "under way"})
    storage.api.on("POST", "/v2/upload/multipart", lost, blocked, opened)
    now = client.transport.clock.now().isoformat()
    entries = [
        {"upload_id": "orphan", "name": source.name, "project": "o/p", "initiated": now},
        {"upload_id": "busy", "name": source.name, "project": "o/p", "initiated": now},
        {"upload_id": "named", "name": "other", "project": "o/p", "initiated": now},
        {"upload_id": "away", "name": source.name, "project": "o/q", "initiated": now},
        {"upload_id": "old", "name": source.name, "project": "o/p", "initiated": "2020-01-01"},
    ]
    storage.api.on("GET", "/v2/upload/multipart", Reply(200, {"items": entries, "links": []}))
    for number, name in enumerate(("orphan", "busy")):
        detail = {"upload_id": name, "uploaded_parts_count": number}
        storage.api.on("GET", f"/v2/upload/multipart/{name}", Reply(200, detail))
    storage.api.on("DELETE", "/v2/upload/multipart/orphan", Reply(204))
    upload(client, source, project="o/p")
    deleted = [one.path for one in storage.api.requests if one.method == "DELETE"]
    assert deleted == ["/v2/upload/multipart/orphan"]
    assert storage.uploaded == CONTENT


def test_a_name_that_someone_else_is_uploading(
    storage: Storage, client: Client, source: Path
) -> None:
    blocked = Reply(409, {"code": 8006, "message": "under way"})
    storage.api.on("POST", "/v2/upload/multipart", blocked)
    with pytest.raises(Conflict):
        upload(client, source, parent="d")
    assert len(storage.api.requests) == 1


def test_a_lost_completion_with_overwrite_takes_no_old_file(
    storage: Storage, client: Client, source: Path
) -> None:
    gone = Reply(404, {"code": 8003, "message": "no upload"})
    done = Reply(200, {"id": "new", "size": len(CONTENT)})
    storage.api.on("POST", "/v2/upload/multipart/u/complete", Reply(drop=True), gone, done)
    assert upload(client, source, parent="d", overwrite=True).file.id == "new"
    assert not storage.api.seen("GET", "/v2/files")


def test_part_size_keeps_the_number_of_parts_legal() -> None:
    assert choose_part_size(0) == 32 * MIB
    assert choose_part_size(10_000 * 32 * MIB) == 32 * MIB
    size = 5 * 1024**4
    assert size / choose_part_size(size) <= 10_000
    assert choose_part_size(size) % MIB == 0


# ------------------------------------------------------------------ download


def only(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize("part_size", [9_999, 200_000])
def test_download(  # noqa: PLR0917 - pytest's way
    storage: Storage, client: Client, tmp_path: Path, ranges: bool, size: int | None, part_size: int
) -> None:
    storage.ranges = ranges
    target = tmp_path / "deep" / "er" / ("x" * 255)
    assert download(client, "f", target, size=size, part_size=part_size) == len(CONTENT)
    assert target.read_bytes() == CONTENT
    assert only(target.parent) == [target.name]
    assert target.stat().st_mode & 0o777 == 0o666 & ~current_umask()
    assert storage.url_count == 1


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("ranges", [True, False])
def test_an_empty_download(storage: Storage, client: Client, tmp_path: Path, ranges: bool) -> None:
    storage.content, storage.ranges = b"", ranges
    assert download(client, "f", tmp_path / "x") == 0
    assert (tmp_path / "x").read_bytes() == b""


TRUNCATED = Reply(
    206,
    CONTENT[:10_000],
    {"Content-Range": f"bytes 0-9999/{len(CONTENT)}"},
    cut=500,
)
SHORT = Reply(206, CONTENT[:99], {"Content-Range": f"bytes 0-9999/{len(CONTENT)}"})
LONG = Reply(206, CONTENT[:20_000], {"Content-Range": f"bytes 0-9999/{len(CONTENT)}"})


@pytest.mark.parametrize(
    "fault",
    [TRUNCATED, SHORT, LONG, Reply(drop=True), Reply(500), Reply(403), Reply(200, b"", held=NEVER)],
    ids=["truncated", "short", "long", "drop", "500", "403", "timeout"],
)
def test_a_range_is_repeated(
    storage: Storage, client: Client, tmp_path: Path, fault: Reply
) -> None:
    storage.faults = [fault]
    download(client, "f", tmp_path / "x", part_size=10_000)
    assert (tmp_path / "x").read_bytes() == CONTENT


@pytest.mark.parametrize("fault", [TRUNCATED, SHORT, Reply(drop=True), Reply(403)])
def test_nothing_remains_of_a_failed_download(
    storage: Storage, client: Client, tmp_path: Path, fault: Reply
) -> None:
    client.transport.session.patience = HASTY
    storage.faults = [fault] * 10_000
    (tmp_path / "x").write_text("old")
    with pytest.raises(TransferError) as caught:
        download(client, "f", tmp_path / "x", part_size=10_000)
    assert "signature" not in "".join(traceback.format_exception(caught.value))
    assert only(tmp_path) == ["x"]
    assert (tmp_path / "x").read_text() == "old"


def test_what_is_kept_of_a_download_is_of_one_version(
    storage: Storage, client: Client, tmp_path: Path
) -> None:
    """A platform may keep the id of a file that is overwritten, maybe by one of the same size."""
    client.transport.session.patience = HASTY

    def first_part_only(request: Request) -> Reply:
        is_first = request.headers["range"] == "bytes=0-9999"
        return storage._get(request) if is_first else Reply(500)

    fetch = partial(download, client, "f", tmp_path / "x", size=len(CONTENT), part_size=10_000)
    storage.store.on("GET", "/content", first_part_only)
    with pytest.raises(TransferError):
        fetch(version="monday")
    storage.content = bytes(len(CONTENT))
    storage.store.on("GET", "/content", storage._get)
    fetch(version="tuesday")
    assert (tmp_path / "x").read_bytes() == storage.content


def test_an_expired_url_is_renewed_once_for_all_parts(
    storage: Storage, client: Client, tmp_path: Path
) -> None:
    storage.valid_urls = {"2"}
    download(client, "f", tmp_path / "x", part_size=5_000)
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert storage.url_count == 2


def test_a_part_that_comes_late_does_not_throw_away_the_renewed_url(
    storage: Storage, client: Client, tmp_path: Path
) -> None:
    with client.traffic.down.file(0) as moving:
        parts = _Download(client, "f", tmp_path / "x", (10, None), moving)
    old = parts._signed_url()
    parts._forget(old)
    new = parts._signed_url()
    parts._forget(old)
    assert parts._signed_url() == new != old


def test_two_programs_that_fetch_the_same_small_file(
    storage: Storage, client: Client, tmp_path: Path
) -> None:
    """Each would write to the other's; the second one is told, and the first one has its file."""
    fetch = partial(download, client, "f", tmp_path / "x", size=len(CONTENT), version="monday")
    coming, going = threading.Event(), threading.Event()

    def late(request: Request) -> Reply:
        coming.set()
        return replace(storage._get(request), held=going)

    storage.store.on("GET", "/content", late)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(fetch)
        assert coming.wait(30)
        storage.store.on("GET", "/content", storage._get)
        with pytest.raises(TransferError, match="x is being downloaded by another program"):
            fetch()
        going.set()
        first.result()
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert only(tmp_path) == ["x"]
    assert (tmp_path / "x").stat().st_mode & 0o044, "others may read it, as any file"


def test_an_upload_of_which_nothing_arrived_leaves_nothing(
    storage: Storage, client: Client, source: Path, tmp_path: Path
) -> None:
    """Nor does the next one try to go on with what was thrown away on the platform."""
    client.transport.session.patience = HASTY
    storage.faults = [Reply(403)] * 10_000
    journal = tmp_path / "journals" / "x.jsonl"
    with pytest.raises(StorageError):
        upload(client, source, parent="d", part_size=10_000, journal=journal)
    assert storage.api.seen("DELETE", "/v2/upload/multipart/u")
    assert not journal.exists()


def test_wrong_size_and_lost_file(storage: Storage, client: Client, tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="should have 5 bytes"):
        download(client, "f", tmp_path / "x", size=5)
    with pytest.raises(NotFound):
        download(client, "gone", tmp_path / "x")
    assert only(tmp_path) == []


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply(206, b"abc", {"Content-Range": "bytes 0-2/*"}), "does not tell the size"),
        (Reply(206, b"abc", {"Content-Range": "bytes 5-7/9"}), "asked for bytes from 0"),
        (Reply(416, headers={"Content-Range": "bytes */77"}), "does not tell the size"),
    ],
)
def test_answers_of_the_storage_that_make_no_sense(
    storage: Storage, client: Client, tmp_path: Path, reply: Reply, message: str
) -> None:
    storage.store.on("GET", "/content", reply)
    with pytest.raises(TransferError, match=message):
        download(client, "f", tmp_path / "x")
    assert only(tmp_path) == []


def test_a_storage_that_forgets_ranges_midway(
    storage: Storage, client: Client, tmp_path: Path
) -> None:
    first = Reply(206, CONTENT[:10], {"Content-Range": f"bytes 0-9/{len(CONTENT)}"})
    storage.store.on("GET", "/content", first, Reply(200, CONTENT))
    with pytest.raises(TransferError, match="asked for bytes from 10"):
        download(client, "f", tmp_path / "x", part_size=10, threads=1)
    gap = Reply(206, CONTENT[10:15], {"Content-Range": f"bytes 10-14/{len(CONTENT)}"})
    storage.store.on("GET", "/content", first, gap)
    with pytest.raises(TransferError, match="leaves a gap"):
        download(client, "f", tmp_path / "x", part_size=10, threads=1)


def test_unencrypted_storage_is_refused(server: Server, client: Client, tmp_path: Path) -> None:
    url = "http://storage.example/x?signature=1"
    server.on("GET", "/v2/files/f/download_info", Reply(200, {"url": url}))
    with pytest.raises(TransferError, match="unencrypted") as caught:
        download(client, "f", tmp_path / "x")
    assert "signature" not in str(caught.value)


def test_several_downloads_at_once(storage: Storage, client: Client, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        targets = [tmp_path / str(n) for n in range(16)]
        list(pool.map(lambda path: download(client, "f", path, part_size=20_000), targets))
    assert all(target.read_bytes() == CONTENT for target in targets)
    assert len(only(tmp_path)) == 16


def test_compressed_content_arrives_as_stored(
    storage: Storage, client: Client, tmp_path: Path
) -> None:
    body = b"not really gzip"
    storage.store.on("GET", "/content", Reply(200, body, {"Content-Encoding": "gzip"}))
    download(client, "f", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == body


FULL = len(CONTENT)
ENDS_EARLY = Reply(206, CONTENT[:5_000], {"Content-Range": "bytes 0-4999/5000"})
GAP = Reply(206, CONTENT[:5_000], {"Content-Range": f"bytes 0-4999/{FULL}"})


@pytest.mark.parametrize("fault", [ENDS_EARLY, GAP, Reply(400), Reply(429)])
def test_a_content_that_ends_early_is_fetched_again(
    storage: Storage, client: Client, tmp_path: Path, fault: Reply
) -> None:
    storage.faults = [fault] * 2
    download(client, "f", tmp_path / "x", size=FULL, part_size=10_000)
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert storage.url_count == (1 if fault.status == 429 else 3)


def test_a_later_part_that_ends_early(storage: Storage, client: Client, tmp_path: Path) -> None:
    """Also where the size was not known before: the first answer has told it."""
    later = Reply(206, CONTENT[50_000:60_000], {"Content-Range": "bytes 50000-59999/60000"})
    normal, faults = storage._get, [later]

    def get(request: Request) -> Reply:
        if request.headers["range"].startswith("bytes=50000-") and faults:
            return faults.pop()
        return normal(request)

    storage.store.on("GET", "/content", get)
    download(client, "f", tmp_path / "x", part_size=50_000)
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_a_refusal_is_final_after_some_fresh_links(
    storage: Storage, client: Client, tmp_path: Path
) -> None:
    storage.valid_urls = set()
    with pytest.raises(StorageError, match="HTTP 403"):
        download(client, "f", tmp_path / "x")
    assert storage.url_count == 5


# ------------------------------------------------------------------ stopping


PATIENT = Patience(first_wait=600, longest_wait=600)


def test_stop_while_the_storage_is_silent(
    storage: Storage, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_GRACE", 1000.0)
    client.transport.session.patience = PATIENT
    held = threading.Event()
    storage.store.on("GET", "/content", Reply(200, CONTENT, held=held))
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(download, client, "f", tmp_path / "x")
        try:
            storage.store.wait_for()
            client.stop.set()
            assert isinstance(future.exception(timeout=30), Stopped)
        finally:
            held.set()
    assert only(tmp_path) == []


@pytest.mark.parametrize("fault", [Reply(500), Reply(503), Reply(drop=True)])
def test_stop_between_two_tries(
    storage: Storage, client: Client, tmp_path: Path, source: Path, fault: Reply
) -> None:
    client.transport.session.patience = PATIENT
    storage.faults = [fault] * 100
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(upload, client, source, parent="d")
        storage.store.wait_for()
        client.stop.set()
        assert isinstance(future.exception(timeout=30), CavaticaError)
    assert len(storage.store.requests) < 10


def test_nothing_begins_after_stop(storage: Storage, client: Client, source: Path) -> None:
    client.stop.set()
    for work in (
        lambda: upload(client, source, parent="d"),
        lambda: download(client, "f", source.with_name("x")),
    ):
        with pytest.raises(Stopped):
            work()
    assert not storage.api.requests
    assert not storage.store.requests
    assert only(source.parent) == [source.name]


# ------------------------------------------------------------------ folders


def listing(storage: Storage, folder: str, *items: dict[str, object]) -> None:
    """What a folder holds. Only one folder can be told from another by the loopback's routes."""
    folders = storage.__dict__.setdefault("folders", {})
    folders[folder] = Reply(200, {"items": list(items), "links": []})
    storage.api.on("GET", "/v2/files", lambda request: folders[request.query["parent"][0]])


def named(name: str, kind: str = "FILE", key: str = "f") -> dict[str, object]:
    return {"id": key, "name": name, "type": kind, "size": len(CONTENT)}


@pytest.mark.parametrize("kind", ["FILE", "FOLDER"])
@pytest.mark.parametrize("name", ["..", ".", "", "/", "../x", "/etc/x", "a/b", "a/../../x", "a\0b"])
def test_hostile_names_in_a_folder(
    storage: Storage, client: Client, tmp_path: Path, name: str, kind: str
) -> None:
    target = tmp_path / "work" / "target"
    target.parent.mkdir()
    target.write_text("old")
    listing(storage, "d", named("fine"), named(name, kind, "h"))
    with pytest.raises(CavaticaError, match="is refused"):
        fetch(client, "d", target, size=None, folder=True)
    assert target.read_text() == "old"
    assert only(target.parent) == ["target"]
    assert only(tmp_path) == ["work"]


def test_a_folder_replaces_what_is_there(storage: Storage, client: Client, tmp_path: Path) -> None:
    listing(storage, "d", named("f"), named("s", "FOLDER", "e"))
    listing(storage, "e", named("g"))
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "old").touch()
    fetch(client, "d", tmp_path / "t", size=None, folder=True)
    assert sorted(path.name for path in (tmp_path / "t").rglob("*")) == ["f", "g", "s"]
    fetch(client, "f", tmp_path / "t", size=len(CONTENT), folder=False)
    assert (tmp_path / "t").read_bytes() == CONTENT


def test_files_of_a_folder_come_at_once(storage: Storage, client: Client, tmp_path: Path) -> None:
    meeting = threading.Barrier(8)

    def get(request: Request) -> Reply:
        meeting.wait(timeout=5)
        return storage._get(request)

    storage.store.on("GET", "/content", get)
    listing(storage, "d", *[named(str(n)) for n in range(4)], named("s", "FOLDER", "e"))
    listing(storage, "e", *[named(str(n)) for n in range(4)])
    client.transport.session.patience = PATIENT
    fetch(client, "d", tmp_path / "t", size=None, folder=True)
    files = [path for path in (tmp_path / "t").rglob("*") if path.is_file()]
    assert [path.read_bytes() == CONTENT for path in files] == [True] * 8


def test_nothing_is_left_of_many_files_if_one_fails(
    storage: Storage, client: Client, tmp_path: Path
) -> None:
    listing(storage, "d", *[named(str(n), key=f"f{n}") for n in range(40)])
    for number in range(40):
        storage.api.on("GET", f"/v2/files/f{number}/download_info", storage._download_info)
    storage.api.on(
        "GET", "/v2/files/f20/download_info", Reply(403, {"code": 5014, "message": "no"})
    )
    with pytest.raises(ApiError, match="5014"):
        fetch(client, "d", tmp_path / "t", size=None, folder=True)
    asked = len(storage.api.requests)
    assert only(tmp_path) == []
    time.sleep(0.1)
    assert len(storage.api.requests) == asked, "nothing goes on"


@pytest.mark.parametrize("folder", [True, False])
def test_links_are_replaced_and_not_followed(
    storage: Storage, client: Client, tmp_path: Path, folder: bool
) -> None:
    listing(storage, "d", named("f"))
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("old")
    key = "d" if folder else "f"
    (tmp_path / "t").symlink_to(victim)
    (tmp_path / f".cavatica-{key}.part").symlink_to(victim)
    fetch(client, key, tmp_path / "t", size=None, folder=folder)
    assert not (tmp_path / "t").is_symlink()
    assert only(victim) == ["precious"]


def test_a_failed_download_leaves_the_old_folder(
    storage: Storage, client: Client, tmp_path: Path
) -> None:
    storage.valid_urls = set()
    listing(storage, "d", named("f"))
    (tmp_path / "t" / "old").mkdir(parents=True)
    for key, folder in (("d", True), ("f", False)):
        with pytest.raises(StorageError):
            fetch(client, key, tmp_path / "t", size=None, folder=folder)
        assert only(tmp_path) == ["t"]
        assert only(tmp_path / "t") == ["old"]


@pytest.mark.parametrize(
    "items",
    [
        [named("x"), named("x", key="g")],
        [named("x", "FOLDER", "e"), named("x")],
        [named("again", "FOLDER", "d")],
    ],
    ids=["same name", "file and folder", "circle"],
)
def test_a_folder_that_cannot_be(
    storage: Storage, client: Client, tmp_path: Path, items: list[dict[str, object]]
) -> None:
    listing(storage, "d", *items)
    listing(storage, "e")
    with pytest.raises(CavaticaError, match="more than once"):
        fetch(client, "d", tmp_path / "t", size=None, folder=True)
    assert only(tmp_path) == []


def test_span_needs_a_length() -> None:
    assert answered_span(206, {"Content-Range": "bytes 3-5/9"}) == Span(3, 6, 9)
    with pytest.raises(TransferError, match="does not tell the size"):
        answered_span(200, {})


# ------------------------------------------------------------------ parts in parallel


@pytest.mark.parametrize("threads", [1, 4])
def test_the_first_error_stops_the_rest(threads: int) -> None:
    started: list[int] = []

    def work(item: int, stop: Stop) -> None:
        started.append(item)
        if item == 3:
            raise ApiError("third")
        stop.wait(0.02)

    with pytest.raises(ApiError, match="third"):
        Workers(threads).each(work, range(1000), Stop())
    assert len(started) < 30


def test_an_interrupt_stops_the_rest() -> None:
    ended: list[int] = []

    def work(item: int, stop: Stop) -> None:
        if item == 1:
            raise KeyboardInterrupt
        assert stop.wait(5)
        ended.append(item)

    above = Stop()
    with pytest.raises(KeyboardInterrupt):
        Workers(2).each(work, [0, 1], above)
    assert ended == [0], "nothing goes on when the error is raised"
    assert not above.is_set()


def test_no_more_at_once_than_asked_for() -> None:
    busy, most = [0], [0]
    lock = threading.Lock()

    def work(item: int, stop: Stop) -> None:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        time.sleep(0.002)
        with lock:
            busy[0] -= 1

    Workers(8).each(work, range(30), Stop(), at_once=3)
    assert most[0] <= 3


def test_a_stop_reaches_what_is_part_of_it() -> None:
    above = Stop()
    child = above.child()
    other = above.child().child()
    child.set()
    assert not above.is_set()
    assert not other.is_set()
    above.set()
    assert other.is_set()
    assert above.child().is_set(), "also what begins later"


def test_parts_are_reported_in_time_for_others_to_see_that_the_upload_gets_on(
    storage: Storage, client: Client, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_parts, "_REPORT_EVERY", 0.0)
    upload(client, source, parent="d", part_size=40_000, threads=1)
    reports = storage.api.seen("POST", "/v2/upload/multipart/u")
    assert [[part["part_number"] for part in one.json["parts"]] for one in reports] == [
        [1],
        [2],
        [3],
    ]
    (completed,) = storage.api.seen("POST", "/v2/upload/multipart/u/complete")
    assert completed.json == {"parts": []}


def test_a_small_file_takes_three_calls(storage: Storage, client: Client, source: Path) -> None:
    upload(client, source, parent="d")
    assert len(storage.api.requests) == 3
    assert len(storage.store.requests) == 1
