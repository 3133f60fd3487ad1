"""What a campaign rests on besides its runs: the reading of its records, and its checks."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from tests.faults.checks import Evidence, RecordedAttempt, check
from tests.faults.records import (
    Execution,
    Kind,
    Records,
    Request,
    TaskRecord,
    endings,
    jobs_of_command,
    task_record,
)
from tests.faults.workflows import Rule, Workflow, flat, random_workflow

pytestmark = pytest.mark.always
"""These take no time, and a check that sees nothing says that all is well."""


@pytest.mark.parametrize(
    ("command", "jobs"),
    [
        (": job=fan3:'two words'\nsleep 1", ("fan3:two words",)),
        (": job=gather4:\nsleep 1", ("gather4:",)),
        ("python -m snakemake --target-jobs 'run5:' --cores 1", ("run5:",)),
        (
            "python -m snakemake --target-jobs 'b2:x=s0' 'a1:x=s0' --allowed-rules a1 b2",
            ("a1:s0", "b2:s0"),
        ),
        ("echo other", ()),
    ],
)
def test_a_command_tells_its_jobs(command: str, jobs: tuple[str, ...]) -> None:
    """Protects the mapping from the platform's tasks to the workflow's jobs."""
    assert jobs_of_command(command) == jobs


MANIFEST = """\
# Jobs: [["run", "3", 1, "k", ["id-a", "id-b"], {}], ["run", "4", 1, "k", ["id-c"], {}, "content"]]
use_job() { case $1 in
a|b)
cat > "$command" <<'END-0' || die "cannot write the command"
: job=fan3:'two words'
cat > "$command" <<'END'
END-0
;;
c)
cat > "$command" <<'END-0' || die "cannot write the command"
: job=fan3:s1
END-0
;;
*) die "$1 is in no job of this task" ;;
esac; }
"""


def made_for_several(**changes: object) -> TaskRecord:
    """A task with a manifest."""
    own = [{"class": "File", "path": name} for name in ("id-b", "id-a")]
    document = {
        "id": "task-1",
        "name": "fan3 [2 jobs]",
        "status": "RUNNING",
        "inputs": {"snakemake_command": MANIFEST, "own": own},
    }
    return task_record(document | changes)


def test_a_task_for_several_jobs_tells_which_it_runs() -> None:
    """Protects the mapping for children of batches, which run one of the jobs, and for packs."""
    child, batch, pack = (
        made_for_several(parent="task-0"),
        made_for_several(batch=True),
        made_for_several(),
    )
    assert (child.kind, child.keys) == ("child", ("fan3:two words",))
    assert (batch.kind, batch.keys) == ("batch", ())
    assert (pack.kind, pack.keys) == ("pack", ("fan3:two words", "fan3:s1"))


def test_commands_tell_their_task_by_where_they_ran() -> None:
    """Protects the reading of the witness."""
    text = (
        "fan3:two words\t/r/executions/t1/sbgenomics/workspaces/p/tasks/t1/tool/work\na:\t/home\n"
    )
    assert endings(text) == Counter([("fan3:two words", "t1"), ("a:", "")])


# --------------------------------------------------------------------- the checks see violations


@pytest.fixture
def evidence() -> Evidence:
    """A run of one job in which nothing is wrong."""
    workflow = Workflow((Rule("one", (), outputs=(), values=("a",)),), {})
    task = TaskRecord("task-1", "one", "COMPLETED", "", ("one:a",), "{}")
    requests = [Request(0.0, "POST", "/v2/tasks", 201, None)]
    ended = Counter([("one:a", "task-1")])
    records = Records({"task-1": task}, [Execution("task-1", 0, 1.0)], requests, ended)
    return Evidence(
        workflow=workflow,
        records=records,
        files={},
        finished=True,
        interrupted=False,
        cancelled=False,
        was_full=False,
        faults_fail_tasks=False,
        starts=[0.0],
        main_seconds=1.0,
        reset=5.0,
        injected_reset=1.0,
    )


def kinds(evidence: Evidence) -> set[str]:
    return {violation.kind for violation in check(evidence)}


def with_task(evidence: Evidence, status: str, exit_status: int | None) -> Evidence:
    """One more task for the same job."""
    old = evidence.records
    task = replace(old.tasks["task-1"], id="task-2", status=status)
    executions = [*old.executions, Execution("task-2", exit_status, 2.0, 1.5)]
    records = Records({**old.tasks, "task-2": task}, executions, old.requests, old.endings)
    return replace(evidence, records=records)


def with_endings(evidence: Evidence, *ended: tuple[str, str]) -> Evidence:
    """What the commands have noted."""
    old = evidence.records
    records = Records(old.tasks, old.executions, old.requests, Counter(ended))
    return replace(evidence, records=records)


def of_kind(evidence: Evidence, kind: Kind) -> Evidence:
    """Where all tasks are of a kind."""
    old = evidence.records
    tasks = {name: replace(task, kind=kind) for name, task in old.tasks.items()}
    records = Records(tasks, old.executions, old.requests, old.endings)
    return replace(evidence, records=records)


def with_requests(evidence: Evidence, requests: list[Request]) -> Evidence:
    old = evidence.records
    return replace(evidence, records=Records(old.tasks, old.executions, requests, old.endings))


def test_nothing_is_found_where_nothing_is_wrong(evidence: Evidence) -> None:
    """Protects against checks that find fault with everything."""
    assert not kinds(evidence)


@pytest.mark.parametrize(
    ("status", "exit_status", "kind"),
    [
        ("COMPLETED", 0, "ran twice"),
        ("RUNNING", None, "left alive"),
        ("DRAFT", None, "left alive"),
        ("ABORTED", None, "aborted"),
        ("FAILED", 1, "failed"),
    ],
)
def test_a_task_too_many_is_found(
    evidence: Evidence, status: str, exit_status: int | None, kind: str
) -> None:
    """Protects the checks of duplicates, live tasks and unexplained ends."""
    assert kinds(with_task(evidence, status, exit_status)) == {kind}


def test_two_tasks_of_a_job_at_once_are_found(evidence: Evidence) -> None:
    """Protects against paying for two where one is thrown away, which is no success of both."""
    old = with_task(evidence, "FAILED", 1).records
    first, second = (replace(one, started=0.5) for one in old.executions)
    records = Records(old.tasks, [first, second], old.requests, old.endings)
    found = kinds(replace(evidence, records=records, faults_fail_tasks=True))
    assert found == {"at the same time"}
    records = Records(old.tasks, [first, replace(second, started=1.5)], [], old.endings)
    assert not kinds(replace(evidence, records=records, faults_fail_tasks=True))


def recorded(evidence: Evidence, *tasks: str, goes_on: bool = False) -> Evidence:
    """Where the plugin's record names these tasks."""
    return replace(
        evidence,
        attempts=[
            RecordedAttempt("record", task, "job one [x=a]", has_failed=False, goes_on=goes_on)
            for task in tasks
        ],
    )


def test_a_record_names_each_task_once(evidence: Evidence) -> None:
    """Protects what costs, reports and limits are told from."""
    assert not kinds(recorded(evidence, "task-1"))
    assert kinds(recorded(evidence)) == {"not on record"}
    assert kinds(recorded(evidence, "task-1", "task-1")) == {"recorded twice"}
    assert kinds(recorded(evidence, "task-1", goes_on=True)) == {"goes on, by the record"}


def test_what_another_user_does_is_judged_by_itself(evidence: Evidence) -> None:
    """Protects against taking the tasks of two people in one project for duplicates."""
    both = with_task(evidence, "COMPLETED", 0).records
    tasks = {name: replace(one, owner=name) for name, one in both.tasks.items()}
    records = Records(tasks, both.executions, both.requests, both.endings)
    assert kinds(replace(evidence, records=records)) == {"ran twice"}
    assert not kinds(replace(evidence, records=records.of_owner("task-1")))


def test_what_a_fault_lost_is_no_duplicate(evidence: Evidence) -> None:
    """Protects against calling a repetition a duplicate that a fault made necessary."""
    lost = replace(with_task(evidence, "FAILED", None), faults_fail_tasks=True)
    assert not kinds(lost)
    assert not kinds(with_endings(lost, ("one:a", "task-1"), ("one:a", "task-2")))


def test_a_command_that_is_repeated_within_a_task_is_found(evidence: Evidence) -> None:
    """Protects against paying twice in one task, as when a checkpoint runs again there."""
    repeated = with_endings(evidence, ("one:a", "task-1"), ("one:a", "task-1"))
    assert kinds(repeated) == {"repeated in a task"}


def test_a_job_that_runs_in_the_task_of_another_one_is_found(evidence: Evidence) -> None:
    """Protects the choice of its job by a task that may run any of several."""
    assert kinds(with_endings(evidence, ("one:b", "task-1"))) == {"not its job"}


def test_a_job_of_a_pack_is_done_if_its_own_command_ended(evidence: Evidence) -> None:
    """Protects that one which failed in a pack may be repeated, and one that did not may not."""
    packs = of_kind(with_task(evidence, "COMPLETED", 0), "pack")
    assert not kinds(packs)
    assert packs.records.in_vain == Counter({"one:a": 1})
    assert kinds(with_endings(packs, ("one:a", "task-1"), ("one:a", "task-2"))) == {"ran twice"}
    assert kinds(with_endings(packs)) == {"never ran"}


def test_a_pack_that_fails_is_found_whatever_its_jobs_do(evidence: Evidence) -> None:
    """Protects that a pack does not fail because of its jobs."""
    workflow = Workflow((replace(evidence.workflow.rules[0], fails=1),), {})
    failing = replace(with_task(evidence, "FAILED", 1), workflow=workflow)
    assert not kinds(failing)
    assert kinds(of_kind(failing, "pack")) == {"failed"}


def test_a_batch_that_fails_by_a_child_is_explained_by_it(evidence: Evidence) -> None:
    """Protects that the end of a child is not held against its batch as well."""
    old = evidence.records
    child = replace(old.tasks["task-1"], id="task-2", status="FAILED", kind="child", parent="batch")
    batch = replace(child, id="batch", kind="batch", keys=(), parent=None)
    workflow = Workflow((replace(evidence.workflow.rules[0], fails=1),), {})
    tasks = {**old.tasks, "task-2": child, "batch": batch}
    records = Records(tasks, old.executions, old.requests, old.endings)
    assert not kinds(replace(evidence, records=records, workflow=workflow))
    alone = Records({**old.tasks, "batch": batch}, old.executions, old.requests, old.endings)
    assert kinds(replace(evidence, records=alone, workflow=workflow)) == {"failed"}


def test_a_batch_is_aborted_where_a_fault_has_lost_its_children(evidence: Evidence) -> None:
    """Protects that only such a fault, and only if no child is left, explains it."""
    old = evidence.records
    child = replace(old.tasks["task-1"], id="task-2", kind="child", parent="batch")
    batch = replace(child, id="batch", status="ABORTED", kind="batch", keys=(), parent=None)
    alone = Records({**old.tasks, "batch": batch}, old.executions, old.requests, old.endings)
    assert kinds(replace(evidence, records=alone)) == {"aborted"}
    assert not kinds(replace(evidence, records=alone, faults_fail_tasks=True))
    tasks = {**alone.tasks, "task-2": child}
    records = Records(tasks, old.executions, old.requests, old.endings)
    assert kinds(replace(evidence, records=records, faults_fail_tasks=True)) == {"aborted"}


def test_wrong_and_foreign_files_are_found(evidence: Evidence) -> None:
    """Protects the comparison of the outputs."""
    assert kinds(replace(evidence, files={"_1_one": b""})) == {"foreign file"}
    workflow = random_workflow(random.Random(1))
    broken = flat(workflow.kept())
    broken[next(iter(broken))] = b"half"
    broken.popitem()
    found = kinds(replace(evidence, workflow=workflow, files=broken))
    assert {"wrong output", "missing output", "never ran"} <= found


def test_a_storm_is_found(evidence: Evidence) -> None:
    """Protects the bound on requests."""
    requests = [Request(n / 1000, "GET", "/v2/files", 200, None) for n in range(1000)]
    assert kinds(with_requests(evidence, requests)) == {"request storm"}


def test_calls_before_the_reset_are_found(evidence: Evidence) -> None:
    """Protects the rule that a 429 is waited out by a process that has seen it."""
    old = replace(evidence, starts=[-100.0])
    refused = [Request(float(n), "GET", "/v2/files", 429, None) for n in range(3)]
    assert kinds(with_requests(old, refused[:1])) == set()
    assert kinds(with_requests(old, refused)) == {"calls after 429"}


def test_a_429_that_is_a_fault_lasts_as_long_as_the_fault(evidence: Evidence) -> None:
    """Protects against taking a second one for a call that came too early after the first one."""
    old = replace(evidence, starts=[-100.0])
    times = [0.0, 0.5, 2.0]
    refused = [Request(time, "GET", "/v2/files", 429, "rate-limit") for time in times]
    assert kinds(with_requests(old, refused)) == {"calls after 429"}
    assert kinds(with_requests(old, [refused[0], refused[2]])) == set()
