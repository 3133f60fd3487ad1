"""The API token is where it has to be and nowhere else, however a run fails.

Each run has a home, a folder for temporary files and a working directory of its own. Afterwards
all of it is searched, with all that the run said and all that the platform keeps, for the token in
every form that software is likely to give it. While it runs, so are the arguments and environments
of all processes of this machine.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from workflow_runs import TIMEOUT, Platform, Workflow

from tests.warm_start import as_in_a_terminal

DECOY = "5f3a9c0d71e24b86a0c9e8d7f6b5a493"
"""A token that looks real, for another platform than the embedded one."""

TWO = """
rule all:
    input: "a.txt", "b.txt"
rule a:
    output: "a.txt"
    params: seconds=config.get("seconds", 0)
    log: "a.log"
    shell: "echo speaking > {log}; sleep {params.seconds}; echo a > {output}"
rule b:
    input: "a.txt", "in.txt"
    output: "b.txt"
    run:
        with open(output[0], "w") as stream:
            stream.write("b")
"""


# --------------------------------------------------------------------------- the search


def forms(secret: str) -> dict[str, bytes]:
    """What a token may look like once software has handled it."""
    plain = secret.encode()
    found = {
        "as it is": plain,
        "backwards": plain[::-1],
        "chunks backwards": b"".join(plain[start : start + 8] for start in (24, 16, 8, 0)),
        "for URLs": quote(secret, safe="").encode(),
        "hexadecimal": plain.hex().encode(),
        "Hexadecimal": plain.hex().upper().encode(),
        "UTF-16": secret.encode("utf-16-le"),
    }
    for shift in range(3):
        encoded = base64.b64encode(b"?" * shift + plain + b"?" * 3)
        # The first and last characters also depend on what stands before and after.
        found[f"base64 after {shift} bytes"] = encoded[4 if shift else 0 :][:36]
    return found


def unpacked(content: bytes) -> Iterator[bytes]:
    """The content itself, without line breaks, and all that is compressed in it."""
    yield content
    yield content.replace(b"\n", b"")
    for start in re.finditer(rb"\x1f\x8b\x08|\x78[\x01\x9c\xda]", content):
        try:
            yield zlib.decompressobj(wbits=47).decompress(content[start.start() :], 10_000_000)
        except zlib.error:
            continue


def find(secret: str, content: bytes) -> list[str]:
    """The forms in which the token stands in the content."""
    return [
        form for layer in unpacked(content) for form, text in forms(secret).items() if text in layer
    ]


def find_in_tree(secret: str, root: Path) -> dict[str, list[str]]:
    """By path, what is found in the names and contents of all files of a folder."""
    found = {}
    for path in root.rglob("*"):
        content = os.fsencode(path.relative_to(root))
        if path.is_file() and not path.is_symlink():
            content += b"\0" + path.read_bytes()
        if where := find(secret, content):
            found[str(path)] = where
    return found


def find_on_platform(secret: str, root: Path, *, is_its_own: bool = True) -> dict[str, list[str]]:
    """The same for all that a platform keeps: database, contents, logs, directories of tasks.

    The platform itself has to know its own token, in one column of one table and in one file.
    """
    found = find_in_tree(secret, root)
    known = [root / "token", *root.glob("platform.sqlite*")] if is_its_own else []
    for path in known:
        found.pop(str(path), None)
    with closing(sqlite3.connect(f"file:{root / 'platform.sqlite'}?mode=ro", uri=True)) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master")]
        for table in [name for name in tables if is_table(database, name)]:
            cursor = database.execute(f'SELECT * FROM "{table}"')
            columns = [column[0] for column in cursor.description]
            for row in cursor:
                cells = zip(columns, row, strict=True)
                kept = [cell for name, cell in cells if (table, name) != ("users", "token")]
                if where := find(secret, repr(kept).encode()):
                    found[f"table {table}: {kept}"] = where
    return found


def is_table(database: sqlite3.Connection, name: str) -> bool:
    query = "SELECT count(*) FROM sqlite_master WHERE name = ? AND type = 'table'"
    return bool(database.execute(query, [name]).fetchone()[0])


def open_to_others(root: Path) -> list[str]:
    """Files below `root` that other users of the machine can read, by modes all the way down."""
    return [
        str(path)
        for path in root.rglob("*")
        if path.is_file()
        and path.stat().st_mode & 0o044
        and all(
            parent.stat().st_mode & 0o011 for parent in path.parents if parent.is_relative_to(root)
        )
    ]


@dataclass
class Sampler:
    """Looks at the arguments and environments of all processes, again and again."""

    secret: str
    found: dict[str, str] = field(default_factory=dict)
    looked_at: set[str] = field(default_factory=set)
    may_hold: set[int] = field(default_factory=set)
    """Processes whose environment was given the token on purpose."""
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Sampler:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            for process in Path("/proc").glob("[0-9]*"):
                self._look_at(process)

    def _look_at(self, process: Path) -> None:
        for name in ("cmdline", "environ"):
            if name == "environ" and int(process.name) in self.may_hold:
                continue
            try:
                content = (process / name).read_bytes()
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (OSError, UnicodeDecodeError):
                continue  # it has ended, or is none of ours
            self.looked_at.add(command)
            if any(text in content for text in forms(self.secret).values()):
                self.found[f"{name} of {command}"] = process.name


# --------------------------------------------------------------------------- the runs


@dataclass
class Den:
    """Everything that one run can write to, and the run."""

    root: Path
    platform: Platform
    state: Path
    secret: str
    output: str = ""

    def __post_init__(self) -> None:
        for folder in ("home/.sevenbridges", "tmp", "work"):
            (self.root / folder).mkdir(parents=True)
        self.workflow = Workflow(self.root / "work", self.platform)
        self.credentials.touch(0o600)
        self.credentials.write_text(
            f"[cavatica]\napi_endpoint = {self.platform.endpoint}\nauth_token = {self.secret}\n"
        )

    @property
    def credentials(self) -> Path:
        """Where the user keeps the token: it is in the environment of no process then."""
        return self.root / "home/.sevenbridges/credentials"

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "TOKEN" not in name}
        return {**kept, "HOME": str(self.root / "home"), "TMPDIR": str(self.root / "tmp")}

    def start(self, *arguments: str, environment: Mapping[str, str] = {}) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "snakemake", *self.workflow.arguments()),
                *("--verbose", "--printshellcmds", *arguments),
            ],
            cwd=self.workflow.directory,
            env={**self.environment(), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            umask=0o022,
            preexec_fn=as_in_a_terminal,  # noqa: PLW1509 - no threads that hold locks
        )

    def run(
        self,
        *arguments: str,
        environment: Mapping[str, str] = {},
        meanwhile: Callable[[subprocess.Popen[str]], None] = lambda _: None,
    ) -> int:
        """Run Snakemake, with everybody watching; the exit status."""
        with Sampler(self.secret) as sampler:
            process = self.start(*arguments, environment=environment)
            try:
                meanwhile(process)
                self.output, _ = process.communicate(timeout=TIMEOUT)
            finally:
                process.kill()
        assert any("snakemake --executor" in command for command in sampler.looked_at)
        assert sampler.found == {}
        return process.returncode

    def check(self) -> None:
        """The token is where the user put it, and nowhere else."""
        assert find(self.secret, self.output.encode()) == [], self.output
        found = find_in_tree(self.secret, self.root)
        assert found.pop(str(self.credentials), None) is not None, "the search does not work"
        assert found == {}
        self.check_platform()

    def check_platform(self) -> None:
        assert find_on_platform(self.secret, self.state) == {}
        requests = "\n".join(map(str, self.platform.requests()))
        assert find(self.secret, requests.encode()) == []

    def statuses(self) -> set[int]:
        """The HTTP statuses of all answers of the platform."""
        return {one["status"] for one in self.platform.requests()}

    def wait_for(self, method: str, path: str) -> None:
        """Until the platform has answered such a request of this run."""
        deadline = time.monotonic() + 40
        while not any(
            one["method"] == method and re.search(path, one["path"])
            for one in self.platform.requests()
        ):
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.1)

    def patch(self, code: str) -> dict[str, str]:
        """Run `code` in every Python process of the run before anything else."""
        (self.root / "patch").mkdir()
        (self.root / "patch/sitecustomize.py").write_text(code)
        return {"PYTHONPATH": f"{self.root / 'patch'}:{os.environ.get('PYTHONPATH', '')}"}


@pytest.fixture
def den(tmp_path: Path, serve: Callable[..., Platform]) -> Den:
    platform = serve()
    den = Den(tmp_path / "den", platform, tmp_path / "server0", platform.token)
    den.workflow.write({"Snakefile": TWO})
    den.workflow.put({"in.txt": "input"})
    return den


# --------------------------------------------------------------------------- the search itself


@pytest.mark.parametrize("form", forms(DECOY))
def test_the_search_finds_a_planted_token(tmp_path: Path, form: str) -> None:
    """A search that finds nothing proves nothing, unless it is known to find."""
    planted = forms(DECOY)[form]
    (tmp_path / "file").write_bytes(b"before " + planted + b" after")
    packed = zlib.compressobj(wbits=31)
    (tmp_path / "file.gz").write_bytes(packed.compress(planted) + packed.flush())
    assert set(find_in_tree(DECOY, tmp_path)) == {str(tmp_path / n) for n in ("file", "file.gz")}


def test_the_search_finds_what_base64_makes_of_it(tmp_path: Path) -> None:
    """Whatever stands around it, in one line or in many."""
    for start in range(5):
        text = b"x" * start + DECOY.encode() + b"tail" * 20
        assert find(DECOY, base64.b64encode(text)), start
        assert find(DECOY, base64.encodebytes(b"long" * 11 + text)), start


def test_the_search_finds_names_and_rows_and_processes(den: Den) -> None:
    """A token in a file's name, in the platform's tables and contents, and in `ps`."""
    (den.workflow.directory / DECOY).touch()
    assert find_in_tree(DECOY, den.root)
    request = urllib.request.Request(
        f"{den.platform.endpoint}/files",
        json.dumps(
            {"name": den.secret, "type": "folder", "project": den.platform.project}
        ).encode(),
        {"X-SBG-Auth-Token": den.secret, "Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=30).close()  # our own client might refuse to do this
    assert any(name.startswith("table files") for name in find_on_platform(den.secret, den.state))
    sleep = [sys.executable, "-c", "import time; time.sleep(1)"]
    with Sampler(DECOY) as sampler:
        for arguments, given in (([DECOY], {}), ([], {"X": DECOY})):
            subprocess.run([*sleep, *arguments], env={**os.environ, **given}, check=True)
    assert {name.split()[0] for name in sampler.found} == {"cmdline", "environ"}


# --------------------------------------------------------------------------- runs that fail


def test_a_run_that_succeeds(den: Den) -> None:
    """Both ways to run a job, with all that the run prints at its most talkative."""
    assert den.run() == 0, den.output
    assert (den.workflow.directory / "b.txt").exists()
    den.check()


def test_a_wrong_project(den: Den) -> None:
    assert den.run("--cavatica-project", "local/nothing") != 0
    den.check()


def test_a_failing_command_in_a_storm_of_errors(den: Den) -> None:
    """Retries, their messages, the task's stderr and the logs of the rule."""
    den.workflow.write({"Snakefile": TWO.replace("sleep {params.seconds}", "ls /nowhere")})
    watching = "/bulk/tasks/get|/execution_details|/download_info"
    storm = {"do": "status", "path": watching, "status": 502, "times": 3}
    den.platform.inject(storm)
    assert den.run() != 0
    assert "No such file" in den.output
    assert 502 in den.statuses()
    den.check()


def test_a_token_that_is_revoked_while_the_run_is_under_way(den: Den) -> None:
    """The second job meets 401; the message names the token's variables, not the token."""

    def revoke(_: subprocess.Popen[str]) -> None:
        den.wait_for("POST", "/actions/run")
        den.platform.inject({"do": "status", "path": "/tasks$", "status": 401})

    assert den.run("--config", "seconds=1", meanwhile=revoke) != 0
    assert "401" in den.output
    den.check()


def test_an_upload_that_fails_and_a_draft_that_is_refused(den: Den) -> None:
    """Signed URLs are not the token, but they come with it."""
    drafts = {"do": "status", "method": "POST", "path": "/tasks$", "status": 400, "times": 1}
    uploads = {"do": "status", "method": "POST", "path": "/upload/", "status": 403, "times": 1}
    den.platform.inject(drafts, uploads)
    assert den.run("--retries", "2") == 0, den.output
    assert {400, 403} <= den.statuses()
    den.check()


CRASH = """
import traceback
original = traceback.TracebackException.__init__
def with_locals(self, *args, **options):
    options["capture_locals"] = True
    original(self, *args, **options)
traceback.TracebackException.__init__ = with_locals
import {module}
def bug(*args, **options):
    raise RuntimeError("a bug")
{module}.{name} = bug
"""


def crash(den: Den, module: str, name: str) -> None:
    """Run with a function that raises what nobody expects, and tracebacks that show everything."""
    assert den.run(environment=den.patch(CRASH.format(module=module, name=name))) != 0
    assert "a bug" in den.output
    den.check()


def test_a_crash_of_the_plugin(den: Den) -> None:
    """Tracebacks with all local variables, as some crash reporters print them."""
    crash(den, "snakemake_executor_cavatica.translate.draft", "job_script")


def test_a_crash_while_a_request_is_sent(den: Den) -> None:
    """The very place that holds the token."""
    crash(den, "requests.adapters", "HTTPAdapter.send")


def test_the_debug_logs_of_all_libraries(den: Den) -> None:
    """`requests` and `urllib3` tell each request, where somebody asks them to."""
    code = "import logging\nlogging.basicConfig(level=logging.DEBUG)\n"
    assert den.run(environment=den.patch(code)) == 0, den.output
    assert "urllib3.connectionpool" in den.output
    den.check()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_ended_by_a_signal(den: Den, number: signal.Signals) -> None:
    """Nothing is left that a clean end would have removed."""

    def end(process: subprocess.Popen[str]) -> None:
        den.wait_for("POST", "/actions/run")
        time.sleep(1)
        process.send_signal(number)

    assert den.run("--config", "seconds=30", meanwhile=end) != 0
    den.check()


# --------------------------------------------------------------------------- the user's own leaks

LEAK = """
import os
token = os.environ["SB_AUTH_TOKEN"]
rule all:
    input: "a.txt"
rule a:
    output: {output}
    {directive}
"""
LEAKS = {
    "command": ('"a.txt"', 'params: token\n    shell: "echo {params} > {output}"'),
    "container": ('"a.txt"', 'container: f"docker://{token}"\n    shell: "touch {output}"'),
    "metadata": (
        '"a.txt"',
        'resources: cavatica_output_metadata=f"key={token}"\n    shell: "touch {output}"',
    ),
    "set-resources": ('"a.txt"', "run: open(output[0], 'w').close()"),
    "config": ('"a.txt"', "run: open(output[0], 'w').close()"),
    "script": ('"a.txt"', 'params: token\n    script: "s.sh"'),
    "precommand": ('"a.txt"', 'shell: "touch {output}"'),
    "envvars": ('"a.txt"', 'shell: "touch {output}"'),
}


def leak_options(leak: str, secret: str) -> list[str]:
    return {
        "config": ["--config", f"token=x{secret}"],
        "set-resources": ["--set-resources", f"a:note={secret}"],
        "precommand": ["--precommand", f"echo {base64.b64encode(secret.encode()).decode()}"],
        "envvars": ["--envvars", "INNOCENT", "--cavatica-allow-secret-envvars"],
    }.get(leak, [])


@pytest.mark.parametrize("leak", LEAKS)
def test_a_workflow_that_would_give_the_token_away(den: Den, leak: str) -> None:
    """It is refused before anything with the token in it gets to the platform.

    Here the user wrote the token into the workflow, and Snakemake itself prints what workflows
    hold; so only the platform is searched.
    """
    output, directive = LEAKS[leak]
    snakefile = LEAK.replace("{output}", output, 1).replace("{directive}", directive)
    den.workflow.write({"Snakefile": snakefile, "s.sh": "touch a.txt"})
    environment = {**den.environment(), "SB_AUTH_TOKEN": den.secret, "INNOCENT": den.secret}
    environment["SB_API_ENDPOINT"] = den.platform.endpoint
    process = den.start(*leak_options(leak, den.secret), environment=environment)
    den.output, _ = process.communicate(timeout=TIMEOUT)
    den.check_platform()
    assert process.returncode != 0, den.output
    assert "API token" in den.output


@pytest.mark.parametrize(
    "encode",
    [
        lambda secret: secret,
        lambda secret: base64.b64encode(b"a:" + secret),
        lambda secret: zlib.compress(secret, wbits=31),
    ],
    ids=["plain", "base64", "gzip"],
)
def test_a_file_of_the_workflow_that_holds_the_token(
    den: Den, encode: Callable[[bytes], bytes]
) -> None:
    """Members of the project can read the archive of the workflow's sources."""
    (den.workflow.directory / "notes.dat").write_bytes(encode(den.secret.encode()))
    assert den.run() != 0
    assert "notes.dat" in den.output
    den.check_platform()


# --------------------------------------------------------------------------- the embedded platform


@pytest.fixture(scope="module")
def local_run(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> tuple[Den, Sampler]:
    """A run on its own embedded platform, with the token of a real one in the environment."""
    den = Den(tmp_path_factory.mktemp("local") / "den", platform, Path(), DECOY)
    shell = "env > {output}; cat /proc/$PPID/environ >> {output} || true"
    den.workflow.write(
        {"Snakefile": f'rule a:\n    output: "a.txt"\n    shell: "sleep 1; {shell}"\n'}
    )
    given = {"SB_AUTH_TOKEN": DECOY, "SNAKEMAKE_CAVATICA_TOKEN": DECOY}
    local = ("--cavatica-api-endpoint", "local", "--cavatica-project", "local/project")
    with Sampler(DECOY) as sampler:
        process = den.start(*local, environment=given)
        sampler.may_hold.add(process.pid)
        den.output, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, den.output
    return den, sampler


def test_tasks_of_an_embedded_platform_do_not_see_the_token_of_a_real_one(
    local_run: tuple[Den, Sampler],
) -> None:
    """They are other people's code; neither they nor the server need it. `git`, which the main
    process calls by itself, inherits its environment."""
    den, sampler = local_run
    assert {name for name in sampler.found if "git ls-files" not in name} == set()
    assert find(DECOY, (den.workflow.directory / "a.txt").read_bytes()) == []
    assert find_on_platform(DECOY, den.workflow.directory / ".cavatica-local") == {}


def test_the_token_of_an_embedded_platform_is_open_to_nobody_else(
    local_run: tuple[Den, Sampler],
) -> None:
    """Everybody on the machine could run commands as this user by way of the server."""
    den, _ = local_run
    root = den.workflow.directory / ".cavatica-local"
    own = (root / "token").read_text()
    holding = set(find_in_tree(own, root))
    assert str(root / "token") in holding, "the search does not work"
    assert holding & set(open_to_others(den.root)) == set()
    assert find_on_platform(own, root) == {}
    assert find(own, den.output.encode()) == []
