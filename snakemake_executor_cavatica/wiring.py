"""Makes what takes the steps of each job, when a run begins."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake_interface_common.exceptions import WorkflowError

from .check.at_start import check_at_start
from .check.subject import Subject
from .connections import CONNECTIONS
from .coordinator.mission import Mission, mission
from .finish.another_try import AnotherTry
from .finish.collect import Collector
from .finish.complete import Completion
from .finish.end_of_run import EndOfRun
from .finish.finisher import Finisher
from .finish.inherited import Inheritance
from .finish.limited_steps import LimitedSteps
from .finish.reuse import known_results
from .finish.small_outputs import SmallOutputs
from .launch.aliased_inputs import bring_aliases
from .launch.begun_before import follow_earlier_runs
from .launch.between_workflow_cache import BetweenWorkflowCache
from .launch.environments import Environments
from .launch.known_results import sources_content
from .launch.launcher import Launcher
from .launch.old_versions import OldVersions
from .launch.other_storages import OtherStorages
from .launch.planner import Planner
from .launch.shared_tasks import SharedTasks
from .launch.stage import InputStager
from .launch.starter import Starter
from .launch.submit import Submitter
from .observe.files_at_end import files_at_end
from .observe.observed_run import ObservedRun
from .observe.this_run import this_run
from .observe.used_before import used_by_earlier_runs
from .plan.plan import JobPlan
from .project.connection import PAGES_FILE, Connection
from .project.local_record import LocalRecord
from .project.paths import ProjectPath
from .read.defaults import passed_environment, read_defaults
from .read.facts import MB, Defaults
from .read.fetched import with_parts
from .read.job import JobReader
from .read.source_archive import SourceArchive
from .read.sources import Sources
from .read.workflow import has_memory_retries, lasting_sources, settle_options, workflow_sources
from .run.context import RunContext
from .run.earlier_runs import earlier_runs
from .run.failing import Failing
from .run.journal import UNKNOWN
from .run.register import Register
from .run.reports import Listener, Reports
from .run.run_id import new_run_id
from .run.stopping import Stopper
from .run.takeover import Takeover
from .settings import ExecutorSettings
from .translate.shared_task import task_id_of
from .watch.poller import Poller
from .watch.schedule import PollSchedule


@dataclass(frozen=True)
class Steps:
    """What a job passes through, in this order, and what ends all."""

    run: RunContext
    old_versions: OldVersions
    starter: Starter
    poller: Poller
    finisher: Finisher
    end: EndOfRun
    observed: ObservedRun
    limited: LimitedSteps


def begin_run(
    workflow: Any, listener: Listener, logger: Any, task_name: Callable[[Any, JobPlan], str]
) -> Steps:
    """See that a run can work at all, before anything is made for it, and prepare it.

    Args:
        workflow: Snakemake's.
        task_name: what the task of a job is called.

    Raises:
        CavaticaError: it cannot.
    """
    settle_options(workflow)
    settings = workflow.executor_settings or ExecutorSettings()
    connection = CONNECTIONS.connect(settings.api_endpoint, settings.credentials_profile)
    prefix = workflow.storage_settings.default_storage_prefix
    project = CONNECTIONS.wanted_project(connection, prefix)
    connection.check_permissions(project)
    connection.has_begun = True
    environment = passed_environment(
        workflow, connection, secrets_allowed=settings.allow_secret_envvars
    )
    project_settings = connection.project(project).settings or {}
    home = ProjectPath(project, settings.folder)
    connection.aliases.home = home
    local_record = LocalRecord(f"{connection.platform_of(project)} {project}")
    given = mission(workflow)
    run_id = new_run_id() if given is None else given.run
    observed = _observed(workflow, run_id, connection, project, logger=logger, given=given)
    run = _context(workflow, home, connection, observed, local_record=local_record, logger=logger)
    sources = workflow_sources(workflow, settings.patterns) if given is None else given.sources
    sources.check_size(settings.sources_max_mb * MB)
    defaults = read_defaults(
        workflow,
        settings.defaults,
        connection,
        project_settings,
        environment=environment,
        workdir=sources.workdir,
    )
    bring_aliases(workflow, connection)
    wiring = _Wiring(workflow, run, local_record, sources, observed)
    subject = Subject(workflow, connection, home, True, defaults, wiring.reader, sources)
    check_at_start(subject, settings.check, logger)
    steps = wiring.steps(defaults, Reports(listener, logger), task_name, detach=settings.detach)
    _greet(run, settings, sources, is_cache_useless=wiring.cache.is_out_of_reach)
    follow_earlier_runs(workflow, run, local_record, wiring.reader)
    observed.go_on(run.takeover.predecessors, run.takeover.tasks_of_predecessors().values())
    return steps


def _observed(
    workflow: Any,
    run_id: str,
    connection: Connection,
    project: str,
    *,
    logger: Any,
    given: Mission | None,
) -> ObservedRun:
    """What users see of the run."""
    settings = workflow.executor_settings or ExecutorSettings()
    command = None if given is None else given.command
    return ObservedRun(
        this_run(workflow, run_id, connection, project, settings.max_cost, command=command),
        lambda task: connection.task_page(project, task_id_of(task)),
        logger,
        traffic=connection.client.traffic,
        files=files_at_end(settings.trace, settings.report),
        aborts_at_limit=settings.max_cost_abort,
    )


def _context(
    workflow: Any,
    home: ProjectPath,
    connection: Connection,
    observed: ObservedRun,
    *,
    local_record: LocalRecord,
    logger: Any,
) -> RunContext:
    """What all steps of the run share."""
    index = connection.index(home.project)
    index.deletions.deferred = True
    run_id = observed.id
    register = Register()

    def give_way(successor: str) -> None:
        """Another run has taken this one for dead (was the machine asleep?), and has its tasks."""
        register.close()
        other, place = f"The Snakemake run {successor} has", "all goes on in the other one"
        if successor == UNKNOWN:
            other, place = "Another Snakemake run has", "start it again for what may be left"
        error = WorkflowError(
            f"{other} taken up the tasks of this one, which had given no sign of life for some "
            f"minutes. This run ends here; {place}."
        )
        # Snakemake's own thread may have found it, with the lock held that this waits for.
        tell = workflow.scheduler.executor_error_callback
        threading.Thread(target=tell, args=(error,), name="cavatica-heir", daemon=True).start()

    earlier = earlier_runs(connection, home)
    takeover = Takeover(connection, earlier, home, run_id, local_record, on_successor=give_way)
    index.deletions.may_delete = takeover.is_on_record
    return RunContext(
        id=run_id,
        connection=connection,
        index=index,
        home=home,
        register=register,
        takeover=takeover,
        observer=observed.recorder,
        limit=observed.limit,
        cancelled=connection.client.stop.child(),
        logger=logger,
    )


class _Wiring:
    """Connects the steps of one run."""

    def __init__(
        self,
        workflow: Any,
        run: RunContext,
        local_record: LocalRecord,
        sources: Sources,
        observed: ObservedRun,
    ) -> None:
        self._workflow = workflow
        self._run = run
        self._observed = observed
        self._local_record = local_record
        self._archive = SourceArchive(sources, secret=run.connection.token)
        self._sources = sources = self._archive.sources
        self._stager = InputStager(
            run.connection,
            run.home,
            local_record,
            self._archive,
            with_parts(workflow, sources.digest(lasting_sources(workflow, sources))),
        )
        self._other_storages = OtherStorages(workflow)
        self.cache = BetweenWorkflowCache(workflow)
        self.reader = JobReader(
            workflow,
            run.connection,
            workdir=sources.workdir,
            known_folder=self._stager.known_folder,
            place_in_other_storage=self._other_storages.place_of,
            checksum=sources.checksum,
        )

    def steps(
        self,
        defaults: Defaults,
        reports: Reports,
        task_name: Callable[[Any, JobPlan], str],
        *,
        detach: bool,
    ) -> Steps:
        """All steps; with `detach`, tasks go on when the run is interrupted."""
        workflow, run = self._workflow, self._run
        stopper = Stopper(run)
        failing = Failing(run, stopper, reports)
        submitter = Submitter(
            run.connection.client, run.id, run.folder, scope=lambda: run.takeover.scope
        )
        old_versions = OldVersions(workflow.persistence, run.connection, self.reader.files.place_of)
        completion = self._completion(old_versions)
        launcher = self._launcher(submitter, stopper, reports, completion)
        planner = self._planner(defaults, task_name)
        starter = Starter(
            run,
            planner,
            Environments(run, self._stager, submitter, stopper, defaults),
            old_versions,
            launcher=launcher,
            shared_tasks=SharedTasks(run, self._stager, submitter, launcher),
            failing=failing,
        )
        spot_retries = workflow.remote_execution_settings.preemptible_retries or 0
        finisher = Finisher(
            run,
            completion,
            failing,
            reports,
            other_storages=self._other_storages,
            another_try=AnotherTry(run, planner, starter.start, spot_retries),
        )
        end = EndOfRun(
            run,
            stopper,
            submitter,
            starter,
            finisher,
            last=(self._other_storages, self._local_record, self._archive),
            detach=detach and run.connection.local is None,
        )
        poller, limited = self._poller(), LimitedSteps(workflow, run, starter, end)
        return Steps(run, old_versions, starter, poller, finisher, end, self._observed, limited)

    def _launcher(
        self, submitter: Submitter, stopper: Stopper, reports: Reports, completion: Completion
    ) -> Launcher:
        results = known_results(
            self._run,
            reports,
            self.cache,
            completion,
            local_record=self._local_record,
            sources=sources_content(self._workflow, self._sources),
        )
        return Launcher(
            self._run,
            self._stager,
            submitter,
            stopper=stopper,
            reports=reports,
            other_storages=self._other_storages,
            known_results=results,
        )

    def _planner(self, defaults: Defaults, task_name: Callable[[Any, JobPlan], str]) -> Planner:
        settings = self._workflow.executor_settings or ExecutorSettings()
        return Planner(
            self._run,
            self.reader,
            defaults,
            name=task_name,
            keep_scripts=not self._workflow.execution_settings.cleanup_scripts,
            used_before=used_by_earlier_runs(
                Path(),
                self._run.connection.client.endpoint,
                right_size=settings.right_size,
                memory_retries=settings.memory_retries > 0 or has_memory_retries(self._workflow),
            ),
        )

    def _completion(self, old_versions: OldVersions) -> Completion:
        return Completion(
            self._run,
            self._workflow,
            self.reader.files,
            collector=Collector(
                self._run.connection,
                self._stager,
                Inheritance(self._run.connection, self._stager, self._run.logger),
                SmallOutputs(self._run.connection.client, self._run.logger),
            ),
            other_storages=self._other_storages,
            cache=self.cache,
            old_versions=old_versions,
        )

    def _poller(self) -> Poller:
        connection = self._run.connection
        schedule = PollSchedule(
            self._workflow.remote_execution_settings.seconds_between_status_checks,
            connection.client.budget.pace,
            unlimited=connection.has_no_rate_limit,
        )
        return Poller(self._run, schedule)


def _greet(
    run: RunContext, settings: ExecutorSettings, sources: Sources, *, is_cache_useless: bool
) -> None:
    """Say where the run works, and what of it has no effect."""
    connection = run.connection
    if settings.detach and connection.local is not None:
        run.logger.warning(
            "--cavatica-detach has no effect with --cavatica-api-endpoint local: that platform "
            "ends with this run, and its tasks with it."
        )
    if settings.max_cost_abort and settings.max_cost is None:
        run.logger.warning(
            "--cavatica-max-cost-abort has no effect without --cavatica-max-cost, which says what "
            "the tasks may cost."
        )
    if is_cache_useless:
        run.logger.warning(
            "--cache has no effect in storage mode: outputs do not come to this machine. "
            "Within the platform, --cavatica-use-memoization reuses earlier results."
        )
    run.logger.info(
        f"CAVATICA: project {run.home.project} on {connection.client.endpoint}, run {run.id}, "
        f"token from {connection.source}; {len(sources.files)} files ({sources.size / 1e6:.1f} MB) "
        "belong to the workflow itself."
    )
    if connection.local is not None:
        run.logger.info(
            "To look at its tasks in a browser while it runs, open the address in "
            f"{Path(PAGES_FILE).resolve()}."
        )
