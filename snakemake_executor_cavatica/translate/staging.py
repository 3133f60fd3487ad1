"""How inputs, which are the arguments of a job's script, get to their paths."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from shlex import quote

from ..plan.plan import JobPlan, StagedInput
from ..project.paths import encode_folder


def input_order(plan: JobPlan) -> list[StagedInput]:
    """The inputs as the script's arguments: port after port, since a tool binds whole ports."""
    ports = list(dict.fromkeys(staged.port for staged in plan.inputs))
    return sorted(plan.inputs, key=lambda staged: ports.index(staged.port))


def staging(plan: JobPlan, *, opening: bool = True) -> Iterator[str]:
    """Bring the inputs to their paths: the arguments in their order, then what is in parcels.

    With `opening`, the parcels are the first arguments.
    """
    for _ in plan.parcels if opening else ():
        yield 'open_parcel "$1"; shift'
    yield from _staging((staged, '"$1"; shift') for staged in input_order(plan))
    yield from _staging((one.staged, f'"$parcels/{one.name}"') for one in plan.in_parcels)


def _staging(inputs: Iterable[tuple[StagedInput, str]]) -> Iterator[str]:
    """Bring inputs from where the shell finds them to their paths.

    Each folder is named once: thousands of inputs have to fit into a task of bounded size.
    """
    folder = None
    for staged, found in inputs:
        parent, name = posixpath.split(staged.path)
        if parent != folder:
            folder = parent
            yield f"at={quoted_path(f'{parent}/') if parent else './'}"
        yield f'{_stage(staged)} "$at"{quote(name)} {found}'
        yield from _decoded_folders(staged)


def _decoded_folders(staged: StagedInput) -> Iterator[str]:
    """Give folders the names that they cannot have on the platform."""
    for folder in staged.encoded:
        path = posixpath.join(staged.path, folder)
        parent, name = posixpath.split(path)
        stored, wanted = quoted_path(f"{parent}/{encode_folder(name)}"), quoted_path(path)
        # Unless somebody else has made them, under yet another name.
        yield f"[ ! -d {stored} ] || mv {stored} {wanted} || die 'cannot rename '{stored}"


def staging_by_name(inputs: Iterable[tuple[StagedInput, str]]) -> Iterator[str]:
    """Bring the arguments to their paths in whatever order they come, by their stored names."""
    yield 'for stored; do case "${stored##*/}" in'
    for staged, name in inputs:
        yield f'{quote(name)}) {_stage(staged)} {quoted_path(staged.path)} "$stored" ;;'
    yield '*) die "got an input that is not its own: $stored" ;;'
    yield "esac; done"


def _stage(staged: StagedInput) -> str:
    if staged.form == "folder" and staged.method == "link":
        return "stage_tree"
    if staged.executable and staged.method == "copy":
        return "stage_program"
    return f"stage_{staged.method}"


def quoted_path(path: str) -> str:
    """Quoted, and never read as an option."""
    return quote(f"./{path}" if path.startswith("-") else path)
