"""Tasks that harm their inputs: `python -m tests.faults.harm --seed 1 --seconds 3600`.

Each round runs a task that writes to, deletes, renames or changes the modes of some of its inputs,
as whoever serves the platform (mostly root). After it, everything that is stored must have its
checksum, and a harmless task must read what was uploaded. The exit status is 1 if not.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.cavatica_local.platform_serving import Server, file_input, tool

HARM = {
    "append": 'echo more >> "$f"',
    "empty": ': > "$f"',
    "truncate": 'truncate -s 1 "$f"',
    "overwrite": 'printf x | dd of="$f" conv=notrunc',
    "replace": 'cp /etc/passwd "$f"',
    "in place": 'sed -i s/./x/ "$f"',
    "compress": 'gzip -f "$f"',
    "allow and append": 'chmod 666 "$f"; echo more >> "$f"',
    "modes": 'chmod 000 "$f"; chmod -R 777 "$d"',
    "owner": 'chown 12345:12345 "$f"',
    "time": 'touch -d 2001-01-01 "$f"',
    "delete": 'rm -f "$f"',
    "delete all": 'rm -rf "$d"',
    "rename": 'mv "$f" "$f.moved"',
    "rename all": 'mv "$d" "$d.moved"',
    "swap": 'mv "$f" "$f.old"; echo other > "$f"',
    "link over": 'ln -sf /etc/passwd "$f"',
    "second name": 'ln "$f" name && echo more >> name',
    "second name elsewhere": 'cp -l "$f" /tmp/$$ && echo more >> /tmp/$$; rm -f /tmp/$$',
    "mapped": (
        "python3 -c 'import mmap, sys\n"
        'with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), 0) as bytes:\n'
        '    bytes[0:1] = b"!"\' "$f"'
    ),
}
SMALL = (1, 200, 70_000, 3_000_000)
"""Bytes."""
LARGE = (9_000_000,)
"""Beyond what is copied where links cannot be protected: such files are checked afterwards."""
_READ = 'sha256sum < "$f" > sum; test "$(cut -c -64 sum)" = "$wanted"'


class Harmful:
    """Rounds of harmful tasks on one platform."""

    def __init__(self, server: Server, seed: int, sizes: Sequence[int]) -> None:
        self._server = server
        self._dice = random.Random(seed)
        self._sums: dict[str, str] = {}
        for number, size in enumerate(sizes):
            content = self._dice.randbytes(size)
            file = server.upload(f"file {number}", content)
            self._sums[file] = hashlib.sha256(content).hexdigest()
        self._apps = {
            name: server.install(
                f"harm-{number}", tool(f'd=$(dirname "$f")\n{command}', {"f": "File"}, {})
            )
            for number, (name, command) in enumerate(HARM.items())
        }
        self._reader = server.install("read", tool(_READ, {"f": "File", "wanted": "string"}, {}))
        self.endings: Counter[str] = Counter()

    def round(self) -> list[str]:
        """One harmful task and one that reads; sentences about what was harmed."""
        name, app = self._dice.choice(list(self._apps.items()))
        file = self._dice.choice(list(self._sums))
        harmful = self._server.run(app, {"f": file_input(file)})
        self.endings[f"{name}: {harmful['status']}"] += 1
        reading = self._server.run(
            self._reader, {"f": file_input(file), "wanted": self._sums[file]}
        )
        found = [f"after '{name}', {path.name} has other content" for path in self._damaged()]
        if reading["status"] != "COMPLETED":
            found.append(f"after '{name}', reading failed: {reading['execution_status']}")
        return found

    def _damaged(self) -> Iterator[Path]:
        stored = {path.name: path for path in self._server.root.glob("blobs/*/*")}
        for wanted in self._sums.values():
            path = stored.get(wanted, self._server.root / wanted)
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != wanted:
                yield path


def main(arguments: list[str]) -> int:
    """Run rounds for some time, and print how they ended."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.harm", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args(arguments)
    end = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as root:
        server = Server.start(Path(root), "--rate-limit", "off")
        harmful, found = Harmful(server, options.seed, SMALL + LARGE), list[str]()
        while time.monotonic() < end and not found:
            found = harmful.round()
        server.stop()
    for ending, times in sorted(harmful.endings.items()):
        print(f"{times:6} {ending}")
    print("\n".join(found) or f"{harmful.endings.total()} rounds, nothing was harmed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
