"""One run: a fresh platform, a workflow, the troubles of its scenario, and Snakemake in between."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from snakemake_executor_cavatica.finish.end_of_run import DRAFTS_STAY
from snakemake_executor_cavatica.observe.entries import Status
from snakemake_executor_cavatica.observe.record import read_record, records_here
from snakemake_executor_cavatica.translate.shared_task import jobid_of, task_id_of
from tests import warm_start
from tests.faults.around import Around, Neighbour, Sleeper, Transfers, second_user
from tests.faults.checks import (
    Evidence,
    RecordedAttempt,
    Violation,
    check,
    secrets,
    tracebacks,
)
from tests.faults.records import LIVE, Observer, Records, Request, endings
from tests.faults.scenarios import Interruption, Scenario
from tests.faults.submitted import REQUESTS, Coordinators, cancel, submit
from tests.faults.troubles import TICK, Moment, Scene, Troubles, Witness
from tests.workflow.workflow_runs import Platform
from tests.workflow.workflow_runs import Workflow as PlacedWorkflow

FOLDER = "results"
RETRIES = 4
PLANNED = "exit status 1"
PRICE_HOUR = 2
"""Seconds that cost what an hour costs."""
LIMIT_REACHED = "The same command with a higher limit goes on from here."
REFUSED = "which worked on the same files, has ended", "works on the same files"
NOT_LET_IN = "[HTTP 401"
LONGEST_MAIN = 150.0
"""Seconds after which a main process is said to hang."""
LONGEST_CANCEL = 45.0
LONGEST_FREEZE = 12.0
MOST_RESTARTS = 2
"""How often a run that failed is started again, to see whether it gets to its end then."""
_REQUESTS_OF_A_TRANSFER = 60


@dataclass
class Report:
    """What a run showed."""

    scenario: Scenario
    directory: Path
    seconds: float = 0.0
    main_seconds: float = 0.0
    """During which a main process was at work."""
    requests: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    interruptions: Counter[str] = field(default_factory=Counter)
    resumes: Counter[str] = field(default_factory=Counter)
    completed_unseen: int = 0
    """Commands that ended while the main process stood still."""
    unlocks: int = 0
    duplicates: int = 0
    losses: int = 0
    shared: Counter[str] = field(default_factory=Counter)
    """Tasks that were made for several jobs, and results that were taken instead of a task."""
    violations: list[Violation] = field(default_factory=list)


def run_scenario(scenario: Scenario, *, keep: bool) -> Report:
    """Play a scenario on a platform of its own, and judge what it left.

    Args:
        keep: whether the directory stays; that of a run with violations always does.
    """
    directory = Path(tempfile.mkdtemp(prefix=f"faults-{scenario.seed}-"))
    report = Report(scenario, directory)
    began = time.monotonic()
    limit = scenario.rate_limit
    platform = Platform.start(
        directory / "platform",
        *("--host-cores", "8", "--fault-seed", str(scenario.seed)),
        *("--switch", f"batch_creating_delay={scenario.creating}"),
        *(("--price-hour", str(PRICE_HOUR)) if scenario.world.limits else ()),
        *(("--rate-limit", f"{limit[0]}/{limit[1]}") if limit else ()),
    )
    run = _Run(report, platform)
    try:
        run.play()
    except (OSError, ValueError, LookupError, AssertionError) as error:  # the others go on
        traceback.print_exc()
        report.violations.append(Violation("the campaign failed", repr(error)))
    finally:
        run.around.close()
        platform.stop()
        if not keep and not report.violations:
            shutil.rmtree(directory, ignore_errors=True)
    report.seconds = time.monotonic() - began
    return report


class _Run:
    """The course of one run."""

    def __init__(self, report: Report, platform: Platform) -> None:
        self.report = report
        self.platform = platform
        self.observer = Observer(platform.endpoint, platform.token, platform.project)
        self.witness = Witness(report.directory / "witness.txt")
        self.troubles = Troubles(report.scenario, self.observer, self.witness)
        self.around = Around(report.scenario.world, report.directory, platform, self.observer)
        self._scenario = report.scenario
        self._world = report.scenario.world
        self._machines: list[PlacedWorkflow] = []
        self._starts: list[float] = []
        self._logs: list[Path] = []
        self._began = time.time() - 1
        self._restarts = 0
        self._finished = False
        self._limits = deque(self._world.limits)
        self._sleepers: list[Sleeper] = []
        self._coordinators = Coordinators(self.observer)
        self._neighbour: Neighbour | None = None
        self._transfers: Transfers | None = None
        self._machines.append(self._new_machine("machine0", platform, FOLDER, self.witness.path))

    def play(self) -> None:
        """Everything, from the first command to the verdict."""
        self._give(self._placed)
        if self._world.has_neighbour:
            self._neighbour = self._new_neighbour()
        if self._world.has("transfers"):
            folder = self.report.directory / "transfers"
            folder.mkdir()
            self._transfers = Transfers(folder, lambda: self.around.platform, self._scenario.seed)
            self._transfers.start()
        before = len(self.observer.requests())
        self.troubles.begin()
        self._run_to_the_end()
        self._let_sleepers_end()
        requests = self.observer.requests()[before:]
        self.troubles.end()
        self.around.settle()
        for other in (self._neighbour, self._transfers):
            if other is not None:
                other.finish()
                self.report.violations += other.violations
        self._see_that_nothing_is_left()
        self._judge(requests)

    def _give(self, placed: PlacedWorkflow) -> None:
        given = self._scenario.workflow.given
        placed.put({path: content.decode() for path, content in given.items()})

    # ------------------------------------------------------------------------- main processes

    @property
    def _placed(self) -> PlacedWorkflow:
        """The workflow on the machine where it runs now."""
        return self._machines[-1]

    @property
    def _done(self) -> float:
        """Share of the jobs that are done."""
        return self.witness.jobs / len(self._scenario.workflow.jobs)

    @property
    def _witness_of_neighbour(self) -> Witness:
        """The same one where both have the same commands."""
        if self._world.has("reuse"):
            return self.witness
        return Witness(self.report.directory / "witness-of-neighbour.txt")

    def _new_machine(
        self, name: str, platform: Platform, folder: str, witness: Path
    ) -> PlacedWorkflow:
        """A working directory with nothing in it but the workflow."""
        directory = self.report.directory / name
        directory.mkdir()
        if platform is self.platform:
            self.around.new_directory(directory)
        placed = PlacedWorkflow(directory, platform, self._scenario.place, folder)
        for file, text in self._scenario.workflow.files(str(witness)).items():
            path = directory / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            # Written before anything was made from it, on each machine.
            os.utime(path, (self._began, self._began))
        return placed

    def _new_neighbour(self) -> Neighbour:
        """Another user, with another place for the outputs."""
        platform = second_user(self.platform, self.observer)
        witness = self._witness_of_neighbour.path
        placed = self._new_machine("neighbour", platform, f"{FOLDER}-too", witness)
        self._give(placed)
        command = self._command(placed)
        return Neighbour(placed, command, self.report.directory, self._world.neighbour)

    def _command(self, placed: PlacedWorkflow, *options: str) -> list[str]:
        """The command: the same each time, but for what a resume adds."""
        command = [sys.executable, "-m", "snakemake", *placed.arguments()]
        command += ["--jobs", "20", "--seconds-between-status-checks", "1"]
        if self._scenario.jobs_may_fail:
            command += ["--retries", str(RETRIES)]
        if self._scenario.spot:
            command += ["--preemptible-rules", "--preemptible-retries", str(RETRIES)]
        if self._scenario.sharing in ("batch", "both"):
            command += ["--cavatica-batch", "auto"]
        if self._scenario.sharing in ("pack", "both"):
            command += ["--cavatica-pack", str(self._scenario.pack)]
        if self._scenario.keep_going:
            command.append("--keep-going")
        return [*command, *self._options_of_the_world(), *options]

    def _options_of_the_world(self) -> list[str]:
        world, options = self._world, list[str]()
        if world.has("memory"):
            options += ["--cavatica-memory-retries", "2"]
        if world.right_size:
            options.append("--cavatica-right-size")
        if world.has("reuse"):
            options.append("--cavatica-reuse")
        if world.has("single"):
            options += ["--cavatica-parcel-up-to", "0"]
        if world.has("detach"):
            options.append("--cavatica-detach")
        return options

    def _start(self, *options: str) -> subprocess.Popen[bytes]:
        # Not for the neighbour: nobody would raise it there.
        limit = ["--cavatica-max-cost", str(self._limits[0])] if self._limits else []
        self._starts.append(time.time())
        log = self.report.directory / f"main{len(self._logs)}.log"
        self._logs.append(log)
        command = self._command(self._placed, *limit, *options)
        with log.open("wb") as stream:
            return warm_start.Popen(
                submit(command) if self._world.has("submitted") else command,
                cwd=self._placed.directory,
                env=self.around.environment(self._placed),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    def _run_to_the_end(self) -> None:
        """Start the command, again and again, until it is done."""
        due = deque(self._scenario.interruptions)
        options: tuple[str, ...] | None = ()
        while options is not None:
            process = self._start(*options)
            began = time.monotonic()
            try:
                options = self._watch(process, due)
            finally:
                is_asleep = any(one.process is process for one in self._sleepers)
                if process.poll() is None and not is_asleep:
                    process.kill()
                    process.wait()
                self.report.main_seconds += time.monotonic() - began

    def _watch(
        self, process: subprocess.Popen[bytes], due: deque[Interruption]
    ) -> tuple[str, ...] | None:
        """Until the process ends: with which options to start another one, None for no more."""
        moment = self._moment(due)
        deadline = time.monotonic() + LONGEST_MAIN
        while process.poll() is None:
            if time.monotonic() > deadline:
                self._violate("hangs", f"{self._logs[-1].name} after {LONGEST_MAIN:.0f} s")
                return self._try_again()
            self._tick()
            if moment is not None and moment.has_come():
                interruption = due.popleft()
                if self._interrupt(process, interruption):
                    return self._resume(interruption)
                moment = self._moment(due)
            time.sleep(TICK / 5 if moment is not None and moment.is_soon else TICK)
        return self._after_exit(process.returncode)

    def _moment(self, due: deque[Interruption]) -> Moment | None:
        jobs = len(self._scenario.workflow.jobs)
        log, directory = self._logs[-1], self._placed.directory
        scene = Scene(self.observer, self.troubles, self.witness, jobs, directory, log)
        return Moment(due[0], scene) if due else None

    def _tick(self) -> None:
        """Do what is due around the main process."""
        self.troubles.tick()
        done = self._done
        self.around.tick(done)
        neighbour = self._neighbour
        if neighbour is not None and done >= neighbour.after and not neighbour.is_due:
            neighbour.is_due = True
            neighbour.start()
        for sleeper in self._sleepers:
            if time.monotonic() > sleeper.wakes:
                sleeper.wake()

    def _after_exit(self, status: int) -> tuple[str, ...] | None:
        """A process has ended by itself: how to go on."""
        if status == 0:
            self._finished = True
            return None
        output = self._logs[-1].read_text(errors="replace")
        if "LockException" in output:
            return self._unlock()
        if "IncompleteFilesException" in output:
            self._violate("refused to resume", "IncompleteFilesException")
            return ("--rerun-incomplete",)
        if LIMIT_REACHED in output and len(self._limits) > 1:
            self._see_what_runs("at the limit")
            self._limits.popleft()
            self.report.interruptions["limit of the cost"] += 1
            return ()
        if any(text in output for text in REFUSED) and self._sleepers:
            self._let_sleepers_end()  # one has woken up too soon to be overtaken
            return ()
        if self._was_full():
            self.report.interruptions["full disk"] += 1
            return ()
        if NOT_LET_IN in output and self.around.has_no_token(self._starts[-1]):
            self.report.interruptions["start without a token"] += 1
            return ()
        self._violate("gave up", f"{self._logs[-1].name}: {_reasons(output)}")
        return self._try_again()

    def _was_full(self) -> bool:
        """Whether the disk was full during the last process, which may then end; no more now."""
        was_full, self.around.was_full = self.around.was_full, False
        if was_full:
            self.around.free()
        return was_full

    def _unlock(self) -> tuple[str, ...]:
        self.report.unlocks += 1
        self._violate("lock stays", self._logs[-1].name)
        unlock = [sys.executable, "-m", "snakemake", "--unlock", *self._placed.arguments()]
        subprocess.run(
            unlock,
            cwd=self._placed.directory,
            env=self.around.environment(self._placed),
            capture_output=True,
            check=False,
        )
        return ()

    def _try_again(self) -> tuple[str, ...] | None:
        """Once more after a failure; the last time without any trouble."""
        self._restarts += 1
        if self._restarts > MOST_RESTARTS:
            return None
        if self._restarts == MOST_RESTARTS:
            self.troubles.end()
            self.around.settle()
        return ("--rerun-incomplete",)

    # ---------------------------------------------------------------------------- interruptions

    def _interrupt(self, process: subprocess.Popen[bytes], interruption: Interruption) -> bool:
        """Strike; whether the process is gone and has to be started again."""
        self.report.interruptions[f"{interruption.ending} {interruption.moment}"] += 1
        if interruption.moment == "unseen":
            self._freeze(process)
        if interruption.ending == "overtaken":
            sleeper = Sleeper(process, self._logs[-1], frozen=interruption.frozen)
            sleeper.wakes = time.monotonic() + interruption.asleep
            self._sleepers.append(sleeper)
            return True
        if interruption.ending == "sleep":
            process.send_signal(signal.SIGCONT)
            return False
        if interruption.ending == "kill":
            process.kill()
            process.wait()
            if self._world.has("submitted"):
                self.troubles.pause()
                self._coordinators.end(interruption.number)
                self.troubles.begin()
            if interruption.moment == "drafted":
                self.troubles.begin()  # without what this moment took
            return True
        return self._press_ctrl_c(process)

    def _freeze(self, process: subprocess.Popen[bytes]) -> None:
        """Let the main process stand still until what runs now has ended."""
        process.send_signal(signal.SIGSTOP)
        before = self.witness.jobs
        running = {one.task for one in self.observer.executions() if one.ended is None}
        deadline = time.monotonic() + LONGEST_FREEZE
        while time.monotonic() < deadline:
            live = {one.task for one in self.observer.executions() if one.ended is None}
            if not running & live:
                break
            time.sleep(TICK)
        time.sleep(3 * TICK)  # outputs are stored after the command has ended
        self.report.completed_unseen += self.witness.jobs - before

    def _let_sleepers_end(self) -> None:
        """Those that were overtaken wake up, and have to give way."""
        for sleeper in self._sleepers:
            sleeper.wake()
            try:
                sleeper.process.wait(LONGEST_MAIN)
            except subprocess.TimeoutExpired:
                self._violate("hangs", f"{sleeper.log.name} after it woke up")
                sleeper.process.kill()
                sleeper.process.wait()
            sleeper.bury()
        self._sleepers.clear()

    def _press_ctrl_c(self, process: subprocess.Popen[bytes]) -> bool:
        ending = [process]
        if self._world.has("submitted"):
            environment = self.around.environment(self._placed)
            ending.append(cancel(self._logs[-1], environment))
        else:
            process.send_signal(signal.SIGINT)
        end = time.monotonic() + LONGEST_CANCEL
        while any(one.poll() is None for one in ending) and time.monotonic() < end:
            self.troubles.pass_by()
            self.around.tick(self._done)
            time.sleep(0.1)
        status = process.poll()
        for one in ending:
            if one.poll() is None:
                self._violate("hangs", f"{self._logs[-1].name} after Ctrl-C")
                one.kill()
                one.wait()
        if status is None:
            return True
        if not self._world.has("detach"):
            self._see_what_runs("after Ctrl-C")
        self.troubles.begin()
        return status != 0

    def _see_what_runs(self, when: str) -> None:
        """No task may be alive that the main process has not named when it ended."""
        self.troubles.pause()
        named = self._logs[-1].read_text(errors="replace")
        own = self.observer.user()
        live = [one for one in self.observer.tasks() if one.status in LIVE and one.owner == own]
        parents = {task.parent for task in live}
        for task in live:
            if task.status == "DRAFT" and DRAFTS_STAY in named:
                continue
            # A batch lives as long as a child of it, which is judged by itself.
            if task.id not in named and task.id not in parents:
                self._violate(f"alive {when}", f"{task.name} ({task.id}) is {task.status}")
        self.troubles.begin()

    def _resume(self, interruption: Interruption) -> tuple[str, ...]:
        self.report.resumes[interruption.resume] += 1
        if interruption.resume == "elsewhere":
            name = f"machine{len(self._machines)}"
            self._machines.append(self._new_machine(name, self.platform, FOLDER, self.witness.path))
        return ("--rerun-incomplete",) if interruption.resume == "rerun-incomplete" else ()

    # -------------------------------------------------------------------------------- verdict

    def _violate(self, kind: str, detail: str) -> None:
        self.report.violations.append(Violation(kind, detail))

    def _see_that_nothing_is_left(self) -> None:
        """The same command finds nothing to do, and no run seems to be under way."""
        if not self._finished:
            return
        process = self._start()
        try:
            status = process.wait(LONGEST_MAIN)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        log = self._logs[-1]
        output = log.read_text(errors="replace")
        if status != 0 or "Nothing to be done" not in output:
            self._violate("something to do", f"{log.name}: {_reasons(output)}")
        journals = [one for one in self.observer.journals() if not self._is_told_to_stay(one)]
        if journals:
            self._violate("journal left", ", ".join(journals))

    def _is_told_to_stay(self, journal: str) -> bool:
        """Whether it is that of the neighbour, who has not run the same command again."""
        logs = self._neighbour.logs if self._neighbour else ()
        texts = [log.read_text(errors="replace") for log in logs]
        return any(journal.partition("way-")[2] in one and "DELETE /files/" in one for one in texts)

    def _judge(self, requests: list[Request]) -> None:
        report, scenario = self.report, self._scenario
        everything = self.observer.records(requests, endings(self.witness.text))
        records = everything
        if self._neighbour is not None:
            records = everything.of_owner(self.observer.user())
            report.violations += self._of_neighbour(everything, self._neighbour)
        evidence = self._evidence(records, everything)
        report.violations += check(evidence)
        others = [one.logs for one in (self._neighbour, self._transfers) if one is not None]
        logs = [*self._logs, *(log for several in others for log in several)]
        report.violations += tracebacks(logs)
        places = [*logs, *(one.directory for one in self._machines)]
        documents = [task.document for task in everything.tasks.values()]
        tokens = {self.platform.token, self.around.platform.token}
        report.violations += self._coordinators.judge(self.platform.token)
        if self._neighbour is not None:
            tokens.add(self._neighbour.placed.platform.token)
            places.append(self._neighbour.placed.directory)
        for token in tokens:
            report.violations += secrets(token, places, documents)
        report.requests = len(requests)
        report.faults = Counter(
            kind for one in requests if one.fault for kind in one.fault.split("+")
        )
        struck = self.observer.control("faults")["struck"]
        report.faults.update({kind: n for kind, n in struck.items() if kind.endswith("-task")})
        report.faults["outage"] = len(scenario.outages)
        report.faults["loss"] = len(scenario.losses)
        report.faults.update(change.partition(" ")[0] for change in self.around.changes)
        report.duplicates = sum(len(tasks) - 1 for tasks in records.successes.values())
        report.shared = records.shared
        users = [*self._machines, *([self._neighbour.placed] if self._neighbour else ())]
        report.shared["results of others"] = sum(
            one.status is Status.REUSED
            for user in users
            for folder in records_here(user.directory)
            for one in read_record(folder).attempts
        )
        planned = {job.key for job in scenario.workflow.jobs if job.fails or job.needs}
        report.losses = records.forgotten + sum(
            number for key, number in records.in_vain.items() if key not in planned
        )

    def _of_neighbour(self, everything: Records, neighbour: Neighbour) -> list[Violation]:
        """What the other user's run has done wrong."""
        ended = endings(self._witness_of_neighbour.text)
        own = Records(everything.tasks, everything.executions, [], ended)
        evidence = replace(
            self._evidence(own.of_owner("neighbour"), everything),
            files=self._files(neighbour.placed),
            finished=neighbour.finished,
            interrupted=len(neighbour.starts) > 1,
            cancelled=False,
            starts=neighbour.starts,
            attempts=list(_recorded([neighbour.placed])),
        )
        named = "of the neighbour"
        found = [one for one in check(evidence) if one.kind != "request storm"]
        return [Violation(f"{one.kind} {named}", one.detail) for one in found]

    def _evidence(self, records: Records, everything: Records) -> Evidence:
        scenario = self._scenario
        struck = {
            interruption.ending
            for interruption in scenario.interruptions
            if self.report.interruptions[f"{interruption.ending} {interruption.moment}"]
        }
        limit = scenario.rate_limit
        resets = [fault["seconds"] for fault in scenario.faults if fault["do"] == "rate-limit"]
        ended_early = self._restarts or self.report.interruptions["full disk"]
        commands = len(self._transfers.logs) if self._transfers else 0
        starts = [*self._starts, *(self._neighbour.starts if self._neighbour else ())]
        return Evidence(
            workflow=scenario.workflow,
            records=records,
            files=self._files(self._placed),
            finished=self._finished,
            interrupted=bool(struck - {"sleep"} or ended_early or scenario.world.limits),
            cancelled="ctrl-c" in struck,
            was_full=self.report.interruptions["full disk"] > 0,
            faults_fail_tasks=scenario.jobs_may_fail,
            starts=starts,
            main_seconds=self.report.main_seconds,
            reset=limit[1] if limit else 0.0,
            injected_reset=max(resets, default=0.0),
            everybody=everything if self._neighbour is not None else None,
            reuses=scenario.world.has("reuse"),
            further_requests=commands * _REQUESTS_OF_A_TRANSFER
            + self._world.has("submitted") * len(self._starts) * REQUESTS,
            # A coordinator's record is where nobody else has one.
            attempts=None if self._world.has("submitted") else list(_recorded(self._machines)),
        )

    def _files(self, placed: PlacedWorkflow) -> dict[str, bytes]:
        """Everything that the workflow has where its data live."""
        if self._scenario.place == "storage":
            found = self.observer.folder(placed.folder)
        else:
            root = placed.directory
            found = {
                str(path.relative_to(root)): path.read_bytes()
                for path in root.rglob("*")
                if path.is_file()
            }
        own = self._scenario.workflow.files("")
        return {
            path: content
            for path, content in found.items()
            if path not in own and not any(part.startswith(".") for part in Path(path).parts)
        }


def _recorded(machines: Sequence[PlacedWorkflow]) -> Iterator[RecordedAttempt]:
    """What the plugin's records in these working directories say."""
    for machine in machines:
        for number, folder in enumerate(records_here(machine.directory)):
            is_last = number == 0 and machine is machines[-1]
            for one in read_record(folder).attempts:
                if one.task is not None:
                    yield RecordedAttempt(
                        str(folder),
                        task_id_of(one.task),
                        f"{one.kind} {one.title} {jobid_of(one.task)}",
                        has_failed=one.status in (Status.FAILED, Status.CANCELLED),
                        goes_on=is_last and not one.status.is_over,
                    )


def _reasons(output: str) -> str:
    """The lines of an output that say what went wrong; some failures are part of the workflow."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    messages = [line for line in lines if line.startswith("message:") and PLANNED not in line]
    telling = messages or [line for line in lines if "rror" in line or "Exception" in line] or lines
    return " | ".join(line[:250] for line in telling[-3:])
