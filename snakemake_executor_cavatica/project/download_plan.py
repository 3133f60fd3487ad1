"""Files of projects that are to be on this machine: what is missing here, and how it is fetched."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..api import CavaticaError, Client, File, Stop
from ..api.checksums import CHECKSUM_KEY, CRC_KEY
from ..api.download import download
from .found import Found, below
from .paths import MAX_NAME, ProjectPath
from .same_content import Chosen, has_same_content, seconds_of_making


@dataclass(frozen=True)
class Incoming:
    """A file of a project and where it is to be on this machine."""

    place: ProjectPath
    file: File
    target: Path

    @property
    def size(self) -> int:
        """Bytes."""
        return self.file.size or 0

    @property
    def checksum(self) -> str | None:
        """With which what arrives is compared: the one that takes less time, if both are known."""
        known = self.file.metadata.get(CRC_KEY) or self.file.metadata.get(CHECKSUM_KEY)
        return str(known) if known else None


@dataclass
class DownloadPlan:
    """What is to be done so that all is here."""

    folders: set[Path] = field(default_factory=set)
    """Those that have to be here."""
    missing: list[Incoming] = field(default_factory=list)
    different: list[Incoming] = field(default_factory=list)
    """There is a file of that name with another content."""
    there: list[Incoming] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes to be fetched."""
        return sum(item.size for item in (*self.missing, *self.different))


def plan_downloads(
    client: Client, sources: Sequence[tuple[Found, Path]], chosen: Chosen
) -> DownloadPlan:
    """See what of these files and folders is missing on this machine.

    Raises:
        CavaticaError: something of it cannot be stored here.
    """
    plan = DownloadPlan()
    wanted: dict[Path, Incoming] = {}
    for source, target in sources:
        for item, path in _items(client, source, target, chosen):
            if item.is_folder:
                if not (chosen.include or chosen.exclude):
                    plan.folders.add(path)
            elif path in wanted:
                raise CavaticaError(f"{item.place} and {wanted[path].place} would both be {path}.")
            elif item.file is not None:
                wanted[path] = Incoming(item.place, item.file, path)
    _check(plan, wanted)
    _sort(client, plan, list(wanted.values()))
    return plan


def _items(
    client: Client, source: Found, target: Path, chosen: Chosen
) -> Iterator[tuple[Found, Path]]:
    """What is to be here, and where."""
    yield source, target
    start = f"{source.place.path}/" if source.place.path else ""
    for item in below(client, [source]) if source.is_folder else []:
        relative = item.place.path.removeprefix(start)
        if not chosen.wants(relative):
            continue
        if len(item.place.name.encode("utf-8", "surrogatepass")) > MAX_NAME:
            raise CavaticaError(
                f"{item.place} has a name that is too long for this machine; --exclude leaves it "
                "out."
            )
        yield item, target / relative


def _check(plan: DownloadPlan, wanted: dict[Path, Incoming]) -> None:
    """Refuse what would be a file and a folder."""
    folders = plan.folders | {above for path in wanted for above in path.parents}
    for path in folders:
        if path in wanted:
            raise CavaticaError(f"{wanted[path].place} is a file, and a folder of its name, too.")
        if path.exists() and not path.is_dir():
            raise CavaticaError(f"{path} is a file here, and on the platform it is a folder.")
    for path, item in wanted.items():
        if path.is_dir():
            raise CavaticaError(f"{path} is a folder here, and {item.place} is a file.")


def _sort(client: Client, plan: DownloadPlan, wanted: Sequence[Incoming]) -> None:
    """Files are compared several at a time, since their checksums take time."""
    compare = [item for item in wanted if item.target.exists()]
    known = {item.target for item in compare}
    plan.missing = [item for item in wanted if item.target not in known]
    same: set[Path] = set()

    def compare_one(item: Incoming, _: Stop) -> None:
        equal = has_same_content(item.target, item.file)
        if equal is None:
            made = seconds_of_making(item.file)
            equal = made is not None and item.target.stat().st_mtime >= made
        if equal:
            same.add(item.target)

    client.files.each(compare_one, compare, client.stop)
    plan.there = [item for item in compare if item.target in same]
    plan.different = [item for item in compare if item.target not in same]


def check_space(plan: DownloadPlan, target: Path) -> None:
    """Refuse what does not fit.

    Raises:
        CavaticaError: there is less space than the files need.
    """
    there = next(path for path in (target.absolute(), *target.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if plan.size > free:
        raise CavaticaError(
            f"There are {free / 1e9:.1f} GB of space at {there}, and what is to be fetched has "
            f"{plan.size / 1e9:.1f} GB. Make space, or name another folder."
        )


def fetch_missing(client: Client, plan: DownloadPlan, fetched: Callable[[Incoming], None]) -> None:
    """Download what is missing or different; `fetched` is told of each file that has arrived.

    Raises:
        CavaticaError, OSError: it did not work; what has arrived stays, and is not fetched again.
    """
    for folder in sorted(plan.folders):
        folder.mkdir(parents=True, exist_ok=True)

    def fetch_one(item: Incoming, stop: Stop) -> None:
        download(
            client,
            item.file.id,
            item.target,
            size=item.file.size,
            stop=stop,
            checksum=item.checksum,
            version=str(item.file.modified_on),
        )
        fetched(item)

    client.files.each(fetch_one, [*plan.missing, *plan.different], client.stop)
