"""What earlier runs have begun of the jobs of this one."""

from __future__ import annotations

import shutil
from typing import Any

from ..project.fetch_store import INCOMING
from ..project.local_record import LocalRecord
from ..project.paths import ProjectPath
from ..read.job import JobReader
from ..run.context import RunContext
from ..run.journal import State
from ..run.locks import note_locks


def follow_earlier_runs(
    workflow: Any, run: RunContext, local_record: LocalRecord, reader: JobReader
) -> None:
    """See what runs that ended without an end have left of these jobs.

    Raises:
        CavaticaError: another run works on the same files, or it cannot be found out.
    """
    storage, takeover = workflow.storage_settings, run.takeover
    if storage.default_storage_provider == "cavatica" and storage.default_storage_prefix:
        scope = ProjectPath.parse(storage.default_storage_prefix).query
    else:
        scope = local_record.directory_id()
    takeover.begin(scope, lock=workflow.execution_settings.lock)
    if workflow.execution_settings.lock:
        note_locks()
        shutil.rmtree(INCOMING, ignore_errors=True)  # of a run that was killed
    leftovers, dag = takeover.leftovers, workflow.dag
    jobs = {dag.get_job_group(job) or job for job in dag.needrun_jobs()} if leftovers.left else ()
    identities = {reader.identity(job): job for job in jobs}
    takeover.begun(identities)
    if not leftovers.left:
        if not any(dag.needrun_jobs()):
            # Snakemake then ends without telling us: what killed runs have left goes now.
            takeover.end((), state=State.ENDED)
        return
    run.logger.info(
        "Tasks of earlier runs that are under way, or have results that never arrived: "
        f"{len(leftovers.left)} ({', '.join(takeover.predecessors)}). Jobs that are "
        "still the same take them up."
    )
    for identity, job in identities.items():
        attempt = leftovers.attempt(identity)
        if job.attempt < attempt <= job.restart_times + 1:
            job.attempt = attempt  # its resources may depend on it
