"""The folder of `verify-live`: the files that its probes make, use and remove again."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from ..api import CavaticaError, Client, File, NotFound
from ..api.background import run_async
from ..api.download import download

APP_NAME = "snakemake-verify-live"
"""The name of the app, with which those of the folder and of the tasks begin."""


class ScratchFiles:
    """Everything lies in one folder, which is made when it is first needed."""

    def __init__(self, client: Client, project: str) -> None:
        self._client = client
        self._project = project
        self.folder_name = f"{APP_NAME}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        self._uploads: set[str] = set()
        self._folders: dict[str, str] = {}

    @cached_property
    def folder(self) -> str:
        """The id of the folder that holds everything."""
        return self._client.create_folder(self.folder_name, project=self._project).id

    def subfolder(self, name: str) -> str:
        """The id of a folder in the folder."""
        if name not in self._folders:
            self._folders[name] = self._client.create_folder(name, parent=self.folder).id
        return self._folders[name]

    def put(
        self,
        folder: str,
        name: str,
        data: bytes,
        *,
        size: int | None = None,
        md5: str | None = None,
        overwrite: bool = False,
        twice: bool = False,
    ) -> File:
        """Upload a small file, also with a `size` or `md5` that is not its own.

        `twice`: the platform is told of its part before it is completed, too.
        """
        opened = self._client.start_upload(
            name,
            len(data) if size is None else size,
            parent=self.subfolder(folder),
            md5=md5,
            overwrite=overwrite,
        )
        self._uploads.add(opened.upload_id)
        target = self._client.upload_part_url(opened.upload_id, 1)
        headers = {key: str(value) for key, value in target.headers.items()}
        answer = self._client.transport.storage.put(target.url, data, headers)
        etag = answer.headers.get("etag", "").strip('"')
        if twice:
            self._client.report_parts(opened.upload_id, {1: {"ETag": etag}})
        file = self._client.complete_upload(opened.upload_id, {1: {"ETag": etag}})
        self._uploads.discard(opened.upload_id)
        return file

    def open_upload(self, folder: str, name: str) -> None:
        """Open an upload and leave it open."""
        opened = self._client.start_upload(name, 1, parent=self.subfolder(folder))
        self._uploads.add(opened.upload_id)

    @cached_property
    def file(self) -> File:
        """A file with a companion whose name ends in `.idx`."""
        self.put("inputs", "probe.txt.idx", b"index\n")
        return self.put("inputs", "probe.txt", b"probe\n")

    @cached_property
    def twins(self) -> list[File]:
        """Two files of one name with different contents."""
        return [self.put(folder, "same.txt", folder.encode() + b"\n") for folder in ("b", "c")]

    def path_of(self, file_id: str) -> str:
        """The folder of a file, relative to our own folder; absolute if it lies elsewhere."""
        names: list[str] = []
        parent = self._client.get_file(file_id).parent
        while parent and parent != self.folder:
            above = self._client.get_file(parent)
            names.insert(0, above.name)
            parent = above.parent
        return "/".join(names) if parent else "/" + "/".join(names[1:])

    def read(self, file_id: str) -> str:
        """A small file's content."""
        with tempfile.TemporaryDirectory() as scratch:
            target = Path(scratch, "content")
            download(self._client, file_id, target)
            return target.read_text()

    def abort_uploads(self) -> None:
        """Abort the uploads that are still open."""
        for upload in self._uploads:
            with suppress(CavaticaError):
                self._client.abort_upload(upload)

    def remove(self) -> list[str]:
        """Remove the folder with all that is in it; a sentence if it stays."""
        if "folder" not in vars(self):
            return []
        try:
            run_async(self._client, "delete", [{"file": self.folder}])
            self._client.get_file(self.folder)
        except NotFound:
            return []
        except CavaticaError as error:
            return [f"The folder {self.folder_name} could not be removed: {error}"]
        return [f"The folder {self.folder_name} could not be removed; delete it by hand."]
