"""Whether the images of rules are in their registries, asked as anybody could.

By the registries' own API (OCI distribution, version 2): a HEAD of the manifest, with an anonymous
token where the registry wants one. Nothing is sent that belongs to the user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

import requests

from ..api import ConfigurationError, is_on_loopback
from .finding import Finding, remark
from .jobs import RuleJobs

_AT_A_TIME = 8
_A_FEW = 4
_TIMEOUT = (3.0, 4.0)
"""Seconds for a connection and for an answer."""
_HUB = "registry-1.docker.io"
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Image:
    """Where an image is, by its name as Docker reads it."""

    registry: str
    repository: str
    reference: str
    """Tag or digest."""

    @classmethod
    def parse(cls, name: str) -> Image:
        """`debian`, `quay.io/biocontainers/x:1`, `localhost:5000/y@sha256:...`."""
        first, slash, rest = name.partition("/")
        is_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
        registry, path = (first, rest) if is_host else ("docker.io", name)
        path, _, digest = path.partition("@")
        head, colon, tag = path.rpartition(":")
        repository = head if colon else path
        if registry in ("docker.io", "index.docker.io"):
            registry = _HUB
            repository = repository if "/" in repository else f"library/{repository}"
        return cls(registry, repository, digest or (tag if colon else "latest"))

    @property
    def manifest(self) -> str:
        """The address of what is asked for."""
        scheme = "http" if is_on_loopback(f"http://{self.registry}") else "https"
        return f"{scheme}://{self.registry}/v2/{self.repository}/manifests/{self.reference}"


@dataclass(frozen=True)
class Found:
    """What a registry says of an image."""

    digest: str = ""
    """Empty where it is not told."""
    is_missing: bool = False
    trouble: str = ""
    """Why nothing is known, as the end of a sentence."""


def look_up(name: str) -> Found:
    """Ask the image's registry."""
    with requests.Session() as session:
        session.auth = _nobody  # or `requests` would take passwords from ~/.netrc
        try:
            manifest = Image.parse(name).manifest
            session.trust_env = not is_on_loopback(manifest)  # no proxy for this machine
            answer = _head(session, manifest)
            if answer.status_code == HTTPStatus.UNAUTHORIZED:
                token = _anonymous_token(session, answer.headers.get("WWW-Authenticate", ""))
                answer = _head(session, manifest, token) if token else answer
        except (requests.RequestException, ConfigurationError, ValueError) as error:
            return Found(trouble=f"cannot be reached from here ({type(error).__name__})")
    return _found(answer)


def _nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _found(answer: requests.Response) -> Found:
    status = answer.status_code
    if status == HTTPStatus.OK:
        return Found(digest=answer.headers.get("Docker-Content-Digest", ""))
    if status == HTTPStatus.NOT_FOUND:
        return Found(is_missing=True)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Found(trouble="shows it to nobody without a login: it is private, or not there")
    return Found(trouble=f"answers with status {status}")


def _head(session: requests.Session, url: str, token: str = "") -> requests.Response:
    headers = {"Accept": _MANIFESTS, **({"Authorization": f"Bearer {token}"} if token else {})}
    return session.head(url, headers=headers, timeout=_TIMEOUT, allow_redirects=True)


def _anonymous_token(session: requests.Session, challenge: str) -> str:
    """The token that a registry gives to everybody; empty if it gives none."""
    scheme, _, rest = challenge.partition(" ")
    wanted = dict(_PARAMETER.findall(rest))
    realm = wanted.pop("realm", "")
    is_safe = urlsplit(realm).scheme == "https" or is_on_loopback(realm)
    if scheme.lower() != "bearer" or not is_safe:
        return ""
    answer = session.get(realm, params=wanted, timeout=_TIMEOUT)
    if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return ""
    answer.raise_for_status()
    try:
        given = answer.json()
    except ValueError:
        given = None
    found = given if isinstance(given, dict) else {}
    return str(found.get("token") or found.get("access_token") or "")


def images_of(rules: Iterable[RuleJobs]) -> dict[str, list[str]]:
    """The rules of each image."""
    found: dict[str, list[str]] = {}
    for rule in rules:
        for image in dict.fromkeys(plan.image for plan in rule.plans if plan.in_container):
            found.setdefault(image, []).append(rule.rule)
    return found


def look_up_all(names: Iterable[str], look: Callable[[str], Found] = look_up) -> dict[str, Found]:
    """Ask for all of them at the same time."""
    wanted = list(names)
    with ThreadPoolExecutor(_AT_A_TIME) as threads:
        return dict(zip(wanted, threads.map(look, wanted), strict=True))


def about_images(
    rules_by_image: dict[str, list[str]], found: dict[str, Found]
) -> Iterator[Finding]:
    """What is to be said of them. What cannot be looked up here may be there for the platform."""
    for image, rules in rules_by_image.items():
        registry = Image.parse(image).registry
        named = f"The image {image} of {_named(rules)}"
        if found[image].is_missing:
            yield Finding(
                f"{named} is not in its registry, {registry}. Correct its name or tag.", rules[0]
            )
        elif found[image].trouble:
            yield remark(f"{named} could not be looked up: {registry} {found[image].trouble}.")


def _named(rules: Sequence[str]) -> str:
    others = len(rules) - _A_FEW
    what = "rule" if len(rules) == 1 else "rules"
    more = f" and {others} others" if others > 0 else ""
    return f"{what} {', '.join(rules[:_A_FEW])}{more}"
