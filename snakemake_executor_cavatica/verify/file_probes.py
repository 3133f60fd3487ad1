"""Uploads, files and folders."""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

from ..api import ApiError, Conflict, calls
from ..api.drs import DrsImport, import_drs
from .probe import Finding, Probe, Unsettled, present, probe, truth
from .scratch import REFUSED, Scratch

PROBES: list[Probe] = []


def _is_completed(scratch: Scratch, name: str, **wrong: int | str) -> bool:
    """Whether an upload that announces something else than it brings becomes a file."""
    size, md5 = wrong.get("size"), wrong.get("md5")
    try:
        scratch.files.put(
            "uploads",
            name,
            b"probe\n",
            size=size if isinstance(size, int) else None,
            md5=md5 if isinstance(md5, str) else None,
        )
    except ApiError as error:
        if error.status is None:
            raise
        return False
    return True


@probe(PROBES, "upload_md5_checked", "an upload with a wrong md5; 5 requests")
def _upload_md5_checked(scratch: Scratch) -> Finding:
    return truth(not _is_completed(scratch, "md5.txt", md5="0" * 32))


@probe(PROBES, "upload_size_checked", "an upload with a wrong size; 5 requests")
def _upload_size_checked(scratch: Scratch) -> Finding:
    return truth(not _is_completed(scratch, "size.txt", size=7))


@probe(PROBES, "upload_same_name_conflict", "two open uploads of one name, aborted; 4 requests")
def _upload_same_name_conflict(scratch: Scratch) -> Finding:
    scratch.files.open_upload("uploads", "open.txt")
    try:
        scratch.files.open_upload("uploads", "open.txt")
    except Conflict:
        return truth(True)
    return truth(False)


@probe(PROBES, "overwrite_keeps_id", "a file uploaded again with overwrite; 8 requests")
def _overwrite_keeps_id(scratch: Scratch) -> Finding:
    first = scratch.files.put("uploads", "again.txt", b"first\n")
    second = scratch.files.put("uploads", "again.txt", b"second\n", overwrite=True)
    return truth(first.id == second.id)


@probe(PROBES, "signed_url_lifetime", "the expiry that a download URL states; 1 request")
def _signed_url_lifetime(scratch: Scratch) -> Finding:
    query = parse_qs(urlsplit(scratch.client.download_url(scratch.files.file.id)).query)
    stated = {key.lower(): values[0] for key, values in query.items()}
    for key in ("x-amz-expires", "x-goog-expires"):
        if key in stated:
            seconds = float(stated[key])
            break
    else:
        if "expires" not in stated:
            raise Unsettled(f"the URL states none; its parameters are {', '.join(sorted(stated))}")
        seconds = round(float(stated["expires"]) - time.time(), -1)
    # Compared as numbers: `900` and `900.0` are one time.
    return Finding(
        f"{seconds:.0f}", agrees=seconds == float(scratch.assumed["signed_url_lifetime"])
    )


@probe(
    PROBES,
    "folder names",
    "6 folders with unusual names; 6 requests",
    "taken: a_.20b, .hidden; refused: __x, 'a b', ä",
)
def _folder_names(scratch: Scratch) -> Finding:
    parent = scratch.files.subfolder("folders")
    taken, refused = [], []
    for name in ("a_.20b", ".hidden", "__x", "a b", "ä"):
        shown = f"'{name}'" if " " in name else name
        try:
            made = scratch.client.create_folder(name, parent=parent)
        except ApiError as error:
            if error.status is None or error.status >= 500:  # noqa: PLR2004 - HTTP's own number
                raise
            refused.append(shown)
        else:
            taken.append(shown if made.name == name else f"{shown} as {made.name}")
    return Finding(f"taken: {', '.join(taken)}; refused: {', '.join(refused) or 'none'}")


@probe(PROBES, "copy to a name that is taken", "2 copies of one name; 2 requests", "_1_copy.txt")
def _copy_conflict(scratch: Scratch) -> Finding:
    folder = scratch.files.subfolder("copies")
    copies = [
        scratch.client.copy_file(scratch.files.file.id, parent=folder, name="copy.txt")
        for _ in range(2)
    ]
    return Finding(copies[1].name)


@probe(
    PROBES, "metadata edit and modified_on", "metadata of a file is changed; 3 requests", "changes"
)
def _metadata_edit(scratch: Scratch) -> Finding:
    before = scratch.client.get_file(scratch.files.file.id)
    time.sleep(1.1)
    scratch.client.update_metadata(before.id, {"cavatica_probe_edit": "1"})
    after = scratch.client.get_file(before.id)
    if before.modified_on is None or after.modified_on is None:
        raise Unsettled("files have no modified_on")
    return Finding("changes" if after.modified_on != before.modified_on else "stays")


@probe(PROBES, "bulk edit of metadata", "two edits of one file; 3 requests", "merges")
def _bulk_edit(scratch: Scratch) -> Finding:
    """`put` keeps checksums by it, beside what metadata there is."""
    file = scratch.files.file.id
    for key in ("cavatica_probe_one", "cavatica_probe_two"):
        for answer in scratch.client.edit_files([{"id": file, "metadata": {key: "1"}}]).values():
            if isinstance(answer, ApiError):
                raise answer
    found = scratch.client.get_file(file).metadata
    return Finding("merges" if "cavatica_probe_one" in found else "replaces")


@probe(PROBES, "parts told twice", "an upload whose part is told twice; 5 requests", "accepted")
def _parts_told_twice(scratch: Scratch) -> Finding:
    """So does an upload that goes on after its process was killed."""
    try:
        scratch.files.put("uploads", "twice.txt", b"probe\n", twice=True)
    except ApiError as error:
        if error.status is None:
            raise
        return Finding(f"refused ({error.status})")
    return Finding("accepted")


@probe(
    PROBES, "times in file listings", "a listing with fields=; 1 request", "created_on, modified_on"
)
def _times_in_listings(scratch: Scratch) -> Finding:
    _ = scratch.files.file  # it has to be there
    files = scratch.client.list_files(parent=scratch.files.subfolder("inputs"))
    return present(files, ("created_on", "modified_on"))


def drs_object(uri: str | None) -> Probe:
    """An object of a DRS server, which has to be one that the user may read."""

    def measure(scratch: Scratch) -> Finding:
        if uri is None:
            raise Unsettled("name a DRS object that you may read: --drs-object")
        folder = scratch.files.subfolder("drs")
        wanted = [DrsImport(uri, "object", folder)]
        first, second = (import_drs(scratch.client, wanted)[0] for _ in range(2))
        if isinstance(first, ApiError):
            raise Unsettled(f"{uri} cannot be imported: {first}")
        if isinstance(second, ApiError):
            return Finding("error", note=f"code {second.code}")
        return Finding("existing" if second.id == first.id else f"another file, {second.name}")

    how = "an object is imported twice under one name; 7 requests"
    return Probe("drs_import_skipped", how, None, measure)


def hidden_project(name: str | None) -> Probe:
    """The one probe that needs something from the user: a project that is not theirs."""

    def measure(scratch: Scratch) -> Finding:
        if name is None:
            raise Unsettled("name a project that you are no member of: --hidden-project")
        status, _ = scratch.ask(calls.project(name))
        if status < REFUSED:
            raise Unsettled(f"the project {name} can be read with this token")
        return Finding(str(status))

    how = "a project that is not the user's; 1 request"
    return Probe("unreadable_project_status", how, None, measure)
