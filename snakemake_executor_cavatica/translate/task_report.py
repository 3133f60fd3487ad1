"""What the job script has written to stderr, read back: its counterpart in the main process."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from mmap import mmap
from typing import NamedTuple

from ..in_task.names import TAG
from .measured import NOTHING, Measured, read_measured


@dataclass
class JobReport:
    """What the script wrote to stderr. Indices are those of `JobPlan.outputs`."""

    exit_status: int | None = None
    error: str | None = None
    missing: list[int] = field(default_factory=list)
    folders: list[int] = field(default_factory=list)
    """Folders in the place of files."""
    plain_files: list[int] = field(default_factory=list)
    """Files in the place of folders."""
    empty: list[int] = field(default_factory=list)
    wrong_checksum: list[int] = field(default_factory=list)
    undeclared: list[str] = field(default_factory=list)
    """Files that the job made and that are no outputs; of a job that failed, the latter too."""
    logs: dict[int, str] = field(default_factory=dict)
    stderr: str = ""
    """Everything else, in order."""
    started: bool = False
    """Whether the script ran at all: then its image was there, too."""
    measured: Measured = NOTHING
    member: int | None = None
    """Of a group, the job that all this is about: it ran, or was told of, last."""
    failed_too: list[int] = field(default_factory=list)
    """Others of the group that failed at the same moment."""
    begins: int = 0
    """Where in the task's stderr what is about that job begins."""


class Stretch(NamedTuple):
    """A stretch of a task's stderr, in bytes: of the log with this number, or of other text."""

    log: int | None
    start: int
    end: int


_TAG = TAG.encode()
_LONGEST_NOTE = 8192
"""Bytes of a line of the script, from its tag on: more than the longest path."""
_MOST_READ = 1000
"""Names of undeclared files: a pack has those of many jobs, and a command may write anything."""
_NUMBER = re.compile(r"[0-9]{1,9}")
_END_OF_LOG = re.compile(rb"(?m)^" + re.escape(_TAG) + rb" end-log ([0-9]{1,9})\r*$")


def section_of(stderr: bytes | mmap, jobid: str) -> tuple[int, int] | None:
    """Where in the stderr of a pack a job's own begins and ends; None if it is not there."""
    head, tail = (f"{TAG} {word} {jobid}\n".encode() for word in ("job", "end-job"))
    start = stderr.find(head)
    end = stderr.find(b"\n" + tail, start + len(head) - 1)
    if start < 0 or end < 0:
        return None
    return start + len(head), max(start + len(head), end)


def stretches(stderr: bytes | mmap, report: JobReport) -> Iterator[Stretch]:
    """Take a task's stderr apart: notes go to the report, all else comes as stretches in order.

    In time that grows with the length of the text, whatever is in it, and without a copy of it:
    who runs a command that writes gigabytes still wants to know why it failed.
    """
    ends: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for match in _END_OF_LOG.finditer(stderr):
        ends[match[1].decode()].append(match.span())
    position = search = 0
    while (at := stderr.find(_TAG, search)) >= 0:
        search = at + 1
        note = _note_at(stderr, at)
        if note is None:
            continue
        word, value, end = note
        closing = _first_after(ends.get(value, []), end) if word == "log" else None
        if closing is None and not _note(report, word, value, end):
            continue
        # A command may end without a newline: the script's line then starts in the middle of the
        # last one, and its newline stands for that one's.
        begun = at > position and stderr[at - 1 : at] != b"\n"
        if at > position:
            yield Stretch(None, position, at)
        if closing is not None:
            yield _log(stderr, int(value), end + 1, closing[0])
            end = closing[1]
        position = search = min(end if begun else end + 1, len(stderr))
    if position < len(stderr):
        yield Stretch(None, position, len(stderr))


def _note_at(stderr: bytes | mmap, at: int) -> tuple[str, str, int] | None:
    """Word and value of the script's line whose tag is here, and where the line ends."""
    end = stderr.find(b"\n", at, at + _LONGEST_NOTE)
    if end < 0:
        end = len(stderr)
        if end - at > _LONGEST_NOTE:
            return None
    text = stderr[at + len(_TAG) : end].decode(errors="replace").removesuffix("\r")
    word, _, value = text[1:].partition(" ")
    return (word, value, end) if text.startswith(" ") and word else None


def _first_after(ends: list[tuple[int, int]], position: int) -> tuple[int, int] | None:
    """Where the line lies that closes a log; None if that was cut off."""
    found = bisect_left(ends, (position, 0))
    return ends[found] if found < len(ends) else None


def _log(stderr: bytes | mmap, index: int, start: int, end: int) -> Stretch:
    """A log between its two lines, without its last newline and the one that the script adds."""
    for _ in range(2):
        if end > start and stderr[end - 1 : end] == b"\n":
            end -= 1
    return Stretch(index, start, end)


def _begin_member(report: JobReport, member: int | None, position: int) -> None:
    """What was said of another job's outputs is not about this one."""
    report.member, report.begins = member, position
    shape = (report.folders, report.plain_files)
    for found in (report.missing, *shape, report.empty, report.wrong_checksum):
        found.clear()


def _note(report: JobReport, word: str, value: str, end: int) -> bool:
    """Take one line of the script, which ends there, into the report; False if it cannot be from
    the script.
    """
    lists = {
        "failed-too": report.failed_too,
        "missing-output": report.missing,
        "is-folder": report.folders,
        "is-file": report.plain_files,
        "empty-output": report.empty,
        "wrong-checksum": report.wrong_checksum,
    }
    if word == "started" and not value:
        report.started = True
        return True
    if word == "error" and value:
        report.error = value
        return True
    if word == "measured" and value:
        report.measured = read_measured(value)
        return True
    if word == "undeclared" and value:
        report.undeclared += [value] if len(report.undeclared) < _MOST_READ else []
        return True
    if word == "members-done" and not value:
        _begin_member(report, None, 0)
        return True
    if not _NUMBER.fullmatch(value):
        return False
    if word == "member":
        _begin_member(report, int(value), end)
        return True
    if word == "exit-status":
        report.exit_status = int(value)
    elif word in lists:
        lists[word].append(int(value))
    else:
        # The log before it was cut off: the tag alone says nothing.
        return word == "log"
    return True
