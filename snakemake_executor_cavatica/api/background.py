"""What only background jobs can do: copy, move and delete whole folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import tenacity

from .calls import AsyncKind
from .client import Client
from .errors import ApiError, TransferError, UnexpectedAnswer
from .models import AsyncJob
from .once import A_MOMENT, Done, may_have_worked, once, some_tries

_FIRST_WAIT, _LONGEST_WAIT, _LONGEST = 0.5, 10.0, 3600.0
"""Seconds between two looks, and of all of them."""


def run_async(
    client: Client,
    kind: AsyncKind,
    items: Sequence[Mapping[str, str]],
    *,
    timeout: float = _LONGEST,
    first_wait: float = _FIRST_WAIT,
) -> AsyncJob:
    """Start a background job and wait (seconds) for its end.

    Items that failed stand in the job's `result`. TransferError if it takes too long; the job goes
    on nevertheless.
    """
    job_id = client.start_async(kind, items).id
    return ended(
        client,
        lambda: client.async_job(kind, job_id),
        f"{kind} job {job_id}",
        "look at the files before starting another",
        timeout=timeout,
        first_wait=first_wait,
    )


def ended(
    client: Client,
    look: Callable[[], AsyncJob],
    what: str,
    advice: str,
    *,
    timeout: float = _LONGEST,
    first_wait: float = _FIRST_WAIT,
) -> AsyncJob:
    """The background job that `look` gives, once it has ended; it is asked less and less often.

    Raises:
        TransferError: it takes too long (seconds), and goes on nevertheless.
    """
    looking = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda job: not job.is_finished),
        wait=tenacity.wait_exponential(multiplier=first_wait, max=_LONGEST_WAIT),
        stop=tenacity.stop_after_delay(timeout),
        sleep=tenacity.sleep_using_event(client.stop),
    )
    try:
        return looking(look)
    except tenacity.RetryError:
        raise TransferError(
            f"the {what} has not finished after {timeout:.0f} s; it goes on, so {advice}"
        ) from None


class _NotTold(UnexpectedAnswer):
    """A background job has ended, which does not mean that it has done what it was asked for."""


def run_async_once(
    client: Client,
    kind: AsyncKind,
    item: Mapping[str, str],
    *,
    look: Callable[[], Done | None],
    failure: str,
) -> Done:
    """Have one file or folder moved or deleted, once.

    Args:
        look: what came of it; None if nothing did.

    Raises:
        TransferError: it is not done; the message begins with `failure`.
    """

    def ask() -> NoReturn:
        raise _NotTold(str(run_async(client, kind, [item]).result))

    try:
        return once(ask, some_tries(client.stop, A_MOMENT), look=look)
    except ApiError as error:
        if not may_have_worked(error):
            raise
        raise TransferError(f"{failure}: {error}") from error
