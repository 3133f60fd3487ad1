"""Files and their metadata as a table: a row a file, or a row a sample with its reads. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..api import CavaticaError, File
from .found import Found

READ = "paired_end"
"""Metadata key (documented) that tells the two files of a pair of reads from each other."""
_READS = {"1": "r1", "2": "r2", "r1": "r1", "r2": "r2"}
_ALONE = "file"
_OWN = "snakemake_"
"""Keys that begin so are the plugin's own."""

Row = dict[str, str]


@dataclass
class SampleTable:
    """Columns, rows, and the places of files that a table of samples cannot place."""

    columns: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    without_group: list[str] = field(default_factory=list)
    """They lack a key by which the others are grouped, and are left out."""
    without_read: list[str] = field(default_factory=list)
    """They do not say which file of a pair they are."""


def told_by(file: File) -> Row:
    """The metadata of a file that people have written."""
    return {
        key: str(value)
        for key, value in file.metadata.items()
        if value not in (None, "") and not key.startswith(_OWN)
    }


def is_wanted(file: File, where: Mapping[str, Sequence[str]]) -> bool:
    """Whether a file has one of the values that are wanted of each key."""
    metadata = told_by(file)
    return all(metadata.get(key) in values for key, values in where.items())


def table_of_files(files: Sequence[tuple[Found, File]]) -> SampleTable:
    """A row a file."""
    rows = [
        {"path": str(found.place), "id": file.id, "size": str(file.size or 0)}
        | _columns(told_by(file), {"path", "id", "size"})
        for found, file in files
    ]
    return SampleTable(_all_columns(["path", "id", "size"], rows), rows)


def table_of_groups(files: Sequence[tuple[Found, File]], keys: Sequence[str]) -> SampleTable:
    """A row for each group of files that have the same values of `keys`, with its reads.

    Raises:
        CavaticaError: a group has two files of one read.
    """
    table = SampleTable()
    groups: dict[tuple[str, ...], dict[str, tuple[Found, File]]] = {}
    for found, file in files:
        metadata = told_by(file)
        if not all(key in metadata for key in keys):
            table.without_group.append(str(found.place))
            continue
        told = metadata.get(READ, "").strip()
        if not told:
            table.without_read.append(str(found.place))
        group = tuple(metadata[key] for key in keys)
        read = _read(told, found)
        reads = groups.setdefault(group, {})
        if read in reads:
            _refuse(keys, group, told, (reads[read][0], found))
        reads[read] = (found, file)
    table.rows = [_row(keys, group, reads) for group, reads in sorted(groups.items())]
    used = {read for reads in groups.values() for read in reads}
    names = [name for name in ("r1", "r2", _ALONE) if name in used]
    first = [*keys, *names, *(f"{name}_id" for name in names)]
    table.columns = _all_columns(first, table.rows)
    return table


def _read(told: str, found: Found) -> str:
    if not told:
        return _ALONE
    read = _READS.get(told.lower())
    if read is None:
        raise CavaticaError(
            f"{found.place} has {READ}={told!r} in its metadata, and only 1 and 2 are reads of a "
            "pair. Correct it on the platform, or choose other files with --where."
        )
    return read


def _refuse(keys: Sequence[str], group: tuple[str, ...], read: str, two: Sequence[Found]) -> None:
    name = ", ".join(f"{key}={value}" for key, value in zip(keys, group, strict=True))
    of_read = f" with {READ}={read}" if read else f" without {READ}"
    raise CavaticaError(
        f"{name} has two files{of_read}: {two[0].place} and {two[1].place}. Tell them apart by "
        "further keys (--group-by sample_id,library_id), or choose with --where."
    )


def _row(
    keys: Sequence[str], group: tuple[str, ...], reads: Mapping[str, tuple[Found, File]]
) -> Row:
    """What all files of a group agree on is told of the group."""
    row: Row = dict(zip(keys, group, strict=True))
    for read, (found, file) in reads.items():
        row |= {read: str(found.place), f"{read}_id": file.id}
    told = [told_by(file) for _, file in reads.values()]
    common = {
        key: value
        for key, value in told[0].items()
        if key not in keys and key != READ and all(other.get(key) == value for other in told)
    }
    return row | _columns(common, {*_ours(), *keys})


def _ours() -> set[str]:
    names = ("r1", "r2", _ALONE)
    return {*names, *(f"{name}_id" for name in names)}


def _columns(metadata: Mapping[str, str], taken: set[str]) -> Row:
    """Metadata as columns; a key that is called like one of ours has a prefix."""
    return {(f"metadata_{key}" if key in taken else key): value for key, value in metadata.items()}


def _all_columns(first: Sequence[str], rows: Sequence[Row]) -> list[str]:
    others = {column for row in rows for column in row} - set(first)
    return [*first, *sorted(others)]
