"""The platform as one object: settings, state and the parts that handlers share."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from cavatica_local.cwl.validation import Validator
from cavatica_local.faults.faults import Faults
from cavatica_local.state.blobs import BlobStore
from cavatica_local.state.database import Database
from cavatica_local.switches import Switches

DATABASE = "platform.sqlite"


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
    keep_work: bool = False
    """Whether the folder of a task stays when it has ended."""
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

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.switches = settings.switches
        self.faults = Faults(settings.fault_seed)
        self.database = Database(settings.root / DATABASE)
        self.blobs = BlobStore(settings.root, self._is_in_a_file)
        self.validator = Validator()
        self._key = self.secret("signing key").encode()
        self._background: set[asyncio.Task[None]] = set()

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
        """Remove a content that a file has lost, if nobody else uses it.

        Done after the current handler, so that the database has committed by then.
        """
        if blob is not None:
            asyncio.get_running_loop().call_soon(self.blobs.remove_unused, blob)

    def release_contents(self, blobs: Iterable[str]) -> None:
        """Contents that were adopted or used are recorded by now, or not needed any more."""
        for blob in blobs:
            self.blobs.release(blob)
            self.forget_content(blob)

    def _is_in_a_file(self, blob: str) -> bool:
        return self.database.one("SELECT 1 FROM files WHERE blob = ? LIMIT 1", blob) is not None

    async def close(self) -> None:
        """End the work in the background and close the database."""
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.validator.close()
        self.database.close()
