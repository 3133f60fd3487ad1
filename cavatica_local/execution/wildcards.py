"""What the wildcards of an output's glob stand for in a simulated task, which makes no files.

Scripts of the plugin's tasks say it in lines `keep NUMBER PATH NAME`: the output at PATH goes to
`out/NUMBER/NAME`. Where a task is one or all of several jobs, the lines stand in the branches of a
`case`, one a job: by the name of an input that only this job has, or in `jobs/JOB/`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

_GLOB = re.compile(r"(jobs/\*/)?out/(\d+)/\.?\*")
_KEEP = re.compile(r"keep(?:_folder)? (\d+) ")
_PACKED_JOBS = re.compile(r"(?m)^jobs=(.+)\nstart\(\) \{")
_BRANCHES = "use_job() { case $1 in"


def output_names(glob: object, inputs: Mapping[str, Any]) -> list[str]:
    """The paths that a glob of the plugin's tasks finds; none for any other glob."""
    match = _GLOB.fullmatch(glob) if isinstance(glob, str) else None
    if match is None:
        return []
    is_pack, number = match[1] is not None, match[2]
    own = set(_file_names(list(inputs.values())))
    return [
        f"jobs/{branch[0]}/out/{number}/{name}" if is_pack else f"out/{number}/{name}"
        for branch, kept, name in _kept(inputs)
        if kept == number and (is_pack or not branch or own.intersection(branch))
    ]


def packed_jobs(inputs: Mapping[str, Any]) -> list[str]:
    """The jobs that a task of the plugin runs all of; none if it is one job."""
    text = "\n".join(value for value in inputs.values() if isinstance(value, str))
    found = _PACKED_JOBS.search(text)
    return shlex.split(found[1])[0].split() if found else []


def _kept(inputs: Mapping[str, Any]) -> Iterator[tuple[list[str], str, str]]:
    """Each output that is kept: the words of its branch (none outside of all), number, name."""
    for text in inputs.values():
        if isinstance(text, str):
            yield from _kept_in(text)


@lru_cache(maxsize=16)  # each of a task's outputs asks for it
def _kept_in(text: str) -> list[tuple[list[str], str, str]]:
    kept = []
    branch: list[str] | None = None
    for line in text.splitlines():
        if found := _KEEP.match(line):
            kept.append((branch or [], found[1], shlex.split(line)[-1]))
        elif line == _BRANCHES:
            branch = []
        elif branch == [] and line.endswith(")"):
            branch = shlex.split(line[:-1].replace("|", " "))
        elif branch and line == ";;":
            branch = []
    return kept


def _file_names(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _file_names(item)
    elif isinstance(value, dict) and "basename" in value:
        yield str(value["basename"])
