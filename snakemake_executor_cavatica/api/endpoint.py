"""Which addresses a token may be sent to, and which host has the pages of a platform."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from .errors import ConfigurationError

CAVATICA = "https://cavatica-api.sbgenomics.com/v2"

_PAGES = {
    "api.sbgenomics.com": "igor.sbgenomics.com",
    "eu-api.sbgenomics.com": "eu.sbgenomics.com",
    "cavatica-api.sbgenomics.com": "cavatica.sbgenomics.com",
    "cgc-api.sbgenomics.com": "cgc.sbgenomics.com",
    "api.sb.biodatacatalyst.nhlbi.nih.gov": "platform.sb.biodatacatalyst.nhlbi.nih.gov",
}
"""Host of the API to host of the web pages (public addresses of the deployments)."""


def host_of_pages(endpoint: str) -> str | None:
    """The host of a platform's web pages, as far as it is known."""
    return _PAGES.get(urlsplit(endpoint).hostname or "")


def check_endpoint(endpoint: str) -> str:
    """`endpoint` without a trailing slash; ConfigurationError if a token may not be sent there.

    Plain http is for this very machine only, since the token would travel readably.
    """
    endpoint = endpoint.strip().rstrip("/")
    parts = _split(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(
            f"the API endpoint '{shown_url(endpoint)}' is not a URL; give one such as {CAVATICA}"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise ConfigurationError(
            f"the API endpoint '{shown_url(endpoint)}' may hold neither a user name nor a query; "
            f"give one such as {CAVATICA}"
        )
    if not is_confidential(endpoint):
        raise ConfigurationError(
            f"the API endpoint '{endpoint}' would send the token unencrypted; use https"
        )
    return endpoint


def is_confidential(url: str) -> bool:
    """Whether nobody on the way can read a request to `url`: https, or this very machine."""
    return _split(url).scheme == "https" or is_on_loopback(url)


def is_on_loopback(url: str) -> bool:
    """Whether a request to `url` stays on this very machine."""
    return _is_loopback(_split(url).hostname or "")


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of `url`: where a request for it goes."""
    parts = _split(url)
    default = 443 if parts.scheme == "https" else 80
    return parts.scheme, (parts.hostname or "").lower(), parts.port or default


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is not a number
    except ValueError:
        raise ConfigurationError(
            f"'{shown_url(url)}' is not a URL; give one such as {CAVATICA}"
        ) from None
    return parts


def shown_url(url: str) -> str:
    """`url` without what might be a secret in it."""
    return url.rpartition("@")[2].partition("?")[0]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
