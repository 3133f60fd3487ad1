"""Finds files that may belong to a workflow.

Snakemake knows its Snakefiles, scripts, environments and config files, git what it tracks, and
`files_read.py` what the workflow has read while it was parsed. Others are named by its commands, or
lie beside its scripts.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from ..api import ConfigurationError
from ..in_task.as_parsed import Told, path_from, path_from_home
from ..in_task.listed import MADE
from ..project.environment import home_folder
from .facts import MB
from .files_read import files_made, files_read, was_read_while_parsed
from .parsing import PACKAGES, folders_listed, is_installed, paths_asked
from .patterns import Patterns, matching_files, visible_files
from .workdir import workflow_folders

logger = logging.getLogger(__name__)

MAX_UNDECLARED = MB
"""Bytes of one file that nobody declares."""
MAX_UNDECLARED_SIZE = 20 * MB
"""Bytes of all of them."""
MAX_UNDECLARED_FILES = 1000
MAX_LISTED = 200_000
"""Names in folders that are looked into."""
_WORD = re.compile(r"[\w./+-]+")
_PRIVATE = re.compile(
    r"\.(pem|key|p12|pfx|kdbx|gpg)$|^id_(rsa|dsa|ecdsa|ed25519)|credential|secret|passw|token",
    re.IGNORECASE,
)
"""Names of files that are not shipped unless somebody names them."""
DATA = re.compile(
    r"\.(fastq|fq|sra|bcl|fast5|pod5|blow5|slow5"  # reads, and what they are called from
    r"|sam|bam|cram|bai|csi|crai|paf"  # alignments, and their indexes
    r"|vcf|gvcf|bcf|tbi"  # variants
    r"|bw|bigwig|wig|bb|bigbed|bedgraph|hic|m?cool"  # tracks and contacts along a genome
    r"|h5|hdf5|h5ad|h5mu|loom|mtx"  # matrices, as of single cells
    r"|mzml|mzxml|mgf)"  # spectra
    r"(\.(gz|bgz|bz2|xz|zst))?$",
    re.IGNORECASE,
)
"""Kinds of files that are measured or computed for samples, and never written for a workflow.

Tables, sequences (FASTA) and regions (BED, GTF) are not among them: small ones are often a
workflow's own, as adapters and targets are.
"""
PROGRAMS = {".py", ".R", ".r", ".jl", ".sh", ".bash", ".pl", ".awk", ".rs", ".smk"}
_PRINTED = re.compile(r"\.(log|out|err)$")
"""What programs say, maybe this one: another text each time, and no task reads it."""
_SYSTEM = re.compile(r"/(proc|sys|dev|etc|usr|lib|lib64|run|opt|var)/")
"""What programs read of a machine, and images have by themselves."""
_NEVER = {".snakemake", ".git", ".cavatica-local", "__pycache__"}


@dataclass(frozen=True)
class Found:
    """What Snakemake knows of a workflow that has been parsed; all paths are absolute."""

    workdir: Path
    """The directory that the workflow runs in, without links."""
    started: Path | None = None
    """The directory that it was parsed in, if a `workdir:` directive has led to another one."""
    defining: frozenset[Path] = frozenset()
    """Snakefiles, configuration and scripts: nobody can leave them out."""
    scripts: frozenset[Path] = frozenset()
    """Those of the rules; they may use what lies beside them."""
    on_paths: frozenset[Path] = frozenset()
    """Folders that it adds to `PATH` and the like, for its commands."""
    environments: frozenset[Path] = frozenset()
    commands: tuple[str, ...] = ()
    """With the parameters that are put into them. Files that they name, and the program files
    beside those, belong to the workflow whether git tracks them or not."""
    inputs: frozenset[Path] = frozenset()
    """Of jobs; they travel on their own."""
    undeclared: frozenset[Path] = frozenset()
    """Those of them that other jobs use without declaring them, because their command names them or
    their script may import them; these they reach only along with the workflow."""
    outputs: frozenset[Path] = frozenset()
    """Of jobs, and of the run itself; never sources."""
    may_be_made: Callable[[str], bool] = lambda _: False
    """Whether a path, relative to `workdir`, looks like something that rules leave behind."""

    @cached_property
    def folders(self) -> set[Path]:
        """Those that the workflow itself lies in."""
        return workflow_folders(self.defining)

    def may_be_source(self, path: Path) -> bool:
        """Whether it is a file, and none of what Snakemake, git and Python keep for themselves."""
        return _NEVER.isdisjoint(Path(_relative(path, self.workdir)).parts) and path.is_file()


def included_files(patterns: Patterns, workdir: Path) -> set[Path]:
    """Files that the user names."""
    found: set[Path] = set()
    for pattern in patterns.include:
        files = set(matching_files(pattern, workdir))
        if not files:
            logger.warning("--cavatica-sources-include %s: there is no such file.", pattern)
        found |= files
    return found


def listed_folders(found: Found, shipped: Collection[Path]) -> dict[str, Mapping[str, str] | None]:
    """What is in the folders that the workflow has looked into, as tasks look it up."""
    made = files_made() - set(shipped)
    listed: dict[str, Mapping[str, str] | None] = {
        name: names and {one: MADE if Path(folder, one) in made else names[one] for one in names}
        for folder, names in folders_listed().items()
        if not _is_none_of_its_own(Path(folder))
        for name in _looked_up_by(folder, found)
    }
    return listed if _are_few(sum(len(names or ()) for names in listed.values())) else {}


def asked_paths(found: Found, shipped: Collection[Path]) -> dict[str, Told | None]:
    """What the workflow was told of files and folders, as tasks look it up.

    Not of what it has read or made, and tasks do not have: where such a file is not, workflows
    often go on, or make it.
    Nor of what defines it: these files have no times, so that a copy of the workflow is the same.
    """
    used = (files_read().keys() | files_made()) - set(shipped)
    known = {*used, *found.defining, *found.workdir.parents}
    asked = {
        name: told
        for path, told in sorted(paths_asked().items())
        if Path(os.path.normpath(path)) not in known and not _is_none_of_its_own(Path(path))
        for name in sorted(_looked_up_by(path, found))
    }
    return _renumbered(asked) if _are_few(len(asked)) else {}


def _renumbered(asked: Mapping[str, Told | None]) -> dict[str, Told | None]:
    """The same with numbers of files that do not depend on where the workflow lies."""
    numbers: dict[int, int] = {}
    return {
        name: told and told._replace(number=numbers.setdefault(told.number, len(numbers) + 1))
        for name, told in asked.items()
    }


def _looked_up_by(path: str, found: Found) -> set[str]:
    """The path from `workdir`; if it is elsewhere on this machine, also the path itself, and from
    the home directory.
    """
    seen = path_from(str(found.workdir), path)
    if not seen.startswith(".."):
        return {seen}
    from_home = path_from_home(path)
    return {seen, path, from_home} if from_home else {seen, path}


def _are_few(names: int) -> bool:
    if names > MAX_LISTED:
        logger.warning(
            "The workflow looks at more than %d names of files while it is parsed; tasks in which "
            "Snakemake parses it again are not told of them. Let it look into fewer folders.",
            MAX_LISTED,
        )
    return names <= MAX_LISTED


def _is_none_of_its_own(path: Path) -> bool:
    return is_installed(path) or not _NEVER.isdisjoint(path.parts)


def read_files(found: Found) -> tuple[set[Path], set[Path]]:
    """What the workflow has read, apart from what may be private.

    Hidden files hold settings, and maybe credentials, of people rather than of workflows, unless
    git tracks them.
    """
    folders = _folders(found)
    plain: set[Path] = set()
    private: set[Path] = set()
    for path, given in files_read().items():
        if is_installed(path):
            continue
        place = _place(path, given, folders)
        if place is None:
            continue
        folder, inside = place
        target = Path(os.path.normpath(folder / inside))
        if _is_hidden(target, folder, found.workdir):
            if folder != home_folder():
                private.add(target)
        elif _PRIVATE.search(path.name) and path.suffix not in PROGRAMS:
            private.add(target)
        else:
            plain.add(target)
    tracked = set(filter(_is_tracked, private))
    return plain | tracked, private - tracked


def _is_hidden(path: Path, folder: Path, workdir: Path) -> bool:
    """Whether it is hidden in its folder; not by a hidden folder that the workflow runs in, too."""
    start = workdir if workdir.is_relative_to(folder) else folder
    return any(part.startswith(".") for part in _relative(path, start).split("/") if part != "..")


def _is_tracked(path: Path) -> bool:
    command = ["git", "ls-files", "--error-unmatch", path.name]
    try:
        answer = subprocess.run(command, cwd=path.parent, capture_output=True, check=False)
    except OSError:  # Without git nothing is tracked.
        return False
    return answer.returncode == 0


def read_elsewhere(found: Found) -> set[Path]:
    """What the workflow has read by an absolute path that no task has: neither in the folders of
    the workflow, nor of this system, nor hidden, as settings of people are.
    """
    folders = _folders(found)
    installed = [Path(folder) for folder in (sys.prefix, *sys.path) if folder]
    return {
        path
        for path, given in files_read().items()
        if was_read_while_parsed(path)
        and not is_installed(path)
        and not _SYSTEM.match(str(path))
        and not any(part.startswith(".") for part in path.parts)
        and not any(path.is_relative_to(folder) for folder in installed)
        and _place(path, given, folders) is None
    }


def _place(path: Path, given: str, folders: Mapping[Path, Path]) -> tuple[Path, Path] | None:
    """Where a task would look for a file: in which folder of the workflow, and where from there.

    None if that is nowhere, because it was found by an absolute path that leads elsewhere.
    """
    for folder, real in folders.items():
        for start in (folder, real):
            if path.is_relative_to(start):
                return folder, path.relative_to(start)
    for folder in folders:
        if not os.path.isabs(given) or given.startswith(f"{folder}/"):  # noqa: PTH117 - text
            return folder, Path(os.path.relpath(path, folder))
    return None


def _folders(found: Found) -> dict[Path, Path]:
    """The working directory, and the folders of the workflow's parts; and these without links."""
    others = sorted(found.folders - {found.workdir})
    return {folder: folder.resolve() for folder in [found.workdir, *others]}


def files_beside(found: Found) -> set[Path]:
    """What lies beside scripts, and in folders on paths: all in a folder of their own, programs
    where data are as well.
    """
    # `python {input.script}` looks for modules there as well.
    beside = programs_beside(path for path in found.inputs if path.is_relative_to(found.workdir))
    inside = [found.workdir, *found.folders]
    on_paths = {one for one in found.on_paths if any(map(one.is_relative_to, inside))}
    for folder in {script.parent for script in found.scripts} | set(filter(Path.is_dir, on_paths)):
        if found.workdir.is_relative_to(folder):
            beside |= _programs(folder)
        else:
            beside.update(path for path in visible_files(folder) if not _PRIVATE.search(path.name))
    return {path for path in beside if not found.may_be_made(_relative(path, found.workdir))}


def _programs(folder: Path) -> set[Path]:
    return {path for path in folder.iterdir() if path.suffix in PROGRAMS}


def named_files(commands: Iterable[str], workdir: Path, others: Collection[Path] = ()) -> set[Path]:
    """Files below `workdir`, or other folders of the workflow, that a command names."""
    words = {word for command in commands for word in _WORD.findall(command)}
    paths = {Path(os.path.normpath(workdir / word)) for word in words}
    inside = {path for path in paths if any(map(path.is_relative_to, [workdir, *others]))}
    # Not `path.is_file()`, which fails with words that are too long for a name.
    return set(filter(os.path.isfile, inside))


def with_programs(named: set[Path]) -> set[Path]:
    """Files that commands name, with the programs that lie beside programs among them."""
    return named | programs_beside(named)


def programs_beside(files: Iterable[Path]) -> set[Path]:
    """The programs among these files, with those that lie beside them: they may use each other."""
    folders = {path.parent for path in files if path.suffix in PROGRAMS and path.is_file()}
    return set[Path]().union(*map(_programs, folders))


def guessed_files(found: Found, *, has_git: bool) -> set[Path]:
    """Small files of which nobody says that they belong to the workflow, but most likely do.

    Within git those that are neither tracked yet nor ignored; without git all that are not hidden.
    Where there are too many of them it is a folder of data, and none is taken.
    """
    workdir = found.workdir
    guessed: set[Path] = set()
    size = 0
    if not has_git and workdir in {home_folder(), Path(workdir.anchor)}:
        return guessed
    for path in _untracked(workdir) if has_git else _visible(workdir):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_UNDECLARED:
            continue
        if any(one.search(path.name) for one in (_PRIVATE, DATA, _PRINTED)):
            continue
        if found.may_be_made(_relative(path, workdir)) or not os.access(path, os.R_OK):
            continue
        guessed.add(path)
        size += path.stat().st_size
        if len(guessed) > MAX_UNDECLARED_FILES or size > MAX_UNDECLARED_SIZE:
            logger.warning(
                "%s holds many files that belong to no rule; only those that the workflow names or "
                "reads, or that git tracks, are sent along with the tasks. Name others with "
                "--cavatica-sources-include.",
                workdir,
            )
            return set()
    return guessed


def _untracked(workdir: Path) -> Iterator[Path]:
    """What git neither tracks nor ignores, but nothing hidden or installed."""
    for path in git_files(workdir, "--others", "--exclude-standard") or ():
        parts = path.relative_to(workdir).parts
        if PACKAGES.isdisjoint(parts) and not any(part.startswith(".") for part in parts):
            yield path


def _visible(workdir: Path) -> Iterator[Path]:
    """Files that are not hidden; not endlessly, since the folder may be one of data."""
    return islice(visible_files(workdir), 20 * MAX_UNDECLARED_FILES)


def git_files(workdir: Path, *options: str) -> list[Path] | None:
    """What `git ls-files` says of the working directory; None if it is in no repository.

    Raises:
        ConfigurationError: it is in one, but git fails.
    """
    command = ["git", "ls-files", "-z", *options, "."]
    try:
        answer = subprocess.run(command, cwd=workdir, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        if not any((folder / ".git").exists() for folder in [workdir, *workdir.parents]):
            return None
        said = error.stderr if isinstance(error, subprocess.CalledProcessError) else b""
        raise ConfigurationError(
            f"git cannot list the files of {workdir} ({os.fsdecode(said).strip() or error}), so "
            "nobody knows which of them belong to the workflow and which are to stay here. Make "
            "`git ls-files` work there."
        ) from error
    names = (os.fsdecode(name) for name in answer.stdout.split(b"\0") if name)
    return [workdir / name for name in names]


def _relative(path: Path, workdir: Path) -> str:
    return os.path.relpath(path, workdir)
