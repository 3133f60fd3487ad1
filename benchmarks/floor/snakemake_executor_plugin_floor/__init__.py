"""The floor of Snakemake's own overhead: makes the outputs here, and reports success at once.

For benchmarks only; they put this folder on PYTHONPATH and run `snakemake --executor floor`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
)


class Executor(RemoteExecutor):
    """Does the least that an executor can do."""

    def __post_init__(self) -> None:
        """Nothing to prepare."""

    def run_job(self, job: Any) -> None:
        """The outputs are there, so the job is done."""
        info = SubmittedJobInfo(job)
        for file in job.output:
            if file.is_storage:
                file.storage_object.store_object()
            else:
                Path(file).parent.mkdir(parents=True, exist_ok=True)
                Path(file).touch()
        self.report_job_submission(info)
        self.report_job_success(info)

    async def check_active_jobs(  # type: ignore[override]  # declared without its `async for`
        self, active_jobs: list[SubmittedJobInfo]
    ) -> AsyncGenerator[SubmittedJobInfo, None]:
        """What is reported needs no look."""
        for info in active_jobs[:0]:
            yield info

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """Nothing to cancel."""
