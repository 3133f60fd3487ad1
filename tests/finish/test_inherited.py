"""What inputs agree on."""

from __future__ import annotations

from typing import Any

import pytest

from snakemake_executor_cavatica.finish.inherited import agreed

A = {"sample_id": "A", "case_id": "C"}


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ([], {}),
        ([{}], {}),
        ([A], A),
        ([{**A, "paired_end": "1"}, {**A, "paired_end": "2"}], A),
        ([A, {}], A),
        ([A, {"snakemake_md5": "0"}], A),
        ([A, {"case_id": "C"}], {"case_id": "C"}),
        ([A, {"sample_id": "B", "case_id": "D"}], {}),
        ([A, {"sample_id": "a"}], {}),
        ([{"sample_id": None, "n": 5, "": ""}], {}),
        ([{"snakemake_mtime": "1.0", "x": "é\n'$(ls)"}], {"x": "é\n'$(ls)"}),
    ],
)
def test_agreed(inputs: list[dict[str, Any]], expected: dict[str, str]) -> None:
    assert agreed(inputs) == expected
