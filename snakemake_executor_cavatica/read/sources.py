"""The workflow's own files: found, and shipped to the tasks as one tar file.

Snakemake knows its Snakefiles, scripts, environments and config files, git what it tracks, and
`reads.py` what the workflow has read while it was parsed. Users widen and narrow that by patterns.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from pathlib import Path

from .. import in_task
from ..api import ConfigurationError, Token
from ..in_task.names import PLUGINS_FOLDER, SCRIPT_MODULE
from .files_read import files_read
from .patterns import NO_PATTERNS, Patterns, is_environment, matching_files, visible_files

logger = logging.getLogger(__name__)

MB = 1_000_000
MAX_FILE = 10 * MB
"""Bytes; Snakemake's own limit for a source file. Larger ones are most likely data."""
MAX_UNDECLARED = MB
"""Bytes of one file that nobody declares."""
MAX_UNDECLARED_SIZE = 20 * MB
"""Bytes of all of them."""
MAX_UNDECLARED_FILES = 1000
_LARGEST_SHOWN = 10
_FIXED_TIME = 315_619_200
"""1980-01-02: the archive must not differ because of times, and zip knows no earlier ones."""
_WORD = re.compile(r"[\w./+-]+")
_PRIVATE = re.compile(
    r"\.(pem|key|p12|pfx|kdbx|gpg)$|^id_(rsa|dsa|ecdsa|ed25519)|credential|secret|passw|token",
    re.IGNORECASE,
)
"""Names of files that are not shipped unless somebody names them."""
_DATA = re.compile(
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
_PROGRAMS = {".py", ".R", ".r", ".jl", ".sh", ".bash", ".pl", ".awk", ".rs", ".smk"}
_PYTHON = {"site-packages", "dist-packages"}
_NEVER = {".snakemake", ".git", ".cavatica-local", "__pycache__"}

_STAND_IN = "cavatica_stand_in"
_IN_TASK = Path(in_task.__file__).parent
_SCHEDULER = "snakemake_scheduler_plugin_cavatica"
_PLUGIN = """\
import {module}
from {module} import StorageObject, StorageProviderSettings


class StorageProvider({module}.StorageProvider):
    schemes = {schemes}
"""


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
    INSTALLED = "it belongs to a software environment of this machine"


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
    environments: frozenset[Path] = frozenset()
    commands: tuple[str, ...] = ()
    """With the parameters that are put into them. Files that they name, and the program files
    beside those, belong to the workflow whether git tracks them or not."""
    inputs: frozenset[Path] = frozenset()
    """Of jobs; they travel on their own."""
    undeclared: frozenset[Path] = frozenset()
    """Those of them that other rules name without declaring them, so that they reach their jobs
    only along with the workflow."""
    outputs: frozenset[Path] = frozenset()
    """Of jobs; never sources."""
    may_be_made: Callable[[str], bool] = lambda _: False
    """Whether a path, relative to `workdir`, looks like something that rules leave behind."""

    def may_be_source(self, path: Path) -> bool:
        """Whether it is a file, and none of what Snakemake, git and Python keep for themselves."""
        return _NEVER.isdisjoint(Path(_relative(path, self.workdir)).parts) and path.is_file()


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
            with path.open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
        return found.hexdigest()

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
        ConfigurationError: git cannot say what it tracks and ignores.
    """
    read, private = _read(found)
    groups = _groups(found, patterns, read)
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
    for path in filter(found.may_be_source, private - reasons.keys()):
        left_out[path] = LeftOut.PRIVATE
        if patterns.excludes(path, found.workdir):
            left_out[path] = LeftOut.EXCLUDED
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
    )


def _groups(found: Found, patterns: Patterns, read: set[Path]) -> dict[Reason, set[Path]]:
    """Candidates, in the order of the reasons."""
    workdir = found.workdir
    tracked = _git_files(workdir, "--cached", "--recurse-submodules")
    return {
        Reason.DEFINING: set(found.defining),
        Reason.INCLUDED: _included(patterns, workdir),
        Reason.READ: read,
        Reason.DECLARED: set(found.environments),
        Reason.TRACKED: set(tracked or ()),
        Reason.BESIDE: _beside(found),
        Reason.NAMED: _with_programs(named_files(found.commands, workdir)),
        Reason.GUESSED: _guessed(found, has_git=tracked is not None),
    }


def _take_out_data(groups: dict[Reason, set[Path]]) -> set[Path]:
    """Take out of the candidates what is data, and there only because of where it lies."""
    placed = (Reason.TRACKED, Reason.BESIDE)
    data = {path for reason in placed for path in groups[reason] if _DATA.search(path.name)}
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
    # Tasks parse the workflow again. What it reads then, they need; of an input it was a glance.
    needed = reason is Reason.INCLUDED or (reason is Reason.READ and not is_input)
    if not needed and path.stat().st_size > MAX_FILE:
        return LeftOut.LARGE
    return None


def _lasting(
    groups: Mapping[Reason, set[Path]], found: Found, patterns: Patterns
) -> frozenset[Path]:
    """What does not depend on which jobs there are, and on how far a run got."""
    known = {path for path in groups[Reason.READ] if path.suffix in _PROGRAMS}
    for reason in Reason:
        if reason not in {Reason.READ, Reason.GUESSED}:
            known |= groups[reason]
    of_any_size = groups[Reason.DEFINING] | groups[Reason.INCLUDED]
    return frozenset(
        path
        for path in filter(found.may_be_source, known)
        if (path in of_any_size or path.stat().st_size <= MAX_FILE)
        and (path in found.defining or not patterns.excludes(path, found.workdir))
    )


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
        elif why is LeftOut.PRIVATE:
            logger.warning(
                "%s is not sent along with the workflow, because %s, and every member of the "
                "project could read it. If tasks need it, name it with "
                "--cavatica-sources-include; if not, with --cavatica-sources-exclude.",
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


# ------------------------------------------------------------------------------- candidates


def _included(patterns: Patterns, workdir: Path) -> set[Path]:
    found: set[Path] = set()
    for pattern in patterns.include:
        files = set(matching_files(pattern, workdir))
        if not files:
            logger.warning("--cavatica-sources-include %s: there is no such file.", pattern)
        found |= files
    return found


def _read(found: Found) -> tuple[set[Path], set[Path]]:
    """What the workflow has read, apart from what may be private.

    Hidden files hold settings, and maybe credentials, of people rather than of workflows.
    """
    folders = _folders(found)
    plain: set[Path] = set()
    private: set[Path] = set()
    for path, given in files_read().items():
        if _PYTHON.intersection(path.parts) or path.is_relative_to(sys.base_prefix):
            continue
        place = _place(path, given, folders)
        if place is None:
            continue
        folder, inside = place
        target = Path(os.path.normpath(folder / inside))
        if any(part.startswith(".") for part in inside.parts if part != ".."):
            if folder != Path.home():
                private.add(target)
        elif _PRIVATE.search(path.name) and path.suffix not in _PROGRAMS:
            private.add(target)
        else:
            plain.add(target)
    return plain, private


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
    folders = {folder for path in found.defining for folder in _around(path.parent)}
    others = sorted(folders - {found.workdir, Path.home(), Path("/")})
    return {folder: folder.resolve() for folder in [found.workdir, *others]}


def _around(folder: Path) -> Iterator[Path]:
    """A folder, the standard layout's above it, and that of the repository."""
    yield folder
    if folder.name == "workflow":
        yield folder.parent
    yield from (one for one in [folder, *folder.parents] if (one / ".git").exists())


def _beside(found: Found) -> set[Path]:
    """What lies beside scripts: all in a folder of their own, programs where data are as well."""
    beside: set[Path] = set()
    for path in found.inputs:
        # `python {input.script}` looks for modules there as well.
        if path.suffix in _PROGRAMS and path.is_relative_to(found.workdir) and path.is_file():
            beside |= _programs(path.parent)
    for folder in {script.parent for script in found.scripts}:
        if found.workdir.is_relative_to(folder):
            beside |= _programs(folder)
        else:
            beside.update(path for path in visible_files(folder) if not _PRIVATE.search(path.name))
    return {path for path in beside if not found.may_be_made(_relative(path, found.workdir))}


def _programs(folder: Path) -> set[Path]:
    return {path for path in folder.iterdir() if path.suffix in _PROGRAMS}


def named_files(commands: Iterable[str], workdir: Path) -> set[Path]:
    """Files below `workdir` that a command names."""
    words = {word for command in commands for word in _WORD.findall(command)}
    paths = (Path(os.path.normpath(workdir / word)) for word in words)
    # Not `path.is_file()`, which fails with words that are too long for a name.
    return {path for path in paths if path.is_relative_to(workdir) and os.path.isfile(path)}  # noqa: PTH113


def _with_programs(named: set[Path]) -> set[Path]:
    """Files that commands name, with the programs that lie beside programs among them."""
    folders = {path.parent for path in named if path.suffix in _PROGRAMS}
    return named.union(*map(_programs, folders))


def _guessed(found: Found, *, has_git: bool) -> set[Path]:
    """Small files of which nobody says that they belong to the workflow, but most likely do.

    Within git those that are neither tracked yet nor ignored; without git all that are not hidden.
    Where there are too many of them it is a folder of data, and none is taken.
    """
    workdir = found.workdir
    guessed: set[Path] = set()
    size = 0
    if not has_git and workdir in {Path.home(), Path(workdir.anchor)}:
        return guessed
    for path in _untracked(workdir) if has_git else _visible(workdir):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_UNDECLARED:
            continue
        if _PRIVATE.search(path.name) or _DATA.search(path.name):
            continue
        if found.may_be_made(_relative(path, workdir)):
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
    for path in _git_files(workdir, "--others", "--exclude-standard") or ():
        parts = path.relative_to(workdir).parts
        if _PYTHON.isdisjoint(parts) and not any(part.startswith(".") for part in parts):
            yield path


def _visible(workdir: Path) -> Iterator[Path]:
    """Files that are not hidden; not endlessly, since the folder may be one of data."""
    return islice(visible_files(workdir), 20 * MAX_UNDECLARED_FILES)


def _git_files(workdir: Path, *options: str) -> list[Path] | None:
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


# ------------------------------------------------------------------------------- the archive


def write_archive(sources: Sources, target: Path, *, secret: Token | None = None) -> None:
    """Write the sources and the stand-ins for what images lack as a plain tar file.

    Plain, because many images have no decompressor; and the same bytes for the same sources, so
    that an archive that was uploaded before is found again.

    Raises:
        ConfigurationError: a file holds the secret.
    """
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in sources.files:
            content = path.read_bytes()
            if secret and secret.is_in(content):
                raise ConfigurationError(
                    f"{path} holds your API token and would be shipped to the tasks, where every "
                    "member of the project can read it. Move the token to "
                    "~/.sevenbridges/credentials."
                )
            executable = os.access(path, os.X_OK)
            _add(archive, str(path.relative_to(sources.root)), content, executable=executable)
        _add_ours(archive, f"{PLUGINS_FOLDER}/{_STAND_IN}.py", "storage_stand_in.py")
        _add_ours(archive, f"{PLUGINS_FOLDER}/{SCRIPT_MODULE}.py", "script_stand_in.py")
        _add_ours(archive, f"{PLUGINS_FOLDER}/{_SCHEDULER}/__init__.py", "scheduler_stand_in.py")
        for name, schemes in sorted(sources.storages.items()):
            package = f"snakemake_storage_plugin_{name.replace('-', '_')}"
            text = _PLUGIN.format(module=_STAND_IN, schemes=tuple(schemes))
            _add(archive, f"{PLUGINS_FOLDER}/{package}/__init__.py", text.encode())


def _add_ours(archive: tarfile.TarFile, name: str, module: str) -> None:
    """Add a module of this package that runs inside a task, under another name."""
    _add(archive, name, (_IN_TASK / module).read_bytes())


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, executable: bool = False) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mtime = _FIXED_TIME
    member.mode = 0o755 if executable else 0o644
    archive.addfile(member, io.BytesIO(content))
