"""What a coordinator brings along: the plugin, the workflow's files, its metadata, instructions."""

from __future__ import annotations

import importlib.util
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path

from ..api import Token
from ..read.fetched import files_of_parts
from ..read.source_archive import refuse_secret
from ..read.sources import Sources
from .instructions import FILE, PLUGIN, WORKFLOW, Instructions

_DISTRIBUTION = "snakemake-executor-plugin-cavatica"
_PACKAGES = (
    "snakemake_executor_cavatica",
    "snakemake_executor_plugin_cavatica",
    "snakemake_report_plugin_cavatica",
    "snakemake_storage_plugin_cavatica",
)
METADATA = ".snakemake/metadata"
"""Of results, by which Snakemake knows whether rules have changed since."""


def write_bundle(
    target: Path,
    instructions: Instructions,
    sources: Sources,
    top: Path,
    more: Mapping[str, Path],
    *,
    secret: Token,
) -> None:
    """Write it as a compressed tar file.

    Args:
        top: the folder that holds the workflow, and the place where Snakemake is started.
        more: further files, by where they go below that.

    Raises:
        ConfigurationError: a file of the workflow holds the secret.
    """
    with tarfile.open(target, "w:gz", compresslevel=6) as archive:
        for name, path in _plugin():
            _add(archive, path, f"{PLUGIN}/{name}")
        _add_text(archive, f"{PLUGIN}/{_info()}/METADATA", _metadata())
        for name, path in _of_workflow(sources, top, more):
            refuse_secret(path, path.read_bytes(), secret)
            _add(archive, path.resolve(), f"{WORKFLOW}/{name}")
        for name, content, copy in files_of_parts():
            if copy:
                refuse_secret(copy, content, secret)
            _add_bytes(archive, name, content)
        workdir = sources.root / sources.workdir
        for path in _below(workdir / METADATA):
            _add(archive, path, f"{WORKFLOW}/{path.relative_to(top)}")
        for folder in {instructions.start, instructions.workdir}:
            _add_folder(archive, f"{WORKFLOW}/{folder}")
        _add_text(archive, FILE, instructions.text())


def _of_workflow(
    sources: Sources, top: Path, more: Mapping[str, Path]
) -> Iterator[tuple[str, Path]]:
    for path in sources.files:
        yield str(path.relative_to(top)), path
    yield from more.items()


def _plugin() -> Iterator[tuple[str, Path]]:
    """The files of this very version, however it is installed."""
    for package in _PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        folder = Path(spec.origin).parent
        for path in _below(folder):
            if "__pycache__" not in path.parts:
                yield f"{package}/{path.relative_to(folder)}", path


def _info() -> str:
    return f"{_DISTRIBUTION.replace('-', '_')}-{distribution(_DISTRIBUTION).version}.dist-info"


def _metadata() -> str:
    return distribution(_DISTRIBUTION).read_text("METADATA") or ""


def _below(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    archive.add(path, name, filter=_nobodys)


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Whose file it is here means nothing elsewhere."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _add_text(archive: tarfile.TarFile, name: str, text: str) -> None:
    _add_bytes(archive, name, text.encode())


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _add_folder(archive: tarfile.TarFile, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(member)
