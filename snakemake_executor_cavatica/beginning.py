"""What happens before Snakemake parses a workflow that our executor is going to run."""

from __future__ import annotations

from .connections import CONNECTIONS
from .coordinator.mission import parse_as_submitted
from .project.connection import Offer
from .read.files_read import watch_reads
from .run.locks import remove_stale_locks, watch_locks
from .run.thread_directory import keep_directories_apart
from .settings import ExecutorSettings


def begin(settings: ExecutorSettings) -> None:
    """A run with these settings begins."""
    watch_reads()
    parse_as_submitted()
    remove_stale_locks()
    watch_locks()
    keep_directories_apart()
    CONNECTIONS.offer(
        Offer(
            settings.api_endpoint,
            settings.credentials_profile,
            settings.project,
            settings.folder,
        )
    )
