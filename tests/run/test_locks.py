"""Snakemake's locks: those of a process that was killed go, all others stay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from snakemake_executor_cavatica.run import locks

KILLED = """
    import os, signal
    from pathlib import Path
    from snakemake_executor_cavatica.run.locks import note_locks, watch_locks
    watch_locks()
    folder = Path(".snakemake/locks").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    Path(".snakemake/cavatica").mkdir(exist_ok=True)
    {before}
    with open(folder / "{name}.input.lock", "w") as lock:
        {inside}
    with open(folder / "{name}.output.lock", "w") as lock:
        lock.write("b")
    {after}
    os.kill(os.getpid(), signal.SIGKILL)
"""
KILL = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def killed(name: int = 0, *, before: str = "", inside: str = "pass", after: str = "") -> None:
    """A process that takes locks as Snakemake does, and is killed."""
    code = textwrap.dedent(KILLED).format(name=name, before=before, inside=inside, after=after)
    subprocess.run([sys.executable, "-c", code], check=False)


def there() -> list[str]:
    return sorted(path.name for path in Path(".snakemake/locks").iterdir())


@pytest.mark.parametrize("moment", [{"inside": KILL}, {"after": KILL}, {"after": "note_locks()"}])
def test_the_locks_of_a_killed_process_go_whenever_it_was_killed(moment: dict[str, str]) -> None:
    """Also at once after Snakemake has taken them, long before an executor is made."""
    killed(**moment)
    assert there()
    locks.remove_stale_locks()
    assert not there()


def test_the_locks_of_others_stay() -> None:
    """Two runs for different files of one directory: only one of them was killed."""
    Path(".snakemake/locks").mkdir(parents=True)
    for kind in ("input", "output"):
        Path(f".snakemake/locks/0.{kind}.lock").write_text("a")
    killed(1, after="note_locks()")
    locks.remove_stale_locks()
    assert there() == ["0.input.lock", "0.output.lock"]


def test_a_lock_that_another_process_has_taken_since_stays() -> None:
    """It has the name of one that was about to be taken when its process was killed."""
    killed(inside=KILL)
    os.utime(".snakemake/locks/0.input.lock", (1, 1))
    locks.remove_stale_locks()
    assert there() == ["0.input.lock"]
    note = json.loads(Path(".snakemake/cavatica/lock.json").read_text())
    assert note["files"] == {"0.input.lock": None}
