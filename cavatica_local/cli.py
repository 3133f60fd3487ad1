"""The command `cavatica-local`: serve the embedded platform until it is stopped."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import functools
import json
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from cavatica_local import app, switches
from cavatica_local.engine import Engine
from cavatica_local.engine.containers import ContainerHabits
from cavatica_local.execution.behaviours import Range, Simulation, read_behaviours, read_range
from cavatica_local.execution.scheduler import Scheduler
from cavatica_local.execution.simulate import SimulateEngine
from cavatica_local.http.middleware import Traffic, tracking_protocol
from cavatica_local.services import bulk
from cavatica_local.state.database import UnusableState
from cavatica_local.state.first_project import first_project
from cavatica_local.state.platform import DATABASE, Platform, RateLimit, Settings
from cavatica_local.state.visitors import Visitors
from cavatica_local.tls import Certificate, make_certificate

GRACE_SECONDS = 2
_LAST_PORT = 65535
_BESIDE = (".gitignore", "server.log")
"""What those who start a server keep in its folder before it begins."""


class UsageError(Exception):
    """Something that the user can put right; shown as one sentence."""


def main(arguments: list[str]) -> int:
    """Parse the command line and serve."""
    options = _parser().parse_args(arguments)
    if options.command == "switches":
        sys.stdout.write(switches.markdown_table())
        return 0
    try:
        with _locked(options.root):
            asyncio.run(_serve(options))
    except (UsageError, UnusableState) as error:
        sys.stderr.write(f"cavatica-local: {error}\n")
        return 2
    return 0


# --- command line --------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cavatica-local", description="CAVATICA's API on this machine, really running tasks."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("switches", help="print the table of behaviour switches")
    commands.add_parser("verify-live", help="compare a platform with what this one assumes")
    serve = commands.add_parser("serve", help="serve until stopped")
    _add_server(serve)
    _add_limits(serve)
    _add_tasks(serve)
    _add_behaviour(serve)
    return parser


def _add_server(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--root", type=Path, required=True, help="folder for all state; created if missing")
    add("--port", type=_port, default=0, help="port on the loopback interface (default: any free)")
    add("--tls", action="store_true", help="serve https, with a certificate made at the start")
    add("--engine", choices=("cwltool", "simulate"), default="cwltool")
    add("--containers", choices=("none", "podman", "docker"), default="none")


def _add_limits(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--rate-limit",
        type=_rate_limit,
        default=RateLimit(1000, 300),
        metavar="REQUESTS/SECONDS",
        help="per token; 'off' for none (default: 1000/300)",
    )
    add(
        "--instances",
        type=_at_least_one,
        default=80,
        help="tasks that run in parallel (default: 80)",
    )
    add(
        "--host-cores",
        type=_at_least_one,
        default=os.cpu_count() or 1,
        help="cores for running tasks",
    )
    add(
        "--start-delay",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="of an instance's start",
    )
    add("--latency", type=_seconds, default=0.0, metavar="SECONDS", help="added to every request")


def _add_tasks(parser: argparse.ArgumentParser) -> None:
    """What simulated tasks do, and what tasks cost."""
    add = parser.add_argument
    add(
        "--task-seconds",
        type=_range,
        default=(60.0, 60.0),
        metavar="SECONDS",
        help="duration of simulated tasks, a number or a range like 5-60 (default: 60)",
    )
    add(
        "--simulation",
        type=Path,
        metavar="FILE",
        help="how simulated tasks behave, by name: seconds, memory_mb, fails, spot_loss (JSON)",
    )
    add(
        "--price-hour",
        type=_positive,
        default=3600.0,
        metavar="SECONDS",
        help="that cost what an hour costs, so that short tasks have a price (default: 3600)",
    )


def _add_behaviour(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--verify-inputs",
        choices=("checksum", "mtime"),
        default="checksum",
        help="after each task: by checksum, or only if the time of modification has changed",
    )
    add(
        "--keep-work",
        action="store_true",
        help="keep the folders of tasks that have ended, as executions/<task> below the root",
    )
    add(
        "--switch",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="behaviour where the real platform's is unknown; see 'cavatica-local switches'",
    )
    add("--control", action="store_true", help="serve /_control: logs, faults, further users")
    add(
        "--fault-seed",
        type=int,
        metavar="NUMBER",
        help="makes faults and everything else that is left to chance repeatable",
    )
    add(
        "--until-stdin-closes",
        action="store_true",
        help="also end when the standard input closes, which it does when the parent ends",
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: expected 0 to {_LAST_PORT}")
    return int(text)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _rate_limit(text: str) -> RateLimit | None:
    if text == "off":
        return None
    requests, _, seconds = text.partition("/")
    try:
        return RateLimit(_at_least_one(requests), _positive(seconds))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no rate: expected REQUESTS/SECONDS, for example 1000/300, or off"
        ) from None


def _seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return number


def _positive(text: str) -> float:
    seconds = _seconds(text)
    if not seconds:
        raise argparse.ArgumentTypeError("no time at all is not enough")
    return seconds


def _range(text: str) -> Range:
    try:
        return read_range(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


# --- serving -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Hold the root's lock. Only one server may work on a root."""
    try:
        _make_private(root)
        lock = (root / "lock").open("w")
    except OSError as error:
        raise UsageError(f"{root} cannot be the folder for all state: {error.strerror}") from error
    with lock as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another server is already running on {root}") from None
        yield


def _make_private(root: Path) -> None:
    """Keep others out: it holds tokens, also in a database that the umask leaves readable.

    Not out of a folder that is theirs as well.
    """
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    is_ours = (root / DATABASE).exists() or all(one.name in _BESIDE for one in root.iterdir())
    if is_ours:
        root.chmod(0o700)
    elif root.stat().st_mode & 0o077:
        raise UsageError(
            f"{root} cannot be the folder for all state: it holds other files, and others may "
            "look into it, while the state holds tokens. Name a folder of its own, which is made "
            "if it is missing."
        )


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handling, which would end the process by the signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class _Listening:
    socket: socket.socket
    base_url: str


def _listen(port: int, *, tls: bool) -> _Listening:
    # With the protocol named, asyncio sets TCP_NODELAY; else each answer waits 40 ms for an ACK.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        raise UsageError(f"port {port} cannot be used: {error.strerror}") from error
    scheme = "https" if tls else "http"
    return _Listening(listener, f"{scheme}://127.0.0.1:{listener.getsockname()[1]}")


async def _serve(options: argparse.Namespace) -> None:
    settings, listening = _settings(options)
    certificate = _certificate(settings.root) if options.tls else None
    platform = Platform(settings)
    traffic = Traffic(platform.faults)
    visitors = Visitors(settings.base_url)
    ready = first_project(platform, visitors)
    if certificate is not None:
        ready["certificate"] = str(certificate.authority)
    scheduler = Scheduler(platform, _engine(options, platform))
    platform.blobs.sweep()
    bulk.finish_interrupted(platform)
    scheduler.recover()
    config = uvicorn.Config(
        app.build(platform, scheduler, traffic, visitors),
        http=tracking_protocol(traffic.transports),
        lifespan="off",
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
        ssl_certfile=certificate.chain if certificate else None,
        ssl_keyfile=certificate.key if certificate else None,
    )
    server = _Server(config)
    _stop_on_request(server, watch_stdin=options.until_stdin_closes)
    announcement = asyncio.create_task(_announce(server, ready))
    try:
        await server.serve(sockets=[listening.socket])
    finally:
        announcement.cancel()
        visitors.close()
        await scheduler.close()
        await platform.close()


def _settings(options: argparse.Namespace) -> tuple[Settings, _Listening]:
    try:
        chosen = switches.parse(options.switch)
    except ValueError as error:
        raise UsageError(str(error)) from error
    listening = _listen(options.port, tls=options.tls)
    settings = Settings(
        root=options.root.resolve(),
        base_url=listening.base_url,
        switches=chosen,
        rate_limit=options.rate_limit,
        instances=options.instances,
        start_delay=options.start_delay,
        latency=options.latency,
        price_hour=options.price_hour,
        host_cores=options.host_cores if options.engine == "cwltool" else None,
        verify_inputs="mtime" if options.engine == "simulate" else options.verify_inputs,
        keep_work=options.keep_work,
        containers=options.engine == "simulate" or options.containers != "none",
        control=options.control,
        fault_seed=options.fault_seed,
    )
    return settings, listening


def _certificate(root: Path) -> Certificate:
    try:
        return make_certificate(root / "tls")
    except ModuleNotFoundError as error:
        raise UsageError(f"--tls needs a package: pip install {error.name}") from error


def _engine(options: argparse.Namespace, platform: Platform) -> Engine:
    if options.engine == "simulate":
        return SimulateEngine(_simulation(options))
    # Imported here: the simulation does not need cwltool at all.
    from cavatica_local.engine.cwl import CwltoolEngine  # noqa: PLC0415

    chosen = platform.switches
    habits = ContainerHabits(
        user=chosen.container_user,
        writable_root=chosen.container_root_writable,
        cwl_variables=chosen.container_cwl_variables,
        entrypoint=chosen.container_entrypoint,
    )
    return CwltoolEngine(options.containers, habits, platform.validator.channel())


def _simulation(options: argparse.Namespace) -> Simulation:
    try:
        behaviours = read_behaviours(options.simulation) if options.simulation else []
    except ValueError as error:
        raise UsageError(str(error)) from error
    return Simulation(options.task_seconds, behaviours, options.fault_seed)


async def _announce(server: uvicorn.Server, ready: dict[str, str]) -> None:
    """Print the one line that says how to reach the server, once it can be reached."""
    while not server.started:
        await asyncio.sleep(0.01)
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


def _stop_on_request(server: uvicorn.Server, *, watch_stdin: bool) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    if watch_stdin:
        closed = functools.partial(loop.call_soon_threadsafe, stop)
        threading.Thread(target=_watch_stdin, args=(closed,), daemon=True).start()


def _watch_stdin(closed: Callable[[], object]) -> None:
    # Not by way of sys.stdin, whose lock this thread would hold while the interpreter ends.
    while os.read(0, 1024):
        pass
    closed()
