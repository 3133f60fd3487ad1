"""What tests need beside the API: the logs of what happened, faults, further users.

Only there with `--control`; outside of the rate limit, not logged, and reachable from this machine
only, as the whole server is.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cavatica_local.execution.scheduler import Scheduler
from cavatica_local.faults.faults import Fault, ending
from cavatica_local.http.middleware import CONTROL, Traffic
from cavatica_local.http.responses import json_response
from cavatica_local.state.accounts import BillingState, create_user, set_billing_state
from cavatica_local.state.platform import Platform
from cavatica_local.state.times import timestamp
from cavatica_local.state.visitors import Visitors


class Control:
    """The control endpoints of one server."""

    def __init__(
        self, platform: Platform, scheduler: Scheduler, traffic: Traffic, visitors: Visitors
    ) -> None:
        self._platform = platform
        self._scheduler = scheduler
        self._traffic = traffic
        self._visitors = visitors

    def routes(self) -> list[Route]:
        """The endpoints."""
        return [
            Route(f"{CONTROL}/log", self._log, methods=["GET"]),
            Route(f"{CONTROL}/executions", self._executions, methods=["GET"]),
            Route(f"{CONTROL}/faults", self._shown_faults, methods=["GET"]),
            Route(f"{CONTROL}/faults", self._faults, methods=["POST"]),
            Route(f"{CONTROL}/users", self._users, methods=["POST"]),
            Route(f"{CONTROL}/pages", self._pages, methods=["POST"]),
            Route(f"{CONTROL}/revoke", self._revoke, methods=["POST"]),
            Route(f"{CONTROL}/billing", self._billing, methods=["POST"]),
            Route(f"{CONTROL}/projects", self._projects, methods=["POST"]),
            Route(f"{CONTROL}/interrupt", self._interrupt, methods=["POST"]),
            Route(f"{CONTROL}/fail", self._fail, methods=["POST"]),
            Route(f"{CONTROL}/lose", self._lose, methods=["POST"]),
            Route(f"{CONTROL}/hold", self._hold, methods=["POST"]),
        ]

    async def _log(self, _request: Request) -> Response:
        """Every request so far."""
        return json_response(self._traffic.log_as_json())

    async def _executions(self, _request: Request) -> Response:
        """Every command that was really started, with its end if it has one."""
        rows = self._platform.database.all(
            "SELECT executions.*, tasks.project FROM executions"
            " LEFT JOIN tasks ON tasks.id = executions.task ORDER BY executions.started"
        )
        return json_response(
            [
                {
                    "task": row["task"],
                    "project": row["project"],
                    "start": row["started"],
                    "end": row["ended"],
                    "start_time": timestamp(row["started"]),
                    "end_time": timestamp(row["ended"]),
                    "exit_status": row["exit_status"],
                    "command_line": row["command_line"],
                }
                for row in rows
            ]
        )

    async def _shown_faults(self, _request: Request) -> Response:
        """The seed, the faults, and how often each kind struck so far."""
        return json_response(self._traffic.faults.as_json())

    async def _faults(self, request: Request) -> Response:
        """Replace the faults; an empty list clears them. A list, or an object with a seed."""
        try:
            body = json.loads(await request.body())
            given = body if isinstance(body, dict) else {"faults": body}
            items, seed = given["faults"], given.get("seed")
            if not isinstance(items, list) or not isinstance(seed, int | None):
                return _refused("a list of faults, and a whole number as seed, are expected")
            faults = [Fault(**item) for item in items]
        except (KeyError, TypeError, ValueError, re.error) as error:
            return _refused(str(error))
        self._traffic.faults.replace(faults, seed)
        return json_response({"faults": len(faults), "seed": self._traffic.faults.seed})

    async def _users(self, request: Request) -> Response:
        """Make a further user; permissions in a project come with the API's members calls."""
        body: dict[str, Any] = json.loads(await request.body())
        username = str(body["username"])
        database = self._platform.database
        if database.one("SELECT 1 FROM users WHERE username = ?", username):
            return _refused(f"the user {username} exists already")
        token = secrets.token_hex(16)
        create_user(self._platform, username, token, body.get("email"))
        return json_response({"username": username, "auth_token": token})

    async def _pages(self, request: Request) -> Response:
        """An address that lets a user into the pages, once."""
        body: dict[str, Any] = json.loads(await request.body())
        username = str(body["username"])
        if not self._platform.database.one("SELECT 1 FROM users WHERE username = ?", username):
            return _refused(f"there is no user {username}")
        return json_response({"pages": self._visitors.invite(username, "/u")})

    async def _revoke(self, request: Request) -> Response:
        """Give a user a new token; the old one is not valid any more."""
        body: dict[str, Any] = json.loads(await request.body())
        token = secrets.token_hex(16)
        changed = self._platform.database.run(
            "UPDATE users SET token = ? WHERE username = ?", token, body["username"]
        )
        if not changed:
            return _refused(f"there is no user {body['username']}")
        return json_response({"username": body["username"], "auth_token": token})

    async def _billing(self, request: Request) -> Response:
        """Set whether a user's billing group can pay: `disabled`, `pending`, `balance`."""
        body: dict[str, Any] = json.loads(await request.body())
        find = "SELECT billing_group FROM users WHERE username = ?"
        group = self._platform.database.value(find, body.pop("username", None))
        try:
            state = BillingState(**body)
        except TypeError as error:
            return _refused(str(error))
        if group is None:
            return _refused("there is no such user")
        set_billing_state(self._platform.database, group, state)
        return json_response({"billing_group": group, **body})

    async def _projects(self, request: Request) -> Response:
        """Set a project's category: a PUBLIC one can be read and copied from by everybody."""
        body: dict[str, Any] = json.loads(await request.body())
        category = str(body["category"]).upper()
        changed = category in ("PUBLIC", "PRIVATE") and self._platform.database.run(
            "UPDATE projects SET category = ? WHERE id = ?", category, body["project"]
        )
        if not changed:
            return _refused("no such project, or the category is neither PUBLIC nor PRIVATE")
        return json_response({"project": body["project"], "category": category})

    async def _interrupt(self, request: Request) -> Response:
        """Take away the instance of a running task, as happens to spot instances."""
        body: dict[str, Any] = json.loads(await request.body())
        done = self._scheduler.interventions.interrupt(str(body["task"]))
        return json_response({"interrupted": done})

    async def _fail(self, request: Request) -> Response:
        """End a queued or running task as FAILED, with a message or that for a reason."""
        body: dict[str, Any] = json.loads(await request.body())
        try:
            message = ending(body.get("reason", "platform"), body.get("message"))
        except ValueError as error:
            return _refused(str(error))
        done = self._scheduler.interventions.fail(str(body["task"]), message)
        return json_response({"failed": done})

    async def _lose(self, request: Request) -> Response:
        """Let a task vanish: from now on there is no such task."""
        body: dict[str, Any] = json.loads(await request.body())
        return json_response({"lost": self._scheduler.interventions.lose(str(body["task"]))})

    async def _hold(self, request: Request) -> Response:
        """Never give an instance to a task that waits, or is a draft still."""
        body: dict[str, Any] = json.loads(await request.body())
        return json_response({"held": self._scheduler.queue.hold(str(body["task"]))})


def _refused(reason: str) -> Response:
    return json_response({"error": reason}, 400)
