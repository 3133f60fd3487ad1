"""A run that takes another one up, whose machine wakes up at that very moment."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from snakemake_executor_cavatica.api import (
    ApiError,
    CavaticaError,
    Client,
    ConfigurationError,
    Conflict,
    Forbidden,
    NotFound,
)
from snakemake_executor_cavatica.run import journal as journal_module
from snakemake_executor_cavatica.run import own_journal
from snakemake_executor_cavatica.run.journal import Journal, Record, State
from snakemake_executor_cavatica.run.journals import Journals
from snakemake_executor_cavatica.run.own_journal import OwnJournal

ASLEEP = Record(
    run="asleep",
    files=("journal",),
    scope="cavatica://owner/project/wf",
    host="host",
    process="1",
    began=datetime(2026, 1, 1, tzinfo=UTC),
    seen="2026-01-01T00:00:00+00:00",
    state=State.RUNNING,
    successor="",
    reported=frozenset(),
)


class Platform:
    """Merges metadata, as the platform does; the other run's machine may have woken up."""

    has_no_rate_limit = True

    def __init__(self, seen: str) -> None:
        self.metadata = {"snakemake_seen": seen}
        self.client = self.watcher = self

    def update_metadata(self, file: str, metadata: dict[str, str]) -> dict[str, str]:
        assert file == "journal"
        self.metadata |= metadata
        return self.metadata

    def index(self, _project: str) -> Platform:
        return self

    def ensure_folder(self, _path: str) -> str:
        return "home"

    def newcomers(self, *_: object) -> list[Record]:
        return []

    def gives_signs(self, _record: Record) -> bool:
        return False


class Quiet(Journal):
    """One that is not stored, and notes that it was removed."""

    removed = False

    def open(self, *_: object) -> None:
        """Nothing is sent."""

    def close(self, state: State | None) -> None:
        Quiet.removed = state is None


@pytest.mark.parametrize("wakes", [False, True])
def test_a_run_that_gives_a_sign_of_life_meanwhile_is_not_taken_up(
    monkeypatch: pytest.MonkeyPatch, wakes: bool
) -> None:
    """Else both would think that the tasks are theirs, until the other one's next sign of life."""
    monkeypatch.setattr(own_journal, "Journal", Quiet)
    platform = Platform("2026-01-01T00:05:00+00:00" if wakes else ASLEEP.seen)
    some = cast(Any, platform)
    own = OwnJournal(some, some, "new", some, print)
    some.project, some.path = "owner/project", "home"
    if not wakes:
        own.open(ASLEEP.scope, [ASLEEP], lock=True, outdated=lambda: None)
        assert platform.metadata["snakemake_heir"] == "new"
        return
    both = [ASLEEP, replace(ASLEEP, run="other")]
    with pytest.raises(ConfigurationError, match="asleep"):
        own.open(ASLEEP.scope, both, lock=True, outdated=lambda: None)
    assert not platform.metadata["snakemake_heir"], "it goes on"
    assert Quiet.removed


@pytest.mark.parametrize("error", [NotFound("it is gone"), Forbidden("no permission", status=403)])
def test_a_run_that_could_not_take_another_one_up_leaves_no_journal(
    monkeypatch: pytest.MonkeyPatch, error: ApiError
) -> None:
    """Protects from a journal, and a thread, for each job; and tells why the journal is gone."""
    monkeypatch.setattr(own_journal, "Journal", Quiet)
    Quiet.removed = False
    platform = Platform(ASLEEP.seen)
    some = cast(Any, platform)
    own = OwnJournal(some, some, "new", some, print)
    some.project, some.path = "owner/project", "home"

    def fail(*_: object) -> dict[str, str]:
        raise error

    monkeypatch.setattr(platform, "update_metadata", fail)
    told = "worked on the same files" if isinstance(error, NotFound) else "no permission"
    with pytest.raises(CavaticaError, match=told):
        own.open(ASLEEP.scope, [ASLEEP], lock=True, outdated=lambda: None)
    assert Quiet.removed
    assert not own.is_open
    assert own.is_written() is not isinstance(error, NotFound), "a refused run deletes nothing"


def test_whether_an_heir_is_told_of_a_sign_of_life() -> None:
    for seen, is_over in ((ASLEEP.seen, True), ("later", False), ("", True)):
        client = cast(Client, Platform(seen))
        journal = Journal(client, None, "new", on_successor=print)
        assert journal.inherit(client, ASLEEP) is is_over


class Sleepy(Platform):
    """One whose answer may find the machine asleep, and whose journals another run may remove."""

    transport = SimpleNamespace(clock=SimpleNamespace(now=lambda: datetime.now(UTC)))
    seconds = 1000.0
    sleeps_for = 0.0
    is_removed = False

    def update_metadata(self, file: str, metadata: dict[str, str]) -> dict[str, str]:
        if self.is_removed:
            raise NotFound("gone")
        self.seconds += self.sleeps_for
        return super().update_metadata(file, metadata)


class Stored(Journal):
    def _add_page(self, client: Client) -> None:
        self._pages.append("journal")


def test_a_sign_of_life_whose_answer_found_the_machine_asleep_is_an_old_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run that did all meanwhile has removed the journal: it is not gone by chance."""
    platform, successors = Sleepy(""), []

    class Moment:
        def __init__(self, *_: float) -> None:
            self.at = platform.seconds

        @property
        def longest(self) -> float:
            return platform.seconds - self.at

    monkeypatch.setattr(journal_module, "Moment", Moment)
    client = cast(Client, platform)
    journal = Stored(client, None, "run", on_successor=successors.append)
    journal.open(client, ASLEEP.scope, 60)
    assert not journal.is_silent
    platform.sleeps_for = 1000
    assert journal.write()
    assert journal.is_silent
    platform.is_removed = True
    journal.confirm(client)
    assert successors == [journal_module.UNKNOWN]


def test_runs_on_files_with_a_long_name_know_of_each_other() -> None:
    """A value of metadata is shorter."""
    scope = f"cavatica://owner/project/{'long/' * 100}"
    platform = Sleepy("")
    some = cast(Any, platform)
    journal = Stored(some, None, "run", on_successor=print)
    journal.open(some, scope, 60)
    journal.close(State.ENDED)
    found = Journals(some, some, some)
    found._records = [replace(ASLEEP, scope=platform.metadata["snakemake_scope"])]
    assert found.in_scope(scope)
    assert not found.in_scope(f"{scope}other")


def test_a_journal_that_something_else_keeps_out_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects users from `unexpected StopIteration` where an upload of its name blocks it."""

    def blocked(*_: object, **__: object) -> None:
        raise Conflict("an upload of that name is under way")

    monkeypatch.setattr(journal_module, "upload", blocked)
    client = SimpleNamespace(list_files=lambda **_: iter(()))
    own = Journal(cast(Client, client), None, "run", on_successor=print)
    with pytest.raises(Conflict, match="is under way"):
        own._add_page(cast(Client, client))
