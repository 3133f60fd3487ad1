"""The platform as one object: settings, state and the parts that handlers share."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import time
import uuid
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cavatica_local.cwl.validation import Validator
from cavatica_local.faults.faults import Faults
from cavatica_local.state.blobs import BlobStore
from cavatica_local.state.database import Database
from cavatica_local.switches import Switches

if TYPE_CHECKING:
    from cavatica_local.execution.scheduler import Scheduler


@dataclass(frozen=True)
class RateLimit:
    """So many requests in so many seconds, per token (documented: 1,000 in 300)."""

    requests: int
    seconds: float


@dataclass(frozen=True)
class Settings:
    """What the command line decides."""

    root: Path
    base_url: str
    """Scheme, host and port, without a path."""
    switches: Switches = field(default_factory=Switches)
    rate_limit: RateLimit | None = RateLimit(1000, 300)
    instances: int = 80
    start_delay: float = 0.0
    latency: float = 0.0
    price_hour: float = 3600.0
    """Seconds that cost what an hour costs."""
    host_cores: int | None = None
    """Cores that running tasks may ask for in sum; None: no such limit (nothing really runs)."""
    verify_inputs: Literal["checksum", "mtime"] = "checksum"
    """How the inputs of a task are verified after it ended."""
    containers: bool = True
    """Whether tasks run in their images; if not, projects say so in their settings."""
    control: bool = False
    fault_seed: int | None = None
    """Seed of all dice; None: another one at each start."""

    @property
    def api(self) -> str:
        """The API's base URL."""
        return f"{self.base_url}/v2"


class Platform:
    """Settings and state. Lives on the event loop's thread."""

    scheduler: Scheduler

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.switches = settings.switches
        self.faults = Faults(settings.fault_seed)
        self.database = Database(settings.root / "platform.sqlite")
        self.blobs = BlobStore(settings.root)
        self.validator = Validator()
        self._key = self.secret("signing key").encode()
        self._background: set[asyncio.Task[None]] = set()
        self._unreferenced: set[str] = set()

    def secret(self, name: str) -> str:
        """A random text that stays the same for this root."""
        stored: str | None = self.database.value("SELECT value FROM secrets WHERE name = ?", name)
        if stored is None:
            stored = secrets.token_hex(32)
            self.database.insert("secrets", {"name": name, "value": stored})
        return stored

    def signature(self, text: str) -> str:
        """The signature of a storage URL's path and expiry."""
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()

    def in_background(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside the requests; an error in it is reported by the event loop."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background_done)

    def _background_done(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()):
            task.get_loop().call_exception_handler(
                {"message": "background work failed", "exception": error}
            )

    def forget_content(self, blob: str | None) -> None:
        """Remove a content that lost a reference, if that was the last one.

        Done after the current handler, so that the database has committed by then.
        """
        if blob is not None:
            asyncio.get_running_loop().call_soon(self._forget, blob)

    def _forget(self, blob: str) -> None:
        if self.database.one("SELECT 1 FROM files WHERE blob = ? LIMIT 1", blob) is not None:
            return
        if self.scheduler.uses(blob):
            self._unreferenced.add(blob)
        else:
            self.blobs.remove(blob)

    def contents_released(self, blobs: Iterable[str]) -> None:
        """A task has ended; contents whose last file was deleted meanwhile can go."""
        for blob in self._unreferenced.intersection(blobs):
            self._unreferenced.discard(blob)
            self.forget_content(blob)

    def sweep_contents(self) -> None:
        """Remove contents that nothing refers to, left by a crash."""
        rows = self.database.all("SELECT DISTINCT blob FROM files WHERE blob IS NOT NULL")
        known = {row["blob"] for row in rows}
        for blob in self.blobs.names():
            if blob not in known:
                self.blobs.remove(blob)

    async def close(self) -> None:
        """End all work and close the database."""
        await self.scheduler.close()
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.validator.close()
        self.database.close()


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def timestamp(seconds: float | None) -> str | None:
    """A time as the API writes it: UTC, in whole seconds."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def file_id() -> str:
    """A new id of a file or folder: 24 hexadecimal digits, as in the documented examples."""
    return secrets.token_hex(12)


def new_uuid() -> str:
    """A new id of a task, project or billing group: the provider's client demands UUIDs."""
    return str(uuid.uuid4())
