"""Which small files are sent together, and when."""

from __future__ import annotations

import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic, sleep
from typing import Any, cast

import pytest
from translated_jobs import local, plan

from snakemake_executor_cavatica.api import CavaticaError, File, FileRef, NotFound, Stop
from snakemake_executor_cavatica.api.workers import Workers
from snakemake_executor_cavatica.launch import parcels, small_inputs
from snakemake_executor_cavatica.launch.parcels import Parcels
from snakemake_executor_cavatica.launch.small_inputs import SmallInputs
from snakemake_executor_cavatica.launch.uploads import Uploads
from snakemake_executor_cavatica.project.local_record import LocalRecord, checksum_of
from snakemake_executor_cavatica.project.paths import ProjectPath
from snakemake_executor_cavatica.run.register import Submission


class Platform:
    """A connection, its client and its index in one; knows what is in which file."""

    def __init__(self) -> None:
        self.client = self
        self.files = Workers(2)
        self.stop = Stop()
        self.gone: set[str] = set()
        self.there: dict[str, list[str]] = {}
        """The contents of each parcel, by its id, which is its name."""

    def index(self, _project: str) -> Platform:
        return self

    def get_files(self, files: Sequence[str]) -> dict[str, File | NotFound]:
        return {
            file: NotFound("gone")
            if file in self.gone
            else File.model_validate({"id": file, "name": file})
            for file in files
        }

    def forget(self, _files: set[str]) -> None:
        """Nothing is listed here."""


class Sent(Uploads):
    """Notes what is uploaded."""

    platform: Platform

    def upload_content(self, content: Path, name: str, stamp: str = "") -> FileRef:
        with tarfile.open(content) as tar:
            members = [(one, tar.extractfile(one)) for one in tar.getmembers()]
            assert all(one.mode == 0o444 and one.mtime == 0 for one, _ in members)
            texts = [file.read().decode() for _, file in members if file is not None]
        self.platform.there[name] = texts
        return FileRef(name)


class World:
    """A directory with small files, which can send them."""

    def __init__(self, folder: Path, name: str = "files.sqlite") -> None:
        self.folder = folder
        self.arrived: list[int] = []
        """How many parcels there were whenever one had arrived."""
        self.platform = Platform()
        self.record = LocalRecord("project", folder / "state" / name)
        home = ProjectPath("owner/project", "home")
        self.uploads = Sent(cast(Any, self.platform), home, self.record)
        self.uploads.platform = self.platform
        self.parcels = Parcels(cast(Any, self.platform), self.uploads, self.record)

    def write(self, **contents: str) -> list[str]:
        for name, content in contents.items():
            (self.folder / name).write_text(content)
        return [str(self.folder / name) for name in contents]

    def send(self, paths: Iterable[str]) -> None:
        self.parcels.send(paths, lambda: self.arrived.append(len(self.platform.there)))

    def held(self, path: str) -> list[str] | None:
        """The contents of the parcel that a file is known to lie in."""
        known = self.record.find(path)
        if known is None:
            return None
        assert known.in_parcel
        assert known.checksum == checksum_of(path)
        assert self.record.find(path, alone=True) is None
        return self.platform.there[known.ref.path]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.record.close()


def test_each_content_travels_once_whatever_it_is_called(world: World) -> None:
    a, b, copy, folder, gone = *world.write(a="A", b="B", copy="A"), str(world.folder), "gone"
    world.send([a, b, copy, a, folder, gone])
    assert [world.held(path) for path in (a, b, copy)] == [["A", "B"]] * 3
    again, other, last = world.write(again="B", c="C", d="D")
    world.send([a, again, other, last])
    assert world.held(again) == ["A", "B"]
    assert world.held(last) == ["C", "D"]
    assert list(world.platform.there.values()) == [["A", "B"], ["C", "D"]]


def test_the_same_files_make_the_same_parcel_anywhere(world: World, tmp_path: Path) -> None:
    world.send(world.write(a="A", b="B"))
    elsewhere = World(tmp_path, "other.sqlite")
    elsewhere.send(elsewhere.write(c="A", d="B"))
    elsewhere.record.close()
    assert elsewhere.platform.there.keys() == world.platform.there.keys()


def test_a_parcel_is_bounded_and_what_is_left_over_is_no_parcel(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parcels, "LARGEST_PARCEL", 4 + 2 * parcels._AROUND)
    paths = world.write(a="AA", b="BB", c="CCC", d="DDDDD", e="EE", f="FF", g="G")
    world.send(paths)
    assert sorted(world.platform.there.values()) == [["AA", "BB"], ["EE", "FF"]]
    assert len(world.arrived) == 2
    assert [world.held(path) is not None for path in paths] == [True] * 2 + [False] * 2 + [
        True,
        True,
        False,
    ]


def test_a_great_many_files_of_a_few_bytes_fill_a_parcel(world: World) -> None:
    """Which is a tar file, with half a kilobyte and more for each of them."""
    paths = world.write(**{f"f{number}": str(number) for number in range(16_000)})
    world.send(paths)
    assert len(world.platform.there) == 2


def test_what_many_jobs_need_travels_apart_unless_all_fits_into_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each of them would download the inputs of the first ones."""
    a, b, all_1, all_2 = world.write(a="AA", b="BB", x="X", y="Y")
    world.send([a, all_1, all_2, b, all_1, all_2])
    assert world.held(b) == ["AA", "X", "Y", "BB"]
    monkeypatch.setattr(parcels, "LARGEST_PARCEL", 4 + 2 * parcels._AROUND)
    a, b, all_1, all_2 = world.write(a="aa", b="bb", x="x", y="y")
    world.send([a, all_1, all_2, b, all_1, all_2])
    assert [world.held(one) for one in (a, all_1)] == [["aa", "bb"], ["x", "y"]]


def test_what_is_gone_from_the_platform_is_sent_again_together(world: World) -> None:
    """As after `clean`: not file by file."""
    paths = world.write(a="A", b="B")
    world.send(paths)
    world.record.recheck({known.ref.path for path in paths if (known := world.record.find(path))})
    world.platform.gone = set(world.platform.there)
    world.platform.there.clear()
    world.send(paths)
    assert list(world.platform.there.values()) == [["A", "B"]]


def test_what_cannot_be_read_holds_up_nothing(world: World) -> None:
    a, b = world.write(a="A", b="B")
    (world.folder / "link").symlink_to("nothing")
    world.send([a, str(world.folder / "link"), str(world.folder), "gone", b])
    assert world.held(a) == ["A", "B"]


def test_a_file_that_changes_meanwhile_is_not_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by what it was nor by what it is: whoever needs it uploads it."""
    a, b, c = world.write(a="A", b="B", c="C")

    def write(archive: Path, contents: Any) -> Any:
        world.write(b="changed")
        return unchanged(archive, contents)

    unchanged = parcels._write
    monkeypatch.setattr(parcels, "_write", write)
    world.send([a, b, c])
    assert world.held(c) == ["A", "C"]
    assert world.record.find(b) is None


class Jobs:
    """Jobs whose small inputs are waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: list[list[str]] = []
        self.taken: list[str] = []
        self.unknown = {"a", "b", "c"}
        self.parcels: list[set[str]] = []
        """Whose inputs arrive together."""
        self.news = threading.Semaphore(0)
        self.told: list[str] = []
        self.failed: list[str] = []
        self.error: Exception | None = None
        self._monkeypatch = monkeypatch
        for name in ("_QUIET", "_LONGEST"):
            monkeypatch.setattr(small_inputs, name, 1000.0)
        self.threads = ThreadPoolExecutor(1)
        self.steps = SmallInputs(
            lambda one: one.name in self.unknown, self.send, self.threads, self.guard, self
        )

    def send(self, submissions: Sequence[Submission], arrived: Callable[[], None]) -> None:
        self.sent.append([one.name for one in submissions])
        for names in self.parcels:
            self.unknown -= names
            arrived()
            for _ in names:
                assert self.news.acquire(timeout=30), "its inputs are there, so it goes on"
        if self.error is not None:
            raise self.error

    def guard(self, submissions: Sequence[Submission], step: Callable[[], None]) -> None:
        try:
            step()
        except ValueError:
            self.failed += [one.name for one in submissions]
            self.news.release()

    def debug(self, text: str) -> None:
        self.told.append(text)

    def add(self, name: str) -> None:
        def step() -> None:
            self.taken.append(name)
            self.news.release()

        planned = plan("true", inputs=[local("in")])
        self.steps.then(Submission(None, planned=planned, name=name), step)

    def end(self, name: str) -> None:
        """This time is over."""
        self._monkeypatch.setattr(small_inputs, name, 0.0)
        with self.steps._news:
            self.steps._news.notify_all()


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    made = Jobs(monkeypatch)
    yield made
    made.steps.close()
    made.threads.shutdown()


@pytest.mark.parametrize("time", ["_QUIET", "_LONGEST"])
@pytest.mark.parametrize("error", [None, CavaticaError("no")])
def test_jobs_go_on_together_when_their_inputs_were_sent_or_could_not_be(
    jobs: Jobs, time: str, error: Exception | None
) -> None:
    """Then each brings its own; a job that lacks nothing does not wait."""
    jobs.error = error
    jobs.add("a")
    jobs.add("known")
    assert jobs.news.acquire(timeout=30)
    assert jobs.taken == ["known"]
    jobs.add("b")
    jobs.end(time)
    for _ in range(2):
        assert jobs.news.acquire(timeout=30)
    assert jobs.sent == [["a", "b"]]
    assert jobs.taken == ["known", "a", "b"]
    assert len(jobs.told) == (error is not None)


def test_jobs_wait_for_those_that_are_being_planned(jobs: Jobs) -> None:
    with jobs.steps.planning():
        jobs.end("_QUIET")
        jobs.add("a")
        assert not jobs.news.acquire(timeout=0.2)
        jobs.add("b")
    for _ in range(2):
        assert jobs.news.acquire(timeout=30)
    assert jobs.sent == [["a", "b"]]


def test_a_job_goes_on_when_its_own_inputs_have_arrived(jobs: Jobs) -> None:
    """Whatever becomes of those of others."""
    jobs.parcels = [{"b"}, {"a"}]
    jobs.error = CavaticaError("no")
    for name in "abc":
        jobs.add(name)
    jobs.end("_QUIET")
    end = monotonic() + 30
    while len(jobs.taken) < 3 and monotonic() < end:  # `news` is waited for by who sends
        sleep(0.05)
    assert jobs.taken == ["b", "a", "c"]


def test_jobs_fail_for_an_error_that_is_ours_and_the_next_ones_go_on(jobs: Jobs) -> None:
    jobs.error = ValueError("a mistake")
    jobs.end("_QUIET")
    jobs.add("a")
    assert jobs.news.acquire(timeout=30)
    jobs.error = None
    jobs.add("b")
    assert jobs.news.acquire(timeout=30)
    assert (jobs.failed, jobs.taken) == (["a"], ["b"])


def test_no_job_goes_on_after_the_end(jobs: Jobs) -> None:
    jobs.add("a")
    jobs.steps.close()
    jobs.add("b")
    assert jobs.sent == []
    assert jobs.taken == []
