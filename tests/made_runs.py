"""Records of runs that nobody has run: as large as wanted, and the same each time."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from snakemake_executor_cavatica.observe.entries import Attempt, Run, Status
from snakemake_executor_cavatica.observe.record import Record
from snakemake_executor_cavatica.translate.measured import Measured

BEGAN = 1_795_903_200.0
"""2026-11-28 22:00 UTC."""
RUN = "20261128-220000-ba644a"
AT_ONCE, INSTANCES = 60, 40
PAGES = "https://cavatica.sbgenomics.com/u/lab/reads/tasks"
TOLD = {
    "command": "the command failed with exit status 1.",
    "spot_loss": "the spot instance of the task was taken away. Nothing is wrong with the job. "
    "Try again, or on demand (cavatica_interruptible=false).",
}


@dataclass(frozen=True)
class Rule:
    """What jobs of a rule are like: seconds, GiB and cores in the mean, and what is asked."""

    name: str
    needs: tuple[str, ...]
    seconds: float
    cores: int
    busy: float
    memory_mib: int
    peak_mib: float
    share: float
    """Of all jobs."""


RULES = (
    Rule("fastqc", (), 140, 1, 0.9, 1908, 620, 0.24),
    Rule("trim", (), 260, 2, 1.7, 1908, 820, 0.24),
    Rule("align", ("trim",), 1500, 8, 6.6, 30518, 2650, 0.24),
    Rule("sort_alignments", ("align",), 420, 4, 1.3, 7629, 5300, 0.24),
    Rule("call_variants", ("sort_alignments",), 900, 2, 1.1, 7629, 3300, 0.035),
    Rule("merge_calls", ("call_variants",), 180, 1, 0.8, 3815, 1900, 0.0025),
    Rule("quality_report", ("fastqc", "merge_calls"), 90, 1, 0.5, 1908, 480, 0.0025),
)
STDERR = """[M::main] loading the reference
[M::process] read 1204118 sequences (180617700 bp)...
[E::bns_restore] cannot open reference/GRCh38.fa.pac: No such file or directory"""


def made_run(jobs: int, *, seed: int = 7, fails: float = 0.02) -> Record:
    """A run of about so many jobs."""
    maker = _Maker(random.Random(seed), fails)
    attempts = tuple(maker.attempts(jobs))
    last = max(one.ended or 0 for one in attempts)
    planned: dict[str, int] = {}
    for one in attempts:
        planned[one.rule] = planned.get(one.rule, 0) + (one.number == 1)
    return Record(
        Path("/home/me/reads/.snakemake/cavatica/runs", RUN), (_run(last, planned),), attempts
    )


def _run(ended: float, planned: dict[str, int]) -> Run:
    pairs = [(need, rule.name) for rule in RULES for need in rule.needs]
    pairs += [("quality_report", "all"), ("merge_calls", "all")]
    arrows = [f"{json.dumps(first)} -> {json.dumps(second)}" for first, second in pairs]
    return Run(
        id=RUN,
        command="snakemake --executor cavatica --cavatica-project lab/reads --jobs 60 --retries 2",
        directory="/home/me/reads",
        snakemake="9.27.1",
        plugin="0.1.0",
        endpoint="https://cavatica-api.sbgenomics.com/v2",
        project="lab/reads",
        place="transfer",
        started=BEGAN,
        ended=ended + 5,
        outcome="failed",
        jobs_planned=sum(planned.values()),
        jobs_by_rule=planned,
        graph="digraph {" + "; ".join(['"all"', *arrows]) + "}",
    )


class _Maker:
    """Lets jobs wait for instances, and run."""

    def __init__(self, chance: random.Random, fails: float) -> None:
        self._chance = chance
        self._slots = [BEGAN + 2 + 0.2 * number for number in range(AT_ONCE)]
        self._free = [BEGAN + 20 + 4 * number for number in range(INSTANCES)]
        self._fails = fails
        self._number = 0

    def attempts(self, jobs: int) -> Iterator[Attempt]:
        """One rule after the other, as samples get there."""
        ready = [BEGAN + 2 + 0.2 * number for number in range(jobs)]
        for rule in RULES:
            count = max(1, round(jobs * rule.share))
            ready = (ready * (1 + count // max(1, len(ready))))[:count]
            ended: list[float] = []
            for number, moment in enumerate(ready):
                for attempt in self._tries(rule, number, moment):
                    yield attempt
                    assert attempt.ended is not None
                    last = attempt.ended
                ended.append(last + 3)
            ready = sorted(ended) if rule.name != "fastqc" else ready

    def _tries(self, rule: Rule, number: int, moment: float) -> Iterator[Attempt]:
        for attempt in (1, 2, 3):
            made = self._one(rule, number, moment, attempt)
            yield made
            if made.status is Status.DONE:
                return
            assert made.ended is not None
            moment = made.ended + 8

    def _one(self, rule: Rule, number: int, moment: float, attempt: int) -> Attempt:
        chance = self._chance
        self._number += 1
        moment = max(moment, heapq.heappop(self._slots))
        started = max(heapq.heappop(self._free), moment + 15 + chance.expovariate(0.05))
        seconds = rule.seconds * chance.lognormvariate(0, 0.35)
        spot = rule.cores > 2
        failure = self._failure(rule, number, spot)
        seconds *= chance.random() if failure else 1.0
        ended = started + seconds
        heapq.heappush(self._free, ended + 10)
        heapq.heappush(self._slots, ended + 5)
        task = f"{self._number:08x}-5e1f-4c6e-9d0a-1f2e3d4c5b6a"
        title = f"{rule.name} [sample=S{number:04}]"
        measured = Measured(
            wall_seconds=round(max(1.0, seconds - 12), 2),
            cpu_seconds=round(max(1.0, seconds - 12) * rule.busy * chance.uniform(0.8, 1.1), 2),
            peak_memory_mib=round(rule.peak_mib * chance.uniform(0.55, 1.1), 1),
            exit_status=1 if failure == "command" else 0,
        )
        return Attempt(
            id=f"ba644a.{self._number}",
            run=RUN,
            jobid=str(self._number),
            rule=rule.name,
            wildcards={"sample": f"S{number:04}"},
            number=attempt,
            task=task,
            page=f"{PAGES}/{task}",
            app=f"lab/reads/snakemake-{rule.name}/0",
            mode="direct",
            image="quay.io/biocontainers/bwa:0.7.18",
            status=Status.FAILED if failure else Status.DONE,
            reason=failure,
            message=f"{title}: {TOLD[failure]}\nTask: {PAGES}/{task}" if failure else "",
            stderr_end=STDERR if failure == "command" else "",
            submitted=moment,
            queued=moment + 1,
            started=round(started, 3),
            ended=round(ended, 3),
            cores=rule.cores,
            memory_mib=rule.memory_mib,
            spot=spot,
            measured=Measured() if failure == "spot_loss" else measured,
            price=round(seconds / 3600 * rule.cores * (0.05 if spot else 0.11), 2),
            currency="USD",
            bytes_in=chance.randrange(10**8, 10**10),
            bytes_out=None if failure else chance.randrange(10**6, 10**9),
        )

    def _failure(self, rule: Rule, number: int, spot: bool) -> str:
        if rule.name == "align" and number == 3:
            return "command"
        if self._chance.random() >= self._fails:
            return ""
        return "spot_loss" if spot else "command"
