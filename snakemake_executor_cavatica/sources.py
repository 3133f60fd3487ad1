"""The workflow's own files: found, and shipped to the tasks as one tar file.

Snakemake knows its Snakefiles, scripts, environments, config files and what git tracks. What a
workflow reads while it is parsed (sample sheets, Python modules, schemas) is known to nobody, so
it is watched from the moment that Snakemake loads this plugin.
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
from itertools import islice
from pathlib import Path

from .api import ConfigurationError, Token
from .script import PLUGINS_FOLDER

logger = logging.getLogger(__name__)

MAX_FILE = 10_000_000
"""Bytes; Snakemake's own limit for a source file. Larger ones are data: inputs of rules."""
MAX_UNDECLARED = 1_000_000
"""Bytes of one file that nobody declares."""
MAX_UNDECLARED_SIZE = 20_000_000
"""Bytes of all of them."""
MAX_UNDECLARED_FILES = 1000
_FIXED_TIME = 315_619_200
"""1980-01-02: the archive must not differ because of times, and zip knows no earlier ones."""
_WORD = re.compile(r"[\w./+-]+")
_PRIVATE = re.compile(
    r"\.(pem|key|p12|pfx|kdbx|gpg)$|^id_(rsa|dsa|ecdsa|ed25519)|credential|secret|passw|token",
    re.IGNORECASE,
)
"""Names of files that are not shipped unless somebody names them."""
_PROGRAMS = {".py", ".R", ".r", ".jl", ".sh", ".bash", ".pl", ".awk", ".rs", ".smk"}
_NEVER = {".snakemake", ".git", ".cavatica-local", "__pycache__"}

_STAND_IN = "cavatica_stand_in"
_PLUGIN = """\
import {module}
from {module} import StorageObject, StorageProviderSettings


class StorageProvider({module}.StorageProvider):
    schemes = {schemes}
"""

_read: set[str] = set()
_watching = False


def watch_reads() -> None:
    """Note from now on, for the life of this process, which files are opened for reading."""
    global _watching  # noqa: PLW0603 - audit hooks cannot be removed, so there must be one only
    if not _watching:
        _watching = True
        sys.addaudithook(_note_read)


def _note_read(event: str, arguments: tuple[object, ...]) -> None:
    if event != "open":
        return
    path, _, flags = arguments
    if not isinstance(path, str) or "/.snakemake/" in path:
        return
    if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR):
        return
    _read.add(os.path.abspath(path))  # noqa: PTH100 - called for every open()


def files_read() -> set[Path]:
    """Files that were read so far; a compiled module stands for its source."""
    found = set()
    for name in tuple(_read):
        path = Path(os.path.normpath(name))
        if path.suffix == ".pyc" and path.parent.name == "__pycache__":
            path = path.parent.parent / f"{path.name.split('.')[0]}.py"
        found.add(path)
    return found


@dataclass(frozen=True)
class Sources:
    """What is shipped: absolute paths, and where the workflow lives among them."""

    root: Path
    files: tuple[Path, ...]
    workdir: str
    """The workflow's working directory, relative to the root."""
    known: frozenset[Path] = frozenset()
    """What is known to belong to the workflow, shipped or not; what is guessed may be a log."""
    storages: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The storage plugins that it uses, with the schemes of their queries."""

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(path.stat().st_size for path in self.files)

    def digest(self, files: Iterable[Path]) -> str:
        """SHA-256 over names and contents of these files, hexadecimal."""
        found = hashlib.sha256()
        for path in sorted(files):
            name = os.fsencode(os.path.relpath(path, self.root / self.workdir))
            found.update(b"%d %s " % (len(name), name))
            found.update(hashlib.sha256(path.read_bytes()).digest())
        return found.hexdigest()


def collect_sources(
    *,
    declared: Iterable[str],
    commands: Iterable[str],
    workdir: Path,
    inputs: Iterable[str],
    outputs: Iterable[str],
    may_be_made: Callable[[str], bool] = lambda _: False,
) -> Sources:
    """Decide what belongs to the workflow.

    Args:
        declared: what Snakemake calls sources, relative to `workdir`.
        commands: shell commands and script paths; files that they name, and the program files
            beside those, belong to the workflow whether git tracks them or not.
        workdir: the directory that the workflow runs in.
        inputs: of jobs; they travel on their own unless the workflow reads them while it is parsed.
        outputs: of jobs; never sources.
        may_be_made: whether a path, relative to `workdir`, looks like the output of a rule; such
            files are no sources unless the workflow names them.
    """
    workdir = workdir.resolve()
    made = {_absolute(path, workdir) for path in outputs}
    staged = {_absolute(path, workdir) for path in inputs}
    known = {_absolute(path, workdir) for path in declared}
    read = set(_read_below({workdir, *map(_workflow_folder, known)}))
    known |= _named(commands, workdir)
    undeclared = {
        path for path in _undeclared(workdir) if not may_be_made(str(path.relative_to(workdir)))
    }
    wanted = ((known | undeclared) - staged) | read
    files = sorted(
        path
        for path in wanted - made
        # A file may lie in a directory() that a rule makes, and vanish with it.
        if made.isdisjoint(path.parents) and _is_source(path)
    )
    root = Path(os.path.commonpath([workdir, *(path.parent for path in files)]))
    # What was read may be data as well, and depends on how far a run got; modules do not.
    modules = {path for path in read if path.suffix in _PROGRAMS}
    lasting = frozenset(path for path in known | modules if _is_source(path))
    return Sources(root, tuple(files), str(workdir.relative_to(root)), lasting)


def _workflow_folder(source: Path) -> Path:
    """The folder of a whole workflow, by one of its sources (layout of the standard template)."""
    folder = source.parent
    return folder.parent if folder.name == "workflow" else folder


def _read_below(folders: set[Path]) -> Iterator[Path]:
    """Files that were read in those folders, but none that is hidden or belongs to Python.

    Hidden files hold settings, and maybe credentials, of people rather than of workflows.
    """
    for path in files_read():
        if "site-packages" in path.parts or path.is_relative_to(sys.base_prefix):
            continue
        for folder in folders:
            if path.is_relative_to(folder):
                if not any(part.startswith(".") for part in path.relative_to(folder).parts):
                    yield path
                break


def _named(commands: Iterable[str], workdir: Path) -> set[Path]:
    """Files below `workdir` that a command names, with the programs that lie beside them."""
    words = {word for command in commands for word in _WORD.findall(command)}
    found: set[Path] = set()
    for word in words:
        path = _absolute(word, workdir)
        # Not `path.is_file()`, which fails with words that are too long for a name.
        if path.is_relative_to(workdir) and os.path.isfile(path):  # noqa: PTH113
            found.add(path)
            if path.suffix in _PROGRAMS:
                found.update(one for one in path.parent.iterdir() if one.suffix in _PROGRAMS)
    return found


def _undeclared(workdir: Path) -> set[Path]:
    """Small files of which nobody says that they belong to the workflow, but most likely do.

    Within git those that are neither tracked yet nor ignored; without git all that are not hidden.
    Where there are too many of them it is a folder of data, and none is taken.
    """
    found: set[Path] = set()
    size = 0
    untracked = _untracked(workdir)
    if untracked is None and workdir in {Path.home(), Path(workdir.anchor)}:
        return found
    for path in _visible(workdir) if untracked is None else untracked:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_UNDECLARED:
            continue
        if _PRIVATE.search(path.name):
            continue
        found.add(path)
        size += path.stat().st_size
        if len(found) > MAX_UNDECLARED_FILES or size > MAX_UNDECLARED_SIZE:
            logger.warning(
                "%s holds many files that belong to no rule; only those that the workflow names "
                "or that git tracks are shipped to the tasks.",
                workdir,
            )
            return set()
    return found


def _untracked(workdir: Path) -> list[Path] | None:
    """What git neither tracks nor ignores, but nothing hidden; None without git."""
    command = ["git", "ls-files", "-z", "--others", "--exclude-standard", "."]
    try:
        answer = subprocess.run(command, cwd=workdir, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    names = (os.fsdecode(name) for name in answer.stdout.split(b"\0") if name)
    return [
        workdir / name
        for name in names
        if not any(part.startswith(".") for part in Path(name).parts)
    ]


def _visible(workdir: Path) -> Iterator[Path]:
    """Files that are not hidden; not endlessly, since the folder may be one of data."""
    return islice(_walk(workdir), 20 * MAX_UNDECLARED_FILES)


def _walk(workdir: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(workdir):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _absolute(path: str, workdir: Path) -> Path:
    return Path(os.path.normpath(workdir / path))


def _is_source(path: Path) -> bool:
    if _NEVER.intersection(path.parts) or not path.is_file():
        return False
    size = path.stat().st_size
    if size > MAX_FILE:
        logger.warning(
            "%s is not shipped with the workflow's sources: it has %.0f MB, more than %.0f. "
            "Declare it as an input of the rules that read it.",
            path,
            size / 1e6,
            MAX_FILE / 1e6,
        )
        return False
    return True


def write_archive(sources: Sources, target: Path, *, secret: Token | None = None) -> None:
    """Write the sources and stand-ins for the storage plugins as a plain tar file.

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
        stand_in = Path(__file__).with_name("stand_in.py").read_bytes()
        _add(archive, f"{PLUGINS_FOLDER}/{_STAND_IN}.py", stand_in)
        for name, schemes in sorted(sources.storages.items()):
            package = f"snakemake_storage_plugin_{name.replace('-', '_')}"
            text = _PLUGIN.format(module=_STAND_IN, schemes=tuple(schemes))
            _add(archive, f"{PLUGINS_FOLDER}/{package}/__init__.py", text.encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, executable: bool = False) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.mtime = _FIXED_TIME
    member.mode = 0o755 if executable else 0o644
    archive.addfile(member, io.BytesIO(content))
