"""A project of its own on a server that tests share."""

from __future__ import annotations

import json
import urllib.request
import uuid


def fresh_project(endpoint: str, token: str) -> str:
    """Make a project that nobody else uses; its id."""
    body = json.dumps({"name": f"fresh {uuid.uuid4().hex}"}).encode()
    headers = {"X-SBG-Auth-Token": token, "Content-Type": "application/json"}
    request = urllib.request.Request(f"{endpoint}/projects", body, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["id"])
