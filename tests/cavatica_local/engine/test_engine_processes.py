"""Abort, death and company: what happens to processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from engine_runs import FILE_OUT, Runner, Started, text, tool, wait_for

from cavatica_local.cwl.validation import Validator, validate
from cavatica_local.engine import ExecutionResult
from cavatica_local.engine.cwl import CwltoolEngine

TREE = "sleep 1000 & sh -c 'sleep 1000 & wait' & "
READY = "touch $HOME/ready; wait"


def processes_of(directory: Path) -> list[str]:
    """Commands of the living processes whose environment or arguments name the directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            known = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            if os.fsencode(directory) in known and state != "Z":
                found.append((process / "comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def start_tree(run: Runner, before: str = "") -> Started:
    started = run.start(tool(before + TREE + READY))
    wait_for(lambda: list(started.execution.directory.glob("**/ready")))
    wait_for(lambda: processes_of(started.execution.directory).count("sleep") >= 2)
    return started


def test_abort_ends_the_whole_tree_at_once(run: Runner) -> None:
    started = start_tree(run, "echo partial >&2; ")
    run.engine.abort(started.execution.task_id)
    result = started.result()
    # They are killed before the result is told, and gone as soon as the system comes to it.
    wait_for(lambda: processes_of(started.execution.directory) == [])
    assert (result.succeeded, result.message) == (False, "The task was aborted.")
    # Nobody waited until it had to be killed.
    assert result.exit_status == -signal.SIGTERM
    assert result.logs["stderr"].read_text() == "partial\n"
    assert result.command_line


def test_abort_ends_a_tool_that_ignores_sigterm(run: Runner) -> None:
    started = start_tree(run, "trap '' TERM; ")
    run.engine.abort(started.execution.task_id)
    result = started.result()
    wait_for(lambda: processes_of(started.execution.directory) == [])
    assert result.message == "The task was aborted."
    assert {"cmd.log", "stderr", "job.err.log"} <= set(result.logs)
    assert result.command_line


def test_abort_ends_a_process_that_left_its_session(run: Runner) -> None:
    started = start_tree(run, "setsid sh -c 'setsid sleep 1001 & sleep 1001' & ")
    run.engine.abort(started.execution.task_id)
    started.result()
    wait_for(lambda: processes_of(started.execution.directory) == [])


def test_nothing_outlives_a_task_that_ended(run: Runner) -> None:
    started = run.start(tool("sleep 1000 & setsid sleep 1000 & echo x > out", outputs=FILE_OUT))
    assert text(started.result()) == "x\n"
    wait_for(lambda: processes_of(started.execution.directory) == [])


def test_abort_of_a_task_that_is_not_running_does_nothing(run: Runner) -> None:
    started = run.start(tool("true"))
    assert started.result().succeeded
    run.engine.abort(started.execution.task_id)
    run.engine.abort("never heard of")
    assert run(tool("true")).succeeded
    assert len(started.results) == 1


def test_abort_right_after_start(run: Runner) -> None:
    started = run.start(tool("sleep 1000"))
    run.engine.abort(started.execution.task_id)
    assert started.result().message == "The task was aborted."
    wait_for(lambda: processes_of(started.execution.directory) == [])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_worker_that_dies(run: Runner, number: signal.Signals) -> None:
    started = run.start(tool(f"sleep 1000 & echo seen >&2; kill -{int(number)} $PPID; wait"))
    result = started.result()
    assert (result.succeeded, result.exit_status) == (False, -number)
    assert number.name in result.message
    assert result.logs["stderr"].read_text() == "seen\n"
    wait_for(lambda: processes_of(started.execution.directory) == [])
    assert run(tool("true")).succeeded


def test_fork_server_that_dies_takes_its_tasks_along_and_is_replaced(own_run: Runner) -> None:
    started = start_tree(own_run)
    server = own_run.engine._server
    assert server is not None
    server.process.kill()
    assert "fork server ended" in started.result().message
    wait_for(lambda: processes_of(started.execution.directory) == [])
    assert own_run(tool("true")).succeeded


def test_fork_server_that_dies_with_requests_unread_still_leads_to_results(own_run: Runner) -> None:
    assert own_run(tool("true")).succeeded
    server = own_run.engine._server
    assert server is not None
    server.process.send_signal(signal.SIGSTOP)
    started = [own_run.start(tool("true")) for _ in range(3)]
    server.process.kill()
    assert all("fork server ended" in each.result().message for each in started)
    assert own_run(tool("true")).succeeded


def test_program_that_is_killed_leaves_no_tool_running(tmp_path: Path) -> None:
    program = f"""
        import time
        from pathlib import Path
        from cavatica_local.engine import Execution
        from cavatica_local.engine.cwl import CwltoolEngine
        document = {tool(TREE + READY)!r}
        engine = CwltoolEngine("none")
        engine.start(Execution("t", "p", document, {{}}, Path({str(tmp_path)!r})), print)
        time.sleep(1000)
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, env=environment) as process:
        try:
            wait_for(lambda: list(tmp_path.glob("**/ready")), 30)
            wait_for(lambda: processes_of(tmp_path / "sbgenomics").count("sleep") == 2)
        finally:
            process.kill()
    wait_for(lambda: processes_of(tmp_path / "sbgenomics") == [])


def test_documents_are_validated_by_a_fork_until_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """cwltool is loaded once. What it says is the same, and a process that dies is none's fault."""
    monkeypatch.chdir("/")  # what is said names files as seen from there
    documents = [
        {**tool("true"), **change}
        for change in ({}, {"inputs": {"f": "Nonsense"}}, {"unknownKey": 1}, {"cwlVersion": "v9"})
    ]

    async def said() -> list[list[str]]:
        validator = Validator()
        engine = CwltoolEngine("none", validation=validator.channel())
        assert engine._server is not None
        found = [await validator.errors(one) for one in documents]
        server = engine._server.process.pid
        children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        await asyncio.to_thread(Runner(engine, Path(scratch)), tool("true"))  # kills strays
        found.append(await validator.errors({**documents[1], "doc": "once more"}))
        [forked] = map(int, children)
        os.kill(forked, signal.SIGKILL)
        found.append(await validator.errors({**documents[0], "doc": "by another one"}))
        await validator.close()
        await asyncio.to_thread(engine.close)
        wait_for(lambda: not Path(f"/proc/{forked}").exists())
        return found

    with tempfile.TemporaryDirectory() as scratch:
        found = asyncio.run(said())
    assert found[:4] == [validate(one) for one in documents]
    assert [bool(one) for one in found] == [False, True, True, True, True, False]


def test_eight_at_once(run: Runner) -> None:
    meet = "touch $1/$2; until [ $(ls $1 | wc -l) -eq 8 ]; do sleep 0.01; done; echo $2 > out"
    place = run.root / "meeting"
    place.mkdir()
    names = [str(number) for number in range(8)]
    all_started = [
        run.start(tool(meet, arguments=[str(place), name], outputs=FILE_OUT)) for name in names
    ]
    assert [text(started.result()).strip() for started in all_started] == names


def test_close_aborts_and_calls_back_once(tmp_path: Path) -> None:
    run = Runner(CwltoolEngine("none"), tmp_path)
    started = [start_tree(run), start_tree(run)]
    run.engine.close()
    assert [len(each.results) for each in started] == [1, 1]
    assert {each.results[0].message for each in started} == {"The task was aborted."}
    assert processes_of(tmp_path) == []
    with pytest.raises(RuntimeError, match="closed"):
        run.start(tool("true"))
    run.engine.close()


def test_callback_that_raises_costs_no_other_task_its_callback(run: Runner) -> None:
    def broken(result: ExecutionResult) -> None:
        raise LookupError("on purpose")

    first = run.start(tool("true"))
    first.result()
    directory = run.root / "second"
    directory.mkdir()
    run.engine.start(type(first.execution)("second", "p", tool("true"), {}, directory), broken)
    assert run(tool("true")).succeeded


def test_task_that_is_running_cannot_be_started_again(run: Runner) -> None:
    started = run.start(tool("sleep 1000"))
    with pytest.raises(ValueError, match="already running"):
        run.engine.start(started.execution, started.finished)
    run.engine.abort(started.execution.task_id)
    started.result()


def test_tool_sees_neither_the_working_directory_nor_open_files_of_the_server(run: Runner) -> None:
    script = "readlink /proc/$PPID/cwd > out; ls /proc/self/fd | wc -l >> out"
    parent, descriptors = text(run(tool(script, outputs=FILE_OUT))).splitlines()
    assert parent == "/"
    assert int(descriptors) <= 4


def test_task_starts_without_a_new_interpreter(run: Runner) -> None:
    """Which takes seconds to load cwltool: the tool's parent is forked from one that has."""
    server = run.engine._server
    assert server is not None
    parent_of_parent = "awk '/^PPid/ {print $2}' /proc/$PPID/status > out"
    for _ in range(2):
        result = run(tool(parent_of_parent, outputs=FILE_OUT))
        assert text(result) == f"{server.process.pid}\n"
