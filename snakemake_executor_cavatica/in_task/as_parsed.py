"""Lets Snakemake parse the workflow in a task as the main process did.

`glob_wildcards("reads/{sample}.fastq")` looks at files that are no inputs of the job, so they are
not there; `os.path.exists` asks for such files. What the main process saw is sent along with the
workflow's sources, and shown to the workflow while it is parsed. What it finds out in other ways
may still differ, see `own_jobs.py`. Nothing here may be imported from this package: the image does
not have it.
"""

import contextlib
import errno
import functools
import json
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from .listed import FOLDER, MADE, Entries, Entry

_AS_WALKED = re.compile(r"/\.\.(?=/|$)|/$")
_CHANGES = ("chmod", "chown", "truncate", "utime")
_ASKED_OF_ACCESS = ((os.R_OK, 4), (os.W_OK, 2), (os.X_OK, 1))


class Told(NamedTuple):
    """What there is to be told of a path."""

    mode: int = 0
    """Of what it leads to; 0 if it is a link that leads nowhere."""
    size: int = 0
    changed: int = 0
    """Nanoseconds since the epoch."""
    number: int = 0
    """By which the system knows that two paths lead to the same file."""
    access: int = 0
    """Who asks may read (4), write (2) and execute it (1)."""
    link: Optional[str] = None
    """What it says, if it is a link."""


def full_path(path: str) -> str:
    """The absolute path, as the system walks along it.

    `..` behind a name stays, since the name may be a link or of nothing; so does a slash at the
    end, which asks for a folder.
    """
    base = "/" if path.startswith("/") else os.getcwd()
    parts = [part for part in path.split("/") if part not in {"", "."}]
    while not path.startswith("/") and parts[:1] == [".."]:
        base = os.path.dirname(base)
        parts = parts[1:]
    if parts and path.endswith(("/", "/.")):
        parts.append("")
    return os.path.join(base, *parts)


def path_from(workdir: str, full: str) -> str:
    """The same path, seen from a working directory."""
    found = _AS_WALKED.search(full)
    place = found.start() if found else len(full)
    return os.path.relpath(full[:place] or "/", workdir) + full[place:]


def path_from_home(full: str) -> Optional[str]:
    """The same path as a shell may name it, `~/path`; None if it is not below the home directory,
    which is another one in a task.
    """
    home = os.path.expanduser("~").rstrip("/")
    return f"~{full[len(home) :]}" if home and full.startswith(f"{home}/") else None


def told_of(path: str) -> Optional[Told]:
    """What there is now; None if there is nothing."""
    try:
        link = os.readlink(path)
    except (OSError, ValueError):
        link = None
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return Told(link=link) if link is not None else None
    access = sum(bit for mode, bit in _ASKED_OF_ACCESS if os.access(path, mode))
    if stat.S_ISDIR(found.st_mode):  # whose time and size change with each run
        return Told(found.st_mode, number=found.st_ino, access=access, link=link)
    return Told(found.st_mode, found.st_size, found.st_mtime_ns, found.st_ino, access, link)


class Seen:
    """The files and folders that the main process has looked at while it parsed the workflow."""

    def __init__(
        self,
        listings: Mapping[str, Optional[Mapping[str, str]]],
        asked: Mapping[str, Optional[Sequence[Any]]],
        workdir: str,
        there: str,
    ) -> None:
        """By their paths from the working directory, or, if they are elsewhere, from the root.

        Args:
            listings: names in folders, and what these stand for; none if there was no folder.
            asked: see `Told`; none if there was nothing.
            workdir: the working directory here.
            there: that of the main process, for paths that are written out.
        """
        self._listings = listings
        self._asked = {name: Told(*told) if told else None for name, told in asked.items()}
        self._workdir, self._there = workdir, there
        self._scandir, self._lstat = os.scandir, os.lstat
        self._parsing = 0
        self._came: dict[str, Any] = {}
        self._names_that_came: dict[str, set[str]] = {}

    def show(self) -> None:
        """Show them from now on, to what is parsed."""
        self._prepare()
        from snakemake.workflow import Workflow  # noqa: PLC0415 - only in a task

        include: Callable[..., Any] = Workflow.include

        @functools.wraps(include)
        def parsing(*args: Any, **kwargs: Any) -> Any:
            self._parsing += 1
            try:
                return include(*args, **kwargs)
            finally:
                self._parsing -= 1

        for owner, name, new in (
            (Workflow, "include", parsing),
            (os, "listdir", self._replaced(os.listdir)),
            (os, "scandir", self._replaced(os.scandir)),
            (os, "stat", self._answering(os.stat)),
            (os, "lstat", self._answering(os.lstat)),
            (os, "access", self._allowing(os.access)),
            (os, "readlink", self._leading(os.readlink)),
            *((os, name, self._changing(getattr(os, name))) for name in _CHANGES),
        ):
            setattr(owner, name, new)

    def _prepare(self) -> None:
        """See what came with the task, and make folders, in which the workflow may make others."""
        for name in (*self._asked, *self._listings):
            for workdir in (self._workdir, self._there):
                path = os.path.normpath(os.path.join(workdir, name))
                self._came[path] = self._mark(path)
        for name, names in self._listings.items():
            with contextlib.suppress(OSError):
                here = set(os.listdir(os.path.join(self._workdir, name)))
                self._names_that_came[name] = here - set(names or ())
        were_there = [name for name, told in self._asked.items() if told and _is_folder(told)]
        listed = [name for name, names in self._listings.items() if names is not None]
        for name in (name for name in (*listed, *were_there) if not name.startswith("~/")):
            folder = os.path.normpath(os.path.join(self._workdir, name))
            if folder.startswith(f"{self._workdir}/"):
                _make(folder)

    def _mark(self, path: str) -> Any:
        """By which one sees whether the workflow has made it anew; None if there is nothing."""
        try:
            found = self._lstat(path)
        except (OSError, ValueError):
            return None
        is_folder = stat.S_ISDIR(found.st_mode)
        return (found.st_ino, None if is_folder else found.st_mtime_ns)

    def _as_it_came(self, path: Any) -> bool:
        """Whether it is here, and was when the task began: the workflow has not made it."""
        place = os.path.normpath(full_path(os.fsdecode(path)))
        mark = self._came.get(place)
        return mark is not None and mark == self._mark(place)

    def _answering(self, original: Callable[..., Any]) -> Any:
        follows = original is not os.lstat

        @functools.wraps(original)
        def answering(path: Any, *args: Any, **kwargs: Any) -> Any:
            name = self._name(path, self._asked, kwargs)
            if name is None:
                return original(path, *args, **kwargs)
            told = self._asked[name]
            is_link = not (follows and kwargs.get("follow_symlinks", True))
            answer = _stat_result(told, is_link=is_link) if told else None
            try:
                here = original(path, *args, **kwargs)
            except (FileNotFoundError, NotADirectoryError):
                if answer is None:
                    raise
                if stat.S_ISDIR(answer.st_mode):
                    _make(os.fsdecode(path))
                    with contextlib.suppress(OSError):
                        return original(path, *args, **kwargs)
                return answer
            is_made = stat.S_ISDIR(here.st_mode) and bool(told and _is_folder(told))
            if not self._as_it_came(path) and not is_made:
                return here
            if answer is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            return answer if stat.S_ISLNK(answer.st_mode) else _with_time(here, answer)

        return as_able(original, answering)

    def _allowing(self, original: Callable[..., bool]) -> Any:
        @functools.wraps(original)
        def allowing(path: Any, mode: int, *args: Any, **kwargs: Any) -> bool:
            name = self._name(path, self._asked, kwargs)
            if name is None:
                return original(path, mode, *args, **kwargs)
            told = self._asked[name] or Told()
            if _is_folder(told) and not original(path, os.F_OK):
                _make(os.fsdecode(path))
            if original(path, os.F_OK) and (told.mode or not self._as_it_came(path)):
                return original(path, mode, *args, **kwargs)
            wanted = sum(bit for one, bit in _ASKED_OF_ACCESS if mode & one)
            return bool(told.mode) and told.access & wanted == wanted

        return as_able(original, allowing)

    def _leading(self, original: Callable[..., Any]) -> Any:
        @functools.wraps(original)
        def leading(path: Any, *args: Any, **kwargs: Any) -> Any:
            name = self._name(path, self._asked, kwargs)
            told = None if name is None else self._asked[name]
            try:
                return original(path, *args, **kwargs)
            except OSError as error:
                if told is None or told.link is None:
                    raise
                is_here = error.errno == errno.EINVAL and not _is_folder(told)
                if is_here and not self._as_it_came(path):
                    raise
                return os.fsencode(told.link) if isinstance(path, bytes) else told.link

        return as_able(original, leading)

    def _changing(self, original: Callable[..., Any]) -> Any:
        """What is changed of a file that is told of only, nobody sees."""

        @functools.wraps(original)
        def changing(path: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return original(path, *args, **kwargs)
            except FileNotFoundError:
                name = self._name(path, self._asked, kwargs)
                if name is None or self._asked[name] is None:
                    raise
                return None

        return as_able(original, changing)

    def _replaced(self, original: Callable[..., Any]) -> Any:
        @functools.wraps(original)
        def replaced(path: Any = ".") -> Any:
            name = None if isinstance(path, bytes) else self._name(path, self._listings, {})
            names = self._listings[name] if name is not None else {}
            if name is None and not self._is_named_only(path):
                return original(path)
            if names is None:
                if self._as_it_came(path):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
                return original(path)
            came = self._names_that_came.get(name or "", set())
            entries = self._entries(os.fspath(path), names, came)
            if original is self._scandir:
                return Entries(entries)
            return [entry.name for entry in entries]

        return replaced

    def _is_named_only(self, path: Any) -> bool:
        """Whether it is a folder of which only the name was sent, as those of git and Snakemake."""
        if not isinstance(path, (str, os.PathLike)) or os.path.exists(path):
            return False
        folder, own = os.path.split(os.path.abspath(path))
        name = self._name(folder, self._listings, {})
        names = {} if name is None else self._listings[name] or {}
        return names.get(own) == FOLDER

    def _name(self, path: Any, known: Mapping[str, Any], given: Mapping[str, Any]) -> Optional[str]:
        """Under which name it is known; none if it is not, or nothing is parsed."""
        if not self._parsing or not isinstance(path, (str, bytes, os.PathLike)):
            return None
        text = os.fsdecode(path)
        if not text or given.get("dir_fd") is not None:
            return None
        full = full_path(text)
        names: list[Optional[str]] = [path_from(self._workdir, full)]
        if text.startswith("/"):
            names = [full, path_from(self._there, full), *names, path_from_home(full)]
        return next((name for name in names if name in known), None)

    def _entries(self, folder: str, names: Mapping[str, str], came: set[str]) -> list[Any]:
        """Those of the main process in its order, then what the workflow has made here."""
        here: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError), self._scandir(folder) as entries:
            here = {entry.name: entry for entry in entries if entry.name not in came}
        seen = [
            here[name] if kind == MADE else Entry(folder, name, kind)
            for name, kind in names.items()
            if kind != MADE or name in here
        ]
        return [*seen, *(entry for name, entry in here.items() if name not in names)]


def _is_folder(told: Told) -> bool:
    return stat.S_ISDIR(told.mode)


def _make(folder: str) -> None:
    """Make a folder that was there, if it may be: it may lie in an input, which is read-only."""
    parts = full_path(folder).split("/")
    for end in range(2, len(parts) + 1):
        with contextlib.suppress(OSError):
            os.mkdir("/".join(parts[:end]))


def as_able(original: Any, new: Any) -> Any:
    """The new function, of which the same is known as of the original one."""
    for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        if original in able:
            able.add(new)
    return new


def _stat_result(told: Told, *, is_link: bool) -> Optional[os.stat_result]:
    """What `os.stat` returns for a path that is not here; None if it leads nowhere."""
    mode, size, number = told.mode, told.size, told.number
    if is_link and told.link is not None:
        mode, size, number = stat.S_IFLNK | 0o777, len(os.fsencode(told.link)), 0
    if not mode:
        return None
    fields = (mode, number, 0, 1, os.getuid(), os.getgid(), size)
    return os.stat_result((*fields, *3 * [told.changed // 10**9]), _exact(told.changed))


def _with_time(here: os.stat_result, answer: os.stat_result) -> os.stat_result:
    """What is told of a file that is here, but for its time: files that are sent have another."""
    if stat.S_ISDIR(here.st_mode):
        return here
    return os.stat_result((*here[:7], *3 * [int(answer.st_mtime)]), _exact(answer.st_mtime_ns))


def _exact(changed: int) -> dict[str, Any]:
    """A time as `os.stat_result` takes it besides."""
    names = ("st_atime", "st_mtime", "st_ctime")
    seconds = changed // 10**9 + 1e-9 * (changed % 10**9)
    return {**dict.fromkeys(names, seconds), **{f"{name}_ns": changed for name in names}}


def parse_as_there(workdir: str, there: str) -> None:
    """Show what was sent along.

    Args:
        workdir: the working directory here.
        there: that of the main process.
    """
    seen = os.path.join(os.path.dirname(__file__), "seen.json")
    with open(seen, encoding="utf-8") as file:
        Seen(**json.load(file), workdir=workdir, there=there).show()
