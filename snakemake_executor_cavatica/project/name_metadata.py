"""Metadata that files are given when they are sent: the same for all, or read from their names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_WILDCARD = re.compile(r"\{(?P<key>[^{},]+)(?:,(?P<wanted>(?:[^{}]|\{\d+(?:,\d*)?\})+))?\}")


@dataclass(frozen=True)
class NameMetadata:
    """What is said of files by a person."""

    fixed: Mapping[str, str]
    pattern: re.Pattern[str] | None = None
    keys: tuple[str, ...] = ()
    """Of the pattern's groups, in their order."""

    @classmethod
    def parse(cls, fixed: Mapping[str, str], pattern: str | None) -> NameMetadata:
        """`pattern` names keys as Snakemake names wildcards: `{sample_id}_R{paired_end}.fq.gz`.

        Raises:
            ValueError: the pattern cannot be read; with a sentence that says why.
        """
        if pattern is None:
            return cls(fixed)
        keys: list[str] = []
        expression, end = "", 0
        for wildcard in _WILDCARD.finditer(pattern):
            key, wanted = wildcard["key"].strip(), wildcard["wanted"] or "[^/]+"
            if "." in key or "$" in key or key in keys:
                raise ValueError(f"names {key!r} twice, or with '.' or '$', which no key may have")
            expression += f"{re.escape(pattern[end : wildcard.start()])}(?P<k{len(keys)}>{wanted})"
            keys.append(key)
            end = wildcard.end()
        around = _WILDCARD.sub("", pattern)
        if "{" in around or "}" in around:
            raise ValueError("has a brace that belongs to no key")
        if not keys:
            raise ValueError("names no key of metadata, as in '{sample_id}_R{paired_end}.fastq.gz'")
        try:
            return cls(fixed, re.compile(expression + re.escape(pattern[end:])), tuple(keys))
        except re.error as error:
            raise ValueError(f"is no pattern: {error}") from None

    def matches(self, name: str) -> bool:
        """Whether the pattern, if there is one, fits this name of a file."""
        return self.pattern is None or self.pattern.fullmatch(name) is not None

    def of(self, name: str) -> dict[str, str]:
        """The metadata of a file of this name."""
        found = self.pattern.fullmatch(name) if self.pattern else None
        read = {key: found[f"k{number}"] for number, key in enumerate(self.keys)} if found else {}
        return {**self.fixed, **read}


NO_METADATA = NameMetadata({})
