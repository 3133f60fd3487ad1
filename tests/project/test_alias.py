"""Files that are named by an id, or as DRS objects."""

from __future__ import annotations

import pytest

from snakemake_executor_cavatica.in_task.storage_stand_in import local_suffix
from snakemake_executor_cavatica.project.alias import alias_of

ID = "5f9a1c2e7b3d4e0012345678"


@pytest.mark.parametrize(
    ("query", "uri", "name", "local"),
    [
        ("drs://host/id", "drs://host/id", "", "host/id"),
        (
            "drs://host:443/a/b%2Fc#x.bam",
            "drs://host:443/a/b%2Fc",
            "x.bam",
            "host:443/a/b%2Fc/x.bam",
        ),
        ("drs://dg.4DFC:1a2b", "drs://dg.4DFC:1a2b", "", "dg.4DFC:1a2b"),
        ("drs://host/é'\"$(x)#{s}.bam", "drs://host/é'\"$(x)", "{s}.bam", "host/é'\"$(x)/{s}.bam"),
    ],
)
def test_drs(query: str, uri: str, name: str, local: str) -> None:
    alias = alias_of(query)
    assert alias is not None
    assert (alias.uri, alias.name, alias.file_id) == (uri, name, None)
    assert local_suffix(query) == local
    assert "/" not in alias.stored_name
    assert alias.stored_name.endswith(name or uri.removeprefix("drs://").split("/")[-1])


@pytest.mark.parametrize(
    "query",
    ["drs://", "drs://a b", "drs://host/id#", "drs://host/id#a/b", "drs://h/i#a#b", "drs://h\n"],
)
def test_what_is_no_drs_uri(query: str) -> None:
    with pytest.raises(ValueError, match="a DRS object is written"):
        alias_of(query)


@pytest.mark.parametrize(
    ("query", "name"),
    [(f"cavatica://id/{ID}", ""), (f"cavatica://id/{ID}/x y.bam", "x y.bam")],
)
def test_by_id(query: str, name: str) -> None:
    alias = alias_of(query)
    assert alias is not None
    assert (alias.file_id, alias.name, alias.uri) == (ID, name, None)


@pytest.mark.parametrize(
    "query", ["cavatica://id/project/x", f"cavatica://id/{ID}/a/b", f"cavatica://o/{ID}", "s3://x"]
)
def test_places(query: str) -> None:
    assert alias_of(query) is None


def test_names_that_are_too_long_for_a_file() -> None:
    alias = alias_of("drs://host/" + "x" * 300)
    assert alias is not None
    assert len(alias.stored_name) == 16
