"""What time it is on the platform."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

import pytest
from loopback import Reply, Server

from snakemake_executor_cavatica.api.client import Client
from snakemake_executor_cavatica.api.clock import Moment, PlatformClock

SECOND = timedelta(seconds=2)


@pytest.mark.parametrize("hours", [-3, 0, 30])
def test_the_platform_tells_the_time(hours: int) -> None:
    """Protects a run that goes on from being taken for dead by a machine whose clock is wrong."""
    theirs = datetime.now(UTC) + timedelta(hours=hours)
    clock = PlatformClock()
    clock.note(format_datetime(theirs, usegmt=True), datetime.now(UTC))
    assert abs(clock.now() - theirs) < SECOND


def test_answers_tell_it(server: Server, client: Client) -> None:
    noted: list[str | None] = []
    client.transport.clock.note = lambda date, _: noted.append(date)  # type: ignore[method-assign]
    server.on("GET", "/v2/files/f", Reply(200, {"id": "f", "name": "me"}))
    client.get_file("f")
    [date] = noted
    assert date is not None
    assert abs(parsedate_to_datetime(date) - datetime.now(UTC)) < SECOND


@pytest.mark.parametrize(
    "date", [None, "", "yesterday", "Mon, 01 Jan 9999 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00"]
)
def test_what_tells_no_time_leaves_it_as_it_is(date: str | None) -> None:
    clock = PlatformClock()
    clock.note(date, datetime.now(UTC))
    assert abs(clock.now() - datetime.now(UTC)) < SECOND


@pytest.mark.parametrize("minutes", [-10, 10])
def test_an_answer_that_found_the_machine_asleep_tells_no_time(minutes: int) -> None:
    """Else its next sign of life would be an old one, and others would take its run for dead."""
    asked = datetime.now(UTC) - timedelta(minutes=minutes)
    clock = PlatformClock()
    clock.note(format_datetime(asked, usegmt=True), asked)
    assert abs(clock.now() - datetime.now(UTC)) < SECOND


def test_how_long_ago_a_moment_is_where_the_clock_was_set_meanwhile() -> None:
    """The one span may be too long, for whoever asks if others have acted; the other is told."""
    moment = replace(Moment(), wall=time.time() + 3600)
    assert moment.longest > 3599
    assert 0 <= moment.seconds < 60
