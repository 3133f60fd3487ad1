"""What a job takes, measured in each kind of shell that an image may have."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import translated_jobs
from translated_jobs import Ran, Task, local, plan

from snakemake_executor_cavatica.in_task.names import MEASURED_NAME, SCRIPT_NAME
from snakemake_executor_cavatica.in_task.texts import functions, functions_for_measuring
from snakemake_executor_cavatica.translate.command import command_file
from snakemake_executor_cavatica.translate.measured import (
    Measured,
    lines_of_jobs,
    read_measured,
)
from snakemake_executor_cavatica.translate.script import job_script

MIB = 1024 * 1024
CLOSE = 0.1
"""How far what is measured may be from what the command says of itself."""
TAKING = """
import resource, sys, time
held = bytearray(b"x") * ({mib} * 1024 * 1024)
while time.process_time() < {cpu}:
    pass
time.sleep({sleep})
usage = resource.getrusage(resource.RUSAGE_SELF)
print(usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, file=open("out.txt", "w"))
"""


def python(code: str, **values: object) -> str:
    """A command that runs this Python."""
    text = textwrap.dedent(code).format(**values).strip()
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(text)}"


def measured(ran: Ran) -> Measured:
    """What is collected of a job that has run."""
    text = (ran.task / MEASURED_NAME).read_text("ascii")
    assert text.count("\n") == 1
    found = read_measured(text)
    assert found.is_told, text
    return found


def processes_in(folder: Path) -> set[int]:
    """The processes that work there, zombies not counted."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(folder):
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def until_nobody_is_in(folder: Path, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while processes_in(folder):
        assert time.monotonic() < end, "something goes on"
        time.sleep(0.05)


def assert_close(found: float | None, said: float) -> None:
    assert found is not None
    assert abs(found - said) <= CLOSE * said, (found, said)


def test_it_is_what_the_command_says_of_itself(task: Task) -> None:
    """Of a process that has started another one, in whatever of its threads."""
    within = python(TAKING, mib=60, cpu=0.4, sleep=0.3)
    thread = """
        import subprocess, threading
        started = threading.Thread(target=lambda: subprocess.run({command!r}, check=True))
        started.start()
        started.join()
    """
    command = python(thread, command=["sh", "-c", within])
    began = time.time()
    ran = task.run(plan(f"echo begun; {command}", outputs=[local("out.txt")]))
    took = time.time() - began
    assert ran.status == 0, ran.stderr
    found = measured(ran)
    memory, cpu = map(float, ran.text().split())
    # The Python that waits is small beside it, and so are the shells.
    assert found.peak_memory_mib is not None
    assert memory <= found.peak_memory_mib <= memory + 25
    assert found.cpu_seconds is not None
    assert cpu <= found.cpu_seconds <= cpu + 0.3
    assert found.wall_seconds is not None
    assert 0.6 <= found.wall_seconds <= took + 0.1
    assert found.exit_status == 0
    assert found.output_bytes == ran.output().stat().st_size


def test_a_command_that_takes_the_place_of_its_shell_is_measured_as_well(task: Task) -> None:
    command = python(TAKING, mib=80, cpu=0.3, sleep=0.3)
    ran = task.run(plan(f"exec {command}", outputs=[local("out.txt")]))
    memory, cpu = map(float, ran.text().split())
    found = measured(ran)
    assert_close(found.peak_memory_mib, memory)
    assert_close(found.cpu_seconds, cpu)


def test_memory_that_was_held_between_two_looks_counts(bash_task: Task) -> None:
    code = """
        import time
        time.sleep(1.2)
        held = bytearray(b"x") * (90 * 1024 * 1024)
        del held
        time.sleep(0.6)
    """
    found = measured(bash_task.run(plan(python(code))))
    assert found.peak_memory_mib is not None
    assert 90 < found.peak_memory_mib < 115


def test_a_job_that_fails_tells_it_in_its_stderr_and_nothing_else_changes(task: Task) -> None:
    ran = task.run(plan("sleep 0.2; echo last words >&2; exit 7", outputs=[local("o")]))
    assert ran.status == 7
    assert ran.report.measured == measured(ran)
    assert ran.report.measured.exit_status == 7
    assert (ran.report.measured.wall_seconds or 0) >= 0.2
    assert ran.report.measured.output_bytes is None
    assert ran.report.stderr == "last words\n"


def test_a_job_that_succeeds_says_nothing_of_it_in_its_stderr(task: Task) -> None:
    ran = task.run(plan("echo fine >&2"))
    assert ran.report.stderr == "fine\n"
    assert "measured" not in ran.stderr


def test_an_output_that_is_missing_does_not_change_how_the_command_ended(task: Task) -> None:
    ran = task.run(plan("true", outputs=[local("o")]))
    assert ran.status == 1
    assert ran.report.measured.exit_status == 0


def test_a_command_that_is_killed_is_measured_up_to_then(task: Task) -> None:
    ran = task.run(plan("sleep 0.3; kill -9 $$"))
    assert ran.status == 137
    assert ran.report.measured.exit_status == 137
    assert (ran.report.measured.wall_seconds or 0) >= 0.3
    until_nobody_is_in(task.root)


def test_a_job_that_leaves_something_running_ends_all_the_same(task: Task) -> None:
    ran = task.run(
        plan("echo done > o; (trap '' HUP; sleep 2) > /dev/null 2>&1 &", outputs=[local("o")])
    )
    assert ran.status == 0
    assert (measured(ran).wall_seconds or 0) < 1.5
    # The watch has ended by now, or its last pause is about to; the rest is the job's own business.
    time.sleep(0.5)
    assert len(processes_in(task.root)) <= 2
    until_nobody_is_in(task.root)


def test_the_watch_ends_with_a_script_that_is_killed(task: Task) -> None:
    place = task.root / "task"
    place.mkdir(parents=True)
    job = plan("echo begun > begun; sleep 1; sleep 0.1")
    (place / SCRIPT_NAME).write_text(job_script(job))
    (place / "snakemake_command.sh").write_text(command_file(job))
    archive = task.root / "sources.tar"
    subprocess.run(["tar", "-cf", str(archive), "-T", "/dev/null"], check=True)
    script = subprocess.Popen(
        [*task.sh, SCRIPT_NAME, str(archive)],
        cwd=place,
        env={"PATH": task.path or "", "TMPDIR": str(task.root)},
        stderr=subprocess.DEVNULL,
    )
    while not (place / "work/begun").exists():
        time.sleep(0.02)
    script.send_signal(signal.SIGKILL)
    script.wait()
    until_nobody_is_in(task.root)


DF = """#!/bin/sh
read -r used < {place}/used
printf 'Filesystem         1024-blocks      Used Available Capacity Mounted on\\n'
printf '%s %20d %9d %9d      50%% %s\\n' '//a server/share 1' 99999999999 "$used" 7 '/mnt/5% of it'
echo >> {place}/looks
"""


@dataclass
class Disk:
    """What is in use of it, by a stand-in for `df`."""

    place: Path

    def write(self, text: str) -> None:
        """Put another `df` in the place of the one that the image has."""
        path = self.place / "df"
        path.unlink(missing_ok=True)
        path.write_text(text.format(place=self.place))
        path.chmod(0o755)

    def set(self, mib: int) -> str:
        """A command that lets so much be in use."""
        return f"echo {mib * 1024} > {self.place}/used; "

    @property
    def looks(self) -> int:
        return len((self.place / "looks").read_text())


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Called by its path: busybox's shell has a `df` of its own, whatever the PATH is."""
    place = tmp_path / "programs"
    place.mkdir()
    found = Disk(place)
    found.write(DF)
    (place / "used").write_text(f"{1000 * 1024}\n")
    replaced(monkeypatch, "$(df ", f"$({place}/df ")
    return found


def beside(task: Task, disk: Disk, place: str = "run") -> Task:
    """A place with the stand-in before all programs of the image."""
    path = f"{disk.place}:{task.path or os.environ['PATH']}"
    return replace(task, root=task.root.with_name(place), path=path)


def test_of_the_disk_the_most_that_was_in_use_is_told(task: Task, disk: Disk) -> None:
    """At the start, at the end with the outputs, and a few times in between."""
    assert measured(beside(task, disk, "a").run(plan("true"))).peak_disk_mib == 1000
    more = measured(beside(task, disk, "b").run(plan(disk.set(1500))))
    assert more.peak_disk_mib == 1500
    less = measured(beside(task, disk, "c").run(plan(disk.set(700))))
    assert less.peak_disk_mib == 1500
    failed = beside(task, disk, "d").run(plan(f"{disk.set(20_000_000)} exit 3"))
    assert failed.report.measured.peak_disk_mib == 20_000_000


def test_a_disk_is_looked_at_seldom_while_a_job_runs(bash_task: Task, disk: Disk) -> None:
    ran = beside(bash_task, disk).run(
        plan(f"{disk.set(10)} sleep 0.8; {disk.set(3000)} sleep 0.8; {disk.set(10)}")
    )
    assert measured(ran).peak_disk_mib == 3000
    assert disk.looks == 3


@pytest.mark.parametrize(
    "df",
    [
        "exit 1",
        "echo",
        "printf '%s ' a b c d 5%",
        "printf '%s ' x 9 -1 9 5%",
        "echo no; kill -9 $$",
    ],
)
def test_where_df_tells_nothing_the_disk_is_unknown(bash_task: Task, disk: Disk, df: str) -> None:
    disk.write(f"#!/bin/sh\n{df}\n")
    ran = beside(bash_task, disk).run(plan("echo x > o", outputs=[local("o")]))
    assert ran.status == 0
    found = measured(ran)
    assert (found.peak_disk_mib, found.output_bytes) == (None, 2)
    assert "disk unknown" in (ran.task / MEASURED_NAME).read_text()
    assert ran.stderr.count("\n") == 2


def test_what_nobody_has_watched_for_long_is_not_known(
    bash_task: Task, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may have been more in between."""
    without_proc(monkeypatch, "/proc/")
    assert measured(beside(bash_task, disk, "a").run(plan("true"))).peak_disk_mib == 1000
    date = disk.place / "date"
    date.write_text(
        f'#!/bin/sh\n[ "$1" = +%s ] || exec {shutil.which("date")} "$@"\n'
        f"echo >> {disk.place}/now\n"
        f"wc -l < {disk.place}/now | {{ read -r n; echo $((1000000000 + 10 * n)); }}\n"
    )
    date.chmod(0o755)
    found = measured(beside(bash_task, disk).run(plan("true")))
    assert (found.wall_seconds or 0) >= 10
    assert found.peak_disk_mib is None


def test_the_disk_is_that_of_the_task(task: Task) -> None:
    found = measured(task.run(plan("true"))).peak_disk_mib
    assert found == pytest.approx(shutil.disk_usage(task.root).used / MIB, rel=0.05)


TAMPERING = {
    "removed": "rm ../{file}",
    "a folder": "rm ../{file}; mkdir -p ../{file}/x",
    "a link": "ln -sf /etc/passwd ../{file}",
    "too long": "printf '%100000d' 7 > ../{file}",
    "no text": "printf '\\377\\376' > ../{file}",
    "no numbers": "printf '%s\\n' 'a[$(touch pwned)]' > ../{file}.memory; sleep 0.2",
    "full disk": "for kind in times memory disk; do ln -sf /dev/full ../{file}.$kind; done",
}


@pytest.mark.parametrize("how", TAMPERING)
def test_nothing_that_a_command_does_to_it_fails_a_job(bash_task: Task, how: str) -> None:
    command = TAMPERING[how].format(file=MEASURED_NAME)
    ran = bash_task.run(plan(f"umask 077; {command}; echo x > o", outputs=[local("o")]))
    assert ran.status == 0, ran.stderr
    found = measured(ran)
    assert found.exit_status == 0
    assert found.output_bytes == 2
    if how == "full disk":
        assert (found.cpu_seconds, found.peak_memory_mib, found.peak_disk_mib) == (None,) * 3
    assert Path("/etc/passwd").read_text().startswith("root:")


def test_others_may_read_it_whatever_the_umask_of_the_image_is(bash_task: Task) -> None:
    before = os.umask(0o077)
    try:
        ran = bash_task.run(plan("true"))
    finally:
        os.umask(before)
    assert (ran.task / MEASURED_NAME).stat().st_mode & 0o777 == 0o644


def test_an_output_may_be_called_like_it(task: Task) -> None:
    ran = task.run(plan(f"echo mine > {MEASURED_NAME}", outputs=[local(MEASURED_NAME)]))
    assert ran.text() == "mine\n"
    assert measured(ran).output_bytes == 5


def without_proc(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    """Let the script look for something that is not there."""
    replaced(monkeypatch, hidden, "/no/such/proc/")


def replaced(monkeypatch: pytest.MonkeyPatch, one: str, other: str) -> None:
    """Let the script have another word in the place of one."""
    before = translated_jobs.job_script
    monkeypatch.setattr(translated_jobs, "job_script", lambda job: before(job).replace(one, other))


def test_where_proc_is_hidden_the_rest_is_measured(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_proc(monkeypatch, "/proc/")
    ran = task.run(plan(f"{python('sum(range(3000000))')}; sleep 1"))
    assert ran.status == 0
    found = measured(ran)
    assert "memory unknown" in (ran.task / MEASURED_NAME).read_text()
    assert found.peak_memory_mib is None
    assert 1 <= (found.wall_seconds or 0) <= 5
    assert found.cpu_seconds
    assert ran.stderr.count("\n") == 2, "and nothing is said about it"


def test_where_a_kernel_does_not_tell_children_memory_is_unknown(
    task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced(monkeypatch, "*/children", "*/no")
    ran = task.run(plan("sleep 0.3"))
    assert measured(ran).peak_memory_mib is None
    until_nobody_is_in(task.root)


@pytest.mark.parametrize("lacking", ["ls", "sleep", "date", "df"])
def test_an_image_may_lack_the_tools_for_it(bash_task: Task, lacking: str) -> None:
    (Path(bash_task.path or "") / lacking).unlink()
    ran = bash_task.run(
        plan(f"{python('import time; time.sleep(0.3)')}; echo x > o", outputs=[local("o")])
    )
    assert ran.status == 0, ran.stderr
    found = measured(ran)
    assert found.output_bytes == (None if lacking == "ls" else 2)
    assert found.wall_seconds
    assert ran.stderr.count("\n") == 2


def test_a_folder_of_a_great_many_files_has_no_size(bash_task: Task) -> None:
    code = "import os; os.mkdir('d'); [open(f'd/{{n}}', 'w').write('x') for n in range({count})]"
    few = bash_task.run(plan(python(code, count=100), outputs=[local("d", form="folder")]))
    assert measured(few).output_bytes == 100


def test_files_that_are_hidden_or_deep_count(task: Task) -> None:
    command = "mkdir -p d/a/b; printf xxx > d/.hidden; printf xx > d/a/b/c; ln -s c d/a/b/l"
    command += "; printf y > .o"
    ran = task.run(plan(command, outputs=[local("d", form="folder"), local(".o")]))
    assert measured(ran).output_bytes == 3 + 2 + 2 + 1


def test_without_it_the_script_is_what_it_was(task: Task) -> None:
    job = plan("echo x > o", outputs=[local("o")], defaults={"measured": False})
    assert "measure" not in job_script(job)
    ran = task.run(job)
    assert ran.text() == "x\n"
    assert not (ran.task / MEASURED_NAME).exists()


def test_what_must_not_be_measured_as_zero_is_unknown(task: Task) -> None:
    """A script that ends before its command says nothing."""
    ran = task.run(plan("true", inputs=[local("a")]), {"a": Path("/no/such/file")})
    assert ran.status == 1
    assert not ran.report.measured.is_told
    assert not read_measured((ran.task / MEASURED_NAME).read_text()).is_told


GATHER = """
jobs_folder=$task/jobs
gather_measured
"""


def gathered(task: Task, lines: dict[str, bytes]) -> str:
    place = task.root / "task"
    for job, line in lines.items():
        (place / "jobs" / job).mkdir(parents=True)
        (place / "jobs" / job / MEASURED_NAME).write_bytes(line)
    jobs = f"jobs='{' '.join([*lines, 'none'])}'"
    (place / "script").write_text("\n".join([functions(), functions_for_measuring(), jobs, GATHER]))
    subprocess.run(
        [*task.sh, "script"], cwd=place, env={"PATH": task.path or ""}, check=True, timeout=60
    )
    return (place / MEASURED_NAME).read_bytes().decode("ascii")


LINE = (
    "wall 999999.99 s, cpu 999999.99 s, memory 999999.99 MiB, disk 9999999.99 MiB, exit 137, "
    "outputs 999999999999 B, started 2026-11-28T18:56:36Z."
)


def test_of_a_pack_there_is_what_finds_room_and_is_text(task: Task) -> None:
    many = {str(number): f"{LINE}\n".encode() for number in range(600)}
    bad = {
        "b1": b"\xff\xfe\n",
        "b2": "é\n".encode(),
        "b3": b"x" * 100_000,
        "b4": b"",
    }
    text = gathered(task, bad | many)
    lines = lines_of_jobs(text)
    assert len(text) < 60 * 1024
    assert set(lines) < set(many)
    assert set(lines.values()) == {LINE}
    assert read_measured(LINE).is_told
    assert text.splitlines()[-1] == f"left out: {len(many) - len(lines)}"
    assert 350 < len(lines) < 600


FORMATS: dict[str, Callable[[float], str]] = {
    "dash": lambda s: f"{int(s) // 60}m{s % 60:f}s",
    "bash": lambda s: f"{int(s) // 60}m{s % 60:.3f}s",
    "a locale": lambda s: f"{int(s) // 60}m{s % 60:.3f}s".replace(".", ","),
    "mksh": lambda s: f"{int(s) // 60}m{s % 60:.2f}s",
    "ksh": lambda s: f"{int(s) // 60}m{s % 60:05.2f}s",
}


@pytest.mark.parametrize("form", FORMATS)
def test_times_are_read_as_shells_write_them(task: Task, form: str) -> None:
    written = FORMATS[form]
    seconds = [0.0, 0.08, 1.5, 9.99, 59.09, 60.0, 68.08, 360_009.5]
    place = task.root / "task"
    place.mkdir(parents=True)
    calls = [f"to_milliseconds {written(one)}; echo $milliseconds" for one in seconds]
    wrong = ["08m1.0s", "1m008.0s", "1m1.m5s", "1m1s.5", "999999999m1.0s"]
    wrong += ["''", "0m0.0", "m1.0s", "1m2m3.0s", "x", "0m0s", "0m.s"]
    calls += [f"to_milliseconds {one} && echo wrong {one}" for one in wrong]
    text = "\n".join([functions(), functions_for_measuring(), *calls])
    (place / "script").write_text(text)
    done = subprocess.run(
        [*task.sh, "script"],
        cwd=place,
        env={"PATH": task.path or ""},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert [int(line) for line in done.stdout.split()] == [round(1000 * one) for one in seconds]
