"""Simulated tasks that fail: by name, seeded, and as real ones do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from platform_serving import Serve, Server, tool

from cavatica_local.execution.behaviours import Behaviour, Simulation, read_behaviours

BEHAVIOURS = [
    {"task": "wide", "disk_mb": 60000, "seconds": 0.1},
    {"task": "hungry", "memory_mb": 4000, "seconds": 0.1},
    {"task": "wrong", "fails": 1, "seconds": 0.1},
    {"task": "lost", "spot_loss": 1, "seconds": "0.1-0.2"},
]


def fates(seed: int, name: str, **asked: Any) -> list[Any]:
    behaviour = Behaviour("a", (1, 100), (1000, 5000), (10, 90), fails=0.3, spot_loss=0.5)
    simulation = Simulation((7, 7), [behaviour], seed)
    asked = {"interruptible": True, "memory_mb": 9000, **asked}
    return [simulation.fate(name, **asked) for _ in range(20)]


def test_the_same_seed_is_the_same_run() -> None:
    assert fates(1, "a 1") == fates(1, "a 1")
    assert fates(1, "a 1") != fates(2, "a 1")
    assert fates(1, "a 1") != fates(1, "a 2")


def test_what_a_task_needs_does_not_change() -> None:
    assert len({(fate.memory_mb, fate.disk_mb) for fate in fates(1, "a")}) == 1
    assert 10 <= fates(1, "a")[0].disk_mb <= 90
    assert 1000 <= fates(1, "a")[0].memory_mb <= 5000
    assert len({fate.seconds for fate in fates(1, "a")}) == 20


def test_shares_are_kept() -> None:
    many = [fate for number in range(50) for fate in fates(1, f"a {number}")]
    assert 0.25 < sum(fate.fails for fate in many) / len(many) < 0.35
    assert 0.45 < sum(fate.is_lost for fate in many) / len(many) < 0.55
    assert not any(fate.is_lost for fate in fates(1, "a", interruptible=False))


def test_other_names_succeed() -> None:
    assert {(fate.seconds, fate.fails, fate.is_lost) for fate in fates(1, "b")} == {
        (7, False, False)
    }


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> Server:
    file = tmp_path / "behaviours.json"
    file.write_text(json.dumps(BEHAVIOURS))
    options = ("--engine", "simulate", "--task-seconds", "0.1", "--simulation", str(file))
    return serve(*options, "--switch", "status_flap=0", "--price-hour", "1")


def ended(
    server: Server,
    name: str,
    megabytes: int = 1000,
    *,
    spot: bool = False,
    instance: str = "AUTO",
) -> Any:
    document = tool("true", {}, {})
    document["requirements"]["ResourceRequirement"] = {"ramMin": megabytes}
    app = server.install(f"app-{name}-{megabytes}-{spot}-{instance[-2:]}", document)
    settings = {"instance_type": instance}
    return server.run(
        app, {}, name=name, use_interruptible_instances=spot, execution_settings=settings
    )


def said(task: dict[str, Any]) -> str:
    return str(task["execution_status"]["message"])


def test_tasks_meet_their_fates(server: Server) -> None:
    """Protects trials of money, retries and space: they need tasks that fail as real ones do."""
    killed = ended(server, "hungry", 1000)
    assert (killed["status"], "exit code 137" in said(killed)) == ("FAILED", True)
    assert ended(server, "hungry", 8000)["status"] == "COMPLETED"
    full = ended(server, "wide", instance="c5.large;ebs-gp2;59")
    assert (full["status"], "no space left" in said(full)) == ("FAILED", True)
    assert ended(server, "wide", instance="c5.large;ebs-gp2;60")["status"] == "COMPLETED"
    assert ended(server, "wide")["status"] == "COMPLETED"
    assert said(ended(server, "wrong")) == "Tool failed with exit code 1."
    assert "spot instance was lost" in said(ended(server, "lost", spot=True))
    assert ended(server, "lost")["status"] == "COMPLETED"
    assert ended(server, "other")["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "cannot be read as JSON"),
        ("{}", "no list"),
        ('[{"task": "a"}, {"time": 3}]', "entry 2"),
        ('[{"task": "("}]', "entry 1"),
        ('[{"seconds": "9-5"}]', "'9-5'"),
        ('[{"seconds": [1]}]', "entry 1"),
        ('[{"fails": 2}]', "no share"),
    ],
)
def test_a_wrong_file_is_told_by_its_entry(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "behaviours.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=told):
        read_behaviours(file)
