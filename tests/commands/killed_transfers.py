"""`put` and `get` are killed at a random moment and repeated: all is there, and nothing went twice.

python -m tests.commands.killed_transfers --times 20 --seed 1
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.commands.command_runs import Server

PART = 32 * 1024 * 1024


def make(folder: Path, files: int, large: int) -> dict[str, bytes]:
    """Small files, and one of several parts."""
    random_bytes = os.urandom(1 << 20)
    (folder / "sub").mkdir(parents=True)
    for number in range(files):
        (folder / "sub" / f"{number}.txt").write_bytes(random_bytes[number : number + 10_000])
    with (folder / "large.bin").open("wb") as stream:
        for start in range(0, large, len(random_bytes)):
            stream.write(random_bytes[start % 7919 : start % 7919 + 1000] * 1048)
        stream.truncate(large)
    return content(folder)


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder, but what was left of a download."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def moves(server: Server) -> Counter[str]:
    """Completed uploads and parts of the storage, in and out."""
    found: Counter[str] = Counter()
    for one in server.requests():
        method, path, ok = one["method"], one["path"], one["status"] in (200, 206)
        found["completed"] += ok and path.endswith("/complete")
        found["sent"] += ok and method == "PUT" and path.startswith("/storage/")
        found["fetched"] += ok and method == "GET" and path.startswith("/storage/")
    return found


def command(server: Server, home: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**server.environment(), "XDG_STATE_HOME": str(home)}
    module = "snakemake_executor_cavatica.commands.main"
    return subprocess.Popen(
        [sys.executable, "-m", module, *words],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def killed(server: Server, process: subprocess.Popen[str], kind: str, when: float) -> bool:
    """Kill it at some moment after its first transfer; whether it was still at work."""
    before = moves(server)[kind]
    while process.poll() is None and moves(server)[kind] == before:
        time.sleep(0.01)
    time.sleep(when)
    was_at_work = process.poll() is None
    process.kill()
    process.communicate()
    known = None
    while known != (known := moves(server)):  # what the server has in hand
        time.sleep(0.3)
    return was_at_work


def finished(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


def trial(server: Server, scratch: Path, seed: int, *, files: int, large: int) -> str:
    """Kill a `put` and a `get` and repeat each; what happened."""
    dice = random.Random(seed)
    source, target = scratch / "source", scratch / "target"
    made = make(source, files, large)
    for name in made:  # of what is as young as its upload, nobody can tell whether it has changed
        os.utime(source / name, (time.time() - 60,) * 2)
    place = f"cavatica://{server.project}/killed-{seed}"
    # Each waits a little, so that there is a moment in which to be killed.
    server.control("faults", [{"do": "delay", "path": "/(upload|storage)/", "seconds": 0.05}])
    before = moves(server)
    at_work = killed(
        server,
        command(server, scratch / "home", "put", str(source), place),
        "sent",
        dice.uniform(0, 0.01 * files),
    )
    done = moves(server)["completed"] - before["completed"]
    told = finished(command(server, scratch / "home", "put", str(source), place))
    sent = moves(server)["completed"] - before["completed"]
    assert f"; {done} were there already" in told, told
    assert sent == len(made)
    fetching = killed(
        server,
        command(server, scratch / "home", "get", place, str(target)),
        "fetched",
        dice.uniform(0, 0.005 * files),
    )
    finished(command(server, scratch / "home", "get", place, str(target)))
    server.control("faults", [])
    assert content(target) == made
    return f"seed {seed}: put killed after {done} of {len(made)} files" + (
        f" (at work: {at_work}), get at work: {fetching}; content equal, {sent} uploads completed"
    )


def main() -> None:
    """Many trials, each told."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        server = Server.start(Path(scratch, "server"))
        try:
            for seed in range(options.seed, options.seed + options.times):
                here = Path(scratch, str(seed))
                print(trial(server.fresh(), here, seed, files=100, large=4 * PART), flush=True)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
