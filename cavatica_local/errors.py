"""The error envelope and the one table of the platform's error codes.

The codes, their HTTP status and their meaning are documented (the provider's registry of API status
codes); the wording of the messages is this server's own.
"""

from __future__ import annotations

from typing import Any

MORE_INFO = "http://docs.sevenbridges.com/docs/api-status-codes#"

CODES: dict[int, tuple[int, str]] = {
    0: (503, "The platform is under maintenance."),
    1000: (429, "The rate limit of this token is exhausted."),
    90000: (400, "The request is not valid."),
    90001: (401, "No valid authentication token was sent."),
    90003: (404, "There is no such resource."),
    90004: (503, "An unexpected error happened."),
    90006: (405, "The method is not allowed here."),
    90008: (415, "The media type of the request body is not supported."),
    90009: (500, "The request body could not be decoded."),
    2002: (404, "There is no such user."),
    3001: (403, "You lack the privilege for this in the project."),
    3002: (404, "There is no such project or member."),
    3003: (409, "This project or member exists already."),
    3004: (400, "The project or member is malformed."),
    3007: (400, "The project's name is empty."),
    3008: (400, "The billing group is missing or not yours."),
    3012: (400, "The project's id is malformed."),
    3013: (400, "The permissions are incomplete or not booleans."),
    4001: (403, "You are no admin of this billing group."),
    4002: (404, "There is no such billing group."),
    5000: (503, "The file's content is not available."),
    5001: (403, "You lack the privilege for this on the file."),
    5002: (404, "There is no such file."),
    5003: (409, "A file with this name exists already."),
    5004: (400, "The file id is empty."),
    5006: (400, "The metadata is not valid."),
    5012: (400, "The type is not supported: only folders are created like this."),
    5014: (403, "You lack the copy privilege on the file."),
    5015: (400, "Files cannot be moved between projects."),
    5017: (400, "Folders cannot be downloaded."),
    5018: (400, "Folders cannot be copied or moved by this call."),
    5021: (400, "The folder is not empty."),
    5022: (400, "The parent is not a folder."),
    5023: (400, "The details of a folder cannot be changed."),
    5024: (400, "The name is not valid."),
    5025: (400, "Folders have no metadata."),
    5026: (404, "There is no such destination folder."),
    5027: (400, "Folders have no tags."),
    5029: (400, "Either a parent or a project is required."),
    5030: (409, "A folder with this name exists already."),
    5031: (400, "A parent and a project exclude each other."),
    5033: (400, "The request on files is not valid."),
    6001: (403, "You lack the privilege for this on the app."),
    6002: (404, "There is no such app or revision."),
    6003: (409, "This app or revision exists already, or is not the next revision."),
    6004: (400, "The app is not valid."),
    6011: (400, "The app's id is malformed."),
    7001: (403, "You lack the privilege for this on the task."),
    7002: (404, "There is no such task."),
    7005: (400, "A task id has to be a UUID."),
    7006: (400, "There is no such task status."),
    7010: (400, "Only a task in status DRAFT allows this."),
    7011: (400, "Only a task in status CREATING, RUNNING or QUEUED can be aborted."),
    7012: (400, "The inputs are missing or not an object."),
    7013: (400, "There is no such action."),
    7015: (400, "The app's id is missing."),
    7016: (400, "The app's id is malformed."),
    7018: (400, "The batch input is not valid."),
    7019: (400, "The batch criteria are not valid."),
    7020: (400, "The batch type is not valid: it is either ITEM or CRITERIA."),
    7021: (400, "Batching can be disabled only when a task is run."),
    7022: (400, "Batching can be disabled only for a batch task."),
    7023: (400, "The keys batch_by and batch_input have to come together."),
    7024: (400, "The task cannot be started: it has validation errors."),
    7026: (403, "Only drafts can be changed; a running or completed task can be renamed."),
    8001: (403, "You lack the privilege to upload here."),
    8003: (404, "There is no such upload."),
    8005: (409, "A file with this name exists already."),
    8006: (409, "An upload of this name is under way already."),
    8007: (409, "The upload cannot be completed."),
    8010: (400, "The project of the upload is malformed."),
    8012: (400, "The part number is not valid."),
    8013: (400, "The upload's initialisation is not valid."),
    8014: (400, "The report of the part is not valid."),
    8015: (400, "The list of parts is not valid."),
    57005: (400, "The same source is given twice."),
    57006: (400, "The sources contain each other."),
    57009: (400, "A file is in its destination folder already."),
    57011: (400, "A folder cannot be copied or moved into itself."),
    57018: (400, "The file's name is not valid."),
    57019: (400, "The folder's name is not valid."),
    57039: (404, "There is no such job."),
    57430: (400, "The request for the job is not valid."),
    57432: (403, "You lack the privilege for this job."),
    57433: (404, "There is no such file or folder."),
    57434: (409, "The name exists already in the destination."),
}


class ApiError(Exception):
    """An answer with one of the documented codes."""

    def __init__(self, code: int, message: str | None = None) -> None:
        self.code = code
        self.status, default = CODES[code]
        self.message = message or default
        super().__init__(self.message)

    def envelope(self) -> dict[str, Any]:
        """The documented body of an error answer."""
        return envelope(self.status, self.code, self.message)


def envelope(status: int, code: int, message: str) -> dict[str, Any]:
    """The documented body of an error answer, for any status and code."""
    return {
        "status": status,
        "code": code,
        "message": message,
        "more_info": f"{MORE_INFO}{code}",
    }
