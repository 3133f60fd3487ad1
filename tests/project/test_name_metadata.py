"""Metadata by the names of files."""

from __future__ import annotations

import pytest

from snakemake_executor_cavatica.project.name_metadata import NO_METADATA, NameMetadata


@pytest.mark.parametrize(
    ("pattern", "name", "said"),
    [
        ("{sample_id}_R{paired_end}.fq", "A_R1.fq", {"sample_id": "A", "paired_end": "1"}),
        ("{sample_id}_R{paired_end}.fq", "A_R_R2.fq", {"sample_id": "A_R", "paired_end": "2"}),
        ("{s}.f(q)+", "a.f(q)+", {"s": "a"}),
        ("{s,[AB]{2}}{rest}", "ABC", {"s": "AB", "rest": "C"}),
        ("{s}_R{paired_end}.fq", "A_R1.fq.gz", {}),
        ("{s}_R{paired_end}.fq", "_R1.fq", {}),
        ("{case id}.fq", "x.fq", {"case id": "x"}),
    ],
)
def test_a_pattern_reads_names_as_snakemake_does(
    pattern: str, name: str, said: dict[str, str]
) -> None:
    metadata = NameMetadata.parse({}, pattern)
    assert metadata.of(name) == said
    assert metadata.matches(name) == bool(said)


def test_what_a_name_says_beats_what_is_said_of_all() -> None:
    metadata = NameMetadata.parse({"strategy": "WGS", "s": "all"}, "{s}.fq")
    assert metadata.of("a.fq") == {"strategy": "WGS", "s": "a"}
    assert metadata.of("a.txt") == {"strategy": "WGS", "s": "all"}
    assert NO_METADATA.of("a.fq") == {}
    assert NO_METADATA.matches("a.fq")


@pytest.mark.parametrize("pattern", ["", "a.fq", "{}.fq", "{a}{a}", "{a.b}", "{a,[}"])
def test_a_pattern_that_cannot_be_meant_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        NameMetadata.parse({}, pattern)
