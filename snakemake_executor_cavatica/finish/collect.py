"""From a completed task to files where the workflow expects them."""

from __future__ import annotations

import posixpath
import tempfile
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..api import ApiError, Client, File, FileRef
from ..api.background import run_async, run_async_once
from ..api.call import BULK
from ..api.calls import within
from ..launch.stage import InputStager
from ..plan.plan import JobPlan, PlannedOutput
from ..project.connection import Connection
from ..project.fetch_store import INCOMING, fetch_all, put
from ..project.index import Entry, ProjectIndex
from ..project.paths import LocalPath, ProjectPath, encode_folder
from ..translate.small_outputs import folder_of_output
from ..translate.stored_names import stored_name
from .inherited import Inheritance
from .small_outputs import Gathered, SmallOutputs


@dataclass(frozen=True)
class Collected:
    """An output at its place; `local` is where it was downloaded to, if it was."""

    output: PlannedOutput
    ref: FileRef
    local: Path | None


class Collector:
    """Puts the outputs of completed tasks in place. Safe to use from several threads."""

    def __init__(
        self,
        connection: Connection,
        stage: InputStager,
        inheritance: Inheritance,
        small_outputs: SmallOutputs,
    ) -> None:
        self._connection = connection
        self._stager = stage
        self._inheritance = inheritance
        self._small_outputs = small_outputs

    @property
    def _client(self) -> Client:
        return self._connection.client

    def collect(
        self,
        plan: JobPlan,
        refs: Mapping[str, FileRef],
        files: Mapping[str, File | ApiError],
        *,
        copies: Mapping[str, Path],
        before_placing: Callable[[], None],
        passing: Container[str] = (),
        gathered: Gathered | None = None,
    ) -> list[Collected]:
        """Put every output in place: those on this machine all at once, when all have arrived.

        Args:
            refs: the platform file or folder of each output port.
            files: their documents, by id.
            copies: outputs on the platform of which a local copy is needed too: port to path.
            before_placing: called before the first file appears at its place on this machine.
            passing: ports of outputs that may lie in a folder which several jobs share.
            gathered: where small ones are besides.

        Raises:
            CavaticaError, OSError: an output could not be brought here or put in place.
        """
        files = {**files, **self._add_metadata(plan, refs)}
        collected = []
        arrivals: dict[Path, tuple[int, File]] = {}
        for number, output in plan.collected:
            ref = refs[output.port]
            file = files[ref.path]
            if isinstance(file, ApiError):
                raise file
            may_pass = output.port in passing
            local = self._target(output, file, copies.get(output.port), passing=may_pass)
            if local is not None:
                arrivals[local] = (number, file)
            collected.append(Collected(output, ref, local))
        if arrivals:
            self._bring(arrivals, before_placing, gathered)
        return collected

    def close(self) -> None:
        """Remove what was brought here and nobody needs."""
        self._small_outputs.close()

    def _target(
        self, output: PlannedOutput, file: File, copy: Path | None, *, passing: bool
    ) -> Path | None:
        """Where an output goes on this machine, if it does."""
        if isinstance(output.place, LocalPath):
            return Path(output.place.path)
        index = self._connection.index(output.place.project)
        if passing and (move := self._move_home(output.place, output, file)) is not None:
            index.free(move["parent"], move["name"])
            file = self._move(output.place.path, file, move)
        self._settle(index, output, file)
        return copy

    def bring_home(
        self, outputs: Iterable[tuple[PlannedOutput, FileRef]], files: Mapping[str, File | ApiError]
    ) -> dict[str, File | ApiError]:
        """Move outputs that lie in a shared folder to their own, in bulk; returns `files` as they
        are then. What cannot be moved is left to `collect`.

        Raises:
            CavaticaError: it is not known what was moved.
        """
        moves = []
        for output, ref in outputs:
            file = files[ref.path]
            if isinstance(file, File) and isinstance(output.place, ProjectPath):
                move = self._move_home(output.place, output, file)
                moves += [move] if move is not None else []
        if not moves:
            return dict(files)
        for start in range(0, len(moves), BULK):
            run_async(self._client, "move", moves[start : start + BULK])
        return {**files, **self._client.get_files(move["file"] for move in moves)}

    def _move_home(
        self, place: ProjectPath, output: PlannedOutput, file: File
    ) -> dict[str, str] | None:
        """What moves a file to its folder; None if it is there."""
        index = self._connection.index(place.project)
        parent = index.ensure_folder(place.parent.path, is_likely=True)
        parent = parent or self._connection.project(index.project).root_folder
        if parent is None or file.parent == parent:
            return None
        return {"file": file.id, "parent": parent, "name": stored_name(output)}

    def _bring(
        self,
        arrivals: Mapping[Path, tuple[int, File]],
        before_placing: Callable[[], None],
        gathered: Gathered | None,
    ) -> None:
        INCOMING.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=INCOMING) as scratch:
            waiting = {target: Path(scratch, str(n)) for n, target in enumerate(arrivals)}
            parts = {waiting[target]: file for target, (_, file) in arrivals.items()}
            taken = set[Path]()
            if gathered is not None:
                wanted = {
                    folder_of_output(number, gathered.job): (waiting[target], file)
                    for target, (number, file) in arrivals.items()
                }
                taken = self._small_outputs.take(gathered.file, wanted)
            fetch_all(self._client, {part: parts[part] for part in parts.keys() - taken})
            before_placing()
            for target, part in waiting.items():
                put(part, target)

    def _settle(self, index: ProjectIndex, output: PlannedOutput, file: File) -> Entry:
        """Record an output at its place, under its own name again if the platform changed it."""
        path = output.place.path
        wanted = stored_name(output)
        if file.name != wanted:
            # Something was there already, so the platform put `_1_` before the name.
            index.free(file.parent, wanted)
            file = self._rename(index, path, file, wanted)
        return index.add_tree(path, file) if file.is_folder else index.add(path, file)

    def _rename(self, index: ProjectIndex, path: str, file: File, name: str) -> File:
        if not file.is_folder:
            answer = self._client.edit_files([{"id": file.id, "name": name}])[file.id]
            if isinstance(answer, ApiError):
                raise answer
            return answer
        # Folders can neither be renamed nor moved one by one (documented).
        parent = index.ensure_folder(posixpath.dirname(path))
        item = {"file": file.id, "name": encode_folder(posixpath.basename(path))}
        return self._move(path, file, item | within(parent, index.project))

    def _move(self, path: str, file: File, item: Mapping[str, str]) -> File:
        def moved() -> File | None:
            found = self._client.get_file(file.id)
            is_there = found.name == item["name"] and item.get("parent") in {None, found.parent}
            return found if is_there else None

        failure = f"The output {path} could not be moved to its place"
        return run_async_once(self._client, "move", item, look=moved, failure=failure)

    def _add_metadata(self, plan: JobPlan, refs: Mapping[str, FileRef]) -> dict[str, File]:
        """Describe the outputs; the documents of those that were changed by that."""
        metadata = {**self._inheritance.of(plan), **plan.metadata}
        if not metadata:
            return {}
        edits = [
            {"id": ref.path, "metadata": metadata} for ref in refs.values() if not ref.is_folder
        ]
        described = {}
        for file_id, answer in self._client.edit_files(edits).items():
            if isinstance(answer, ApiError):
                raise answer
            described[file_id] = answer
        return described

    def remember(self, collected: list[Collected]) -> None:
        """Note that the downloaded outputs are on the platform too, as they now are here."""
        for item in collected:
            if isinstance(item.output.place, LocalPath) and item.local is not None:
                self._stager.arrived(item.output.place.path, item.ref)
