"""Which revision of its app a job runs, also where a platform does not take all that is in it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, cast

import pytest
from translated_jobs import local, plan

from snakemake_executor_cavatica.api import BadRequest, CavaticaError, Client, NotFound, Stop
from snakemake_executor_cavatica.launch.submit import Apps, RefusedApp
from snakemake_executor_cavatica.translate.measured import MEASURED

JOB = plan("true", outputs=[local("o")])
OTHER = plan("true", rule="other")
BARE = replace(JOB, measured=False)


class Store:
    """A client that keeps apps, and refuses those that have a word in them."""

    def __init__(self, refused: str = "", *, is_stored: bool = True) -> None:
        """`is_stored`: a document that is refused becomes a revision with errors."""
        self.apps: dict[str, list[dict[str, Any]]] = {}
        self.stop = Stop()
        self.refused = refused
        self.is_stored = is_stored
        self.calls = 0

    def get_app_raw(self, app: str) -> dict[str, Any]:
        if app not in self.apps:
            raise NotFound("no", status=404)
        revisions = self.apps[app]
        infos = [
            {"sbg:revision": number, "sbg:revisionNotes": one["sbg:revisionNotes"]}
            for number, one in enumerate(revisions)
        ]
        return {**revisions[-1], "sbg:latestRevision": len(infos) - 1, "sbg:revisionsInfo": infos}

    def install_app(self, app: str, document: dict[str, Any]) -> dict[str, Any]:
        return self.revise_app(app, 0, document)

    def revise_app(self, app: str, revision: int, document: dict[str, Any]) -> dict[str, Any]:
        self.calls += 1
        assert revision == len(self.apps.get(app, []))
        is_refused = bool(self.refused) and self.refused in json.dumps(document)
        if is_refused and not self.is_stored:
            raise BadRequest("no such outputs", status=400)
        errors = ["no such outputs"] if is_refused else []
        stored = {**document, "sbg:revision": revision, "sbg:validationErrors": errors}
        self.apps.setdefault(app, []).append(stored)
        return stored


def apps(store: Store) -> Apps:
    return Apps(cast(Client, store), "o/p")


def test_a_rule_has_one_revision_with_and_one_without_measuring_however_often_it_changes() -> None:
    store = Store()
    found = [
        apps(store).ensure(job, packed=packed)
        for packed in (False, True)
        for job in (BARE, JOB, BARE, JOB, BARE)
    ]
    assert [app.rpartition("/")[2] for app in found] == [*"01010", *"23232"]
    assert store.calls == 4


@pytest.mark.parametrize("is_stored", [True, False])
def test_where_the_platform_refuses_to_hand_back_text_jobs_run_without(is_stored: bool) -> None:
    """And what was refused once is tried no more, neither by this run nor by later ones."""
    store = Store(MEASURED, is_stored=is_stored)
    first = apps(store)
    app = first.ensure(JOB)
    assert app.endswith("/1" if is_stored else "/0")
    assert MEASURED not in json.dumps(store.apps["o/p/snakemake-align"][-1])
    assert store.calls == 2
    assert first.ensure(OTHER).endswith("/0")
    assert store.calls == 3
    for _ in range(2):
        later = apps(store)
        assert later.ensure(JOB) == later.ensure(BARE) == app
        assert later.ensure(OTHER).endswith("/0")
    assert store.calls == 3


@pytest.mark.parametrize("is_stored", [True, False])
def test_what_is_refused_for_another_reason_is_told(is_stored: bool) -> None:
    store = Store("align", is_stored=is_stored)
    found = apps(store)
    for job in (JOB, BARE):
        with pytest.raises(RefusedApp if is_stored else BadRequest, match="no such outputs"):
            found.ensure(job)
    assert MEASURED in json.dumps(store.get_app_raw(found.ensure(OTHER).rpartition("/")[0]))


def test_a_platform_that_does_not_answer_is_not_taken_for_one_that_refuses() -> None:
    class Broken(Store):
        def revise_app(self, app: str, revision: int, document: dict[str, Any]) -> dict[str, Any]:
            self.calls += 1
            raise CavaticaError("no")

    store = Broken()
    with pytest.raises(CavaticaError, match="no"):
        apps(store).ensure(JOB)
    assert store.calls == 1
