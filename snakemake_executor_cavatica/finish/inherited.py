"""Metadata that the outputs of a job have from its inputs, on request."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from ..api import ApiError, File
from ..launch.stage import InputStager
from ..plan.plan import JobPlan
from ..project.connection import Connection

_OWN = "snakemake_"
"""Keys that begin so are the plugin's own, and say something of one file only."""


class Inheritance:
    """Looks up the metadata of inputs, once in a run. Safe to use from several threads."""

    def __init__(self, connection: Connection, stage: InputStager, logger: Any) -> None:
        self._connection = connection
        self._stager = stage
        self._logger = logger
        self._lock = threading.Lock()
        self._known: dict[str, Mapping[str, Any]] = {}

    def of(self, plan: JobPlan) -> dict[str, str]:
        """What the inputs of a job agree on; nothing if one of them cannot be asked for it.

        Raises:
            CavaticaError: the platform does not answer.
        """
        if not plan.inherits_metadata:
            return {}
        places = [staged.place for staged in plan.inputs if staged.form == "file"]
        refs = [ref for place in places if (ref := self._stager.on_platform(place)) is not None]
        ids = {ref.path for ref in refs if not ref.is_folder}
        with self._lock:
            unknown = ids - self._known.keys()
        for file_id, answer in self._connection.client.get_files(unknown).items():
            if isinstance(answer, ApiError):
                self._logger.warning(
                    f"{plan.title}: its outputs inherit no metadata, since that of one input "
                    f"cannot be read: {answer}"
                )
                return {}
            self._note(file_id, answer)
        with self._lock:
            return agreed([self._known[file_id] for file_id in ids])

    def _note(self, file_id: str, file: File) -> None:
        with self._lock:
            self._known[file_id] = file.metadata


def agreed(inputs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The values that all inputs have in common; those without any metadata have no say.

    They are references and the like: an aligned sample is still that sample's.
    """
    told = []
    for metadata in inputs:
        own = {
            key: value
            for key, value in metadata.items()
            if isinstance(value, str) and value and not key.startswith(_OWN)
        }
        if own:
            told.append(own)
    if not told:
        return {}
    return {
        key: value
        for key, value in told[0].items()
        if all(other.get(key) == value for other in told[1:])
    }
