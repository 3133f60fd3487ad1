"""A client of CAVATICA's API v2, which all Seven Bridges platforms share.

Lower to upper: `errors`, `fields`, `models` and `drafts` (shapes), `call` and `calls` (requests,
not sent), `answers` (responses, deciphered), `endpoint`, `credentials`, `budget` (rate limit),
`stop`, `retry`, `session` (connections), `signed_urls` (the storage), `transport` (HTTP with token
and JSON), `listing`, `client` (methods), `account` (others), `once`, `background` (asynchronous
jobs), `upload` and `download` (whole files).
"""

from .account import Account
from .budget import Rank, RateBudget
from .client import Client
from .credentials import Token, resolve_credentials
from .drafts import BatchBy, ExecutionSettings, NodeLocation, OutputLocation, TaskDraft
from .endpoint import CAVATICA, host_of_pages, is_on_loopback
from .errors import (
    ApiError,
    BadRequest,
    CavaticaError,
    ConfigurationError,
    Conflict,
    Forbidden,
    Maintenance,
    NoAnswer,
    NotFound,
    RateLimited,
    ServerError,
    Stopped,
    TransferError,
    Unauthorized,
    UnexpectedAnswer,
    UnknownAddress,
)
from .listing import ManyItems
from .models import (
    AsyncJob,
    ExecutionDetails,
    File,
    FileRef,
    Permissions,
    Project,
    RateLimit,
    Task,
    TaskJob,
    TaskStatus,
    iter_files,
)
from .models_of_accounts import App, BillingGroup
from .retry import Patience
from .stop import Stop

__all__ = [
    "CAVATICA",
    "Account",
    "ApiError",
    "App",
    "AsyncJob",
    "BadRequest",
    "BatchBy",
    "BillingGroup",
    "CavaticaError",
    "Client",
    "ConfigurationError",
    "Conflict",
    "ExecutionDetails",
    "ExecutionSettings",
    "File",
    "FileRef",
    "Forbidden",
    "Maintenance",
    "ManyItems",
    "NoAnswer",
    "NodeLocation",
    "NotFound",
    "OutputLocation",
    "Patience",
    "Permissions",
    "Project",
    "Rank",
    "RateBudget",
    "RateLimit",
    "RateLimited",
    "ServerError",
    "Stop",
    "Stopped",
    "Task",
    "TaskDraft",
    "TaskJob",
    "TaskStatus",
    "Token",
    "TransferError",
    "Unauthorized",
    "UnexpectedAnswer",
    "UnknownAddress",
    "host_of_pages",
    "is_on_loopback",
    "iter_files",
    "resolve_credentials",
]
