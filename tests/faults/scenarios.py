"""What happens to one run: its workflow, where the data live, and every trouble, from one seed.

The seed decides what is injected and when, in terms of the run's progress. Which requests meet a
fault that has a probability is up to the platform's own dice.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Literal

from tests.faults.workflows import Workflow, random_workflow
from tests.faults.worlds import NONE, DataPlace, World, random_world, with_hunger

Sharing = Literal["none", "batch", "pack", "both"]
"""Which jobs may share tasks: as children of batches, or in packs."""
Moment = Literal[
    "beginning", "submitting", "drafted", "starting", "started", "running", "unseen", "collecting"
]
"""
beginning: Snakemake has locked its directory, some seconds ago
submitting: tasks are being created
drafted: a task was created, and the request that is to start it does not get through
starting: the request that starts a task is on its way
started: the answer to it has just left; a batch makes its children
running: tasks run
unseen: tasks have completed while the main process stood still
collecting: the results of a task are being brought to their place
"""
Ending = Literal["kill", "ctrl-c", "sleep", "overtaken"]
"""SIGKILL; SIGINT; or only standing still for a while, like a closed laptop; so long that another
one takes the run up meanwhile.
"""
Resume = Literal["same", "rerun-incomplete", "elsewhere"]
"""The same command; with --rerun-incomplete; or from another machine, which has no `.snakemake`."""

Fault = dict[str, Any]
"""As `POST /_control/faults` takes it."""
SEVERAL = r" \[\d+ jobs\]"
"""In the names of packs and of children."""
_JOBS = "^(?!Snakemake coordinator)"
"""In the names of tasks: not those of main processes, which are struck as the interruptions say."""
TASK_FAULTS = ("fail-task", "lose-task", "interrupt-task")
"""Those that make an execution vain: the platform ends or forgets the task."""


@dataclass(frozen=True)
class Interruption:
    """How the main process is interrupted, once `after` of the jobs are done, and goes on."""

    moment: Moment
    ending: Ending
    resume: Resume
    after: float
    """Share of the jobs; at the beginning, seconds."""
    number: int
    """Of requests or tasks at that moment."""
    asleep: float = 0.0
    """Seconds until a machine wakes up that was overtaken."""
    frozen: bool = False
    """Whether it sleeps in the freezer of control groups."""


@dataclass(frozen=True)
class Outage:
    """All requests fail for some seconds."""

    after: float
    seconds: float
    fault: Fault


@dataclass(frozen=True)
class Scenario:
    """One run of the campaign."""

    seed: int
    workflow: Workflow
    place: DataPlace
    faults: tuple[Fault, ...]
    outages: tuple[Outage, ...]
    losses: tuple[float, ...]
    """Instances that are taken away: shares of the jobs that are done at that moment."""
    spot: bool
    """Whether all tasks are on spot instances, which faults then take away."""
    rate_limit: tuple[int, int] | None
    """Requests in so many seconds."""
    interruptions: tuple[Interruption, ...]
    keep_going: bool
    sharing: Sharing
    pack: int
    """How many jobs share a task at most, where they do."""
    creating: float
    """Seconds that a batch takes to make its children."""
    world: World = NONE

    @property
    def jobs_may_fail(self) -> bool:
        """Whether something happens that fails a job, so that Snakemake has to try it again."""
        return bool(self.losses) or any(fault["do"] in TASK_FAULTS for fault in self.faults)


RUN = r"/actions/run(\?|$)"
"""Requests that start a task."""


@dataclass(frozen=True)
class _Endpoint:
    """Requests that may meet a fault."""

    name: str
    method: str
    path: str
    api: bool = True
    """Whether they go to the API, or to the storage behind it."""


_ENDPOINTS = (
    _Endpoint("create", "POST", r"/v2/tasks$"),
    _Endpoint("start", "POST", RUN),
    _Endpoint("look", "POST", r"/bulk/tasks/get$"),
    _Endpoint("task", "GET", r"/v2/tasks"),
    _Endpoint("children", "GET", r"/v2/tasks\?.*parent="),
    _Endpoint("abort", "POST", r"/actions/abort$"),
    _Endpoint("files", ".*", r"/v2/(bulk/)?files"),
    _Endpoint("listing", "GET", r"/v2/files(\?|/[^/]+/list)"),
    _Endpoint("folders", "POST", r"/v2/files$"),
    _Endpoint("moves", ".*", r"/v2/async/"),
    _Endpoint("labels", ".*", r"/v2/bulk/files/(edit|update)"),
    _Endpoint("download", "GET", r"/download_info"),
    _Endpoint("upload", ".*", r"/v2/upload/"),
    _Endpoint("apps", ".*", r"/v2/apps"),
    _Endpoint("everything", ".*", r"/v2/"),
    _Endpoint("put", "PUT", r"^/storage/", api=False),
    _Endpoint("get", "GET", r"^/storage/", api=False),
)
_API_ERRORS = ((500, 90009), (502, 0), (503, 90004), (503, 0), (503, 5000), (504, 0))
_STORAGE_ERRORS = (500, 502, 503, 504)
_API_WAYS = (
    *("status", "status", "status-after", "page", "drop-before", "drop-after", "delay"),
    *("truncate", "shorten"),
)
_STORAGE_WAYS = (
    *("status", "page", "drop-before", "drop-after", "delay"),
    *("truncate", "shorten", "slow", "expire", "corrupt"),
)
_RARE = ("everything", "files", "look", "task")


def random_scenario(
    seed: int,
    *,
    least: int = 20,
    most: int = 60,
    interrupted: bool = True,
    worlds: Collection[str] = (),
) -> Scenario:
    """The scenario of a seed; without interruptions it has the same workflow and faults."""
    scenario = _without_world(seed, least=least, most=most, interrupted=interrupted)
    return _in_world(scenario, random_world(seed, scenario.place, worlds))


def _in_world(scenario: Scenario, world: World) -> Scenario:
    """The same run in another world, which may bring interruptions of its own."""
    first = [Interruption("beginning", "kill", "same", seconds, 1) for seconds in world.beginnings]
    others = sorted(
        (
            *scenario.interruptions,
            *(
                Interruption(
                    "running", "overtaken", "elsewhere", one.after, 1, one.asleep, one.frozen
                )
                for one in world.overtaken
            ),
        ),
        key=lambda one: one.after,
    )
    workflow = scenario.workflow
    if world.has("memory"):
        workflow = with_hunger(workflow, scenario.seed)
    interruptions = (*first, *(others if world.overtaken else scenario.interruptions))
    return replace(scenario, world=world, workflow=workflow, interruptions=interruptions)


def _without_world(seed: int, *, least: int, most: int, interrupted: bool) -> Scenario:
    workflow = random_workflow(random.Random(f"workflow {seed}"), least=least, most=most)
    dice = random.Random(f"troubles {seed}")
    place: DataPlace = dice.choice(("transfer", "storage"))
    rate_limit = dice.choice(((120, 5), (250, 8))) if dice.random() < 0.25 else None
    spot = dice.random() < 0.2
    sharing: Sharing = dice.choice(("none", "batch", "pack", "both"))
    faults = [_request_fault(dice) for _ in range(dice.randint(2, 6))]
    if sharing != "none":
        faults += [_fault_of_shared_tasks(dice) for _ in range(dice.choice((0, 1, 1, 2)))]
    if dice.random() < 0.4:
        # Where there is no limit, a 429 says nothing about when to come back.
        kinds = ("maintenance", "rate-limit") if rate_limit else ("maintenance",)
        faults.append(_window(dice, dice.choice(kinds)))
    if spot or dice.random() < 0.2:
        faults.append(_task_fault(dice, spot))
    outages = tuple(_outage(dice) for _ in range(dice.choice((0, 0, 1, 1, 2))))
    losses = tuple(dice.uniform(0, 0.9) for _ in range(dice.choice((0, 0, 0, 1, 2))))
    keep_going = dice.random() < 0.3
    number = dice.choice((0, 1, 1, 1, 2, 2, 3))
    interruptions = tuple(_interruption(dice, place) for _ in range(number))
    return Scenario(
        seed,
        workflow,
        place,
        tuple(faults),
        outages,
        losses,
        spot,
        rate_limit,
        interruptions if interrupted else (),
        keep_going,
        sharing,
        dice.randint(2, 6),
        dice.choice((0.3, 0.3, 1.5, 3.0)),
    )


def _request_fault(dice: random.Random) -> Fault:
    endpoint = dice.choice(_ENDPOINTS)
    way = dice.choice(_API_WAYS if endpoint.api else _STORAGE_WAYS)
    if way == "corrupt" and endpoint.name == "get":
        way = "truncate"  # a download comes without a checksum: nobody could see it
    fault: Fault = {
        "do": way,
        "method": endpoint.method,
        "path": endpoint.path,
        "probability": round(dice.uniform(0.02, 0.04 if endpoint.name in _RARE else 0.12), 3),
    }
    if way == "delay":
        fault["seconds"] = round(dice.uniform(0.2, 1.5), 1)
    elif way in ("status", "status-after", "page"):
        errors = _API_ERRORS if endpoint.api else [(status, 0) for status in _STORAGE_ERRORS]
        fault["status"], fault["code"] = dice.choice(errors)
        if (fault["status"], fault["code"]) == (503, 0):  # maintenance: then nothing is done
            fault["do"] = fault["do"].removesuffix("-after")
    elif way == "slow":
        # What a submitted workflow takes along gets there before anybody loses patience.
        fault["bytes_per_second"] = dice.choice((2_000, 20_000))
    return fault


def _fault_of_shared_tasks(dice: random.Random) -> Fault:
    """What strikes the few requests that are made for several jobs, or their tasks."""
    if dice.random() < 0.3:
        return {
            "do": dice.choice(("fail-task", "lose-task")),
            "task": SEVERAL,
            "probability": 0.25,
            "seconds": round(dice.uniform(0, 2), 2),
            "times": 2,
        }
    name = dice.choice(("create", "start", "children", "labels", "moves"))
    endpoint = next(one for one in _ENDPOINTS if one.name == name)
    way = dice.choice(("drop-before", "drop-after", "drop-after", "status-after", "truncate"))
    return {
        "do": way,
        "method": endpoint.method,
        "path": endpoint.path,
        "probability": 0.4,
        "times": dice.randint(1, 6),
    }


def _window(dice: random.Random, kind: str) -> Fault:
    """For some seconds the platform is under maintenance, or takes no more requests."""
    return {
        "do": kind,
        "probability": 0.01,
        "seconds": dice.choice((1, 2, 4)),
        "times": dice.choice((1, 2)),
    }


def _task_fault(dice: random.Random, spot: bool) -> Fault:
    return {
        "do": "interrupt-task" if spot else dice.choice(("fail-task", "lose-task")),
        "task": _JOBS,
        "probability": 0.06,
        "seconds": round(dice.uniform(0, 0.8), 2),
        "times": 3,
    }


def _outage(dice: random.Random) -> Outage:
    fault: Fault = dice.choice(
        (
            {"do": "drop-before"},
            {"do": "drop-after"},
            {"do": "status", "status": 503, "code": 0},
            {"do": "status", "status": 502, "code": 90004},
        )
    )
    return Outage(dice.uniform(0, 0.9), round(dice.uniform(0.5, 4), 1), fault)


def _interruption(dice: random.Random, place: DataPlace) -> Interruption:
    moments: list[Moment] = [
        *("submitting", "drafted", "starting", "started", "running", "unseen", "collecting")
    ]
    endings: list[Ending] = ["kill", "kill", "kill", "ctrl-c", "sleep"]
    resumes: list[Resume] = ["same", "same", "rerun-incomplete"]
    moment = dice.choice(moments)
    ending = dice.choice(endings)
    if ending == "sleep":
        moment = "unseen"
    elif ending == "ctrl-c" and moment == "unseen":
        moment = "running"
    if place == "storage":
        resumes.append("elsewhere")
    # Tasks for several jobs are made when a run begins, more than later on.
    after = dice.choice((0.0, round(dice.uniform(0, 0.8), 2)))
    return Interruption(moment, ending, dice.choice(resumes), after, dice.randint(1, 5))
