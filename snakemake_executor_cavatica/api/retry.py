"""When a call is sent again, and for how long."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

import tenacity

from .call import Call
from .errors import (
    ApiError,
    Conflict,
    Maintenance,
    NoAnswer,
    RateLimited,
    ServerError,
    UnexpectedAnswer,
)
from .stop import Stop

Done = TypeVar("Done")

logger = logging.getLogger(__name__)

# Tries of a safe call whose answer makes no sense: as from a captive portal, or cut short.
_SENSELESS_TRIES = 6

# Documented as "part reservation failed, try again".
_PART_RESERVATION_FAILED = 8008


@dataclass(frozen=True)
class Patience:
    """How long to wait and to go on trying, in seconds.

    `total` bounds one call with all its repetitions: no new try starts after it. It spans three
    windows of the rate limit, since a call may have to sit one out.
    """

    total: float = 900.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    connect: float = 10.0
    read: float = 120.0

    def retrying(
        self,
        retry: Callable[[tenacity.RetryCallState], bool],
        stop: Stop,
        *,
        hopeless: Callable[[tenacity.RetryCallState], bool] = lambda _: False,
    ) -> tenacity.Retrying:
        """Tenacity's policy: exponential back-off with full jitter until `total` is over.

        Or until `stop` is set, which also ends a wait, or a failure is `hopeless`.
        """
        over = tenacity.stop_any(
            tenacity.stop_before_delay(self.total), tenacity.stop_when_event_set(stop)
        )
        return tenacity.Retrying(
            retry=retry,
            sleep=tenacity.sleep_using_event(stop),
            wait=tenacity.wait_random_exponential(
                multiplier=self.first_wait, max=self.longest_wait
            ),
            stop=lambda state: over(state) or hopeless(state),
            before_sleep=_log_retry,
            reraise=True,
        )


def tried(act: Callable[[], Done], policy: Callable[[], tenacity.Retrying]) -> Done:
    """What `act` gives, by a policy that is only asked for once the first try has failed.

    Most do not fail, and tenacity takes longer to begin than the rest of a call's preparation.
    """
    try:
        return act()
    except ApiError as error:
        failed = [error]

    def attempt() -> Done:
        if failed:
            raise failed.pop()
        return act()

    return policy()(attempt)


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    said = error.message if isinstance(error, NoAnswer) else error
    logger.info("trying again in %.1f s: %s", state.upcoming_sleep, said)


def may_repeat(call: Call, error: BaseException) -> bool:
    """Whether sending `call` again after `error` can help and cannot do a thing twice."""
    if isinstance(error, RateLimited | Maintenance):
        return True
    if isinstance(error, NoAnswer):
        return call.safe or not error.sent
    if isinstance(error, Conflict):
        return error.code == _PART_RESERVATION_FAILED
    if isinstance(error, ServerError):
        return call.safe and error.status != HTTPStatus.NOT_IMPLEMENTED
    if isinstance(error, UnexpectedAnswer):
        return call.safe and error.status in (HTTPStatus.OK, HTTPStatus.NOT_FOUND)
    return call.safe and isinstance(error, ApiError) and error.status == HTTPStatus.REQUEST_TIMEOUT


def after_failures(
    number: int, is_one: Callable[[BaseException], bool]
) -> Callable[[tenacity.RetryCallState], bool]:
    """For tenacity's stop, good for one call: so many failures of a kind are enough.

    Others in between do not count: they have a patience of their own.
    """
    failures = 0

    def stop(state: tenacity.RetryCallState) -> bool:
        nonlocal failures
        error = state.outcome.exception() if state.outcome else None
        failures += error is not None and is_one(error)
        return failures >= number

    return stop


def after_senseless_answers() -> Callable[[tenacity.RetryCallState], bool]:
    """For tenacity's stop: there is no use in more answers that are no JSON."""
    return after_failures(_SENSELESS_TRIES, lambda error: isinstance(error, UnexpectedAnswer))
