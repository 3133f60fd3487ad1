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
from dataclasses import dataclass, field
from pathlib import Path

from tests import warm_start
from tests.faults.checks import Evidence, Violation, check, secrets, tracebacks
from tests.faults.records import LIVE, Observer, Records, Request, endings
from tests.faults.scenarios import RUN, Fault, Interruption, Scenario
from tests.workflow.workflow_runs import Platform
from tests.workflow.workflow_runs import Workflow as PlacedWorkflow

FOLDER = "results"
RETRIES = 4
TICK = 0.1
PLANNED = "exit status 1"
READY = "CAVATICA: project"
"""What the plugin prints once it is connected."""
LONGEST_MAIN = 150.0
"""Seconds after which a main process is said to hang."""
LONGEST_CANCEL = 45.0
LONGEST_WAIT = 6.0
"""Seconds to wait for a moment before a lesser one is taken."""
LONGEST_FREEZE = 12.0
MOST_RESTARTS = 2
"""How often a run that failed is started again, to see whether it gets to its end then."""
_ON_ITS_WAY = 1.5
_DONE = 200


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
    """Tasks that were made for several jobs."""
    violations: list[Violation] = field(default_factory=list)


def run_scenario(scenario: Scenario, *, keep: bool) -> Report:
    """Play a scenario on a platform of its own, and judge what it left."""
    directory = Path(tempfile.mkdtemp(prefix=f"faults-{scenario.seed}-"))
    report = Report(scenario, directory)
    began = time.monotonic()
    limit = scenario.rate_limit
    platform = Platform.start(
        directory / "platform",
        *("--host-cores", "8", "--fault-seed", str(scenario.seed)),
        *("--switch", f"batch_creating_delay={scenario.creating}"),
        *(("--rate-limit", f"{limit[0]}/{limit[1]}") if limit else ()),
    )
    try:
        _Run(report, platform).play()
    except (OSError, ValueError, LookupError, AssertionError) as error:  # the others go on
        traceback.print_exc()
        report.violations.append(Violation("the campaign failed", repr(error)))
    finally:
        platform.stop()
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)
    report.seconds = time.monotonic() - began
    return report


@dataclass(frozen=True)
class Witness:
    """The file in which commands note that they have come to their end."""

    path: Path

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text() if self.path.exists() else ""

    @property
    def jobs(self) -> int:
        """How many jobs have been done."""
        return len({key for key, _ in endings(self.text)})


class _Troubles:
    """Faults, outages and losses, each when the run has come to its moment."""

    def __init__(self, scenario: Scenario, observer: Observer, witness: Witness) -> None:
        self._observer = observer
        self._witness = witness
        self._seed = scenario.seed * 1000
        self._standing = list(scenario.faults)
        self._jobs = len(scenario.workflow.jobs)
        self._outages = deque(sorted(scenario.outages, key=lambda one: one.after))
        self._losses = deque(sorted(scenario.losses))
        self._over_at: float | None = None

    def begin(self, *further: Fault) -> None:
        """Inject the standing faults, and further ones ahead of them."""
        self._over_at = None
        self._inject([*further, *self._standing])

    def pause(self) -> None:
        """No fault until `begin`."""
        self._inject([])

    def end(self) -> None:
        """No trouble any more."""
        self._standing.clear()
        self._outages.clear()
        self._losses.clear()
        self.pause()

    def tick(self) -> None:
        """Do what is due."""
        if self._over_at is not None and time.monotonic() > self._over_at:
            self.begin()
        if not self._outages and not self._losses:
            return
        done = self._witness.jobs / self._jobs
        if self._outages and done >= self._outages[0].after and self._over_at is None:
            outage = self._outages.popleft()
            self._inject([outage.fault])
            self._over_at = time.monotonic() + outage.seconds
        running = [one.task for one in self._observer.executions() if one.ended is None]
        due = self._losses and done >= self._losses[0] and running
        if due and self._observer.control("interrupt", {"task": running[0]})["interrupted"]:
            self._losses.popleft()

    def _inject(self, faults: list[Fault]) -> None:
        self._seed += 1
        self._observer.control("faults", {"faults": faults, "seed": self._seed})


class _Moment:
    """Watches for the moment of an interruption."""

    def __init__(self, interruption: Interruption, run: _Run, log: Path) -> None:
        self.interruption = interruption
        self._log = log
        self._observer = run.observer
        self._troubles = run.troubles
        self._witness = run.witness
        self._jobs = len(run.report.scenario.workflow.jobs)
        self._armed: float | None = None
        self._requests = 0

    def has_come(self) -> bool:
        """Whether to strike now."""
        if self._armed is None:
            done = self._witness.jobs
            if done >= self.interruption.after * self._jobs and self._is_ready():
                self._arm()
            return False
        late = time.monotonic() - self._armed > LONGEST_WAIT
        running = sum(one.ended is None for one in self._observer.executions())
        wanted = 1 if late else self.interruption.number
        if self.interruption.moment in ("running", "unseen"):
            return running >= wanted
        return self._requests_since() >= wanted

    def _is_ready(self) -> bool:
        """Ctrl-C is the plugin's matter once the plugin is there."""
        return self.interruption.ending != "ctrl-c" or READY in self._log.read_text()

    def _arm(self) -> None:
        self._armed = time.monotonic()
        self._requests = len(self._observer.requests())
        if self.interruption.moment == "starting":
            seconds = _ON_ITS_WAY * self.interruption.number
            self._troubles.begin({"do": "delay", "path": RUN, "seconds": seconds, "times": 1})
        elif self.interruption.moment == "drafted":
            self._troubles.begin({"do": "drop-before", "path": RUN})

    def _requests_since(self) -> int:
        """Requests of the kind that makes the moment, since it was due."""
        later = self._observer.requests()[self._requests :]
        if self.interruption.moment == "submitting":
            return sum(one.kind == "POST /v2/tasks" for one in later)
        runs = [one for one in later if one.kind.endswith("/actions/run")]
        if self.interruption.moment in ("starting", "drafted"):
            return self.interruption.number if runs else 0
        if self.interruption.moment == "started":
            return self.interruption.number if any(one.status == _DONE for one in runs) else 0
        return sum(
            one.kind == "POST /v2/bulk/files/get" or "/download_info" in one.path for one in later
        )


class _Run:
    """The course of one run."""

    def __init__(self, report: Report, platform: Platform) -> None:
        self.report = report
        self.platform = platform
        self.observer = Observer(platform.endpoint, platform.token, platform.project)
        self.witness = Witness(report.directory / "witness.txt")
        self.troubles = _Troubles(report.scenario, self.observer, self.witness)
        self._scenario = report.scenario
        self._machines: list[PlacedWorkflow] = []
        self._starts: list[float] = []
        self._logs: list[Path] = []
        self._began = time.time() - 1
        self._restarts = 0
        self._finished = False
        self._add_machine()

    def play(self) -> None:
        """Everything, from the first command to the verdict."""
        given = self._scenario.workflow.given
        self._placed.put({path: content.decode() for path, content in given.items()})
        before = len(self.observer.requests())
        self.troubles.begin()
        self._run_to_the_end()
        requests = self.observer.requests()[before:]
        self.troubles.end()
        self._judge(requests)

    # ------------------------------------------------------------------------- main processes

    @property
    def _placed(self) -> PlacedWorkflow:
        """The workflow on the machine where it runs now."""
        return self._machines[-1]

    def _add_machine(self) -> None:
        """A working directory with nothing in it but the workflow."""
        directory = self.report.directory / f"machine{len(self._machines)}"
        directory.mkdir()
        placed = PlacedWorkflow(directory, self.platform, self._scenario.place, FOLDER)
        for name, text in self._scenario.workflow.files(str(self.witness.path)).items():
            path = directory / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            # Written before anything was made from it, on each machine.
            os.utime(path, (self._began, self._began))
        self._machines.append(placed)

    def _command(self, *options: str) -> list[str]:
        """The command: the same each time, but for what a resume adds."""
        command = [sys.executable, "-m", "snakemake", *self._placed.arguments()]
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
        return [*command, *options]

    def _start(self, *options: str) -> subprocess.Popen[bytes]:
        self._starts.append(time.time())
        log = self.report.directory / f"main{len(self._logs)}.log"
        self._logs.append(log)
        with log.open("wb") as stream:
            return warm_start.Popen(
                self._command(*options),
                cwd=self._placed.directory,
                env=self._placed.environment(),
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
                if process.poll() is None:
                    process.kill()
                    process.wait()
                self.report.main_seconds += time.monotonic() - began

    def _watch(
        self, process: subprocess.Popen[bytes], due: deque[Interruption]
    ) -> tuple[str, ...] | None:
        """Until the process ends: with which options to start another one, None for no more."""
        moment = _Moment(due[0], self, self._logs[-1]) if due else None
        deadline = time.monotonic() + LONGEST_MAIN
        while process.poll() is None:
            if time.monotonic() > deadline:
                self._violate("hangs", f"{self._logs[-1].name} after {LONGEST_MAIN:.0f} s")
                return self._try_again()
            self.troubles.tick()
            if moment is not None and moment.has_come():
                interruption = due.popleft()
                if self._interrupt(process, interruption):
                    return self._resume(interruption)
                moment = _Moment(due[0], self, self._logs[-1]) if due else None
            time.sleep(TICK)
        return self._after_exit(process.returncode)

    def _after_exit(self, status: int) -> tuple[str, ...] | None:
        """A process has ended by itself: how to go on."""
        if status == 0:
            self._finished = True
            return None
        output = self._logs[-1].read_text(errors="replace")
        if "LockException" in output:
            self.report.unlocks += 1
            unlock = [sys.executable, "-m", "snakemake", "--unlock"]
            unlock += self._placed.arguments()
            subprocess.run(
                unlock,
                cwd=self._placed.directory,
                env=self._placed.environment(),
                capture_output=True,
                check=False,
            )
            return ()
        if "IncompleteFilesException" in output:
            self._violate("refused to resume", "IncompleteFilesException")
            return ("--rerun-incomplete",)
        self._violate("gave up", f"{self._logs[-1].name}: {_reasons(output)}")
        return self._try_again()

    def _try_again(self) -> tuple[str, ...] | None:
        """Once more after a failure; the last time without any trouble."""
        self._restarts += 1
        if self._restarts > MOST_RESTARTS:
            return None
        if self._restarts == MOST_RESTARTS:
            self.troubles.end()
        return ("--rerun-incomplete",)

    # ---------------------------------------------------------------------------- interruptions

    def _interrupt(self, process: subprocess.Popen[bytes], interruption: Interruption) -> bool:
        """Strike; whether the process is gone and has to be started again."""
        self.report.interruptions[f"{interruption.ending} {interruption.moment}"] += 1
        if interruption.moment == "unseen":
            self._freeze(process)
        if interruption.ending == "sleep":
            process.send_signal(signal.SIGCONT)
            return False
        if interruption.ending == "kill":
            process.kill()
            process.wait()
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

    def _press_ctrl_c(self, process: subprocess.Popen[bytes]) -> bool:
        process.send_signal(signal.SIGINT)
        try:
            status = process.wait(LONGEST_CANCEL)
        except subprocess.TimeoutExpired:
            self._violate("hangs", f"{self._logs[-1].name} after Ctrl-C")
            process.kill()
            process.wait()
            return True
        self.troubles.pause()
        named = self._logs[-1].read_text(errors="replace")
        live = [task for task in self.observer.tasks() if task.status in LIVE]
        parents = {task.parent for task in live}
        for task in live:
            # A batch lives as long as a child of it, which is judged by itself.
            if task.id not in named and task.id not in parents:
                self._violate("alive after Ctrl-C", f"{task.name} ({task.id}) is {task.status}")
        self.troubles.begin()
        return status != 0

    def _resume(self, interruption: Interruption) -> tuple[str, ...]:
        self.report.resumes[interruption.resume] += 1
        if interruption.resume == "elsewhere":
            self._add_machine()
        return ("--rerun-incomplete",) if interruption.resume == "rerun-incomplete" else ()

    # -------------------------------------------------------------------------------- verdict

    def _violate(self, kind: str, detail: str) -> None:
        self.report.violations.append(Violation(kind, detail))

    def _judge(self, requests: list[Request]) -> None:
        report, scenario = self.report, self._scenario
        records = self.observer.records(requests, endings(self.witness.text))
        evidence = self._evidence(records)
        report.violations += check(evidence)
        report.violations += tracebacks(self._logs)
        places = [*self._logs, *(one.directory for one in self._machines)]
        documents = (task.document for task in records.tasks.values())
        report.violations += secrets(self.platform.token, places, documents)
        report.requests = len(requests)
        report.faults = Counter(
            kind for one in requests if one.fault for kind in one.fault.split("+")
        )
        struck = self.observer.control("faults")["struck"]
        report.faults.update({kind: n for kind, n in struck.items() if kind.endswith("-task")})
        report.faults["outage"] = len(scenario.outages)
        report.faults["loss"] = len(scenario.losses)
        report.duplicates = sum(len(tasks) - 1 for tasks in records.successes.values())
        report.shared = records.shared
        planned = {job.key for job in scenario.workflow.jobs if job.fails}
        report.losses = records.forgotten + sum(
            number for key, number in records.in_vain.items() if key not in planned
        )

    def _evidence(self, records: Records) -> Evidence:
        scenario = self._scenario
        struck = {
            interruption.ending
            for interruption in scenario.interruptions
            if self.report.interruptions[f"{interruption.ending} {interruption.moment}"]
        }
        limit = scenario.rate_limit
        resets = [fault["seconds"] for fault in scenario.faults if fault["do"] == "rate-limit"]
        return Evidence(
            workflow=scenario.workflow,
            records=records,
            files=self._files(),
            finished=self._finished,
            interrupted=bool(struck - {"sleep"}) or self._restarts > 0,
            cancelled="ctrl-c" in struck,
            faults_fail_tasks=scenario.jobs_may_fail,
            starts=self._starts,
            main_seconds=self.report.main_seconds,
            reset=limit[1] if limit else 0.0,
            injected_reset=max(resets, default=0.0),
        )

    def _files(self) -> dict[str, bytes]:
        """Everything that the workflow has where its data live."""
        if self._scenario.place == "storage":
            found = self.observer.folder(FOLDER)
        else:
            root = self._placed.directory
            found = {
                str(path.relative_to(root)): path.read_bytes()
                for path in root.rglob("*")
                if path.is_file()
            }
        own = self._scenario.workflow.files(str(self.witness.path))
        return {
            path: content
            for path, content in found.items()
            if path not in own and not any(part.startswith(".") for part in Path(path).parts)
        }


def _reasons(output: str) -> str:
    """The lines of an output that say what went wrong; some failures are part of the workflow."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    messages = [line for line in lines if line.startswith("message:") and PLANNED not in line]
    telling = messages or [line for line in lines if "rror" in line or "Exception" in line] or lines
    return " | ".join(line[:250] for line in telling[-3:])
