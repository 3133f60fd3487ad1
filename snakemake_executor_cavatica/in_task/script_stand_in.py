"""What a Python script has of Snakemake where Snakemake is not installed; shipped with the sources.

The head of a prepared script (see `prepared_script.py`) makes its object `snakemake` of the classes
here. What else scripts import of Snakemake, `shell` above all, is put in its place only if the
image does not have it. Whatever Python the image has, from 3.6 on, has to understand this file; it
may import nothing but the standard library.
"""

import importlib
import importlib.util
import logging
import os
import pickle
import shlex
import shutil
import string
import subprocess
import sys
import tempfile
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Tuple

__all__ = ["Namedlist", "OrderedDict", "Path", "Snakemake", "begin", "logger"]

logger = logging.getLogger("snakemake.logging")

_LIBRARIES = {"np": "numpy", "pd": "pandas", "pl": "polars"}
_LONGEST_ARGUMENT = 65535
"""Bytes; Linux takes twice as much."""


# ------------------------------------------------------------------------ the object `snakemake`


class _Reserved:
    """In the place of a method of lists that a name of the rule may take."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        raise AttributeError(
            f"{self._name}() cannot be used on snakemake input, output, resources etc.; convert to "
            "a plain list before."
        )


class Namedlist(list):  # type: ignore[type-arg]
    """A list whose items, or stretches of it, may have names."""

    def __init__(self, items: Any = (), names: Optional[Dict[str, Any]] = None) -> None:
        """`names` gives the first position and the end; the end of a single item is None."""
        list.__init__(self, items)
        self._names = dict(names or {})
        for name in ("index", "sort"):
            setattr(self, name, _Reserved(name))
        for name, (start, end) in self._names.items():
            setattr(self, name, self[start] if end is None else Namedlist(self[start:end]))

    def keys(self) -> Any:
        """The names."""
        return self._names.keys()

    def items(self) -> Iterator[Tuple[str, Any]]:
        """Each name with its item or list."""
        for name in self._names:
            yield name, getattr(self, name)

    def get(self, key: str, default_value: Any = None) -> Any:
        """The item with that name, or the default."""
        value = self.__dict__.get(key, default_value)
        return default_value if isinstance(value, _Reserved) else value

    def __getitem__(self, key: Any) -> Any:
        return getattr(self, key) if isinstance(key, str) else list.__getitem__(self, key)

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))

    def __str__(self) -> str:
        return " ".join(map(str, self))


class Snakemake:
    """A job, as its script sees it."""

    def __init__(self, params: Namedlist, params_types: Dict[int, str], **fields: Any) -> None:
        """`params_types` says which parameters are to become tables or arrays again."""
        self._params_store = params
        self._params_types = params_types
        self.__dict__.update(fields)

    @property
    def params(self) -> Namedlist:
        """The parameters."""
        items = list(self._params_store)
        for position, kind in self._params_types.items():
            items[position] = _restored(kind, items[position])
        return Namedlist(items, self._params_store._names)

    def log_fmt_shell(self, stdout: bool = True, stderr: bool = True, append: bool = False) -> str:
        """What a command ends with so that its output goes to the log, if there is one."""
        log = str(self.__dict__["log"])
        if not log or not (stdout or stderr):
            return ""
        stream = "" if stdout else "2"
        arrow = ">>" if append else ">"
        both = " 2>&1" if stdout and stderr else ""
        return f" {stream}{arrow} {log}{both}"


def _restored(kind: str, value: Any) -> Any:
    """A parameter that Snakemake took apart, made anew: kinds are like pd.DataFrame."""
    package, _, name = kind.partition(".")
    try:
        library = importlib.import_module(_LIBRARIES[package])
    except ImportError as error:
        raise ImportError(
            f"The rule has a parameter that is a {kind}, and the image of the script lacks the "
            f"package for it: {error}"
        ) from error
    if kind == "pd.DataFrame":
        return library.DataFrame.from_dict(value)
    if kind == "np.ndarray":
        return library.array(value)
    if kind == "pl.Series":
        return library.Series(**value)
    if package == "pl":
        table = library.from_dict(value)
        return table.lazy() if name == "LazyFrame" else table
    return library.Series(value)


def path(relative: str) -> str:
    """Where a file of the workflow is, from the directory that the job runs in."""
    return os.path.realpath(relative)


def filled(text: str) -> str:
    """A text with the task's own folders in the place of the placeholders for them."""
    return text.replace("\0tmpdir\0", os.environ["TMPDIR"]).replace("\0workdir\0", os.getcwd())


def unpickled(name: str, data: bytes) -> Any:
    """An object of a class of the standard library."""
    try:
        return pickle.loads(data)
    except Exception as error:
        raise RuntimeError(
            f"The script is given a {name}, which Python {sys.version.split()[0]} cannot read: "
            f"{error}"
        ) from error


def number(kind: str, value: Any) -> Any:
    """A number of numpy, or the plain one where there is no numpy."""
    try:
        numpy = importlib.import_module("numpy")
    except ImportError:
        return value
    return numpy.dtype(kind).type(value)


# ------------------------------------------------------------------------------- snakemake.utils


class _QuotedFormatter(string.Formatter):
    """Takes `q` at the end of a format for a wish to quote for a shell, `u` for the contrary."""

    def format_field(self, value: Any, format_spec: str) -> str:
        quoted = format_spec.endswith("q")
        if quoted or format_spec.endswith("u"):
            format_spec = format_spec[:-1]
        text = super().format_field(value, format_spec)
        return shlex.quote(text) if quoted and text else text


class _SequenceFormatter(_QuotedFormatter):
    """Formats the members of lists one by one, with spaces between them."""

    def format_field(self, value: Any, format_spec: str) -> str:
        one = super().format_field
        if isinstance(value, (list, tuple, set, frozenset)):
            return " ".join(one(member, format_spec) for member in value)
        return one(value, format_spec)


def format(_pattern: str, *args: Any, stepout: int = 1, **kwargs: Any) -> str:  # noqa: A001 - Snakemake's name
    """Fill in the variables of the caller, `stepout` calls above."""
    frame = sys._getframe(stepout)
    variables = {**frame.f_globals, **frame.f_locals, **kwargs}
    try:
        return _SequenceFormatter().vformat(_pattern, args, variables)
    except KeyError as error:
        raise NameError(
            f"The name {error} is unknown in this context. Please make sure that you defined that "
            "variable. Also note that braces not used for variable access have to be escaped by "
            "repeating them, i.e. {{print $1}}"
        ) from error


# ------------------------------------------------------------------------------- snakemake.shell


class shell:  # noqa: N801 - Snakemake's name
    """Runs a command in bash, in strict mode; where there is no bash, in sh."""

    _executable = shutil.which("bash") or shutil.which("sh")
    _prefix: Optional[str] = None
    _suffix = ""

    def __new__(
        cls, cmd: str, *args: Any, iterable: bool = False, read: bool = False, **kwargs: Any
    ) -> Any:
        """Run it; return what it prints if that is to be read, line by line if `iterable`."""
        command = cls._whole(format(cmd, *args, stepout=2, **kwargs))
        environment = dict(os.environ, **kwargs.get("additional_envvars", {}))
        folder = None
        if len(os.fsencode(command)) > _LONGEST_ARGUMENT:
            folder = tempfile.mkdtemp()
            arguments = [os.path.join(folder, "script.sh")]
            with open(arguments[0], "w") as stream:
                stream.write(command)
        else:
            arguments = ["-c", command]
        process = subprocess.Popen(
            [str(cls._executable), *arguments],
            stdout=subprocess.PIPE if iterable or read else None,
            universal_newlines=True,
            env=environment,
        )
        if iterable:
            return cls._lines(process, command, folder)
        printed = process.communicate()[0]
        cls._end(process, command, folder)
        return printed

    @classmethod
    def executable(cls, cmd: str) -> None:
        """Use another shell from now on."""
        found = shutil.which(str(cmd))
        if found is None:
            raise RuntimeError(f"The image has no shell {cmd}.")
        cls._executable = found

    @classmethod
    def get_executable(cls) -> Optional[str]:
        """The shell in use."""
        return cls._executable

    @classmethod
    def prefix(cls, prefix: str) -> None:
        """Put this before all commands from now on."""
        cls._prefix = format(prefix, stepout=2)

    @classmethod
    def suffix(cls, suffix: str) -> None:
        """Put this behind all commands from now on."""
        cls._suffix = format(suffix, stepout=2)

    @classmethod
    def check_output(cls, cmd: str, **kwargs: Any) -> Any:
        """What a command prints, as `subprocess` has it."""
        return subprocess.check_output(cmd, shell=True, executable=cls._executable, **kwargs)

    @classmethod
    def _whole(cls, command: str) -> str:
        prefix = cls._prefix
        if prefix is None:
            is_bash = os.path.basename(str(cls._executable)) == "bash"
            prefix = "set -euo pipefail; " if is_bash else ""
        return " ".join((prefix, command, cls._suffix)).strip()

    @classmethod
    def _lines(cls, process: Any, command: str, folder: Optional[str]) -> Iterator[str]:
        for line in process.stdout:
            yield line[:-1]
        cls._end(process, command, folder)

    @staticmethod
    def _end(process: Any, command: str, folder: Optional[str]) -> None:
        status = process.wait()
        if folder:
            shutil.rmtree(folder)
        if status:
            raise subprocess.CalledProcessError(status, command)


# ------------------------------------------------------------------------------- taking its place


class WorkflowError(Exception):
    """Snakemake's own, for scripts that raise it."""


def begin(snakemake: Snakemake, search_path: List[str], imported: List[str]) -> None:
    """Let a script find what it imports: of the workflow, and of Snakemake if that is absent.

    `imported` are modules of Snakemake from which the script imports `snakemake`, the object.
    """
    # Before the workflow's own folders are searched: one of them may be called snakemake.
    found = importlib.util.find_spec("snakemake")
    if found is None or found.origin in (None, "namespace"):
        _take_the_place_of_snakemake()
    for name in imported:
        importlib.import_module(name).__dict__["snakemake"] = snakemake
    sys.path.extend(os.path.abspath(folder) for folder in search_path)


def _take_the_place_of_snakemake() -> None:
    package = types.ModuleType("snakemake", "Stands in for Snakemake, which this image lacks.")
    package.__path__ = []
    sys.modules["snakemake"] = package
    containers = {"Namedlist": Namedlist, "Snakemake": Snakemake}
    contents: Dict[str, Dict[str, Any]] = {
        "exceptions": {"WorkflowError": WorkflowError},
        "io": {"Namedlist": Namedlist},
        "iocontainers": containers,
        "logging": {"logger": logger},
        "script": containers,
        "shell": {"shell": shell},
        "utils": {"format": format},
    }
    for name, content in contents.items():
        module = types.ModuleType(f"snakemake.{name}", package.__doc__)
        module.__dict__.update(content)
        sys.modules[module.__name__] = module
        setattr(package, name, module)
