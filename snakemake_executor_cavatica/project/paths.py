"""Paths on the platform, and how workflow paths become them.

The platform lets a file have any name but one with `/` in it (255 characters at most), while a
folder's name may only hold letters, digits and `_ - .` and must not start with `__` (documented).
So folder names are encoded, reversibly, and file names never are.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..api.errors import ConfigurationError

SCHEME = "cavatica://"
DRS = "drs://"
MAX_NAME = 255

_OWN_FOLDER = ".cavatica"
"""Below a job's working directory: what the plugin itself puts there."""
_OUTSIDE = f"{_OWN_FOLDER}/outside"
_PLAIN = re.compile(r"[A-Za-z0-9_.-]")
_ESCAPE = re.compile(r"_\.([0-9A-F]{2})")


def encode_folder(name: str) -> str:
    """The folder name that stands for `name` on the platform; names that are allowed stay.

    Every other UTF-8 byte is written `_.XX`. A `_` that would read as the start of such an escape,
    or of a reserved `__` name, is escaped itself, so no two names share an encoding.

    Raises:
        ConfigurationError: the encoded name is longer than the platform allows.
    """
    result = _encoded(name)
    if len(result) > MAX_NAME:
        raise _refusal(
            f"The folder name {name!r} is too long for the platform: {len(result)} characters "
            f"after encoding, {MAX_NAME} are allowed. Shorten it in the workflow."
        )
    return result


def _encoded(name: str) -> str:
    if name in {".", ".."}:
        return "_.2E" * len(name)
    encoded = []
    for character, following in pairwise(f"{name} "):
        if _PLAIN.fullmatch(character) and character + following != "_.":
            encoded.append(character)
        else:
            encoded.extend(f"_.{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))
    result = "".join(encoded)
    return f"_.5F{result[1:]}" if result.startswith("__") else result


def is_encoded(name: str) -> bool:
    """Whether a folder of that name has another one on the platform."""
    return _encoded(name) != name


def decode_folder(name: str) -> str:
    """The inverse of `encode_folder`; folders that were not made by it decode to themselves."""
    if not _ESCAPE.search(name):
        return name
    # Every second part is the number of a byte, since the pattern has one group.
    parts = enumerate(_ESCAPE.split(name))
    raw = b"".join(
        bytes.fromhex(part) if index % 2 else part.encode("utf-8", "surrogatepass")
        for index, part in parts
    )
    try:
        decoded = raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return name
    return decoded if _encoded(decoded) == name else name


@dataclass(frozen=True, order=True)
class ProjectPath:
    """A file or folder by its place: `path` is relative to the project's root, decoded."""

    project: str
    """owner/project"""
    path: str

    @classmethod
    def parse(cls, query: str) -> ProjectPath:
        """From a storage query `cavatica://owner/project/path`.

        Raises:
            ValueError: with a sentence that says what is wrong with the query.
        """
        if not query.startswith(SCHEME):
            raise ValueError(f"it has to start with {SCHEME}")
        owner, _, rest = query.removeprefix(SCHEME).partition("/")
        project, _, path = rest.partition("/")
        if {owner, project} & {"", ".", ".."}:
            raise ValueError(f"it has to name owner and project: {SCHEME}owner/project/path")
        parts = [part for part in path.split("/") if part not in {"", "."}]
        if ".." in parts:
            raise ValueError("it must not contain '..'")
        return cls(f"{owner}/{project}", "/".join(parts))

    @property
    def query(self) -> str:
        """As a storage query."""
        return f"{SCHEME}{self.project}/{self.path}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return posixpath.basename(self.path)

    @property
    def parent(self) -> ProjectPath:
        """The folder that it lies in; the root is its own parent."""
        return ProjectPath(self.project, posixpath.dirname(self.path))

    def __truediv__(self, part: str) -> ProjectPath:
        return ProjectPath(self.project, posixpath.join(self.path, part))

    @property
    def folder_location(self) -> str:
        """As a folder in a task's `output_location`: absolute and encoded."""
        return "/" + "/".join(encode_folder(part) for part in self.path.split("/") if part)

    def __str__(self) -> str:
        return self.query


@dataclass(frozen=True, order=True)
class LocalPath:
    """A file or folder of the workflow on this machine, as the workflow names it."""

    path: str

    def __str__(self) -> str:
        return self.path


Place = ProjectPath | LocalPath
"""Where a file of the workflow lives outside of the tasks."""


def in_task(path: str) -> str:
    """Where a command that runs in a task finds `path`: relative to the job's working directory.

    Absolute and `../` paths cannot exist in a task; they get a place of their own, below which all
    folders keep their names, because commands take samples from them. So do paths below that very
    place.
    """
    normal = posixpath.normpath(path)
    if not posixpath.isabs(normal) and normal.split("/")[0] not in {"..", _OWN_FOLDER}:
        return normal
    if posixpath.basename(normal) in {"", ".."}:
        # The root or a folder above. It has no name, and all the others lie in it.
        digest = hashlib.sha256(normal.encode("utf-8", "surrogatepass")).hexdigest()
        return f"{_OUTSIDE}/{digest[:12]}/folder"
    start, rest = _start(normal)
    return f"{_OUTSIDE}/{start}/{rest}"


def is_outside(path: str) -> bool:
    """Whether a path has another place in a task."""
    return in_task(path) != posixpath.normpath(path)


def _start(path: str) -> tuple[str, str]:
    """Where a path outside begins, in a word, and how it goes on from there."""
    names = path.split("/")
    if names[0] == _OWN_FOLDER:
        return "own", path
    above = names.count("..")
    if above:
        return f"above{above}", "/".join(names[above:])
    rest = path.lstrip("/")
    slashes = len(path) - len(rest)  # to POSIX, `//x` may be something else than `/x`
    return "root" if slashes == 1 else f"root{slashes}", rest


def check_output(place: Place, *, folder: bool) -> None:
    """Refuse an output that the platform cannot store at its place.

    Raises:
        ConfigurationError: with the name and the limit.
    """
    check_path(place.path)
    if isinstance(place, ProjectPath):
        _ = place.parent.folder_location  # its folders have to have names, too
    if folder:
        encode_folder(posixpath.basename(place.path))


def check_path(path: str) -> None:
    """Refuse a path that cannot exist in a task.

    The platform allows names of 255 characters (documented), the file systems of its instances
    255 bytes (Linux).

    Raises:
        ConfigurationError: a part of it is too long, or not text.
    """
    check_text(path, "The file name")
    for name in path.split("/"):
        size = len(name.encode())
        if size > MAX_NAME:
            raise _refusal(
                f"The file name {name[:60]!r}... has {size} bytes as UTF-8; a task can hold "
                f"{MAX_NAME}. Shorten it in the workflow."
            )


def check_text(text: str, what: str) -> None:
    """Refuse what neither JSON nor a shell can carry.

    That is bytes that are not UTF-8, which Python reads as surrogates, and NUL.

    Raises:
        ConfigurationError: `what` says what `text` is, as the start of a sentence.
    """
    if "\0" in text:
        raise _refusal(f"{what} {_excerpt(text, text.index(chr(0)))} holds a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise _refusal(
            f"{what} {_excerpt(text, error.start)} is not valid UTF-8, and the platform knows no "
            "other text."
        ) from None


def _excerpt(text: str, position: int) -> str:
    return repr(text[max(0, position - 20) : position + 21])


def _refusal(message: str) -> ConfigurationError:
    # Snakemake reads this module at each start, and the API client is large.
    from ..api.errors import ConfigurationError  # noqa: PLC0415

    return ConfigurationError(message)
