"""The lines at the end of a run. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from .costs import Costs
from .entries import Attempt, Run, Status
from .jobs import OF_SNAKEMAKE, last_attempts
from .needed_memory import needed_memory
from .report.prices import is_own_machine
from .right_sized import saved_by_right_size
from .words import duration, money, several

_HOUR = 3600
_MOST_RULES = 3
_HALF_A_CENT = 0.005
_SPOT_LOSS = "spot_loss"


def summary(
    run: Run, attempts: Sequence[Attempt], path: Path, files: Iterable[tuple[str, Path]]
) -> str:
    """What a person wants to know of a run that has ended.

    Args:
        attempts: all of its record, also those of interrupted runs that it went on with.
        path: of the record.
        files: others that were written, with what they are.
    """
    kept = [("Record", path.parent), *files]
    told = [f"{name}: {text}." for name, text in facts(run, attempts)]
    told[0] = f"CAVATICA: {told[0][0].lower()}{told[0][1:]}"
    return "\n  ".join([*told, "; ".join(f"{what}: {where}" for what, where in kept)])


def facts(run: Run, attempts: Sequence[Attempt]) -> list[tuple[str, str]]:
    """The same without the files, as names and texts."""
    jobs = [one for one in attempts if one.kind in OF_SNAKEMAKE]
    return [
        ("Jobs", _jobs(run, jobs)),
        ("Time", _wall(run, attempts)),
        ("Compute", _compute(attempts)),
        ("Cost", _cost(attempts)),
        ("Most expensive rules", _rules(attempts)),
        *(("Memory", text) for text in _needed(attempts)),
        *(("Right-sizing", text) for text in _saved(run, attempts)),
    ]


def _saved(run: Run, attempts: Sequence[Attempt]) -> Iterator[str]:
    """What rules had less than they ask for, and what that was worth."""
    by_instance = not is_own_machine(run.endpoint)
    told = [str(one) for one in saved_by_right_size(attempts, is_priced_by_instance=by_instance)]
    if told:
        yield "; ".join(told)


def _needed(attempts: Iterable[Attempt]) -> Iterator[str]:
    """Rules that ask for less memory than jobs of theirs needed."""
    told = [
        f"rule {one.rule} needed up to {one.most} MB in {several(len(one.by_job), 'job')} of "
        f"{one.jobs}; ask for mem_mb={one.most}"
        + ("" if one.is_usual else ", or leave it to --cavatica-memory-retries")
        for one in needed_memory(attempts)
    ]
    if told:
        yield "; ".join(told)


def _jobs(run: Run, attempts: Iterable[Attempt]) -> str:
    attempts = list(attempts)
    last = last_attempts(attempts)
    counts = Counter(one.status for one in last)
    reused = [one for one in last if one.reused_task]
    before = sum(not one.is_of(run.id) for one in last)
    taken = sum(one.taken_up_by == run.id for one in attempts)
    lost = sum(one.reason == _SPOT_LOSS for one in attempts)
    told = [
        (counts[Status.DONE], "done"),
        (counts[Status.REUSED] - len(reused), "from the cache"),
        (len(reused), "with the results of earlier runs"),
        (counts[Status.FAILED], "failed"),
        (counts[Status.CANCELLED], "aborted"),
        (counts[Status.LEFT], "left on the platform"),
    ]
    parts = [f"{number} {word}" for number, word in told if number or word in ("done", "failed")]
    extra = [
        (before, "in the runs that this one went on with"),
        (taken, "taken up from earlier runs"),
    ]
    parts += [f"{number} {word}" for number, word in extra if number]
    lost_told = f", of which {lost} lost their spot instance" if lost else ""
    return f"{', '.join(parts)}; {several(len(attempts), 'attempt')}{lost_told}"


def _wall(run: Run, attempts: Iterable[Attempt]) -> str:
    end = run.started if run.ended is None else run.ended
    waited = waiting_seconds(attempts, run.started, end)
    return f"{duration(end - run.started)}, of which {duration(waited)} only waited for instances"


def waiting_seconds(attempts: Iterable[Attempt], begin: float, end: float) -> float:
    """How much of a time something was queued, and nothing ran."""
    changes: list[tuple[float, int, int]] = []
    for one in attempts:
        if one.queued is None:
            continue
        until = end if one.ended is None else one.ended
        started = until if one.started is None else one.started
        changes += [(one.queued, 1, 0), (started, -1, 0)]
        changes += [(started, 0, 1), (until, 0, -1)] if one.started is not None else []
    waited, last, queued, running = 0.0, begin, 0, 0
    for moment, more_queued, more_running in sorted(changes):
        now = min(max(moment, begin), end)
        waited += now - last if queued and not running else 0.0
        last, queued, running = now, queued + more_queued, running + more_running
    return waited


def _compute(attempts: Iterable[Attempt]) -> str:
    asked = used = 0.0
    is_measured = False
    for one in attempts:
        asked += (one.cores or 1) * (one.run_seconds or 0.0)
        if one.measured.cpu_seconds is not None and not one.measured.is_old:
            is_measured = True
            used += one.measured.cpu_seconds
    told = f"{asked / _HOUR:.2f} core hours asked"
    if not is_measured:
        return f"{told}; what was used is not measured"
    share = f" ({100 * used / asked:.0f} %)" if asked else ""
    return f"{told}, {used / _HOUR:.2f} used{share}"


def _cost(attempts: Sequence[Attempt]) -> str:
    priced = [one for one in attempts if one.price is not None]
    ran = [one for one in priced if not one.reused_task]
    if not priced:
        return "the platform has not told any" if attempts else "nothing"
    costs = Costs()
    for one in attempts:
        costs.note(one)
    spent = costs.spent(max(one.ended or 0.0 for one in attempts))
    spot = sum(one.price or 0.0 for one in priced if one.spot)
    failed = sum(one.price or 0.0 for one in ran if one.status is not Status.DONE)
    told = f"{spent}, of which {money(spot)} on spot instances, {money(failed)} without a result"
    free = sum(one.price is not None and one.price < _HALF_A_CENT for one in ran)
    if free:
        told += f" ({several(free, 'attempt')} cost less than a cent, and count as nothing)"
    return told + _spared(attempts)


def _spared(attempts: Iterable[Attempt]) -> str:
    """What the jobs had cost that were taken from earlier runs."""
    reused = [one for one in attempts if one.reused_task]
    if not reused:
        return ""
    told = [one.spared for one in reused if one.spared is not None]
    amount = money(sum(told), reused[0].currency) if told else "an amount that is not told"
    return f"; {several(len(reused), 'job')} with results of earlier runs had cost {amount} there"


def _rules(attempts: Iterable[Attempt]) -> str:
    amounts: defaultdict[str, float] = defaultdict(float)
    number: Counter[str] = Counter()
    for one in attempts:
        amounts[one.rule] += one.price or 0.0
        number[one.rule] += 1
    first = sorted(amounts, key=lambda rule: (-amounts[rule], rule))[:_MOST_RULES]
    told = [
        f"{rule} {money(amounts[rule])} ({several(number[rule], 'attempt')})"
        for rule in first
        if amounts[rule] > 0
    ]
    return ", ".join(told) or "none has cost anything"
