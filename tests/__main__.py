"""All checks of this repository, one after the other: `python -m tests [arguments of pytest]`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHECKS = (
    ("lint", "ruff", "check", "."),
    ("format", "ruff", "format", "--check", "."),
    ("types", "mypy"),
    # More at a time than cores: most of them wait for a server, or for jobs of it.
    ("tests", "pytest", "-n", "3", "--dist", "worksteal"),
)


def main(arguments: list[str]) -> int:
    """Run every check, also after one that failed; pytest's summary comes last."""
    failed = []
    for name, module, *options in CHECKS:
        command = ["-m", module, *options, *(arguments if module == "pytest" else [])]
        print(f"== {name}: python {' '.join(command)}", flush=True)
        if subprocess.run([sys.executable, *command], cwd=ROOT, check=False).returncode != 0:
            failed.append(name)
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
