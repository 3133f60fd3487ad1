"""A real browser without a window, for pages and reports.

It can reach this machine only, and notes what a page complains about and what it asks for. Debian
has it as `chromium` with `chromium-driver`; the tests find Chrome as well.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

REQUIRED = "CAVATICA_TESTS_NEED_BROWSER"
"""If this variable is set, tests with a browser fail where they would be skipped."""
PICTURES = "CAVATICA_TESTS_PICTURES"
"""Names a folder in which pictures stay, to be looked at."""
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
DRIVERS = ("chromedriver", "/usr/lib/chromium/chromedriver")
DESKTOP, PHONE = (1200, 800), (390, 844)
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # root, as in CI, has to do without
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


def obstacle() -> str | None:
    """Why there can be no browser here; None if nothing is known to be missing."""
    if _found(PROGRAMS) is None:
        return "there is no Chromium (Debian: chromium)"
    if _found(DRIVERS) is None:
        return "there is no driver for Chromium (Debian: chromium-driver)"
    try:
        import selenium  # noqa: F401, PLC0415
    except ModuleNotFoundError:
        return "selenium is not installed (the extra dev has it)"
    return None


def do_without(reason: str) -> None:
    """Skip a test, or let it fail where a browser is required."""
    if os.environ.get(REQUIRED):
        pytest.fail(f"a browser is required here ({REQUIRED}), but {reason}")
    pytest.skip(f"no tests with a browser: {reason}")


def pictures(otherwise: Path) -> Path:
    """The folder for pictures."""
    folder = Path(os.environ.get(PICTURES) or otherwise)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _found(programs: tuple[str, ...]) -> str | None:
    return next((path for name in programs if (path := shutil.which(name))), None)


class Browser:
    """One window, and what has happened in it."""

    def __init__(self, profile: Path) -> None:
        """`profile`: an empty folder for what the browser keeps."""
        from selenium import webdriver  # noqa: PLC0415 - only some tests need it

        options = webdriver.ChromeOptions()
        options.binary_location = str(_found(PROGRAMS))
        for option in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        service = webdriver.ChromeService(str(_found(DRIVERS)))
        self.driver: Chrome = webdriver.Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(60)

    def close(self) -> None:
        self.driver.quit()

    def forget(self) -> None:
        """As a new browser: a new tab, and nothing left of the ones before."""
        old = self.driver.window_handles
        self.driver.switch_to.new_window("tab")
        new = self.driver.current_window_handle
        for handle in old:
            self.driver.switch_to.window(handle)
            self.driver.close()
        self.driver.switch_to.window(new)
        self.command("Network.clearBrowserCookies")
        self.command("Network.clearBrowserCache")
        self.shape()
        self.complaints()
        self.requests()

    def command(self, name: str, **values: Any) -> Any:
        """A command of Chrome's own protocol."""
        return self.driver.execute_cdp_cmd(name, values)

    # --- looking ---

    def open(self, address: str | Path) -> None:
        """A web address, or a file."""
        self.driver.get(address.as_uri() if isinstance(address, Path) else address)

    def shape(
        self, size: tuple[int, int] = DESKTOP, *, dark: bool = False, paper: bool = False
    ) -> None:
        """The size of the window, and how the page is to look."""
        width, height = size
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=size == PHONE,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        medium = "print" if paper else "screen"
        self.command("Emulation.setEmulatedMedia", media=medium, features=[scheme])

    @property
    def text(self) -> str:
        """What a person can read."""
        return str(self.driver.execute_script("return document.body.innerText"))

    def find(self, selector: str) -> list[Any]:
        """The elements that match a CSS selector."""
        return list(self.driver.find_elements("css selector", selector))

    def run(self, script: str, *values: Any) -> Any:
        """What a function body in JavaScript returns."""
        return self.driver.execute_script(script, *values)

    def until(self, condition: Callable[[], Any], seconds: float = 30) -> Any:
        """Wait for something that the page has to show."""
        limit = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < limit, self.text
            time.sleep(0.1)
        return found

    def picture(self, file: Path) -> Path:
        """The whole page as PNG, also what would have to be scrolled to."""
        height = int(self.run("return document.documentElement.scrollHeight"))
        width = int(self.run("return window.innerWidth"))
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.command("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(shot["data"]))
        return file

    @property
    def overflows(self) -> bool:
        """Whether the page is wider than the window."""
        # On a phone the window grows with what is in it; the element does not.
        page = "document.documentElement"
        return bool(self.run(f"return {page}.scrollWidth > {page}.clientWidth"))

    # --- what happened since the last question ---

    def complaints(self) -> list[str]:
        """What the page wrote to the console, and errors of its scripts and requests."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """All addresses that the page asked for, its own among them; not those of data in it."""
        return [url for url in self._requested() if not url.startswith(("data:", "blob:"))]

    def _requested(self) -> Iterator[str]:
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                yield str(message["params"]["request"]["url"])


@contextmanager
def browser_in(folder: Path) -> Iterator[Browser]:
    """A browser that keeps its things in a folder."""
    if reason := obstacle():
        do_without(reason)
    browser = Browser(folder)
    try:
        yield browser
    finally:
        browser.close()
