"""All checks of this repository, one after the other: `python -m tests [arguments of pytest]`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHON = (sys.executable, "-m")
PROGRAMS = Path(sys.executable).parent
IN_TASK = Path("snakemake_executor_cavatica/in_task")
CHECKS = {
    "lint": (*PYTHON, "ruff", "check", "."),
    "format": (*PYTHON, "ruff", "format", "--check", "."),
    "types": (*PYTHON, "mypy"),
    "layers": (str(PROGRAMS / "lint-imports"), "--no-cache"),
    "shell": (
        str(PROGRAMS / "shellcheck"),
        *sorted(map(str, (IN_TASK).glob("*.sh"))),
    ),
    # More at a time than cores: most of them wait for a server, or for jobs of it.
    "tests": (*PYTHON, "pytest", "-n", "3", "--dist", "worksteal"),
}


def main(arguments: list[str]) -> int:
    """Run every check, also after one that failed; pytest's summary comes last."""
    failed = []
    for name, check in CHECKS.items():
        command = [*check, *(arguments if name == "tests" else [])]
        print(f"== {name}: {Path(command[0]).name} {' '.join(command[1:])}", flush=True)
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            failed.append(name)
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
