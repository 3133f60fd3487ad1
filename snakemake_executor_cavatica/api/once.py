"""Do it once, even if the answer gets lost.

Some requests must not be sent twice: they make or start something. Where no answer comes, or one
that makes no sense, they may have taken effect all the same. So one looks before asking again.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

import tenacity

from .errors import (
    ApiError,
    Maintenance,
    NoAnswer,
    ServerError,
    UnexpectedAnswer,
)
from .retry import Done, tried
from .stop import Stop

_TRIES = 5
A_MOMENT = 0.5
"""Seconds: gateways that do not hand on a request mostly do so a little later."""


def may_have_worked(error: BaseException) -> bool:
    """Whether a request that ended like this may have taken effect."""
    if isinstance(error, NoAnswer):
        return error.sent
    if isinstance(error, ServerError):
        return not isinstance(error, Maintenance) and error.status != HTTPStatus.NOT_IMPLEMENTED
    return isinstance(error, UnexpectedAnswer)


def some_tries(stop: Stop, pause: float = 0.0) -> tenacity.Retrying:
    """The usual policy for `once`; `pause` (seconds) is what the platform gets to work it off.

    Each is longer than the last by as much.
    """
    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=tenacity.wait_incrementing(start=pause, increment=pause),
        sleep=tenacity.sleep_using_event(stop),
        reraise=True,
    )


def once(
    act: Callable[[], Done],
    policy: tenacity.Retrying,
    *,
    look: Callable[[], Done | None] = lambda: None,
    refused: Callable[[ApiError], Done | None] = lambda _: None,
    unclear: Callable[[BaseException], bool] = may_have_worked,
) -> Done:
    """What `act` gives, done once; after an `unclear` answer, `look` tells what came of it.

    Args:
        policy: how often and for how long to try.
        look: what was done; None if nothing was, so that it can be asked for again.
        refused: what was done if it was refused after a lost answer, maybe because it is done
            already; None if it was really refused.

    Raises:
        ApiError: it was refused, or it was not done in all the tries.
    """
    lost: BaseException | None = None

    def attempt() -> Done:
        nonlocal lost
        before, lost = lost, None
        if before is not None and (done := look()) is not None:
            return done
        try:
            try:
                return act()
            except ApiError as error:
                if unclear(error) or before is None or (done := refused(error)) is None:
                    raise
                return done
        except ApiError as error:
            lost = error if unclear(error) else None
            raise

    try:
        # Not after a failure to look: that has been tried for long enough.
        is_lost = tenacity.retry_if_exception(lambda error: error is lost)
        return tried(attempt, lambda: policy.copy(retry=is_lost))
    except ApiError as error:
        if error is not lost or (done := look()) is None:
            raise
        return done
