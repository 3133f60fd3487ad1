"""The API client against the embedded platform, while faults are injected."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from platform_serving import Server

from snakemake_executor_cavatica.api import CavaticaError, Client, upload_parts
from snakemake_executor_cavatica.api.budget import RateBudget
from snakemake_executor_cavatica.api.credentials import Token
from snakemake_executor_cavatica.api.download import download
from snakemake_executor_cavatica.api.errors import Stopped, TransferError
from snakemake_executor_cavatica.api.retry import Patience
from snakemake_executor_cavatica.api.upload import upload
from snakemake_executor_cavatica.project import index as index_module
from snakemake_executor_cavatica.project.fetch_store import fetch, store
from snakemake_executor_cavatica.project.index import ProjectIndex

SIZE = 11 << 20
"""Three parts of an upload, since a part has at least 5 MiB."""
PART = 5 << 20
GET = {"method": "GET", "path": "^/storage/files/"}
OPEN = {"method": "POST", "path": r"/upload/multipart(\?|$)"}
PUT = {"method": "PUT", "path": "^/storage/uploads/"}


@pytest.fixture
def server(simulated: Server) -> Iterator[Server]:
    yield simulated
    simulated.control("faults", [])


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    patience = Patience(total=20, first_wait=0.02, longest_wait=0.2, connect=2, read=2)
    with Client(server.api, Token(server.token), budget=RateBudget(), patience=patience) as client:
        yield client


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of a content, and so of a name, that no other test has."""
    path = tmp_path / f"source-{time.monotonic_ns()}"
    path.write_bytes(os.urandom(SIZE))
    return path


UPLOAD_FAULTS = {
    "cut before a part": {"do": "drop-before", **PUT},
    "cut after a part": {"do": "drop-after", **PUT},
    "storage fails": {"do": "status", **PUT, "status": 503},
    "expired": {"do": "expire", **PUT},
    "corrupted": {"do": "corrupt", **PUT},
    "opened without an answer": {"do": "drop-after", **OPEN},
    "opened, then 504": {"do": "status-after", **OPEN, "status": 504},
    "opened, then half an answer": {"do": "truncate", **OPEN},
    "reported without an answer": {"do": "drop-after", "path": "^/v2/upload/multipart/[^/]+$"},
    "completed without an answer": {"do": "drop-after", "path": "/complete$"},
    "completed, then 500": {"do": "status-after", "path": "/complete$", "status": 500},
    "a page instead of a URL": {"do": "page", "path": r"/part/\d+$", "status": 200},
    "maintenance": {"do": "maintenance", "path": "/part", "seconds": 0.5},
    "429": {"do": "rate-limit", "path": "/complete$", "seconds": 0.5},
}


@pytest.fixture
def every_part_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_parts, "_REPORT_EVERY", 0.0)


@pytest.mark.usefixtures("every_part_reported")
@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", UPLOAD_FAULTS)
def test_uploads(server: Server, client: Client, source: Path, name: str, overwrite: bool) -> None:
    if overwrite:
        server.upload(source.name, b"old")
    server.control("faults", [{**UPLOAD_FAULTS[name], "times": 1}])
    done = upload(
        client, source, project=server.project, overwrite=overwrite, part_size=PART, threads=2
    )
    assert server.content(done.file.id) == source.read_bytes()
    found = list(client.list_files(project=server.project, names=[source.name]))
    assert [file.id for file in found] == [done.file.id]
    assert server.control("faults")["faults"][0]["times"] == 0
    open_ones = [one["name"] for one in server.get("/upload/multipart?limit=100")["items"]]
    assert overwrite or source.name not in open_ones


DOWNLOAD_FAULTS = {
    "truncated": {"do": "truncate", **GET, "share": 0.9},
    "ends early": {"do": "shorten", **GET},
    "nothing at all": {"do": "shorten", **GET, "share": 0},
    "cut": {"do": "drop-before", **GET},
    "expired": {"do": "expire", **GET},
    "storage fails": {"do": "status", **GET, "status": 503},
    "storage is silent": {"do": "delay", **GET, "seconds": 2.5},
    "no link": {"do": "status", "path": "/download_info$", "status": 500},
    "half a link": {"do": "truncate", "path": "/download_info$"},
}


@pytest.mark.parametrize("name", DOWNLOAD_FAULTS)
def test_downloads(server: Server, client: Client, source: Path, name: str) -> None:
    file = upload(client, source, project=server.project).file
    target = source.with_name("target")
    server.control("faults", [{**DOWNLOAD_FAULTS[name], "times": 2}])
    assert download(client, file.id, target, size=SIZE, part_size=PART) == SIZE
    assert target.read_bytes() == source.read_bytes()
    assert sorted(path.name for path in target.parent.iterdir()) == [source.name, "target"]
    assert server.control("faults")["faults"][0]["times"] == 0


def test_a_storm_of_everything(server: Server, client: Client, tmp_path: Path) -> None:
    kinds = ("truncate", "drop-before", "drop-after", "expire", "status", "status-after")
    faults = [{"do": kind, "path": "^/storage/", "probability": 0.1} for kind in kinds]
    faults += [{"do": kind, "method": "GET", "probability": 0.1} for kind in ("truncate", "page")]
    server.control("faults", {"seed": 1, "faults": faults})

    def there_and_back(number: int) -> bool:
        here, back = tmp_path / f"storm-{number}", tmp_path / f"back-{number}"
        here.write_bytes(os.urandom(1000 + number))
        file = upload(client, here, project=server.project).file
        download(client, file.id, back, size=1000 + number, part_size=300)
        return here.read_bytes() == back.read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(there_and_back, range(20)))
    assert set(server.control("faults")["struck"]) >= {*kinds, "page"}


@pytest.mark.parametrize("direction", ["up", "down"])
def test_stop_in_the_middle_of_a_slow_transfer(
    server: Server, source: Path, direction: str
) -> None:
    budget = RateBudget()
    before = threading.enumerate()
    with Client(server.api, Token(server.token), budget=budget) as client:
        target = source.with_name("target")
        file = upload(client, source, project=server.project).file
        server.control("faults", [{"do": "slow", "path": "^/storage/", "bytes_per_second": 5_000}])

        def work() -> None:
            if direction == "down":
                download(client, file.id, target, size=SIZE)
            else:
                upload(client, source, project=server.project, name="slowly")

        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            server.until(lambda: server.control("faults")["struck"].get("slow"), bool)
            assert not future.done()
            client.stop.set()
            # By itself it would take half an hour.
            assert isinstance(future.exception(timeout=30), Stopped | TransferError)
    assert [path.name for path in source.parent.iterdir()] == [source.name]
    left = [thread for thread in threading.enumerate() if thread not in before]
    # Calls that must not be cut at once are cut later, by a timer.
    assert [thread for thread in left if not isinstance(thread, threading.Timer)] == []


def test_folders_with_links(server: Server, client: Client, tmp_path: Path) -> None:
    """Linked folders come along with their content; those that lead back up are refused."""
    (tmp_path / "here" / "sub").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_text("a")
    (tmp_path / "here" / "linked").symlink_to(tmp_path / "elsewhere")
    index = ProjectIndex(client, server.project)
    store(index, tmp_path / "here", "links")
    folder = index.find("links")
    assert folder is not None
    fetch(client, folder.id, tmp_path / "back", size=None, folder=True)
    assert (tmp_path / "back" / "linked" / "a").read_text() == "a"
    (tmp_path / "here" / "sub" / "up").symlink_to(tmp_path / "here")
    with pytest.raises(CavaticaError, match="leads back"):
        store(index, tmp_path / "here", "links")


def test_a_large_folder_is_asked_for_names_until_they_are_many(
    server: Server, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the platform tells of the size of a listing, and by its filter for names."""
    monkeypatch.setattr(index_module, "_LARGE", 5)
    monkeypatch.setattr(index_module, "_FILES_FOR_A_NAME", 2)
    (tmp_path / "large" / "odd name").mkdir(parents=True)
    for name in ("1", "2", "3", "4", "5", "6", "odd name/a"):
        (tmp_path / "large" / name).write_text(name)
    somebody = ProjectIndex(client, server.project)
    store(somebody, tmp_path / "large", "large")
    index = ProjectIndex(client, server.project)
    assert index.find("large/2") is not None
    assert index.find("large/late") is None
    for name in ("late", "later"):
        store(somebody, tmp_path / "large" / "1", f"large/{name}")
    assert index.find("large/late") is None
    assert index.find("large/later") is not None, "it was listed"
    assert index.find("large/odd name/a") is not None
    names = [one.path.rpartition("/")[2] for one in index.walk("large")]
    assert sorted(names) == ["1", "2", "3", "4", "5", "6", "a", "later", "odd name"]
