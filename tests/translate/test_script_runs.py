"""The job script, run for real in each kind of shell that an image may have."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from snakemake.benchmark import BenchmarkRecord
from translated_jobs import Ran, Task, bin_folder, local, plan, read_report

from snakemake_executor_cavatica.in_task.names import TAG
from snakemake_executor_cavatica.project.paths import in_task
from snakemake_executor_cavatica.read.facts import (
    OWN_FOLDERS,
    TMPDIR_PLACEHOLDER,
    WORKDIR_PLACEHOLDER,
    Ensure,
    Language,
    PreparedScript,
    Shell,
    WorkflowFile,
)
from snakemake_executor_cavatica.translate.script import job_script

HOSTILE = [
    "with space/a b.txt",
    "quo'te/it's \"x\".txt",
    "$(touch pwned)/$(touch pwned)",
    "`touch pwned`",
    "new\nline/a\nb",
    "-rf",
    "--help/-n",
    "ünïcödé/日本.txt",
    "[a-z]/x[0]?.txt",
    "*",
    "a;touch pwned;b&c|d>e<f",
    "back\\slash\\n",
    ".hidden/.dot",
    "~/$HOME",
    "!x#y%s",
    "tab\there",
    "__x/_.41",
    "..x",
]


def _is_busybox(task: Task) -> bool:
    return Path(task.sh[0]).resolve().name == "busybox"


def no_harm(task: Task) -> bool:
    return not list(task.root.rglob("pwned"))


@pytest.mark.parametrize("path", HOSTILE)
def test_paths_are_never_interpreted(task: Task, path: str) -> None:
    source, target, log = f"in/{path}", f"out/{path}", f"logs/{path}"
    job = plan(
        f"cat {shlex.quote(source)} > {shlex.quote(target)}; echo log > {shlex.quote(log)}",
        inputs=[local(source)],
        outputs=[local(target)],
        logs=[local(log)],
    )
    ran = task.run(job, {source: task.store("x")})
    assert ran.status == 0, ran.stderr
    assert ran.text(0) == "content\n"
    assert ran.text(1) == "log\n"
    assert ran.output().name == path.rpartition("/")[2]
    assert no_harm(task)


@pytest.mark.parametrize("path", [path for path in HOSTILE if "/" not in path])
def test_hostile_names_at_the_top_of_the_working_directory(task: Task, path: str) -> None:
    quoted = shlex.quote(f"./{path}")
    job = plan(
        f"cat {quoted} > {quoted}.out",
        inputs=[local(path)],
        outputs=[local(f"{path}.out")],
    )
    ran = task.run(job, {path: task.store("x")})
    assert ran.status == 0, ran.stderr
    assert ran.text() == "content\n"
    assert no_harm(task)


def test_logs_may_be_folders_and_are_there_whoever_writes_them(task: Task) -> None:
    logs = [local(path, form="folder") for path in ("logs/a", "logs/b")]
    ran = task.run(plan("mkdir logs/a && echo x > logs/a/1", logs=logs))
    assert ran.status == 0, ran.stderr
    assert [sorted(path.name for path in ran.output(port).iterdir()) for port in (0, 1)] == [
        ["1"],
        [".snakemake_timestamp"],
    ]


@pytest.mark.parametrize("path", HOSTILE)
def test_folders_with_hostile_names_come_out_encoded_and_whole(task: Task, path: str) -> None:
    quoted = shlex.quote(f"./{path}")
    job = plan(f"mkdir {quoted} && echo x > {quoted}/inside", outputs=[local(path, form="folder")])
    ran = task.run(job)
    assert ran.status == 0, ran.stderr
    assert (ran.output() / "inside").read_text() == "x\n"
    assert no_harm(task)


def test_a_command_of_200_kilobytes_runs(task: Task) -> None:
    words = " ".join(f"word{number}" for number in range(22_000))
    job = plan(f"printf '%s ' {words} > out", outputs=[local("out")])
    assert len(job.command) > 200_000
    ran = task.run(job)
    assert ran.status == 0
    assert ran.text().split() == words.split()


@pytest.mark.parametrize("status", [1, 3, 42, 137, 255])
def test_the_exit_status_of_the_command_is_passed_on(task: Task, status: int) -> None:
    ran = task.run(plan(f"exit {status}"))
    assert ran.status == status
    assert ran.report.exit_status == status


def test_a_status_is_found_behind_text_without_newline(task: Task) -> None:
    ran = task.run(plan("printf 'half a line' >&2; exit 9"))
    assert ran.report.exit_status == 9
    assert ran.report.stderr.strip() == "half a line"


def test_the_first_failing_command_ends_the_job(task: Task) -> None:
    ran = task.run(plan("false\necho never >&2"))
    assert ran.status != 0
    assert "never" not in ran.stderr


def test_an_unset_variable_ends_the_job(task: Task) -> None:
    assert task.run(plan("echo $no_such_variable")).status != 0


def test_a_failure_within_a_pipe_ends_the_job_where_a_shell_can_tell(task: Task) -> None:
    ran = task.run(plan("false | cat"))
    only_dash = not Path(str(task.path), "bash").exists() and not _is_busybox(task)
    assert (ran.status == 0) == only_dash


def test_commands_may_use_bash_where_the_image_has_it(bash_task: Task) -> None:
    ran = bash_task.run(plan("x=(a b); echo ${x[1]} > out", outputs=[local("out")]))
    assert ran.text() == "b\n"


def test_what_the_command_prints_is_kept_in_order(task: Task) -> None:
    ran = task.run(plan("echo one; echo two >&2; echo three"))
    assert ran.report.stderr.split() == ["one", "two", "three"]


def test_a_failing_command_prints_its_logs(task: Task) -> None:
    job = plan(
        "echo first > a.log; printf 'no newline' > logs/b.log; echo said >&2; exit 5",
        logs=[local("a.log"), local("logs/b.log"), local("c.log")],
        outputs=[local("out")],
    )
    ran = task.run(job)
    assert ran.status == 5
    assert ran.report.logs == {1: "first", 2: "no newline"}
    assert ran.report.stderr.strip() == "said"


def test_a_missing_output_fails_the_job_by_its_number(task: Task) -> None:
    ran = task.run(plan("echo x > a", outputs=[local("a"), local("deep/b"), local("c")]))
    assert ran.status == 1
    assert ran.report.missing == [1, 2]
    assert ran.report.stderr.strip() == ""


def test_a_missing_output_shows_the_logs_too(task: Task) -> None:
    ran = task.run(plan("echo why > log", outputs=[local("a")], logs=[local("log")]))
    assert ran.report.logs == {1: "why"}


def test_a_dangling_link_is_a_missing_output(task: Task) -> None:
    ran = task.run(plan("ln -s nowhere a", outputs=[local("a")]))
    assert ran.report.missing == [0]


def test_a_folder_in_place_of_a_file_fails_the_job(task: Task) -> None:
    ran = task.run(plan("mkdir a", outputs=[local("a")]))
    assert (ran.status, ran.report.folders, ran.report.missing) == (1, [0], [])


def test_a_file_in_place_of_a_folder_fails_the_job(task: Task) -> None:
    ran = task.run(plan("echo > a", outputs=[local("a", form="folder")]))
    assert (ran.status, ran.report.missing, ran.report.plain_files) == (1, [], [0])


def test_a_folder_is_collected_with_all_that_is_in_it(task: Task) -> None:
    ran = task.run(
        plan("mkdir -p d/e/f d/empty; echo x > d/e/f/.g", outputs=[local("d", form="folder")])
    )
    assert ran.status == 0
    assert (ran.output() / "e/f/.g").read_text() == "x\n"
    assert (ran.output() / "empty").is_dir()


def test_touch_makes_what_the_command_did_not(task: Task) -> None:
    job = plan(
        "echo mine > kept",
        outputs=[
            local("flags/done", touch=True),
            local("kept", touch=True),
            local("folder", touch=True, form="folder"),
        ],
    )
    ran = task.run(job)
    assert ran.status == 0, ran.stderr
    assert ran.text(0) == ""
    assert ran.text(1) == "mine\n"
    assert (ran.output(2) / ".snakemake_timestamp").exists()


def test_folders_that_the_command_removed_are_made_again_for_touch_and_logs(task: Task) -> None:
    job = plan(
        "rm -rf flags results; mkdir results; echo x > results/x",
        outputs=[local("flags/done", touch=True), local("results", form="folder")],
        logs=[local("results/logs/x.log")],
    )
    ran = task.run(job)
    assert ran.status == 0, ran.stderr
    assert (ran.output(1) / "logs/x.log").read_text() == ""


def test_a_log_that_was_not_written_is_empty(task: Task) -> None:
    ran = task.run(plan("true", logs=[local("logs/a.log")]))
    assert (ran.status, ran.text()) == (0, "")


def test_an_empty_output_fails_where_the_rule_ensures_content(task: Task) -> None:
    ensure = Ensure(non_empty=True)
    ran = task.run(
        plan(
            "printf '' > a; printf '' > b; echo x > c",
            outputs=[local("a"), local("b", ensure=ensure), local("c", ensure=ensure)],
        )
    )
    assert (ran.status, ran.report.empty) == (1, [1])


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_checksums_are_verified(task: Task, algorithm: str) -> None:
    right = hashlib.new(algorithm, b"x\n").hexdigest()
    names = ["a b\\c", "b"]
    job = plan(
        r"echo x > 'a b\c'; echo y > b",
        outputs=[local(name, ensure=Ensure(checksum=(algorithm, right))) for name in names],
    )
    ran = task.run(job)
    assert (ran.status, ran.report.wrong_checksum) == (1, [1])


def test_a_missing_checksum_tool_is_named(dash_task: Task) -> None:
    Path(str(dash_task.path), "md5sum").unlink()
    job = plan("echo x > a", outputs=[local("a", ensure=Ensure(checksum=("md5", "0" * 32)))])
    ran = dash_task.run(job)
    assert ran.status == 1
    assert ran.report.error is not None
    assert "md5sum" in ran.report.error


def test_an_updated_output_is_a_writable_copy_and_the_original_stays(task: Task) -> None:
    stored = task.store("x", "old\n")
    stored.chmod(0o444)
    job = plan("echo new >> deep/a", outputs=[local("deep/a")], old_versions=[local("deep/a")])
    ran = task.run(job, {"deep/a": stored})
    assert ran.status == 0, ran.stderr
    assert ran.text() == "old\nnew\n"
    assert ran.output().stat().st_mode & 0o200
    assert stored.read_text() == "old\n"


def test_copies_are_files_of_the_same_age_that_may_be_written_to(task: Task) -> None:
    stored = task.store("x", "#!/bin/sh\necho ran\n")
    tree = task.store("tree", {"deep/b": "inside\n"})
    (tree / "link").symlink_to("deep")
    os.utime(tree / "deep/b", (10**9 + 10, 10**9 + 10))
    job = plan(
        "[ ! -L a ] && [ ! a -nt d/deep/b ] && [ d/deep/b -nt a ] && ./a > out && "
        "echo more >> a && echo more >> d/deep/b && cat d/link/b >> out",
        inputs=[local("a", executable=True), local("d", form="folder")],
        outputs=[local("out")],
    )
    os.utime(stored, (10**9, 10**9))
    stored.chmod(0o444)
    ran = task.run(job, {"a": stored, "d": tree}, {"a": "of the sources"})
    assert (ran.status, ran.text(), ran.report.stderr) == (0, "ran\ninside\n", ""), ran.stderr
    assert (tree / "deep/b").read_text() == "inside\n"


def test_where_a_copy_cannot_be_made_the_reason_is_said(task: Task) -> None:
    ran = task.run(plan(inputs=[local("a")]), {"a": task.root / "gone"})
    assert ran.status == 1
    assert ran.report.error == "cannot copy ./a"
    assert "gone" in ran.report.stderr


def test_an_output_that_links_to_an_input_is_a_copy_of_it(task: Task) -> None:
    stored = task.store("x")
    job = plan(
        "ln -s ../a sub/b; mv a c; ln -s c a",
        inputs=[local("a")],
        outputs=[local("sub/b"), local("c")],
    )
    ran = task.run(job, {"a": stored})
    assert ran.status == 0, ran.stderr
    for index in (0, 1):
        assert ran.text(index) == "content\n"
        assert not ran.output(index).is_symlink()
    assert stored.read_text() == "content\n"


def test_outputs_may_link_to_each_other(task: Task) -> None:
    job = plan(
        "echo x > deep/er/real; ln -s deep/er/real current; ln -s current latest",
        outputs=[local("deep/er/real"), local("current"), local("latest")],
    )
    ran = task.run(job)
    assert ran.status == 0, ran.stderr
    assert [ran.text(index) for index in range(3)] == ["x\n"] * 3


def test_links_within_a_folder_are_copies_of_what_they_point_at(task: Task) -> None:
    stored = task.store("x")
    job = plan(
        "mkdir d; ln -s ../a d/in; echo x > d/file; ln -s file d/link; ln -s ../other d/other;"
        "echo o > other",
        inputs=[local("a")],
        outputs=[local("other"), local("d", form="folder")],
    )
    ran = task.run(job, {"a": stored})
    assert ran.status == 0, ran.stderr
    folder = ran.output(1)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "in": "content\n",
        "file": "x\n",
        "link": "x\n",
        "other": "o\n",
    }
    assert not [path for path in folder.iterdir() if path.is_symlink()]


def test_a_link_to_nowhere_in_a_folder_is_told(task: Task) -> None:
    ran = task.run(plan("mkdir d; ln -s nowhere d/x", outputs=[local("d", form="folder")]))
    assert ran.status == 1
    assert ran.report.error is not None
    assert "link" in ran.report.error


def test_an_input_folder_is_staged_as_it_is(task: Task) -> None:
    stored = task.store("d", {"x/y": "deep\n"})
    job = plan("cat data/x/y > out", inputs=[local("data", form="folder")], outputs=[local("out")])
    assert task.run(job, {"data": stored}).text() == "deep\n"


@pytest.mark.parametrize("reverse", [False, True])
def test_files_staged_or_written_below_an_input_folder_leave_it_as_it_was(
    task: Task, reverse: bool
) -> None:
    stored = task.store("d", {"x": "in folder\n", "y": "y\n"})
    single = task.store("x", "in folder\n")
    inputs = [local("data", form="folder", name="a"), local("data/x", name="b")]
    job = plan(
        "cat data/x data/y > data/out",
        inputs=inputs[::-1] if reverse else inputs,
        outputs=[local("data/out")],
    )
    ran = task.run(job, {"data": stored, "data/x": single})
    assert ran.status == 0, ran.stderr
    assert ran.text() == "in folder\ny\n"
    assert {path.name: path.read_text() for path in stored.iterdir()} == {
        "x": "in folder\n",
        "y": "y\n",
    }


def test_a_local_folder_travels_as_a_tar_file(task: Task) -> None:
    folder = task.store("d", {"x y/z": "zzz\n"})
    archive = folder.parent / "folder.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(folder, arcname=".")
    job = plan(
        "cat 'the data/x y/z' > out",
        inputs=[local("the data", form="archive")],
        outputs=[local("out")],
    )
    assert task.run(job, {"the data": archive}).text() == "zzz\n"


def test_absolute_and_upward_paths_have_a_place_in_the_task(task: Task) -> None:
    paths = ["/ref/genome.fa", "../up/genome.fa"]
    targets = [in_task(path) for path in paths]
    job = plan(
        f"cat {targets[0]} {targets[1]} > {in_task('/results/out')}",
        inputs=[local(path) for path in paths],
        outputs=[local("/results/out")],
    )
    stored = {target: task.store(f"{n}.fa", f"{n}\n") for n, target in enumerate(targets)}
    assert task.run(job, stored).text() == "0\n1\n"


def test_what_lies_within_a_folder_leaves_with_it(task: Task) -> None:
    job = plan(
        "echo x > d/x; echo said > d/logs/a.log",
        outputs=[local("d", form="folder")],
        logs=[local("d/logs/a.log")],
    )
    ran = task.run(job)
    assert ran.status == 0, ran.stderr
    assert (ran.output(0) / "x").read_text() == "x\n"
    assert (ran.output(0) / "logs/a.log").read_text() == "said\n"


def test_folders_of_deep_outputs_exist_before_the_command_runs(task: Task) -> None:
    deep = "/".join("abcdefghij") + "/out"
    ran = task.run(plan(f"echo x > {deep}", outputs=[local(deep)]))
    assert ran.text() == "x\n"


def _benchmark(ran: Ran) -> dict[str, str]:
    assert ran.status == 0, ran.stderr
    head, row = ran.text().splitlines()
    assert head.split("\t") == BenchmarkRecord.get_header()
    return dict(zip(BenchmarkRecord.get_header(), row.split("\t"), strict=True))


def test_the_benchmark_has_what_was_measured_in_the_columns_of_snakemake(task: Task) -> None:
    command = "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done; sleep 1"
    ran = task.run(plan(command, benchmark=local("bench/b.tsv"), defaults={"mode": "direct"}))
    cells = _benchmark(ran)
    seconds, cpu = float(cells["s"]), float(cells["cpu_time"])
    assert 1 <= seconds < 10
    assert cells["h:m:s"] == f"0:00:0{int(seconds)}"
    assert 0.02 < cpu < seconds
    assert float(cells["mean_load"]) == pytest.approx(100 * cpu / seconds, abs=1)
    assert 0.1 < float(cells["max_rss"]) < 30
    unknown = {name for name, cell in cells.items() if cell == "NA"}
    assert unknown == {"max_vms", "max_uss", "max_pss", "io_in", "io_out"}


def test_where_nothing_is_measured_the_benchmark_has_the_wall_time(task: Task) -> None:
    defaults = {"mode": "direct", "measured": False}
    cells = _benchmark(task.run(plan("sleep 1", benchmark=local("b.tsv"), defaults=defaults)))
    assert cells["s"] in {"1", "2", "3"}
    assert cells["h:m:s"] == f"0:00:0{cells['s']}"
    assert {cells[name] for name in BenchmarkRecord.get_header()[2:]} == {"NA"}


@pytest.mark.parametrize("name", ["plain", "with space", "a|b&c\\1", "it's $HOME `id`"])
def test_the_tasks_temporary_directory_is_filled_in(task: Task, name: str) -> None:
    folder = task.root / name
    folder.mkdir(parents=True)
    task = Task(task.root, task.sh, task.path, {"TMPDIR": str(folder)})
    job = plan(
        f"cat > out <<'END'\n{TMPDIR_PLACEHOLDER} {TMPDIR_PLACEHOLDER}\nEND\n"
        'printf "%s\\n" "$TMPDIR" "$TMP" "$TEMP" "$TEMPDIR" >> out',
        outputs=[local("out")],
    )
    ran = task.run(job)
    assert ran.status == 0, ran.stderr
    assert ran.text().splitlines() == [f"{folder} {folder}", *[str(folder)] * 4]


@pytest.mark.parametrize("name", ["plain", "a|b&c\\1", "it's $HOME `id`"])
def test_the_tasks_working_directory_is_filled_in(task: Task, name: str) -> None:
    """In the command, and in variables; whatever it is called, and whatever those are called."""
    task = Task(task.root / name, task.sh, task.path)
    task.root.mkdir(parents=True)
    job = plan(
        f"cd sub; cat > ../out <<'END'\n{WORKDIR_PLACEHOLDER} {WORKDIR_PLACEHOLDER}/x\nEND\n"
        'printf "%s\\n" "$workdir" "$tmpdir" >> ../out',
        inputs=[],
        outputs=[local("out"), local("sub/y", touch=True)],
        defaults={
            "workflow_environment": {"workdir": f"a {WORKDIR_PLACEHOLDER}", "tmpdir": "mine"}
        },
    )
    ran = task.run(job)
    assert ran.status == 0, ran.stderr
    work = ran.task / "work"
    assert ran.text().splitlines() == [f"{work} {work}/x", f"a {work}", "mine"]


@pytest.mark.parametrize(
    ("given", "value", "expected"),
    [
        ("/own", f"bin{OWN_FOLDERS}", "bin:/own"),
        ("/own", f"{OWN_FOLDERS}bin", "/own:bin"),
        ("", f"bin{OWN_FOLDERS}", "bin"),
        ("", f"{OWN_FOLDERS}bin", "bin"),
        ("/it's $own", f"a b{OWN_FOLDERS}", "a b:/it's $own"),
    ],
)
def test_folders_of_the_workflow_are_listed_beside_those_of_the_task(
    task: Task, given: str, value: str, expected: str
) -> None:
    """An empty one among them would be the working directory."""
    task = Task(task.root, task.sh, task.path, {"PYTHONPATH": given})
    job = plan(
        'printf %s "$PYTHONPATH" > out',
        outputs=[local("out")],
        defaults={"workflow_environment": {"PYTHONPATH": value}},
    )
    ran = task.run(job)
    assert ran.status == 0, ran.stderr
    assert ran.text() == expected


def test_a_job_has_a_home_and_room_for_files_wherever_it_runs(task: Task) -> None:
    task = Task(task.root, task.sh, task.path, {"HOME": "/no/home", "TMPDIR": "/no/tmp"})
    job = plan(
        'echo home > "$HOME/x"; echo tmp > "$TMPDIR/x"; '
        f'cat "$HOME/x" {TMPDIR_PLACEHOLDER}/x > out',
        outputs=[local("out")],
    )
    ran = task.run(job)
    assert ran.status == 0, ran.stderr
    assert ran.text() == "home\ntmp\n"


def test_a_home_that_can_be_written_to_is_kept(task: Task) -> None:
    home = task.root / "my home"
    home.mkdir(parents=True)
    task = Task(task.root, task.sh, task.path, {"HOME": str(home)})
    ran = task.run(plan('echo "$HOME" > out; ls -A "$HOME" >> out', outputs=[local("out")]))
    assert ran.text() == f"{home}\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "C.utf8"),
        ({"LANG": "C"}, "C.utf8"),
        ({"LANG": "de_DE.UTF-8"}, ""),
        ({"LC_CTYPE": "de_DE.UTF-8"}, "de_DE.UTF-8"),
        ({"LC_ALL": "C"}, ""),
    ],
)
def test_letters_are_those_of_utf_8_unless_the_image_says_otherwise(
    bash_task: Task, given: dict[str, str], expected: str
) -> None:
    """As of what Snakemake starts; R would cut a table off at the first other letter."""
    locale = bash_task.root / "programs" / "locale"
    locale.parent.mkdir(parents=True)
    locale.write_text("#!/bin/sh\nprintf '%s\\n' C C.utf8 POSIX\n")
    locale.chmod(0o755)
    path = f"{locale.parent}:{bash_task.path or os.environ['PATH']}"
    task = Task(bash_task.root, bash_task.sh, path, given)
    ran = task.run(plan('echo "${LC_CTYPE-}" > out', outputs=[local("out")]))
    assert ran.text() == f"{expected}\n", ran.stderr


def test_an_image_without_locales_is_left_as_it_is(dash_task: Task) -> None:
    ran = dash_task.run(plan('echo "${LC_CTYPE-none}" > out', outputs=[local("out")]))
    assert ran.text() == "none\n", ran.stderr


def test_what_the_image_lacks_is_named(dash_task: Task) -> None:
    for tool in ("tar", "find"):
        Path(str(dash_task.path), tool).unlink()
    ran = dash_task.run(plan("mkdir d", outputs=[_folder("d")]))
    assert ran.status == 1
    assert ran.report.error is not None
    assert ran.report.error.startswith("the image lacks tar find: ")


@pytest.mark.parametrize(
    ("tool", "changes"),
    [
        ("date", {"benchmark": local("benchmark.tsv")}),
        ("sha1sum", {"outputs": [local("out", ensure=Ensure(checksum=("sha1", "0" * 40)))]}),
    ],
)
def test_what_is_needed_after_the_command_is_looked_for_before_it(
    dash_task: Task, tool: str, changes: dict[str, Any]
) -> None:
    """A job of hours must not end for want of a checksum tool."""
    Path(str(dash_task.path), tool).unlink()
    ran = dash_task.run(plan("echo ran >&2; touch out", **changes))
    assert ran.report.error is not None
    assert ran.report.error.startswith(f"the image lacks {tool}: ")
    assert "ran" not in ran.report.stderr


def test_only_our_own_mark_stands_for_the_temporary_directory(task: Task) -> None:
    words = "@cavatica-tmpdir@ <tmpdir-0> <tmpdir-<tmpdir-1>"
    job = plan(f"echo '{words}' > out; test -d '{TMPDIR_PLACEHOLDER}'", outputs=[local("out")])
    ran = task.run(job)
    assert ran.status == 0, ran.stderr
    assert ran.text() == f"{words}\n"


@pytest.mark.parametrize("name", ["a b", "__x", "é", "new\nline", "$(touch pwned)", "x/y z"])
def test_a_folder_that_the_platform_cannot_name_fails_the_job(task: Task, name: str) -> None:
    quoted = shlex.quote(f"my out/in/{name}")
    ran = task.run(plan(f"mkdir -p {quoted}", outputs=[local("my out", form="folder")]))
    assert ran.status == 1
    assert ran.report.error is not None
    first = name.partition("\n")[0]
    assert ran.report.error.startswith(f"in the output my out there is the folder ./in/{first}: ")
    assert no_harm(task)


def test_folders_that_the_platform_can_name_are_kept(task: Task) -> None:
    ran = task.run(plan("mkdir -p d/.a/x__y/-v1.2/_; touch 'd/.a/b c'", outputs=[_folder("d")]))
    assert ran.status == 0, ran.stderr
    assert (ran.output() / ".a/x__y/-v1.2/_").is_dir()


def _folder(path: str) -> WorkflowFile:
    return local(path, form="folder")


@pytest.mark.parametrize("given", [None, "xterm", "a b"])
def test_programs_learn_of_a_terminal_without_abilities(task: Task, given: str | None) -> None:
    defaults = {"environment": {"TERM": given}} if given else {}
    job = plan("export -p > out", outputs=[local("out")], defaults=defaults)
    assert re.search(
        rf"^(export|declare -x) TERM=['\"]?{given or 'dumb'}\b", task.run(job).text(), re.M
    )


def test_environment_values_arrive_exactly(task: Task) -> None:
    values = {
        "QUOTES": 'it\'s "x" `id` $(touch pwned) $HOME \\',
        "LINES": "a\nb\n\nc",
        "EMPTY": "",
        "UNICODE": "日本 ü",
        "_under1": "-n",
    }
    job = plan(
        "\n".join(f"printf '%s|' \"${name}\" >> out" for name in values),
        outputs=[local("out")],
        defaults={"environment": values},
    )
    ran = task.run(job)
    assert ran.text() == "".join(f"{value}|" for value in values.values())
    assert no_harm(task)


OWN_NAMES = [
    "task",
    "root",
    "workdir",
    "failed",
    "status",
    "shell",
    "command_file",
    "began",
    "took",
    "found",
    "copy",
    "filling",
    "IFS",
    "CDPATH",
    "note",
    "PS4",
]


def test_environment_variables_may_have_any_name(task: Task) -> None:
    values = {name: f"/the {name}/*" for name in OWN_NAMES if name != "IFS"}
    job = plan(
        'cat a > d/out; printf "%s" "$root" > e',
        inputs=[local("a")],
        outputs=[local("d/out"), local("e")],
        benchmark=local("bench"),
        defaults={"environment": values, "mode": "direct"},
    )
    ran = task.run(job, {"a": task.store("x")})
    assert ran.status == 0, ran.stderr
    assert ran.text(0) == "content\n"
    assert ran.text(1) == "/the root/*"


@pytest.mark.parametrize(
    "harm",
    [
        *(f"{name}=/nowhere; export {name}" for name in OWN_NAMES),
        "IFS=/",
        "cd /",
        "set -- x y z",
        "set -f",
        "set -u",
        "set -e",
        "trap 'echo trapped' EXIT",
        "note() { :; }; leave() { exit 0; }; keep() { :; }",
        "echo $not_set_at_all",
        "umask 077",
        "exec 3>&1",
        "unset TMPDIR PWD",
        "true &",
    ],
)
def test_no_precommand_breaks_the_script(bash_task: Task, harm: str) -> None:
    _run_after_precommand(bash_task, harm)


@pytest.mark.parametrize("harm", ["IFS=/", "cd /", "set -- x y z", "set -e", "root=/nowhere"])
def test_no_precommand_breaks_the_script_in_any_shell(task: Task, harm: str) -> None:
    _run_after_precommand(task, harm)


def _run_after_precommand(task: Task, precommand: str) -> None:
    job = plan(
        "cat a > d/out",
        inputs=[local("a")],
        outputs=[local("d/out")],
        logs=[local("log")],
        benchmark=local("bench"),
        defaults={"precommand": precommand, "mode": "direct"},
    )
    ran = task.run(job, {"a": task.store("x")})
    assert ran.status == 0, ran.stderr
    assert ran.text(0) == "content\n"


def test_the_precommand_prepares_the_command(task: Task) -> None:
    job = plan(
        'printf "%s" "$FOO" > out',
        outputs=[local("out")],
        defaults={"precommand": "export FOO='it'\"'\"'s\nset'; echo preparing"},
    )
    ran = task.run(job)
    assert ran.text() == "it's\nset"
    assert ran.report.stderr.strip() == "preparing"


@pytest.mark.parametrize("precommand", ["false", "exit 4", "no-such-program", "if", "cat /no-file"])
def test_a_failing_precommand_fails_the_job(task: Task, precommand: str) -> None:
    job = plan("echo ran >&2; true", logs=[local("log")], defaults={"precommand": precommand})
    ran = task.run(job)
    assert ran.status != 0
    assert "ran" not in ran.report.stderr.split()


def test_prefix_and_suffix_of_the_workflow_stand_around_the_command(task: Task) -> None:
    job = plan("echo $x", shell=Shell("bash", "x=5; ", " > out"), outputs=[local("out")])
    assert task.run(job).text() == "5\n"


@pytest.mark.parametrize("language", [None, Language.PYTHON, Language.BASH])
def test_a_prefix_that_is_a_word_belongs_to_the_command_behind_it(
    tmp_path: Path, language: Language | None
) -> None:
    texts = {
        None: "env | grep ^x= > out",
        Language.PYTHON: "import os\nopen('out', 'w').write(f\"x={os.environ['x']}\\n\")",
        Language.BASH: "echo x=$x > out",
    }
    task = Task(tmp_path)
    script = language and PreparedScript(language, "it's", texts[language])
    job = plan(texts[None], shell=Shell("bash", "x=5", ""), script=script, outputs=[local("out")])
    assert task.run(job).text() == "x=5\n"


def test_without_strict_prefix_the_command_is_not_strict(task: Task) -> None:
    job = plan("false; echo $unset > out", shell=Shell("bash", "", ""), outputs=[local("out")])
    assert task.run(job).status == 0


def test_another_shell_is_used_by_its_path_or_name(task: Task) -> None:
    job = plan("echo $0 > out", shell=Shell("/no/such/place/env", "", ""))
    ran = task.run(job)
    assert ran.report.error is None  # `env` was started, and took the file for a program
    assert ran.status == 126


def test_an_executable_with_spaces_in_its_path_is_started(task: Task) -> None:
    folder = task.root / "my tools"
    folder.mkdir(parents=True)
    # busybox takes its program's name from the link.
    shell = "/bin/sh" if _is_busybox(task) else task.sh[0]
    (folder / "my shell").symlink_to(shell)
    job = plan(
        "echo x > out", shell=Shell(str(folder / "my shell"), "", ""), outputs=[local("out")]
    )
    assert task.run(job).text() == "x\n"


def test_a_shell_that_the_image_lacks_is_named(task: Task) -> None:
    job = plan("true", shell=Shell("/usr/bin/fi'sh $(touch pwned)", "", ""), logs=[local("log")])
    ran = task.run(job)
    assert ran.status == 1
    assert ran.report.error == (
        "the image has no fi'sh $(touch pwned), which shell.executable() asks for"
    )
    assert no_harm(task)


@pytest.mark.parametrize("command", ["cat > out", "read -r line || echo end > out"])
def test_commands_that_read_standard_input_meet_its_end(task: Task, command: str) -> None:
    assert task.run(plan(command, outputs=[local("out")])).status == 0


@pytest.mark.parametrize("command", ["echo x > out; cd /", "mkdir sub; cd sub; echo x > ../out"])
def test_the_command_may_change_directory(task: Task, command: str) -> None:
    assert task.run(plan(command, outputs=[local("out")])).text() == "x\n"


def test_a_command_that_removes_its_own_directory_is_told(task: Task) -> None:
    ran = task.run(plan('cd /; rm -rf "$OLDPWD"', outputs=[local("out")]))
    assert ran.status == 1
    assert ran.report.error == "the working directory is gone"


def test_sources_are_unpacked_where_the_workflow_expects_them(task: Task) -> None:
    job = plan(
        "cat config.yaml ../shared/x.txt > out",
        outputs=[local("out")],
        workdir="work flow/sub",
    )
    ran = task.run(
        job, sources={"work flow/sub/config.yaml": "config\n", "work flow/shared/x.txt": "x\n"}
    )
    assert ran.text() == "config\nx\n"


def test_too_few_inputs_are_told(bash_task: Task) -> None:
    (bash_task.root / "task").mkdir(parents=True)
    script = job_script(plan("true", inputs=[local("a")], logs=[local("log")]))
    done = subprocess.run(
        [*bash_task.sh, "-c", script, "sh", "sources.tar"],
        cwd=bash_task.root / "task",
        capture_output=True,
        text=True,
        check=False,
    )
    report = read_report(done.stderr)
    assert (done.returncode, report.error) == (1, "got 1 inputs, not 2")


def test_threads_limit_numerical_libraries(task: Task) -> None:
    job = plan('echo "$OMP_NUM_THREADS $MKL_NUM_THREADS" > out', threads=3, outputs=[local("out")])
    assert task.run(job).text() == "3 3\n"


def test_snakemake_mode_runs_its_command_with_the_stand_ins(task: Task) -> None:
    job = plan(
        None,
        directive="run",
        snakemake_command="printf '%s' \"$PYTHONPATH\" > out",
        outputs=[local("out")],
        defaults={"environment": {"PYTHONPATH": "/mine", "root": "/nowhere"}},
    )
    ran = task.run(job)
    assert ran.status == 0, ran.stderr
    assert ran.text() == f"{ran.task}/work/.cavatica/plugins:/mine"


def test_a_folder_is_given_as_a_real_folder(task: Task) -> None:
    """`find` and others do not descend into a link that they are given."""
    stored = task.store("stored", {"a": "1\n", "b c/d\ne": "2\n"})
    job = plan(
        "find in -mindepth 1 | wc -l > out; cat in/a 'in/b c'/* >> out; echo new > in/new",
        inputs=[local("in", form="folder")],
        outputs=[local("out")],
    )
    ran = task.run(job, {"in": stored})
    assert ran.status == 0, ran.stderr
    assert ran.text().split() == ["4", "1", "2"], "the newline in a name counts as a line"
    assert sorted(one.name for one in stored.iterdir()) == ["a", "b c"], "the original is untouched"


@pytest.mark.parametrize(
    ("command", "flaw"),
    [
        ("ln -s nowhere d/dangling", "a link that leads nowhere: d/dangling"),
        ("mkdir d/deep; ln -s ../gone d/deep/x", "a link that leads nowhere: d/deep/x"),
        ("ln -s one d/two; ln -s two d/one", "a link that leads nowhere: d/"),
        ("mkdir d/deep; ln -s .. d/deep/up", "a link to a folder that it lies in: d/deep/up"),
        ("ln -s . d/self", "a link to a folder that it lies in: d/self"),
        ("ln -s / d/root", "a link to a folder that it lies in: d/root"),
        ("mkfifo d/pipe", "neither a file nor a folder: d/pipe"),
        ("mkfifo pipe; ln -s ../pipe d/pipe", "neither a file nor a folder: d/pipe"),
        (r"""touch "d/$(printf 'caf\351.txt')" """, "which is not UTF-8"),
        (r"""mkdir d/deep; touch "d/deep/$(printf '\377')" """, "which is not UTF-8"),
        (r"""touch "d/$(printf 'broken\303')" """, "which is not UTF-8"),
    ],
)
def test_what_a_folder_cannot_hold_on_the_platform_is_named(
    task: Task, command: str, flaw: str
) -> None:
    ran = task.run(plan(f"mkdir d; {command}", outputs=[local("d", form="folder")]))
    assert ran.status == 1
    assert ran.report.error is not None
    assert ran.report.error.startswith("in the output d there is ")
    assert flaw in ran.report.error


def test_links_out_of_a_folder_and_any_text_as_name_are_kept(task: Task) -> None:
    names = ["plain", "a b", "ünïcödé", "日本", "\U0001f9ec", "it's", "new\nline", "-n", "tab\t"]
    made = "; ".join(f"echo x > d/{shlex.quote(name)}" for name in names)
    links = "mkdir out; echo y > out/y; ln -s ../out d/folder; ln -s ../out/y d/file"
    ran = task.run(plan(f"mkdir d; {made}; {links}", outputs=[local("d", form="folder")]))
    assert ran.status == 0, ran.stderr
    kept = ran.output()
    assert {path.name for path in kept.iterdir()} == {*names, "folder", "file"}
    assert (kept / "folder" / "y").read_text() == (kept / "file").read_text() == "y\n"
    assert not (kept / "file").is_symlink()


# ------------------------------------------------------------------------- undeclared files


def test_files_beside_the_outputs_are_told_by_name(task: Task) -> None:
    """New ones only: neither sources nor inputs, however they got there, nor Snakemake's own."""
    job = plan(
        "mkdir -p sub .snakemake/log __pycache__ d; touch out out.bai sub/x .snakemake/log/y d/in "
        "__pycache__/z .snakemake/storage-note; rm script.py; echo more >> copied; : > ./-dash",
        inputs=[local("linked"), local("copied"), local("tree", form="folder")],
        outputs=[local("out"), local("d", form="folder")],
        copies_inputs=True,
    )
    stored = {name: task.store(name) for name in ("linked", "copied")}
    stored["tree"] = task.store("tree", {"a": "1", "b/c": "2"})
    ran = task.run(job, stored, sources={"script.py": "1", "other.py": "2"})
    assert ran.status == 0
    assert sorted(ran.report.undeclared) == ["-dash", "out.bai", "sub/x"]


def test_a_job_that_fails_tells_them_too(task: Task) -> None:
    ran = task.run(plan("touch misspelt; exit 3", outputs=[local("out")]))
    assert ran.report.undeclared == ["misspelt"]
    assert ran.report.exit_status == 3


def test_the_names_of_undeclared_files_are_few_short_and_harmless(task: Task) -> None:
    command = (
        "touch out; touch \"$(printf 'a\\nb')\" \"$(printf 'c\\033[2J')\" \"$(printf 'd\\377')\" "
        f"\"$(printf 'e\\n{TAG} exit-status 9')\" '{TAG} job 7' \"$(printf 'f%0250d' 1)\"; "
        "mkdir -p deep/$(printf '%0250d' 1)/$(printf '%0250d' 2); (cd deep/*/*; touch far); "
        "mkdir many; cd many; touch $(seq 1000)"
    )
    ran = task.run(plan(command, outputs=[local("out")]))
    assert ran.status == 0
    names = ran.report.undeclared
    assert len(names) == 50
    assert {"a", "c\x1b[2J", "d\N{REPLACEMENT CHARACTER}"} <= set(names)
    assert not [name for name in names if TAG in name or len(name) > 500]


def test_an_image_without_find_sort_or_uniq_tells_no_names(tmp_path: Path) -> None:
    for missing in ("find", "sort", "uniq"):
        programs = {"sh", "cat", "chmod", "cp", "ln", "mkdir", "mv", "rm", "tar", "touch"}
        programs |= {"find", "sort", "uniq"} - {missing}
        path = bin_folder(tmp_path / f"without {missing}", sorted(programs))
        ran = Task(tmp_path / missing, path=path).run(
            plan("touch out other", outputs=[local("out")])
        )
        assert ran.status == 0
        assert ran.report.undeclared == []
        assert ran.report.stderr == ""
