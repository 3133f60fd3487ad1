"""Visits to the pages of a server over real HTTP, and what a browser would make of the answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import requests
from platform_serving import Server

CODE = re.compile(r"[?&]code=[^&]+")


class _Reader(HTMLParser):
    """Text, links and elements of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._hidden += tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.texts.append(data)


@dataclass
class Seen:
    """An answer as a person and a browser see it."""

    response: requests.Response
    elements: list[tuple[str, dict[str, str | None]]]
    text: str
    """With single spaces."""

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def links(self) -> list[str]:
        return [str(given["href"]) for tag, given in self.elements if tag == "a"]

    @property
    def is_live(self) -> bool:
        """Whether the page goes on asking for itself."""
        return any(tag == "main" and "data-live" in given for tag, given in self.elements)

    def link(self, end: str) -> str:
        """The one address that ends like this."""
        [found] = {link for link in self.links if link.endswith(end)}
        return found


@dataclass
class Guest:
    """Somebody with a browser."""

    server: Server
    session: requests.Session = field(default_factory=requests.Session)

    def enter(self, address: str | None = None) -> Seen:
        """Open an address that is good once: by default the one that the server's file holds."""
        return self.open(address or self.invitation())

    def invitation(self) -> str:
        return (self.server.root / "pages").read_text().strip()

    def open(self, path: str = "", **options: Any) -> Seen:
        """A page of the project below its own address, or any address of the server."""
        response = self.answer(path, **options)
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        reader = _Reader()
        reader.feed(response.content.decode("utf-8"))
        reader.close()
        return Seen(response, reader.elements, " ".join("".join(reader.texts).split()))

    def answer(self, path: str = "", method: str = "GET", **options: Any) -> requests.Response:
        base = self.server.api.removesuffix("/v2")
        if not path.startswith(("http", "/")):
            path = f"/u/{self.server.project}/{path}".removesuffix("/").replace("/?", "?")
        address = path if path.startswith("http") else base + path
        options = {"timeout": 30, "verify": self.server.certificate, **options}
        return self.session.request(method, address, **options)


def entered(server: Server) -> Guest:
    """Somebody who has been let in."""
    guest = Guest(server)
    assert guest.enter().status == 200
    return guest


def invited(server: Server, username: str) -> Guest:
    """The same as another user of the platform."""
    guest = Guest(server)
    assert guest.enter(server.control("pages", {"username": username})["pages"]).status == 200
    return guest
