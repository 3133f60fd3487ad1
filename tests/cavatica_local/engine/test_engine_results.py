"""Exit codes, logs, messages and outputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_runs import FILE_OUT, Runner, text, tool

from cavatica_local.engine.cwl import CwltoolEngine


@pytest.mark.parametrize("version", ["v1.0", "v1.1", "v1.2"])
def test_output_is_below_the_platforms_working_directory(run: Runner, version: str) -> None:
    result = run(tool("pwd > out", outputs=FILE_OUT, cwlVersion=version))
    workspace = "sbgenomics/workspaces/project-uuid/tasks/task-1/example"
    assert text(result).strip() == str(run.root / "task-1" / workspace)
    assert result.outputs["out"]["size"] == len(text(result))
    assert (result.exit_status, result.message) == (0, "Completed")


def test_exit_code_and_whole_stderr_of_a_failing_tool(run: Runner) -> None:
    script = "i=0; while [ $i -lt 5000 ]; do echo line $i >&2; i=$((i+1)); done; exit 3"
    result = run(tool(script, outputs=FILE_OUT))
    assert not result.succeeded
    assert (result.exit_status, result.message) == (3, "Tool failed with exit code 3.")
    assert result.outputs == {}
    assert result.logs["stderr"].read_text().splitlines() == [f"line {i}" for i in range(5000)]
    assert "line 4999" in result.logs["job.err.log"].read_text()


def test_logs_that_every_job_leaves(run: Runner) -> None:
    result = run(tool("mkdir d; echo x > 'd/a b'; ln -s d l; echo oops >&2", arguments=["a b"]))
    assert set(result.logs) == {"cmd.log", "stderr", "job.err.log", "job.tree.log"}
    assert result.command_line.endswith("script 'a b'")
    assert result.logs["cmd.log"].read_text() == result.command_line + "\n"
    assert result.logs["stderr"].read_text() == "oops\n"
    tree = result.logs["job.tree.log"].read_text()
    assert "d/a b" in tree
    assert "l -> d" in tree


def test_streams_that_the_document_asks_for_are_outputs_and_logs(run: Runner) -> None:
    outputs = {"out": {"type": "stdout"}, "err": {"type": "stderr"}}
    document = tool("echo 1; echo 2 >&2", outputs=outputs, stdout="o.txt", stderr="sub/e.txt")
    result = run(document)
    assert (text(result), text(result, "err")) == ("1\n", "2\n")
    assert result.logs["stdout"].read_text() == "1\n"
    assert result.logs["stderr"].read_text() == "2\n"
    assert result.command_line.endswith("> o.txt 2> sub/e.txt")


@pytest.mark.parametrize("hint", ["sbg:SaveLogs", "sbg:saveLogs"])
@pytest.mark.parametrize("namespace", [{}, {"sbg": "https://sevenbridges.com/"}])
def test_saved_logs(run: Runner, hint: str, namespace: dict[str, str]) -> None:
    document = tool(
        "echo 1 > a.log; echo 2 > b.log; echo 3 > stderr; echo no > c.txt; exit 1",
        hints=[{"class": hint, "value": value} for value in ("*.log", "stderr", "/etc/hostname")],
        **({"$namespaces": namespace} if namespace else {}),
    )
    logs = run(document).logs
    usual = {"cmd.log", "stderr", "job.err.log", "job.tree.log"}
    assert set(logs) - usual == {"a.log", "b.log", "_1_stderr"}
    assert logs["b.log"].read_text() == "2\n"


def test_missing_output(run: Runner) -> None:
    result = run(tool("true", outputs=FILE_OUT))
    assert not result.succeeded
    assert "Did not find output file with glob pattern: ['out']" in result.message
    assert "\n" not in result.message
    assert result.exit_status == 0


def test_command_that_does_not_exist(run: Runner) -> None:
    result = run(tool("", baseCommand=["no-such-program"]))
    assert not result.succeeded
    assert "'no-such-program' not found" in result.message
    assert result.exit_status is None


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [("exit 137", 137, "out of memory"), ("kill -SEGV $$", -11, "signal SIGSEGV")],
)
def test_tool_that_is_killed(run: Runner, script: str, status: int, words: str) -> None:
    result = run(tool(script))
    assert result.exit_status == status
    assert words in result.message


def test_success_codes(run: Runner) -> None:
    assert run(tool("exit 7", successCodes=[0, 7])).succeeded
    assert not run(tool("exit 0", permanentFailCodes=[0])).succeeded


def test_time_limit(run: Runner) -> None:
    result = run(tool("sleep 1000", requirements={"ToolTimeLimit": {"timelimit": 1}}))
    assert result.message == "Tool exceeded its time limit of 1 seconds."


def test_invalid_document_and_missing_input_are_failures(run: Runner) -> None:
    no_class = {"cwlVersion": "v1.2", "id": "x", "inputs": [], "outputs": []}
    for document in (no_class, tool("", cwlVersion="v9"), tool("", inputs={"a": "File"})):
        result = run(document)
        assert not result.succeeded
        assert result.exit_status is None
        assert "\n" not in result.message
        assert "job.err.log" in result.logs
    assert "Missing required input parameter 'a'" in result.message


def test_input_whose_bytes_are_gone(run: Runner, store: Callable[..., dict[str, Any]]) -> None:
    stored = store("x")
    Path(stored["location"].removeprefix("file://")).unlink()
    result = run(tool("true", inputs={"x": "File"}), x=stored)
    assert "No such file or directory" in result.message


def test_directory_output_has_a_full_listing(run: Runner) -> None:
    script = (
        "mkdir -p out/sub; echo 1 > out/sub/x; echo 2 > out/y; ln -s .. out/loop; ln -s no out/z"
    )
    outputs = {"out": {"type": "Directory", "outputBinding": {"glob": "out"}}}
    result = run(tool(script, outputs=outputs))
    out = result.outputs["out"]
    assert [entry["basename"] for entry in out["listing"]] == ["loop", "sub", "y"]
    assert out["listing"][1]["listing"][0]["path"] == out["path"] + "/sub/x"
    assert out["listing"][2]["size"] == 2


def test_literal_outputs_are_written(run: Runner) -> None:
    expression = """${ return {
        "file": {"class": "File", "basename": "f", "contents": "hello"},
        "folder": {"class": "Directory", "basename": "d", "listing": [
            {"class": "File", "basename": "g", "contents": "deep"}]},
        "nothing": null, "number": 3 }; }"""
    document = {
        "cwlVersion": "v1.2",
        "class": "ExpressionTool",
        "requirements": {"InlineJavascriptRequirement": {}},
        "inputs": {},
        "outputs": {"file": "File", "folder": "Directory", "nothing": "string?", "number": "int"},
        "expression": expression,
    }
    result = run(document)
    assert text(result, "file") == "hello"
    (inner,) = result.outputs["folder"]["listing"]
    assert Path(inner["path"]).read_text() == "deep"
    assert (result.outputs["nothing"], result.outputs["number"]) == (None, 3)
    assert result.exit_status is None


def test_requirements(run: Runner, store: Callable[..., dict[str, Any]]) -> None:
    document = tool(
        'cat here.txt > out; echo "$VARIABLE" $1 $2 >> out; echo bai > out.bai',
        requirements={
            "InlineJavascriptRequirement": {},
            "InitialWorkDirRequirement": {
                "listing": [
                    {"entryname": "here.txt", "entry": "$(inputs.x.contents)"},
                    {"entryname": "linked", "entry": "$(inputs.x)"},
                ]
            },
            "EnvVarRequirement": {"envDef": {"VARIABLE": "$(inputs.x.basename)"}},
            "ResourceRequirement": {"coresMin": "${return 500 + 12;}", "ramMin": 9_000_000},
        },
        inputs={"x": {"type": "File", "loadContents": True}},
        arguments=["$(runtime.cores)", "$(runtime.ram)"],
        outputs={"out": {**FILE_OUT["out"], "type": "File", "secondaryFiles": [".bai"]}},
    )
    result = run(document, x=store("name.txt", "loaded\n"))
    assert text(result) == "loaded\nlinked 512 9000000\n"
    assert result.outputs["out"]["secondaryFiles"][0]["basename"] == "out.bai"


def test_shell_command(run: Runner) -> None:
    document = tool("", outputs=FILE_OUT, requirements={"ShellCommandRequirement": {}})
    document["baseCommand"] = ["echo", "a b"]
    document["arguments"] = [{"valueFrom": "| tr a-z A-Z > out", "shellQuote": False}]
    assert text(run(document)) == "A B\n"


def test_output_object_written_by_the_tool(run: Runner) -> None:
    script = (
        """echo x > f; echo '{"n": 4, "f": {"class": "File", "path": "f"}}' > cwl.output.json"""
    )
    result = run(tool(script, outputs={"n": "int", "f": "File"}))
    assert text(result, "f") == "x\n"
    assert result.outputs["n"] == 4


def workflow(**second: Any) -> dict[str, Any]:
    """Scatter over words, then join the files."""
    first = tool(
        'echo "$1" > out', inputs={"w": {"type": "string", "inputBinding": {}}}, outputs=FILE_OUT
    )
    second = tool(
        'cat "$@" > out; echo joined >&2',
        inputs={"f": {"type": "File[]", "inputBinding": {}}},
        outputs=FILE_OUT,
        **second,
    )
    for step in (first, second):
        del step["id"], step["cwlVersion"]
    main = {
        "class": "Workflow",
        "id": "#main",
        "requirements": {"ScatterFeatureRequirement": {}},
        "inputs": {"words": "string[]"},
        "outputs": {"out": {"type": "File", "outputSource": "join/out"}},
        "steps": {
            "echo": {"run": "#echo", "scatter": "w", "in": {"w": "words"}, "out": ["out"]},
            "join": {"run": "#join", "in": {"f": "echo/out"}, "out": ["out"]},
        },
    }
    graph = [{**first, "id": "#echo"}, {**second, "id": "#join"}, main]
    return {"cwlVersion": "v1.2", "$graph": graph}


def test_packed_workflow_with_scatter(run: Runner) -> None:
    result = run(workflow(), words=["b", "a"])
    assert text(result) == "b\na\n"
    assert result.logs["stderr"].read_text() == "joined\n"
    assert {"echo.cmd.log", "echo_2.stderr", "job.err.log"} <= set(result.logs)
    assert "cat" in result.command_line


def test_failing_step_gives_the_exit_status(run: Runner) -> None:
    result = run(workflow(successCodes=[1]), words=["b"])
    assert result.succeeded
    result = run(workflow(permanentFailCodes=[0]), words=["b"])
    assert (result.succeeded, result.exit_status) == (False, 0)
    assert result.message == "Tool failed with exit code 0."


def test_docker_requirement_is_ignored_with_a_word(run: Runner) -> None:
    docker = {"DockerRequirement": {"dockerPull": "example.org/image:1"}}
    result = run(tool("echo x > out", outputs=FILE_OUT, requirements=docker))
    assert text(result) == "x\n"
    assert "example.org/image:1 is ignored" in result.logs["job.err.log"].read_text()


def test_environment_of_the_tool(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Runner
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "1")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.chdir(tmp_path)
    engine = CwltoolEngine("none")
    try:
        result = Runner(engine, run.root)(tool("env > out", outputs=FILE_OUT))
    finally:
        engine.close()
    names = {line.split("=")[0] for line in text(result).splitlines()}
    assert names - {"PWD", "SHLVL", "_"} == {"HOME", "TMPDIR", "PATH"}


def test_root_with_characters_that_globs_know(run: Runner) -> None:
    run.root = run.root / "we[i]rd * root %41#"
    run.root.mkdir()
    assert text(run(tool("echo x > out", outputs=FILE_OUT))) == "x\n"
