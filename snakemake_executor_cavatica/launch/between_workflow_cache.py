"""Snakemake's between-workflow cache (`--cache`), which tasks cannot reach: served on this machine.

Only for files that live here. In storage mode neither outputs nor inputs ever come to this machine.
"""

from __future__ import annotations

from typing import Any

from ..read.internals import CacheMissException


class BetweenWorkflowCache:
    """The cache of one workflow, if it has one."""

    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow
        self._is_reachable = (
            workflow.output_file_cache is not None
            and workflow.storage_settings.default_storage_provider is None
        )

    @property
    def is_out_of_reach(self) -> bool:
        """Whether there is a cache that cannot be used."""
        return self._workflow.output_file_cache is not None and not self._is_reachable

    def serves(self, job: Any) -> bool:
        """Whether results of the job are kept in the cache."""
        return (
            self._is_reachable
            and not job.is_group()
            and bool(job.rule.cache)
            and bool(job.rule.cache.output)
        )

    def fetch(self, job: Any) -> bool:
        """Put the outputs of a job in place; False if an equal job has not been done before.

        Raises:
            WorkflowError: the cache cannot be read, or the job has parameters that it cannot hash.
        """
        try:
            self._workflow.async_run(job.rule.cache.fetch(job))
        except CacheMissException:
            return False
        return True

    def store(self, job: Any) -> None:
        """Move the outputs of a finished job into the cache, and link to them.

        Raises:
            WorkflowError: the cache cannot be written.
        """
        self._workflow.async_run(job.rule.cache.store(job))
