"""Fixtures that tests of several folders share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
import sample
from browser import Browser, browser_in
from container_images import REQUIRED, Filesystem, Images, obstacle
from shells import bash_task, dash_task, task

from cavatica_local.engine.containers import DEFAULT_HABITS, run_options

__all__ = ["bash_task", "browser", "dash_task", "images", "task"]


def pytest_report_header(config: pytest.Config) -> str:
    """What is left out, and how it is run all the same."""
    return sample.told(config)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not drawn this time."""
    left_out = [item for item in items if not sample.is_drawn(config, item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Commands that are called in this process have our logger tell of waits, and leave it so."""
    logger = logging.getLogger("snakemake_executor_cavatica")
    level, handlers = logger.level, logger.handlers
    yield
    logger.setLevel(level)
    logger.handlers = handlers


@pytest.fixture(scope="session")
def _browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser_in(tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def browser(_browser: Browser) -> Browser:
    """A browser that knows nothing of earlier tests; its start takes a second, so it is shared."""
    _browser.forget()
    return _browser


@pytest.fixture(scope="session")
def images() -> Iterator[Images]:
    """Where images are made; they are removed at the end."""
    if reason := obstacle():
        _do_without(reason)
    made = Images()
    try:
        content = Filesystem()
        content.busybox()
        if reason := made.trial(content, run_options("podman", DEFAULT_HABITS, "trial")):
            _do_without(f"podman cannot run a container here: {reason}")
        yield made
    finally:
        made.remove()


def _do_without(reason: str) -> None:
    if os.environ.get(REQUIRED):
        pytest.fail(f"containers are required here ({REQUIRED}), but {reason}")
    pytest.skip(f"no tests of containers: {reason}")
