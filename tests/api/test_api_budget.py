from __future__ import annotations

import math
import threading
import time
from email.utils import formatdate

import pytest

from snakemake_executor_cavatica.api.budget import Rank, RateBudget, shared_budget
from snakemake_executor_cavatica.api.credentials import Token
from snakemake_executor_cavatica.api.stop import Stop


class FakeTime:
    """A monotonic clock that only sleeping moves; the wall clock runs beside it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept = 0.0

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + 1_700_000_000

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 1
        self.now += seconds
        self.slept += seconds

    def budget(self, share: float = 0.05, looking: float = 0.0) -> RateBudget:
        return RateBudget(
            share_for_others=share,
            share_for_looking=looking,
            clock=self.clock,
            wall=self.wall,
            sleep=self.sleep,
        )


@pytest.fixture
def fake() -> FakeTime:
    return FakeTime()


def headers(remaining: int, reset: float, limit: int = 1000) -> dict[str, str]:
    return {
        "x-ratelimit-limit": str(limit),
        "x-ratelimit-remaining": str(remaining),
        "x-ratelimit-reset": str(int(reset)),
    }


def spend(budget: RateBudget, answer: dict[str, str] | None) -> None:
    budget.acquire()
    budget.release(answer)


def test_nothing_known_nothing_waited_for(fake: FakeTime) -> None:
    budget = fake.budget()
    for _ in range(50):
        spend(budget, None)
    assert budget.remaining is None
    assert fake.slept == 0


def test_waits_for_the_reset_when_nearly_exhausted(fake: FakeTime) -> None:
    budget = fake.budget()
    spend(budget, headers(51, fake.wall() + 60))
    spend(budget, headers(50, fake.wall() + 60))
    assert fake.slept == 0
    budget.acquire()  # 50 are the others' five percent
    assert fake.slept == pytest.approx(61)
    budget.release(headers(999, fake.wall() + 300))
    assert budget.remaining == 999
    assert budget.limit == 1000


def test_the_share_is_configurable_and_urgent_calls_may_use_it(fake: FakeTime) -> None:
    budget = fake.budget(share=0.5)
    spend(budget, headers(500, fake.wall() + 60))
    budget.acquire(Rank.URGENT)
    budget.release(headers(499, fake.wall() + 60))
    assert fake.slept == 0
    budget.acquire()
    assert fake.slept > 0
    with pytest.raises(ValueError, match="share_for_others"):
        RateBudget(share_for_others=1.0)


def test_work_leaves_to_looking_what_it_needs_until_the_window_ends(fake: FakeTime) -> None:
    budget = fake.budget(looking=0.2)
    reset = fake.wall() + 299
    spend(budget, headers(251, reset))
    spend(budget, None)
    budget.acquire(Rank.LOOKING)
    budget.release()
    assert fake.slept == 0, "250 are left: 50 for others, 200 for looking"
    fake.now += 150
    for _ in range(95):
        spend(budget, None)
    assert fake.slept < 10, "half of the window is over, and with it half of the reserve"
    assert budget.remaining is not None
    for _ in range(budget.remaining - 50):
        budget.acquire(Rank.LOOKING)
        budget.release()
    assert fake.slept < 10
    budget.acquire()
    assert fake.slept > 120, "work waits for the next window"


def test_how_often_one_may_look(fake: FakeTime) -> None:
    budget = fake.budget(looking=0.2)
    assert budget.pace() == math.inf, "nothing is known to limit it"
    spend(budget, headers(1000, fake.wall() + 299))
    assert budget.pace() == pytest.approx(0.5 * 950 / 300)
    spend(budget, headers(250, fake.wall() + 299))
    assert budget.pace() == pytest.approx(0.2 * 1000 / 300), "at least the share that is kept"
    fake.now += 301
    assert budget.pace() == pytest.approx(0.2 * 1000 / 300), "a new window is no surprise"


def test_no_share_uses_everything(fake: FakeTime) -> None:
    budget = fake.budget(share=0)
    spend(budget, headers(2, fake.wall() + 60))
    spend(budget, None)
    spend(budget, None)
    assert fake.slept == 0
    budget.acquire()
    assert fake.slept > 0


def test_requests_under_way_count(fake: FakeTime) -> None:
    budget = fake.budget()
    for _ in range(3):
        budget.acquire()
    budget.release(headers(100, fake.wall() + 60))
    assert budget.remaining == 98
    budget.release(headers(98, fake.wall() + 60))
    budget.release(headers(99, fake.wall() + 60))  # overtaken
    assert budget.remaining == 98


def test_an_answer_of_the_last_window_is_ignored(fake: FakeTime) -> None:
    budget = fake.budget()
    reset = fake.wall() + 60
    spend(budget, headers(900, reset))
    spend(budget, headers(3, reset - 30))
    assert budget.remaining == 899


def test_exhausted_by_other_tools(fake: FakeTime) -> None:
    budget = fake.budget()
    spend(budget, headers(900, fake.wall() + 10))
    budget.exhausted()
    budget.acquire(Rank.URGENT)
    assert fake.slept == pytest.approx(11)


def test_a_wrong_wall_clock_does_not_matter_if_the_server_tells_the_date(fake: FakeTime) -> None:
    budget = fake.budget()
    server_now = fake.wall() + 86_400
    date = formatdate(server_now, usegmt=True)
    spend(budget, headers(0, server_now + 20) | {"date": date})
    budget.acquire()
    assert 20 <= fake.slept <= 22


@pytest.mark.parametrize("zone", ["", " -0000"])
def test_a_date_without_a_zone_is_not_one_of_this_machines(
    fake: FakeTime, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP knows UTC alone: else waits would take five minutes, or none, by where one lives."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    server_now = 1_600_000_000
    date = formatdate(server_now, usegmt=True).removesuffix(" GMT") + zone
    budget = fake.budget(share=0)
    spend(budget, headers(0, server_now + 20) | {"date": date})
    spend(budget, None)
    monkeypatch.undo()
    time.tzset()
    assert fake.slept == pytest.approx(21, abs=1)


@pytest.mark.parametrize(
    "date", [None, "not a date", "Mon, 01 Jan 2024 00:00:00 +99999999999999999999"]
)
def test_no_wait_is_longer_than_a_window(fake: FakeTime, date: str | None) -> None:
    budget = fake.budget()
    spend(budget, headers(0, fake.wall() + 1e6) | ({"date": date} if date else {}))
    budget.acquire()
    assert fake.slept == pytest.approx(310)


def test_headers_of_no_use(fake: FakeTime) -> None:
    budget = fake.budget()
    spend(budget, {"x-ratelimit-remaining": "many", "x-ratelimit-reset": "1"})
    spend(budget, headers(-1, fake.wall() + 60, limit=-1))
    assert budget.remaining is None


def test_shared_by_endpoint_and_token() -> None:
    one = shared_budget("https://h.example/v2", Token("a"))
    assert shared_budget("https://H.example:443/v2", Token("a")) is one
    assert shared_budget("https://h.example/v2", Token("b")) is not one
    assert shared_budget("https://i.example/v2", Token("a")) is not one


def test_threads_never_overspend(fake: FakeTime) -> None:
    """200 requests of 8 threads against a window of 100: no window is ever overdrawn."""
    lock = threading.Lock()
    window = {"reset": fake.wall() + 30, "left": 100}
    overdrawn = []
    budget = fake.budget(share=0)

    def sleep(seconds: float) -> None:
        with lock:
            fake.now += seconds / 8

    budget = RateBudget(
        share_for_others=0,
        share_for_looking=0,
        clock=fake.clock,
        wall=fake.wall,
        sleep=sleep,
    )

    def serve() -> dict[str, str]:
        with lock:
            if fake.wall() >= window["reset"]:
                window.update(reset=fake.wall() + 30, left=100)
            window["left"] -= 1
            if window["left"] < 0:
                overdrawn.append(window["left"])
            return headers(int(window["left"]), window["reset"], limit=100)

    def work() -> None:
        for _ in range(25):
            budget.acquire()
            budget.release(serve())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overdrawn == []


def test_a_429_has_its_own_reset(fake: FakeTime) -> None:
    """It may belong to another limit than the one that the other answers tell of."""
    budget = fake.budget()
    spend(budget, headers(900, fake.wall() + 290))
    budget.acquire()
    refusal = headers(0, fake.wall() + 5)
    budget.release(refusal)
    budget.exhausted(refusal)
    budget.acquire()
    assert 5 <= fake.slept < 7
    budget.release(headers(899, fake.wall() + 285))
    assert budget.remaining == 899


def test_a_wait_ends_when_it_is_stopped(fake: FakeTime) -> None:
    budget, stopped = fake.budget(), Stop()
    spend(budget, headers(0, fake.wall() + 100))
    stopped.set()
    assert not budget.acquire(stop=stopped)
    assert fake.slept == 0
    assert budget.acquire()  # the one that was stopped does not count
    budget.release()


def test_a_wait_that_somebody_may_wonder_about_is_told_once_a_window(
    fake: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """Protects users from silent minutes in a run that waits for the platform."""
    stops: list[Stop] = []
    budget = RateBudget(clock=fake.clock, wall=fake.wall, sleep=lambda _: stops[-1].set())
    for _ in range(2):
        spend(budget, headers(0, fake.wall() + 200))
        for _ in range(3):
            stops.append(Stop())
            assert not budget.acquire(stop=stops[-1])
        fake.now += 201
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "1,000 requests in 3 min" in caplog.messages[0]
    assert "up to 201 s" in caplog.messages[0]


def test_a_short_wait_is_not_told(fake: FakeTime, caplog: pytest.LogCaptureFixture) -> None:
    budget = fake.budget()
    spend(budget, headers(0, fake.wall() + 5))
    budget.acquire()
    assert fake.slept > 4
    assert not caplog.messages
