"""Decides which files are the workflow's own, and go along with its tasks.

Users widen and narrow that by patterns.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from ..api import ConfigurationError
from ..in_task.as_parsed import Told
from ..project.local_record import checksum_of
from .facts import MB
from .patterns import NO_PATTERNS, Patterns, is_environment
from .source_candidates import (
    DATA,
    PROGRAMS,
    Found,
    asked_paths,
    files_beside,
    git_files,
    guessed_files,
    included_files,
    listed_folders,
    named_files,
    read_elsewhere,
    read_files,
    with_programs,
)

logger = logging.getLogger(__name__)
MAX_FILE = 10 * MB
"""Bytes; Snakemake's own limit for a source file. Larger ones are most likely data."""
_LARGEST_SHOWN = 10


class Reason(StrEnum):
    """Why a file belongs to the workflow, the most certain reason first."""

    DEFINING = "Snakefile, configuration or script"
    INCLUDED = "named by --cavatica-sources-include"
    READ = "read while the workflow was parsed"
    DECLARED = "software environment"
    TRACKED = "tracked by git"
    BESIDE = "beside a script"
    NAMED = "named by a command, or a program beside it"
    GUESSED = "small, and not known to be data"


class LeftOut(StrEnum):
    """Why a file that one might expect is not shipped."""

    OUTPUT = "a rule makes it"
    INPUT = "it is an input, and travels on its own"
    EXCLUDED = "named by --cavatica-sources-exclude"
    DATA = "it is data by its kind, and neither read nor named"
    LARGE = f"it has more than {MAX_FILE // MB} MB"
    PRIVATE = "it was read, but is hidden or named like a secret"
    ELSEWHERE = "it was read by an absolute path that leads elsewhere"
    INSTALLED = "it belongs to a software environment of this machine"
    UNREADABLE = "you may not read it"


@dataclass(frozen=True)
class Sources:
    """What is shipped: absolute paths, and where the workflow lives among them."""

    root: Path
    files: tuple[Path, ...]
    workdir: str
    """The workflow's working directory, relative to the root."""
    reasons: Mapping[Path, Reason] = field(default_factory=dict)
    left_out: Mapping[Path, LeftOut] = field(default_factory=dict)
    lasting: frozenset[Path] = frozenset()
    """What is known to belong to the workflow whatever jobs there are. What was read may be data
    as well, and depends on how far a run got; what is guessed may be a log."""
    storages: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The storage plugins that it uses, with the schemes of their queries."""
    listings: Mapping[str, Mapping[str, str] | None] = field(default_factory=dict)
    """Folders that were looked into while the workflow was parsed: the names in them, and what they
    stand for; None if there was no folder."""
    asked: Mapping[str, Told | None] = field(default_factory=dict)
    """What it was told then of files and folders; None if there was nothing."""
    checksums: Mapping[Path, str] = field(default_factory=dict)
    """Of what is shipped, once it was written down: files may be edited while a run goes on."""

    @property
    def sizes(self) -> dict[Path, int]:
        """Bytes of each file."""
        return {path: path.stat().st_size for path in self.files}

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(self.sizes.values())

    def name(self, path: Path) -> str:
        """The path as it is seen from the working directory, there and in the tasks."""
        return os.path.relpath(path, self.root / self.workdir)

    def digest(self, files: Iterable[Path]) -> str:
        """SHA-256 over names and contents of these files, hexadecimal."""
        found = hashlib.sha256()
        for path in sorted(files):
            name = os.fsencode(self.name(path))
            found.update(b"%d %s " % (len(name), name))
            found.update(bytes.fromhex(self.checksum(path)))
        return found.hexdigest()

    def checksum(self, path: Path) -> str:
        """SHA-256 of a file as it is shipped, hexadecimal; of one that is not, as it is now."""
        known = self.checksums.get(Path(os.path.abspath(path)))  # noqa: PTH100 - links stay
        return known or checksum_of(str(path))

    def check_size(self, limit: int) -> None:
        """See that they are not too many bytes, since every task fetches them.

        Raises:
            ConfigurationError: they are; it names the largest.
        """
        if self.size <= limit:
            return
        largest = sorted(self.sizes.items(), key=lambda item: -item[1])[:_LARGEST_SHOWN]
        lines = "".join(
            f"\n  {size / MB:.1f} MB  {self.name(path)} ({self.reasons[path]})"
            for path, size in largest
        )
        raise ConfigurationError(
            f"The workflow's own files have {self.size / MB:.1f} MB, more than the "
            f"{limit / MB:.0f} MB that may be sent along with every task. Nothing was submitted. "
            f"The largest:{lines}\nDeclare what is data as input of the rules that read it, leave "
            "files out with --cavatica-sources-exclude, or raise the limit with "
            "--cavatica-sources-max-mb. `snakemake-cavatica sources` lists them all."
        )


def collect_sources(found: Found, patterns: Patterns = NO_PATTERNS) -> Sources:
    """Decide what belongs to the workflow.

    Raises:
        ConfigurationError: git cannot say what it tracks and ignores, or what cannot be left out
            may not be read.
    """
    read, private = read_files(found)
    groups = _groups(found, patterns, read)
    elsewhere = read_elsewhere(found)
    data = _take_out_data(groups)
    installed = _take_out_installed(groups, found.workdir)
    reasons: dict[Path, Reason] = {}
    for reason, paths in groups.items():
        for path in filter(found.may_be_source, paths):
            reasons.setdefault(path, reason)
    left_out = {
        path: why
        for path, reason in reasons.items()
        if (why := _why_left_out(path, reason, found, patterns))
    }
    for paths, cause in ((private, LeftOut.PRIVATE), (elsewhere, LeftOut.ELSEWHERE)):
        for path in filter(found.may_be_source, paths - reasons.keys()):
            is_excluded = patterns.excludes(path, found.workdir)
            left_out[path] = LeftOut.EXCLUDED if is_excluded else cause
    for path in filter(found.may_be_source, data - reasons.keys()):
        why = _why_left_out(path, Reason.TRACKED, found, patterns)
        left_out[path] = why if why and why is not LeftOut.LARGE else LeftOut.DATA
    for path in filter(found.may_be_source, installed - reasons.keys()):
        is_excluded = patterns.excludes(path, found.workdir)
        left_out[path] = LeftOut.EXCLUDED if is_excluded else LeftOut.INSTALLED
    _warn(left_out)
    files = sorted(reasons.keys() - left_out.keys())
    folders = [found.workdir, found.started or found.workdir, *(path.parent for path in files)]
    root = Path(os.path.commonpath(folders))
    return Sources(
        root,
        tuple(files),
        str(found.workdir.relative_to(root)),
        {path: reasons[path] for path in files},
        {path: why for path, why in left_out.items() if reasons.get(path) is not Reason.GUESSED},
        _lasting(groups, found, patterns),
        listings=listed_folders(found, files),
        asked=asked_paths(found, files),
    )


def _groups(found: Found, patterns: Patterns, read: set[Path]) -> dict[Reason, set[Path]]:
    """Candidates, in the order of the reasons."""
    workdir = found.workdir
    tracked = git_files(workdir, "--cached", "--recurse-submodules")
    return {
        Reason.DEFINING: set(found.defining),
        Reason.INCLUDED: included_files(patterns, workdir),
        Reason.READ: read,
        Reason.DECLARED: set(found.environments),
        Reason.TRACKED: set(tracked or ()),
        Reason.BESIDE: files_beside(found),
        Reason.NAMED: with_programs(named_files(found.commands, workdir, found.folders)),
        Reason.GUESSED: guessed_files(found, has_git=tracked is not None),
    }


def _take_out_data(groups: dict[Reason, set[Path]]) -> set[Path]:
    """Take out of the candidates what is data, and there only because of where it lies."""
    placed = (Reason.TRACKED, Reason.BESIDE)
    data = {path for reason in placed for path in groups[reason] if DATA.search(path.name)}
    for reason in placed:
        groups[reason] -= data
    return data


def _take_out_installed(groups: dict[Reason, set[Path]], workdir: Path) -> set[Path]:
    """Take out of the candidates what lies in an environment: its programs run only with the rest.

    Returns:
        What a command names of it, and will not find.
    """
    inside: dict[Path, bool] = {workdir: False}

    def is_inside(folder: Path) -> bool:
        if folder not in inside:
            inside[folder] = is_environment(folder) or (
                folder != folder.parent and is_inside(folder.parent)
            )
        return inside[folder]

    named = {path for path in groups[Reason.NAMED] if is_inside(path.parent)}
    for reason in (Reason.BESIDE, Reason.NAMED, Reason.GUESSED):
        groups[reason] = {path for path in groups[reason] if not is_inside(path.parent)}
    return named


def _why_left_out(path: Path, reason: Reason, found: Found, patterns: Patterns) -> LeftOut | None:
    """Why a candidate is not shipped; None if it is."""
    # A file may lie in a directory() that a rule makes, and vanish with it.
    if not found.outputs.isdisjoint([path, *path.parents]):
        return LeftOut.OUTPUT
    if reason in _REQUIRED:
        _check_readable(path, reason)
    if reason is Reason.DEFINING:
        return None
    if patterns.excludes(path, found.workdir):
        return LeftOut.EXCLUDED
    is_input = path in found.inputs
    travels = is_input and path not in found.undeclared
    if travels and reason not in {Reason.READ, Reason.INCLUDED}:
        return LeftOut.INPUT
    if reason is Reason.GUESSED and not found.inputs.isdisjoint(path.parents):
        return LeftOut.INPUT
    if not os.access(path, os.R_OK):
        return LeftOut.UNREADABLE
    # Tasks parse the workflow again. What it reads then, they need; of an input it was a glance.
    needed = reason is Reason.INCLUDED or (reason is Reason.READ and not is_input)
    if not needed and path.stat().st_size > MAX_FILE:
        return LeftOut.LARGE
    return None


def _check_readable(path: Path, reason: Reason) -> None:
    if not os.access(path, os.R_OK):
        raise ConfigurationError(
            f"{path} belongs to the workflow ({reason}), and you may not read it. Nothing was "
            "submitted. Ask its owner for that, or see that the workflow does not need it."
        )


def _lasting(
    groups: Mapping[Reason, set[Path]], found: Found, patterns: Patterns
) -> frozenset[Path]:
    """What does not depend on which jobs there are, and on how far a run got."""
    known = {path for path in groups[Reason.READ] if path.suffix in PROGRAMS}
    for reason in Reason:
        if reason not in {Reason.READ, Reason.GUESSED}:
            known |= groups[reason]
    of_any_size = groups[Reason.DEFINING] | groups[Reason.INCLUDED]
    return frozenset(
        path
        for path in filter(found.may_be_source, known)
        if os.access(path, os.R_OK)
        and (path in of_any_size or path.stat().st_size <= MAX_FILE)
        and (path in found.defining or not patterns.excludes(path, found.workdir))
    )


_REQUIRED = frozenset({Reason.DEFINING, Reason.INCLUDED})


def _warn(left_out: Mapping[Path, LeftOut]) -> None:
    """Tell of what tasks may miss; inputs and outputs they do not."""
    for path, why in sorted(left_out.items()):
        if why is LeftOut.LARGE:
            logger.warning(
                "%s is not sent along with the workflow, because %s (%.0f MB). Declare it as an "
                "input of the rules that read it, or send it with --cavatica-sources-include.",
                path,
                why,
                path.stat().st_size / MB,
            )
        elif why is LeftOut.UNREADABLE:
            logger.warning("%s is not sent along with the workflow, because %s.", path, why)
        elif why is LeftOut.PRIVATE:
            logger.warning(
                "%s is not sent along with the workflow, because %s, and every member of the "
                "project could read it. If tasks need it, name it with "
                "--cavatica-sources-include; if not, with --cavatica-sources-exclude.",
                path,
                why,
            )
        elif why is LeftOut.ELSEWHERE:
            logger.warning(
                "%s is not sent along with the workflow, because %s, where tasks have nothing. In "
                "those that parse the workflow again it does not exist. Copy or link it below the "
                "working directory, and name it from there; if tasks do not need it, name it with "
                "--cavatica-sources-exclude.",
                path,
                why,
            )
        elif why is LeftOut.INSTALLED:
            logger.warning(
                "%s is not sent along with the workflow, though a command names it, because %s. "
                "Tasks have the programs of their image: let the command call the program by its "
                "name alone, and name an image that holds it (container:, or "
                "--cavatica-container-image).",
                path,
                why,
            )
