"""What stands for the content of a file on the platform, which tells no checksum."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from snakemake_executor_cavatica.api import File
from snakemake_executor_cavatica.api.checksums import CHECKSUM_KEY
from snakemake_executor_cavatica.project.content import content_of, entry_of, label_note

MADE, SOON, LATER = "2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z", "2026-01-02T00:00:00Z"
LATEST = "2026-01-03T00:00:00Z"


def content(**changes: Any) -> str:
    values = {"id": "f", "type": "file", "size": 3, "created_on": MADE, "modified_on": MADE}
    return content_of(entry_of("a.txt", File(**(values | changes)), 0.0))


@pytest.mark.parametrize("changes", [{"id": "g"}, {"size": 4}, {"modified_on": LATER}], ids=str)
def test_a_file_may_have_been_overwritten_under_the_same_id(changes: dict[str, Any]) -> None:
    assert content(**changes) != content()


def test_what_is_not_told_is_not_known() -> None:
    assert content(modified_on=None) == content(type="folder") == ""


def test_a_checksum_tells_copies_from_one_another_while_nothing_was_changed_since() -> None:
    noted = {"metadata": {CHECKSUM_KEY: "a" * 32}, "modified_on": SOON}
    assert content(**noted) == content(id="g", **noted)
    assert content(**noted) != content(size=4, **noted)
    late = {**noted, "modified_on": LATER}
    assert content(**late) != content(id="g", **late)


def test_the_run_itself_labels_and_moves_what_its_tasks_have_made() -> None:
    """That is no change of the content; to the upload of a person it might be."""
    output = {"origin": {"task": "t"}}
    labelled = {"metadata": {"batch": "7"}, "modified_on": SOON}
    assert content(**output) == content(**output, **labelled)
    assert content(**output) != content(**output, modified_on=SOON)
    assert content(**output) != content(**output, **{**labelled, "modified_on": LATER})
    assert content() != content(**labelled)


def test_a_label_of_a_batch_is_no_change_either() -> None:
    """But whatever comes after it is."""
    before, labelled = (datetime.fromisoformat(one) for one in (SOON, LATER))
    note = {"metadata": label_note(before, labelled), "modified_on": LATER}
    assert content(**note) == content(modified_on=SOON) != content(modified_on=LATER)
    assert content(**{**note, "modified_on": LATEST}) == content(modified_on=LATEST)
    twice = label_note(before, datetime.fromisoformat(LATEST))
    assert content(metadata=twice, modified_on=LATEST) == content(modified_on=SOON)
    for wrong in ("", "x", f"{SOON} x", "x y"):
        assert content(metadata={"snakemake_unlabelled": wrong}) == content()


def test_a_checksum_counts_also_of_what_was_labelled() -> None:
    noted: dict[str, Any] = {"metadata": {CHECKSUM_KEY: "a" * 32}, "modified_on": SOON}
    note = label_note(*(datetime.fromisoformat(one) for one in (SOON, LATER)))
    assert content(metadata={**noted["metadata"], **note}, modified_on=LATER) == content(**noted)
