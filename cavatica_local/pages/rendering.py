"""Templates, and the headers by which a browser holds to what they are."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from cavatica_local.pages import wording
from cavatica_local.pages.visit import Page, Visit, address

_FOLDER = Path(__file__).parent / "templates"


class Templates:
    """Makes documents of pages. All that is filled in is escaped."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=wording.shown,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            app=wording.app,
            duration=wording.duration,
            line=wording.line,
            moment=wording.moment,
            price=wording.price,
            short_moment=wording.short_moment,
            size=wording.size,
        )
        self._environment.globals.update(address=address, zone=wording.zone)
        style, script = (
            self._environment.get_template(name).render() for name in ("style.css", "live.js")
        )
        self.headers = _headers(style, script)

    def response(self, page: Page, visit: Visit | None) -> Response:
        """A page; without a visit one for whoever it may be."""
        path = visit.path if visit is not None else {}
        text = self._environment.get_template(page.template).render(
            {
                "username": visit.username if visit is not None else None,
                "project_id": f"{path['owner']}/{path['project']}" if "project" in path else None,
                **page.values,
            }
        )
        return HTMLResponse(text, page.status)


def _headers(style: str, script: str) -> dict[str, str]:
    """Of every answer, downloads too."""
    policy = {
        "default-src": "'none'",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "connect-src": "'self'",  # the page, once more
        "img-src": "data:",  # its icon
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
