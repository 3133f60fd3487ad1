"""Upload and download of a large file and of many small ones, beside sevenbridges-python.

    python -m benchmarks.transfers             # about 20 minutes
    python -m benchmarks.transfers --latency 0 --runs 1     # about 3 minutes

What storage mode does, the commands `put` and `get`, and the provider's client work on the same
embedded server and the same files, in turn, each in a fresh process.
The time is that of the transfers alone: programs are loaded and the server runs before. For ours
it holds the MD5 of what is uploaded, which sevenbridges-python does not compute. What was
downloaded is compared with what was uploaded, outside of the measured time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import sevenbridges

from snakemake_executor_cavatica.api import Client, Token
from snakemake_executor_cavatica.commands import get as _get  # noqa: F401 - loaded beforehand
from snakemake_executor_cavatica.commands import main as main_of_commands
from snakemake_executor_cavatica.commands import put as _put  # noqa: F401 - loaded beforehand
from snakemake_executor_cavatica.project.fetch_store import fetch, store
from snakemake_executor_cavatica.project.index import ProjectIndex
from snakemake_executor_cavatica.project.local_platform import LocalPlatform

SMALL_SIZE = 10_000
OURS = "this plugin"
COMMAND = "snakemake-cavatica put, get"
THEIRS = "sevenbridges-python"
THEIRS_IN_BACKGROUND = "sevenbridges-python, wait=False"


@dataclass(frozen=True)
class Place:
    """Where the server is, and a folder there."""

    endpoint: str
    token: str
    project: str
    folder: str


# ------------------------------------------------------------------------------- the two clients


def upload_ours(place: Place, source: Path) -> None:
    """As storage mode stores a file or folder."""
    client = Client(place.endpoint, Token(place.token))
    store(ProjectIndex(client, place.project), source, f"{place.folder}/{source.name}")


def download_ours(place: Place, target: Path) -> None:
    """As storage mode retrieves a file or folder."""
    client = Client(place.endpoint, Token(place.token))
    entry = ProjectIndex(client, place.project).find(f"{place.folder}/{target.name}")
    assert entry is not None
    fetch(client, entry.id, target, size=entry.size, folder=entry.folder)


def upload_by_command(place: Place, source: Path) -> None:
    """By `put`, which compares with what is there, and keeps a checksum of each file."""
    _command(place, "put", str(source), f"cavatica://{place.project}/{place.folder}/{source.name}")


def download_by_command(place: Place, target: Path) -> None:
    """By `get`, which compares what arrives with its checksum."""
    _command(place, "get", f"cavatica://{place.project}/{place.folder}/{target.name}", str(target))


def _command(place: Place, *words: str) -> None:
    os.environ |= {"SB_API_ENDPOINT": place.endpoint, "SB_AUTH_TOKEN": place.token}
    with redirect_stdout(sys.stderr):
        assert main_of_commands.main(words) == 0


def upload_theirs(place: Place, source: Path, *, wait: bool = True) -> None:
    """As their quick start does: `api.files.upload`, which can also go on in the background."""
    api = sevenbridges.Api(url=place.endpoint, token=place.token, debug=True)
    top = _folder(api, place)
    parent = api.files.create_folder(source.name, parent=top) if source.is_dir() else top
    paths = sorted(source.iterdir()) if source.is_dir() else [source]
    started = [api.files.upload(str(path), parent=parent, wait=wait) for path in paths]
    _finish(started if not wait else [])


def download_theirs(place: Place, target: Path, *, wait: bool = True) -> None:
    """As their quick start does: `file.download`."""
    api = sevenbridges.Api(url=place.endpoint, token=place.token, debug=True)
    (file,) = [one for one in _folder(api, place).list_files().all() if one.name == target.name]
    if file.is_folder():
        target.mkdir()
        files = [(one, target / one.name) for one in file.list_files(limit=100).all()]
    else:
        files = [(file, target)]
    started = [one.download(str(path), wait=wait) for one, path in files]
    _finish(started if not wait else [])


def _folder(api: sevenbridges.Api, place: Place) -> sevenbridges.File:
    found = [
        one for one in api.files.query(project=place.project).all() if one.name == place.folder
    ]
    return found[0] if found else api.files.create_folder(place.folder, project=place.project)


def _finish(transfers: Sequence[sevenbridges.transfer.upload.Upload]) -> None:
    for transfer in transfers:
        transfer.start()
    for transfer in transfers:
        transfer.wait()


CLIENTS: dict[str, tuple[Callable[[Place, Path], None], Callable[[Place, Path], None]]] = {
    OURS: (upload_ours, download_ours),
    COMMAND: (upload_by_command, download_by_command),
    THEIRS: (upload_theirs, download_theirs),
    THEIRS_IN_BACKGROUND: (
        lambda place, path: upload_theirs(place, path, wait=False),
        lambda place, path: download_theirs(place, path, wait=False),
    ),
}


LARGE = (OURS, COMMAND, THEIRS)
"""Those that make a difference for one file."""


# ------------------------------------------------------------------------------- measuring


@dataclass(frozen=True)
class Measured:
    """One transfer: seconds that passed, seconds of CPU, and the client's peak memory."""

    seconds: float
    client_cpu: float
    mib: float
    server_cpu: float = 0.0


def measure_here(client: str, direction: str, place: Place, path: Path) -> Measured:
    """Do one transfer in this process."""
    transfer = CLIENTS[client][0 if direction == "upload" else 1]
    before, cpu = time.perf_counter(), time.process_time()
    transfer(place, path)
    seconds, cpu = time.perf_counter() - before, time.process_time() - cpu
    return Measured(seconds, cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure(
    client: str, direction: str, place: Place, path: Path, server: LocalPlatform
) -> Measured:
    """Do one transfer in a fresh process."""
    asked = json.dumps([client, direction, vars(place), str(path)])
    before = cpu_seconds(server)
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.transfers", "--one", asked],
        check=True,
        stdout=subprocess.PIPE,
    )
    measured = Measured(**json.loads(answer.stdout))
    return replace(measured, server_cpu=cpu_seconds(server) - before)


def cpu_seconds(server: LocalPlatform) -> float:
    """What the server has used so far, in all its threads."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def keep_on_core(server: LocalPlatform, core: int) -> None:
    """As if it were elsewhere, so that a second core is the client's; new threads inherit it."""
    for thread in Path(f"/proc/{server.process.pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


def checksums(path: Path) -> dict[str, str]:
    """MD5 of a file, or of each file of a folder."""
    paths = path.iterdir() if path.is_dir() else [path]
    found = {}
    for one in paths:
        with one.open("rb") as stream:
            found[one.name] = hashlib.file_digest(stream, "md5").hexdigest()
    return found


def round_trip(client: str, server: LocalPlatform, source: Path) -> tuple[Measured, Measured]:
    """Upload and download again, and compare."""
    place = Place(server.endpoint, server.token.reveal(), server.project, f"run-{time.time_ns()}")
    up = measure(client, "upload", place, source, server)
    with tempfile.TemporaryDirectory(dir=source.parent) as scratch:
        target = Path(scratch, source.name)
        down = measure(client, "download", place, target, server)
        if checksums(target) != checksums(source):
            raise SystemExit(f"{client}: what was downloaded is not what was uploaded")
    with Client(server.endpoint, server.token) as api:
        ProjectIndex(api, server.project).remove(place.folder)
    return up, down


def make_sources(folder: Path, large: int, small: int) -> list[Path]:
    """A large file and a folder of small ones, of random bytes."""
    block = os.urandom(1 << 24)
    big = folder / "large.bin"
    with big.open("wb") as stream:
        for number, start in enumerate(range(0, large, len(block))):
            stream.write(block[number : number + min(len(block), large - start)])
        stream.truncate(large)
    many = folder / "small"
    many.mkdir()
    for number in range(small):
        (many / f"{number:05}.bin").write_bytes(os.urandom(SMALL_SIZE))
    return [big, many]


# ------------------------------------------------------------------------------- the report


def main() -> None:
    """Measure in turn, and print a table with the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--large", type=int, default=2_000_000_000, help="bytes of the large file")
    parser.add_argument("--small", type=int, default=2_000, help="number of small files")
    parser.add_argument("--large-runs", type=int, help="runs with the large file (default: same)")
    parser.add_argument(
        "--clients", nargs="+", choices=list(CLIENTS), default=list(CLIENTS), metavar="NAME"
    )
    parser.add_argument(
        "--latency", type=float, default=0.05, help="seconds added to every request"
    )
    parser.add_argument(
        "--server-core", type=int, metavar="N", help="keep the server on this core alone"
    )
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary one)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        client, direction, place, path = json.loads(options.one)
        measured = measure_here(client, direction, Place(**place), Path(path))
        sys.stdout.write(json.dumps(vars(measured)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        words = ["--engine=simulate", f"--latency={options.latency}"]
        server = LocalPlatform.start(Path(scratch, "platform"), *words)
        try:
            if options.server_core is not None:
                keep_on_core(server, options.server_core)
            sources = make_sources(Path(scratch), options.large, options.small)
            large_runs = options.runs if options.large_runs is None else options.large_runs
            report(server, sources[0], [one for one in options.clients if one in LARGE], large_runs)
            report(server, sources[1], options.clients, options.runs)
        finally:
            server.stop()


def report(server: LocalPlatform, source: Path, clients: Sequence[str], runs: int) -> None:
    """Lines for the table in benchmarks/README.md."""
    if not runs:
        return
    print(f"\n{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}; ", end="")
    print(f"load at the start {os.getloadavg()[0]:.1f}; medians of {runs} runs\n")
    print("| what | client | seconds | times ours | CPU of client | of server | MiB of client |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    found: dict[str, list[tuple[Measured, Measured]]] = {client: [] for client in clients}
    for _ in range(runs):
        for client in clients:
            found[client].append(round_trip(client, server, source))
    files = f"{len(list(source.iterdir())):,} files of 10 KB" if source.is_dir() else "one file"
    what = files if source.is_dir() else f"{source.stat().st_size / 1e9:g} GB"
    for number, direction in enumerate(("upload", "download")):
        for client in clients:
            seconds, client_cpu, server_cpu, mib = (
                _median(found[client], number, name)
                for name in ("seconds", "client_cpu", "server_cpu", "mib")
            )
            ratio = seconds / _median(found[clients[0]], number, "seconds")
            print(
                f"| {direction} of {what} | {client} | {seconds:.2f} | {ratio:.2f} "
                f"| {client_cpu:.2f} | {server_cpu:.2f} | {mib:.0f} |",
                flush=True,
            )


def _median(pairs: Sequence[tuple[Measured, Measured]], number: int, name: str) -> float:
    return statistics.median(float(getattr(pair[number], name)) for pair in pairs)


if __name__ == "__main__":
    main()
