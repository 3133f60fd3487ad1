"""The commands, where the address, the token or the network is not right: one sentence each."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from requests.exceptions import InvalidSchema

from cavatica_local.__main__ import main as local_main
from snakemake_executor_cavatica.api import contact
from snakemake_executor_cavatica.commands import main
from snakemake_executor_cavatica.connections import CONNECTIONS
from snakemake_executor_cavatica.project import connection

SECRET = "0123456789abcdef"
ANSWERS: dict[str, tuple[int, bytes, str]] = {
    "pages": (200, b"<html>Welcome</html>", "is not JSON of a sane form: it may be that of web"),
    "no pages": (404, b"<html>Nothing</html>", "is not JSON of a sane form: it may be that of web"),
    "unauthorized": (401, b"{}", "from the environment variable SB_AUTH_TOKEN is a current"),
    "forbidden": (403, b"{}", "ask an administrator of the project"),
    "unknown": (404, b'{"code": 1}', "There is no project o/p on http"),
    "no API": (404, b'{"status": "NOT_FOUND"}', "/v2 is probably not the address of a platform"),
}
Command = Callable[[str], int]


@pytest.fixture(params=["clean", "verify-live"])
def command(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    monkeypatch.setenv("SB_AUTH_TOKEN", SECRET)
    monkeypatch.setattr(connection, "_LOCAL_PATIENCE", 1.0)
    monkeypatch.setattr(contact, "_LONGEST_FOR_LASTING", 1.0)
    monkeypatch.setattr(contact, "SILENCE", 0.2)
    run = main.main if request.param == "clean" else local_main
    yield lambda endpoint: run([request.param, "--project", "o/p", "--api-endpoint", endpoint])
    CONNECTIONS.close()


@pytest.fixture
def no_token(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("SB_AUTH_TOKEN", "SNAKEMAKE_CAVATICA_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    return command


@pytest.fixture
def server() -> Iterator[Any]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, _ = self.server.answer  # type: ignore[attr-defined]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=[0.01], daemon=True).start()
    yield http
    http.shutdown()
    http.server_close()


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The last line, which no traceback follows."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    assert SECRET not in text
    line = text.splitlines()[-1]
    assert line.startswith(("snakemake-cavatica: ", "cavatica-local: "))
    return line


@pytest.mark.parametrize("kind", ANSWERS)
def test_an_answer_that_is_no_good(
    command: Command, server: Any, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    server.answer = ANSWERS[kind]
    assert command(f"http://127.0.0.1:{server.server_port}/v2") == 1
    assert ANSWERS[kind][2] in told(capsys)


def test_an_address_without_its_end(
    command: Command, server: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Protects from a search for the project, when it is `/v2` that is missing."""
    server.answer = ANSWERS["no API"]
    assert command(root := f"http://127.0.0.1:{server.server_port}") == 1
    line = told(capsys)
    assert f"{root} is probably not the address of a platform's API, which ends with /v2" in line


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("http://127.0.0.1:{closed}/v2", "cannot be reached: Connection refused"),
        ("https://cavatica.invalid/v2", "cannot be reached: its name does not resolve"),
        ("https://127.0.0.1:{open}/v2", "cannot be reached: there is no TLS"),
    ],
)
def test_no_answer(
    command: Command, server: Any, capsys: pytest.CaptureFixture[str], endpoint: str, why: str
) -> None:
    server.answer = ANSWERS["forbidden"]
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = {"closed": closed.getsockname()[1], "open": server.server_port}
        assert command(endpoint.format(**ports)) == 1
    assert f"{why}" in (line := told(capsys))
    assert "; check the address" in line


@pytest.mark.parametrize(
    ("proxy", "why"),
    [
        ("http://me:secret@127.0.0.1:{closed}", "127.0.0.1:{closed} cannot be reached (Connection"),
        ("http://127.0.0.1:{closed}", "http://127.0.0.1:{closed} cannot be reached (Connection"),
        ("http://127.0.0.1:{open}", "http://127.0.0.1:{open} does not let us through"),
        ("http://me:secret@proxy.invalid:3128", "the name of its proxy proxy.invalid:3128 does"),
    ],
)
def test_a_proxy_that_is_not_there_or_refuses(
    command: Command,
    server: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *,
    proxy: str,
    why: str,
) -> None:
    """Protects from asking the owner of the proxy for permission, when its address is wrong."""
    monkeypatch.setattr(contact, "_LONGEST", 1.0)
    monkeypatch.delenv("no_proxy", raising=False)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = {"closed": closed.getsockname()[1], "open": server.server_port}
        monkeypatch.setenv("https_proxy", proxy.format(**ports))
        assert command("https://cavatica.invalid/v2") == 1
    line = told(capsys)
    assert why.format(**ports) in line
    assert "https://cavatica.invalid/v2 cannot be reached: " in line
    assert "secret" not in line


@pytest.mark.parametrize("proxy", ["socks5://me:secret@127.0.0.1:9", "what://me:secret@host"])
def test_a_proxy_that_cannot_be_used(
    command: Command,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    proxy: str,
) -> None:
    def is_missing(*_args: object, **_more: object) -> None:
        raise InvalidSchema("as without PySocks, which not everybody has")

    monkeypatch.setattr("requests.adapters.SOCKSProxyManager", is_missing)
    monkeypatch.setenv("https_proxy", proxy)
    assert command("https://cavatica.invalid/v2") == 1
    assert "https://cavatica.invalid/v2, or the proxy that https_proxy" in (line := told(capsys))
    assert "secret" not in line


@pytest.mark.parametrize(
    ("endpoint", "page"),
    [
        ("https://cavatica-api.sbgenomics.com/v2", "https://cavatica.sbgenomics.com/developer"),
        ("https://cgc-api.sbgenomics.com/v2/", "https://cgc.sbgenomics.com/developer"),
        ("https://api.example.org/v2", "the developer page of https://api.example.org/v2"),
    ],
)
def test_a_missing_token_names_the_page_where_to_make_one(
    no_token: Command, capsys: pytest.CaptureFixture[str], endpoint: str, page: str
) -> None:
    assert no_token(endpoint) == 1
    assert f"make one on {page}, " in told(capsys)


HIDES = "import sys\nsys.modules.update(dict.fromkeys({names!r}.split()))\n"
LOCAL = "cavatica_local"
OURS = "snakemake_executor_cavatica.commands.main"


def test_without_the_plugin_there_is_nothing_to_verify_with(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cavatica_local.__main__.COMMANDS", "of.nobody")
    assert local_main(["verify-live", "--project", "o/p"]) == 2
    assert told(capsys).endswith("here: pip install snakemake-executor-plugin-cavatica")


@pytest.mark.parametrize(
    ("hidden", "arguments", "said"),
    [
        ("uvicorn", [LOCAL, "serve", "--root", "root"], "(uvicorn): pip install '"),
        ("cwltool", [LOCAL, "serve", "--root", "root"], "(cwltool): pip install '"),
        ("starlette uvicorn cwltool", [LOCAL, "switches"], "(starlette, uvicorn, cwltool): pip"),
        ("uvicorn", [OURS, "clean", "--api-endpoint", "local"], "(uvicorn): pip install '"),
        ("uvicorn", [LOCAL, "verify-live", "--api-endpoint", "local"], "(uvicorn): pip install '"),
        ("snakemake", [OURS, "sources"], " is missing): pip install 'snakemake>="),
    ],
)
def test_what_is_not_installed_is_named(
    tmp_path: Path, hidden: str, arguments: list[str], said: str
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIDES.format(names=hidden))
    run = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert run.returncode in {1, 2}
    assert said in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        *(["--port", port] for port in ("99999", "-1", "http", "")),
        *(["--instances", number] for number in ("0", "-1", "1.5")),
        *(["--host-cores", number] for number in ("0", "many")),
        *(["--rate-limit", limit] for limit in ("5", "5/x", "0/1", "5/0")),
        ["--task-seconds", "soon"],
        ["--fault-seed", "x"],
    ],
)
def test_a_server_is_not_started_with_a_number_that_is_none(
    capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        local_main(["serve", "--root", "unused", *wrong])
    assert caught.value.code == 2
    assert f"cavatica-local serve: error: argument {wrong[0]}: " in capsys.readouterr().err


def test_a_file_is_no_folder_for_the_state(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file", tmp_path / "file/below", Path("/proc/self"), Path("/sys")):
        assert local_main(["serve", "--root", str(root)]) == 2
        assert f"cavatica-local: {root} cannot be the folder" in capsys.readouterr().err


def test_a_folder_of_other_files_is_taken_from_nobody(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    (theirs / "data").touch()
    assert local_main(["serve", "--root", str(theirs)]) == 2
    assert f"{theirs} cannot be the folder for all state: it" in capsys.readouterr().err
    assert (stat.S_IMODE(theirs.stat().st_mode), list(theirs.iterdir())) == (
        0o755,
        [theirs / "data"],
    )


@pytest.mark.parametrize("beside", [(), (".gitignore", "server.log"), ("platform.sqlite", "x")])
def test_a_folder_of_its_own_is_for_its_owner_alone(tmp_path: Path, beside: Sequence[str]) -> None:
    root = tmp_path / "root"
    root.mkdir(mode=0o755)
    for name in beside:
        (root / name).touch()
    assert local_main(["serve", "--root", str(root), "--switch", "no_such=1"]) == 2
    assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_ctrl_c_ends_the_search_for_a_platform_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"https://127.0.0.1:{closed.getsockname()[1]}/v2"
        process = subprocess.Popen(
            [sys.executable, "-m", OURS, "clean", "--project", "o/p", "--api-endpoint", endpoint],
            env={**os.environ, "SB_AUTH_TOKEN": SECRET},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        assert process.stderr is not None
        while "It is tried again until" not in (line := process.stderr.readline()):
            assert line
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert process.returncode == 130
    said = f"snakemake-cavatica: Interrupted while {endpoint} was asked for o/p."
    assert rest.splitlines()[-1] == said
    assert "Traceback" not in rest
