"""Groups that run without Snakemake, run for real in each kind of shell that an image may have."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from typing import Any

import pytest
from test_script_runs import HOSTILE, no_harm
from translated_jobs import Ran, Task, facts, local, plan

from snakemake_executor_cavatica.finish.evidence import Evidence
from snakemake_executor_cavatica.finish.message import describe
from snakemake_executor_cavatica.finish.stderr import read_stderr
from snakemake_executor_cavatica.plan.plan import JobPlan, Mode
from snakemake_executor_cavatica.read.facts import (
    TMPDIR_PLACEHOLDER,
    WORKDIR_PLACEHOLDER,
    Ensure,
    Language,
    Member,
    PreparedScript,
    Shell,
    WorkflowFile,
)
from snakemake_executor_cavatica.watch.outcome import Failed

_SOON = 15
"""Seconds; much less than what waits here would wait."""


def member(command: str | None, rule: str = "one", **changes: Any) -> Member:
    """A job of a group; what is no field of `Member` is one of its facts."""
    own = {
        name: changes.pop(name)
        for name in ("unit", "after", "takes", "pipes", "reads", "shadow") & changes.keys()
    }
    return Member(facts(command, rule=rule, **changes), **own)


def group(*members: Member, outputs: Sequence[WorkflowFile] = (), **changes: Any) -> JobPlan:
    """A planned group; its logs are those of its jobs."""
    logs = [log for one in members for log in one.facts.logs]
    planned = plan(
        None,
        directive="group",
        rule="g",
        members=members,
        outputs=outputs,
        logs=logs,
        container="docker://image",
        **changes,
    )
    assert planned.mode is Mode.DIRECT, planned.reason
    return planned


def told(ran: Ran) -> str:
    """What a user reads of a group that failed."""
    report = read_stderr(ran.task.parent / "stderr")
    return describe(ran.plan, "link", Failed("FAILED", "failed"), Evidence(report))


def test_each_job_runs_once_those_that_it_needs_are_done(task: Task) -> None:
    diamond = group(
        member(
            "sleep 0.2; echo top > made/top; cat in > kept",
            outputs=[local("made/top"), local("kept")],
        ),
        member(
            "cat made/top > made/left; echo $OMP_NUM_THREADS > threads",
            unit=1,
            after=[0],
            threads=3,
            outputs=[local("made/left"), local("threads")],
        ),
        member(
            "cat made/top > made/right; echo said", unit=2, after=[0], outputs=[local("made/right")]
        ),
        member(
            "cat made/left made/right > out/end", unit=3, after=[1, 2], outputs=[local("out/end")]
        ),
        inputs=[local("in")],
        outputs=[local("kept"), local("threads"), local("out/end")],
    )
    ran = task.run(diamond, {"in": task.store("x")})
    assert ran.status == 0, ran.stderr
    assert [ran.text(index) for index in range(3)] == ["content\n", "3\n", "top\ntop\n"]
    assert "said" in ran.report.stderr
    assert ran.report.member is None, "what is found in the end is about the whole group"


def test_jobs_run_side_by_side_as_far_as_there_is_room(task: Task) -> None:
    """Two wait for each other, so they have to run at once; a third comes once one has ended."""
    wait = "for i in $(seq 100); do [ -e sign{1} ] && break; sleep 0.1; done; [ -e sign{1} ]"
    meet = f"touch sign{{0}}; {wait}; sleep 0.3; touch end{{0}}"
    three = group(
        member(meet.format(1, 2), takes=[1, 400]),
        member(meet.format(2, 1), unit=1, takes=[1, 400]),
        member("[ -e end1 ] || [ -e end2 ]; touch x", unit=2, takes=[1, 400], outputs=[local("x")]),
        outputs=[local("x")],
        room=[4, 1000],
    )
    ran = task.run(three)
    assert ran.status == 0, ran.stderr


def test_a_pipe_connects_two_jobs_and_is_gone_afterwards(task: Task) -> None:
    piped = group(
        member("seq 20000 > p/fifo", pipes=["p/fifo"]),
        member("cat p/fifo | wc -l > out; [ -p p/fifo ]", outputs=[local("out")]),
        member("[ ! -e p/fifo ] && cp out last", unit=1, after=[1], outputs=[local("last")]),
        outputs=[local("out"), local("last")],
    )
    ran = task.run(piped)
    assert ran.status == 0, ran.stderr
    assert (ran.text(0).strip(), ran.text(1)) == ("20000", ran.text(0))


@pytest.mark.parametrize(
    ("writer", "reader", "culprit", "status"),
    [
        ("exit 3; echo > fifo", "cat fifo > out", "write", 3),
        ("sleep 60 > fifo", "exit 4; cat fifo", "read", 4),
        ("(sleep 60 & wait) > fifo", "cat fifo > out & sleep 0.2; exit 5", "read", 5),
        ("seq 1000000 > fifo", "head -n 1 fifo > out; sleep 0.3; exit 6", "read", 6),
        ("echo half > fifo; exit 7", "cat fifo > out; exit 8", "write", 7),
    ],
    ids=["before it opens", "reader first", "with processes", "broken pipe", "both"],
)
def test_a_pipe_whose_other_end_has_failed_is_not_waited_for(
    task: Task, writer: str, reader: str, culprit: str, status: int
) -> None:
    """It would cost for ever; and the message names the one that is the cause."""
    began = time.monotonic()
    ran = task.run(
        group(
            member(f"echo of the writer; {writer}", "write", pipes=["fifo"]),
            member(
                f"echo of the reader; {reader}",
                "read",
                wildcards={"x": "1"},
                outputs=[local("out")],
            ),
            outputs=[local("out")],
        )
    )
    assert time.monotonic() - began < _SOON
    assert ran.status == status, ran.stderr
    title = {"write": "write", "read": "read [x=1]"}[culprit]
    assert f"g, job {title}: the command failed with exit status {status}." in told(ran)
    assert (culprit == "write") == ("of the writer" in told(ran)), "only its own words are told"
    assert "of the reader" in ran.stderr
    assert "of the writer" in ran.stderr


def test_a_pipe_that_one_side_never_opens_is_not_waited_for(task: Task) -> None:
    """Though the job there ends well: its reader finds nothing, its writer nobody. A pipe whose
    both jobs still run is left alone.
    """
    ran = task.run(
        group(
            member("true", "silent", pipes=["a"]),
            member("sleep 0.5; x=$(cat a); sleep 0.5; echo late > b", reads=["a"], pipes=["b"]),
            member("cat b > out", reads=["b"], outputs=[local("out")]),
            outputs=[local("out")],
        )
    )
    assert (ran.status, ran.text()) == (0, "late\n"), ran.stderr
    task = Task(task.root / "deaf", task.sh, task.path)
    ran = task.run(
        group(member("sleep 0.5; echo x > a", "talks", pipes=["a"]), member("true", reads=["a"]))
    )
    assert "g, job talks: the command was ended by signal SIGPIPE" in told(ran) or not ran.status


def test_the_first_failure_ends_the_others_and_their_processes(task: Task) -> None:
    began = time.monotonic()
    ran = task.run(
        group(
            member(
                "echo No space left on device; (sleep 60; touch late) & sleep 60",
                logs=[local("a.log")],
            ),
            member("echo Killed > b.log; exit 2", "bad", unit=1, logs=[local("b.log")]),
            member("touch never", unit=2, after=[0, 1]),
        )
    )
    assert time.monotonic() - began < _SOON
    assert ran.status == 2
    assert "g, job bad: the command failed with exit status 2." in told(ran)
    assert "No space left" not in told(ran)
    assert not list(task.root.rglob("never"))
    assert set(ran.report.logs) == {1}, "logs come back as of any job that fails"


def test_a_job_without_its_output_is_named_and_the_next_does_not_start(task: Task) -> None:
    ran = task.run(
        group(
            member("true", "lazy", outputs=[local("inside/x"), local("y")]),
            member("cat inside/x; touch never", unit=1, after=[0], outputs=[local("out")]),
            outputs=[local("y"), local("out")],
        )
    )
    assert ran.status == 1
    assert "g, job lazy: MissingOutputException" in told(ran)
    assert "did not make its output inside/x, y." in told(ran)
    assert not list(task.root.rglob("never"))


@pytest.mark.parametrize(
    ("command", "output", "words"),
    [
        ("mkdir x", local("x"), "is a folder"),
        ("touch x", local("x", ensure=Ensure(non_empty=True)), "is empty"),
        ("echo > x", local("x", ensure=Ensure(checksum=("md5", "0" * 32))), "checksum"),
        ("touch x", local("x", form="folder"), "the output x is a file; declare it without"),
        ("true", local("x", form="folder"), "did not make its output x"),
    ],
    ids=["folder", "empty", "checksum", "file", "missing"],
)
def test_outputs_that_stay_inside_are_looked_at_as_well(
    bash_task: Task, command: str, output: WorkflowFile, words: str
) -> None:
    ran = bash_task.run(group(member(command, outputs=[output]), member("true", unit=1, after=[0])))
    assert ran.status == 1
    assert words in told(ran)


def test_touched_outputs_and_logs_are_there_for_the_next_job(task: Task) -> None:
    ran = task.run(
        group(
            member("true", outputs=[local("d/mark", touch=True)], logs=[local("l/log")]),
            member("cat d/mark l/log > out", unit=1, after=[0], outputs=[local("out")]),
            outputs=[local("out")],
        )
    )
    assert ran.status == 0, ran.stderr


def test_a_job_that_is_lost_without_a_word_does_not_hold_the_task(bash_task: Task) -> None:
    """Its parent is the process that would tell of its end."""
    kill = "read -r _ _ _ parent _ < /proc/$PPID/stat; kill -9 $parent $PPID; sleep 60"
    began = time.monotonic()
    ran = bash_task.run(group(member("sleep 50"), member(kill, "lost", unit=1)))
    assert time.monotonic() - began < _SOON
    assert ran.status == 137
    assert "job lost" in told(ran)


@pytest.mark.parametrize("shadow", ["minimal", "copy-minimal", "shallow", "full"])
def test_a_shadow_directory_has_the_inputs_and_leaves_only_what_is_declared(
    task: Task, shadow: str
) -> None:
    """Two jobs side by side write to the same name beside their outputs."""
    command = "cat in/x > temporary; echo {0} >> temporary; sleep 0.3; "
    command += "cp temporary out/{0}; echo log > logs/{0}; mkdir -p made/{0}; touch made/{0}/f"
    jobs = [
        member(
            command.format(number),
            unit=number,
            shadow=shadow,
            inputs=[local("in/x")],
            outputs=[local(f"out/{number}"), local(f"made/{number}", form="folder")],
            logs=[local(f"logs/{number}")],
        )
        for number in range(2)
    ]
    last = member(
        "[ ! -e temporary ] && cat out/0 out/1 made/*/f > all",
        unit=2,
        after=[0, 1],
        outputs=[local("all")],
    )
    ran = task.run(
        group(*jobs, last, inputs=[local("in/x")], outputs=[local("out/0"), local("all")]),
        {"in/x": task.store("x")},
    )
    assert ran.status == 0, ran.stderr
    assert ran.text(0) == "content\n0\n"
    assert ran.text(1) == "content\n0\ncontent\n1\n"
    assert ran.text(2) == "log\n"


def test_the_log_of_a_shadow_job_that_failed_comes_out(task: Task) -> None:
    job = member(
        "echo why > log; exit 3", shadow="minimal", outputs=[local("x")], logs=[local("log")]
    )
    ran = task.run(group(job, member("true", unit=1, after=[0])))
    assert ran.report.logs == {0: "why"}
    assert "why" in told(ran)


def test_an_update_in_a_shadow_changes_what_is_there(task: Task) -> None:
    made = member("echo old > x", outputs=[local("x")])
    for number, shadow in enumerate(["shallow", "full"]):
        task = Task(task.root / shadow, task.sh, task.path)
        changed = member("echo new >> x", unit=1, after=[0], shadow=shadow, outputs=[local("x")])
        ran = task.run(group(made, changed, outputs=[local("x")]))
        assert ran.text() == "old\nnew\n", (number, ran.stderr)


@pytest.mark.parametrize("path", HOSTILE)
def test_paths_and_wildcards_are_never_interpreted(bash_task: Task, path: str) -> None:
    quoted = shlex.quote(f"in/{path}")
    ran = bash_task.run(
        group(
            member(f"echo x > {quoted}", pipes=[f"in/{path}"], wildcards={"x": path}),
            member(f"cat {quoted} > out/{quoted}", shadow=None, outputs=[local(f"out/in/{path}")]),
            member(
                f"cat out/{quoted} > end",
                unit=1,
                after=[1],
                shadow="minimal",
                inputs=[local(f"out/in/{path}")],
                outputs=[local("end")],
            ),
            outputs=[local("end")],
        )
    )
    assert ran.status == 0, ran.stderr
    assert ran.text() == "x\n"
    assert no_harm(bash_task)


def test_scripts_of_one_name_shells_and_places_of_the_task_are_each_jobs_own(
    bash_task: Task,
) -> None:
    scripts = [
        PreparedScript(Language.BASH, "s.sh", f"sleep 0.2\necho {n} > s{n}\n") for n in range(2)
    ]
    ran = bash_task.run(
        group(
            *(
                member(
                    None, unit=n, directive="script", script=scripts[n], outputs=[local(f"s{n}")]
                )
                for n in range(2)
            ),
            member(
                f"echo {TMPDIR_PLACEHOLDER} {WORKDIR_PLACEHOLDER} > places; "
                f"cd {WORKDIR_PLACEHOLDER}; [ -d '{TMPDIR_PLACEHOLDER}' ]",
                unit=2,
                outputs=[local("places")],
            ),
            member(
                "echo $0 > shell; false; true",
                unit=3,
                shell=Shell("sh", "echo prefix > prefix; "),
                outputs=[local("shell"), local("prefix")],
            ),
            outputs=[local("s0"), local("s1"), local("places"), local("prefix")],
        )
    )
    assert ran.status == 0, ran.stderr
    assert [ran.text(0), ran.text(1), ran.text(3)] == ["0\n", "1\n", "prefix\n"]
    assert str(ran.task) in ran.text(2)


def test_variables_of_the_user_reach_the_jobs_whatever_their_names(task: Task) -> None:
    names = ["task", "job", "unit", "failed", "folder", "sign", "name", "status", "waiting"]
    shown = " ".join(f"${name}" for name in names)
    job = plan(
        None,
        {"environment": {name: f"of-{name}" for name in names}, "precommand": "echo once >> once"},
        directive="group",
        members=[
            member(f"echo {shown} > out", outputs=[local("out")]),
            member("cp once times", unit=1, outputs=[local("times")]),
        ],
        outputs=[local("out"), local("times")],
    )
    ran = task.run(job)
    assert ran.status == 0, ran.stderr
    assert ran.text().split() == [f"of-{name}" for name in names]
    assert ran.text(1) == "once\n", "the precommand runs for the task, not for each job"


def test_a_benchmark_tells_how_long_its_job_took(task: Task) -> None:
    ran = task.run(
        group(
            member("sleep 1.1; touch x", outputs=[local("x")], benchmark=local("b/mark")),
            member("true", unit=1),
            outputs=[local("b/mark")],
        )
    )
    assert ran.status == 0, ran.stderr
    head, row = ran.text().splitlines()
    assert head.startswith("s\th:m:s\tmax_rss")
    assert int(row.split("\t")[0]) >= 1


def test_many_jobs_do_not_take_long(bash_task: Task) -> None:
    jobs = [
        member(f"echo {n} > f{n}", unit=n, takes=[1], outputs=[local(f"f{n}")]) for n in range(60)
    ]
    jobs.append(
        member(
            "cat f* | wc -l > out",
            unit=60,
            after=list(range(60)),
            takes=[1],
            outputs=[local("out")],
        )
    )
    ran = bash_task.run(group(*jobs, outputs=[local("out")], room=[4]))
    assert ran.text().strip() == "60"
