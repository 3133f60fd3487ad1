"""Lets Snakemake parse the workflow in a task as the main process did, or else ends the job.

`glob_wildcards("reads/{sample}.fastq")` looks at files that are no inputs of the job, so they are
not there; `os.path.exists` asks for such files. What the main process saw is sent along with the
workflow's sources, and shown to the workflow while it is parsed. What it finds out in other ways
may still differ. A job that has other inputs because of that must not run: it would make something
else. Nor may a job end because of others, which are none of this task's. Nothing here may be
imported from this package: the image does not have it.
"""

import contextlib
import errno
import functools
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Optional

_FOLDER, _LINK = "d", "l"
"""What a name stands for: a folder, and a link to one. Others are files."""


class _Entry:
    """A name in a folder that is not here, as `os.scandir` tells it."""

    def __init__(self, folder: str, name: str, kind: str) -> None:
        self.name = name
        self.path = os.path.join(folder, name)
        self._kind = kind

    def __fspath__(self) -> str:
        return self.path

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._kind == _FOLDER or (self._kind == _LINK and follow_symlinks)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:  # noqa: ARG002 - as in os.DirEntry
        return self._kind not in {_FOLDER, _LINK}

    def is_symlink(self) -> bool:
        return self._kind == _LINK

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return os.stat(self.path, follow_symlinks=follow_symlinks)


class _Entries:
    """What `os.scandir` returns."""

    def __init__(self, entries: list[Any]) -> None:
        self._entries = iter(entries)

    def __iter__(self) -> Iterator[Any]:
        return self._entries

    def __next__(self) -> Any:
        return next(self._entries)

    def __enter__(self) -> "_Entries":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """There is nothing to close."""


class Seen:
    """The files and folders that the main process has looked at while it parsed the workflow."""

    def __init__(
        self,
        listings: Mapping[str, Mapping[str, str]],
        asked: Mapping[str, Optional[Sequence[float]]],
        workdir: str,
        there: str,
    ) -> None:
        """By their paths from the working directory.

        Args:
            listings: names in folders, and what these stand for.
            asked: mode, size and time of the last change; none if there was nothing.
            workdir: the working directory here.
            there: that of the main process, for paths that are written out.
        """
        self._listings = listings
        self._asked = asked
        self._workdirs = (workdir, there)
        self._scandir = os.scandir
        self._stat, self._access = os.stat, os.access
        self._parsing = 0
        self._came_later: dict[str, os.stat_result] = {}

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
        ):
            setattr(owner, name, new)

    def _prepare(self) -> None:
        """Make folders, in which the workflow may make others, and see what only came later."""
        were_there = [name for name, told in self._asked.items() if told and _is_folder(told)]
        for name in (*self._listings, *were_there):
            folder = os.path.normpath(os.path.join(self._workdirs[0], name))
            if folder.startswith(f"{self._workdirs[0]}/"):
                with contextlib.suppress(OSError):  # it may lie in an input, which is read-only
                    os.makedirs(folder, exist_ok=True)
        for name in (name for name, told in self._asked.items() if told is None):
            path = os.path.join(self._workdirs[0], name)
            if os.path.isfile(path):
                self._came_later[name] = os.stat(path)

    def _answering(self, original: Callable[..., Any]) -> Any:
        @functools.wraps(original)
        def answering(path: Any, *args: Any, **kwargs: Any) -> Any:
            name = None if kwargs.get("dir_fd") is not None else self._name(path, self._asked)
            if name is None:
                return original(path, *args, **kwargs)
            told = self._asked[name]
            try:
                here = original(path, *args, **kwargs)
            except (FileNotFoundError, NotADirectoryError):
                if told is None:
                    raise
                return _told(told)
            if self._is_later(name):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            return here

        for able in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if original in able:
                able.add(answering)
        return answering

    def _allowing(self, original: Callable[..., bool]) -> Any:
        @functools.wraps(original)
        def allowing(path: Any, *args: Any, **kwargs: Any) -> bool:
            name = None if kwargs.get("dir_fd") is not None else self._name(path, self._asked)
            if name is None or (original(path, os.F_OK) and not self._is_later(name)):
                return original(path, *args, **kwargs)
            return self._asked[name] is not None

        return allowing

    def _is_later(self, name: str) -> bool:
        """Whether a file is here that the workflow has not seen, and has not made by itself."""
        before = self._came_later.get(name)
        path = os.path.join(self._workdirs[0], name)
        if before is None or not self._access(path, os.F_OK):
            return False
        now = self._stat(path)
        return (now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)

    def _replaced(self, original: Callable[..., Any]) -> Any:
        @functools.wraps(original)
        def replaced(path: Any = ".") -> Any:
            # Asked with bytes, it would have to answer with bytes.
            name = None if isinstance(path, bytes) else self._name(path, self._listings)
            if name is None:
                return original(path)
            entries = self._entries(os.fspath(path), self._listings[name])
            if original is self._scandir:
                return _Entries(entries)
            return [entry.name for entry in entries]

        return replaced

    def _name(self, path: Any, known: Mapping[str, Any]) -> Optional[str]:
        """Under which name it is known; none if it is not, or nothing is parsed."""
        if not self._parsing or not isinstance(path, (str, bytes, os.PathLike)):
            return None
        found = os.path.abspath(os.fsdecode(path))
        names = (os.path.relpath(found, workdir) for workdir in self._workdirs)
        return next((name for name in names if name in known), None)

    def _entries(self, folder: str, names: Mapping[str, str]) -> list[Any]:
        """Those of the main process in its order, then what is here besides."""
        here: dict[str, Any] = {}
        with contextlib.suppress(FileNotFoundError), self._scandir(folder) as entries:
            here = {entry.name: entry for entry in entries}
        seen = [here.pop(name, None) or _Entry(folder, name, kind) for name, kind in names.items()]
        return [*seen, *here.values()]


def _is_folder(told: Sequence[float]) -> bool:
    return stat.S_ISDIR(int(told[0]))


def _told(told: Sequence[float]) -> os.stat_result:
    """What `os.stat` returns for a file that is not here."""
    mode, size, changed = int(told[0]), int(told[1]), told[2]
    names = ("st_atime", "st_mtime", "st_ctime")
    exact = dict.fromkeys(names, changed)
    exact |= {f"{name}_ns": int(changed * 1e9) for name in names}
    owner = (os.getuid(), os.getgid())
    return os.stat_result((mode, 0, 0, 1, *owner, size, *3 * [int(changed)]), exact)


def heed_own_jobs_only() -> None:
    """Have Snakemake ask for inputs of the jobs of this task, and of no others.

    It would ask for those of what comes before, too: by `rules.x.output`, and of all of it where
    the workflow has checkpoints. Functions of the workflow would then look for files that are not
    here, and end the job. What comes before is done, whatever it needed.
    """
    from snakemake.dag import DAG  # noqa: PLC0415 - only in a task
    from snakemake.iocontainers import InputFiles  # noqa: PLC0415
    from snakemake.rules import Rule  # noqa: PLC0415

    def is_own(rule: Any) -> bool:
        allowed = rule.workflow.dag_settings.allowed_rules
        return not allowed or rule.name in allowed

    expand: Callable[..., Any] = Rule.expand_input
    begin: Callable[..., None] = DAG.__init__

    @functools.wraps(expand)
    def expand_input(self: Any, *args: Any, **kwargs: Any) -> Any:
        if is_own(self):
            return expand(self, *args, **kwargs)
        return InputFiles(), {}, {}, False

    @functools.wraps(begin)
    def init(self: Any, workflow: Any, rules: Any, *args: Any, **kwargs: Any) -> None:
        # What a checkpoint has made is looked up with the help of its job.
        heeded = [rule for rule in rules if rule.is_checkpoint or is_own(rule)]
        begin(self, workflow, heeded, *args, **kwargs)

    setattr(Rule, "expand_input", expand_input)  # noqa: B010 - mypy forbids it otherwise
    setattr(DAG, "__init__", init)  # noqa: B010


def hold_to(jobs: list[Any]) -> None:
    """End the run if a job has not as many inputs as in the main process, and use its params.

    Args:
        jobs: of each job its rule, wildcards and number of inputs, and the params that depend on
            files which are not here, by their places.
    """
    from snakemake.exceptions import WorkflowError  # noqa: PLC0415 - only in a task
    from snakemake.rules import Rule  # noqa: PLC0415

    told = {_key(rule, wildcards): (number, params) for rule, wildcards, number, params in jobs}
    expand_input: Callable[..., Any] = Rule.expand_input
    expand_params: Callable[..., Any] = Rule.expand_params

    def told_of(rule: Any, wildcards: Any) -> Any:
        return told.get(_key(rule.name, dict(wildcards or {})), (None, {}))

    @functools.wraps(expand_input)
    def checked(self: Any, wildcards: Any, *args: Any, **kwargs: Any) -> Any:
        found = expand_input(self, wildcards, *args, **kwargs)
        wanted, _ = told_of(self, wildcards)
        is_incomplete = found[-1]
        if wanted is not None and wanted != len(found[0]) and not is_incomplete:
            raise WorkflowError(
                f"Rule {self.name} has {len(found[0])} inputs in this task, and {wanted} where the "
                "workflow was started: it looks for files that are not in the task. Take their "
                "names from the configuration or a sample sheet, or send the files along with "
                "--cavatica-sources-include."
            )
        return found

    @functools.wraps(expand_params)
    def replaced(self: Any, wildcards: Any, *args: Any, **kwargs: Any) -> Any:
        returned = expand_params(self, wildcards, *args, **kwargs)
        params = returned[0] if isinstance(returned, tuple) else returned
        names = {place: name for name, (place, _) in params._get_names()}
        for place, value in told_of(self, wildcards)[1].items():
            params[int(place)] = value
            if int(place) in names:
                setattr(params, names[int(place)], value)
        return returned

    for name, new in (("expand_input", checked), ("expand_params", replaced)):
        setattr(Rule, name, new)


def _key(rule: str, wildcards: dict[str, str]) -> str:
    return json.dumps([rule, wildcards], sort_keys=True)


def parse_as_there(workdir: str, there: str) -> None:
    """Do all of it, by what was sent along.

    Args:
        workdir: the working directory here.
        there: that of the main process.
    """
    seen = os.path.join(os.path.dirname(__file__), "seen.json")
    with open(seen, encoding="utf-8") as file:
        Seen(**json.load(file), workdir=workdir, there=there).show()
    heed_own_jobs_only()
    hold_to(json.loads(os.environ.get("CAVATICA_JOBS", "[]")))
