"""Outputs are taken out of the file in which a task has gathered them, or come one by one."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from snakemake_executor_cavatica.api import File, TransferError
from snakemake_executor_cavatica.finish import small_outputs
from snakemake_executor_cavatica.finish.small_outputs import SmallOutputs


def file(name: str, size: int) -> File:
    return File.model_validate({"id": f"id-{name}", "name": name, "size": size})


class Platform:
    """What is on it, and what was fetched."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.fetched: list[str] = []
        self.told: list[str] = []

    def add(self, name: str, **members: str) -> File:
        """A file with members; `a_0` is output 0 of job `a`."""
        target = io.BytesIO()
        with tarfile.open(fileobj=target, mode="w") as tar:
            for key, text in members.items():
                job, _, number = key.partition("_")
                member = tarfile.TarInfo(f"jobs/{job}/out/{number}/any name")
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text.encode()))
        self.contents[f"id-{name}"] = target.getvalue()
        return file(name, len(target.getvalue()))

    def download(self, _client: object, file_id: str, target: Path, *, size: int | None) -> None:
        self.fetched.append(file_id)
        if file_id not in self.contents:
            raise TransferError("gone")
        target.write_bytes(self.contents[file_id])

    def debug(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Platform:
    made = Platform()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(small_outputs, "download", made.download)
    return made


@pytest.fixture
def small(platform: Platform) -> Iterator[SmallOutputs]:
    made = SmallOutputs(cast(Any, None), platform)
    yield made
    made.close()
    assert not list(Path.cwd().rglob("incoming/*")), "nothing is left over"


def take(small: SmallOutputs, gathered: File, **wanted: int) -> dict[str, str]:
    """What outputs of these sizes are found to be."""
    paths = {key: (Path.cwd() / key, file(key, size)) for key, size in wanted.items()}
    folders = {f"jobs/{key.replace('_', '/out/')}": value for key, value in paths.items()}
    taken = small.take(gathered, folders)
    assert taken == {path for path, _ in paths.values() if path.exists()}
    return {path.name: path.read_text() for path in taken}


def test_the_jobs_of_a_pack_share_a_download(platform: Platform, small: SmallOutputs) -> None:
    pack = platform.add("pack", a_0="A", a_1="AA", b_0="B")
    assert take(small, pack, a_0=1, a_1=2) == {"a_0": "A", "a_1": "AA"}
    assert take(small, pack, b_0=1, c_0=1) == {"b_0": "B"}
    assert platform.fetched == ["id-pack"]


def test_what_has_another_size_than_the_platforms_file_is_not_taken(
    platform: Platform, small: SmallOutputs
) -> None:
    assert take(small, platform.add("pack", a_0="cut", b_0="B"), a_0=4, b_0=1) == {"b_0": "B"}


def test_a_file_that_is_none_is_looked_at_once(platform: Platform, small: SmallOutputs) -> None:
    platform.contents["id-broken"] = b"no tar file"
    for name in ("broken", "gone"):
        for _ in range(2):
            assert take(small, file(name, 1), a_0=1) == {}
    assert platform.fetched == ["id-broken", "id-gone"]
    assert len(platform.told) == 2


def test_few_are_kept(
    platform: Platform, small: SmallOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pack whose jobs come late is fetched again."""
    monkeypatch.setattr(small_outputs, "_KEPT", 1)
    one, other = (platform.add(name, a_0="A", b_0="B") for name in ("one", "other"))
    assert take(small, one, a_0=1) == {"a_0": "A"}
    assert len(list(Path.cwd().rglob("incoming/*"))) == 1
    Path("a_0").unlink()
    assert take(small, other, a_0=1) == {"a_0": "A"}
    assert len(list(Path.cwd().rglob("incoming/*"))) == 1
    assert take(small, one, b_0=1) == {"b_0": "B"}
    assert platform.fetched == ["id-one", "id-other", "id-one"]
