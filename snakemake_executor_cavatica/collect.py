"""From a completed task to files where the workflow expects them."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .api import ApiError, CavaticaError, Client, File, FileRef
from .connection import Connection
from .index import Entry, ProjectIndex
from .paths import LocalPath, ProjectPath, encode_folder
from .plan import JobPlan, PlannedOutput
from .script import stored_name
from .stage import Stage
from .transfers import fetch


@dataclass(frozen=True)
class Collected:
    """An output at its place; `local` is where it was downloaded to, if it was."""

    output: PlannedOutput
    ref: FileRef
    local: Path | None


class Collector:
    """Puts the outputs of completed tasks in place. Safe to use from several threads."""

    def __init__(self, connection: Connection, stage: Stage) -> None:
        self._connection = connection
        self._stage = stage

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
    ) -> list[Collected]:
        """Put every output in place.

        Args:
            refs: the platform file or folder of each output port.
            files: their documents, by id.
            copies: outputs on the platform of which a local copy is needed too: port to path.

        Raises:
            CavaticaError, OSError: an output could not be brought here or put in place.
        """
        self._add_metadata(plan, refs)
        collected = []
        for _, output in plan.collected:
            ref = refs[output.port]
            file = files[ref.path]
            if isinstance(file, ApiError):
                raise file
            local = self._place(output, file, copies.get(output.port))
            collected.append(Collected(output, ref, local))
        return collected

    def _place(self, output: PlannedOutput, file: File, copy: Path | None) -> Path | None:
        if isinstance(output.place, ProjectPath):
            index = self._connection.index(output.place.project)
            self._settle(index, output, file)
            target = copy
        else:
            target = Path(output.place.path)
        if target is not None:
            fetch(self._client, file.id, target, size=file.size, folder=file.is_folder)
        return target

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
        item |= {"parent": parent} if parent else {"project": index.project}
        job = self._client.wait_async("move", self._client.start_async("move", [item]).id)
        if job.failed_files:
            raise CavaticaError(f"The folder {path} could not be moved to its place: {job.result}")
        return self._client.get_file(file.id)

    def _add_metadata(self, plan: JobPlan, refs: Mapping[str, FileRef]) -> None:
        if not plan.metadata:
            return
        edits = [
            {"id": ref.path, "metadata": dict(plan.metadata)}
            for ref in refs.values()
            if not ref.is_folder
        ]
        for answer in self._client.edit_files(edits).values():
            if isinstance(answer, ApiError):
                raise answer

    def remember(self, collected: list[Collected]) -> None:
        """Note that the downloaded outputs are on the platform too, as they now are here."""
        for item in collected:
            if isinstance(item.output.place, LocalPath) and item.local is not None:
                self._stage.arrived(item.output.place.path, item.ref)
