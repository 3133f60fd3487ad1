"""pytest plugin: Snakemake's own tests with this executor, and with either place for the data.

Used by `python -m tests.suite`, in the folder of Snakemake's unpacked source distribution. Only
calls of `tests.common.run` that leave the executor at its default are changed.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from snakemake_executor_cavatica.api import Client, Token
from snakemake_executor_cavatica.project.fetch_store import fetch, store
from snakemake_executor_cavatica.project.index import ProjectIndex

PLACE = "CAVATICA_SUITE_PLACE"
PROJECT = "CAVATICA_SUITE_PROJECT"
ENDPOINT = "SB_API_ENDPOINT"
TOKEN = "SB_AUTH_TOKEN"

_NEVER_STORED = {"expected-results", ".snakemake"}


def pytest_sessionstart(session: pytest.Session) -> None:
    """Replace `run` before the tests import it."""
    sys.path.insert(0, str(Path.cwd()))
    place = os.environ.get(PLACE, "local")
    if place == "local":
        return
    common = importlib.import_module("tests.common")
    swapped = _Swap(common, common.run, place)
    common.run = functools.wraps(common.run)(swapped)
    common.get_expected_files = swapped.expected_files


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Some workflows set variables for their jobs; a test that fails does not remove them."""
    before = dict(os.environ)
    try:
        return (yield)
    finally:
        os.environ.clear()
        os.environ.update(before)


class _Swap:
    """`tests.common.run` with other defaults."""

    def __init__(self, common: Any, run: Callable[..., Any], place: str) -> None:
        from snakemake_interface_executor_plugins.registry import (  # noqa: PLC0415 - where it is
            ExecutorPluginRegistry,
        )

        plugin = ExecutorPluginRegistry().get_plugin("cavatica")
        self._settings = plugin.settings_cls(project=os.environ[PROJECT])
        self._common = common
        self._run = run
        self._expected = common.get_expected_files
        self._signature = inspect.signature(run)
        self._place = place
        self._mirror: _Mirror | None = None

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        given = self._signature.bind(*arguments, **options).arguments
        if given.get("executor", "local") != "local" or given.get("cluster") is not None:
            return self._run(**given)
        if given.get("shellcmd") is not None:
            return self._run(**given)
        if self._place != "local-storage":
            given |= {
                "executor": "cavatica",
                "executor_settings": self._settings,
                "nodes": given.get("nodes") or 3,
                "shared_fs_usage": frozenset(),
            }
        if self._place == "transfer" or given.get("default_storage_provider"):
            return self._run(**given)
        return self._run_in_storage(given)

    def _run_in_storage(self, given: dict[str, Any]) -> Any:
        """With the workflow's files on the platform before, and here again afterwards."""
        source = Path(given["path"])
        if given.get("no_tmpdir"):
            workdir = source
        elif given.get("tmpdir"):
            workdir = Path(os.fsdecode(given["tmpdir"]))
        else:
            slug = (source / given.get("snakefile", "Snakefile")).parent.name
            with self._common.prepare_tmpdir(source, name_slug=slug, cleanup=False) as made:
                workdir = Path(made)
            given["tmpdir"] = made
        mirror = _mirror_of(workdir.resolve())
        given |= {
            "default_storage_provider": "cavatica",
            "default_storage_prefix": mirror.prefix,
        }
        mirror.upload()
        self._mirror = mirror
        try:
            return self._run(**given)
        finally:
            self._mirror = None
            if workdir.exists():
                mirror.download()

    def expected_files(self, results: str) -> list[str]:
        """Called when a run is over and before its results are compared."""
        if self._mirror is not None:
            self._mirror.download()
        return list(self._expected(results))


@dataclass
class _Mirror:
    """The files of one working directory, in a folder of the project."""

    workdir: Path
    folder: str = field(default_factory=lambda: f"suite-{uuid.uuid4().hex[:12]}")
    same: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Path to local modification time and file id, of what is the same in both places."""

    @property
    def prefix(self) -> str:
        return f"cavatica://{os.environ[PROJECT]}/{self.folder}"

    def upload(self) -> None:
        """Bring what is new or changed here to the platform, and remove there what is gone here."""
        with self._client() as client:
            index = ProjectIndex(client, os.environ[PROJECT])
            index.ensure_folder(self.folder)
            local = dict(self._local_files())
            for name in self.same.keys() - local.keys():
                index.remove(f"{self.folder}/{name}")
                del self.same[name]
            for name, mtime in sorted(local.items(), key=lambda item: item[1]):
                if name not in self.same or self.same[name][0] != mtime:
                    path = f"{self.folder}/{name}"
                    store(index, self.workdir / name, path)
                    entry = index.find(path)
                    assert entry is not None
                    self.same[name] = (mtime, entry.id)

    def download(self) -> None:
        """Have what is on the platform here as well."""
        with self._client() as client:
            index = ProjectIndex(client, os.environ[PROJECT])
            there = {
                entry.path.removeprefix(f"{self.folder}/"): entry
                for entry in index.walk(self.folder)
            }
            for name in self.same.keys() - there.keys():
                (self.workdir / name).unlink(missing_ok=True)
                del self.same[name]
            for name, entry in there.items():
                target = self.workdir / name
                if entry.folder:
                    target.mkdir(parents=True, exist_ok=True)
                elif not target.exists() or self.same.get(name, (0, ""))[1] != entry.id:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    fetch(client, entry.id, target, size=entry.size, folder=False)
                    self.same[name] = (target.stat().st_mtime, entry.id)

    def _local_files(self) -> Any:
        for folder, folders, names in os.walk(self.workdir):
            inside = Path(folder).relative_to(self.workdir)
            folders[:] = [one for one in folders if str(inside / one) not in _NEVER_STORED]
            for name in names:
                path = inside / name
                if str(path) not in _NEVER_STORED and (self.workdir / path).is_file():
                    yield str(path), (self.workdir / path).stat().st_mtime

    @staticmethod
    def _client() -> Client:
        return Client(os.environ[ENDPOINT], Token(os.environ[TOKEN]))


_mirrors: dict[Path, _Mirror] = {}


def _mirror_of(workdir: Path) -> _Mirror:
    """Tests run some workflows again, in the same directory: the same files are meant then."""
    return _mirrors.setdefault(workdir, _Mirror(workdir))
