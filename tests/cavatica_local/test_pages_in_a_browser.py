"""The pages in a real browser: nothing is asked from elsewhere, and what changes is seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import DESKTOP, PHONE, Browser, pictures
from page_visits import Guest
from platform_serving import Server, file_input, file_output, tool

from tests.fresh_project import fresh_project

BEHAVIOURS = [
    {"task": "^align", "seconds": "1-4", "fails": 0.15},
    {"task": "^held", "seconds": 600},
    {"task": "", "seconds": "1-3"},
]
WORK = tool(
    "echo 'reading 1,204,118 reads' >&2; sort $reads > sorted.txt; test $status -eq 0 ||"
    " { echo 'align: no such reference: chr24' >&2; exit 1; }",
    {"reads": "File", "script": "string", "status": "string"},
    {"sorted": file_output("sorted.txt")},
    hints={"DockerRequirement": {"dockerPull": "debian:12-slim"}},
)
SCRIPT = "set -eu\nsort -k1,1 reads.txt > sorted.txt\n"
SERVER_OPTIONS = ("--rate-limit", "off", "--switch", "status_flap=0", "--price-hour", "60")


@pytest.fixture(scope="module")
def simulating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with many tasks that only seem to run."""
    root = tmp_path_factory.mktemp("simulating")
    file = root / "behaviours.json"
    file.write_text(json.dumps(BEHAVIOURS))
    engine = ("--engine", "simulate", "--simulation", str(file), "--fault-seed", "3")
    server = Server.start(root / "root", *engine, *SERVER_OPTIONS)
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that really runs tasks."""
    server = Server.start(tmp_path_factory.mktemp("working"), *SERVER_OPTIONS)
    yield server
    assert server.stop() == 0


def with_a_project(server: Server) -> Server:
    return replace(server, project=fresh_project(server.api, server.token))


def start(server: Server, app: str, name: str, **more: Any) -> str:
    task = server.draft(app, more.pop("inputs", {}), name=name, **more)["id"]
    server.ok("POST", f"/tasks/{task}/actions/run")
    return str(task)


def enter(browser: Browser, server: Server, path: str = "") -> str:
    """Let the browser in, and go to a page of the project; the address of the server."""
    browser.open(Guest(server).invitation())
    base = server.api.removesuffix("/v2")
    browser.open(f"{base}/u/{server.project}{path}")
    return base


def is_content(browser: Browser, base: str) -> bool:
    """The browser has nothing to complain about, and the pages asked for nothing but pages."""
    assert browser.complaints() == []
    asked = browser.requests()
    assert asked
    assert [url for url in asked if not url.startswith(f"{base}/u/")] == []
    return True


def statuses(browser: Browser) -> list[str]:
    return [element.text for element in browser.find("tbody .status")]


def test_tasks_change_before_the_eyes(browser: Browser, simulating: Server) -> None:
    server = with_a_project(simulating)
    app = server.install("align", tool("true", {}, {}))
    start(server, app, "held back")
    base = enter(browser, server)
    browser.run("window.untouched = true; document.querySelector('tbody a').focus()")
    browser.until(lambda: statuses(browser) == ["running"])
    for number in range(5):
        start(server, app, f"plot {number}")
    browser.until(lambda: len(statuses(browser)) == 6)
    browser.until(lambda: sorted(statuses(browser)) == ["completed"] * 5 + ["running"])
    assert browser.run("return window.untouched"), "the page was never loaded again"
    assert browser.run("return document.activeElement.textContent") == "held back"
    assert "Completed 5" in browser.text
    assert is_content(browser, base)


def test_a_task_is_followed_to_its_end(browser: Browser, simulating: Server) -> None:
    server = with_a_project(simulating)
    app = server.install("noted", tool("true", {"note": "string"}, {}))
    task = start(server, app, "held", inputs={"note": "one\ntwo"})
    base = enter(browser, server, f"/tasks/{task}")
    browser.find("summary")[0].click()
    browser.until(lambda: "running" in browser.text)
    server.control("fail", {"task": task, "message": "The disk was full."})
    browser.until(lambda: "Why it failed" in browser.text)
    assert "The disk was full." in browser.text
    assert browser.find("details[open]"), "what was unfolded stays so"
    assert not browser.find("main[data-live]")
    assert is_content(browser, base)
    browser.until(lambda: browser.run("return document.title").endswith(": failed"))


def test_without_scripts_the_page_is_loaded_again(browser: Browser, simulating: Server) -> None:
    server = with_a_project(simulating)
    app = server.install("plain", tool("true", {}, {}))
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        base = enter(browser, server)
        start(server, app, "plot")
        browser.until(lambda: [one.text for one in browser.find("tbody .status")] == ["completed"])
        assert is_content(browser, base)
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)


def test_a_server_that_has_ended_is_told(browser: Browser, tmp_path: Path) -> None:
    server = Server.start(tmp_path / "root", "--engine", "simulate")
    enter(browser, server)
    assert "does not answer" not in browser.text
    assert server.stop() == 0
    browser.until(lambda: "The platform does not answer" in browser.text)


MARKUP = "</td><script>window.struck=1</script><img src=x onerror=window.struck=1>"


def test_names_strike_nothing(browser: Browser, working: Server) -> None:
    server = with_a_project(working)
    name = MARKUP.replace("/", "|")
    key = server.upload(name, f"</pre>{MARKUP}".encode())
    app = server.install("work", {**WORK, "label": MARKUP})
    given = {"reads": file_input(key), "script": f"{MARKUP}\n{MARKUP}", "status": "0"}
    task = server.run(app, given, name=MARKUP, description=MARKUP)
    base = enter(browser, server)
    for path in ("", "/files", f"/files/{key}", f"/tasks/{task['id']}"):
        browser.open(f"{base}/u/{server.project}{path}")
        assert name in browser.text or MARKUP in browser.text
        assert browser.run("return window.struck") is None
        assert browser.find("img") == []
    assert is_content(browser, base)


def busy_project(server: Server) -> tuple[str, str]:
    """A project as it looks in the middle of a run; a task that failed, and the batch."""
    apps = {name: server.install(name, WORK) for name in ("align", "sort", "call-variants", "plot")}
    key = server.upload("reads.txt", b"b\na\nc\n")

    def given(status: str = "0") -> dict[str, Any]:
        return {"reads": file_input(key), "script": SCRIPT, "status": status}

    about = "Snakemake run 20261128-185636-521f9c, job 12, attempt 1"
    for sample in ("NA12878", "NA12891", "NA12892"):
        server.run(apps["align"], given(), name=f"align [sample={sample}]", description=about)
    failed = server.run(apps["align"], given("1"), name="align [sample=HG002]", description=about)
    files = [file_input(server.upload(f"part.{n}.txt", b"z\n")) for n in range(4)]
    batch = {"batch": True, "batch_input": "reads", "batch_by": {"type": "ITEM"}}
    port = {**given(), "reads": files}
    parent = server.run(apps["sort"], port, name="sort, 4 jobs", description=about, **batch)
    held = server.draft(apps["plot"], given(), name="plot [chromosome=2]", description=about)
    server.control("hold", {"task": held["id"]})
    server.ok("POST", f"/tasks/{held['id']}/actions/run")
    server.draft(apps["call-variants"], given(), name="call [sample=NA12878]", description=about)
    return failed["id"], parent["id"]


def test_the_pages_can_be_looked_at(browser: Browser, working: Server, tmp_path: Path) -> None:
    """On a screen and a phone, by day and night, and on paper: nothing sticks out."""
    project = working.ok("POST", "/projects", {"name": "Plant variants"})["id"]
    server = replace(working, project=project)
    failed, batch = busy_project(server)
    base = enter(browser, server)
    folder = pictures(tmp_path)
    shown = {
        "tasks": "",
        "failed-task": f"/tasks/{failed}",
        "batch": f"/tasks/{batch}",
        "files": "/files",
        "nothing": "/tasks/x",
    }
    looks = {
        "light": {"size": DESKTOP},
        "dark": {"size": DESKTOP, "dark": True},
        "phone": {"size": PHONE},
        "paper": {"size": (794, 1123), "paper": True},
    }
    for look, shape in looks.items():
        browser.shape(**shape)  # type: ignore[arg-type]
        for name, path in shown.items():
            browser.open(f"{base}/u/{server.project}{path}")
            assert not browser.overflows, (name, look)
            browser.picture(folder / f"page-{name}-{look}.png")
    browser.complaints()  # the page that is not there
