"""What tasks cost: of whom, with how many decimals, and who may see it."""

from __future__ import annotations

from typing import Any

import pytest
from platform_serving import Serve, Server, file_input, tool

SLEEP = tool("sleep 0.3", {}, {})
SPOT = {"use_interruptible_instances": True}
ON_DEMAND = {"use_interruptible_instances": False}


def breakdown(server: Server, **query: str) -> dict[str, Any]:
    """Entries of the billing group's breakdown, by task."""
    group = server.get("/billing/groups")["items"][0]["id"]
    words = "&".join(f"{name}={value}" for name, value in {"limit": "100", **query}.items())
    path = f"/billing/groups/{group}/breakdown/analysis?{words}"
    return {entry["analysis_id"]: entry for entry in server.get(path)["items"]}


def cost(entry: dict[str, Any]) -> float:
    return float(entry["analysis_cost"]["amount"])


@pytest.fixture
def priced(serve: Serve) -> Server:
    """Each second costs what an hour costs."""
    return serve("--price-hour", "1", "--switch", "status_flap=0")


def test_short_tasks_cost_nothing_that_two_decimals_could_show(serve: Serve) -> None:
    server = serve()
    task = server.run(server.install("sleep", SLEEP), {})
    assert task["price"]["amount"] == "0.00"
    exact = breakdown(server)[task["id"]]["analysis_cost"]
    assert 0 < float(exact["amount"]) < 0.005
    parts = {name: float(text) for name, text in exact["breakdown"].items()}
    assert sum(parts.values()) == pytest.approx(float(exact["amount"]), abs=2e-6)
    assert parts["storage"] > 0
    assert len(exact["amount"].partition(".")[2]) == 6


def test_an_hour_may_be_short(priced: Server) -> None:
    app = priced.install("sleep", SLEEP)
    task, spot = priced.run(app, {}, **ON_DEMAND), priced.run(app, {}, **SPOT)
    entries = breakdown(priced)
    assert float(task["price"]["amount"]) == pytest.approx(cost(entries[task["id"]]), abs=0.005)
    # c5.large: 2 cores for 0.0425 dollars each, and 1 TB for 0.14 dollars, an hour.
    exact = entries[task["id"]]["analysis_cost"]["breakdown"]
    assert float(exact["computation"]) / float(exact["storage"]) == pytest.approx(0.593, abs=0.001)
    cheap = entries[spot["id"]]["analysis_cost"]["breakdown"]
    assert float(cheap["computation"]) / float(cheap["storage"]) == pytest.approx(0.237, abs=0.001)


def test_a_batch_costs_what_its_children_cost_and_is_counted_once(priced: Server) -> None:
    app = priced.install("each", tool("sleep 0.2", {"f": "File"}, {}))
    files = [file_input(priced.upload(f"{number}", b"")) for number in range(3)]
    batch = {"batch": True, "batch_input": "f", "batch_by": {"type": "ITEM"}}
    parent = priced.run(app, {"f": files}, **batch)
    children = priced.get(f"/tasks?parent={parent['id']}&fields=_all")["items"]
    entries = breakdown(priced)
    assert set(entries) == {child["id"] for child in children}
    total = sum(cost(entry) for entry in entries.values())
    assert float(parent["price"]["amount"]) == pytest.approx(total, abs=0.006)


def test_lost_instances_have_to_be_paid_too(serve: Serve) -> None:
    server = serve("--price-hour", "1", "--switch", "spot_retries=1", "--switch", "status_flap=0")
    app = server.install("long", tool("sleep 1.5", {}, {}))
    task = server.draft(app, {}, **SPOT)
    server.ok("POST", f"/tasks/{task['id']}/actions/run")
    server.until(lambda: server.control("executions"), bool)
    server.control("interrupt", {"task": task["id"]})
    ended = server.wait(task["id"])
    assert ended["status"] == "COMPLETED"
    first, second = [one["end"] - one["start"] for one in server.control("executions")]
    paid = cost(breakdown(server)[task["id"]])
    # 0.034 dollars for cores and 0.143 for the disk, each second.
    assert paid >= 0.17 * (first + second)


def test_only_the_owner_of_a_billing_group_sees_its_breakdown(priced: Server) -> None:
    group = priced.get("/billing/groups")["items"][0]["id"]
    colleague = priced.control("users", {"username": "colleague"})["auth_token"]
    path = f"/billing/groups/{group}/breakdown/analysis"
    assert priced.error("GET", path, token=colleague) == (403, 4001)
    assert priced.error("GET", "/billing/groups/none/breakdown/analysis") == (404, 4002)


def test_breakdowns_of_days(priced: Server) -> None:
    task = priced.run(priced.install("sleep", SLEEP), {})
    year, month, day = task["end_time"][:10].split("-")
    today = f"{month}-{day}-{year}"
    assert set(breakdown(priced, date_from=today, date_to=today)) == {task["id"]}
    assert breakdown(priced, date_to="01-01-2020") == {}
    group = priced.get("/billing/groups")["items"][0]["id"]
    path = f"/billing/groups/{group}/breakdown/analysis?date_from=2020-01-01"
    assert priced.error("GET", path) == (400, 90000)
