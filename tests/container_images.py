"""Small images, made offline from what this machine has: no registry, no base image."""

from __future__ import annotations

import io
import posixpath
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import uuid
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REQUIRED = "CAVATICA_TESTS_NEED_CONTAINERS"
"""If this variable is set, tests of containers fail where they would be skipped."""
_UNUSED = {"site-packages", "test", "tests", "idlelib", "tkinter", "ensurepip", "solverdir"}
"""Folders of Python, R and their packages that a job does without."""
_PYTHON = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}").resolve()
_PREFIX = f"localhost/cavatica-test-{uuid.uuid4().hex[:12]}"
"""Of this process alone: other tests may run beside these."""


def obstacle() -> str | None:
    """Why there can be no containers here; None if nothing is known to be missing."""
    for program, package in (("podman", "podman"), ("runc", "runc"), ("busybox", "busybox-static")):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: {package})"
    ldd = subprocess.run(
        ["ldd", str(shutil.which("busybox"))], capture_output=True, text=True, check=False
    )
    if "not a dynamic" not in ldd.stderr + ldd.stdout:
        return "busybox is not a static one (Debian: busybox-static)"
    return None


ENVIRONMENT = "/opt/environment"
"""Where an image has what is installed here, in a folder that no container gets anew as `/tmp`."""


class Filesystem:
    """What is in an image, as it is put together."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        self._tar = tarfile.TarFile(fileobj=self._bytes, mode="w")
        self._names: set[str] = set()

    def folder(self, name: str, mode: int = 0o755) -> None:
        """An empty folder."""
        self._add(name, type=tarfile.DIRTYPE, mode=mode)

    def text(self, name: str, content: str, mode: int = 0o644) -> None:
        """A file with this content."""
        self._add(name, content.encode(), mode=mode)

    def link(self, name: str, target: str) -> None:
        """A symbolic link."""
        self._add(name, type=tarfile.SYMTYPE, linkname=target)

    def copy(self, name: str, source: Path) -> None:
        """A file of this machine, what it links to in its place."""
        status = source.stat()
        mode = status.st_mode & 0o755 | 0o444
        self._add(name, source.read_bytes(), mode=mode, mtime=int(status.st_mtime))

    def busybox(self, without: Iterable[str] = ()) -> None:
        """Busybox, with a link for each of its tools but some."""
        program = Path(str(shutil.which("busybox")))
        self.copy("/bin/busybox", program)
        tools = subprocess.run([program, "--list"], capture_output=True, text=True, check=True)
        for tool in sorted(set(tools.stdout.split()) - {"busybox", *without}):
            self.link(f"/bin/{tool}", "busybox")

    def program(self, name: str, source: Path) -> None:
        """A program of this machine, with the shared libraries that it needs."""
        self.copy(name, source)
        self.libraries([source])

    def libraries(self, sources: Iterable[Path]) -> None:
        """The shared libraries that programs and libraries of this machine need."""
        ldd = subprocess.run(
            ["ldd", *map(str, sources)], capture_output=True, text=True, check=False
        )
        words = {word for line in ldd.stdout.splitlines() for word in line.split()}
        for library in sorted(word for word in words if word.startswith("/") and word[-1] != ":"):
            self.copy(library, Path(library))

    def same(self, *sources: Path) -> None:
        """Files of this machine, at the same paths."""
        for source in sources:
            self.copy(str(source), source)

    def python(self, link: str) -> None:
        """This Python in the same place, with the standard library, and a link to it."""
        library = Path(sysconfig.get_path("stdlib"))
        files = [path for path in _used(library.rglob("*"), library) if path.suffix != ".a"]
        self.same(_PYTHON, *files)
        self.libraries([_PYTHON, *(file for file in files if file.suffix == ".so")])
        self.link(link, str(_PYTHON))

    def snakemake(self) -> None:
        """This Python and its Snakemake, in `ENVIRONMENT`; no plugin, and nothing else."""
        self.python(f"{ENVIRONMENT}/bin/python")
        files = [file for name in _closure("snakemake") for file in _installed(name)]
        for file in (Path(sys.prefix, "pyvenv.cfg"), *files):
            self.copy(f"{ENVIRONMENT}/{file.relative_to(sys.prefix)}", file)
        self.libraries(file for file in files if file.suffix == ".so")

    def r(self) -> None:
        """R as Debian has it, with the tools that it calls."""
        home = subprocess.run(["R", "RHOME"], capture_output=True, text=True, check=True)
        folder = Path(home.stdout.strip())
        for place in (folder, Path("/usr/share/R/share"), Path("/etc/R")):
            self.same(*_used(place.rglob("*"), place))
        # Its front end is a script for bash, and it calls `which` by this very path.
        for program in (Path("/bin/bash"), Path("/usr/bin/Rscript"), folder / "bin/exec/R"):
            self.program(str(program), program)
        self.libraries(folder.rglob("*.so"))
        self.busybox()
        self.link("/usr/bin/which", "/bin/busybox")

    def _add(self, name: str, content: bytes = b"", **fields: Any) -> None:
        """The first of a name stays; folders above it are made."""
        name = posixpath.normpath(name).strip("/")
        if not name or name in self._names:
            return
        self._names.add(name)
        self.folder(posixpath.dirname(name))
        member = tarfile.TarInfo(name)
        for field, value in {**fields, "size": len(content)}.items():
            setattr(member, field, value)
        self._tar.addfile(member, io.BytesIO(content))

    def archive(self) -> bytes:
        """All of it as a tar file."""
        self._tar.close()
        return self._bytes.getvalue()


def _closure(name: str, known: frozenset[str] = frozenset()) -> frozenset[str]:
    """The names of a distribution and of all that it needs, as they are installed."""
    if name in known:
        return known
    known |= {name}
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            known = _closure(canonicalize_name(requirement.name), known)
    return known


def _installed(name: str) -> list[Path]:
    """The modules of a distribution."""
    packages = Path(sysconfig.get_path("purelib"))
    files = metadata.distribution(name).files or ()
    paths = (Path(str(file.locate())) for file in files)
    return _used((path for path in paths if path.is_relative_to(packages)), packages)


def _used(paths: Iterable[Path], top: Path) -> list[Path]:
    """The files that a job may need."""
    return [
        path for path in paths if not _UNUSED & {*path.relative_to(top).parts} and path.is_file()
    ]


def image_name(name: str) -> str:
    """The full name of an image that is called so in a test."""
    return f"{_PREFIX}/{name}:1"


class Images:
    """The images of one run of the tests."""

    def __init__(self) -> None:
        self._made: set[str] = set()

    def make(self, name: str, content: Filesystem, *settings: str) -> str:
        """Make an image; settings are lines of a Dockerfile, such as `USER 1234`."""
        changes = [f"--change={setting}" for setting in settings]
        options = [*changes, "--quiet", "-", image_name(name)]
        made = podman("import", *options, content=content.archive())
        # By their ids: a name that was made again stands for the last one only.
        self._made.add(made.strip())
        return image_name(name)

    def trial(self, content: Filesystem, options: list[str]) -> str | None:
        """Run a container of a new image; why that does not work, None if it does."""
        try:
            podman("run", "--rm", *options, self.make("trial", content), "true")
        except AssertionError as error:
            return str(error).strip()
        return None

    def remove(self) -> None:
        """Remove all of them."""
        if self._made:
            podman("rmi", "--force", *self._made)


def podman(*arguments: str, content: bytes = b"") -> str:
    """What a command of podman prints."""
    done = subprocess.run(["podman", *arguments], input=content, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode()
