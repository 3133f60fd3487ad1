"""The storage behind signed URLs, to which the bytes of files go and from which they come.

It is told no token, and answers no JSON.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import requests
import tenacity
from urllib3.exceptions import HTTPError

from .answers import Answer
from .endpoint import is_confidential
from .errors import StorageError, TransferError
from .retry import after_failures
from .session import Body, Session
from .stop import Stop

logger = logging.getLogger(__name__)

# Tries for one part after failures that do not pass by themselves. Each has a fresh URL.
_TRIES = 5


class SignedUrls:
    """Sends to the storage and fetches from it; one try each."""

    def __init__(self, session: Session) -> None:
        self._session = session
        # Whether the storage's ETags of parts are their MD5s, as far as uploads have shown.
        self.etags_are_md5 = True

    def tries(self, stop: Stop) -> tenacity.Retrying:
        """The policy for one part: as for calls, but only a few tries if waiting is no cure."""
        return self._session.patience.retrying(
            tenacity.retry_if_exception_type(StorageError),
            stop,
            hopeless=after_failures(_TRIES, lambda error: getattr(error, "lasting", False)),
        )

    def put(self, url: str, data: Body, headers: Mapping[str, str]) -> Answer:
        """PUT one part of an upload; the status is the caller's matter."""
        with self._exchange("PUT", url, data=data, headers=headers) as response:
            found = {key.lower(): value for key, value in response.headers.items()}
            return Answer(response.status_code, found, response.content)

    @contextmanager
    def get(self, url: str, start: int, end: int | None) -> Iterator[requests.Response]:
        """The bytes from `start` up to and without `end`, as a stream."""
        last = "" if end is None else str(end - 1)
        headers = {"Range": f"bytes={start}-{last}", "Accept-Encoding": "identity"}
        with self._exchange("GET", url, headers=headers) as response:
            yield response

    @contextmanager
    def _exchange(
        self, method: str, url: str, *, headers: Mapping[str, str], data: Body | None = None
    ) -> Iterator[requests.Response]:
        """TransferError if the connection fails, also while the caller reads the body."""
        if not is_confidential(url):
            raise TransferError(
                f"the platform gave an unencrypted storage URL, {_bare(url)}, which is not used"
            )
        self._session.check()
        started = time.monotonic()
        try:
            with self._session.exchange(
                method, url, data=data, headers=dict(headers), stream=True
            ) as response:
                yield response
        except (requests.RequestException, HTTPError) as error:
            self._session.check()
            raise StorageError(
                f"{method} {_bare(url)}: the connection failed ({type(error).__name__})"
            ) from None
        except ValueError:  # from `requests`, as it is
            raise StorageError(f"{method} {_bare(url)}: a redirect to what is no URL") from None
        finally:
            logger.debug("%s %s in %.3f s", method, _bare(url), time.monotonic() - started)


def _bare(url: str) -> str:
    """Scheme, host and path of a signed URL."""
    return url.partition("?")[0]
